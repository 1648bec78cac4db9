/* Picture files. PNG (W3C, second edition) is written directly over zlib, because the text chunks matter; reading is
   stb_image's, limited to PNG and JPEG. */
#include "png.h"

#include <string.h>
#include <zlib.h>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_MAX_DIMENSIONS 65536
#define STBI_MALLOC(size) calo_alloc(size, 1)
#define STBI_REALLOC(block, size) calo_resize(block, size, 1)
#define STBI_FREE(block) calo_free(block)
#pragma GCC diagnostic ignored "-Wunused-function" /* for the whole file: what stb declares and leaves out */
#include <stb/stb_image.h>

enum { FILE_LIMIT = 32 << 20, PIXEL_LIMIT = 16800000, TEXT_LIMIT = 1 << 20 };

static const uint8_t signature[8] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };

/* ---- writing ---------------------------------------------------------------------------------------------------- */

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

static calo_status put_text(calo_writer *writer, const calo_png_text *text, calo_fault *fault)
{
    const size_t key = strlen(text->key), length = strlen(text->text);
    uint8_t *body = calo_alloc(key + length + 8, 1);
    size_t latin;
    if (!body)
        return calo_fail(fault, CALO_EMEMORY, "no host memory for a PNG's text");
    memcpy(body, text->key, key);
    calo_status status;
    if (to_latin1(text->text, body + key + 1, &latin)) {
        status = put_chunk(writer, "tEXt", body, key + 1 + latin, fault);
    } else { /* key, 0, not compressed, method, no language, no translated key */
        memset(body + key, 0, 5);
        memcpy(body + key + 5, text->text, length);
        status = put_chunk(writer, "iTXt", body, key + 5 + length, fault);
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
static void filter_row(const uint8_t *row, const uint8_t *above, size_t size, uint8_t *out)
{
    *out++ = 4;
    for (size_t i = 0; i < size; i++) {
        const int left = i >= 3 ? row[i - 3] : 0, up = above ? above[i] : 0, corner = above && i >= 3 ? above[i - 3] : 0;
        out[i] = (uint8_t)(row[i] - paeth(left, up, corner));
    }
}

calo_status calo_png_write(const char *path, const uint8_t *pixels, int width, int height, const calo_png_text *texts,
                           int text_count, calo_fault *fault)
{
    const size_t row = (size_t)width * 3, raw_size = (row + 1) * (size_t)height;
    uLongf packed_size = compressBound((uLong)raw_size);
    uint8_t *raw = calo_alloc(raw_size, 1), *packed = calo_alloc(packed_size, 1), header[13] = { 0 };
    calo_writer *writer = NULL;
    calo_status status = CALO_OK;
    if (!raw || !packed) {
        status = calo_fail(fault, CALO_EMEMORY, "no host memory to write %s", path);
        goto done;
    }
    for (int y = 0; y < height; y++)
        filter_row(pixels + (size_t)y * row, y ? pixels + (size_t)(y - 1) * row : NULL, row, raw + (size_t)y * (row + 1));
    if (compress2(packed, &packed_size, raw, (uLong)raw_size, 6) != Z_OK) {
        status = calo_fail(fault, CALO_EMEMORY, "no host memory to compress %s", path);
        goto done;
    }
    put_u32(header, (uint32_t)width);
    put_u32(header + 4, (uint32_t)height);
    header[8] = 8; /* bits */
    header[9] = 2; /* RGB */
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
    return status;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

calo_status calo_picture_read(const char *path, uint8_t **pixels, int *width, int *height, int *channels,
                              calo_fault *fault)
{
    char *bytes;
    size_t size;
    *pixels = NULL;
    calo_status status = calo_read_file(path, FILE_LIMIT, &bytes, &size, fault);
    if (status)
        return status;
    const stbi_uc *file = (const stbi_uc *)bytes;
    int stored;
    if (!stbi_info_from_memory(file, (int)size, width, height, &stored)) {
        status = calo_fail(fault, CALO_EFILE, "%s is neither a PNG nor a JPEG picture", path);
    } else if ((int64_t)*width * *height > PIXEL_LIMIT) {
        status = calo_fail(fault, CALO_EFILE, "%s has %d × %d pixels, at most 16.8 million are read", path, *width,
                           *height);
    } else {
        *channels = stored == 2 || stored == 4 ? 4 : 3;
        *pixels = stbi_load_from_memory(file, (int)size, width, height, &stored, *channels);
        if (!*pixels)
            status = calo_fail(fault, CALO_EFILE, "%s is damaged: it cannot be decoded", path);
    }
    calo_free(bytes);
    return status;
}

static uint32_t get_u32(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

/* Latin-1 to UTF-8, into a new string. */
static char *from_latin1(const uint8_t *text, size_t size)
{
    char *out = calo_alloc(2 * size + 1, 1);
    size_t used = 0;
    for (size_t i = 0; out && i < size; i++) {
        if (text[i] < 0x80) {
            out[used++] = (char)text[i];
        } else {
            out[used++] = (char)(0xc0 | text[i] >> 6);
            out[used++] = (char)(0x80 | (text[i] & 0x3f));
        }
    }
    return out;
}

static char *copy_bytes(const uint8_t *text, size_t size)
{
    char *out = calo_alloc(size + 1, 1);
    return out ? memcpy(out, text, size) : NULL;
}

calo_status calo_png_read_text(const char *path, const char *key, char **text, calo_fault *fault)
{
    char *bytes;
    size_t size, at = sizeof signature, key_size = strlen(key);
    *text = NULL;
    calo_status status = calo_read_file(path, FILE_LIMIT, &bytes, &size, fault);
    if (status)
        return status;
    const uint8_t *file = (const uint8_t *)bytes;
    if (size < at || memcmp(file, signature, at) != 0)
        status = calo_fail(fault, CALO_EFILE, "%s is no PNG picture", path);
    while (!status && !*text && size - at >= 12) {
        const size_t length = get_u32(file + at);
        const uint8_t *type = file + at + 4, *body = type + 4;
        if (length > size - at - 12) {
            status = calo_fail(fault, CALO_EFILE, "%s is damaged: a chunk passes its end", path);
            break;
        }
        const bool ours = length > key_size && length <= TEXT_LIMIT && memcmp(body, key, key_size) == 0 && !body[key_size];
        if (ours && memcmp(type, "tEXt", 4) == 0)
            *text = from_latin1(body + key_size + 1, length - key_size - 1);
        else if (ours && memcmp(type, "iTXt", 4) == 0 && length >= key_size + 5 && !body[key_size + 1]) {
            /* Behind the flags stand a language and a translated key, each closed by a 0. */
            size_t skip = key_size + 3;
            for (int zeros = 0; zeros < 2 && skip < length; skip++)
                zeros += body[skip] == 0;
            *text = copy_bytes(body + skip, length - skip);
        }
        at += 12 + length;
    }
    calo_free(bytes);
    return status;
}
