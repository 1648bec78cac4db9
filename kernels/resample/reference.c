/* The definition of nearest resampling. The ratio is a float in both types: torch's choice, and part of the definition. */
#include "resample.h"
#include "../reference.h"

static int64_t source(int64_t i, int64_t from, int64_t to)
{
    const int64_t at = (int64_t)floorf((float)i * ((float)from / (float)to));
    return at < from ? at : from - 1;
}

void CALO_REFERENCE(resample)(const calo_call *call, const REAL *const *in, REAL *out)
{
    const calo_tensor x = call->in[0], y = call->out;
    const int64_t channels = x.dims[3];
    for (int64_t b = 0; b < y.dims[0]; b++)
        for (int64_t i = 0; i < y.dims[1]; i++)
            for (int64_t j = 0; j < y.dims[2]; j++)
                for (int64_t c = 0; c < channels; c++)
                    out[((b * y.dims[1] + i) * y.dims[2] + j) * channels + c] =
                        in[0][((b * x.dims[1] + source(i, x.dims[1], y.dims[1])) * x.dims[2] +
                               source(j, x.dims[2], y.dims[2])) * channels + c];
}
