/* Nearest-neighbour resizing: a thread copies one number, as an integer whatever its type. Bound by memory. */
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
