/* What the flows are for, in the demo model's pixels, over three seeds each: a house repainted, a day turned to night,
   two regions, trees forbidden, a variation, borders added, a second pass, words that weigh more. The thresholds of
   flows.inc were measured beforehand by make_meaning.py. */
#include "command.h"

#include "../../engine/calotype.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "flows.inc"

enum { SEEDS = 3, SIDE = 256 };

#define RED "a red house on a green hill, blue sky"
#define BLUE "a blue house on a green hill, blue sky"
#define DAY "a house on green hills, blue sky"
#define NIGHT "a house on green hills at night"
#define SNOW "a white house in the snow, blue sky"

static calo_context *context; /* no device: it reads and writes pictures */

#define RUN(flow, ...) run(flow, (const char *const[]){ __VA_ARGS__, NULL })
static void run(const char *flow, const char *const *more)
{
    const char *words[60] = { flow,      "--model", model_path, "--scheduler", "dpmpp_2m_karras",
                              "--quiet", "--steps", "15",       "--guidance",  "5" };
    int count = 10;
    while (*more && count < 59)
        words[count++] = *more++;
    const outcome o = run_command(words, 0, 0);
    if (o.status)
        print_message("%s", o.errors);
    assert_int_equal(o.status, 0);
}

static calo_image *load(const char *name)
{
    calo_image *image;
    assert_int_equal(calo_load_image(context, in_work(name), &image), CALO_OK);
    return image;
}

/* "red.png", 1 → "red-2.png": the command's own way of naming several. */
static const char *numbered(const char *stem, int i)
{
    static char names[8][64];
    static int next;
    char *name = names[next++ % 8];
    snprintf(name, sizeof names[0], "%s-%d.png", stem, i + 1);
    return name;
}

/* ---- measures --------------------------------------------------------------------------------------------------- */

typedef struct box {
    int x, y, width, height;
} box;

static bool is_red(const uint8_t *p)
{
    return p[0] > 150 && p[1] < 80 && p[2] < 80;
}

static bool is_blue(const uint8_t *p)
{
    return p[2] > 120 && p[0] < 70 && p[1] < 110;
}

static bool is_tree(const uint8_t *p)
{
    return p[1] > p[0] + 25 && p[1] < 140 && p[1] > p[2];
}

static double share(const calo_image *image, box b, bool (*is)(const uint8_t *))
{
    const int width = calo_image_width(image);
    int count = 0;
    for (int y = b.y; y < b.y + b.height; y++)
        for (int x = b.x; x < b.x + b.width; x++)
            count += is(calo_image_pixels(image) + 3 * (y * width + x));
    return (double)count / (b.width * b.height);
}

static double luminance(const uint8_t *p)
{
    return 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
}

static double brightness(const calo_image *image)
{
    const int count = calo_image_width(image) * calo_image_height(image);
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += luminance(calo_image_pixels(image) + 3 * i);
    return sum / count;
}

/* The luminance at SIDE × SIDE, of a picture that is `times` as large: means over what each pixel covers. */
static void shrink(const calo_image *image, double times, double *out)
{
    const int width = calo_image_width(image);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            double sum = 0, area = 0;
            for (int i = (int)(y * times); i < (y + 1) * times; i++)
                for (int k = (int)(x * times); k < (x + 1) * times; k++) {
                    const double h = fmin(i + 1, (y + 1) * times) - fmax(i, y * times);
                    const double w = fmin(k + 1, (x + 1) * times) - fmax(k, x * times);
                    sum += h * w * luminance(calo_image_pixels(image) + 3 * (i * width + k));
                    area += h * w;
                }
            out[y * SIDE + x] = sum / area;
        }
}

