/* The definition of resample. */
#include "resample.h"
#include "../reference.h"

static int64_t nearest(int64_t at, int64_t from, int64_t to)
{
    const float scale = (float)from / (float)to, scaled = (float)at * scale;
    const int64_t index = to == from ? at : to == 2 * from ? at / 2 : (int64_t)scaled;
    return index < from ? index : from - 1;
}

static void nearest_image(const calo_call *call, const REAL *const *in, REAL *out)
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

/* The two source rows or columns of one of the result's, and the second one's share. */
typedef struct between {
    int64_t first, second;
    REAL share;
} between;

static between bilinear(int64_t at, int64_t from, int64_t to)
{
    const float place = fmaf((float)from / (float)to, (float)at + 0.5f, -0.5f), p = place < 0 ? 0 : place;
    const int64_t cut = (int64_t)p, first = cut < from ? cut : from - 1, second = first + 1 < from ? first + 1 : first;
    return (between){ first, second, (REAL)p - (REAL)first };
}

static void bilinear_image(const calo_call *call, const REAL *const *in, REAL *out)
{
    const int64_t *from = call->in[0].dims, *to = call->out.dims, channels = from[3];
    for (int64_t b = 0; b < to[0]; b++)
        for (int64_t i = 0; i < to[1]; i++)
            for (int64_t j = 0; j < to[2]; j++) {
                const between row = bilinear(i, from[1], to[1]), column = bilinear(j, from[2], to[2]);
                const REAL *upper = in[0] + (b * from[1] + row.first) * from[2] * channels;
                const REAL *lower = in[0] + (b * from[1] + row.second) * from[2] * channels;
                for (int64_t c = 0; c < channels; c++) {
                    const int64_t first = column.first * channels + c, second = column.second * channels + c;
                    const REAL above = (1 - column.share) * upper[first] + column.share * upper[second];
                    const REAL below = (1 - column.share) * lower[first] + column.share * lower[second];
                    out[((b * to[1] + i) * to[2] + j) * channels + c] = (1 - row.share) * above + row.share * below;
                }
            }
}

void CALO_REFERENCE(resample)(const calo_call *call, const REAL *const *in, REAL *out)
{
    const calo_resample_args *args = call->args;
    if (args->bilinear)
        bilinear_image(call, in, out);
    else
        nearest_image(call, in, out);
}
