/* Group norm in three kernels; x is read twice from memory and once more from the cache, y is written once.

   Bound by memory: 25 ms for 13 × 10.5 MB in and out on four Zen 4 cores, 11 GB/s of the copy's 54; the second look at a
   chunk and SiLU's exponential are what keeps it from more.

   partial  a chunk of pixels: each channel's mean and M2 = Σ (x − mean)², the second from the cache
   combine  a group: its channels' and chunks' pairs, merged in order (Chan et al. 1979), then per channel the factors
            a = γ · rstd and b = β − mean · a
   apply    y = act(a · x + b)

   Partials are [B][chunks][2][C], factors [B][2][C]. Never E[x²] − E[x]²: in f32 it loses the variance at VAE sizes. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void group_norm_partial(__global const act *x, ulong x_at, __global float *partial, ulong partial_at,
                                 int pixels, int width, int chunk)
{
    const int index = (int)get_global_id(0), begin = index * chunk, count = min(chunk, pixels - begin);
    const float share = 1.0f / (float)count;
    x += x_at + ((ulong)get_global_id(1) * pixels + begin) * width;
    partial += partial_at + ((ulong)get_global_id(1) * get_global_size(0) + index) * 2 * width;
    int c = 0;
    for (; c + 16 <= width; c += 16) {
        float16 mean = (float16)(0), spread = (float16)(0);
        for (int i = 0; i < count; i++)
            mean += load_act16(x, (ulong)i * width + c);
        mean *= share;
        for (int i = 0; i < count; i++) {
            const float16 d = load_act16(x, (ulong)i * width + c) - mean;
            spread += d * d;
        }
        vstore16(mean, 0, partial + c);
        vstore16(spread, 0, partial + width + c);
    }
    for (; c < width; c++) {
        float mean = 0, spread = 0;
        for (int i = 0; i < count; i++)
            mean += load_act(x, (ulong)i * width + c);
        mean *= share;
        for (int i = 0; i < count; i++) {
            const float d = load_act(x, (ulong)i * width + c) - mean;
            spread += d * d;
        }
        partial[c] = mean;
        partial[width + c] = spread;
    }
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void group_norm_combine(__global const float *partial, ulong partial_at, __global const float *gamma,
                                 ulong gamma_at, __global const float *beta, ulong beta_at, __global float *affine,
                                 ulong affine_at, int pixels, int width, int chunk, int chunks, float eps)
{
    const int size = width / (int)get_global_size(0), first = (int)get_global_id(0) * size;
    float mean = 0, spread = 0, count = 0;
    partial += partial_at + (ulong)get_global_id(1) * chunks * 2 * width;
    affine += affine_at + (ulong)get_global_id(1) * 2 * width;
    for (int k = 0; k < chunks; k++) {
        /* The chunk's channels have equal counts: their mean is the plain one, their spread adds the means' own. */
        const float each = (float)min(chunk, pixels - k * chunk), more = each * (float)size;
        __global const float *row = partial + (ulong)k * 2 * width + first;
        float chunk_mean = 0, chunk_spread = 0, between = 0;
        for (int c = 0; c < size; c++) {
            chunk_mean += row[c];
            chunk_spread += row[width + c];
        }
        chunk_mean /= (float)size;
        for (int c = 0; c < size; c++) {
            const float d = row[c] - chunk_mean;
            between += d * d;
        }
        chunk_spread += between * each;
        const float delta = chunk_mean - mean, total = count + more;
        mean += delta * (more / total);
        spread += chunk_spread + delta * delta * (count * (more / total));
        count = total;
    }
    const float rstd = 1.0f / sqrt(spread / count + eps);
    for (int c = first; c < first + size; c++) {
        const float a = gamma[gamma_at + c] * rstd;
        affine[c] = a;
        affine[width + c] = beta[beta_at + c] - mean * a;
    }
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void group_norm_apply(__global const act *x, ulong x_at, __global const float *affine, ulong affine_at,
                               __global act *y, ulong y_at, int pixels, int width, int chunk)
{
    const int begin = (int)get_global_id(0) * chunk, count = min(chunk, pixels - begin);
    const ulong at = ((ulong)get_global_id(1) * pixels + begin) * width;
    affine += affine_at + (ulong)get_global_id(1) * 2 * width;
    x += x_at + at;
    y += y_at + at;
    for (int i = 0; i < count; i++) {
        const ulong row = (ulong)i * width;
        int c = 0;
        for (; c + 16 <= width; c += 16)
            store_act16(apply_activation16(fma(load_act16(x, row + c), vload16(0, affine + c),
                                               vload16(0, affine + width + c))), y, row + c);
        for (; c < width; c++)
            store_act(apply_activation(fma(load_act(x, row + c), affine[c], affine[width + c])), y, row + c);
    }
}

/* For GPUs: 64 work-items hold the (count, mean, M2) of a stride of one group's numbers each, twice over the same memory,
   and merge them in a fixed tree in local memory. */
__kernel __attribute__((reqd_work_group_size(64, 1, 1))) void
group_norm_statistics(__global const act *x, ulong x_at, __global const float *gamma, ulong gamma_at,
                      __global const float *beta, ulong beta_at, __global float *affine, ulong affine_at, int pixels,
                      int width, int size, float eps)
{
    __local float counts[64], means[64], spreads[64];
    const int item = (int)get_local_id(0), first = (int)get_group_id(0) * size;
    const ulong total = (ulong)pixels * size;
    float sum = 0.0f, count = 0.0f, spread = 0.0f;
    x += x_at + (ulong)get_global_id(1) * pixels * width + first;
    affine += affine_at + (ulong)get_global_id(1) * 2 * width;
    for (ulong e = item; e < total; e += 64) {
        sum += load_act(x, e / size * width + e % size);
        count += 1.0f;
    }
    const float mean = count > 0.0f ? sum / count : 0.0f;
    for (ulong e = item; e < total; e += 64) {
        const float d = load_act(x, e / size * width + e % size) - mean;
        spread += d * d;
    }
    counts[item] = count;
    means[item] = mean;
    spreads[item] = spread;
    for (int half_way = 32; half_way > 0; half_way /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (item < half_way) {
            const float other = counts[item + half_way], both = counts[item] + other;
            const float delta = means[item + half_way] - means[item], share = both > 0.0f ? other / both : 0.0f;
            spreads[item] += spreads[item + half_way] + delta * delta * counts[item] * share;
            means[item] += delta * share;
            counts[item] = both;
        }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    const float rstd = 1.0f / sqrt(spreads[0] / counts[0] + eps);
    for (int c = first + item; c < first + size; c += 64) {
        const float a = gamma[gamma_at + c] * rstd;
        affine[c] = a;
        affine[width + c] = beta[beta_at + c] - means[0] * a;
    }
}

__kernel __attribute__((reqd_work_group_size(64, 1, 1))) void
group_norm_element(__global const act *x, ulong x_at, __global const float *affine, ulong affine_at, __global act *y,
                   ulong y_at, int width, ulong count)
{
    const ulong i = get_global_id(0), at = (ulong)get_global_id(1) * count + i;
    const int c = (int)(i % width);
    affine += affine_at + (ulong)get_global_id(1) * 2 * width;
    if (i < count)
        store_act(apply_activation(load_act(x, x_at + at) * affine[c] + affine[width + c]), y, y_at + at);
}