static double correlation(const calo_image *a, const calo_image *b)
{
    static double values[2][SIDE * SIDE];
    const calo_image *images[] = { a, b };
    double mean[2] = { 0 }, aa = 0, bb = 0, ab = 0;
    for (int i = 0; i < 2; i++) {
        shrink(images[i], (double)calo_image_width(images[i]) / SIDE, values[i]);
        for (int k = 0; k < SIDE * SIDE; k++)
            mean[i] += values[i][k] / (SIDE * SIDE);
    }
    for (int k = 0; k < SIDE * SIDE; k++) {
        const double x = values[0][k] - mean[0], y = values[1][k] - mean[1];
        aa += x * x;
        bb += y * y;
        ab += x * y;
    }
    return ab / sqrt(aa * bb);
}

#define MORE(value, least) check(#value, value, least, true)
#define LESS(value, most) check(#value, value, most, false)
static void check(const char *name, double value, double limit, bool more)
{
    print_message("    %s: %.4g, %s %.4g\n", name, value, more ? "at least" : "at most", limit);
    assert_true(more ? value >= limit : value <= limit);
}

/* ---- tests ------------------------------------------------------------------------------------------------------ */

static const box whole = { 0, 0, SIDE, SIDE };

/* red-1.png … red-3.png, which other tests begin with. */
static int houses(void **state)
{
    (void)state;
    RUN("txt2img", "--prompt", RED, "--count", "3", "--output", in_work("red.png"));
    return 0;
}

/* The mask of a red house: a box around it, 24 pixels wider on each side. */
static box make_mask(const calo_image *house)
{
    static uint8_t white[SIDE * SIDE];
    int x0 = SIDE, y0 = SIDE, x1 = 0, y1 = 0;
    calo_image *mask;
    for (int i = 0; i < SIDE * SIDE; i++)
        if (is_red(calo_image_pixels(house) + 3 * i)) {
            const int x = i % SIDE, y = i / SIDE;
            x0 = x < x0 ? x : x0;
            x1 = x > x1 ? x : x1;
            y0 = y < y0 ? y : y0;
            y1 = y > y1 ? y : y1;
        }
    assert_true(x1 > x0);
    x0 = x0 > 24 ? x0 - 24 : 0;
    y0 = y0 > 24 ? y0 - 24 : 0;
    x1 = x1 + 24 < SIDE ? x1 + 24 : SIDE - 1;
    y1 = y1 + 24 < SIDE ? y1 + 24 : SIDE - 1;
    const box b = { x0, y0, x1 - x0 + 1, y1 - y0 + 1 };
    memset(white, 0, sizeof white);
    for (int y = b.y; y < b.y + b.height; y++)
        memset(white + y * SIDE + b.x, 255, (size_t)b.width);
    assert_int_equal(calo_make_image(context, SIDE, SIDE, 1, white, &mask), CALO_OK);
    assert_int_equal(calo_save_png(mask, in_work("mask.png")), CALO_OK);
    calo_free_image(&mask);
    return b;
}

/* How many pixels differ that lie more than `margin` outside the box. */
static int changed_outside(const calo_image *a, const calo_image *b, box inner, int margin)
{
    int count = 0;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            const bool near = x >= inner.x - margin && x < inner.x + inner.width + margin && y >= inner.y - margin &&
                              y < inner.y + inner.height + margin;
            count += !near && memcmp(calo_image_pixels(a) + 3 * (y * SIDE + x),
                                     calo_image_pixels(b) + 3 * (y * SIDE + x), 3) != 0;
        }
    return count;
}

/* A red house repainted blue inside a mask: outside nothing changes, with a blur nothing further than it reaches (5
 * pixels at a deviation of 2), and with a padding likewise. */
