/* The definition of resample. */
#include "resample.h"
#include "../reference.h"

static int64_t nearest(int64_t at, int64_t from, int64_t to)
{
    const float scale = (float)from / (float)to, scaled = (float)at * scale;
    const int64_t index = to == from ? at : to == 2 * from ? at / 2 : (int64_t)scaled;
    return index < from ? index : from - 1;
}

void CALO_REFERENCE(resample)(const calo_call *call, const REAL *const *in, REAL *out)
{
    const int64_t *from = call->in[0].dims, *to = call->out.dims, channels = from[3];
    for (int64_t b = 0; b < to[0]; b++)
        for (int64_t i = 0; i < to[1]; i++)
            for (int64_t j = 0; j < to[2]; j++) {
                const int64_t row = nearest(i, from[1], to[1]), column = nearest(j, from[2], to[2]);
                const REAL *pixel = in[0] + ((b * from[1] + row) * from[2] + column) * channels;
                for (int64_t c = 0; c < channels; c++)
                    out[((b * to[1] + i) * to[2] + j) * channels + c] = pixel[c];
            }
}
