/* Writing PNG (W3C, second edition) over zlib. */
#include "png.h"
#include "text/unicode.h"

#include <string.h>
#include <zlib.h>

static const uint8_t signature[8] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };

static void put_u32(uint8_t *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(value >> (24 - 8 * i));
}

static calo_status put_chunk(calo_writer *writer, const char *type, const uint8_t *body, size_t size, calo_fault *fault)
{
    uint8_t head[8], tail[4];
    put_u32(head, (uint32_t)size);
    memcpy(head + 4, type, 4);
    uLong crc = crc32(0, head + 4, 4);
    if (size)
        crc = crc32(crc, body, (uInt)size);
    put_u32(tail, (uint32_t)crc);
    calo_status status = calo_writer_put(writer, head, sizeof head, fault);
    if (!status && size)
        status = calo_writer_put(writer, body, size, fault);
    return status ? status : calo_writer_put(writer, tail, sizeof tail, fault);
}

/* UTF-8 to Latin-1 in `out`; false when a character has no place there. */
static bool to_latin1(const char *text, uint8_t *out, size_t *size)
{
    const uint8_t *p = (const uint8_t *)text;
    *size = 0;
    while (*p) {
        uint8_t c = *p++;
        if (c >= 0x80) {
            if ((c != 0xc2 && c != 0xc3) || (*p & 0xc0) != 0x80)
                return false;
            c = (uint8_t)(c << 6 | (*p++ & 0x3f));
        }
        out[(*size)++] = c;
    }
    return true;
}

/* UTF-8 in `out`, which has room for three times the text: bytes that are not UTF-8 become U+FFFD. */
static calo_status to_utf8(const char *text, uint8_t *out, size_t *size, calo_fault *fault)
{
    calo_codes codes = { 0 };
    *size = 0;
    if (!calo_unicode_decode(text, strlen(text), &codes, fault))
        for (size_t i = 0; i < codes.count; i++)
            *size += (size_t)calo_unicode_encode(codes.at[i], out + *size);
    calo_codes_free(&codes);
    return fault->status;
}

static calo_status put_text(calo_writer *writer, const calo_png_text *text, calo_fault *fault)
{
    const size_t key = strlen(text->key), length = strlen(text->text);
    uint8_t *body = calo_alloc(key + 3 * length + 9, 1); /* an encoder may write 4 bytes at the end */
    size_t size;
    if (!body)
        return calo_fail(fault, CALO_EMEMORY, "no host memory for a PNG's text");
    memcpy(body, text->key, key);
    calo_status status;
    if (to_latin1(text->text, body + key + 1, &size)) {
        status = put_chunk(writer, "tEXt", body, key + 1 + size, fault);
    } else { /* key, 0, not compressed, method, no language, no translated key */
        memset(body + key, 0, 5);
        status = to_utf8(text->text, body + key + 5, &size, fault);
        if (!status)
            status = put_chunk(writer, "iTXt", body, key + 5 + size, fault);
    }
    calo_free(body);
    return status;
}

static int paeth(int a, int b, int c)
{
    const int p = a + b - c, pa = p > a ? p - a : a - p, pb = p > b ? p - b : b - p, pc = p > c ? p - c : c - p;
    return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}

/* Filter 4 (Paeth) on every row: near the best of the five for pictures, and simple. */
static void filter_row(const uint8_t *row, const uint8_t *above, size_t size, size_t channels, uint8_t *out)
{
    *out++ = 4;
    for (size_t i = 0; i < size; i++) {
        const int left = i >= channels ? row[i - channels] : 0, up = above[i];
        const int corner = i >= channels ? above[i - channels] : 0;
        out[i] = (uint8_t)(row[i] - paeth(left, up, corner));
    }
}

/* A row of the picture as the file has it, RGB or RGBA. */
static void gather_row(const uint8_t *pixels, const uint8_t *alpha, size_t width, uint8_t *row)
{
    if (!alpha) {
        memcpy(row, pixels, width * 3);
        return;
    }
    for (size_t x = 0; x < width; x++) {
        memcpy(row + 4 * x, pixels + 3 * x, 3);
        row[4 * x + 3] = alpha[x];
    }
}

/* The filtered rows [height, 1 + width·channels] of a picture; `rows` has room for two rows, the second all 0. */
static void filter_rows(const uint8_t *pixels, const uint8_t *alpha, size_t width, size_t height, uint8_t *rows,
                        uint8_t *out)
{
    const size_t channels = alpha ? 4 : 3, size = width * channels;
    uint8_t *row = rows, *above = rows + size;
    for (size_t y = 0; y < height; y++) {
        gather_row(pixels + y * width * 3, alpha ? alpha + y * width : NULL, width, row);
        filter_row(row, above, size, channels, out + y * (size + 1));
        uint8_t *swap = row;
        row = above;
        above = swap;
    }
}

calo_status calo_png_write(const char *path, const uint8_t *pixels, const uint8_t *alpha, int width, int height,
                           const calo_png_text *texts, int text_count, calo_fault *fault)
{
    const size_t row = (size_t)width * (alpha ? 4 : 3), raw_size = (row + 1) * (size_t)height;
    uLongf packed_size = compressBound((uLong)raw_size);
    uint8_t *raw = calo_alloc(raw_size, 1), *packed = calo_alloc(packed_size, 1), *rows = calo_alloc(row, 2);
    uint8_t header[13] = { 0 };
    calo_writer *writer = NULL;
    calo_status status = CALO_OK;
    if (!raw || !packed || !rows) {
        status = calo_fail(fault, CALO_EMEMORY, "no host memory to write %s", path);
        goto done;
    }
    filter_rows(pixels, alpha, (size_t)width, (size_t)height, rows, raw);
    if (compress2(packed, &packed_size, raw, (uLong)raw_size, 6) != Z_OK) {
        status = calo_fail(fault, CALO_EMEMORY, "no host memory to compress %s", path);
        goto done;
    }
    put_u32(header, (uint32_t)width);
    put_u32(header + 4, (uint32_t)height);
    header[8] = 8;             /* bits */
    header[9] = alpha ? 6 : 2; /* RGBA or RGB */
    status = calo_writer_open(path, &writer, fault);
    if (!status)
        status = calo_writer_put(writer, signature, sizeof signature, fault);
    if (!status)
        status = put_chunk(writer, "IHDR", header, sizeof header, fault);
    for (int i = 0; i < text_count && !status; i++)
        status = put_text(writer, &texts[i], fault);
    if (!status)
        status = put_chunk(writer, "IDAT", packed, packed_size, fault);
    if (!status)
        status = put_chunk(writer, "IEND", NULL, 0, fault);
    if (!status)
        status = calo_writer_commit(&writer, fault);
done:
    calo_writer_abandon(&writer);
    calo_free(raw);
    calo_free(packed);
    calo_free(rows);
    return status;
}
