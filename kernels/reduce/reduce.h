/* Whether a tensor's numbers are finite, and their range.

       y = [ how many are NaN or infinite, least and greatest of the others, how many there are ]        x dense → f32
   [4]

   Least and greatest are 0 where no number is finite. Counts above 2^24 are rounded to f32. None of the four depends on
   the order in which the numbers are read. */
#ifndef CALO_REDUCE_H
#define CALO_REDUCE_H

#include "../op.h"

extern const calo_op calo_op_reduce;

calo_tensor calo_reduce_finite(calo_run *run, calo_tensor x);

#endif
