/* The definition of conv2d. */
#include "conv2d.h"
#include "../reference.h"

void CALO_REFERENCE(conv2d)(const calo_call *call, const REAL *const *in, REAL *out)
{
    const calo_conv2d_args *args = call->args;
    const calo_tensor x = call->in[CALO_SLOT_X], w = call->in[CALO_SLOT_WEIGHT], y = call->out;
    const int64_t height = x.dims[1], width = x.dims[2], inputs = x.dims[3], outputs = w.dims[0];
    for (int64_t b = 0; b < y.dims[0]; b++)
        for (int64_t i = 0; i < y.dims[1]; i++)
            for (int64_t j = 0; j < y.dims[2]; j++)
                for (int64_t n = 0; n < outputs; n++) {
                    REAL sum = in[CALO_SLOT_BIAS] ? in[CALO_SLOT_BIAS][n] : 0;
                    for (int64_t p = 0; p < w.dims[1]; p++)
                        for (int64_t q = 0; q < w.dims[2]; q++) {
                            const int64_t r = i * args->stride + p - args->pad_top;
                            const int64_t s = j * args->stride + q - args->pad_left;
                            if (r < 0 || s < 0 || r >= height * args->upsample || s >= width * args->upsample)
                                continue;
                            const REAL *from = in[CALO_SLOT_X] +
                                               ((b * height + r / args->upsample) * width + s / args->upsample) * inputs;
                            const REAL *with = in[CALO_SLOT_WEIGHT] + ((n * w.dims[1] + p) * w.dims[2] + q) * inputs;
                            for (int64_t c = 0; c < inputs; c++)
                                sum += from[c] * with[c];
                        }
                    if (in[CALO_SLOT_CHANNEL_BIAS])
                        sum += in[CALO_SLOT_CHANNEL_BIAS][(call->in[CALO_SLOT_CHANNEL_BIAS].dims[0] > 1 ? b : 0) * outputs + n];
                    const int64_t at = ((b * y.dims[1] + i) * y.dims[2] + j) * outputs + n;
                    out[at] = reference_activation(args->activation, sum) +
                              (in[CALO_SLOT_RESIDUAL] ? in[CALO_SLOT_RESIDUAL][at] : 0);
                }
}
