/* Picture files: read as Pillow reads them (tests/golden/pictures), damaged and hostile ones refused. */
#include "../../engine/image.h"
#include "../../engine/png.h"
#include "../golden/pictures/vectors.h"
#include "allocations.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

static void files_equal_pillow(void **state)
{
    (void)state;
    int seen = 0;
    for (int kind = PNG; kind <= JPEG; kind++) {
        record r;
        for (size_t at = 0; next_record(kind, &at, &r); seen++) {
            const size_t size = (size_t)r.a[2];
            calo_raster raster;
            calo_fault fault = { 0 };
            /* An exact block, so that a byte read behind its end is seen. */
            uint8_t *file = memcpy(calo_alloc(size, 1), r.data, size);
            if (calo_picture_decode(file, size, "file", &raster, &fault))
                fail_msg("file %d: %s", seen, fault.text);
            assert_int_equal(raster.width, r.a[0]);
            assert_int_equal(raster.height, r.a[1]);
            const int channels = kind == PNG ? 4 : 3, tolerance = kind == PNG ? 0 : 6;
            for (int i = 0; i < channels * r.a[0] * r.a[1]; i++) {
                const int pixel = i / channels, c = i % channels;
                const int expected = r.data[size + (size_t)i];
                const int found = c < raster.channels ? raster.pixels[pixel * raster.channels + c] : 255;
                if (abs(found - expected) > tolerance)
                    fail_msg("file %d, pixel %d, channel %d: %d, not %d", seen, pixel, c, found, expected);
            }
            calo_free(raster.pixels);
            /* Cut anywhere, it is refused. */
            for (size_t cut = 0; cut < size; cut++) {
                uint8_t *part = calo_alloc(cut + !cut, 1);
                memcpy(part, file, cut);
                assert_int_equal(calo_picture_decode(part, cut, "file", &raster, NULL), CALO_EFILE);
                assert_null(raster.pixels);
                calo_free(part);
            }
            calo_free(file);
        }
    }
    assert_true(seen > 80);
}

/* A PNG that is built by hand. */
typedef struct builder {
    uint8_t *bytes;
    size_t size;
} builder;

static void put(builder *b, const void *bytes, size_t size)
{
    b->bytes = calo_resize(b->bytes, b->size + size + 1, 1);
    assert_non_null(b->bytes);
    if (size)
        memcpy(b->bytes + b->size, bytes, size);
    b->size += size;
}

