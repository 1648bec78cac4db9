/* Nearest-neighbour resampling: y[b,i,j] = x[b, ⌊i·H/h⌋, ⌊j·W/w⌋] with the ratios in float, as torch has them. */
#ifndef CALO_RESAMPLE_H
#define CALO_RESAMPLE_H

#include "../op.h"

extern const calo_op calo_op_resample;

typedef struct calo_resample_args {
    int height, width;
} calo_resample_args;

/* x [B, H, W, C] → [B, height, width, C]. */
calo_tensor calo_resample_nearest(calo_run *run, calo_tensor x, int height, int width);

#endif
