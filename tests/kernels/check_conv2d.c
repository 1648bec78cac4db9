/* conv2d: 1×1 and 3×3 and less usual kernels, strides, the VAE's one-sided padding, doubling, odd images, channels that
   no tile divides, every epilogue. */
#include "checkkernel.h"

#include "../../kernels/conv2d/conv2d.h"

#include <math.h>

static const struct {
    int64_t x[4], w[3]; /* x [B,H,W,Ci], w [Co,kh,kw] */
    int stride, pads[4], upsample;
    bool bias, residual;
    int channel;
    calo_activation activation;
    data_kind data;
    type_choice types;
    bool full;
} rows[] = {
    { { 1, 1, 1, 1 }, { 1, 1, 1 }, 1, { 0 }, 1, false, false, 0, CALO_LINEAR, NORMAL, FEW, false },
    { { 1, 1, 1, 3 }, { 5, 3, 3 }, 1, { 1, 1, 1, 1 }, 1, true, false, 0, CALO_LINEAR, NORMAL, FEW, false },
    { { 2, 7, 9, 20 }, { 33, 3, 3 }, 1, { 1, 1, 1, 1 }, 1, true, true, 2, CALO_LINEAR, NORMAL, ALL, false },
    { { 1, 8, 8, 4 }, { 32, 3, 3 }, 1, { 1, 1, 1, 1 }, 1, true, false, 0, CALO_LINEAR, NORMAL, FEW, false },
    { { 2, 5, 13, 17 }, { 31, 3, 3 }, 1, { 1, 1, 1, 1 }, 1, true, false, 1, CALO_SILU, OUTLIERS, FEW, false },
    { { 2, 9, 7, 16 }, { 16, 3, 3 }, 2, { 1, 1, 1, 1 }, 1, true, false, 0, CALO_LINEAR, NORMAL, FEW, false },
    { { 1, 8, 10, 15 }, { 40, 3, 3 }, 2, { 1, 1, 1, 1 }, 1, true, false, 0, CALO_LINEAR, MEAN, FEW, false },
    { { 1, 9, 8, 16 }, { 24, 3, 3 }, 2, { 0, 0, 1, 1 }, 1, true, false, 0, CALO_LINEAR, NORMAL, ALL, false },
    { { 2, 6, 11, 5 }, { 8, 3, 3 }, 2, { 0, 0, 1, 1 }, 1, false, false, 0, CALO_LINEAR, NORMAL, FEW, false },
    { { 2, 5, 3, 16 }, { 33, 3, 3 }, 1, { 1, 1, 1, 1 }, 2, true, false, 0, CALO_LINEAR, NORMAL, ALL, false },
    { { 2, 6, 5, 352 }, { 40, 3, 3 }, 1, { 1, 1, 1, 1 }, 1, true, true, 2, CALO_SILU, NORMAL, ALL, false }, /* k in parts */
    { { 1, 3, 7, 33 }, { 17, 3, 3 }, 1, { 1, 1, 1, 1 }, 2, true, true, 0, CALO_LINEAR, OUTLIERS, FEW, false },
    { { 2, 3, 5, 31 }, { 65, 1, 1 }, 1, { 0 }, 1, true, true, 0, CALO_LINEAR, NORMAL, FEW, false },
    { { 1, 4, 4, 8 }, { 8, 1, 1 }, 2, { 0 }, 1, true, false, 0, CALO_LINEAR, NORMAL, FEW, false },
    { { 1, 9, 9, 3 }, { 7, 5, 5 }, 1, { 2, 2, 2, 2 }, 1, true, false, 0, CALO_LINEAR, NORMAL, FEW, false },
    { { 1, 6, 7, 12 }, { 32, 2, 3 }, 1, { 0, 1, 1, 1 }, 1, false, false, 0, CALO_LINEAR, LIMITS, FEW, false },
    { { 1, 12, 12, 64 }, { 96, 3, 3 }, 1, { 1, 1, 1, 1 }, 1, true, true, 0, CALO_LINEAR, NORMAL, FEW, false },
    { { 2, 9, 13, 80 }, { 40, 3, 3 }, 1, { 1, 1, 1, 1 }, 1, true, false, 2, CALO_LINEAR, NORMAL, HALVES, false },
    { { 1, 4, 3, 1088 }, { 8, 3, 3 }, 1, { 1, 1, 1, 1 }, 1, true, false, 0, CALO_LINEAR, NORMAL, HALVES, false },
    { { 1, 33, 31, 8 }, { 4, 3, 3 }, 1, { 1, 1, 1, 1 }, 1, true, false, 0, CALO_LINEAR, TINY, FEW, false },
    { { 2, 16, 16, 32 }, { 64, 3, 3 }, 1, { 1, 1, 1, 1 }, 1, true, true, 1, CALO_LINEAR, NORMAL, FEW, false },
    { { 1, 4, 37, 16 }, { 36, 3, 3 }, 1, { 1, 1, 1, 1 }, 1, true, false, 0, CALO_GELU, NORMAL, FEW, false },
    { { 2, 32, 32, 320 }, { 320, 3, 3 }, 1, { 1, 1, 1, 1 }, 1, true, true, 2, CALO_LINEAR, NORMAL, FEW, true },
    { { 1, 128, 128, 128 }, { 3, 3, 3 }, 1, { 1, 1, 1, 1 }, 1, true, false, 0, CALO_LINEAR, NORMAL, FEW, true },
};