static void put_number(builder *b, uint32_t value)
{
    const uint8_t bytes[4] = { (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value };
    put(b, bytes, 4);
}

static void put_chunk(builder *b, const char *type, const void *body, size_t size)
{
    put_number(b, (uint32_t)size);
    put(b, type, 4);
    put(b, body, size);
    put_number(b, (uint32_t)crc32(crc32(0, (const Bytef *)type, 4), size ? body : (const void *)"", (uInt)size));
}

static builder begin_png(uint32_t width, uint32_t height, int bits, int color)
{
    builder b = { 0 };
    uint8_t header[13] = { (uint8_t)(width >> 24),  (uint8_t)(width >> 16),  (uint8_t)(width >> 8),  (uint8_t)width,
                           (uint8_t)(height >> 24), (uint8_t)(height >> 16), (uint8_t)(height >> 8), (uint8_t)height,
                           (uint8_t)bits,           (uint8_t)color };
    put(&b, "\x89PNG\r\n\x1a\n", 8);
    put_chunk(&b, "IHDR", header, sizeof header);
    return b;
}

/* `size` zeros, packed, with `before` in front of them. */
static uint8_t *packed_zeros(const char *before, size_t size, size_t *packed)
{
    const size_t lead = strlen(before);
    uint8_t *zeros = calo_alloc(lead + size, 1);
    uLongf room = compressBound((uLong)(lead + size));
    uint8_t *to = calo_alloc(room, 1);
    assert_true(zeros && to);
    memcpy(zeros, before, lead);
    assert_int_equal(compress2(to, &room, zeros, (uLong)(lead + size), 9), Z_OK);
    calo_free(zeros);
    *packed = room;
    return to;
}

/* Grey of 4 × 4, with `size` bytes of rows. */
static builder small_png(size_t rows)
{
    builder b = begin_png(4, 4, 8, 0);
    size_t packed;
    uint8_t *data = packed_zeros("", rows, &packed);
    put_chunk(&b, "IDAT", data, packed);
    calo_free(data);
    return b;
}

static void end_png(builder *b, calo_status expected, const char *word)
{
    calo_raster raster;
    calo_fault fault = { 0 };
    put_chunk(b, "IEND", NULL, 0);
    assert_int_equal(calo_picture_decode(b->bytes, b->size, "file", &raster, &fault), expected);
    if (!strstr(fault.text, word))
        fail_msg("%s: %s", word, fault.text);
    calo_free(raster.pixels);
    calo_free(b->bytes);
}

/* Of 16-bit grey the high byte; Pillow's own conversion clips it (v > 255 is white). */
static void grey_of_16_bits_keeps_its_high_byte(void **state)
{
    (void)state;
    builder b = begin_png(2, 1, 16, 0);
    calo_raster raster;
    size_t packed;
    uint8_t *data = packed_zeros("\1\x12\x34\x70\x01", 0, &packed); /* the second pixel is a difference */
    put_chunk(&b, "IDAT", data, packed);
    put_chunk(&b, "IEND", NULL, 0);
    assert_int_equal(calo_picture_decode(b.bytes, b.size, "file", &raster, NULL), CALO_OK);
    assert_int_equal(raster.channels, 3);
    assert_memory_equal(raster.pixels, "\x12\x12\x12\x82\x82\x82", 6);
    calo_free(raster.pixels);
    calo_free(data);
    calo_free(b.bytes);
}

static void damaged_pngs_are_refused(void **state)
{
    (void)state;
    builder b = small_png(20);
    end_png(&b, CALO_OK, "");
    b = small_png(19);
    end_png(&b, CALO_EFILE, "fewer pixels");
    b = small_png(16 << 20); /* a bomb: what is behind the rows is never unpacked */
    end_png(&b, CALO_OK, "");
    b = small_png(20);
    b.bytes[b.size - 1] ^= 1;
    end_png(&b, CALO_EFILE, "check sum");
    b = small_png(20);
    b.bytes[16 + 3] ^= 1; /* the width, without its CRC */
    end_png(&b, CALO_EFILE, "check sum");
    b = small_png(20);
    put_chunk(&b, "CgBI", "1234", 4);
    end_png(&b, CALO_EFILE, "unknown extension");
    b = small_png(20);
    put_chunk(&b, "tEXt", "a", 1);
    put_chunk(&b, "IDAT", "1234", 4);
    end_png(&b, CALO_EFILE, "scattered");
    b = small_png(20);
    put_chunk(&b, "IHDR", "1234567890123", 13);
    end_png(&b, CALO_EFILE, "unknown extension");
    b = begin_png(4, 4, 8, 0);
    end_png(&b, CALO_EFILE, "no pixels");
    b = begin_png(4, 4, 8, 3);
    put_chunk(&b, "IDAT", "1234", 4);
    end_png(&b, CALO_EFILE, "no palette");
    b = begin_png(4, 4, 8, 3);
    put_chunk(&b, "PLTE", "1234", 4);
    end_png(&b, CALO_EFILE, "palette");
    b = begin_png(4, 4, 8, 6);
    put_chunk(&b, "tRNS", "1234", 4);
    end_png(&b, CALO_EFILE, "transparency");
    b = begin_png(4, 4, 8, 0);
    put_chunk(&b, "IDAT", "not packed", 10);
    end_png(&b, CALO_EFILE, "cannot be unpacked");
    b = begin_png(4, 4, 8, 0);
    size_t packed;
    uint8_t *data = packed_zeros("\x07", 40, &packed);
    put_chunk(&b, "IDAT", data, packed);
    calo_free(data);
    end_png(&b, CALO_EFILE, "unknown filter");
    static const struct {
        uint32_t width, height;
        int bits, color;
        const char *word;
    } headers[] = { { 0, 4, 8, 0, "no pixels" },        { 4, 0, 8, 0, "no pixels" },
                    { 16385, 1, 8, 0, "16385 × 1" },    { 16384, 16384, 8, 2, "million" },
                    { 0xffffffff, 2, 8, 0, "million" }, { 65536, 65536, 1, 0, "million" },
                    { 4, 4, 3, 0, "unknown format" },   { 4, 4, 16, 3, "unknown format" },
                    { 4, 4, 8, 1, "unknown format" },   { 4, 4, 8, 200, "unknown format" },
                    { 4, 4, 255, 0, "unknown format" } };
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        b = begin_png(headers[i].width, headers[i].height, headers[i].bits, headers[i].color);
        put_chunk(&b, "IDAT", "1234", 4);
        end_png(&b, CALO_EFILE, headers[i].word);
    }
}

