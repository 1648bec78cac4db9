/* Guidance rescale: gives the guided output e the spread of the conditional one, by a share φ (Lin et al. 2023, "Common
   Diffusion Noise Schedules and Sample Steps are Flawed", section 3.4; diffusers' rescale_noise_cfg).

       y_b = e_b · (φ · std(c_b) / std(e_b) + 1 − φ)        e, c [B, ...] dense → y f32 of their shape

   The deviations are over all numbers of item b of the batch. They are torch's, with n − 1 in the denominator, which
   cancels. Where e_b does not vary, or is one number, y_b = e_b. e and c may differ in type. 0 ≤ φ ≤ 1; φ and 1 − φ are
   f32 by definition. Sums of squares are f32: numbers that depart from their mean by more than 2^50 overflow. */
#ifndef CALO_RESCALE_H
#define CALO_RESCALE_H

#include "../op.h"

extern const calo_op calo_op_rescale;

typedef struct calo_rescale_args {
    double share; /* φ */
} calo_rescale_args;

calo_tensor calo_rescale(calo_run *run, calo_tensor guided, calo_tensor conditional, double share);
/* The same into `target`, f32, which may be one of the two. */
void calo_rescale_into(calo_run *run, calo_tensor target, calo_tensor guided, calo_tensor conditional, double share);

#endif
