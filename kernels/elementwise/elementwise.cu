/* y = constant + Σ c_i x_i, clamped; and blends: a thread a number. Bound by memory. The sum runs in slot order. */
#ifndef OUT
#define OUT ACT
#endif
#if OUT == TYPE_F32
typedef float out_type;
#define to_out(v) (v)
#elif OUT == TYPE_F16
typedef ushort out_type;
#define to_out(v) to_f16(v)
#else
typedef ushort out_type;
#define to_out(v) to_bf16(v)
#endif

KERNEL(256) combine_element(int inputs, const act *x0, ulong a0, const act *x1, ulong a1, const act *x2, ulong a2,
                            const act *x3, ulong a3, const act *x4, ulong a4, const act *x5, ulong a5, const act *x6,
                            ulong a6, const act *x7, ulong a7, out_type *y, ulong y_at, float c0, float c1, float c2,
                            float c3, float c4, float c5, float c6, float c7, float constant_term, float limit,
                            ulong count)
{
    const ulong i = global_id(x);
    if (i >= count)
        return;
    float sum = fmaf(c0, load_act(x0, a0 + i), constant_term);
    if (inputs > 1)
        sum = fmaf(c1, load_act(x1, a1 + i), sum);
    if (inputs > 2)
        sum = fmaf(c2, load_act(x2, a2 + i), sum);
    if (inputs > 3)
        sum = fmaf(c3, load_act(x3, a3 + i), sum);
    if (inputs > 4)
        sum = fmaf(c4, load_act(x4, a4 + i), sum);
    if (inputs > 5)
        sum = fmaf(c5, load_act(x5, a5 + i), sum);
    if (inputs > 6)
        sum = fmaf(c6, load_act(x6, a6 + i), sum);
    if (inputs > 7)
        sum = fmaf(c7, load_act(x7, a7 + i), sum);
    if (limit > 0) /* written so that a NaN stays */
        sum = sum > limit ? limit : sum < -limit ? -limit : sum;
    y[y_at + i] = to_out(sum);
}

/* Element i; its row of the mask comes around with every batch when the mask has one batch only. */
KERNEL(256) blend_element(const act *a, ulong a_at, const act *b, ulong b_at, const act *mask, ulong mask_at, act *y,
                          ulong y_at, int columns, ulong mask_rows, ulong count)
{
    const ulong i = global_id(x);
    if (i >= count)
        return;
    const float m = load_act(mask, mask_at + i / columns % mask_rows);
    store_act(fmaf(m, load_act(b, b_at + i), (1.0f - m) * load_act(a, a_at + i)), y, y_at + i);
}