static void bad_jpegs_are_refused(void **state)
{
    (void)state;
    record r;
    size_t at = 0;
    calo_raster raster;
    assert_true(next_record(JPEG, &at, &r));
    const size_t size = (size_t)r.a[2];
    builder b = { 0 };
    put(&b, r.data, size - 2);
    for (int i = 0; i < 100; i++)
        put(&b, "\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00", 10); /* the scan of a component, 100 times */
    put(&b, "\xff\xd9", 2);
    calo_fault fault = { 0 };
    assert_int_equal(calo_picture_decode(b.bytes, b.size, "file", &raster, &fault), CALO_EFILE);
    assert_non_null(strstr(fault.text, "more than 64 scans"));
    calo_free(b.bytes);
    /* A code table that says it has 16 · 17 codes, which stb_image would write past its own. */
    uint8_t table[2 + 2 + 17 + 272] = { 0xff, 0xc4, 1, 19 + 272 - 256, 0 };
    memset(table + 5, 17, 16);
    b = (builder){ 0 };
    put(&b, r.data, 2);
    put(&b, table, sizeof table);
    put(&b, r.data + 2, size - 2);
    fault = (calo_fault){ 0 };
    assert_int_equal(calo_picture_decode(b.bytes, b.size, "file", &raster, &fault), CALO_EFILE);
    assert_non_null(strstr(fault.text, "code table"));
    calo_free(b.bytes);
    /* Every byte of a picture changed: any answer, but no fault of the sanitizers. */
    uint8_t *file = memcpy(calo_alloc(size, 1), r.data, size);
    for (size_t i = 0; i < size; i++) {
        file[i] ^= 0x55;
        if (!calo_picture_decode(file, size, "file", &raster, NULL))
            calo_free(raster.pixels);
        file[i] ^= 0x55;
    }
    calo_free(file);
}

/* ---- text ------------------------------------------------------------------------------------------------------- */

/* A 4 × 4 picture with one text chunk; what is found under "parameters". */
static calo_status find_text(const char *type, const void *body, size_t size, char **text, calo_fault *fault)
{
    builder b = small_png(20);
    put_chunk(&b, "tEXt", "other\0text", 10);
    put_chunk(&b, type, body, size);
    put_chunk(&b, "IEND", NULL, 0);
    calo_status status = calo_png_find_text(b.bytes, b.size, "file", "parameters", text, fault);
    calo_free(b.bytes);
    return status;
}

static void expect_text(const char *type, const void *body, size_t size, const char *expected)
{
    char *text;
    calo_fault fault = { 0 };
    if (find_text(type, body, size, &text, &fault))
        fail_msg("%s: %s", type, fault.text);
    if (expected)
        assert_string_equal(text, expected);
    else
        assert_null(text);
    calo_free(text);
}

static void expect_bad_text(const char *type, const void *body, size_t size, const char *word)
{
    char *text;
    calo_fault fault = { 0 };
    assert_int_equal(find_text(type, body, size, &text, &fault), CALO_EFILE);
    assert_null(text);
    if (!strstr(fault.text, word))
        fail_msg("%s: %s", word, fault.text);
}

