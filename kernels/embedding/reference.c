/* The definitions of the two embeddings. */
#include "embedding.h"
#include "../reference.h"

void CALO_REFERENCE(tokens)(const calo_call *call, const REAL *const *in, REAL *out)
{
    const int64_t tokens = call->in[0].dims[1], last = call->in[1].dims[0] - 1, width = call->in[1].dims[1];
    for (int64_t row = 0; row < calo_tensor_count(call->in[0]); row++) {
        int64_t id = (int64_t)in[0][row];
        id = id < 0 ? 0 : id > last ? last : id;
        for (int64_t d = 0; d < width; d++)
            out[row * width + d] = in[1][id * width + d] + in[2][row % tokens * width + d];
    }
}

void CALO_REFERENCE(timesteps)(const calo_call *call, const REAL *const *in, REAL *out)
{
    const calo_timesteps_args *args = call->args;
    const int half = args->dim / 2, sine = args->flip ? half : 0, cosine = args->flip ? 0 : half;
    for (int64_t n = 0; n < calo_tensor_count(call->in[0]); n++) {
        REAL *row = out + n * args->dim;
        row[args->dim - 1] = 0;
        for (int i = 0; i < half; i++) {
            const float angle = (float)in[0][n] * calo_timestep_frequency(i, args->dim, args->shift);
            row[sine + i] = sin((REAL)angle);
            row[cosine + i] = cos((REAL)angle);
        }
    }
}
