/* Pictures of another size.

   Resampling is Pillow's (Image.resize on 8 bits; Resample.c there): one pass along x, one along y, the picture between
   them in 8 bits. An output pixel at centre c = begin + (i + ½)·scale is Σ w_j·v_j over the input pixels within the
   filter's support, which is widened by the scale when that is > 1; w_j = f((j + ½ − c) / max(scale, 1)), divided by
   their sum in double, rounded to 22 bits of fraction. Output pixels do not depend on each other, so a crop makes only
   those that it keeps: a 1 × 16384 picture that is to cover a square costs no more than the square.

   Filters: Lanczos, sinc(x)·sinc(x/3) for |x| < 3; and, for the borders that PAD continues, the cubic of Keys 1981 with
   a = −½, which is what Pillow takes for a box without height: half a pixel and one and a half from the edge. */
#include "picture.h"
#include "png.h"
#include "shim.h"

#include <math.h>
#include <string.h>

enum { FRACTION = 22 };

/* One axis: the output's pixels [first, first + count) of `size` that stand for the input's [begin, end). */
typedef struct axis {
    int input;      /* pixels of the input */
    int begin, end; /* of them stretched over the output */
    int size;       /* pixels of the output */
    int first, count;
    double support;
    double (*filter)(double x);
} axis;

/* For each output pixel: the first input pixel, how many, and their coefficients. */
typedef struct weights {
    int taps; /* room for each output pixel */
    int *from, *count;
    int32_t *values; /* [count, taps] */
} weights;

static double sinc(double x)
{
    static const double pi = 3.14159265358979323846;
    if (x == 0.0)
        return 1.0;
    x *= pi;
    return sin(x) / x;
}

