/* Nearest-neighbour resizing: pixels are copied as integers, whatever their type. Bound by memory. */
#if ACT == TYPE_F32
typedef uint raw;
#else
typedef ushort raw;
#endif

int nearest(int at, int from, int to, float scale)
{
    const int index = to == from ? at : to == 2 * from ? at / 2 : (int)floor((float)at * scale);
    return min(index, from - 1);
}

void copy_pixel(__global const raw *x, __global raw *y, int channels)
{
    int c = 0;
    for (; c + 16 <= channels; c += 16)
        vstore16(vload16(0, x + c), 0, y + c);
    for (; c < channels; c++)
        y[c] = x[c];
}

#define RESAMPLE_ARGUMENTS                                                                                             \
    __global const raw *x, ulong x_at, __global raw *y, ulong y_at, int height, int width, int channels, int stride,   \
        int out_height, int out_width, float scale_y, float scale_x

/* The first source pixel and the first result of the row of this work-item. */
#define RESAMPLE_ROW                                                                                                   \
    const ulong b = get_global_id(2), i = get_global_id(1);                                                            \
    __global const raw *from = x + x_at + (b * height + nearest(i, height, out_height, scale_y)) * width * stride;     \
    __global raw *to = y + y_at + (b * out_height + i) * out_width * channels

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void resample_row(RESAMPLE_ARGUMENTS)
{
    RESAMPLE_ROW;
    for (int j = 0; j < out_width; j++)
        copy_pixel(from + (ulong)nearest(j, width, out_width, scale_x) * stride, to + (ulong)j * channels, channels);
}

__kernel __attribute__((reqd_work_group_size(64, 1, 1))) void resample_number(RESAMPLE_ARGUMENTS)
{
    RESAMPLE_ROW;
    const int at = get_global_id(0), j = at / channels, c = at - j * channels;
    if (j < out_width)
        to[at] = from[(ulong)nearest(j, width, out_width, scale_x) * stride + c];
}
