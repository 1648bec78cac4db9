/* Reading a picture file: PNG is picture_png.c's, JPEG is stb_image's, and Exif says which way is up.

   A JPEG is walked from marker to marker before it is decoded: its size, its end, the number of its scans (each costs a
   pass over the whole picture, so a small file of many scans would take hours), its code tables and its Exif block.
   What stb_image goes on to see is the same markers, or it stops with an error. Exif orientation: Exif 2.32, tag
   0x0112; TIFF 6.0 for the block around it. */
#include "png.h"

#include <string.h>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_MAX_DIMENSIONS 16384
#define STBI_MALLOC(size) calo_alloc(size, 1)
#define STBI_REALLOC(block, size) calo_resize(block, size, 1)
#define STBI_FREE(block) calo_free(block)
#pragma GCC diagnostic ignored "-Wunused-function" /* for the whole file: what stb declares and leaves out */
#ifdef __clang__ /* where a marker cuts a scan short, stb_image shifts a 0 by 32 places and more: theirs, and still 0 */
#pragma clang attribute push(__attribute__((no_sanitize("shift-exponent"))), apply_to = function)
#endif
#include <stb/stb_image.h>
#ifdef __clang__
#pragma clang attribute pop
#endif

_Static_assert(STBI_MAX_DIMENSIONS == CALO_SIDE_LIMIT, "stb_image's limit is ours");

enum { FILE_LIMIT = 32 << 20, PIXEL_LIMIT = 16800000, SCAN_LIMIT = 64 };

/* ---- JPEG ------------------------------------------------------------------------------------------------------- */

static bool is_jpeg(const uint8_t *bytes, size_t size)
{
    return size >= 3 && bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[2] == 0xff;
}

/* The next marker's code at or behind *at, which is moved past it; 0 at the end. Fill bytes, and the coded data behind
 * a scan's header (where 0xff is followed by 0 or a restart's number), are skipped. */
static int next_marker(const uint8_t *bytes, size_t size, size_t *at)
{
    for (size_t i = *at; i + 1 < size; i++) {
        const uint8_t code = bytes[i + 1];
        if (bytes[i] != 0xff || code == 0 || code == 0xff || (code >= 0xd0 && code <= 0xd7))
            continue;
        *at = i + 2;
        return code;
    }
    return 0;
}

/* A DHT segment: class and number, how many codes of each of 16 lengths, a byte for each code; again. stb_image takes a
 * table of more than 256 codes on trust and writes past its own. */
static bool has_good_tables(const uint8_t *body, size_t size)
{
    while (size >= 17) {
        size_t codes = 0;
        for (int i = 1; i <= 16; i++)
            codes += body[i];
        if (codes > 256 || codes > size - 17)
            return false;
        body += 17 + codes;
        size -= 17 + codes;
    }
    return size == 0;
}

typedef struct jpeg {
    const uint8_t *exif; /* or NULL */
    size_t exif_size;
    int width, height; /* 0 until the frame's header was seen */
    int scans;
} jpeg;

/* What one segment says; body: behind its length. */
static calo_status read_segment(int code, const uint8_t *body, size_t size, const char *name, jpeg *j,
                                calo_fault *fault)
{
    if (code == 0xda && ++j->scans > SCAN_LIMIT)
        return calo_fail(fault, CALO_EFILE, "%s has more than %d scans", name, SCAN_LIMIT);
    if (code == 0xc4 && !has_good_tables(body, size))
        return calo_fail(fault, CALO_EFILE, "%s is damaged: a code table is malformed", name);
    if (code == 0xe1 && !j->exif && size >= 6 && memcmp(body, "Exif\0", 6) == 0) {
        j->exif = body + 6;
        j->exif_size = size - 6;
    }
    if (code < 0xc0 || code > 0xcf || code == 0xc4 || code == 0xc8 || code == 0xcc || j->width)
        return CALO_OK;
    /* The frame's header: bits, height, width. */
    if (code > 0xc2)
        return calo_fail(fault, CALO_EFILE, "%s is a lossless, hierarchical or arithmetic JPEG, which is not read",
                         name);
    if (size < 6)
        return calo_fail(fault, CALO_EFILE, "%s is damaged: its header is cut short", name);
    j->height = body[1] << 8 | body[2];
    j->width = body[3] << 8 | body[4];
    return CALO_OK;
}

/* Walks to the end of the image. */
static calo_status walk_jpeg(const uint8_t *bytes, size_t size, const char *name, jpeg *j, calo_fault *fault)
{
    size_t at = 2;
    for (int code; (code = next_marker(bytes, size, &at)) != 0xd9;) {
        if (!code || size - at < 2)
            return calo_fail(fault, CALO_EFILE, "%s is damaged: it ends early", name);
        if (code == 0x01 || code == 0xd8) /* markers without a length */
            continue;
        const size_t length = (size_t)bytes[at] << 8 | bytes[at + 1];
        if (length < 2 || length > size - at)
            return calo_fail(fault, CALO_EFILE, "%s is damaged: a segment passes its end", name);
        calo_status status = read_segment(code, bytes + at + 2, length - 2, name, j, fault);
        if (status)
            return status;
        at += length;
    }
    return CALO_OK;
}

