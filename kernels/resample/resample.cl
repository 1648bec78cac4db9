/* One output pixel a work-item: C consecutive elements are copied. Bound by memory. */
inline int source_index(int i, int from, int to)
{
    return min((int)floor((float)i * ((float)from / (float)to)), from - 1);
}

__kernel void resample_pixel(__global const act *x, ulong x_at, __global act *y, ulong y_at, int height, int width,
                             int channels)
{
    const int j = (int)get_global_id(0), i = (int)get_global_id(1);
    const int w = (int)get_global_size(0), h = (int)get_global_size(1);
    const ulong b = get_global_id(2);
    x += x_at + ((b * height + source_index(i, height, h)) * width + source_index(j, width, w)) * channels;
    y += y_at + ((b * h + i) * w + j) * channels;
    int c = 0;
    for (; c + 16 <= channels; c += 16)
        store_act16(load_act16(x, c), y, c);
    for (; c < channels; c++)
        y[c] = x[c];
}
