/* Pictures and latents through the VAE, whole or in tiles, in a type that holds the numbers. */
#ifndef CALO_DECODE_H
#define CALO_DECODE_H

#include "model.h"

/* Latents [1, h, w, C] → picture [1, H, W, 3], −1 … 1. `tile`: the side of a tile in pixels, a multiple of 32; 0: whole.
   f16 overflows in some VAEs: Stable Diffusion XL's with force_upcast are decoded in f32, others again in f32, and it is
   told, when a number was not finite. */
calo_tensor calo_decode_latents(calo_run *run, const calo_model *model, calo_tensor latents, int tile);

/* Picture [1, H, W, 3] → moments [1, h, w, 2C], in the same way. */
calo_tensor calo_encode_picture(calo_run *run, const calo_model *model, calo_tensor picture, int tile);

#endif
