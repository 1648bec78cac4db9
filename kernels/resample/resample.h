/* Resizing of images, x [B,h,w,C] → y [B,H,W,C]. x may be a range of columns.

       nearest:   y[b,i,j] = x[b, ⌊i · h/H⌋, ⌊j · w/W⌋]
       bilinear:  y[b,i,j] = (1 − μ) ((1 − λ) x[b,r,s] + λ x[b,r,s']) + μ ((1 − λ) x[b,r',s] + λ x[b,r',s'])
                  at the row p = max(0, (i + ½) · h/H − ½), r = ⌊p⌋, r' = min(r + 1, h − 1), μ = p − r; columns likewise

   As torch's interpolate(mode = "nearest" or "bilinear", align_corners = False) with a size. Shrinking does not smooth:
   there is no antialiasing. h/H is f32, as there; so is nearest's product (a doubling is exact), and p after one
   rounding. Nearest copies numbers bit by bit; bilinear returns a constant image unchanged. */
#ifndef CALO_RESAMPLE_H
#define CALO_RESAMPLE_H

#include "../op.h"

extern const calo_op calo_op_resample;

typedef struct calo_resample_args {
    int height, width;
    bool bilinear; /* or nearest */
} calo_resample_args;

calo_tensor calo_resample_nearest(calo_run *run, calo_tensor x, int height, int width);
calo_tensor calo_resample_bilinear(calo_run *run, calo_tensor x, int height, int width);

#endif
