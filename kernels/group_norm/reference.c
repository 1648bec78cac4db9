/* The definition of group_norm, in two passes. */
#include "group_norm.h"
#include "../reference.h"

void CALO_REFERENCE(group_norm)(const calo_call *call, const REAL *const *in, REAL *out)
{
    const calo_group_norm_args *args = call->args;
    const calo_tensor x = call->in[0];
    const int64_t batch = x.dims[0], width = calo_tensor_columns(x), pixels = calo_tensor_rows(x) / batch;
    const int64_t size = width / args->groups;
    for (int64_t b = 0; b < batch; b++)
        for (int64_t g = 0; g < args->groups; g++) {
            const REAL *from = in[0] + b * pixels * width + g * size;
            REAL *to = out + b * pixels * width + g * size, mean = 0, variance = 0;
            for (int64_t i = 0; i < pixels; i++)
                for (int64_t c = 0; c < size; c++)
                    mean += from[i * width + c];
            mean /= (REAL)(pixels * size);
            for (int64_t i = 0; i < pixels; i++)
                for (int64_t c = 0; c < size; c++)
                    variance += (from[i * width + c] - mean) * (from[i * width + c] - mean);
            const REAL rstd = 1 / sqrt(variance / (REAL)(pixels * size) + (REAL)args->eps);
            for (int64_t i = 0; i < pixels; i++)
                for (int64_t c = 0; c < size; c++)
                    to[i * width + c] = reference_activation(
                        args->activation, (from[i * width + c] - mean) * rstd * in[1][g * size + c] + in[2][g * size + c]);
        }
}