static void repaint(void **state)
{
    (void)state;
    for (int i = 0; i < SEEDS; i++) {
        char seed[8];
        calo_image *house = load(numbered("red", i));
        const box inside = make_mask(house);
        snprintf(seed, sizeof seed, "%d", i);
        for (int k = 0; k < 3; k++) {
            const char *const options[][4] = { { NULL },
                                               { "--mask-blur", "2" },
                                               { "--mask-blur", "2", "--mask-padding", "16" } };
            RUN("inpaint", "--prompt", BLUE, "--init", in_work(numbered("red", i)), "--mask", in_work("mask.png"),
                "--seed", seed, "--output", in_work("blue.png"), options[k][0], options[k][1], options[k][2],
                options[k][3]);
            calo_image *image = load("blue.png");
            assert_int_equal(changed_outside(house, image, inside, k ? 5 : 0), 0);
            if (k < 2)
                MORE(share(image, inside, is_blue), blue_least);
            else
                MORE(share(image, inside, is_blue),
                     0.01); /* measured for the whole picture; this is seen from nearer */
            LESS(share(image, inside, is_red), 0.01);
            calo_free_image(&image);
        }
        calo_free_image(&house);
    }
}

static void night_falls(void **state)
{
    (void)state;
    RUN("txt2img", "--prompt", DAY, "--count", "3", "--output", in_work("day.png"));
    for (int i = 0; i < SEEDS; i++) {
        char seed[8];
        snprintf(seed, sizeof seed, "%d", i);
        RUN("img2img", "--prompt", NIGHT, "--init", in_work(numbered("day", i)), "--strength", "0.9", "--steps", "20",
            "--seed", seed, "--output", in_work("night.png"));
        calo_image *image = load("night.png");
        LESS(brightness(image), night_most);
        calo_free_image(&image);
    }
}

static void two_regions(void **state)
{
    (void)state;
    RUN("txt2img", "--prompt", DAY, "--width", "384", "--count", "3", "--output", in_work("two.png"), "--region",
        "0,0,192,256:" RED, "--region", "192,0,192,256:" BLUE);
    for (int i = 0; i < SEEDS; i++) {
        calo_image *image = load(numbered("two", i));
        const box left = { 0, 0, 192, SIDE }, right = { 192, 0, 192, SIDE };
        MORE(share(image, left, is_red), left_red_least);
        LESS(share(image, right, is_red), left_red_least);
        MORE(share(image, right, is_blue), right_blue_least);
        LESS(share(image, left, is_blue), right_blue_least);
        calo_free_image(&image);
    }
}

/* Seeds whose pictures have trees that nobody asked for. */
static void no_trees(void **state)
{
    (void)state;
    static const char *const seeds[SEEDS] = { "3", "5", "6" };
    for (int i = 0; i < SEEDS; i++)
        for (int forbidden = 0; forbidden < 2; forbidden++) {
            RUN("txt2img", "--prompt", SNOW, "--seed", seeds[i], "--output", in_work("snow.png"),
                forbidden ? "--negative" : NULL, "pine trees");
            calo_image *image = load("snow.png");
            if (forbidden)
                LESS(share(image, whole, is_tree), trees_most);
            else
                MORE(share(image, whole, is_tree), trees_most);
            calo_free_image(&image);
        }
}

/* Means over the seeds: one that lies between two layouts may take the other, as seed 1 does here. */
static void variation(void **state)
{
    (void)state;
    double varied_mean = 0, other_mean = 0;
    for (int i = 0; i < SEEDS; i++) {
        char seed[8], other[8];
        snprintf(seed, sizeof seed, "%d", i);
        snprintf(other, sizeof other, "%d", i + 200);
        RUN("txt2img", "--prompt", RED, "--seed", seed, "--variation-seed", other, "--variation-strength", "0.1",
            "--output", in_work("varied.png"));
        calo_image *house = load(numbered("red", i)), *varied = load("varied.png"),
                   *another = load(numbered("red", (i + 1) % SEEDS));
        LESS(correlation(house, varied), 0.9999); /* it is another picture */
        varied_mean += correlation(house, varied) / SEEDS;
        other_mean += correlation(house, another) / SEEDS;
        calo_free_image(&house);
        calo_free_image(&varied);
        calo_free_image(&another);
    }
    MORE(varied_mean, layout_least);
    LESS(other_mean, layout_least);
}

