/* Two tensors side by side: y[…, 0 … A) = a, y[…, A … A + B) = b. */
#ifndef CALO_CONCAT_H
#define CALO_CONCAT_H

#include "../op.h"

extern const calo_op calo_op_concat;

/* a [..., A], b [..., B] of one type and the same leading dims → [..., A + B]. */
calo_tensor calo_concat(calo_run *run, calo_tensor a, calo_tensor b);

#endif
