/* Guidance rescale in three kernels; e is read twice from memory, c once (their second look is at the cache), y is
   written once. Bound by memory, and small: latents.

   part     a part of an item: its mean, from its first number on so that a constant's is exact, and M2 = Σ (x − mean)²
   factor   an item: its parts' pairs, merged in order (Chan et al. 1979), of both tensors; f = φ √(M2_c / M2_e) + 1 − φ
   chunk, element    y = e · f

   Partials are [B][parts][2]. Never E[x²] − E[x]²: it loses the deviation of numbers that are far from 0. */

/* CPUs: a work-item takes a part of `size` numbers, 16 at a time. */
float total16(float16 v)
{
    const float8 v8 = v.lo + v.hi;
    const float4 v4 = v8.lo + v8.hi;
    const float2 v2 = v4.lo + v4.hi;
    return v2.x + v2.y;
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
rescale_chunk_part(__global const act *x, ulong x_at, __global float *partial, ulong partial_at, ulong count, ulong size)
{
    const ulong part = get_global_id(0), begin = part * size, own = min(size, count - begin);
    float16 sum16 = (float16)(0), spread16 = (float16)(0);
    float sum = 0.0f, spread = 0.0f;
    ulong i = 0;
    x += x_at + get_global_id(1) * count + begin;
    partial += partial_at + (get_global_id(1) * get_global_size(0) + part) * 2;
    const float origin = load_act(x, 0);
    for (; i + 16 <= own; i += 16)
        sum16 += load_act16(x, i) - origin;
    for (; i < own; i++)
        sum += load_act(x, i) - origin;
    const float mean = origin + (total16(sum16) + sum) / (float)own;
    for (i = 0; i + 16 <= own; i += 16) {
        const float16 d = load_act16(x, i) - mean;
        spread16 = fma(d, d, spread16);
    }
    for (; i < own; i++) {
        const float d = load_act(x, i) - mean;
        spread = fma(d, d, spread);
    }
    partial[0] = mean;
    partial[1] = total16(spread16) + spread;
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
rescale_chunk(__global const act *e, ulong e_at, __global const float *factors, ulong factors_at, __global float *y,
              ulong y_at, ulong count, ulong size)
{
    const ulong end = min(get_global_id(0) * size + size, count);
    const float factor = factors[factors_at + get_global_id(1)];
    ulong i = get_global_id(0) * size;
    e += e_at + get_global_id(1) * count;
    y += y_at + get_global_id(1) * count;
    for (; i + 16 <= end; i += 16)
        vstore16(load_act16(e, i) * factor, 0, y + i);
    for (; i < end; i++)
        y[i] = load_act(e, i) * factor;
}

/* GPUs: 256 work-items take a part and sum it in a fixed tree in local memory. */
float fold(__local float *sums, float own)
{
    const int item = get_local_id(0);
    barrier(CLK_LOCAL_MEM_FENCE); /* the sum of before has been read */
    sums[item] = own;
    for (int step = 128; step > 0; step /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (item < step)
            sums[item] += sums[item + step];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    return sums[0];
}

__kernel __attribute__((reqd_work_group_size(256, 1, 1))) void
rescale_tree_part(__global const act *x, ulong x_at, __global float *partial, ulong partial_at, ulong count, ulong size)
{
    __local float sums[256];
    const ulong part = get_group_id(0), begin = part * size, own = min(size, count - begin), first = get_local_id(0);
    float sum = 0.0f, spread = 0.0f;
    x += x_at + get_global_id(1) * count + begin;
    const float origin = load_act(x, 0);
    for (ulong i = first; i < own; i += 256)
        sum += load_act(x, i) - origin;
    const float mean = origin + fold(sums, sum) / (float)own;
    for (ulong i = first; i < own; i += 256) {
        const float d = load_act(x, i) - mean;
        spread = fma(d, d, spread);
    }
    spread = fold(sums, spread);
    if (first == 0) {
        const ulong at = partial_at + (get_global_id(1) * get_num_groups(0) + part) * 2;
        partial[at] = mean;
        partial[at + 1] = spread;
    }
}

__kernel __attribute__((reqd_work_group_size(256, 1, 1))) void
rescale_element(__global const act *e, ulong e_at, __global const float *factors, ulong factors_at, __global float *y,
                ulong y_at, ulong count, ulong size)
{
    const ulong i = get_global_id(0), at = get_global_id(1) * count + i;
    if (i < count)
        y[y_at + at] = load_act(e, e_at + at) * factors[factors_at + get_global_id(1)];
}

/* An item's M2, of the pairs of its parts; all but the last have `size` numbers. */
float merge_parts(__global const float *pairs, int parts, ulong count, ulong size)
{
    float mean = pairs[0], spread = pairs[1];
    for (int k = 1; k < parts; k++) {
        const float before = (float)(k * size), more = (float)min(size, count - k * size);
        const float delta = pairs[2 * k] - mean, share = more / (before + more);
        mean = fma(delta, share, mean);
        spread += pairs[2 * k + 1] + delta * delta * before * share;
    }
    return spread;
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
rescale_factor(__global const float *guided, ulong guided_at, __global const float *conditional, ulong conditional_at,
               __global float *factors, ulong factors_at, ulong count, ulong size, int parts, float share, float rest)
{
    const ulong b = get_global_id(0), first = b * parts * 2;
    const float e = merge_parts(guided + guided_at + first, parts, count, size);
    const float c = merge_parts(conditional + conditional_at + first, parts, count, size);
    /* written so that a NaN stays */
    factors[factors_at + b] = e == 0.0f ? 1.0f : fma(share, sqrt(c) / sqrt(e), rest);
}
