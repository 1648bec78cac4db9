/* The definition of concat. */
#include "concat.h"
#include "../reference.h"

void CALO_REFERENCE(concat)(const calo_call *call, const REAL *const *in, REAL *out)
{
    const int64_t a = calo_tensor_columns(call->in[0]), b = calo_tensor_columns(call->in[1]);
    for (int64_t r = 0; r < calo_tensor_rows(call->in[0]); r++)
        for (int64_t c = 0; c < a + b; c++)
            out[r * (a + b) + c] = c < a ? in[0][r * a + c] : in[1][r * b + c - a];
}
