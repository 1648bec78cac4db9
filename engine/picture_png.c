/* Reading PNG (W3C, second edition) over zlib.

   A file is looked through once from chunk to chunk before anything is unpacked: the order, every CRC, the header's
   limits. Then the rows are unpacked one at a time, their filter undone, and spread to RGBA; no more is ever unpacked
   than the header's size asks for, so a bomb has nothing to burst. Pixels are as PIL's convert("RGBA") has them: fewer
   than 8 bits are scaled to 0 … 255, of 16 bits the high 8 are kept, an index past the palette's end is black. */
#include "png.h"

#include <string.h>
#include <zlib.h>

enum { PIXEL_LIMIT = 16800000, TEXT_LIMIT = 1 << 20, CHUNK_FRAME = 12 /* length, type, CRC */ };

static const uint8_t signature[8] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };

enum color { GREY = 0, RGB = 2, PALETTE = 3, GREY_ALPHA = 4, RGB_ALPHA = 6 };

typedef struct chunk {
    const uint8_t *type, *body;
    size_t size; /* of the body */
} chunk;

/* What the chunks before the pixels say. */
typedef struct header {
    int width, height, bits, color, interlaced;
    int samples;             /* for each pixel */
    uint8_t palette[256][4]; /* opaque black where the file has no entry */
    bool has_palette, has_key, has_alpha;
    uint16_t key[3]; /* the samples of the one colour that is transparent */
    size_t data;     /* where the first IDAT chunk begins in the file */
    const uint8_t *exif;
    size_t exif_size;
} header;

typedef struct reader {
    const uint8_t *bytes;
    size_t size, at; /* at: the next chunk */
    const char *name;
    calo_fault *fault;
} reader;

static calo_status damaged(const reader *r, const char *how)
{
    return calo_fail(r->fault, CALO_EFILE, "%s is damaged: %s", r->name, how);
}

