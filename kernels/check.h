/* Check mode: an op's result against its reference.

   The bound is that of FlashAttention's tests: the largest error may be twice that of a naive float implementation with
   the same storage types, plus a rounding floor. It is written so that a NaN fails. */
#ifndef CALO_CHECK_H
#define CALO_CHECK_H

#include "op.h"

typedef struct calo_verdict {
    bool passed;
    double error, bound; /* largest |got − expected|, and what is allowed */
    int64_t at;          /* element of the largest error */
    double got, expected;
} calo_verdict;

/* expected: the reference; naive: the float implementation, before rounding to `type`; got: the device's numbers. */
calo_verdict calo_judge(const double *expected, const float *naive, const double *got, int64_t count, calo_type type);

/* A call's inputs on the host, as the reference wants them: dense, weights unpacked. */
typedef struct calo_witness {
    double *in[CALO_MAX_INPUTS];
} calo_witness;

/* Before the launch (an op may write onto its input), and after it: CALO_ENONFINITE names op, shape, variant and element. */
void calo_witness_inputs(calo_run *run, const calo_call *call, calo_witness *witness);
void calo_check_output(calo_run *run, const calo_call *call, const calo_variant *variant, calo_witness *witness);

/* Tensor to doubles: dense, logical order whatever the layout. NULL after an error, which the run then carries. */
double *calo_tensor_doubles(calo_run *run, calo_tensor t);

#endif
