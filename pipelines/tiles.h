/* A conversion between pictures and latents in tiles that overlap by a quarter, blended linearly across the overlaps, as
   diffusers' AutoencoderKL does with enable_tiling: memory is that of one tile. Norms see a tile at a time, so the result
   differs a little from the whole picture's. */
#ifndef CALO_TILES_H
#define CALO_TILES_H

#include "../kernels/op.h"

typedef struct calo_tiles {
    int from, to; /* a tile's side in the input and in the output, multiples of 4 */
    int channels; /* of the output */
    /* [1, h, w, C] → [1, h · to/from, w · to/from, channels]; `user` is passed on. The input stays. */
    calo_tensor (*convert)(void *user, calo_run *run, calo_tensor part);
    void *user;
} calo_tiles;

/* x [1, h, w, C] → f32 [1, h · to/from, w · to/from, channels]. x stays. */
calo_tensor calo_in_tiles(calo_run *run, const calo_tiles *tiling, calo_tensor x);

#endif
