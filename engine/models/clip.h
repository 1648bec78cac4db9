/* CLIP's text transformer: token ids to the context that cross-attention reads. */
#ifndef CALO_CLIP_H
#define CALO_CLIP_H

#include "../../kernels/op.h"
#include "parameters.h"

typedef struct calo_clip_layer {
    calo_norm_weights norm1, norm2;
    calo_linear_weights qkv, attention_out, fc1, fc2;
} calo_clip_layer;

typedef struct calo_clip {
    calo_clip_config config;
    calo_tensor tokens, positions; /* tables [vocabulary, D], [positions, D] */
    calo_clip_layer *layers;
    calo_norm_weights final_norm;
} calo_clip;

void calo_clip_load(calo_parameters *p, const calo_clip_config *config, calo_clip *clip);
void calo_clip_free(calo_clip *clip);

/* ids [B, T] → [B, T, D]. The last `skip` layers are left out (diffusers' clip_skip); the final norm is applied. */
calo_tensor calo_clip_encode(calo_run *run, const calo_clip *clip, calo_tensor ids, int skip);

#endif
