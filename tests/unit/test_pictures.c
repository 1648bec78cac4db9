/* Pictures and masks against Pillow, OpenCV, torch and diffusers (tests/golden/pictures). */
#include "../../engine/picture.h"
#include "../golden/pictures/vectors.h"
#include "allocations.h"

#include <math.h>
#include <stdlib.h>

static calo_picture made(int seed, int width, int height, int channels)
{
    calo_picture picture;
    assert_int_equal(calo_picture_make(width, height, channels, &picture, NULL), CALO_OK);
    fill(seed, picture.pixels, (size_t)width * (size_t)height * (size_t)channels);
    return picture;
}

static size_t bytes_of(const calo_picture *picture)
{
    return (size_t)picture->width * (size_t)picture->height * (size_t)picture->channels;
}

/* The largest distance of any byte from the record's. */
static int distance(const calo_picture *picture, const record *r)
{
    int worst = 0;
    assert_int_equal(bytes_of(picture), r->size);
    for (size_t i = 0; i < bytes_of(picture); i++) {
        const int d = abs(picture->pixels[i] - r->data[i]);
        worst = d > worst ? d : worst;
    }
    return worst;
}

static void expect_equal(const calo_picture *picture, const record *r)
{
    const int d = distance(picture, r);
    if (d)
        fail_msg("kind %d, %d %d %d %d %d %d: off by %d", r->kind, r->a[0], r->a[1], r->a[2], r->a[3], r->a[4], r->a[5],
                 d);
}

static void resizing_equals_pillow(void **state)
{
    (void)state;
    record r;
    int seen = 0;
    for (size_t at = 0; next_record(RESIZE, &at, &r); seen++) {
        calo_picture from = made(r.a[3], r.a[0], r.a[1], r.a[2]), to;
        assert_int_equal(calo_picture_resize(&from, r.a[4], r.a[5], &to, NULL), CALO_OK);
        expect_equal(&to, &r);
        calo_picture_free(&from);
        calo_picture_free(&to);
    }
    assert_int_equal(seen, 38);
}

static void fitting_equals_diffusers(void **state)
{
    (void)state;
    static const struct {
        enum kind kind;
        calo_fit fit;
    } ways[] = { { CROP, CALO_FIT_CROP }, { PAD, CALO_FIT_PAD } };
    int seen = 0, refused = 0;
    for (int i = 0; i < 2; i++) {
        record r;
        for (size_t at = 0; next_record(ways[i].kind, &at, &r); seen++) {
            calo_picture from = made(r.a[3], r.a[0], r.a[1], 3), to;
            calo_fault fault = { 0 };
            calo_status status = calo_picture_fit(&from, ways[i].fit, r.a[4], r.a[5], "--init", &to, &fault);
            if (r.size) {
                assert_int_equal(status, CALO_OK);
                expect_equal(&to, &r);
            } else {
                assert_int_equal(status, CALO_EUSAGE);
                assert_non_null(strstr(fault.text, "--init: a picture of"));
                refused++;
            }
            calo_picture_free(&from);
            calo_picture_free(&to);
        }
    }
    assert_int_equal(seen, 54);
    assert_in_range(refused, 1, 6);
}

/* An image for the functions that take one; it owns nothing. */
static calo_image rgba_image(int seed, int width, int height, uint8_t *pixels, uint8_t *alpha)
{
    uint8_t all[4 * 33 * 32];
    const size_t count = (size_t)width * (size_t)height;
    assert_true(4 * count <= sizeof all);
    fill(seed, all, 4 * count);
    for (size_t i = 0; i < count; i++) {
        memcpy(pixels + 3 * i, all + 4 * i, 3);
        alpha[i] = all[4 * i + 3];
    }
    return (calo_image){ NULL, width, height, pixels, alpha, "" };
}

