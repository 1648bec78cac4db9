/* Resizing: a thread makes one number. Bound by memory. Nearest copies it as an integer, whatever its type. Bilinear takes
   three steps from one number towards another, a + t (b − a), so that equal numbers stay what they are. */
#if ACT == TYPE_F32
typedef uint raw;
#else
typedef ushort raw;
#endif

INLINE int nearest(int at, int from, int to, float scale)
{
    const int index = to == from ? at : to == 2 * from ? at / 2 : (int)floorf((float)at * scale);
    return min(index, from - 1);
}

KERNEL(64) resample_number(const raw *x, ulong x_at, raw *y, ulong y_at, int height, int width, int channels,
                           int stride, int out_height, int out_width, float scale_y, float scale_x)
{
    const ulong b = global_id(z);
    const int i = (int)global_id(y), at = (int)global_id(x), j = at / channels, c = at - j * channels;
    if (j >= out_width)
        return;
    const ulong row = b * height + nearest(i, height, out_height, scale_y);
    y[y_at + (b * out_height + i) * out_width * channels + at] =
        x[x_at + (row * width + nearest(j, width, out_width, scale_x)) * stride + c];
}

/* The two source rows or columns of the result's row or column `at`, and the second one's share. */
INLINE void between(int at, int from, float scale, int *first, int *second, float *share)
{
    const float p = fmaxf(fmaf(scale, (float)at + 0.5f, -0.5f), 0.0f);
    *first = min((int)p, from - 1);
    *second = min(*first + 1, from - 1);
    *share = p - (float)*first;
}

INLINE float towards(float a, float b, float share)
{
    return fmaf(share, b - a, a);
}

KERNEL(64) bilinear_number(const act *x, ulong x_at, act *y, ulong y_at, int height, int width, int channels,
                           int stride, int out_height, int out_width, float scale_y, float scale_x)
{
    const ulong batch = global_id(z);
    const int i = (int)global_id(y), at = (int)global_id(x), j = at / channels, c = at - j * channels;
    int above, below, left, right;
    float down, along;
    if (j >= out_width)
        return;
    between(i, height, scale_y, &above, &below, &down);
    between(j, width, scale_x, &left, &right, &along);
    const act *upper = x + x_at + (batch * height + above) * width * stride + c;
    const act *lower = x + x_at + (batch * height + below) * width * stride + c;
    const ulong from = (ulong)left * stride, next = (ulong)right * stride;
    const float top = towards(load_act(upper, from), load_act(upper, next), along);
    const float bottom = towards(load_act(lower, from), load_act(lower, next), along);
    store_act(towards(top, bottom, down), y, y_at + (batch * out_height + i) * out_width * channels + at);
}
