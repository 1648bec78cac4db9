/* ROWS rows a work-item. A row is read from memory once; the passes for the variance and the result find it in L1. */
inline float sum_lanes(float16 v)
{
    const float8 a = v.lo + v.hi;
    const float4 b = a.lo + a.hi;
    return (b.x + b.z) + (b.y + b.w);
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void layer_norm_rows(__global const act *x, ulong x_at, __global const float *gamma, ulong gamma_at,
                              __global const float *beta, ulong beta_at, __global act *y, ulong y_at, int rows,
                              int width, float eps)
{
    const int first = (int)get_global_id(0) * ROWS;
    gamma += gamma_at;
    beta += beta_at;
    for (int r = first; r < min(first + ROWS, rows); r++) {
        __global const act *from = x + x_at + (ulong)r * width;
        __global act *to = y + y_at + (ulong)r * width;
        float16 sums = (float16)(0);
        float tail = 0;
        int c = 0;
        for (; c + 16 <= width; c += 16)
            sums += load_act16(from, c);
        for (; c < width; c++)
            tail += load_act(from, c);
        const float mean = (sum_lanes(sums) + tail) / (float)width;
        sums = (float16)(0);
        tail = 0;
        for (c = 0; c + 16 <= width; c += 16) {
            const float16 d = load_act16(from, c) - mean;
            sums += d * d;
        }
        for (; c < width; c++) {
            const float d = load_act(from, c) - mean;
            tail += d * d;
        }
        const float rstd = 1.0f / sqrt((sum_lanes(sums) + tail) / (float)width + eps);
        for (c = 0; c + 16 <= width; c += 16)
            store_act16(fma((load_act16(from, c) - mean) * rstd, vload16(0, gamma + c), vload16(0, beta + c)), to, c);
        for (; c < width; c++)
            store_act(fma((load_act(from, c) - mean) * rstd, gamma[c], beta[c]), to, c);
    }
}