/* `before`, then `size` zeros packed that begin with `lead`. */
static void packed_text(const char *before, size_t before_size, const char *lead, size_t zeros, builder *b)
{
    size_t packed;
    uint8_t *data = packed_zeros(lead, zeros, &packed);
    *b = (builder){ 0 };
    put(b, before, before_size);
    put(b, data, packed);
    calo_free(data);
}

static void texts_are_read_and_bounded(void **state)
{
    (void)state;
    expect_text("tEXt", "parameters\0a red\xe9", 17, "a red\xc3\xa9");
    expect_text("tEXt", "parameters\0", 11, "");
    expect_text("tEXt", "parameters", 10, NULL);
    expect_text("tEXt", "parametersX\0no", 14, NULL);
    expect_text("iTXt", "parameters\0\0\0\0\0\xe2\x82\xac", 18, "\xe2\x82\xac");
    expect_text("iTXt", "parameters\0\0\0de\0Worte\0x", 23, "x");
    expect_bad_text("iTXt", "parameters\0\0", 12, "malformed");
    expect_bad_text("iTXt", "parameters\0\0\0de", 15, "malformed");
    expect_bad_text("iTXt", "parameters\0\2\0\0\0x", 16, "malformed");
    expect_bad_text("iTXt", "parameters\0\1\7\0\0x", 16, "method");
    expect_bad_text("iTXt", "parameters\0\0\0\0\0\xe2\x82", 17, "UTF-8");
    expect_bad_text("zTXt", "parameters\0", 11, "method");
    expect_bad_text("zTXt", "parameters\0\0junk", 16, "unpacked");
    expect_bad_text("zTXt", "parameters\0\0", 12, "");
    builder b;
    packed_text("parameters\0\0", 12, "a cat", 100, &b);
    expect_text("zTXt", b.bytes, b.size, "a cat");
    expect_bad_text("zTXt", b.bytes, b.size - 3, "");
    calo_free(b.bytes);
    packed_text("parameters\0\1\0\0\0", 15, "a cat", 1, &b);
    expect_text("iTXt", b.bytes, b.size, "a cat");
    calo_free(b.bytes);
    packed_text("parameters\0\0", 12, "a bomb", 32 << 20, &b);
    expect_bad_text("zTXt", b.bytes, b.size, "longer than 1 MiB");
    calo_free(b.bytes);
    packed_text("parameters\0\0", 12, "", (1 << 20) + 1, &b);
    expect_bad_text("zTXt", b.bytes, b.size, "longer than 1 MiB");
    calo_free(b.bytes);
    b = (builder){ 0 };
    put(&b, "parameters", 11);
    b.bytes = calo_resize(b.bytes, 3 << 20, 1);
    memset(b.bytes + 11, 'x', (3 << 20) - 11);
    expect_bad_text("tEXt", b.bytes, 3 << 20, "longer than 1 MiB");
    calo_free(b.bytes);
    /* A length that passes the file's end. */
    builder png = small_png(20);
    put(&png, "\xff\xff\xff\xf0tEXtparameters\0", 19);
    char *text;
    assert_int_equal(calo_png_find_text(png.bytes, png.size, "file", "parameters", &text, NULL), CALO_EFILE);
    calo_free(png.bytes);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    builder b;
    packed_text("parameters\0\0", 12, "a cat", 100, &b);
    builder png = small_png(20);
    put_chunk(&png, "zTXt", b.bytes, b.size);
    for (int kind = PNG; kind <= JPEG; kind++) {
        record r;
        for (size_t at = 0; next_record(kind, &at, &r);) {
            calo_status status = CALO_EMEMORY;
            for (int n = 0; status; n++) {
                calo_raster raster;
                allocations_left = n;
                status = calo_picture_decode(r.data, (size_t)r.a[2], "file", &raster, NULL);
                allocations_left = -1;
                assert_true(status == CALO_OK || status == CALO_EMEMORY);
                calo_free(raster.pixels);
            }
        }
    }
    for (int n = 0; n < 3; n++) {
        char *text;
        allocations_left = n;
        const calo_status status = calo_png_find_text(png.bytes, png.size, "file", "parameters", &text, NULL);
        allocations_left = -1;
        assert_int_equal(status, n < 2 ? CALO_EMEMORY : CALO_OK);
        calo_free(text);
    }
    calo_free(png.bytes);
    calo_free(b.bytes);
}

