/* A picture of the public interface: 8-bit RGB, opacity where it is not opaque, and the text that says how it was
 * made. */
#ifndef CALO_IMAGE_H
#define CALO_IMAGE_H

#include "context.h"

struct calo_image {
    calo_context *context; /* where calo_save_png leaves its sentence */
    int width, height;
    uint8_t *pixels;  /* [height, width, 3] */
    uint8_t *alpha;   /* [height, width]; NULL: opaque */
    char *parameters; /* UTF-8 */
};

/* From values [height, width, 3] in 0 … 1, rounded half to even as numpy does. CALO_EMEMORY; *image is NULL then. */
calo_status calo_image_make(calo_context *context, int width, int height, const float *values, const char *parameters,
                            calo_image **image);

/* A copy that belongs to `context`. CALO_EMEMORY; *copy is NULL then. */
calo_status calo_image_copy(calo_context *context, const calo_image *image, calo_image **copy);

#endif
