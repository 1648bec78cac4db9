/* The definition of activation: y = act(x). */
#include "../reference.h"

void CALO_REFERENCE(activation)(const calo_call *call, const REAL *const *in, REAL *out)
{
    const calo_activation kind = *(const calo_activation *)call->args;
    for (int64_t i = 0; i < calo_tensor_count(call->in[0]); i++)
        out[i] = reference_activation(kind, in[0][i]);
}
