/* What matrix-like kernels do with sums before they store them; see epilogue.h. One call stores 16 columns of a row.

   BIAS, CHANNEL_BIAS, RESIDUAL (0 or 1) say which inputs there are; N is the width of the output. */
#ifndef BIAS
#define BIAS 0
#define CHANNEL_BIAS 0
#define RESIDUAL 0
#endif

/* Elements n … n+15 of a vector of `count` floats, zeros past its end. */
inline float16 load_vector(__global const float *p, int n, int count)
{
    if (n + 16 <= count)
        return vload16(0, p + n);
    float part[16];
    for (int i = 0; i < 16; i++)
        part[i] = n + i < count ? p[n + i] : 0.0f;
    return vload16(0, part);
}

/* y[at + n …] = act(sum + bias[n …] + channel[n …]) + residual[at + n …], for the columns below `columns`. */
inline void finish16(float16 sum, __global const float *bias, __global const float *channel,
                     __global const act *residual, __global act *y, ulong at, int n, int columns)
{
    if (BIAS)
        sum += load_vector(bias, n, columns);
    if (CHANNEL_BIAS)
        sum += load_vector(channel, n, columns);
    sum = apply_activation16(sum);
    if (n + 16 <= columns) {
        if (RESIDUAL)
            sum += load_act16(residual, at + n);
        store_act16(sum, y, at + n);
        return;
    }
    float part[16];
    vstore16(sum, 0, part);
    for (int i = 0; n + i < columns; i++)
        store_act(part[i] + (RESIDUAL ? load_act(residual, at + n + i) : 0.0f), y, at + n + i);
}

/* A gated pair: (value + bias) · gelu(gate + bias). The gates' biases follow the values'. */
inline float16 gated16(float16 value, float16 gate, __global const float *bias, int n, int columns)
{
    if (BIAS) {
        value += load_vector(bias, n, columns);
        gate += load_vector(bias + columns, n, columns);
    }
    return value * gelu16(gate);
}

/* The same for one number: y[at + n], for kernels that do not hold a row's neighbours. */
inline void finish1(float sum, __global const float *bias, __global const float *channel, __global const act *residual,
                    __global act *y, ulong at, int n)
{
    if (BIAS)
        sum += bias[n];
    if (CHANNEL_BIAS)
        sum += channel[n];
    sum = apply_activation(sum);
    store_act(sum + (RESIDUAL ? load_act(residual, at + n) : 0.0f), y, at + n);
}
