/* Resizing, bound by memory. Nearest: pixels are copied as integers, whatever their type. Bilinear: three steps from one
   number towards another, a + t (b − a), so that equal numbers stay what they are. */
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

/* The two source rows or columns of the result's row or column `at`, and the second one's share. */
void between(int at, int from, float scale, int *first, int *second, float *share)
{
    const float p = fmax(fma(scale, (float)at + 0.5f, -0.5f), 0.0f);
    *first = min((int)p, from - 1);
    *second = min(*first + 1, from - 1);
    *share = p - (float)*first;
}

#define BILINEAR_ARGUMENTS                                                                                             \
    __global const act *x, ulong x_at, __global act *y, ulong y_at, int height, int width, int channels, int stride,   \
        int out_height, int out_width, float scale_y, float scale_x

/* The rows above and below of this work-item's row. */
#define BILINEAR_ROW                                                                                                   \
    const ulong batch = get_global_id(2), i = get_global_id(1);                                                        \
    int above, below, left, right;                                                                                     \
    float down, along;                                                                                                 \
    between((int)i, height, scale_y, &above, &below, &down);                                                           \
    __global const act *upper = x + x_at + (batch * height + above) * width * stride;                                  \
    __global const act *lower = x + x_at + (batch * height + below) * width * stride;                                  \
    __global act *to = y + y_at + (batch * out_height + i) * out_width * channels

#define TOWARDS(a, b, share) fma(share, (b) - (a), a)

/* One channel, or four, of the pixels at `left` and `right` of two rows. */
float blend_corners(__global const act *upper, __global const act *lower, ulong left, ulong right, float down,
                    float along)
{
    const float a = load_act(upper, left), b = load_act(lower, left);
    const float top = TOWARDS(a, load_act(upper, right), along), bottom = TOWARDS(b, load_act(lower, right), along);
    return TOWARDS(top, bottom, down);
}

float4 blend_corners4(__global const act *upper, __global const act *lower, ulong left, ulong right, float4 down,
                      float4 along)
{
    const float4 a = load_act4(upper, left), b = load_act4(lower, left);
    const float4 top = TOWARDS(a, load_act4(upper, right), along), bottom = TOWARDS(b, load_act4(lower, right), along);
    return TOWARDS(top, bottom, down);
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void bilinear_row(BILINEAR_ARGUMENTS)
{
    BILINEAR_ROW;
    for (int j = 0; j < out_width; j++) {
        between(j, width, scale_x, &left, &right, &along);
        const ulong from = (ulong)left * stride, next = (ulong)right * stride, at = (ulong)j * channels;
        int c = 0;
        for (; c + 4 <= channels; c += 4) /* latents have 4 or 16 */
            store_act4(blend_corners4(upper, lower, from + c, next + c, down, along), to, at + c);
        for (; c < channels; c++)
            store_act(blend_corners(upper, lower, from + c, next + c, down, along), to, at + c);
    }
}

__kernel __attribute__((reqd_work_group_size(64, 1, 1))) void bilinear_number(BILINEAR_ARGUMENTS)
{
    BILINEAR_ROW;
    const int at = get_global_id(0), j = at / channels, c = at - j * channels;
    if (j < out_width) {
        between(j, width, scale_x, &left, &right, &along);
        const ulong from = (ulong)left * stride + c, next = (ulong)right * stride + c;
        store_act(blend_corners(upper, lower, from, next, down, along), to, at);
    }
}
