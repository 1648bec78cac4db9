/* Activations in float, for every kernel. ACTIVATION takes the values of kernels/epilogue.h.

   exp: x = n ln 2 + r, |r| ≤ ln 2 / 2, a degree-7 polynomial for e^r (error below 1 ulp), 2^n by exponent bits; results
   below 2^-126 become 0. erf: the standard library's scalar function is slow on wide vectors, so two polynomials are
   used: x·P(x²) for |x| < 1 (the Taylor series), 1 − e^(−x²)·R(1/(1 + x/2)) beyond (Numerical Recipes' erfc fit,
   relative error 1.2e-7). */
#ifndef ACTIVATION
#define ACTIVATION 0
#endif

#define DEFINE_MATH(N)                                                                                                 \
    inline float##N fast_exp##N(float##N x)                                                                            \
    {                                                                                                                  \
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
        return p * as_float##N((convert_int##N(n) + 127) << 23);                                                       \
    }                                                                                                                  \
    inline float##N sigmoid##N(float##N x)                                                                             \
    {                                                                                                                  \
        return 1.0f / (1.0f + fast_exp##N(-x));                                                                        \
    }                                                                                                                  \
    inline float##N fast_erf##N(float##N x)                                                                            \
    {                                                                                                                  \
        const float##N a = fabs(x), s = x * x;                                                                         \
        float##N p = (float##N)(-1.229055530e-09f);                                                                    \
        p = fma(p, s, (float##N)(1.480719282e-08f));                                                                   \
        p = fma(p, s, (float##N)(-1.636584469e-07f));                                                                  \
        p = fma(p, s, (float##N)(1.646211437e-06f));                                                                   \
        p = fma(p, s, (float##N)(-1.492565036e-05f));                                                                  \
        p = fma(p, s, (float##N)(1.205533298e-04f));                                                                   \
        p = fma(p, s, (float##N)(-8.548327023e-04f));                                                                  \
        p = fma(p, s, (float##N)(5.223977625e-03f));                                                                   \
        p = fma(p, s, (float##N)(-2.686617065e-02f));                                                                  \
        p = fma(p, s, (float##N)(1.128379167e-01f));                                                                   \
        p = fma(p, s, (float##N)(-3.761263890e-01f));                                                                  \
        p = fma(p, s, (float##N)(1.128379167e+00f));                                                                   \
        const float##N t = 1.0f / fma(a, (float##N)(0.5f), (float##N)(1.0f));                                          \
        float##N q = (float##N)(0.17087277f);                                                                          \
        q = fma(q, t, (float##N)(-0.82215223f));                                                                       \
        q = fma(q, t, (float##N)(1.48851587f));                                                                        \
        q = fma(q, t, (float##N)(-1.13520398f));                                                                       \
        q = fma(q, t, (float##N)(0.27886807f));                                                                        \
        q = fma(q, t, (float##N)(-0.18628806f));                                                                       \
        q = fma(q, t, (float##N)(0.09678418f));                                                                        \
        q = fma(q, t, (float##N)(0.37409196f));                                                                        \
        q = fma(q, t, (float##N)(1.00002368f));                                                                        \
        q = fma(q, t, (float##N)(-1.26551223f));                                                                       \
        const float##N far = 1.0f - t * fast_exp##N(q - s);                                                            \
        return select(copysign(far, x), x * p, isless(a, (float##N)(1.0f)));                                           \
    }                                                                                                                  \
    inline float##N gelu##N(float##N x)                                                                                \
    {                                                                                                                  \
        return 0.5f * x * (1.0f + fast_erf##N(x * 0.70710678118654752f));                                              \
    }                                                                                                                  \
    inline float##N apply_activation##N(float##N x)                                                                    \
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
