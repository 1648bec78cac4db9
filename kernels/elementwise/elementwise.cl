/* y = constant + Σ c_i x_i, clamped; and blends. Bound by memory. The sum runs in slot order. */
#ifndef OUT
#define OUT ACT
#endif
#ifndef CHUNK
#define CHUNK 1
#endif

#if OUT == TYPE_F32
typedef float out_type;
#define store_out(v, p, i) ((p)[i] = (v))
#define store_out16(v, p, i) vstore16(v, 0, (p) + (i))
#elif OUT == TYPE_F16
typedef half out_type;
#define store_out(v, p, i) vstore_half_rte(v, 0, (p) + (i))
#define store_out16(v, p, i) vstore_half16_rte(v, 0, (p) + (i))
#else
typedef ushort out_type;
#define store_out(v, p, i) bf16_store(v, p, i)
#define store_out16(v, p, i) bf16_store16(v, p, i)
#endif

#define COMBINE_ARGUMENTS                                                                                              \
    int inputs, __global const act *x0, ulong a0, __global const act *x1, ulong a1, __global const act *x2, ulong a2,  \
        __global const act *x3, ulong a3, __global const act *x4, ulong a4, __global const act *x5, ulong a5,          \
        __global const act *x6, ulong a6, __global const act *x7, ulong a7, __global out_type *y, ulong y_at,          \
        float c0, float c1, float c2, float c3, float c4, float c5, float c6, float c7, float constant_term,           \
        float limit, ulong count

#define SUM(load, vector)                                                                                              \
    vector sum = fma((vector)(c0), load(x0, a0 + i), (vector)(constant_term));                                         \
    if (inputs > 1)                                                                                                    \
        sum = fma((vector)(c1), load(x1, a1 + i), sum);                                                                \
    if (inputs > 2)                                                                                                    \
        sum = fma((vector)(c2), load(x2, a2 + i), sum);                                                                \
    if (inputs > 3)                                                                                                    \
        sum = fma((vector)(c3), load(x3, a3 + i), sum);                                                                \
    if (inputs > 4)                                                                                                    \
        sum = fma((vector)(c4), load(x4, a4 + i), sum);                                                                \
    if (inputs > 5)                                                                                                    \
        sum = fma((vector)(c5), load(x5, a5 + i), sum);                                                                \
    if (inputs > 6)                                                                                                    \
        sum = fma((vector)(c6), load(x6, a6 + i), sum);                                                                \
    if (inputs > 7)                                                                                                    \
        sum = fma((vector)(c7), load(x7, a7 + i), sum);                                                                \
    if (limit > 0) /* written so that a NaN stays */                                                                   \
        sum = select(select(sum, (vector)(limit), isgreater(sum, (vector)(limit))), (vector)(-limit),                  \
                     isless(sum, (vector)(-limit)))

__kernel __attribute__((reqd_work_group_size(64, 1, 1))) void combine_element(COMBINE_ARGUMENTS)
{
    const ulong i = get_global_id(0);
    if (i < count) {
        SUM(load_act, float);
        store_out(sum, y, y_at + i);
    }
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void combine_vector16(COMBINE_ARGUMENTS)
{
    ulong i = get_global_id(0) * (ulong)CHUNK;
    const ulong end = min(i + CHUNK, count);
    for (; i + 16 <= end; i += 16) {
        SUM(load_act16, float16);
        store_out16(sum, y, y_at + i);
    }
    for (; i < end; i++) {
        SUM(load_act, float);
        store_out(sum, y, y_at + i);
    }
}

#define BLEND_ARGUMENTS                                                                                                \
    __global const act *a, ulong a_at, __global const act *b, ulong b_at, __global const act *mask, ulong mask_at,     \
        __global act *y, ulong y_at, int columns, ulong mask_rows, ulong count

/* Element i; its row of the mask comes around with every batch when the mask has one batch only. */
#define BLEND(i)                                                                                                       \
    const float m = load_act(mask, mask_at + (i) / columns % mask_rows);                                               \
    store_act(fma(m, load_act(b, b_at + (i)), (1.0f - m) * load_act(a, a_at + (i))), y, y_at + (i))

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void blend_chunk(BLEND_ARGUMENTS)
{
    const ulong begin = get_global_id(0) * (ulong)CHUNK, end = min(begin + CHUNK, count);
    for (ulong i = begin; i < end; i++) {
        BLEND(i);
    }
}

__kernel __attribute__((reqd_work_group_size(64, 1, 1))) void blend_element(BLEND_ARGUMENTS)
{
    const ulong i = get_global_id(0);
    if (i < count) {
        BLEND(i);
    }
}
