/* Group norm in three kernels; x is read twice from memory (the second time mostly from L2), y is written once.

   partial  a block takes a chunk of pixels, a thread a channel: mean and M2 = Σ (x − mean)², so that statistics are
            spread over many blocks and every read is coalesced
   combine  a warp a group: the pairs of its channels and chunks, merged lane by lane and then across lanes in a fixed
            order (Chan et al. 1979), then per channel the factors a = γ · rstd and b = β − mean · a
   apply    y = act(a · x + b), a thread a number

   Partials are [B][chunks][2][C], factors [B][2][C]. Never E[x²] − E[x]²: in f32 it loses the variance at VAE sizes. */
KERNEL(256) group_norm_partial(const act *x, ulong x_at, float *partial, ulong partial_at, int pixels, int width,
                               int chunk)
{
    const int begin = blockIdx.x * chunk, count = min(chunk, pixels - begin);
    const float share = 1.0f / (float)count;
    x += x_at + ((ulong)blockIdx.y * pixels + begin) * width;
    partial += partial_at + ((ulong)blockIdx.y * gridDim.x + blockIdx.x) * 2 * width;
    for (int c = threadIdx.x; c < width; c += 256) {
        float mean = 0.0f, spread = 0.0f;
        for (int i = 0; i < count; i++)
            mean += load_act(x, (ulong)i * width + c);
        mean *= share;
        for (int i = 0; i < count; i++) {
            const float d = load_act(x, (ulong)i * width + c) - mean;
            spread = fmaf(d, d, spread);
        }
        partial[c] = mean;
        partial[width + c] = spread;
    }
}

/* Adds (more, its mean, its M2) to (count, mean, M2). */
INLINE void merge(float *count, float *mean, float *spread, float more, float more_mean, float more_spread)
{
    const float total = *count + more, share = total > 0.0f ? more / total : 0.0f, delta = more_mean - *mean;
    *mean = fmaf(delta, share, *mean);
    *spread += more_spread + delta * delta * *count * share;
    *count = total;
}

KERNEL(32) group_norm_combine(const float *partial, ulong partial_at, const float *gamma, ulong gamma_at,
                              const float *beta, ulong beta_at, float *affine, ulong affine_at, int pixels, int width,
                              int chunk, int chunks, int size, float eps)
{
    const int lane = threadIdx.x, first = blockIdx.x * size;
    float count = 0.0f, mean = 0.0f, spread = 0.0f;
    partial += partial_at + (ulong)blockIdx.y * chunks * 2 * width + first;
    affine += affine_at + (ulong)blockIdx.y * 2 * width;
    for (int i = lane; i < chunks * size; i += 32) {
        const int k = i / size, c = i % size;
        const float *row = partial + (ulong)k * 2 * width;
        merge(&count, &mean, &spread, (float)min(chunk, pixels - k * chunk), row[c], row[width + c]);
    }
    for (int mask = 1; mask < 32; mask *= 2) { /* the lower lane's first, on both sides: all lanes get the same */
        const float other_count = shuffle_xor(count, mask), other_mean = shuffle_xor(mean, mask);
        const float other_spread = shuffle_xor(spread, mask);
        if (lane & mask) {
            float c = other_count, m = other_mean, s = other_spread;
            merge(&c, &m, &s, count, mean, spread);
            count = c;
            mean = m;
            spread = s;
        } else
            merge(&count, &mean, &spread, other_count, other_mean, other_spread);
    }
    const float rstd = 1.0f / sqrtf(spread / count + eps);
    for (int c = first + lane; c < first + size; c += 32) {
        const float a = gamma[gamma_at + c] * rstd;
        affine[c] = a;
        affine[width + c] = beta[beta_at + c] - mean * a;
    }
}

KERNEL(256) group_norm_element(const act *x, ulong x_at, const float *affine, ulong affine_at, act *y, ulong y_at,
                               int width, ulong count)
{
    const ulong i = global_id(x), at = (ulong)blockIdx.y * count + i;
    const int c = (int)(i % width);
    affine += affine_at + (ulong)blockIdx.y * 2 * width;
    if (i < count)
        store_act(apply_activation(fmaf(load_act(x, x_at + at), affine[c], affine[width + c])), y, y_at + at);
}
