/* The definition of rescale, in two passes. */
#include "rescale.h"
#include "../reference.h"

/* Σ (x − mean)² of `count` numbers; the mean is sought from the first number on, so that a constant's is exact. */
static REAL spread_of(const REAL *x, int64_t count)
{
    REAL mean = 0, spread = 0;
    for (int64_t i = 0; i < count; i++)
        mean += x[i] - x[0];
    mean = x[0] + mean / (REAL)count;
    for (int64_t i = 0; i < count; i++)
        spread += (x[i] - mean) * (x[i] - mean);
    return spread;
}

void CALO_REFERENCE(rescale)(const calo_call *call, const REAL *const *in, REAL *out)
{
    const calo_rescale_args *args = call->args;
    const int64_t batch = call->out.dims[0], count = calo_tensor_count(call->out) / batch;
    const REAL share = (REAL)(float)args->share, rest = (REAL)(float)(1 - args->share);
    for (int64_t b = 0; b < batch; b++) {
        const REAL *e = in[0] + b * count, guided = spread_of(e, count);
        const REAL conditional = spread_of(in[1] + b * count, count);
        const REAL factor = guided == 0 ? 1 : share * (sqrt(conditional) / sqrt(guided)) + rest;
        for (int64_t i = 0; i < count; i++)
            out[b * count + i] = e[i] * factor;
    }
}
