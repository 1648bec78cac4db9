/* What a tensor holds: y = [count of NaN and infinite numbers, least, largest finite number, count of numbers]. With no
   finite number, least is +∞ and largest −∞. Partial results are combined in a fixed order. */
#ifndef CALO_REDUCE_H
#define CALO_REDUCE_H

#include "../op.h"

extern const calo_op calo_op_reduce;

/* x dense, any shape → f32 [4]. */
calo_tensor calo_reduce_finite(calo_run *run, calo_tensor x);

#endif
