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
    calo_linear_weights projection; /* where config.projects */
} calo_clip;

void calo_clip_load(calo_parameters *p, const calo_clip_config *config, calo_clip *clip);
void calo_clip_free(calo_clip *clip);

/* Which of a text's hidden states are asked for. */
typedef struct calo_clip_wish {
    int skip;               /* layers left out at the end */
    bool normed;            /* the final norm is applied to them */
    const int *pooled_from; /* [B]: the token whose last hidden state, normed and projected, is the pooled text; or NULL */
} calo_clip_wish;

/* ids [B, T] → hidden states [B, T, D]; *pooled → [B, P] when it is asked for. */
calo_tensor calo_clip_encode(calo_run *run, const calo_clip *clip, calo_tensor ids, const calo_clip_wish *wish,
                             calo_tensor *pooled);

/* Where a text of `count` ids is pooled: at its first end token; old configurations, whose eos_token_id is 2, mean the
 * largest id. */
int calo_clip_end(const calo_clip_config *config, const int32_t *ids, int count);

#endif
