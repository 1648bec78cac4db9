/* Masks, and what they decide.

   The blur is cv2.GaussianBlur's on 8 bits, which is exact in fixed point: a kernel of n = 2k + 1 taps
   g_i = exp(−(i − k)² / 2σ²) / Σ, brought to 8 bits of fraction from the outside in, each tap taking over the rounding
   error of the one before, the middle one what is missing to 256; then out = (Σ g_i·v_i + 128) / 256. Beyond a border
   the picture is mirrored without its edge pixel (…2 1 0 1 2…), as often as the kernel is wide. */
#include "picture.h"
#include "png.h"
#include "shim.h"

#include <math.h>
#include <string.h>

enum { BLUR_LIMIT = 256, TAPS_LIMIT = 2 * (5 * BLUR_LIMIT / 2) + 1 };

void calo_mask_binarise(calo_picture *mask)
{
    const size_t count = (size_t)mask->width * (size_t)mask->height;
    for (size_t i = 0; i < count; i++)
        mask->pixels[i] = mask->pixels[i] >= 128 ? 255 : 0;
}

int64_t calo_mask_area(const calo_picture *mask)
{
    const size_t count = (size_t)mask->width * (size_t)mask->height;
    int64_t area = 0;
    for (size_t i = 0; i < count; i++)
        area += mask->pixels[i] != 0;
    return area;
}

/* ---- blur ------------------------------------------------------------------------------------------------------- */

/* The taps in 1/256, mostly 0 where σ is large; returns their number, 2k + 1. */
static int make_kernel(double deviation, int32_t taps[TAPS_LIMIT])
{
    const int half = (int)(2.5 * deviation + 0.5);
    const double factor = -0.125 / (deviation * deviation);
    double values[TAPS_LIMIT / 2 + 1], sum = 0.0, error = 0.0;
    for (int i = 0; i < half; i++) {
        const double twice = 2.0 * (i - half);
        values[i] = exp(twice * twice * factor);
        sum += values[i];
    }
    const double normal = 1.0 / (sum * 2.0 + 1.0);
    int32_t rest = 256;
    for (int i = 0; i < half; i++) {
        const double exact = values[i] * normal * 256.0 + error;
        const int32_t rounded = (int32_t)rint(exact); /* half to even */
        error = exact - rounded;
        taps[i] = taps[2 * half - i] = rounded;
        rest -= 2 * rounded;
    }
    taps[half] = rest;
    return 2 * half + 1;
}

/* Mirrors a place into [0, size). */
static int mirror(int at, int size)
{
    if (size == 1)
        return 0;
    while (at < 0 || at >= size)
        at = at < 0 ? -at : 2 * (size - 1) - at;
    return at;
}

/* One pass along a line of `size` pixels that lie `step` bytes apart; `line` has room for size + n − 1 pixels, `sums`
 * for `size`. Tap by tap, because of a wide kernel's taps at most 256 are not 0. */
static void blur_line(uint8_t *pixels, int size, size_t step, const int32_t *taps, int n, uint8_t *line, int32_t *sums)
{
    const int half = n / 2;
    for (int i = 0; i < half; i++) {
        line[i] = pixels[(size_t)mirror(i - half, size) * step];
        line[half + size + i] = pixels[(size_t)mirror(size + i, size) * step];
    }
    for (int i = 0; i < size; i++)
        line[half + i] = pixels[(size_t)i * step];
    for (int i = 0; i < size; i++)
        sums[i] = 128;
    for (int j = 0; j < n; j++)
        for (int i = 0; taps[j] && i < size; i++)
            sums[i] += taps[j] * line[i + j];
    for (int i = 0; i < size; i++)
        pixels[(size_t)i * step] = (uint8_t)(sums[i] >> 8);
}

calo_status calo_mask_blur(calo_picture *mask, double deviation, calo_fault *fault)
{
    if (!(deviation >= 0.0 && deviation <= BLUR_LIMIT))
        return calo_fail(fault, CALO_EUSAGE, "--mask-blur %g; it is 0 … %d pixels", deviation, BLUR_LIMIT);
    if (deviation < 0.2) /* one tap */
        return CALO_OK;
    const int longer = mask->width > mask->height ? mask->width : mask->height;
    int32_t taps[TAPS_LIMIT];
    const int n = make_kernel(deviation, taps);
    uint8_t *line = calo_alloc((size_t)longer + (size_t)n, 1);
    int32_t *sums = calo_alloc((size_t)longer, sizeof *sums);
    calo_status status = CALO_OK;
    if (!line || !sums) {
        status = calo_fail(fault, CALO_EMEMORY, "no host memory to blur a mask");
        goto done;
    }
    for (int y = 0; y < mask->height; y++)
        blur_line(mask->pixels + (size_t)y * (size_t)mask->width, mask->width, 1, taps, n, line, sums);
    for (int x = 0; x < mask->width; x++)
        blur_line(mask->pixels + x, mask->height, (size_t)mask->width, taps, n, line, sums);
done:
    calo_free(line);
    calo_free(sums);
    return status;
}

/* ---- region ----------------------------------------------------------------------------------------------------- */

/* The box around what is not 0; false when there is nothing. */
static bool bound(const calo_picture *mask, calo_box *box)
{
    *box = (calo_box){ mask->width, mask->height, 0, 0 };
    const uint8_t *at = mask->pixels;
    for (int y = 0; y < mask->height; y++)
        for (int x = 0; x < mask->width; x++)
            if (*at++) {
                box->left = x < box->left ? x : box->left;
                box->right = x + 1 > box->right ? x + 1 : box->right;
                box->top = y < box->top ? y : box->top;
                box->bottom = y + 1;
            }
    return box->right > 0;
}