static void colours_equal_pillow(void **state)
{
    (void)state;
    record r;
    for (size_t at = 0; next_record(GREY, &at, &r);) {
        calo_picture from = made(r.a[3], r.a[0], r.a[1], 3), to, again;
        assert_int_equal(calo_picture_grey(&from, &to, NULL), CALO_OK);
        expect_equal(&to, &r);
        const calo_image image = { NULL, from.width, from.height, from.pixels, NULL, "" };
        assert_int_equal(calo_picture_grey_from_image(&image, &again, NULL), CALO_OK);
        expect_equal(&again, &r);
        calo_picture_free(&from);
        calo_picture_free(&to);
        calo_picture_free(&again);
    }
    for (size_t at = 0; next_record(FLATTEN, &at, &r);) {
        uint8_t pixels[3 * 33 * 32], alpha[33 * 32];
        const calo_image image = rgba_image(r.a[3], r.a[0], r.a[1], pixels, alpha);
        calo_picture to, mask;
        assert_int_equal(calo_picture_from_image(&image, &to, NULL), CALO_OK);
        expect_equal(&to, &r);
        assert_int_equal(calo_picture_from_opacity(&image, &mask, NULL), CALO_OK);
        for (size_t i = 0; i < sizeof alpha; i++)
            assert_int_equal(mask.pixels[i], 255 - alpha[i]);
        calo_picture_free(&to);
        calo_picture_free(&mask);
    }
    for (size_t at = 0; next_record(BINARISE, &at, &r);) {
        calo_picture mask = made(r.a[3], r.a[0], r.a[1], 1);
        calo_mask_binarise(&mask);
        expect_equal(&mask, &r);
        calo_picture_free(&mask);
    }
}

static void blurring_equals_opencv(void **state)
{
    (void)state;
    record r;
    int seen = 0;
    for (size_t at = 0; next_record(BLUR, &at, &r); seen++) {
        calo_picture mask = made(r.a[3], r.a[0], r.a[1], 1);
        assert_int_equal(calo_mask_blur(&mask, r.a[4] / 1000.0, NULL), CALO_OK);
        expect_equal(&mask, &r);
        calo_picture_free(&mask);
    }
    assert_int_equal(seen, 32);
}

static void regions_equal_diffusers(void **state)
{
    (void)state;
    record r;
    int seen = 0;
    for (size_t at = 0; next_record(REGION, &at, &r); seen++) {
        calo_picture mask;
        assert_int_equal(calo_picture_make(r.a[0], r.a[1], 1, &mask, NULL), CALO_OK);
        for (int x = r.a[2]; x < r.a[4]; x++)
            mask.pixels[r.a[3] * r.a[0] + x] = 1;
        for (int y = r.a[3]; y < r.a[5]; y++)
            mask.pixels[y * r.a[0] + r.a[2]] = 200;
        calo_box box;
        assert_int_equal(calo_mask_region(&mask, r.a[6], r.a[7], r.a[8], &box, NULL), CALO_OK);
        assert_int_equal(r.size, sizeof box);
        if (memcmp(&box, r.data, sizeof box) != 0)
            fail_msg("region %d: %d %d %d %d", seen, box.left, box.top, box.right, box.bottom);
        calo_picture_free(&mask);
    }
    assert_int_equal(seen, 300);
}

/* diffusers rounds a soft pixel three times; outside and inside a hard mask nothing may differ. */
static void overlays_keep_what_is_not_masked(void **state)
{
    (void)state;
    record r;
    int seen = 0;
    for (size_t at = 0; next_record(OVERLAY, &at, &r); seen++) {
        const int w = r.a[0], h = r.a[1], seed = r.a[4];
        const calo_box box = { r.a[5], r.a[6], r.a[7], r.a[8] }, *region = box.right ? &box : NULL;
        calo_picture mask = made(4 * seed + 3, w, h, 1), init = made(seed + 1, w, h, 3), to;
        calo_picture picture = made(seed + 2, r.a[2], r.a[3], 3);
        int kept = 0, soft = 0;
        for (int y = 0; region && y < h; y++)
            for (int x = 0; x < w; x++)
                if (x < box.left || x >= box.right || y < box.top || y >= box.bottom)
                    mask.pixels[y * w + x] = 0;
        assert_int_equal(calo_picture_overlay(&mask, &init, &picture, region, &to, NULL), CALO_OK);
        assert_in_range(distance(&to, &r), 0, 2);
        for (int i = 0; i < 3 * w * h; i++)
            if (mask.pixels[i / 3] == 0) {
                assert_int_equal(to.pixels[i], init.pixels[i]);
                kept++;
            } else {
                soft += mask.pixels[i / 3] < 255;
                if (!region)
                    assert_int_equal(to.pixels[i], (int)lround((init.pixels[i] * (255.0 - mask.pixels[i / 3]) +
                                                                picture.pixels[i] * (double)mask.pixels[i / 3]) /
                                                               255.0));
            }
        assert_true(kept > 0 && soft > 0);
        calo_picture_free(&mask);
        calo_picture_free(&init);
        calo_picture_free(&picture);
        calo_picture_free(&to);
    }
    assert_int_equal(seen, 5);
}

