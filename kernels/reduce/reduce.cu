/* Counts of non-finite numbers, least and greatest of the finite ones: a block of GROUP threads strides over its share,
   then folds in shared memory; one block sums the parts. Integer sums, minima and maxima do not depend on their order. */
#ifndef GROUP
#define GROUP 256
#endif
#define MOST 3.402823466e38f

/* By its exponent bits, so that no compiler option can assume it away. */
INLINE bool is_finite(float x)
{
    return (float_to_bits(x) & 0x7f800000u) != 0x7f800000u;
}

/* Folds every thread's numbers into those of thread 0, which is then told so. */
INLINE void fold(SHARED_POINTER(int) founds, SHARED_POINTER(float) lows, SHARED_POINTER(float) highs, int *found,
                 float *low, float *high)
{
    const int lane = threadIdx.x;
    founds[lane] = *found;
    lows[lane] = *low;
    highs[lane] = *high;
    for (int step = GROUP / 2; step > 0; step /= 2) {
        __syncthreads();
        if (lane < step) {
            founds[lane] = founds[lane] + founds[lane + step];
            lows[lane] = fminf(lows[lane], lows[lane + step]);
            highs[lane] = fmaxf(highs[lane], highs[lane + step]);
        }
    }
    *found = founds[lane];
    *low = lows[lane];
    *high = highs[lane];
}

KERNEL(GROUP) reduce_tree_part(const act *x, ulong x_at, int *bad, ulong bad_at, float *range, ulong range_at,
                               ulong count)
{
    SHARED(int, founds, [GROUP]);
    SHARED(float, lows, [GROUP]);
    SHARED(float, highs, [GROUP]);
    float low = MOST, high = -MOST;
    int found = 0;
    for (ulong i = global_id(x); i < count; i += (ulong)gridDim.x * GROUP) {
        const float v = load_act(x, x_at + i);
        if (is_finite(v)) {
            low = fminf(low, v);
            high = fmaxf(high, v);
        } else
            found++;
    }
    fold(founds, lows, highs, &found, &low, &high);
    if (threadIdx.x == 0) {
        bad[bad_at + blockIdx.x] = found;
        range[range_at + 2 * blockIdx.x] = low;
        range[range_at + 2 * blockIdx.x + 1] = high;
    }
}

KERNEL(GROUP) reduce_tree_sum(const int *bad, ulong bad_at, const float *range, ulong range_at, float *y, ulong y_at,
                              ulong parts, ulong count)
{
    SHARED(int, founds, [GROUP]);
    SHARED(float, lows, [GROUP]);
    SHARED(float, highs, [GROUP]);
    float low = MOST, high = -MOST;
    int found = 0;
    for (ulong part = threadIdx.x; part < parts; part += GROUP) {
        found += bad[bad_at + part];
        low = fminf(low, range[range_at + 2 * part]);
        high = fmaxf(high, range[range_at + 2 * part + 1]);
    }
    fold(founds, lows, highs, &found, &low, &high);
    if (threadIdx.x == 0) {
        const bool none = (uint)found == count;
        y[y_at] = (float)(uint)found;
        y[y_at + 1] = none ? 0.0f : low;
        y[y_at + 2] = none ? 0.0f : high;
        y[y_at + 3] = (float)count;
    }
}
