/* Nearest-neighbour resizing of images.

       y[b,i,j] = x[b, ⌊i · h/H⌋, ⌊j · w/W⌋]        x [B,h,w,C] → y [B,H,W,C]

   h/H and the product are f32, as torch's interpolate(mode = "nearest") rounds them; a doubling is exact. x may be a
   range of columns. Numbers are copied bit by bit. */
#ifndef CALO_RESAMPLE_H
#define CALO_RESAMPLE_H

#include "../op.h"

extern const calo_op calo_op_resample;

typedef struct calo_resample_args {
    int height, width;
} calo_resample_args;

calo_tensor calo_resample_nearest(calo_run *run, calo_tensor x, int height, int width);

#endif