static void canvases_grow(void **state)
{
    (void)state;
    record r;
    int seen = 0;
    for (size_t at = 0; next_record(EXTEND, &at, &r); seen++) {
        calo_picture from = made(r.a[3], r.a[0], r.a[1], r.a[2]), to;
        assert_int_equal(calo_picture_extend(&from, r.a + 4, r.a[8] ? 255 : -1, &to, NULL), CALO_OK);
        expect_equal(&to, &r);
        calo_picture_free(&from);
        calo_picture_free(&to);
    }
    assert_int_equal(seen, 6);
}

/* By value: torch's 0 has the sign of what it masks. */
static void expect_values(const float *values, const record *r)
{
    for (int i = 0; i < r->size / 4; i++) {
        float expected;
        memcpy(&expected, r->data + 4 * i, 4);
        assert_true(values[i] == expected);
    }
}

static void numbers_equal_diffusers_and_torch(void **state)
{
    (void)state;
    static float values[32 * 24 * 3];
    record r;
    int seen = 0;
    for (size_t at = 0; next_record(VALUES, &at, &r); seen++) {
        calo_picture from = made(r.a[3], r.a[0], r.a[1], r.a[2]);
        calo_picture_values(&from, values);
        expect_values(values, &r);
        calo_picture_free(&from);
    }
    for (size_t at = 0; next_record(MASKED, &at, &r); seen++) {
        calo_picture from = made(r.a[3], r.a[0], r.a[1], r.a[2]), mask = made(r.a[4], r.a[0], r.a[1], 1);
        calo_picture_masked_values(&from, &mask, values);
        expect_values(values, &r);
        calo_picture_free(&from);
        calo_picture_free(&mask);
    }
    for (size_t at = 0; next_record(NEAREST, &at, &r); seen++) {
        calo_picture mask = made(r.a[3], r.a[0], r.a[1], 1);
        assert_int_equal(r.size, 4 * r.a[4] * r.a[5]);
        calo_mask_values(&mask, r.a[4], r.a[5], values);
        expect_values(values, &r);
        calo_picture_free(&mask);
    }
    assert_int_equal(seen, 9);
}

/* ---- arguments -------------------------------------------------------------------------------------------------- */

#define EXPECT_REFUSED(call, word)                                                                                     \
    do {                                                                                                               \
        calo_fault fault = { 0 };                                                                                      \
        assert_int_equal(call, CALO_EUSAGE);                                                                           \
        if (!strstr(fault.text, word))                                                                                 \
            fail_msg("%s: %s", word, fault.text);                                                                      \
    } while (0)

static void wrong_arguments_are_named(void **state)
{
    (void)state;
    calo_picture from = made(0, 8, 6, 3), mask, to;
    calo_box box;
    assert_int_equal(calo_picture_make(8, 6, 1, &mask, NULL), CALO_OK);
    const int sides[] = { 0, -1, 16385, INT32_MAX, INT32_MIN };
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        EXPECT_REFUSED(calo_picture_make(sides[i], 8, 3, &to, &fault), "a side is");
        EXPECT_REFUSED(calo_picture_resize(&from, 8, sides[i], &to, &fault), "a side is");
        EXPECT_REFUSED(calo_picture_fit(&from, CALO_FIT_PAD, sides[i], 8, "--mask", &to, &fault), "--mask cannot");
        EXPECT_REFUSED(calo_mask_region(&mask, sides[i], 8, 0, &box, &fault), "--mask-padding: to work at");
    }
    EXPECT_REFUSED(calo_picture_make(8, 8, 2, &to, &fault), "channels");
    EXPECT_REFUSED(calo_picture_fit(&from, CALO_FIT_NONE, 8, 8, "--mask", &to, &fault), "--fit crop, pad or stretch");
    EXPECT_REFUSED(calo_picture_fit(&from, (calo_fit)9, 8, 8, "--mask", &to, &fault), "--fit 9");
    const double blurs[] = { -1.0, 256.5, NAN, INFINITY };
    for (size_t i = 0; i < sizeof blurs / sizeof *blurs; i++)
        EXPECT_REFUSED(calo_mask_blur(&mask, blurs[i], &fault), "--mask-blur");
    EXPECT_REFUSED(calo_mask_region(&mask, 8, 8, 4, &box, &fault), "--mask repaints nothing");
    mask.pixels[5] = 1;
    assert_int_equal(calo_mask_area(&mask), 1);
    EXPECT_REFUSED(calo_mask_region(&mask, 8, 8, -1, &box, &fault), "--mask-padding -1");
    EXPECT_REFUSED(calo_mask_region(&mask, 8, 8, INT32_MAX, &box, &fault), "--mask-padding 2147483647");
    const int extends[][4] = { { -8, 0, 0, 0 }, { 0, 0, 0, INT32_MAX }, { 8192, 0, 8192, 0 }, { 0, INT32_MIN, 0, 0 } };
    for (size_t i = 0; i < sizeof extends / sizeof *extends; i++)
        EXPECT_REFUSED(calo_picture_extend(&from, extends[i], -1, &to, &fault), "--extend");
    const calo_box boxes[] = {
        { 0, 0, 9, 6 }, { -1, 0, 4, 4 }, { 4, 0, 4, 4 }, { 5, 5, INT32_MIN, 6 }, { 0, INT32_MAX, 2, 2 }
    };
    for (size_t i = 0; i < sizeof boxes / sizeof *boxes; i++) {
        EXPECT_REFUSED(calo_picture_crop(&from, boxes[i], &to, &fault), "no part");
        EXPECT_REFUSED(calo_picture_overlay(&mask, &from, &from, &boxes[i], &to, &fault), "no part");
    }
    EXPECT_REFUSED(calo_picture_overlay(&from, &from, &from, NULL, &to, &fault), "does not lay");
    assert_null(to.pixels);
    calo_picture_free(&from);
    calo_picture_free(&mask);
}

