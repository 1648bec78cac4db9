/* Activations in float, for every kernel. ACTIVATION takes the values of kernels/epilogue.h.

   exp: x = n ln 2 + r, |r| ≤ ln 2 / 2, a degree-7 polynomial for e^r (error below 1 ulp), 2^n by exponent bits; results
   below 2^-126 become 2^-126.
   normal: Φ(x) = (1 + erf(x/√2)) / 2, as the library's erf is slow on wide vectors. |x| < 1.5: 1/2 + x·P(x²). Beyond,
   the tail t·R(t)·e^(−x²/2)/2 with t = 1/(1 + |x|/2), which keeps its digits where 1 + erf would cancel; e^(−x²/2) is
   corrected by what x²/2 lost to rounding. Both fits are kernels/activation/fit.py's, relative error 3e-8. */
#ifndef ACTIVATION
#define ACTIVATION 0
#endif

#define DEFINE_MATH(N)                                                                                                 \
    static inline float##N fast_exp##N(float##N x)                                                                     \
    {                                                                                                                  \
        const float##N given = x;                                                                                      \
        x = clamp(x, (float##N)(-87.3365f), (float##N)(88.3762f));                                                     \
        const float##N n = rint(x * 1.44269504088896341f);                                                             \
        float##N r = fma(n, (float##N)(-0.693145751953125f), x);                                                       \
        r = fma(n, (float##N)(-1.42860682030941723212e-6f), r);                                                        \
        float##N p = (float##N)(1.9841270e-4f);                                                                        \
        p = fma(p, r, (float##N)(1.3888889e-3f));                                                                      \
        p = fma(p, r, (float##N)(8.3333333e-3f));                                                                      \
        p = fma(p, r, (float##N)(4.1666668e-2f));                                                                      \
        p = fma(p, r, (float##N)(1.6666667e-1f));                                                                      \
        p = fma(p, r, (float##N)(0.5f));                                                                               \
        p = fma(p, r, (float##N)(1.0f));                                                                               \
        p = fma(p, r, (float##N)(1.0f));                                                                               \
        p *= as_float##N((convert_int##N(n) + 127) << 23);                                                             \
        return select(p, given, isnotequal(given, given)); /* clamp would swallow a NaN */                             \
    }                                                                                                                  \
    static inline float##N sigmoid##N(float##N x)                                                                      \
    {                                                                                                                  \
        return 1.0f / (1.0f + fast_exp##N(-x));                                                                        \
    }                                                                                                                  \
    static inline float##N normal##N(float##N x)                                                                       \
    {                                                                                                                  \
        const float##N s = x * x, h = 0.5f * x, e = h * x;                                                             \
        float##N p = (float##N)(-2.53147086e-08f);                                                                     \
        p = fma(p, s, (float##N)(6.12769327e-07f));                                                                    \
        p = fma(p, s, (float##N)(-9.34772379e-06f));                                                                   \
        p = fma(p, s, (float##N)(0.000115334973f));                                                                    \
        p = fma(p, s, (float##N)(-0.0011872719f));                                                                     \
        p = fma(p, s, (float##N)(0.0099735409f));                                                                      \
        p = fma(p, s, (float##N)(-0.066490382f));                                                                      \
        p = fma(p, s, (float##N)(0.398942292f));                                                                       \
        const float##N t = 1.0f / (1.0f + fabs(h));                                                                    \
        float##N r = (float##N)(-0.300122768f);                                                                        \
        r = fma(r, t, (float##N)(0.859574497f));                                                                       \
        r = fma(r, t, (float##N)(-0.797141314f));                                                                      \
        r = fma(r, t, (float##N)(0.0747089684f));                                                                      \
        r = fma(r, t, (float##N)(0.0573264845f));                                                                      \
        r = fma(r, t, (float##N)(0.3046709f));                                                                         \
        r = fma(r, t, (float##N)(0.398550928f));                                                                       \
        r = fma(r, t, (float##N)(0.398954213f));                                                                       \
        float##N tail = 0.5f * t * r * fast_exp##N(-e);                                                                \
        tail = fma(tail, fma(-h, x, e), tail);                                                                         \
        const float##N far = select(tail, 1.0f - tail, isgreater(x, (float##N)(0.0f)));                                \
        return select(far, fma(x, p, (float##N)(0.5f)), isless(fabs(x), (float##N)(1.5f)));                            \
    }                                                                                                                  \
    static inline float##N gelu##N(float##N x)                                                                         \
    {                                                                                                                  \
        return x * normal##N(x);                                                                                       \
    }                                                                                                                  \
    static inline float##N apply_activation##N(float##N x)                                                             \
    {                                                                                                                  \
        if (ACTIVATION == 1)                                                                                           \
            return x * sigmoid##N(x);                                                                                  \
        if (ACTIVATION == 2)                                                                                           \
            return gelu##N(x);                                                                                         \
        if (ACTIVATION == 3) /* (1 + tanh u) / 2 = sigmoid(2u) */                                                      \
            return x * sigmoid##N(1.5957691216057308f * fma(0.044715f * x * x, x, x));                                 \
        if (ACTIVATION == 4)                                                                                           \
            return x * sigmoid##N(1.702f * x);                                                                         \
        return x;                                                                                                      \
    }

DEFINE_MATH()
DEFINE_MATH(4)
DEFINE_MATH(8)
DEFINE_MATH(16)
