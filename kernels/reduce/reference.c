/* The definition of reduce_finite. */
#include "reduce.h"
#include "../reference.h"

void CALO_REFERENCE(reduce)(const calo_call *call, const REAL *const *in, REAL *out)
{
    const int64_t count = calo_tensor_count(call->in[0]);
    int64_t finite = 0;
    out[1] = out[2] = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(in[0][i]))
            continue;
        if (finite == 0 || in[0][i] < out[1])
            out[1] = in[0][i];
        if (finite == 0 || in[0][i] > out[2])
            out[2] = in[0][i];
        finite++;
    }
    out[0] = (REAL)(count - finite);
    out[3] = (REAL)count;
}
