/* The definitions of tokens and timesteps. */
#include "embedding.h"
#include "../reference.h"

void CALO_REFERENCE(tokens)(const calo_call *call, const REAL *const *in, REAL *out)
{
    const int64_t rows = calo_tensor_count(call->in[0]), length = call->in[0].dims[1], width = call->in[1].dims[1];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < width; c++)
            out[r * width + c] = in[1][(int64_t)in[0][r] * width + c] + in[2][r % length * width + c];
}

void CALO_REFERENCE(timesteps)(const calo_call *call, const REAL *const *in, REAL *out)
{
    const calo_timesteps_args *args = call->args;
    const int64_t half = args->columns / 2;
    for (int64_t n = 0; n < call->in[0].dims[0]; n++) {
        REAL *row = out + n * args->columns;
        row[args->columns - 1] = 0;
        for (int64_t i = 0; i < half; i++) {
            const REAL angle = in[0][n] * exp((REAL)-9.21034037197618273607 * (REAL)i / ((REAL)half - (REAL)args->shift));
            row[i] = args->flip ? cos(angle) : sin(angle);
            row[half + i] = args->flip ? sin(angle) : cos(angle);
        }
    }
}
