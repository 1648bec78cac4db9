/* The picture that a request begins with: what of it is worked on, where it is repainted, and how the result is laid over
   it. All on the host, in 8 bits. */
#ifndef CALO_CANVAS_H
#define CALO_CANVAS_H

#include "../engine/picture.h"

typedef struct calo_canvas {
    calo_picture base;  /* what the result is laid over, extended and fitted */
    calo_picture soft;  /* of its size: how much of each pixel is repainted, 0 … 255; none: image to image */
    bool is_part;       /* only `region` of it is worked on */
    calo_box region;
    calo_picture work;  /* [height, width, 3]: what is encoded */
    calo_picture mask;  /* [height, width, 1]: 255 where it is repainted, else 0; none: image to image */
} calo_canvas;

/* From a request that was taken and has an init picture. CALO_EUSAGE: the mask is of another size, or repaints nothing.
 * Close it, whatever came of it. */
calo_status calo_canvas_open(calo_canvas *canvas, const calo_request *request, calo_fault *fault);
void calo_canvas_close(calo_canvas *canvas);

/* A picture made from the canvas to what is handed out: laid over the base where it was repainted, so that the bits of
 * all else are the base's. */
calo_status calo_canvas_finish(const calo_canvas *canvas, calo_context *context, calo_image **image, calo_fault *fault);

#endif