static calo_status decode_jpeg(const uint8_t *bytes, size_t size, const char *name, calo_raster *raster,
                               const uint8_t **exif, size_t *exif_size, calo_fault *fault)
{
    jpeg j = { 0 };
    int stored;
    calo_status status = walk_jpeg(bytes, size, name, &j, fault);
    if (status)
        return status;
    if (!j.width || !j.height)
        return calo_fail(fault, CALO_EFILE, "%s is damaged: it has no pixels", name);
    if (j.width > CALO_SIDE_LIMIT || j.height > CALO_SIDE_LIMIT || (int64_t)j.width * j.height > PIXEL_LIMIT)
        return calo_fail(fault, CALO_EFILE,
                         "%s has %d × %d pixels; at most 16.8 million are read, and sides of at most %d", name, j.width,
                         j.height, CALO_SIDE_LIMIT);
    *exif = j.exif;
    *exif_size = j.exif_size;
    raster->channels = 3;
    raster->pixels = stbi_load_from_memory(bytes, (int)size, &raster->width, &raster->height, &stored, 3);
    if (raster->pixels)
        return CALO_OK;
    /* "unknown": there was no memory to look at the first bytes, which we know. */
    const char *reason = stbi_failure_reason();
    return strncmp(reason, "outofmem", 8) == 0 || strncmp(reason, "unknown image", 13) == 0
               ? calo_fail(fault, CALO_EMEMORY, "no host memory to read %s", name)
               : calo_fail(fault, CALO_EFILE, "%s is damaged: it cannot be decoded", name);
}

/* ---- which way is up -------------------------------------------------------------------------------------------- */

static uint32_t tiff_number(const uint8_t *from, int bytes, bool big)
{
    uint32_t value = 0;
    for (int i = 0; i < bytes; i++)
        value = value << 8 | from[big ? i : bytes - 1 - i];
    return value;
}

/* Orientation 1 … 8; 1 where the block does not say or is malformed. */
static int read_orientation(const uint8_t *exif, size_t size)
{
    if (!exif || size < 8 || (memcmp(exif, "II*\0", 4) != 0 && memcmp(exif, "MM\0*", 4) != 0))
        return 1;
    const bool big = exif[0] == 'M';
    const size_t directory = tiff_number(exif + 4, 4, big);
    if (directory > size - 2)
        return 1;
    const size_t count = tiff_number(exif + directory, 2, big);
    for (size_t i = 0, at = directory + 2; i < count && size - at >= 12; i++, at += 12) {
        const uint32_t value = tiff_number(exif + at + 8, 2, big); /* tag, type, count, value */
        if (tiff_number(exif + at, 2, big) == 0x0112)
            return tiff_number(exif + at + 2, 2, big) == 3 && value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}

/* Turns or mirrors the pixels: for each orientation, whether columns and rows change places, and which of them then run
 * backwards in the file. */
static calo_status set_upright(calo_raster *raster, int orientation, const char *name, calo_fault *fault)
{
    const bool turned = orientation >= 5;
    const bool columns_back = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    const bool rows_back = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    if (orientation == 1)
        return CALO_OK;
    const int width = turned ? raster->height : raster->width, height = turned ? raster->width : raster->height;
    const size_t channels = (size_t)raster->channels;
    uint8_t *pixels = calo_alloc((size_t)width * (size_t)height, channels), *to = pixels;
    if (!pixels)
        return calo_fail(fault, CALO_EMEMORY, "no host memory to turn %s", name);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++, to += channels) {
            const int column = turned ? y : x, row = turned ? x : y;
            const int from_x = columns_back ? raster->width - 1 - column : column;
            const int from_y = rows_back ? raster->height - 1 - row : row;
            memcpy(to, raster->pixels + ((size_t)from_y * (size_t)raster->width + (size_t)from_x) * channels, channels);
        }
    calo_free(raster->pixels);
    raster->pixels = pixels;
    raster->width = width;
    raster->height = height;
    return CALO_OK;
}

/* ---- both ------------------------------------------------------------------------------------------------------- */

calo_status calo_picture_decode(const uint8_t *bytes, size_t size, const char *name, calo_raster *raster,
                                calo_fault *fault)
{
    const uint8_t *exif = NULL;
    size_t exif_size = 0;
    calo_status status;
    *raster = (calo_raster){ 0 };
    if (size > FILE_LIMIT)
        return calo_fail(fault, CALO_EFILE, "%s is larger than 32 MiB", name);
    if (calo_png_is(bytes, size))
        status = calo_png_decode(bytes, size, name, raster, &exif, &exif_size, fault);
    else if (is_jpeg(bytes, size))
        status = decode_jpeg(bytes, size, name, raster, &exif, &exif_size, fault);
    else
        status = calo_fail(fault, CALO_EFILE, "%s is neither a PNG nor a JPEG picture", name);
    if (!status)
        status = set_upright(raster, read_orientation(exif, exif_size), name, fault);
    if (status) {
        calo_free(raster->pixels);
        *raster = (calo_raster){ 0 };
    }
    return status;
}

calo_status calo_picture_bytes(const char *path, char **bytes, size_t *size, calo_fault *fault)
{
    return calo_read_file(path, FILE_LIMIT, bytes, size, fault);
}

calo_status calo_picture_read(const char *path, uint8_t **pixels, int *width, int *height, int *channels,
                              calo_fault *fault)
{
    char *bytes;
    size_t size;
    calo_raster raster;
    *pixels = NULL;
    calo_status status = calo_picture_bytes(path, &bytes, &size, fault);
    if (status)
        return status;
    status = calo_picture_decode((const uint8_t *)bytes, size, path, &raster, fault);
    calo_free(bytes);
    *pixels = raster.pixels;
    *width = raster.width;
    *height = raster.height;
    *channels = raster.channels;
    return status;
}
