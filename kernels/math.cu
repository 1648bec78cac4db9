/* Activations in float, for every kernel. ACTIVATION takes the values of kernels/epilogue.h. */
#ifndef ACTIVATION
#define ACTIVATION 0
#endif

INLINE float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

/* x Φ(x); erfc keeps the digits of the left tail, where 1 + erf would cancel. */
INLINE float gelu(float x)
{
    return 0.5f * x * erfcf(-0.70710678118654752f * x);
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
