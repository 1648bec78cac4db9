/* y = act((x − mean_g) · rstd_g · γ + β): mean and variance over all pixels and the C/G channels of a group, per batch
   item; rstd = 1/√(variance + eps), the variance biased (Wu & He 2018). x [B, ..., C], γ and β f32 [C], C % G = 0. */
#ifndef CALO_GROUP_NORM_H
#define CALO_GROUP_NORM_H

#include "../epilogue.h"
#include "../op.h"

extern const calo_op calo_op_group_norm;

typedef struct calo_group_norm_args {
    int groups;
    double eps;
    calo_activation activation;
} calo_group_norm_args;

calo_tensor calo_group_norm(calo_run *run, calo_tensor x, const calo_norm_weights *w, calo_activation activation);

#endif
