/* Noise for latents: drawn on the host, as torch draws it. */
#ifndef CALO_NOISE_H
#define CALO_NOISE_H

#include "../engine/rng.h"
#include "../kernels/op.h"

/* Draws f32 normals for t [1, h, w, C] in torch's order (channels first) into channels-last memory. With a variation (or
 * NULL) each vector along the rows is turned by a share, 0 … 1, of the way to what the variation draws. */
void calo_draw_noise(calo_run *run, calo_generator *generator, calo_generator *variation, double share, calo_tensor t);

#endif
