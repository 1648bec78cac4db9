/* Where a picture's latents come from: noise, an encoded picture, or a smaller picture's latents. */
#ifndef CALO_START_H
#define CALO_START_H

#include "canvas.h"
#include "stage.h"

/* One of a request's pictures on its way. */
typedef struct calo_frame {
    calo_generator generator;
    calo_tensor latents; /* f32 [1, h, w, C] */
    calo_tensor init;    /* the same: a 4-channel inpainting's picture, which comes back after every step, */
    calo_tensor noise;   /* and the noise that it gets */
    calo_tensor beside;  /* what an inpainting model sees beside the latents: [1, h, w, 1 + C] in the run's type */
} calo_frame;

/* What all frames share: the encoded picture. */
typedef struct calo_start {
    const calo_request *request;
    const calo_canvas *canvas; /* NULL: there is no picture to begin with */
    calo_dump *dump;           /* or NULL */
    int tile;
    float *moments, *masked;   /* [h·w][2C]: of the picture, of what of it is not repainted; NULL: not needed */
    calo_tensor mask;          /* f32 [1, h, w, 1]: 1 is repainted; of 4-channel inpainting */
} calo_start;

/* Encodes the picture, if there is one, for the stage's model: needs its VAE then. */
void calo_start_open(calo_run *run, calo_start *start, const calo_stage *stage);
/* Draws what frame number `number` begins with. */
void calo_start_frame(calo_run *run, const calo_start *start, const calo_stage *stage, int number, calo_frame *frame);
void calo_start_close(calo_start *start); /* but the mask, which the steps need */

/* The frame's latents, of `from`, to those that `stage` begins with, at its larger size: enlarged bilinearly, or decoded,
 * enlarged by Lanczos' filter and encoded (needs the VAE and its encoder then); noise is drawn anew from the seed. */
void calo_start_again(calo_run *run, const calo_request *request, const calo_stage *stage, int number, int tile,
                      calo_frame *frame);

/* Whether the stage's model sees a mask beside its latents. */
bool calo_sees_mask(const calo_stage *stage);

#endif
