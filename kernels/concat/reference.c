/* The definition of concat. */
#include "concat.h"
#include "../reference.h"

void CALO_REFERENCE(concat)(const calo_call *call, const REAL *const *in, REAL *out)
{
    const int64_t a = calo_tensor_columns(call->in[0]), b = calo_tensor_columns(call->in[1]);
    for (int64_t row = 0; row < calo_tensor_rows(call->out); row++) {
        for (int64_t c = 0; c < a; c++)
            out[row * (a + b) + c] = in[0][row * a + c];
        for (int64_t c = 0; c < b; c++)
            out[row * (a + b) + a + c] = in[1][row * b + c];
    }
}