/* A line of pixels that is to cover a square: only what is kept may be made (Pillow would need 200 GB). */
static void long_pictures_cost_no_more(void **state)
{
    (void)state;
    calo_picture from = made(0, 1, 16384, 3), to, other;
    assert_int_equal(calo_picture_fit(&from, CALO_FIT_CROP, 1024, 1024, "--init", &to, NULL), CALO_OK);
    assert_int_equal(to.width, 1024);
    calo_picture_free(&to);
    assert_int_equal(calo_picture_resize(&from, 16384, 1, &to, NULL), CALO_OK);
    assert_int_equal(calo_picture_resize(&to, 1, 16384, &other, NULL), CALO_OK);
    calo_picture_free(&from);
    calo_picture_free(&to);
    calo_picture_free(&other);
}

/* All that allocates, one after the other; what failed leaves nothing behind. */
static calo_status do_everything(const calo_picture *from, calo_fault *fault)
{
    calo_picture steps[7] = { { 0 } };
    calo_box box;
    const int extend[4] = { 1, 2, 3, 4 };
    calo_status status = calo_picture_fit(from, CALO_FIT_PAD, 24, 40, "--init", &steps[0], fault);
    if (!status)
        status = calo_picture_fit(&steps[0], CALO_FIT_CROP, 30, 20, "--init", &steps[1], fault);
    if (!status)
        status = calo_picture_fit(&steps[1], CALO_FIT_STRETCH, 60, 10, "--init", &steps[2], fault);
    if (!status)
        status = calo_picture_extend(&steps[2], extend, -1, &steps[3], fault);
    if (!status)
        status = calo_picture_grey(&steps[3], &steps[4], fault);
    if (!status)
        status = calo_mask_blur(&steps[4], 2.0, fault);
    if (!status)
        status = calo_mask_region(&steps[4], 16, 16, 2, &box, fault);
    if (!status)
        status = calo_picture_overlay(&steps[4], &steps[3], from, &box, &steps[5], fault);
    if (!status)
        status = calo_picture_crop(&steps[5], box, &steps[6], fault);
    for (int i = 0; i < 7; i++)
        calo_picture_free(&steps[i]);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    calo_picture from = made(4, 33, 21, 3);
    calo_status status = CALO_EMEMORY;
    int n = 0;
    for (; status; n++) {
        calo_fault fault = { 0 };
        allocations_left = n;
        status = do_everything(&from, &fault);
        allocations_left = -1;
        assert_true(status == CALO_OK || status == CALO_EMEMORY);
    }
    assert_in_range(n, 40, 200);
    calo_picture_free(&from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resizing_equals_pillow),
        cmocka_unit_test(fitting_equals_diffusers),
        cmocka_unit_test(colours_equal_pillow),
        cmocka_unit_test(blurring_equals_opencv),
        cmocka_unit_test(regions_equal_diffusers),
        cmocka_unit_test(overlays_keep_what_is_not_masked),
        cmocka_unit_test(canvases_grow),
        cmocka_unit_test(numbers_equal_diffusers_and_torch),
        cmocka_unit_test(wrong_arguments_are_named),
        cmocka_unit_test(long_pictures_cost_no_more),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, open_vectors, close_vectors);
}
