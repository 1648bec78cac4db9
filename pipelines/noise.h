/* Noise for latents: drawn on the host, as torch draws it. */
#ifndef CALO_NOISE_H
#define CALO_NOISE_H

#include "../engine/rng.h"
#include "../kernels/op.h"

/* x ← the point a share of the way from x to y on the arc between them, for each vector along the rows' axis of
 * [channels][height][width]: as AUTOMATIC1111's webui turns its noise (modules/rng.py). */
void calo_turn_noise(float *x, const float *y, int64_t channels, int64_t height, int64_t width, double share);

/* Draws f32 normals for t [1, h, w, C] in torch's order (channels first) into channels-last memory. With a variation (or
 * NULL) each vector along the rows is turned by a share, 0 … 1, of the way to what the variation draws. */
void calo_draw_noise(calo_run *run, calo_generator *generator, calo_generator *variation, double share, calo_tensor t);

#endif
