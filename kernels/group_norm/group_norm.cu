/* Group norm. Bound by memory.

   group_norm_block: a block makes one group of one image by itself, a thread pairs of channels. STAGED: x is read once, and
   kept in shared memory; else three times, mostly from L2.

   Where images are large, three kernels; x is read three times (the second and third mostly from L2), y is written once:

   partial  a block takes a chunk of pixels, a thread a channel: mean and M2 = Σ (x − mean)², so that statistics are
            spread over many blocks and every read is coalesced
   combine  a warp a group: the pairs of its channels and chunks, merged lane by lane and then across lanes in a fixed
            order (Chan et al. 1979), then per channel the factors a = γ · rstd and b = β − mean · a
   apply    y = act(a · x + b), a thread eight numbers, or one

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

KERNEL(256) group_norm_eights(const act *x, ulong x_at, const float *affine, ulong affine_at, act *y, ulong y_at,
                              int width, ulong count)
{
    const uint i = (uint)global_id(x);
    const int c = (int)(i % (uint)(width / 8)) * 8;
    const ulong at = (ulong)blockIdx.y * count + (ulong)i * 8;
    affine += affine_at + (ulong)blockIdx.y * 2 * width;
    if ((ulong)i * 8 < count) {
        float v[8], a[8], b[8];
        load8(x + x_at + at, v);
        load8_floats(affine + c, a);
        load8_floats(affine + width + c, b);
        UNROLL
        for (int j = 0; j < 8; j++)
            v[j] = apply_activation(fmaf(a[j], v[j], b[j]));
        store8(v, y + y_at + at);
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

#ifdef STAGED
enum { THREADS = 1024, BATCH = 8 }; /* THREADS: as many warps as a warp has lanes */

/* The sum over the block, the same for all threads. */
INLINE float sum_of_block(float sum, SHARED_POINTER(float) sums)
{
    sum = sum_of_warp(sum);
    __syncthreads(); /* the sums of before have been read */
    if (threadIdx.x % 32 == 0)
        sums[threadIdx.x / 32] = sum;
    __syncthreads();
    return sum_of_warp(sums[threadIdx.x % 32]);
}

/* A thread's way over a group's pairs of channels, THREADS apart: pair e is channels 2 (e % halves) of pixel e / halves. */
typedef struct way {
    uint halves, pixels, rest; /* of a pixel; a step is `pixels` pixels and `rest` pairs */
    uint pixel, half;          /* where it is */
} way;

INLINE way begin_way(uint halves)
{
    const way w = { halves, THREADS / halves, THREADS % halves, threadIdx.x / halves, threadIdx.x % halves };
    return w;
}

/* The next step's pixel and channel. */
INLINE ulong next_pair(way *w, int width)
{
    const ulong at = (ulong)w->pixel * width + 2 * w->half;
    w->half += w->rest;
    w->pixel += w->pixels + (w->half >= w->halves);
    w->half -= w->half >= w->halves ? w->halves : 0;
    return at;
}

/* The pairs e, e + THREADS, … of BATCH, all on their way at once. */
INLINE void load_pairs(const act *x, way *w, int width, uint e, uint pairs, uint *two)
{
    UNROLL
    for (int i = 0; i < BATCH; i++) {
        const ulong at = next_pair(w, width);
        two[i] = e + i * THREADS < pairs ? *(const uint *)(x + at) : 0;
    }
}

KERNEL(THREADS) group_norm_block(const act *x, ulong x_at, const float *gamma, ulong gamma_at, const float *beta,
                                 ulong beta_at, act *y, ulong y_at, int pixels, int width, int size, float eps)
{
    DYNAMIC_SHARED(uint, kept);
    SHARED(float, sums, [THREADS / 32]);
    const uint pairs = (uint)pixels * (size / 2);
    const int first = blockIdx.x * size;
    const float share = 1.0f / ((float)pixels * (float)size);
    float sum = 0.0f, spread = 0.0f;
    uint two[BATCH];
    x += x_at + (ulong)blockIdx.y * pixels * width + first;
    y += y_at + (ulong)blockIdx.y * pixels * width + first;
    gamma += gamma_at + first;
    beta += beta_at + first;
    way w = begin_way(size / 2);
    for (uint e = threadIdx.x; e < pairs; e += BATCH * THREADS) {
        load_pairs(x, &w, width, e, pairs, two);
        UNROLL
        for (int i = 0; i < BATCH; i++) {
            if (STAGED && e + i * THREADS < pairs)
                kept[e + i * THREADS] = two[i];
            sum += from_act((ushort)two[i]) + from_act((ushort)(two[i] >> 16));
        }
    }
    const float mean = sum_of_block(sum, sums) * share;
    w = begin_way(size / 2);
    for (uint e = threadIdx.x; e < pairs; e += BATCH * THREADS) {
        if (!STAGED)
            load_pairs(x, &w, width, e, pairs, two);
        UNROLL
        for (int i = 0; i < BATCH; i++)
            if (e + i * THREADS < pairs) {
                if (STAGED)
                    two[i] = kept[e + i * THREADS];
                const float a = from_act((ushort)two[i]) - mean, b = from_act((ushort)(two[i] >> 16)) - mean;
                spread = fmaf(a, a, fmaf(b, b, spread));
            }
    }
    const float rstd = 1.0f / sqrtf(sum_of_block(spread, sums) * share + eps);
    w = begin_way(size / 2);
    way from = w;
    for (uint e = threadIdx.x; e < pairs; e += BATCH * THREADS) {
        if (!STAGED)
            load_pairs(x, &from, width, e, pairs, two);
        UNROLL
        for (int i = 0; i < BATCH; i++) {
            const uint c = 2 * w.half;
            const ulong at = next_pair(&w, width);
            if (e + i * THREADS < pairs) {
                if (STAGED)
                    two[i] = kept[e + i * THREADS];
                const float a = (from_act((ushort)two[i]) - mean) * rstd, b = (from_act((ushort)(two[i] >> 16)) - mean) * rstd;
                store_pair(apply_activation(fmaf(a, gamma[c], beta[c])),
                           apply_activation(fmaf(b, gamma[c + 1], beta[c + 1])), y + at);
            }
        }
    }
}
#endif
