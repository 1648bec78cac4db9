/* Every op, for tests and benches. */
#include "activation/activation.h"
#include "attention/attention.h"
#include "concat/concat.h"
#include "conv2d/conv2d.h"
#include "elementwise/elementwise.h"
#include "embedding/embedding.h"
#include "group_norm/group_norm.h"
#include "layer_norm/layer_norm.h"
#include "linear/linear.h"
#include "reduce/reduce.h"
#include "resample/resample.h"
#include "rescale/rescale.h"

const calo_op *const calo_ops[] = {
    &calo_op_linear,  &calo_op_conv2d, &calo_op_attention, &calo_op_group_norm, &calo_op_layer_norm,
    &calo_op_activation, &calo_op_combine, &calo_op_blend, &calo_op_tokens, &calo_op_timesteps,
    &calo_op_resample, &calo_op_concat, &calo_op_reduce, &calo_op_rescale,
};
const int calo_op_count = sizeof calo_ops / sizeof *calo_ops;
