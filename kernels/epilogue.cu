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

/* (value + bias) · gelu(gate + bias); the gates' biases follow the values'. */
INLINE float gate_value(float value, float gate, const float *bias, int n, int columns)
{
    if (BIAS) {
        value += bias[n];
        gate += bias[columns + n];
    }
    return value * gelu(gate);
}

/* A gated pair; what is left of the epilogue is the residual. */
INLINE void finish_gated(float value, float gate, const float *bias, const act *residual, act *y, int row, int n,
                         int columns)
{
    const ulong at = (ulong)row * columns + n;
    store_act(gate_value(value, gate, bias, n, columns) + (RESIDUAL ? load_act(residual, at) : 0.0f), y, at);
}

/* Columns n … n + 7 of a row, of which those below `columns` exist. EIGHTS: they come in whole eights. */
#ifndef EIGHTS
#define EIGHTS 0
#endif

/* What is added last. */
INLINE void store_columns(float *v, const act *residual, act *y, int row, int n, int columns)
{
    const ulong at = (ulong)row * columns + n;
    if (n >= columns)
        return;
#if EIGHTS
    if (RESIDUAL) {
        float r[8];
        load8(residual + at, r);
        UNROLL
        for (int i = 0; i < 8; i++)
            v[i] += r[i];
    }
    store8(v, y + at);
#else
    UNROLL
    for (int i = 0; i < 8; i++)
        if (n + i < columns)
            store_act(v[i] + (RESIDUAL ? load_act(residual, at + i) : 0.0f), y, at + i);
#endif
}

INLINE void add_columns(float *v, const float *more, int n, int columns)
{
#if EIGHTS
    float m[8];
    load8_floats(more + n, m);
    UNROLL
    for (int i = 0; i < 8; i++)
        v[i] += m[i];
#else
    UNROLL
    for (int i = 0; i < 8; i++)
        v[i] += n + i < columns ? more[n + i] : 0.0f;
#endif
}

/* finish for eight. */
INLINE void finish_columns(float *v, const float *bias, const float *channel, const act *residual, act *y, int row, int n,
                           int columns, int rows_per_channel)
{
    if (n >= columns)
        return;
    if (BIAS)
        add_columns(v, bias, n, columns);
    if (CHANNEL_BIAS)
        add_columns(v, channel + (ulong)(row / rows_per_channel) * columns, n, columns);
    UNROLL
    for (int i = 0; i < 8; i++)
        v[i] = apply_activation(v[i]);
    store_columns(v, residual, y, row, n, columns);
}
