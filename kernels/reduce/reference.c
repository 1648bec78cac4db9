/* The definition of reduce. */
#include "reduce.h"
#include "../reference.h"

void CALO_REFERENCE(reduce)(const calo_call *call, const REAL *const *in, REAL *out)
{
    const int64_t count = calo_tensor_count(call->in[0]);
    out[0] = 0;
    out[1] = (REAL)INFINITY;
    out[2] = -(REAL)INFINITY;
    out[3] = (REAL)count;
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(in[0][i])) {
            out[0] += 1;
            continue;
        }
        out[1] = in[0][i] < out[1] ? in[0][i] : out[1];
        out[2] = in[0][i] > out[2] ? in[0][i] : out[2];
    }
}
