/* The definitions of combine and blend. */
#include "../elementwise/elementwise.h"
#include "../reference.h"

void CALO_REFERENCE(combine)(const calo_call *call, const REAL *const *in, REAL *out)
{
    const calo_combine_args *args = call->args;
    const REAL limit = (REAL)args->clamp;
    for (int64_t i = 0; i < calo_tensor_count(call->in[0]); i++) {
        REAL sum = (REAL)(float)args->constant; /* the coefficients are f32 by definition */
        for (int k = 0; k < args->count; k++)
            sum += (REAL)(float)args->coefficients[k] * in[k][i];
        out[i] = limit > 0 ? (sum > limit ? limit : sum < -limit ? -limit : sum) : sum;
    }
}

void CALO_REFERENCE(blend)(const calo_call *call, const REAL *const *in, REAL *out)
{
    const int64_t channels = calo_tensor_columns(call->in[0]), masked = calo_tensor_count(call->in[2]);
    for (int64_t i = 0; i < calo_tensor_count(call->in[0]); i++) {
        const REAL mask = in[2][i / channels % masked];
        out[i] = (1 - mask) * in[0][i] + mask * in[1][i];
    }
}
