/* Noise for latents, in torch's order. */
#include "noise.h"
#include "../engine/shim.h"

#include <inttypes.h>
#include <math.h>

/* [C][h·w] → [h·w][C] */
static void turn(const float *from, int64_t pixels, int64_t channels, float *to)
{
    for (int64_t c = 0; c < channels; c++)
        for (int64_t i = 0; i < pixels; i++)
            to[i * channels + c] = from[c * pixels + i];
}

void calo_turn_noise(float *x, const float *y, int64_t channels, int64_t height, int64_t width, double share)
{
    double mean = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t k = 0; k < width; k++) {
                double xx = 0, yy = 0, xy = 0;
                for (int64_t i = 0; i < height; i++) {
                    const double a = x[(c * height + i) * width + k], b = y[(c * height + i) * width + k];
                    xx += a * a;
                    yy += b * b;
                    xy += a * b;
                }
                const double cosine = xx > 0 && yy > 0 ? fmin(fmax(xy / sqrt(xx * yy), -1), 1) : 1;
                if (pass == 0) {
                    mean += cosine / (double)(channels * width);
                    continue;
                }
                /* Nearly the same direction everywhere, or a vector without one: straight. The webui's straight line runs
                 * the other way round, which would give y at 0. */
                const double angle = acos(cosine), sine = sin(angle);
                const bool straight = mean > 0.9995 || sine < 1e-9;
                const double a = straight ? 1 - share : sin((1 - share) * angle) / sine;
                const double b = straight ? share : sin(share * angle) / sine;
                for (int64_t i = 0; i < height; i++) {
                    float *to = &x[(c * height + i) * width + k];
                    *to = (float)(a * *to + b * y[(c * height + i) * width + k]);
                }
            }
}

void calo_draw_noise(calo_run *run, calo_generator *generator, calo_generator *variation, double share, calo_tensor t)
{
    if (calo_failed(run) || !run->device || !calo_present(t))
        return;
    const int64_t height = t.dims[1], width = t.dims[2], channels = t.dims[3], count = height * width * channels;
    float *drawn = calo_alloc((size_t)count, sizeof *drawn), *turned = calo_alloc((size_t)count, sizeof *turned);
    if (drawn && turned) {
        calo_generator_normal(generator, drawn, (size_t)count);
        if (variation) {
            calo_generator_normal(variation, turned, (size_t)count);
            calo_turn_noise(drawn, turned, channels, height, width, share);
        }
        turn(drawn, height * width, channels, turned);
        calo_upload(run, t, turned);
    } else {
        calo_fail(run->fault, CALO_EMEMORY, "no host memory to draw %" PRId64 " numbers of noise", count);
    }
    calo_free(drawn);
    calo_free(turned);
}