static const char *const activations[] = { "", "-silu", "-gelu", "-gelu_tanh", "-quick_gelu" };

static void one_case(check *c, int i)
{
    const int64_t *x = rows[i].x, *k = rows[i].w;
    const int *pad = rows[i].pads, up = rows[i].upsample, stride = rows[i].stride;
    const int64_t height = (x[1] * up + pad[0] + pad[2] - k[1]) / stride + 1;
    const int64_t width = (x[2] * up + pad[1] + pad[3] - k[2]) / stride + 1;
    const int64_t y[] = { x[0], height, width, k[0] }, weight[] = { k[0], k[1], k[2], x[3] };
    const int64_t channel[] = { rows[i].channel, k[0] };
    const double scale = (rows[i].data == LIMITS ? 0.125 : 1) / sqrt((double)(k[1] * k[2] * x[3]));
    calo_conv2d_weights w = { .weight = check_weights(c, CALO_PANELS, scale, 4, weight),
                              .stride = stride,
                              .pad_top = pad[0],
                              .pad_left = pad[1],
                              .pad_bottom = pad[2],
                              .pad_right = pad[3],
                              .upsample = up };
    calo_epilogue e = { .activation = rows[i].activation };
    if (rows[i].bias)
        w.bias = check_floats(c, 0.1, 1, 1, &k[0]);
    if (rows[i].channel)
        e.channel_bias = check_floats(c, -0.1, 1, 2, channel);
    if (rows[i].residual)
        e.residual = check_activations(c, NORMAL, 1, 4, y);
    c->magnitude = check_size(c, rows[i].data) + rows[i].bias + rows[i].residual + (rows[i].channel > 0);
    c->batched = 1u | (rows[i].channel > 1 ? 1u << CALO_SLOT_CHANNEL_BIAS : 0) |
                 (rows[i].residual ? 1u << CALO_SLOT_RESIDUAL : 0);
    calo_conv2d(&c->run, check_activations(c, rows[i].data, 1, 4, x), &w, &e);
}

void check_conv2d(check *c)
{
    type_pair pairs[9];
    for (int i = 0; i < COUNT(rows); i++)
        for (int p = check_pairs(pairs, true, rows[i].types, i); p-- > 0;) {
            const int64_t *x = rows[i].x, *k = rows[i].w;
            const int *pad = rows[i].pads;
            if ((rows[i].full && !c->full) ||
                !check_case(c, pairs[p], "%dx%dx%dx%d-%dx%dx%d-stride%d-pads%d%d%d%d-up%d%s%s%s%s-%s", (int)x[0],
                            (int)x[1], (int)x[2], (int)x[3], (int)k[0], (int)k[1], (int)k[2], rows[i].stride, pad[0],
                            pad[1], pad[2], pad[3], rows[i].upsample, activations[rows[i].activation],
                            rows[i].bias ? "-bias" : "",
                            rows[i].channel == 0   ? ""
                            : rows[i].channel == 1 ? "-channel"
                                                   : "-channels",
                            rows[i].residual ? "-residual" : "", data_kind_names[rows[i].data]))
                continue;
            c->every_tuning = c->full || (rows[i].types != FEW && p == 0);
            c->misaligned &= rows[i].types == FEW; /* what kernels that need alignment are tried on */
            one_case(c, i);
            check_end(c);
        }
    if (!check_case(c, (type_pair){ CALO_F32, CALO_F32 }, "refusals"))
        return;
    calo_conv2d_weights w = { .weight = check_weights(c, CALO_PANELS, 1, 4, (int64_t[]){ 8, 3, 3, 4 }),
                              .stride = 1,
                              .upsample = 1 };
    calo_conv2d(&c->run, check_activations(c, NORMAL, 1, 4, (int64_t[]){ 1, 4, 4, 5 }), &w, NULL);
    check_refused(c, "5 channels for a weight of 4");
    calo_conv2d(&c->run, check_activations(c, NORMAL, 1, 4, (int64_t[]){ 1, 2, 4, 4 }), &w, NULL);
    check_refused(c, "an image lower than the kernel");
}
