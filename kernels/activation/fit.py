"""Makes the two polynomials of normal() in kernels/math.cl, and (the tail, from 0 on) that of gelu() in math.cu: near zero, Φ(z) − 1/2 = z·P(z²); beyond, the tail
1 − Φ(z) = e^(−z²/2)·t·R(t)/2 with t = 1/(1 + z/2). Interpolation at Chebyshev nodes of the function divided by its
relative weight, in 50 digits; then the largest relative error in f32 coefficients. Needs mpmath."""
from mpmath import mp, mpf, erf, erfc, exp, sqrt, cos, pi, matrix, lu_solve
import struct, sys
mp.dps = 50
SPLIT = mpf(sys.argv[1]) if len(sys.argv) > 1 else mpf('1.5')
f32 = lambda x: struct.unpack('f', struct.pack('f', float(x)))[0]

def fit(f, low, high, degree):
    nodes = [(low + high) / 2 + (high - low) / 2 * cos(pi * (2 * k + 1) / (2 * degree + 2)) for k in range(degree + 1)]
    a = matrix(degree + 1, degree + 1)
    b = matrix(degree + 1, 1)
    for i, x in enumerate(nodes):
        for j in range(degree + 1):
            a[i, j] = x ** j
        b[i] = f(x)
    return [f32(c) for c in lu_solve(a, b)]

def report(name, f, low, high, degree):
    c = fit(f, low, high, degree)
    worst = 0
    for k in range(401):
        x = low + (high - low) * k / 400
        if x == 0: continue
        p = sum(mpf(v) * x ** i for i, v in enumerate(c))
        worst = max(worst, abs(p / f(x) - 1))
    print(name, degree, 'relative error %.2e' % worst)
    for v in reversed(c):
        print('    %.9gf' % v)

def near(s):
    z = sqrt(s)
    return erf(z / sqrt(2)) / (2 * z) if s > 0 else 1 / sqrt(2 * pi)
def far(t):
    z = 2 * (1 / t - 1)
    return erfc(z / sqrt(2)) * exp(z * z / 2) / t
for d in map(int, sys.argv[2].split(',')): report('P', near, mpf(0), SPLIT ** 2, d)
for d in map(int, sys.argv[3].split(',')): report('R', far, 1 / (1 + mpf(14) / 2), 1 / (1 + SPLIT / 2), d)
