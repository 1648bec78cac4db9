/* The definition of linear. */
#include "linear.h"
#include "../reference.h"

static REAL dot(const REAL *x, const REAL *w, int64_t count)
{
    REAL sum = 0;
    for (int64_t k = 0; k < count; k++)
        sum += x[k] * w[k];
    return sum;
}

void CALO_REFERENCE(linear)(const calo_call *call, const REAL *const *in, REAL *out)
{
    const calo_activation activation = *(const calo_activation *)call->args;
    const calo_tensor weight = call->in[CALO_SLOT_WEIGHT], channel = call->in[CALO_SLOT_CHANNEL_BIAS];
    const REAL *bias = in[CALO_SLOT_BIAS];
    const bool gated = weight.layout == CALO_PANELS_GATED;
    const int64_t inputs = weight.dims[1], rows = calo_tensor_rows(call->in[CALO_SLOT_X]);
    const int64_t outputs = gated ? weight.dims[0] / 2 : weight.dims[0];
    for (int64_t r = 0; r < rows; r++) {
        const REAL *x = in[CALO_SLOT_X] + r * inputs;
        for (int64_t n = 0; n < outputs; n++) {
            REAL sum = dot(x, in[CALO_SLOT_WEIGHT] + n * inputs, inputs) + (bias ? bias[n] : 0);
            if (in[CALO_SLOT_CHANNEL_BIAS])
                sum += in[CALO_SLOT_CHANNEL_BIAS][r / (rows / channel.dims[0]) * outputs + n];
            if (gated)
                sum *= reference_activation(CALO_GELU, dot(x, in[CALO_SLOT_WEIGHT] + (outputs + n) * inputs, inputs) +
                                                           (bias ? bias[outputs + n] : 0));
            out[r * outputs + n] = reference_activation(activation, sum) +
                                   (in[CALO_SLOT_RESIDUAL] ? in[CALO_SLOT_RESIDUAL][r * outputs + n] : 0);
        }
    }
}