static void wider(void **state)
{
    (void)state;
    for (int i = 0; i < SEEDS; i++) {
        char seed[8];
        double seam = 0;
        snprintf(seed, sizeof seed, "%d", i);
        RUN("inpaint", "--prompt", RED, "--init", in_work(numbered("red", i)), "--extend", "0,0,128,0", "--seed", seed,
            "--output", in_work("wide.png"));
        calo_image *house = load(numbered("red", i)), *wide = load("wide.png");
        assert_int_equal(calo_image_width(wide), SIDE + 128);
        assert_int_equal(calo_image_height(wide), SIDE);
        for (int y = 0; y < SIDE; y++) {
            const uint8_t *row = calo_image_pixels(wide) + 3 * y * (SIDE + 128);
            assert_memory_equal(row, calo_image_pixels(house) + 3 * y * SIDE, 3 * SIDE);
            for (int c = 0; c < 3 && y < SIDE / 4; c++) /* of the sky */
                seam += abs(row[3 * (SIDE + 8) + c] - row[3 * (SIDE - 8) + c]) / (3.0 * SIDE / 4);
        }
        LESS(seam, seam_most);
        calo_free_image(&house);
        calo_free_image(&wide);
    }
}

static void second_pass(void **state)
{
    (void)state;
    static const char *const modes[SEEDS] = { "latent", "pixel", "latent" };
    for (int i = 0; i < SEEDS; i++) {
        char seed[8];
        snprintf(seed, sizeof seed, "%d", i);
        RUN("txt2img", "--prompt", RED, "--seed", seed, "--hires", "1.5", "--hires-mode", modes[i], "--hires-strength",
            "0.5", "--output", in_work("large.png"));
        calo_image *house = load(numbered("red", i)), *large = load("large.png"),
                   *another = load(numbered("red", (i + 1) % SEEDS));
        assert_int_equal(calo_image_width(large), SIDE * 3 / 2);
        assert_int_equal(calo_image_height(large), SIDE * 3 / 2);
        MORE(correlation(house, large), hires_least);
        LESS(correlation(another, large), hires_least);
        calo_free_image(&house);
        calo_free_image(&large);
        calo_free_image(&another);
    }
}

/* Mean over the seeds. */
static double trees_of_weight(const char *style, const char *prompt)
{
    double sum = 0;
    RUN("txt2img", "--prompt", prompt, "--prompt-style", style, "--count", "3", "--output", in_work("weight.png"));
    for (int i = 0; i < SEEDS; i++) {
        calo_image *image = load(numbered("weight", i));
        sum += share(image, whole, is_tree) / SEEDS;
        calo_free_image(&image);
    }
    return sum;
}

static void weights(void **state)
{
    (void)state;
    static const char high[] = SNOW ", (pine trees:1.6)", low[] = SNOW ", (pine trees:0.2)";
    MORE(trees_of_weight("a1111", high) - trees_of_weight("a1111", low), a1111_least);
    MORE(trees_of_weight("comfy", high) - trees_of_weight("comfy", low), comfy_least);
}

int main(int count, char **words)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repaint),     cmocka_unit_test(night_falls), cmocka_unit_test(two_regions),
        cmocka_unit_test(no_trees),    cmocka_unit_test(variation),   cmocka_unit_test(wider),
        cmocka_unit_test(second_pass), cmocka_unit_test(weights),
    };
    calo_open_options options = CALO_OPEN_OPTIONS_INIT;
    if (count != 4)
        return fprintf(stderr, "usage: test_flows CALOTYPE MODEL WORK\n"), 2;
    calotype_path = words[1];
    model_path = words[2];
    work_path = words[3];
    mkdir(work_path, 0777);
    options.device = "none";
    if (calo_open(&context, &options))
        return fprintf(stderr, "%s\n", calo_error(context)), 1;
    const int failed = cmocka_run_group_tests(tests, houses, NULL);
    calo_close(&context);
    return failed;
}
