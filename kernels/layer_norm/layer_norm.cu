/* A warp a row: read from memory once, and found in L1 by the passes for the variance and the result. Bound by memory. */
#ifndef ROWS
#define ROWS 8
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
    for (int mask = 16; mask; mask /= 2)
        sum += shuffle_xor(sum, mask);
    const float mean = sum / (float)width;
    for (int c = lane; c < width; c += 32) {
        const float d = load_act(from, c) - mean;
        spread = fmaf(d, d, spread);
    }
    for (int mask = 16; mask; mask /= 2)
        spread += shuffle_xor(spread, mask);
    const float rstd = 1.0f / sqrtf(spread / (float)width + eps);
    for (int c = lane; c < width && row < rows; c += 32)
        store_act(fmaf((load_act(from, c) - mean) * rstd, gamma[gamma_at + c], beta[beta_at + c]), to, c);
}