/* ---- the public functions --------------------------------------------------------------------------------------- */

static void images_go_to_a_file_and_back(void **state)
{
    (void)state;
    const calo_open_options options = { .size = sizeof options, .device = "none" };
    char path[] = "/tmp/calo_pictures_XXXXXX";
    const int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    close(descriptor);
    calo_context *context;
    calo_image *image, *copy, *loaded;
    uint8_t pixels[5 * 3 * 4];
    fill(0, pixels, sizeof pixels);
    assert_int_equal(calo_open(&context, &options), CALO_OK);
    for (int channels = 1; channels <= 4; channels++) {
        const calo_status status = calo_make_image(context, 5, 3, channels, pixels, &image);
        assert_int_equal(status, channels == 2 ? CALO_EUSAGE : CALO_OK);
        if (status) {
            assert_null(image);
            continue;
        }
        assert_int_equal(calo_image_width(image), 5);
        assert_int_equal(calo_image_height(image), 3);
        assert_true((calo_image_alpha(image) != NULL) == (channels == 4));
        assert_int_equal(calo_image_copy(context, image, &copy), CALO_OK);
        calo_free_image(&image);
        assert_int_equal(calo_save_png(copy, path), CALO_OK);
        assert_int_equal(calo_load_image(context, path, &loaded), CALO_OK);
        assert_true((calo_image_alpha(loaded) != NULL) == (channels == 4));
        for (int i = 0; i < 15; i++) {
            for (int c = 0; c < 3; c++)
                assert_int_equal(calo_image_pixels(loaded)[3 * i + c], pixels[channels * i + (channels == 1 ? 0 : c)]);
            if (channels == 4)
                assert_int_equal(calo_image_alpha(loaded)[i], pixels[4 * i + 3]);
        }
        calo_free_image(&copy);
        calo_free_image(&loaded);
    }
    for (int i = 0; i < 15; i++)
        pixels[4 * i + 3] = 255;
    assert_int_equal(calo_make_image(context, 5, 3, 4, pixels, &image), CALO_OK);
    assert_null(calo_image_alpha(image)); /* opaque throughout */
    calo_free_image(&image);
    const float values[3] = { 0, 0.5f, 1 };
    assert_int_equal(calo_image_make(context, 1, 1, values, "a house\nSteps: 4", &image), CALO_OK);
    assert_int_equal(calo_save_png(image, path), CALO_OK);
    assert_int_equal(calo_load_image(context, path, &loaded), CALO_OK);
    assert_string_equal(calo_image_parameters(loaded), "a house\nSteps: 4");
    calo_free_image(&image);
    calo_free_image(&loaded);
    const int sides[] = { 0, -3, 16385 };
    for (int i = 0; i < 3; i++) {
        assert_int_equal(calo_make_image(context, sides[i], 3, 3, pixels, &image), CALO_EUSAGE);
        assert_int_equal(calo_make_image(context, 3, sides[i], 3, pixels, &image), CALO_EUSAGE);
        assert_non_null(strstr(calo_error(context), "a side is"));
    }
    assert_int_equal(calo_make_image(context, 3, 3, 3, NULL, &image), CALO_EUSAGE);
    assert_int_equal(calo_load_image(context, NULL, &image), CALO_EUSAGE);
    assert_int_equal(calo_load_image(context, "/nowhere/in.png", &image), CALO_EFILE);
    assert_non_null(strstr(calo_error(context), "/nowhere/in.png"));
    assert_null(image);
    calo_close(&context);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_equal_pillow),           cmocka_unit_test(grey_of_16_bits_keeps_its_high_byte),
        cmocka_unit_test(damaged_pngs_are_refused),     cmocka_unit_test(bad_jpegs_are_refused),
        cmocka_unit_test(texts_are_read_and_bounded),   cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(images_go_to_a_file_and_back),
    };
    return cmocka_run_group_tests(tests, open_vectors, close_vectors);
}
