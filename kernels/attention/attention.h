/* y_h = softmax(scale · q_h k_hᵀ) v_h for each head h: q [B,T,heads·d], k and v [B or 1,S,heads·d] → y [B,T,heads·d].

   Rows of q, k and v may lie apart, so that they are columns of one fused projection. Causal: query i sees keys ≤ i.
   The T × S matrix is never stored: softmax streams over blocks of keys (Milakov & Gimelshein 2018; Dao et al. 2022). */
#ifndef CALO_ATTENTION_H
#define CALO_ATTENTION_H

#include "../op.h"

extern const calo_op calo_op_attention;

typedef struct calo_attention_args {
    int heads;
    double scale; /* 0: 1/√d */
    bool causal;
} calo_attention_args;

enum { CALO_MAX_HEAD_DIM = 512 };

calo_tensor calo_attention(calo_run *run, calo_tensor q, calo_tensor k, calo_tensor v, const calo_attention_args *args);

/* The scale that the args mean for heads of d. */
double calo_attention_scale(const calo_attention_args *args, int64_t d);

#endif
