/* Counts of non-finite numbers, least and greatest of the finite ones.

   chunk: a work-item reads CHUNK numbers, 16 at a time; one work-item then sums the parts.
   tree:  a group of GROUP work-items strides over its share, then folds in local memory; one group sums the parts.

   Integer sums, minima and maxima do not depend on their order, so results are the same for any grouping. */
#ifndef CHUNK
#define CHUNK 1
#endif
#ifndef GROUP
#define GROUP 1
#endif

/* Which numbers are finite, by their exponent bits, so that no compiler option can assume it away. */
#define FINITE(x, uint_type) ((as_##uint_type(x) & 0x7f800000u) != 0x7f800000u)

#define NOTHING_LEAST MAXFLOAT
#define NOTHING_GREATEST (-MAXFLOAT)

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
reduce_chunk_part(__global const act *x, ulong x_at, __global int *bad, ulong bad_at, __global float *range,
                  ulong range_at, ulong count)
{
    const ulong part = get_global_id(0), end = min(part * CHUNK + CHUNK, count);
    ulong i = part * CHUNK;
    int16 found16 = (int16)(0);
    float16 low16 = (float16)(NOTHING_LEAST), high16 = (float16)(NOTHING_GREATEST);
    for (; i + 16 <= end; i += 16) {
        const float16 v = load_act16(x, x_at + i);
        const int16 finite = FINITE(v, uint16);
        found16 += 1 + finite;
        low16 = select(low16, min(low16, v), finite);
        high16 = select(high16, max(high16, v), finite);
    }
    float lows[16], highs[16];
    int founds[16];
    vstore16(low16, 0, lows);
    vstore16(high16, 0, highs);
    vstore16(found16, 0, founds);
    float low = NOTHING_LEAST, high = NOTHING_GREATEST;
    int found = 0;
    for (int lane = 0; lane < 16; lane++) {
        low = min(low, lows[lane]);
        high = max(high, highs[lane]);
        found += founds[lane];
    }
    for (; i < end; i++) {
        const float v = load_act(x, x_at + i);
        if (FINITE(v, uint)) {
            low = min(low, v);
            high = max(high, v);
        } else
            found++;
    }
    bad[bad_at + part] = found;
    range[range_at + 2 * part] = low;
    range[range_at + 2 * part + 1] = high;
}

void write_sum(__global float *y, uint found, float low, float high, ulong count)
{
    const bool none = found == count;
    y[0] = (float)found;
    y[1] = none ? 0.0f : low;
    y[2] = none ? 0.0f : high;
    y[3] = (float)count;
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
reduce_chunk_sum(__global const int *bad, ulong bad_at, __global const float *range, ulong range_at, __global float *y,
                 ulong y_at, ulong parts, ulong count)
{
    float low = NOTHING_LEAST, high = NOTHING_GREATEST;
    uint found = 0;
    for (ulong part = 0; part < parts; part++) {
        found += bad[bad_at + part];
        low = min(low, range[range_at + 2 * part]);
        high = max(high, range[range_at + 2 * part + 1]);
    }
    write_sum(y + y_at, found, low, high, count);
}

/* Folds every work-item's numbers into those of work-item 0. */
#define FOLD                                                                                                           \
    const int lane = get_local_id(0);                                                                                  \
    founds[lane] = found;                                                                                              \
    lows[lane] = low;                                                                                                  \
    highs[lane] = high;                                                                                                \
    for (int step = GROUP / 2; step > 0; step /= 2) {                                                                  \
        barrier(CLK_LOCAL_MEM_FENCE);                                                                                  \
        if (lane < step) {                                                                                             \
            founds[lane] += founds[lane + step];                                                                       \
            lows[lane] = min(lows[lane], lows[lane + step]);                                                           \
            highs[lane] = max(highs[lane], highs[lane + step]);                                                        \
        }                                                                                                              \
    }

__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void
reduce_tree_part(__global const act *x, ulong x_at, __global int *bad, ulong bad_at, __global float *range,
                 ulong range_at, ulong count)
{
    __local int founds[GROUP];
    __local float lows[GROUP], highs[GROUP];
    float low = NOTHING_LEAST, high = NOTHING_GREATEST;
    int found = 0;
    for (ulong i = get_global_id(0); i < count; i += get_global_size(0)) {
        const float v = load_act(x, x_at + i);
        if (FINITE(v, uint)) {
            low = min(low, v);
            high = max(high, v);
        } else
            found++;
    }
    FOLD
    if (lane == 0) {
        const ulong part = get_group_id(0);
        bad[bad_at + part] = founds[0];
        range[range_at + 2 * part] = lows[0];
        range[range_at + 2 * part + 1] = highs[0];
    }
}

__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void
reduce_tree_sum(__global const int *bad, ulong bad_at, __global const float *range, ulong range_at, __global float *y,
                ulong y_at, ulong parts, ulong count)
{
    __local int founds[GROUP];
    __local float lows[GROUP], highs[GROUP];
    float low = NOTHING_LEAST, high = NOTHING_GREATEST;
    int found = 0;
    for (ulong part = get_local_id(0); part < parts; part += GROUP) {
        found += bad[bad_at + part];
        low = min(low, range[range_at + 2 * part]);
        high = max(high, range[range_at + 2 * part + 1]);
    }
    FOLD
    if (lane == 0)
        write_sum(y + y_at, founds[0], lows[0], highs[0], count);
}
