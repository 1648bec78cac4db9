/* Picture files: PNG out, PNG and JPEG in. */
#ifndef CALO_PNG_H
#define CALO_PNG_H

#include "shim.h"

/* The largest side of any picture, in pixels. */
enum { CALO_SIDE_LIMIT = 16384 };

typedef struct calo_png_text {
    const char *key, *text; /* the text is UTF-8 */
} calo_png_text;

/* Writes 8-bit RGB [height, width, 3], or RGBA where `alpha` [height, width] is not NULL, with text chunks (tEXt where
 * the text is Latin-1, else iTXt). The file appears whole or not at all. */
calo_status calo_png_write(const char *path, const uint8_t *pixels, const uint8_t *alpha, int width, int height,
                           const calo_png_text *texts, int text_count, calo_fault *fault);

/* Pixels as they were read: [height, width, channels], channels 3 (RGB) or 4 (RGBA). Free the pixels with calo_free. */
typedef struct calo_raster {
    uint8_t *pixels;
    int width, height, channels;
} calo_raster;

/* Decodes a PNG or JPEG that is in memory, upright (see calo_picture_read). `name` is for sentences. */
calo_status calo_picture_decode(const uint8_t *bytes, size_t size, const char *name, calo_raster *raster,
                                calo_fault *fault);

/* Reads a PNG or JPEG of at most 32 MiB, 16.8 megapixels and sides of 16384, looked at before anything is decoded, as
 * RGB or RGBA (*channels 3 or 4). A picture whose Exif data says that it was taken askew is turned or mirrored as that
 * says (PIL's ImageOps.exif_transpose); *width and *height are those of the upright picture. Free *pixels with
 * calo_free. */
calo_status calo_picture_read(const char *path, uint8_t **pixels, int *width, int *height, int *channels,
                              calo_fault *fault);
/* The whole file, of at most 32 MiB, for the functions that take bytes; free it with calo_free. */
calo_status calo_picture_bytes(const char *path, char **bytes, size_t *size, calo_fault *fault);

/* ---- PNG in memory (picture_png.c) ------------------------------------------------------------------------------ */

bool calo_png_is(const uint8_t *bytes, size_t size);
/* All of PNG: grey, RGB, palette, opacity, 1 … 16 bits (of 16 the high 8 are kept; of 16-bit
 * grey PIL keeps min(v, 255), which is white nearly everywhere), interlaced. Every chunk's CRC is
 * checked, unpacking stops at the size that the header says, and *exif (of *exif_size bytes, inside `bytes`) is the
 * eXIf chunk or NULL. */
calo_status calo_png_decode(const uint8_t *bytes, size_t size, const char *name, calo_raster *raster,
                            const uint8_t **exif, size_t *exif_size, calo_fault *fault);
/* The text of tEXt, zTXt or iTXt chunk `key` as UTF-8, NULL when there is none; free it with calo_free. CALO_EFILE: it
 * is longer than 1 MiB, unpacked, or damaged. */
calo_status calo_png_find_text(const uint8_t *bytes, size_t size, const char *name, const char *key, char **text,
                               calo_fault *fault);
/* The same of a file. */
calo_status calo_png_read_text(const char *path, const char *key, char **text, calo_fault *fault);

#endif