/* Makes [*begin, *end) longer by `more`, half of it (rounded down) in front, moved and then cut to lie in [0, size). */
static void widen(int *begin, int *end, int more, int size)
{
    *begin -= more / 2;
    *end += more - more / 2;
    if (*end >= size) {
        *begin -= *end - size;
        *end = size;
    }
    if (*begin < 0) {
        *end -= *begin;
        *begin = 0;
    }
    if (*end >= size)
        *end = size;
}

calo_status calo_mask_region(const calo_picture *mask, int width, int height, int padding, calo_box *region,
                             calo_fault *fault)
{
    calo_box box;
    *region = (calo_box){ 0 };
    if (padding < 0 || padding > CALO_SIDE_LIMIT)
        return calo_fail(fault, CALO_EUSAGE, "--mask-padding %d; it is 0 … %d pixels", padding, CALO_SIDE_LIMIT);
    if (width < 1 || height < 1 || width > CALO_SIDE_LIMIT || height > CALO_SIDE_LIMIT)
        return calo_fail(fault, CALO_EUSAGE, "--mask-padding: to work at %d × %d pixels; a side is 1 … %d", width,
                         height, CALO_SIDE_LIMIT);
    if (!bound(mask, &box))
        return calo_fail(fault, CALO_EUSAGE, "--mask repaints nothing: all of it is black");
    box.left = box.left > padding ? box.left - padding : 0;
    box.top = box.top > padding ? box.top - padding : 0;
    box.right = box.right + padding < mask->width ? box.right + padding : mask->width;
    box.bottom = box.bottom + padding < mask->height ? box.bottom + padding : mask->height;
    const int w = box.right - box.left, h = box.bottom - box.top;
    const double aspect = (double)width / height; /* the divisions and their rounding are diffusers' */
    if ((double)w / h > aspect)
        widen(&box.top, &box.bottom, (int)(w / aspect - h), mask->height);
    else
        widen(&box.left, &box.right, (int)(h * aspect - w), mask->width);
    *region = box;
    return CALO_OK;
}

/* ---- overlay ---------------------------------------------------------------------------------------------------- */

/* A pixel where the mask is 0 keeps init's bits: (255·v + 127) / 255 = v. */
static void mix(const uint8_t *mask, const uint8_t *init, const uint8_t *made, size_t count, uint8_t *to)
{
    for (size_t i = 0; i < 3 * count; i++) {
        const unsigned m = mask[i / 3];
        to[i] = (uint8_t)((init[i] * (255 - m) + made[i] * m + 127) / 255);
    }
}

calo_status calo_picture_overlay(const calo_picture *mask, const calo_picture *init, const calo_picture *made,
                                 const calo_box *region, calo_picture *to, calo_fault *fault)
{
    calo_picture part = { 0 };
    *to = (calo_picture){ 0 };
    if (mask->channels != 1 || init->channels != 3 || made->channels != 3 || mask->width != init->width ||
        mask->height != init->height || (!region && (made->width != init->width || made->height != init->height)))
        return calo_fail(fault, CALO_EUSAGE, "a mask of %d × %d does not lay a picture of %d × %d over one of %d × %d",
                         mask->width, mask->height, made->width, made->height, init->width, init->height);
    const calo_box box = region ? *region : (calo_box){ 0, 0, init->width, init->height };
    calo_status status = calo_picture_copy(init, to, fault);
    if (!status && region) {
        if (box.left < 0 || box.top < 0 || box.right > init->width || box.bottom > init->height ||
            box.left >= box.right || box.top >= box.bottom)
            status =
                calo_fail(fault, CALO_EUSAGE, "columns %d … %d and rows %d … %d are no part of a picture of %d × %d",
                          box.left, box.right, box.top, box.bottom, init->width, init->height);
        else
            status = calo_picture_fit(made, CALO_FIT_CROP, box.right - box.left, box.bottom - box.top, "--mask-padding",
                                      &part, fault);
    }
    const uint8_t *from = region ? part.pixels : made->pixels;
    const size_t width = status ? 0 : (size_t)(box.right - box.left);
    for (int y = box.top; y < box.bottom && !status; y++, from += 3 * width) {
        const size_t at = (size_t)y * (size_t)init->width + (size_t)box.left;
        mix(mask->pixels + at, init->pixels + 3 * at, from, width, to->pixels + 3 * at);
    }
    calo_picture_free(&part);
    if (status)
        calo_picture_free(to);
    return status;
}

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

void calo_picture_values(const calo_picture *picture, float *values)
{
    const size_t count = (size_t)picture->width * (size_t)picture->height * (size_t)picture->channels;
    for (size_t i = 0; i < count; i++)
        values[i] = 2.0f * ((float)picture->pixels[i] / 255.0f) - 1.0f;
}

void calo_picture_masked_values(const calo_picture *picture, const calo_picture *mask, float *values)
{
    const size_t channels = (size_t)picture->channels;
    const size_t count = (size_t)picture->width * (size_t)picture->height * channels;
    calo_picture_values(picture, values);
    for (size_t i = 0; i < count; i++)
        if (mask->pixels[i / channels] >= 128)
            values[i] = 0.0f;
}

/* The scale is rounded to f32 and so is its product with the place, as in torch. */
static int nearest(int i, float scale, int size)
{
    const int at = (int)floorf((float)i * scale);
    return at < size ? at : size - 1;
}

void calo_mask_values(const calo_picture *mask, int width, int height, float *values)
{
    const float across = (float)mask->width / (float)width, down = (float)mask->height / (float)height;
    for (int y = 0; y < height; y++) {
        const uint8_t *row = mask->pixels + (size_t)nearest(y, down, mask->height) * (size_t)mask->width;
        for (int x = 0; x < width; x++)
            *values++ = (float)row[nearest(x, across, mask->width)] / 255.0f;
    }
}