static double lanczos(double x)
{
    return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

static double cubic(double x)
{
    x = fabs(x);
    if (x < 1.0)
        return (1.5 * x - 2.5) * x * x + 1;
    return x < 2.0 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0.0;
}

static void free_weights(weights *w)
{
    calo_free(w->from);
    calo_free(w->count);
    calo_free(w->values);
    *w = (weights){ 0 };
}

/* The coefficients of one output pixel, in double first. */
static void weigh(const axis *a, int i, double *exact, weights *w)
{
    const double scale = (double)(a->end - a->begin) / a->size, spread = scale < 1.0 ? 1.0 : scale;
    const double support = a->support * spread, centre = a->begin + (a->first + i + 0.5) * scale,
                 inverse = 1.0 / spread;
    int from = (int)(centre - support + 0.5), to = (int)(centre + support + 0.5);
    from = from < 0 ? 0 : from;
    to = to > a->input ? a->input : to;
    double sum = 0.0;
    for (int j = 0; j < to - from; j++) {
        exact[j] = a->filter((j + from - centre + 0.5) * inverse);
        sum += exact[j];
    }
    int32_t *values = w->values + (size_t)i * (size_t)w->taps;
    for (int j = 0; j < to - from; j++) {
        const double share = sum != 0.0 ? exact[j] / sum : exact[j];
        values[j] = (int32_t)(share * (1 << FRACTION) + (share < 0 ? -0.5 : 0.5));
    }
    w->from[i] = from;
    w->count[i] = to - from;
}

/* An axis that keeps its size is not filtered: each pixel is itself. */
static bool is_identity(const axis *a)
{
    return a->size == a->input && a->begin == 0 && a->end == a->input;
}

static calo_status make_weights(const axis *a, weights *w, calo_fault *fault)
{
    const double scale = (double)(a->end - a->begin) / a->size;
    const size_t count = (size_t)a->count;
    w->taps = is_identity(a) ? 1 : (int)ceil(a->support * (scale < 1.0 ? 1.0 : scale)) * 2 + 1; /* at most 98305 */
    w->from = calo_alloc(count, sizeof *w->from);
    w->count = calo_alloc(count, sizeof *w->count);
    w->values = calo_alloc(count * (size_t)w->taps, sizeof *w->values);
    double *exact = calo_alloc((size_t)w->taps, sizeof *exact);
    calo_status status = CALO_OK;
    if (!w->from || !w->count || !w->values || !exact)
        status = calo_fail(fault, CALO_EMEMORY, "no host memory to resize a picture to %d pixels", a->size);
    for (int i = 0; i < a->count && !status; i++) {
        if (is_identity(a)) {
            w->from[i] = a->first + i;
            w->count[i] = 1;
            w->values[i] = 1 << FRACTION;
        } else {
            weigh(a, i, exact, w);
        }
    }
    calo_free(exact);
    if (status)
        free_weights(w);
    return status;
}

/* The shares' absolute values add up to less than 2 for both filters, so that 255 of them fit 31 bits. */
static uint8_t clip(int32_t sum)
{
    sum >>= FRACTION;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* Along x: rows [row, row + to->height) of `from`, whose first column is the input's column `begin`. */
static void resample_x(const calo_picture *from, int row, int begin, const weights *w, calo_picture *to)
{
    const size_t channels = (size_t)from->channels;
    for (int y = 0; y < to->height; y++) {
        const uint8_t *line = from->pixels + (size_t)(row + y) * (size_t)from->width * channels;
        uint8_t *out = to->pixels + (size_t)y * (size_t)to->width * channels;
        for (int x = 0; x < to->width; x++) {
            const int32_t *values = w->values + (size_t)x * (size_t)w->taps;
            for (size_t c = 0; c < channels; c++) {
                const uint8_t *in = line + (size_t)(w->from[x] - begin) * channels + c;
                int32_t sum = 1 << (FRACTION - 1);
                for (int j = 0; j < w->count[x]; j++)
                    sum += in[(size_t)j * channels] * values[j];
                *out++ = clip(sum);
            }
        }
    }
}

/* Along y: columns [column, column + to->width) of `from`, whose first row is the input's row `begin`. `sums` has room
 * for a row. */
static void resample_y(const calo_picture *from, int column, int begin, const weights *w, int32_t *sums,
                       calo_picture *to)
{
    const size_t channels = (size_t)to->channels, row = (size_t)to->width * channels;
    for (int y = 0; y < to->height; y++) {
        const int32_t *values = w->values + (size_t)y * (size_t)w->taps;
        for (size_t x = 0; x < row; x++)
            sums[x] = 1 << (FRACTION - 1);
        for (int j = 0; j < w->count[y]; j++) {
            const size_t line = (size_t)(w->from[y] - begin + j) * (size_t)from->width + (size_t)column;
            const uint8_t *in = from->pixels + line * channels;
            for (size_t x = 0; x < row; x++)
                sums[x] += in[x] * values[j];
        }
        for (size_t x = 0; x < row; x++)
            to->pixels[(size_t)y * row + x] = clip(sums[x]);
    }
}

/* Which pass Pillow 13 makes first, for the second sees the first's rounding (measured: no exception in 4,000 sizes).
 * Earlier ones always began with x. */
static bool begins_with_y(const axis *x, const axis *y)
{
    return y->size < y->input && (int64_t)y->input - y->size > 2 * ((int64_t)x->input - x->size);
}

static calo_status resample(const calo_picture *from, const axis *x, const axis *y, calo_picture *to, calo_fault *fault)
{
    weights across = { 0 }, down = { 0 };
    calo_picture middle = { 0 };
    const int wider = from->width > x->count ? from->width : x->count;
    int32_t *sums = calo_alloc((size_t)wider * (size_t)from->channels, sizeof *sums);
    *to = (calo_picture){ 0 };
    calo_status status = sums ? CALO_OK : calo_fail(fault, CALO_EMEMORY, "no host memory to resize a picture");
    if (!status)
        status = make_weights(x, &across, fault);
    if (!status)
        status = make_weights(y, &down, fault);
    if (status)
        goto done;
    /* Of the input only these columns and rows are looked at; both grow from pixel to pixel. */
    const int left = across.from[0], right = across.from[x->count - 1] + across.count[x->count - 1];
    const int top = down.from[0], bottom = down.from[y->count - 1] + down.count[y->count - 1];
    const bool y_first = begins_with_y(x, y);
    status = calo_picture_make(y_first ? right - left : x->count, y_first ? y->count : bottom - top, from->channels,
                               &middle, fault);
    if (!status)
        status = calo_picture_make(x->count, y->count, from->channels, to, fault);
    if (status)
        goto done;
    if (y_first) {
        resample_y(from, left, 0, &down, sums, &middle);
        resample_x(&middle, 0, left, &across, to);
    } else {
        resample_x(from, top, 0, &across, &middle);
        resample_y(&middle, 0, top, &down, sums, to);
    }
done:
    calo_free(sums);
    calo_picture_free(&middle);
    free_weights(&across);
    free_weights(&down);
    return status;
}

static axis whole_axis(int input, int size)
{
    return (axis){ input, 0, input, size, 0, size, 3.0, lanczos };
}

calo_status calo_picture_resize(const calo_picture *from, int width, int height, calo_picture *to, calo_fault *fault)
{
    *to = (calo_picture){ 0 };
    if (width < 1 || height < 1 || width > CALO_SIDE_LIMIT || height > CALO_SIDE_LIMIT)
        return calo_fail(fault, CALO_EUSAGE, "a picture cannot be resized to %d × %d pixels; a side is 1 … %d", width,
                         height, CALO_SIDE_LIMIT);
    const axis x = whole_axis(from->width, width), y = whole_axis(from->height, height);
    return resample(from, &x, &y, to, fault);
}

/* ---- fit -------------------------------------------------------------------------------------------------------- */

/* Copies `from` into `to` with its top left corner at (left, top); what lies outside is left out. */
static void paste(const calo_picture *from, int left, int top, calo_picture *to)
{
    const size_t channels = (size_t)to->channels;
    const int begin = left < 0 ? -left : 0, end = from->width < to->width - left ? from->width : to->width - left;
    for (int y = 0; y < from->height; y++)
        if (top + y >= 0 && top + y < to->height && begin < end)
            memcpy(to->pixels + ((size_t)(top + y) * (size_t)to->width + (size_t)(left + begin)) * channels,
                   from->pixels + ((size_t)y * (size_t)from->width + (size_t)begin) * channels,
                   (size_t)(end - begin) * channels);
}

/* One axis of a cover: the output's middle `size` of `scaled` pixels, as pasting at size/2 − scaled/2 cuts them. */
static axis cut_axis(int input, int64_t scaled, int size)
{
    axis a = whole_axis(input, (int)scaled);
    a.first = (int)(scaled / 2 - size / 2);
    a.count = size;
    return a;
}

/* Scaled to cover width × height, the overhang cut off. */
static calo_status cover(const calo_picture *from, int width, int height, calo_picture *to, calo_fault *fault)
{
    const int64_t w = from->width, h = from->height;
    const bool flatter = w * height < h * width; /* the target is flatter than the picture */
    const int64_t scaled_width = flatter ? width : w * height / h;
    const int64_t scaled_height = flatter ? h * width / w : height; /* at most 2^28 */
    const axis x = cut_axis(from->width, scaled_width, width), y = cut_axis(from->height, scaled_height, height);
    return resample(from, &x, &y, to, fault);
}

/* `length` rows (or columns, `across`) that continue an edge of `from`, into `to` at their place. */
static calo_status continue_edge(const calo_picture *from, bool across, bool at_end, int length, int place,
                                 calo_picture *to, calo_fault *fault)
{
    axis x = whole_axis(from->width, from->width), y = whole_axis(from->height, from->height);
    axis *along = across ? &x : &y;
    along->begin = along->end = at_end ? along->input : 0;
    along->size = along->count = length;
    along->support = 2.0;
    along->filter = cubic;
    calo_picture border;
    calo_status status = resample(from, &x, &y, &border, fault);
    if (!status)
        paste(&border, across ? place : 0, across ? 0 : place, to);
    calo_picture_free(&border);
    return status;
}

/* Scaled to lie within width × height, in the middle, the edges continued. */
static calo_status pad(const calo_picture *from, int width, int height, const char *option, calo_picture *to,
                       calo_fault *fault)
{
    const int64_t w = from->width, h = from->height;
    const bool flatter = w * height < h * width; /* the target is flatter than the picture: room at the sides */
    const bool same = w * height == h * width;
    const int scaled_width = (int)(flatter ? w * height / h : width);
    const int scaled_height = (int)(flatter || same ? height : h * width / w);
    if (!scaled_width || !scaled_height)
        return calo_fail(
            fault, CALO_EUSAGE,
            "%s: a picture of %d × %d is too long for --fit pad: within %d × %d nothing of it would be left", option,
            from->width, from->height, width, height);
    const int left = width / 2 - scaled_width / 2, top = height / 2 - scaled_height / 2;
    calo_picture scaled;
    calo_status status = calo_picture_resize(from, scaled_width, scaled_height, &scaled, fault);
    if (!status)
        status = calo_picture_make(width, height, from->channels, to, fault);
    if (!status)
        paste(&scaled, left, top, to);
    const int room = same ? 0 : flatter ? left : top;
    if (!status && room)
        status = continue_edge(&scaled, flatter, false, room, 0, to, fault);
    if (!status && room)
        status =
            continue_edge(&scaled, flatter, true, room, room + (flatter ? scaled_width : scaled_height), to, fault);
    calo_picture_free(&scaled);
    if (status)
        calo_picture_free(to);
    return status;
}

calo_status calo_picture_fit(const calo_picture *from, calo_fit fit, int width, int height, const char *option,
                             calo_picture *to, calo_fault *fault)
{
    *to = (calo_picture){ 0 };
    if (width < 1 || height < 1 || width > CALO_SIDE_LIMIT || height > CALO_SIDE_LIMIT)
        return calo_fail(fault, CALO_EUSAGE, "%s cannot be brought to %d × %d pixels; a side is 1 … %d", option, width,
                         height, CALO_SIDE_LIMIT);
    switch (fit) {
    case CALO_FIT_NONE:
        if (from->width == width && from->height == height)
            return calo_picture_copy(from, to, fault);
        return calo_fail(fault, CALO_EUSAGE,
                         "%s has %d × %d pixels, not %d × %d; --fit crop, pad or stretch says how to change that",
                         option, from->width, from->height, width, height);
    case CALO_FIT_CROP:
        return cover(from, width, height, to, fault);
    case CALO_FIT_PAD:
        return pad(from, width, height, option, to, fault);
    case CALO_FIT_STRETCH:
        return calo_picture_resize(from, width, height, to, fault);
    }
    return calo_fail(fault, CALO_EUSAGE, "--fit %d is unknown", (int)fit);
}

/* ---- parts and borders ------------------------------------------------------------------------------------------ */

calo_status calo_picture_crop(const calo_picture *from, calo_box box, calo_picture *to, calo_fault *fault)
{
    *to = (calo_picture){ 0 };
    if (box.left < 0 || box.top < 0 || box.right > from->width || box.bottom > from->height || box.left >= box.right ||
        box.top >= box.bottom)
        return calo_fail(fault, CALO_EUSAGE, "columns %d … %d and rows %d … %d are no part of a picture of %d × %d",
                         box.left, box.right, box.top, box.bottom, from->width, from->height);
    calo_status status = calo_picture_make(box.right - box.left, box.bottom - box.top, from->channels, to, fault);
    if (!status)
        paste(from, -box.left, -box.top, to);
    return status;
}

calo_status calo_picture_extend(const calo_picture *from, const int extend[4], int value, calo_picture *to,
                                calo_fault *fault)
{
    static const char *const sides[4] = { "left", "top", "right", "bottom" };
    *to = (calo_picture){ 0 };
    for (int i = 0; i < 4; i++)
        if (extend[i] < 0 || extend[i] > CALO_SIDE_LIMIT)
            return calo_fail(fault, CALO_EUSAGE, "--extend %d at the %s; 0 … %d pixels can be added", extend[i],
                             sides[i], CALO_SIDE_LIMIT);
    const int width = extend[0] + from->width + extend[2], height = extend[1] + from->height + extend[3];
    if (width > CALO_SIDE_LIMIT || height > CALO_SIDE_LIMIT)
        return calo_fail(fault, CALO_EUSAGE, "--extend makes the picture %d × %d; a side is at most %d", width, height,
                         CALO_SIDE_LIMIT);
    calo_status status = calo_picture_make(width, height, from->channels, to, fault);
    if (status)
        return status;
    const size_t channels = (size_t)from->channels;
    uint8_t *out = to->pixels;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++, out += channels) {
            const int column = x < extend[0] ? 0 : x < extend[0] + from->width ? x - extend[0] : from->width - 1;
            const int row = y < extend[1] ? 0 : y < extend[1] + from->height ? y - extend[1] : from->height - 1;
            if (value < 0)
                memcpy(out, from->pixels + ((size_t)row * (size_t)from->width + (size_t)column) * channels, channels);
            else
                memset(out, value, channels);
        }
    if (value >= 0)
        paste(from, extend[0], extend[1], to);
    return CALO_OK;
}
