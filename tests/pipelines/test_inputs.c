/* Pictures, masks, prompts, regions and state files as nobody should send them: each has its exit status and a sentence
   that names it, or is documented and makes a picture of the size that was asked for. */
#include "command.h"

#include "../../engine/calotype.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static const uint8_t jpeg[] = {
#include "jpeg.inc"
};

static calo_context *context; /* no device */

#define RUN(...) run_command((const char *const[]){ __VA_ARGS__, NULL }, 0, 0)
#define COMMON "--model", model_path, "--prompt", "a red house", "--quiet", "--steps", "2"
#define TXT2IMG "txt2img", COMMON, "--width", "64", "--height", "64"
#define IMG2IMG "img2img", COMMON, "--init"
#define INPAINT "inpaint", COMMON, "--init"

/* ---- pictures --------------------------------------------------------------------------------------------------- */

static void put_u32(uint8_t *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void put_chunk(FILE *file, const char *type, const void *body, size_t size)
{
    uint8_t head[8], tail[4];
    put_u32(head, (uint32_t)size);
    memcpy(head + 4, type, 4);
    put_u32(tail, (uint32_t)crc32(crc32(0, head + 4, 4), body ? body : (const void *)"", (uInt)size));
    fwrite(head, 1, 8, file);
    fwrite(body ? body : "", 1, size, file);
    fwrite(tail, 1, 4, file);
}

typedef struct png {
    uint32_t width, height;
    uint8_t bits, colour; /* as PNG numbers them: 0 grey, 2 RGB, 3 palette, 4 grey and opacity, 6 RGBA */
    const char *type;     /* one chunk more, before the pixels; or NULL */
    const void *body;
    size_t size;
    int missing; /* bytes of packed pixels that are left out */
} png;

/* A picture of bytes 0, 7, 14, …, at work_path/name; few pixels are written where the sides are huge. */
static const char *make_png(const char *name, const png *p)
{
    static const int samples[] = { 1, 0, 3, 1, 2, 0, 4 };
    const char *path = in_work(name);
    const size_t row = ((size_t)p->width * p->bits * (size_t)samples[p->colour] + 7) / 8 + 1;
    const size_t size = row * p->height < (1 << 20) ? row * p->height : 64;
    uLongf packed_size = compressBound((uLong)size);
    uint8_t header[13] = { 0 }, palette[768], *raw = calloc(1, size), *packed = malloc(packed_size);
    FILE *file = fopen(path, "wb");
    assert_true(file && raw && packed);
    for (size_t i = 0; i < size; i++)
        raw[i] = i % row ? (uint8_t)(7 * i) : 0;
    for (int i = 0; i < 768; i++)
        palette[i] = (uint8_t)(5 * i);
    assert_int_equal(compress(packed, &packed_size, raw, (uLong)size), Z_OK);
    put_u32(header, p->width);
    put_u32(header + 4, p->height);
    header[8] = p->bits;
    header[9] = p->colour;
    fwrite("\x89PNG\r\n\x1a\n", 1, 8, file);
    put_chunk(file, "IHDR", header, 13);
    if (p->colour == 3)
        put_chunk(file, "PLTE", palette, 768);
    if (p->type)
        put_chunk(file, p->type, p->body, p->size);
    put_chunk(file, "IDAT", packed, packed_size - (uLongf)p->missing);
    put_chunk(file, "IEND", NULL, 0);
    fclose(file);
    free(raw);
    free(packed);
    return path;
}

static const char *plain(const char *name, uint32_t width, uint32_t height)
{
    return make_png(name, &(png){ .width = width, .height = height, .bits = 8, .colour = 2 });
}

static const char *grey(const char *name, int width, int height, uint8_t value)
{
    uint8_t *pixels = malloc((size_t)(width * height));
    calo_image *image;
    memset(pixels, value, (size_t)(width * height));
    assert_int_equal(calo_make_image(context, width, height, 1, pixels, &image), CALO_OK);
    assert_int_equal(calo_save_png(image, in_work(name)), CALO_OK);
    calo_free_image(&image);
    free(pixels);
    return in_work(name);
}

/* ---- outcomes --------------------------------------------------------------------------------------------------- */

#define REFUSED(status, word, ...) expect(RUN(__VA_ARGS__, "--output", in_work("bad.png")), status, word, __LINE__)
static void expect(outcome o, int status, const char *word, int line)
{
    const char *end = strchr(o.errors, '\n');
    if (o.status != status || !strstr(o.errors, word) || !end || end[1])
        print_message("line %d: status %d (expected %d), stderr: %s(expected one line that names %s)\n", line, o.status,
                      status, o.errors, word);
    assert_int_equal(o.status, status);
    assert_non_null(strstr(o.errors, word));
    assert_true(end && !end[1]);
    assert_int_not_equal(access(in_work("bad.png"), F_OK), 0);
}

#define MAKES(width, height, ...)                                                                                      \
    expect_picture(RUN(__VA_ARGS__, "--output", in_work("good.png")), width, height, __LINE__)
static void expect_picture(outcome o, int width, int height, int line)
{
    calo_image *image = NULL;
    if (o.status)
        print_message("line %d: status %d, %s\n", line, o.status, o.errors);
    assert_int_equal(o.status, 0);
    assert_int_equal(calo_load_image(context, in_work("good.png"), &image), CALO_OK);
    assert_int_equal(calo_image_width(image), width);
    assert_int_equal(calo_image_height(image), height);
    calo_free_image(&image);
    unlink(in_work("good.png"));
}

/* ---- tests ------------------------------------------------------------------------------------------------------ */

static void masks(void **state)
{
    (void)state;
    const char *const init = strdup(plain("init.png", 64, 64));
    REFUSED(2, "the mask is 32 × 64, the picture 64 × 64", INPAINT, init, "--mask", plain("narrow.png", 32, 64));
    REFUSED(2, "the mask is 1 × 1", INPAINT, init, "--mask", plain("dot.png", 1, 1));
    REFUSED(2, "the mask repaints nothing", INPAINT, init, "--mask", grey("black.png", 64, 64, 0));
    REFUSED(2, "the mask repaints nothing", INPAINT, init, "--mask", grey("dark.png", 64, 64, 127));
    REFUSED(2, "mask", INPAINT, init, "--mask", grey("black.png", 64, 64, 0), "--mask-padding", "8", "--width", "64",
            "--height", "64");
    REFUSED(2, "mask", INPAINT, init); /* an opaque picture, and no mask */
    REFUSED(3, "/nowhere.png", INPAINT, init, "--mask", "/nowhere.png");
    REFUSED(3, model_path, INPAINT, init, "--mask", model_path);
    REFUSED(2, "extend", INPAINT, init, "--extend", "0,0,12,0");
    REFUSED(2, "extend", INPAINT, init, "--extend", "0,0,-8,0");
    REFUSED(2, "extend", INPAINT, init, "--extend", "0,0,8");
    REFUSED(2, "--extend", INPAINT, init, "--extend", "8192,8192,8192,16384");
    MAKES(64, 64, INPAINT, init, "--mask", grey("white.png", 64, 64, 255));
    MAKES(64, 64, INPAINT, init, "--mask", grey("half.png", 64, 64, 128));
    MAKES(64, 64, INPAINT, init, "--mask", grey("white.png", 64, 64, 255), "--mask-padding", "16", "--mask-blur", "256",
          "--width", "64", "--height", "64", "--fill", "noise");
    MAKES(96, 72, INPAINT, init, "--extend", "8,0,24,8");
    MAKES(64, 64, INPAINT, make_png("clear.png", &(png){ .width = 64, .height = 64, .bits = 8, .colour = 6 }));
    free((char *)init);
}

static void strengths(void **state)
{
    (void)state;
    const char *const init = strdup(plain("init.png", 64, 64));
    static const char *const bad[] = { "0", "-0.5", "1.01", "nan", "inf", "-inf", "1e-30", "", "much" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        REFUSED(2, "strength", IMG2IMG, init, "--strength", bad[i]);
    REFUSED(2, "strength 0.3 of 2 steps leaves none to run", IMG2IMG, init, "--strength", "0.3");
    REFUSED(2, "strength", INPAINT, init, "--strength", "0.3", "--extend", "8,8,8,8");
    REFUSED(2, "hires-strength", TXT2IMG, "--hires", "1.5", "--hires-strength", "0");
    REFUSED(2, "strength 0.3 of 2 steps leaves none to run", TXT2IMG, "--hires", "1.5", "--hires-strength", "0.3");
    MAKES(64, 64, IMG2IMG, init, "--strength", "0.5");
    free((char *)init);
}

/* A million and more characters do not fit into a command line's word; 10,000 tokens do. */
static void prompts(void **state)
{
    (void)state;
    static const char *const styles[] = { "plain", "a1111", "comfy" };
    enum { WORDS = 10000, SIZE = WORDS * 6 };
    char *longest = malloc(SIZE + 1), *shorter = malloc(SIZE + 1);
    for (int i = 0; i < WORDS; i++)
        memcpy(longest + 6 * i, i % 2 ? "house " : " hill ", 6);
    longest[SIZE] = '\0';
    snprintf(shorter, SIZE + 1, "%.*s", SIZE - 1800, longest);
    for (int i = 0; i < 3; i++)
        MAKES(64, 64, "txt2img", "--model", model_path, "--quiet", "--steps", "1", "--width", "64", "--height", "64",
              "--guidance", "1", "--prompt-style", styles[i], "--prompt", longest);
    /* 134 chunks beside 130: 8,710 chunks long would be what both fit into. */
    REFUSED(2, "chunks", TXT2IMG, "--prompt-style", "a1111", "--prompt", longest, "--negative", shorter);
    MAKES(64, 64, TXT2IMG, "--prompt-style", "a1111", "--negative", "a b BREAK c", "--prompt", "a BREAK b BREAK c");
    memset(shorter, '(', SIZE); /* as text */
    MAKES(64, 64, TXT2IMG, "--prompt", shorter);
    free(longest);
    free(shorter);
    /* Weights that are no numbers are text, as in the programs that the grammars are from. */
    static const char *const texts[] = { "a (house:nan)",
                                         "a (house:inf)",
                                         "a (house:1e999)",
                                         "a (house:)",
                                         "((((((",
                                         "a ]]] house",
                                         "[a:b:nan]",
                                         "[a:b:-1]",
                                         "[|||]",
                                         "AND",
                                         "AND AND :nan",
                                         "a:1.5 AND",
                                         "BREAK BREAK",
                                         "(house:0)",
                                         "(house:-5)",
                                         "\xff\xfe (a:\xc3)",
                                         "" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (size_t k = i < 3 ? 1 : 1 + i % 2; k < (i < 3 ? 3 : 2 + i % 2); k++) /* the first in both grammars */
            MAKES(64, 64, "txt2img", "--model", model_path, "--quiet", "--steps", "1", "--width", "64", "--height",
                  "64", "--prompt-style", styles[k], "--prompt", texts[i], "--negative", texts[i]);
    REFUSED(2, "a weight in the prompt", TXT2IMG, "--prompt-style", "comfy", "--prompt", "a (house:1e300)");
    REFUSED(6, "not finite", TXT2IMG, "--prompt-style", "a1111", "--prompt",
            "a AND b :1000000000000000000000000000000000000000000000000000000000000");
}

static void regions(void **state)
{
    (void)state;
    static const char *const outside[] = { "0,0,72,64:x", "8,0,64,64:x", "0,64,8,8:x",
                                           "64,0,8,8:x",  "0,0,0,64:x",  "0,0,64,0:x" };
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        REFUSED(2, "region", TXT2IMG, "--region", outside[i]);
    static const char *const malformed[] = { "-8,0,16,16:x",
                                             "0,0,64:x",
                                             "0,0,64,64",
                                             "x",
                                             "",
                                             ":",
                                             "0,0,8,8,8:x",
                                             "nan,0,8,8:x",
                                             "0,0,99999999999,8:x",
                                             "2147483647,0,2147483647,8:x" };
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        REFUSED(2, "region", TXT2IMG, "--region", malformed[i]);
#define EIGHT                                                                                                          \
    "--region", "0,0,8,8:a", "--region", "0,0,8,8:b", "--region", "0,0,8,8:c", "--region", "0,0,8,8:d", "--region",    \
        "0,0,8,8:e", "--region", "0,0,8,8:f", "--region", "0,0,8,8:g", "--region", "63,63,1,1:h:0.5"
    REFUSED(2, "region", TXT2IMG, EIGHT, "--region", "0,0,8,8:i");
    REFUSED(2, "region", TXT2IMG, "--region-negative", "x");
    MAKES(64, 64, TXT2IMG, EIGHT);
    MAKES(64, 64, TXT2IMG, "--region", "0,0,64,64:x:0");
    MAKES(64, 64, TXT2IMG, "--region", "0,0,8,8:");
}

static void sizes(void **state)
{
    (void)state;
    REFUSED(2, "multiples of 8", IMG2IMG, plain("odd.png", 65, 64));
    REFUSED(2, "multiples of 8", IMG2IMG, plain("dot.png", 1, 1));
    REFUSED(2, "say a fit", IMG2IMG, plain("init.png", 64, 64), "--width", "128");
    REFUSED(2, "say a fit", IMG2IMG, plain("odd.png", 65, 64), "--width", "64", "--height", "64");
    REFUSED(2, "--width", IMG2IMG, plain("odd.png", 65, 64), "--width", "60", "--fit", "crop");
    REFUSED(2, "--fit", IMG2IMG, plain("odd.png", 65, 64), "--fit", "melt");
    REFUSED(2, "--init", IMG2IMG, plain("line.png", 2000, 1), "--width", "64", "--height", "64", "--fit",
            "pad"); /* nothing is left of it */
    static const char *const fits[] = { "crop", "pad", "stretch" };
    for (int i = 0; i < 3; i++) {
        MAKES(72, 64, IMG2IMG, plain("odd.png", 65, 97), "--width", "72", "--height", "64", "--fit", fits[i]);
        MAKES(64, 64, IMG2IMG, plain("dot.png", 1, 1), "--width", "64", "--height", "64", "--fit", fits[i]);
        MAKES(64, 72, INPAINT, plain("odd.png", 65, 97), "--mask", grey("mask.png", 65, 97, 255), "--width", "64",
              "--height", "72", "--fit", fits[i]);
    }
    MAKES(64, 64, IMG2IMG, plain("line.png", 2000, 1), "--width", "64", "--height", "64", "--fit", "stretch");
    REFUSED(2, "hires", TXT2IMG, "--hires", "nan");
    REFUSED(2, "hires", TXT2IMG, "--hires", "9");
    REFUSED(2, "hires", "txt2img", COMMON, "--width", "16384", "--height", "16384", "--hires", "2");
}

static const char *make_file(const char *name, const void *bytes, size_t size)
{
    FILE *file = fopen(in_work(name), "wb");
    assert_non_null(file);
    fwrite(bytes, 1, size, file);
    fclose(file);
    return in_work(name);
}

static void formats(void **state)
{
    (void)state;
    static const png kinds[] = { { 64, 64, 16, 2, NULL, NULL, 0, 0 }, { 64, 64, 16, 0, NULL, NULL, 0, 0 },
                                 { 64, 64, 16, 6, NULL, NULL, 0, 0 }, { 64, 64, 8, 3, NULL, NULL, 0, 0 },
                                 { 64, 64, 4, 3, NULL, NULL, 0, 0 },  { 64, 64, 1, 0, NULL, NULL, 0, 0 },
                                 { 64, 64, 8, 4, NULL, NULL, 0, 0 } };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        MAKES(64, 64, IMG2IMG, make_png("kind.png", &kinds[i]));
    MAKES(16, 16, IMG2IMG, make_file("x.jpg", jpeg, sizeof jpeg));
    MAKES(16, 16, INPAINT, in_work("x.jpg"), "--mask", grey("small.png", 16, 16, 255));
    for (size_t size = 0; size < sizeof jpeg; size += 31) /* cut, it is refused, or decodes to what was there */
        assert_true(strchr(
            "\x03\x02",
            RUN(IMG2IMG, make_file("cut.jpg", jpeg, size), "--width", "8", "--output", in_work("bad.png")).status));
    REFUSED(3, "parameters", "again", in_work("x.jpg")); /* it has no settings */
}

/* What a PNG may hold that is not meant well, as a picture to begin with and as one to make again. */
static void hostile(void **state)
{
    (void)state;
    static uint8_t text[3 << 20], packed[1 << 16];
    memset(text, 'a', sizeof text);
    memcpy(text, "parameters", 11);
    uLongf size = sizeof packed - 12;
    assert_int_equal(compress(packed + 12, &size, text, sizeof text), Z_OK);
    memcpy(packed, "parameters\0", 12);
    const struct {
        png png;
        int status; /* as a picture */
        const char *word;
    } rows[] = {
        { { 64, 64, 8, 2, "tEXt", text, sizeof text, 0 }, 3, "text" },
        { { 64, 64, 8, 2, "zTXt", packed, 12 + size, 0 }, 3, "text" }, /* 3 MB in a few kB */
        { { 64, 64, 8, 2, "iTXt", "parameters\0\0\0\0\0\xff\xfe", 17, 0 }, 3, "UTF-8" },
        { { 64, 64, 8, 2, "iTXt", "parameters\0\7", 12, 0 }, 3, "text" },
        { { 64, 64, 8, 2, "EVIL", "x", 1, 0 }, 3, "extension" },
        { { 64, 64, 8, 2, "eXIf", "MM\0*\xff\xff\xff\xff", 8, 0 }, 0, "" },
        { { 64, 64, 8, 2, "tRNS", "x", 1, 0 }, 3, "transparency" },
        { { 64, 64, 8, 3, "tRNS", text, 300, 0 }, 3, "transparency" },
        { { 64, 64, 8, 2, NULL, NULL, 0, 30 }, 3, "hostile.png" },
        { { 0, 64, 8, 2, NULL, NULL, 0, 0 }, 3, "pixels" },
        { { 0x7fffffff, 0x7fffffff, 8, 6, NULL, NULL, 0, 0 }, 3, "pixels" },
        { { 4096, 4096, 8, 2, NULL, NULL, 0, 0 }, 3, "pixels" }, /* 48 MB, of which 64 bytes are there */
        { { 64, 64, 7, 2, NULL, NULL, 0, 0 }, 3, "format" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *path = make_png("hostile.png", &rows[i].png);
        if (rows[i].status)
            REFUSED(3, rows[i].word, IMG2IMG, path);
        else
            MAKES(64, 64, IMG2IMG, path);
        const outcome o = RUN("again", path, "--output", in_work("bad.png"));
        if (o.status != 3)
            print_message("row %zu: again gives %d, %s\n", i, o.status, o.errors);
        assert_int_equal(o.status, 3);
        assert_non_null(strstr(o.errors, "hostile.png"));
    }
    REFUSED(3, "/nowhere.png", IMG2IMG, "/nowhere.png");
    REFUSED(3, "empty.png", IMG2IMG, make_file("empty.png", "", 0));
    REFUSED(3, "folder", IMG2IMG, (mkdir(in_work("folder"), 0777), in_work("folder")));
    REFUSED(3, "words.png", IMG2IMG, make_file("words.png", "\x89PNG\r\n\x1a\n", 8));
}

static void states(void **state)
{
    (void)state;
    static char bytes[1 << 20];
    assert_int_equal(RUN(TXT2IMG, "--suspend", in_work("x.job"), "--suspend-at", "1").status, 0);
    FILE *file = fopen(in_work("x.job"), "rb");
    assert_non_null(file);
    const size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    const size_t cuts[] = { 0, 7, 8, 100, size / 2, size - 1 };
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++)
        REFUSED(3, "cut.job", "resume", make_file("cut.job", bytes, cuts[i]), "--model", model_path, "--quiet");
    REFUSED(3, "/nowhere.job", "resume", "/nowhere.job", "--model", model_path, "--quiet");
    REFUSED(3, "f16", "resume", in_work("x.job"), "--model", model_path, "--dtype", "f16", "--quiet");
    MAKES(64, 64, "resume", in_work("x.job"), "--model", model_path, "--quiet");
}

int main(int count, char **words)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks), cmocka_unit_test(strengths), cmocka_unit_test(prompts), cmocka_unit_test(regions),
        cmocka_unit_test(sizes), cmocka_unit_test(formats),   cmocka_unit_test(hostile), cmocka_unit_test(states),
    };
    calo_open_options options = CALO_OPEN_OPTIONS_INIT;
    if (count != 4)
        return fprintf(stderr, "usage: test_inputs CALOTYPE MODEL WORK\n"), 2;
    calotype_path = words[1];
    model_path = words[2];
    work_path = words[3];
    mkdir(work_path, 0777);
    options.device = "none";
    if (calo_open(&context, &options))
        return fprintf(stderr, "%s\n", calo_error(context)), 1;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    calo_close(&context);
    return failed;
}
