/* Guidance rescale in three kernels; e is read twice from memory, c once (their second look is at the cache), y is
   written once. Bound by memory, and small: latents.

   part      a block takes a part of an item: its mean, from its first number on so that a constant's is exact, and
             M2 = Σ (x − mean)², in a fixed tree
   factor    an item: its parts' pairs, merged in order (Chan et al. 1979), of both tensors; f = φ √(M2_c / M2_e) + 1 − φ
   element   y = e · f, a thread a number

   Partials are [B][parts][2]. Never E[x²] − E[x]²: it loses the deviation of numbers that are far from 0. */
INLINE float fold(SHARED_POINTER(float) sums, float own)
{
    const int thread = threadIdx.x;
    __syncthreads(); /* the sum of before has been read */
    sums[thread] = own;
    for (int step = 128; step > 0; step /= 2) {
        __syncthreads();
        if (thread < step)
            sums[thread] = sums[thread] + sums[thread + step];
    }
    __syncthreads();
    return sums[0];
}

KERNEL(256) rescale_tree_part(const act *x, ulong x_at, float *partial, ulong partial_at, ulong count, ulong size)
{
    SHARED(float, sums, [256]);
    const ulong begin = blockIdx.x * size, own = size < count - begin ? size : count - begin;
    float sum = 0.0f, spread = 0.0f;
    x += x_at + blockIdx.y * count + begin;
    const float origin = load_act(x, 0);
    for (ulong i = threadIdx.x; i < own; i += 256)
        sum += load_act(x, i) - origin;
    const float mean = origin + fold(sums, sum) / (float)own;
    for (ulong i = threadIdx.x; i < own; i += 256) {
        const float d = load_act(x, i) - mean;
        spread = fmaf(d, d, spread);
    }
    spread = fold(sums, spread);
    if (threadIdx.x == 0) {
        const ulong at = partial_at + ((ulong)blockIdx.y * gridDim.x + blockIdx.x) * 2;
        partial[at] = mean;
        partial[at + 1] = spread;
    }
}

KERNEL(256) rescale_element(const act *e, ulong e_at, const float *factors, ulong factors_at, float *y, ulong y_at,
                            ulong count, ulong size)
{
    const ulong i = global_id(x), at = blockIdx.y * count + i;
    if (i < count)
        y[y_at + at] = load_act(e, e_at + at) * factors[factors_at + blockIdx.y];
}

/* An item's M2, of the pairs of its parts; all but the last have `size` numbers. */
INLINE float merge_parts(const float *pairs, int parts, ulong count, ulong size)
{
    float mean = pairs[0], spread = pairs[1];
    for (int k = 1; k < parts; k++) {
        const ulong left = count - k * size;
        const float before = (float)(k * size), more = (float)(size < left ? size : left);
        const float delta = pairs[2 * k] - mean, share = more / (before + more);
        mean = fmaf(delta, share, mean);
        spread += pairs[2 * k + 1] + delta * delta * before * share;
    }
    return spread;
}

KERNEL(1) rescale_factor(const float *guided, ulong guided_at, const float *conditional, ulong conditional_at,
                         float *factors, ulong factors_at, ulong count, ulong size, int parts, float share, float rest)
{
    const ulong b = blockIdx.x, first = b * parts * 2;
    const float e = merge_parts(guided + guided_at + first, parts, count, size);
    const float c = merge_parts(conditional + conditional_at + first, parts, count, size);
    /* written so that a NaN stays */
    factors[factors_at + b] = e == 0.0f ? 1.0f : fmaf(share, sqrtf(c) / sqrtf(e), rest);
}
