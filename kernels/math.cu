/* Activations in float and sums over a warp, for every kernel. ACTIVATION takes the values of kernels/epilogue.h. Where the result is stored in
   16 bits, the device's approximations will do: 2^x and 1/x to 2 ulp, and for Φ a polynomial (of kernels/activation/fit.py,
   with its far tail from 0 on) whose relative error is 3.3e-6 on both sides. */
#ifndef ACTIVATION
#define ACTIVATION 0
#endif

INLINE float sigmoid(float x)
{
#if ACT == TYPE_F32
    return 1.0f / (1.0f + expf(-x));
#else
    return fast_reciprocal(1.0f + fast_exp2(-1.44269504088896341f * x));
#endif
}

/* x Φ(x); erfc, or Φ(−|x|) = t · R(t) · e^(−x²/2) / 2 with t = 1 / (1 + |x| / 2), keeps the digits of the left tail. */
INLINE float gelu(float x)
{
#if ACT == TYPE_F32
    return 0.5f * x * erfcf(-0.70710678118654752f * x);
#else
    const float t = fast_reciprocal(fmaf(0.5f, fabsf(x), 1.0f));
    float r = -0.0497622229f;
    r = fmaf(r, t, 0.0995331481f);
    r = fmaf(r, t, 0.161557332f);
    r = fmaf(r, t, -0.571080327f);
    r = fmaf(r, t, 0.305803686f);
    r = fmaf(r, t, 0.25061962f);
    r = fmaf(r, t, 0.404646635f);
    r = fmaf(r, t, 0.398681164f);
    const float tail = 0.5f * t * r * fast_exp2(-0.72134752044448170f * x * x);
    return x * (x > 0.0f ? 1.0f - tail : tail);
#endif
}

INLINE float apply_activation(float x)
{
    if (ACTIVATION == 1)
        return x * sigmoid(x);
    if (ACTIVATION == 2)
        return gelu(x);
    if (ACTIVATION == 3) /* (1 + tanh u) / 2 = sigmoid(2u) */
        return x * sigmoid(1.5957691216057308f * fmaf(0.044715f * x * x, x, x));
    if (ACTIVATION == 4)
        return x * sigmoid(1.702f * x);
    return x;
}

/* The same for all lanes. */
INLINE float sum_of_warp(float sum)
{
    for (int mask = 16; mask; mask /= 2)
        sum += shuffle_xor(sum, mask);
    return sum;
}