static uint32_t get_u32(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static uint16_t get_u16(const uint8_t *from)
{
    return (uint16_t)(from[0] << 8 | from[1]);
}

static bool is_type(const chunk *c, const char *type)
{
    return memcmp(c->type, type, 4) == 0;
}

/* ---- chunks ----------------------------------------------------------------------------------------------------- */

bool calo_png_is(const uint8_t *bytes, size_t size)
{
    return size >= sizeof signature && memcmp(bytes, signature, sizeof signature) == 0;
}

/* The next chunk, within the file. */
static calo_status next_chunk(reader *r, chunk *c)
{
    if (r->size - r->at < CHUNK_FRAME)
        return damaged(r, "it ends before its last chunk");
    c->size = get_u32(r->bytes + r->at);
    c->type = r->bytes + r->at + 4;
    c->body = c->type + 4;
    if (c->size > r->size - r->at - CHUNK_FRAME)
        return damaged(r, "a chunk passes its end");
    r->at += CHUNK_FRAME + c->size;
    return CALO_OK;
}

static calo_status check_crc(const reader *r, const chunk *c)
{
    const uLong crc = crc32(crc32(0, c->type, 4), c->body, (uInt)c->size);
    return crc == get_u32(c->body + c->size) ? CALO_OK : damaged(r, "a chunk's check sum is wrong");
}

static calo_status read_header(const reader *r, const chunk *c, header *h)
{
    /* Bits of a sample for each colour type, as a set. */
    static const uint32_t depths[7] = { 0x10116, 0, 0x10100, 0x116, 0x10100, 0, 0x10100 };
    static const int samples[7] = { 1, 0, 3, 1, 2, 0, 4 };
    if (!is_type(c, "IHDR") || c->size != 13)
        return damaged(r, "it does not begin with a header");
    const uint32_t width = get_u32(c->body), height = get_u32(c->body + 4);
    const int bits = c->body[8], color = c->body[9];
    if (color > 6 || bits > 16 || !(depths[color] >> bits & 1) || c->body[10] || c->body[11] || c->body[12] > 1)
        return damaged(r, "its header names an unknown format");
    if (!width || !height)
        return damaged(r, "it has no pixels");
    if (width > CALO_SIDE_LIMIT || height > CALO_SIDE_LIMIT || (uint64_t)width * height > PIXEL_LIMIT)
        return calo_fail(r->fault, CALO_EFILE,
                         "%s has %u × %u pixels; at most 16.8 million are read, and sides of at most %d", r->name,
                         width, height, CALO_SIDE_LIMIT);
    h->width = (int)width;
    h->height = (int)height;
    h->bits = bits;
    h->color = color;
    h->interlaced = c->body[12];
    h->samples = samples[color];
    h->has_alpha = color == GREY_ALPHA || color == RGB_ALPHA;
    for (int i = 0; i < 256; i++)
        h->palette[i][3] = 255;
    return CALO_OK;
}

static calo_status read_palette(const reader *r, const chunk *c, header *h)
{
    if (c->size % 3 || c->size > 768 || !c->size || h->has_palette || h->data)
        return damaged(r, "its palette is malformed");
    for (size_t i = 0; i < c->size / 3; i++)
        memcpy(h->palette[i], c->body + 3 * i, 3);
    h->has_palette = true;
    return CALO_OK;
}

static calo_status read_transparency(const reader *r, const chunk *c, header *h)
{
    const bool keyed = h->color == GREY || h->color == RGB;
    if (h->data || h->has_alpha || (keyed && c->size != (size_t)h->samples * 2) ||
        (h->color == PALETTE && (!h->has_palette || c->size > 256)))
        return damaged(r, "its transparency is malformed");
    for (int i = 0; keyed && i < h->samples; i++)
        h->key[i] = get_u16(c->body + 2 * i);
    for (size_t i = 0; !keyed && i < c->size; i++)
        h->palette[i][3] = c->body[i];
    h->has_key = keyed;
    h->has_alpha = true;
    return CALO_OK;
}

/* Looks through all chunks; nothing is unpacked. */
static calo_status look_through(reader *r, header *h)
{
    chunk c = { 0 };
    bool first = true, last_was_data = false;
    do {
        const size_t begin = r->at;
        calo_status status = next_chunk(r, &c);
        if (!status)
            status = check_crc(r, &c);
        if (status)
            return status;
        const bool data = is_type(&c, "IDAT");
        if (first)
            status = read_header(r, &c, h);
        else if (is_type(&c, "PLTE"))
            status = read_palette(r, &c, h);
        else if (is_type(&c, "tRNS"))
            status = read_transparency(r, &c, h);
        else if (data && h->data && !last_was_data)
            status = damaged(r, "its pixels are scattered");
        else if (data && !h->data)
            h->data = begin;
        else if (is_type(&c, "eXIf")) {
            h->exif = c.body;
            h->exif_size = c.size;
        } else if (!data && !is_type(&c, "IEND") && !(c.type[0] & 0x20))
            status = damaged(r, "it needs an unknown extension of PNG");
        if (status)
            return status;
        first = false;
        last_was_data = data;
    } while (!is_type(&c, "IEND"));
    if (!h->data)
        return damaged(r, "it has no pixels");
    if (h->color == PALETTE && !h->has_palette)
        return damaged(r, "it has no palette");
    return CALO_OK;
}

/* ---- pixels ----------------------------------------------------------------------------------------------------- */

/* Unpacks exactly `size` bytes, going on from IDAT chunk to IDAT chunk. */
static calo_status unpack(reader *r, z_stream *z, uint8_t *to, size_t size)
{
    z->next_out = to;
    z->avail_out = (uInt)size;
    while (z->avail_out) {
        if (!z->avail_in) {
            chunk c = { 0 };
            calo_status status = next_chunk(r, &c);
            if (status)
                return status;
            if (!is_type(&c, "IDAT"))
                return damaged(r, "it has fewer pixels than its header says");
            z->next_in = (Bytef *)c.body; /* zlib only reads it */
            z->avail_in = (uInt)c.size;
            continue;
        }
        const int result = inflate(z, Z_NO_FLUSH);
        if (result == Z_MEM_ERROR)
            return calo_fail(r->fault, CALO_EMEMORY, "no host memory to unpack %s", r->name);
        if (result == Z_STREAM_END && z->avail_out)
            return damaged(r, "it has fewer pixels than its header says");
        if (result != Z_OK && result != Z_STREAM_END)
            return damaged(r, "its pixels cannot be unpacked");
    }
    return CALO_OK;
}

static uint8_t paeth(int a, int b, int c)
{
    const int p = a + b - c, pa = p > a ? p - a : a - p, pb = p > b ? p - b : b - p, pc = p > c ? p - c : c - p;
    return (uint8_t)(pa <= pb && pa <= pc ? a : pb <= pc ? b : c);
}

/* Undoes the filter of a row in place; `above` is all 0 for the first. `step`: bytes of a pixel, at least 1. */
static bool undo_filter(int filter, uint8_t *row, const uint8_t *above, size_t size, size_t step)
{
    for (size_t i = 0; i < size; i++) {
        const uint8_t left = i >= step ? row[i - step] : 0, up = above[i], corner = i >= step ? above[i - step] : 0;
        switch (filter) {
        case 0:
            return true;
        case 1:
            row[i] = (uint8_t)(row[i] + left);
            break;
        case 2:
            row[i] = (uint8_t)(row[i] + up);
            break;
        case 3:
            row[i] = (uint8_t)(row[i] + (left + up) / 2);
            break;
        case 4:
            row[i] = (uint8_t)(row[i] + paeth(left, up, corner));
            break;
        default:
            return false;
        }
    }
    return true;
}

static unsigned sample(const uint8_t *row, size_t i, int bits)
{
    if (bits == 8)
        return row[i];
    if (bits == 16)
        return get_u16(row + 2 * i);
    const size_t per_byte = (size_t)(8 / bits);
    return row[i / per_byte] >> (8 - bits - (int)(i % per_byte) * bits) & ((1u << bits) - 1);
}

/* Pixel number i of a row as RGBA. */
static void spread(const header *h, const uint8_t *row, size_t i, uint8_t to[4])
{
    unsigned s[4] = { 0 };
    for (int k = 0; k < h->samples; k++)
        s[k] = sample(row, i * (size_t)h->samples + (size_t)k, h->bits);
    if (h->color == PALETTE) {
        memcpy(to, h->palette[s[0]], 4);
        return;
    }
    bool keyed = h->has_key;
    for (int k = 0; keyed && k < h->samples; k++)
        keyed = s[k] == h->key[k];
    for (int k = 0; k < h->samples; k++)
        s[k] = h->bits == 16 ? s[k] >> 8 : s[k] * (255u / ((1u << h->bits) - 1));
    const bool grey = h->color == GREY || h->color == GREY_ALPHA;
    const unsigned opacity = h->color == GREY_ALPHA ? s[1] : h->color == RGB_ALPHA ? s[3] : keyed ? 0 : 255;
    for (int k = 0; k < 3; k++)
        to[k] = (uint8_t)s[grey ? 0 : k];
    to[3] = (uint8_t)opacity;
}

/* The passes of an interlaced picture: first column and row, steps; then the one pass of another. */
static const int passes[8][4] = { { 0, 0, 8, 8 }, { 4, 0, 8, 8 }, { 0, 4, 4, 8 }, { 2, 0, 4, 4 },
                                  { 0, 2, 2, 4 }, { 1, 0, 2, 2 }, { 0, 1, 1, 2 }, { 0, 0, 1, 1 } };

/* `rows` has room for two rows of the whole width and their filter bytes, all 0. */
static calo_status read_pass(reader *r, z_stream *z, const header *h, const int pass[4], uint8_t *rows, size_t room,
                             calo_raster *raster)
{
    const int columns = (h->width - pass[0] + pass[2] - 1) / pass[2];
    const int lines = (h->height - pass[1] + pass[3] - 1) / pass[3];
    if (columns <= 0 || lines <= 0)
        return CALO_OK;
    const size_t pixel_bits = (size_t)h->bits * (size_t)h->samples, size = ((size_t)columns * pixel_bits + 7) / 8;
    const int channels = raster->channels;
    uint8_t *row = rows, *above = rows + room;
    memset(above, 0, room);
    for (int y = 0; y < lines; y++) {
        calo_status status = unpack(r, z, row, size + 1);
        if (status)
            return status;
        if (!undo_filter(row[0], row + 1, above + 1, size, pixel_bits < 8 ? 1 : pixel_bits / 8))
            return damaged(r, "a row has an unknown filter");
        uint8_t *to = raster->pixels + (size_t)(pass[1] + y * pass[3]) * (size_t)h->width * (size_t)channels;
        for (int x = 0; x < columns; x++) {
            uint8_t pixel[4];
            spread(h, row + 1, (size_t)x, pixel);
            memcpy(to + (size_t)(pass[0] + x * pass[2]) * (size_t)channels, pixel, (size_t)channels);
        }
        uint8_t *swap = row;
        row = above;
        above = swap;
    }
    return CALO_OK;
}

calo_status calo_png_decode(const uint8_t *bytes, size_t size, const char *name, calo_raster *raster,
                            const uint8_t **exif, size_t *exif_size, calo_fault *fault)
{
    reader r = { bytes, size, sizeof signature, name, fault };
    header h = { 0 };
    *raster = (calo_raster){ 0 };
    if (!calo_png_is(bytes, size))
        return calo_fail(fault, CALO_EFILE, "%s is no PNG picture", name);
    calo_status status = look_through(&r, &h);
    if (status)
        return status;
    z_stream z = { 0 };
    const size_t room = ((size_t)h.width * (size_t)h.bits * (size_t)h.samples + 7) / 8 + 1;
    raster->width = h.width;
    raster->height = h.height;
    raster->channels = h.has_alpha ? 4 : 3;
    raster->pixels = calo_alloc((size_t)h.width * (size_t)h.height, (size_t)raster->channels);
    uint8_t *rows = calo_alloc(room, 2);
    if (!raster->pixels || !rows || inflateInit(&z) != Z_OK) {
        status = calo_fail(fault, CALO_EMEMORY, "no host memory to read %s", name);
    } else {
        r.at = h.data;
        for (int pass = h.interlaced ? 0 : 7; pass < (h.interlaced ? 7 : 8) && !status; pass++)
            status = read_pass(&r, &z, &h, passes[pass], rows, room, raster);
        inflateEnd(&z);
    }
    calo_free(rows);
    if (status) {
        calo_free(raster->pixels);
        *raster = (calo_raster){ 0 };
    }
    *exif = h.exif;
    *exif_size = h.exif_size;
    return status;
}

/* ---- text ------------------------------------------------------------------------------------------------------- */

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

/* UTF-8 without overlong forms, surrogates and what lies past U+10FFFF (the Unicode standard's table 3-7). */
static bool is_utf8(const uint8_t *text, size_t size)
{
    for (size_t i = 0; i < size;) {
        const uint8_t c = text[i++];
        const int more = c < 0x80 ? 0 : c < 0xc2 ? -1 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : c < 0xf5 ? 3 : -1;
        if (more < 0 || (size_t)more > size - i)
            return false;
        for (int k = 0; k < more; k++) {
            const uint8_t low = k ? 0x80 : c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
            const uint8_t high = k ? 0xbf : c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
            if (text[i] < low || text[i] > high)
                return false;
            i++;
        }
    }
    return true;
}

/* Unpacks a text of at most TEXT_LIMIT bytes into a new block. */
static calo_status unpack_text(const reader *r, const uint8_t *packed, size_t size, uint8_t **text, size_t *length)
{
    uLongf unpacked = TEXT_LIMIT + 1; /* one more than a text may have */
    *text = calo_alloc(unpacked, 1);
    if (!*text)
        return calo_fail(r->fault, CALO_EMEMORY, "no host memory for the text of %s", r->name);
    const int result = uncompress(*text, &unpacked, packed, (uLong)size);
    *length = unpacked;
    if (result == Z_OK && unpacked <= TEXT_LIMIT)
        return CALO_OK;
    calo_free(*text);
    *text = NULL;
    if (result == Z_MEM_ERROR)
        return calo_fail(r->fault, CALO_EMEMORY, "no host memory for the text of %s", r->name);
    return result == Z_OK || result == Z_BUF_ERROR
               ? calo_fail(r->fault, CALO_EFILE, "%s has a text that is cut short or longer than 1 MiB", r->name)
               : damaged(r, "its text cannot be unpacked");
}

/* The text behind the key and its 0: body [at, size). */
static calo_status take_text(const reader *r, const chunk *c, size_t at, char **text)
{
    const bool international = is_type(c, "iTXt");
    bool packed = is_type(c, "zTXt");
    if (international) { /* packed?, method, language, 0, translated key, 0 */
        if (c->size - at < 2 || c->body[at] > 1)
            return damaged(r, "its text is malformed");
        packed = c->body[at];
    }
    if (packed && (c->size == at || c->body[at + international] != 0))
        return damaged(r, "its text is packed by an unknown method");
    if (international) {
        at += 2;
        for (int zeros = 0; zeros < 2; at++) {
            if (at == c->size)
                return damaged(r, "its text is malformed");
            zeros += c->body[at] == 0;
        }
    } else if (packed) {
        at++;
    }
    const uint8_t *plain = c->body + at;
    size_t length = c->size - at;
    uint8_t *unpacked = NULL;
    calo_status status = CALO_OK;
    if (packed)
        status = unpack_text(r, plain, length, &unpacked, &length);
    else if (length > TEXT_LIMIT)
        status = calo_fail(r->fault, CALO_EFILE, "%s has a text that is longer than 1 MiB", r->name);
    if (status)
        return status;
    if (packed)
        plain = unpacked;
    if (international && !is_utf8(plain, length))
        status = damaged(r, "its text is not UTF-8");
    else if (!(*text = international ? copy_bytes(plain, length) : from_latin1(plain, length)))
        status = calo_fail(r->fault, CALO_EMEMORY, "no host memory for the text of %s", r->name);
    calo_free(unpacked);
    return status;
}

calo_status calo_png_find_text(const uint8_t *bytes, size_t size, const char *name, const char *key, char **text,
                               calo_fault *fault)
{
    reader r = { bytes, size, sizeof signature, name, fault };
    const size_t key_size = strlen(key);
    *text = NULL;
    if (!calo_png_is(bytes, size))
        return calo_fail(fault, CALO_EFILE, "%s is no PNG picture", name);
    for (;;) {
        chunk c = { 0 };
        calo_status status = next_chunk(&r, &c);
        if (status || is_type(&c, "IEND"))
            return status;
        if (!is_type(&c, "tEXt") && !is_type(&c, "zTXt") && !is_type(&c, "iTXt"))
            continue;
        if (c.size <= key_size || memcmp(c.body, key, key_size) != 0 || c.body[key_size])
            continue;
        status = check_crc(&r, &c);
        return status ? status : take_text(&r, &c, key_size + 1, text);
    }
}

calo_status calo_png_read_text(const char *path, const char *key, char **text, calo_fault *fault)
{
    char *bytes;
    size_t size;
    *text = NULL;
    calo_status status = calo_picture_bytes(path, &bytes, &size, fault);
    if (status)
        return status;
    status = calo_png_find_text((const uint8_t *)bytes, size, path, key, text, fault);
    calo_free(bytes);
    return status;
}
