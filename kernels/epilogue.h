/* What a matrix-like op does with its sums before it stores them:

     y = act(acc + bias + channel_bias[b]) + residual

   and for a gated weight (GEGLU): y = (acc_value + bias_value) · gelu(acc_gate + bias_gate) + residual. */
#ifndef CALO_EPILOGUE_H
#define CALO_EPILOGUE_H

#include "../engine/activation.h"
#include "../engine/tensor.h"

typedef struct calo_epilogue {
    calo_activation activation;
    calo_tensor channel_bias; /* f32 [1 or B, N]: added to every pixel or token of a batch */
    calo_tensor residual;     /* activations, the output's shape */
} calo_epilogue;

/* γ, β f32 [C] and what the model's configuration says about the norm. Group norm reads groups, layer norm does not. */
typedef struct calo_norm_weights {
    calo_tensor gamma, beta;
    int groups;
    double eps;
} calo_norm_weights;

#endif
