/* Two tensors side by side along channels.

       y[…, :A] = a,  y[…, A:] = b        a [..., A], b [..., B] → [..., A + B]

   Either may be a range of columns. Numbers are copied bit by bit. */
#ifndef CALO_CONCAT_H
#define CALO_CONCAT_H

#include "../op.h"

extern const calo_op calo_op_concat;

calo_tensor calo_concat(calo_run *run, calo_tensor a, calo_tensor b);

#endif
