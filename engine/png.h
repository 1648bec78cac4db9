/* Picture files: PNG out, PNG and JPEG in. */
#ifndef CALO_PNG_H
#define CALO_PNG_H

#include "shim.h"

typedef struct calo_png_text {
    const char *key, *text; /* the text is UTF-8 */
} calo_png_text;

/* Writes 8-bit RGB [height, width, 3] with text chunks (tEXt where the text is Latin-1, else iTXt). The file appears
 * whole or not at all. */
calo_status calo_png_write(const char *path, const uint8_t *pixels, int width, int height, const calo_png_text *texts,
                           int text_count, calo_fault *fault);

/* Reads a PNG or JPEG of at most 32 MiB and 16.8 megapixels, looked at before anything is decoded, as RGB or RGBA
 * (*channels 3 or 4). Free *pixels with calo_free. */
calo_status calo_picture_read(const char *path, uint8_t **pixels, int *width, int *height, int *channels,
                              calo_fault *fault);

/* The text chunk `key` of a PNG, NULL when it has none; free it with calo_free. */
calo_status calo_png_read_text(const char *path, const char *key, char **text, calo_fault *fault);

#endif
