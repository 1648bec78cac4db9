/* Linear combinations and blends, element by element, over dense tensors of one shape.

       combine: y = constant + Σ coefficient_i · x_i, then clamped to ±clamp if clamp > 0
       blend:   y = (1 − mask) · a + mask · b, mask [B or 1, H, W, 1] against a, b [B, H, W, C]

   Inputs share a type; combine's result may have another. A scheduler's row, guidance, adding and scaling are combines.
   Where the mask is 0 or 1, a blend of finite numbers is a's or b's to the last bit: what inpainting keeps, it keeps.
 */
#ifndef CALO_ELEMENTWISE_H
#define CALO_ELEMENTWISE_H

#include "../op.h"

extern const calo_op calo_op_combine;
extern const calo_op calo_op_blend;

typedef struct calo_combine_args {
    int count; /* 1 … 8 inputs */
    double coefficients[CALO_MAX_INPUTS];
    double constant, clamp;
    calo_type type; /* of the result */
} calo_combine_args;

/* `type` CALO_AUTO: the inputs'. */
calo_tensor calo_combine(calo_run *run, const calo_tensor *in, const double *coefficients, int count, double clamp,
                         calo_type type);
/* The same into `target`, which may be one of the inputs. */
void calo_combine_into(calo_run *run, calo_tensor target, const calo_tensor *in, const double *coefficients, int count,
                       double clamp);
calo_tensor calo_add(calo_run *run, calo_tensor a, calo_tensor b);
calo_tensor calo_scale(calo_run *run, calo_tensor x, double factor);
calo_tensor calo_cast(calo_run *run, calo_tensor x, calo_type type);
calo_tensor calo_affine(calo_run *run, calo_tensor x, double factor, double constant, calo_type type);
calo_tensor calo_blend(calo_run *run, calo_tensor a, calo_tensor b, calo_tensor mask);
/* The same into `target`, which may be a or b. */
void calo_blend_into(calo_run *run, calo_tensor target, calo_tensor a, calo_tensor b, calo_tensor mask);

#endif
