/* Two-dimensional convolution, channels last:

       y[b,i,j,n] = epilogue(Σ_{p,q,c} X[b, i·s + p − pad_top, j·s + q − pad_left, c] · W[n,p,q,c])

   X is x, zero outside; with upsample 2 it is x with every pixel doubled both ways; Hopper's kernel alone stores it. */
#ifndef CALO_CONV2D_H
#define CALO_CONV2D_H

#include "../linear/linear.h"

extern const calo_op calo_op_conv2d;

typedef struct calo_conv2d_weights {
    calo_tensor weight; /* [Co, kh, kw, Ci] in panels */
    calo_tensor bias;   /* f32 [Co], or none */
    int stride;
    int pad_top, pad_left, pad_bottom, pad_right;
    int upsample; /* 1, or 2: nearest, before the convolution */
} calo_conv2d_weights;

typedef struct calo_conv2d_args {
    int stride, pad_top, pad_left, pad_bottom, pad_right, upsample;
    calo_activation activation;
} calo_conv2d_args;

/* x [B, H, W, Ci] → [B, (u·H + pads − kh) / s + 1, (u·W + pads − kw) / s + 1, Co]. epilogue NULL: bias only. */
calo_tensor calo_conv2d(calo_run *run, calo_tensor x, const calo_conv2d_weights *w, const calo_epilogue *epilogue);

#endif
