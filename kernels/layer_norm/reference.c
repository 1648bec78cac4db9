/* The definition of layer_norm. */
#include "layer_norm.h"
#include "../reference.h"

void CALO_REFERENCE(layer_norm)(const calo_call *call, const REAL *const *in, REAL *out)
{
    const int64_t rows = calo_tensor_rows(call->in[0]), width = calo_tensor_columns(call->in[0]);
    const REAL eps = (REAL) * (const double *)call->args;
    for (int64_t r = 0; r < rows; r++) {
        const REAL *x = in[0] + r * width;
        REAL mean = 0, variance = 0;
        for (int64_t c = 0; c < width; c++)
            mean += x[c];
        mean /= (REAL)width;
        for (int64_t c = 0; c < width; c++)
            variance += (x[c] - mean) * (x[c] - mean);
        const REAL rstd = 1 / sqrt(variance / (REAL)width + eps);
        for (int64_t c = 0; c < width; c++)
            out[r * width + c] = (x[c] - mean) * rstd * in[1][c] + in[2][c];
    }
}
