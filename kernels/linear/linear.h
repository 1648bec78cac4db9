/* y = epilogue(x · Wᵀ): x [..., K], W [N, K] → y [..., N]; gated W [2F, K] → y [..., F].

   A 1×1 convolution over channels-last memory is this op. x's rows may lie apart (stride > K). */
#ifndef CALO_LINEAR_H
#define CALO_LINEAR_H

#include "../epilogue.h"
#include "../op.h"

extern const calo_op calo_op_linear;

typedef struct calo_linear_weights {
    calo_tensor weight; /* [N, K] in panels, or gated panels */
    calo_tensor bias;   /* f32 [N], or none */
} calo_linear_weights;

/* epilogue NULL: bias only. */
calo_tensor calo_linear(calo_run *run, calo_tensor x, const calo_linear_weights *w, const calo_epilogue *epilogue);

/* Input slots of the matrix-like ops. */
enum { CALO_SLOT_X, CALO_SLOT_WEIGHT, CALO_SLOT_BIAS, CALO_SLOT_CHANNEL_BIAS, CALO_SLOT_RESIDUAL };

/* Checks bias, channel_bias and residual of a matrix-like op against its output; `name` is the op's. */
calo_status calo_check_epilogue(const char *name, const calo_call *call, int64_t outputs, calo_fault *fault);

/* The macros and arguments that every matrix-like kernel ends with: bias, channel bias, residual, y, and how many rows
 * share one row of the channel bias. */
void calo_arg_epilogue(calo_launch *launch, const calo_call *call, calo_activation activation);

#endif
