/* y = (x − mean) / √(variance + eps) · γ + β over each row (Ba et al. 2016). x [..., C], γ and β f32 [C]. */
#ifndef CALO_LAYER_NORM_H
#define CALO_LAYER_NORM_H

#include "../epilogue.h"
#include "../op.h"

extern const calo_op calo_op_layer_norm;

calo_tensor calo_layer_norm(calo_run *run, calo_tensor x, const calo_norm_weights *w);

#endif
