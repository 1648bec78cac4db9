/* What matrix-like kernels do with sums before they store them; see epilogue.h. BIAS, CHANNEL_BIAS, RESIDUAL (0 or 1)
   say which inputs there are. */
#ifndef BIAS
#define BIAS 0
#define CHANNEL_BIAS 0
#define RESIDUAL 0
#endif

#define EPILOGUE_ARGUMENTS                                                                                             \
    const float *bias, ulong bias_at, const float *channel, ulong channel_at, const act *residual, ulong residual_at,  \
        act *y, ulong y_at, int rows_per_channel

/* y[row, n] = act(sum + bias[n] + channel[n]) + residual[row, n]. */
INLINE void finish(float sum, const float *bias, const float *channel, const act *residual, act *y, int row, int n,
                   int columns, int rows_per_channel)
{
    const ulong at = (ulong)row * columns + n;
    if (BIAS)
        sum += bias[n];
    if (CHANNEL_BIAS)
        sum += channel[(ulong)(row / rows_per_channel) * columns + n];
    sum = apply_activation(sum);
    store_act(sum + (RESIDUAL ? load_act(residual, at) : 0.0f), y, at);
}

/* A gated pair: (value + bias) · gelu(gate + bias). The gates' biases follow the values'; what is left of the epilogue is
   the residual. */
INLINE void finish_gated(float value, float gate, const float *bias, const act *residual, act *y, int row, int n,
                         int columns)
{
    const ulong at = (ulong)row * columns + n;
    if (BIAS) {
        value += bias[n];
        gate += bias[columns + n];
    }
    store_act(value * gelu(gate) + (RESIDUAL ? load_act(residual, at) : 0.0f), y, at);
}
