/* y = epilogue(x · Wᵀ). W lies in panels [N/32][K][32] (engine/tensor.h), x and y in rows.

   linear_tile, for CPUs: a work-item makes ROWS rows × 32 columns in ROWS × 2 float16 registers. Per k it loads one line
   of the panel (two vectors) and broadcasts ROWS numbers of x: 12 × 2 multiply-adds for 14 loads. Nothing is shared, so
   there is no local memory and no barrier. Tiles of the same panel follow each other and find it in L2; the panel is
   read once from memory. Bound by arithmetic for many rows: 284 GFLOP/s over SD1.5's UNet at 512² on four Zen 4 cores
   (415 probed), 300 to 340 where K ≥ 640; at K = 320 a tile's epilogue (GELU of the gates above all) weighs against only
   320 steps. A tile's missing rows repeat the last one and are not stored, so a row's sum does not depend
   on where its tile begins. */
#ifndef GATED
#define GATED 0
#endif

#define LINEAR_ARGUMENTS                                                                                               \
    __global const act *x, ulong x_at, __global const weight *w, ulong w_at, int rows, int columns, int inputs,        \
        int stride, __global const float *bias, ulong bias_at, __global const float *channel, ulong channel_at,        \
        __global const act *residual, ulong residual_at, __global act *y, ulong y_at, int rows_per_channel

/* The 32 sums of one row: columns n … n+31, or 16 gated ones. */
inline void finish_row(float16 a, float16 b, __global const float *bias, __global const float *channel,
                       __global const act *residual, __global act *y, int row, int panel, int columns,
                       int rows_per_channel)
{
    const ulong at = (ulong)row * columns;
    channel += (ulong)(row / rows_per_channel) * columns;
#if GATED
    /* The gates have used the bias up; what is left of the epilogue is the residual. */
    const int n = panel * 16;
    float part[16];
    vstore16(gated16(a, b, bias, n, columns), 0, part);
    for (int i = 0; i < 16 && n + i < columns; i++)
        store_act(part[i] + (RESIDUAL ? load_act(residual, at + n + i) : 0.0f), y, at + n + i);
#else
    const int n = panel * 32;
    finish16(a, bias, channel, residual, y, at, n, columns);
    if (n + 16 < columns)
        finish16(b, bias, channel, residual, y, at, n + 16, columns);
#endif
}

#ifdef ROWS
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void linear_tile(LINEAR_ARGUMENTS)
{
    const int row = (int)get_global_id(0) * ROWS, panel = (int)get_global_id(1);
    __global const act *from[ROWS];
    float16 a[ROWS], b[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        from[r] = x + x_at + (ulong)min(row + r, rows - 1) * stride;
        a[r] = b[r] = (float16)(0);
    }
    w += w_at + (ulong)panel * inputs * 32;
    for (int k = 0; k < inputs; k++) {
        const float16 w0 = load_weight16(w, (ulong)k * 32), w1 = load_weight16(w, (ulong)k * 32 + 16);
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            const float16 v = (float16)(load_act(from[r], k));
            a[r] = a[r] + v * w0;
            b[r] = b[r] + v * w1;
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        if (row + r < rows)
            finish_row(a[r], b[r], bias + bias_at, channel + channel_at, residual + residual_at, y + y_at, row + r,
                       panel, columns, rows_per_channel);
}

#endif

/* One row of one panel a work-item: the plainest kernel. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void linear_row(LINEAR_ARGUMENTS)
{
    const int row = (int)get_global_id(0), panel = (int)get_global_id(1);
    float16 a = (float16)(0), b = (float16)(0);
    x += x_at + (ulong)row * stride;
    w += w_at + (ulong)panel * inputs * 32;
    for (int k = 0; k < inputs; k++) {
        const float v = load_act(x, k);
        a += v * load_weight16(w, (ulong)k * 32);
        b += v * load_weight16(w, (ulong)k * 32 + 16);
    }
    finish_row(a, b, bias + bias_at, channel + channel_at, residual + residual_at, y + y_at, row, panel, columns,
               rows_per_channel);
}

/* For GPUs: a group of 8 × 8 work-items makes 32 rows × one panel, 16 sums each. Per 16 of k the group brings 32 × 16
   numbers of x and 16 × 32 of the panel to local memory; each number is then used 32 times. A work-item's columns are
   2c, 2c + 1, 16 + 2c and 16 + 2c + 1, so that a gate meets its value. One column of padding keeps the 8 rows that a
   half-warp reads in different banks. */
#define LOCAL_K 16

__kernel __attribute__((reqd_work_group_size(8, 8, 1))) void linear_local(LINEAR_ARGUMENTS)
{
    __local float xs[LOCAL_K][33], ws[LOCAL_K][32];
    const int r = (int)get_local_id(0), c = (int)get_local_id(1), item = c * 8 + r;
    const int row = (int)get_group_id(0) * 32, panel = (int)get_group_id(1);
    float sums[4][4];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            sums[i][j] = 0.0f;
    x += x_at;
    w += w_at + (ulong)panel * inputs * 32;
    for (int k = 0; k < inputs; k += LOCAL_K) {
        for (int e = item; e < LOCAL_K * 32; e += 64) {
            const int xr = e / LOCAL_K, xk = e % LOCAL_K, wk = e / 32;
            xs[xk][xr] = row + xr < rows && k + xk < inputs ? load_act(x, (ulong)(row + xr) * stride + k + xk) : 0.0f;
            ws[wk][e % 32] = k + wk < inputs ? load_weight(w, (ulong)(k + wk) * 32 + e % 32) : 0.0f;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int q = 0; q < LOCAL_K; q++)
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++)
                    sums[i][j] += xs[q][r + 8 * i] * ws[q][2 * c + (j & 1) + 16 * (j >> 1)];
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    bias += bias_at;
    channel += channel_at;
    residual += residual_at;
    y += y_at;
    for (int i = 0; i < 4; i++) {
        const int m = row + r + 8 * i;
        const ulong at = (ulong)m * columns;
        if (m >= rows)
            continue;
#if GATED
        for (int j = 0; j < 2; j++) {
            const int n = panel * 16 + 2 * c + j;
            if (n < columns) {
                const float value = sums[i][j] + (BIAS ? bias[n] : 0.0f);
                const float gate = sums[i][j + 2] + (BIAS ? bias[columns + n] : 0.0f);
                store_act(value * gelu(gate) + (RESIDUAL ? load_act(residual, at + n) : 0.0f), y, at + n);
            }
        }
#else
        for (int j = 0; j < 4; j++) {
            const int n = panel * 32 + 2 * c + (j & 1) + 16 * (j >> 1);
            if (n < columns)
                finish1(sums[i][j], bias, channel + (ulong)(m / rows_per_channel) * columns, residual, y, at, n);
        }
#endif
    }
}
