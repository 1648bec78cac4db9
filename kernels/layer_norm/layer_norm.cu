/* A warp a row, ROWS rows a block. Bound by memory.

   layer_norm_eights   a lane keeps EIGHTS_OF_LANE eights of a row's numbers in registers: x is read once, 16 bytes at a time
   layer_norm_rows     any width: x is read once from memory, and found in L1 by the passes for the variance and the result */
#ifndef ROWS
#define ROWS 8
#endif

#ifdef EIGHTS_OF_LANE
KERNEL(32 * ROWS) layer_norm_eights(const act *x, ulong x_at, const float *gamma, ulong gamma_at, const float *beta,
                                    ulong beta_at, act *y, ulong y_at, int rows, int width, float eps)
{
    const int lane = threadIdx.x % 32, row = blockIdx.x * ROWS + threadIdx.x / 32;
    const act *from = x + x_at + (ulong)min(row, rows - 1) * width;
    act *to = y + y_at + (ulong)row * width;
    float v[EIGHTS_OF_LANE][8] = { { 0 } }, sum = 0.0f, spread = 0.0f;
    UNROLL
    for (int j = 0; j < EIGHTS_OF_LANE; j++) {
        const int c = (j * 32 + lane) * 8;
        if (c < width)
            load8(from + c, v[j]);
        UNROLL
        for (int i = 0; i < 8; i++)
            sum += v[j][i];
    }
    const float mean = sum_of_warp(sum) / (float)width;
    UNROLL
    for (int j = 0; j < EIGHTS_OF_LANE; j++)
        UNROLL
        for (int i = 0; i < 8; i++) {
            v[j][i] -= mean;
            if ((j * 32 + lane) * 8 < width)
                spread = fmaf(v[j][i], v[j][i], spread);
        }
    const float rstd = 1.0f / sqrtf(sum_of_warp(spread) / (float)width + eps);
    UNROLL
    for (int j = 0; j < EIGHTS_OF_LANE; j++) {
        const int c = (j * 32 + lane) * 8;
        if (c < width && row < rows) {
            float g[8], b[8];
            load8_floats(gamma + gamma_at + c, g);
            load8_floats(beta + beta_at + c, b);
            UNROLL
            for (int i = 0; i < 8; i++)
                v[j][i] = fmaf(v[j][i] * rstd, g[i], b[i]);
            store8(v[j], to + c);
        }
    }
}
#endif

KERNEL(32 * ROWS) layer_norm_rows(const act *x, ulong x_at, const float *gamma, ulong gamma_at, const float *beta,
                                  ulong beta_at, act *y, ulong y_at, int rows, int width, float eps)
{
    const int lane = threadIdx.x % 32, row = blockIdx.x * ROWS + threadIdx.x / 32;
    const act *from = x + x_at + (ulong)min(row, rows - 1) * width;
    act *to = y + y_at + (ulong)row * width;
    float sum = 0.0f, spread = 0.0f;
    for (int c = lane; c < width; c += 32)
        sum += load_act(from, c);
    const float mean = sum_of_warp(sum) / (float)width;
    for (int c = lane; c < width; c += 32) {
        const float d = load_act(from, c) - mean;
        spread = fmaf(d, d, spread);
    }
    const float rstd = 1.0f / sqrtf(sum_of_warp(spread) / (float)width + eps);
    for (int c = lane; c < width && row < rows; c += 32)
        store_act(fmaf((load_act(from, c) - mean) * rstd, gamma[gamma_at + c], beta[beta_at + c]), to, c);
}
