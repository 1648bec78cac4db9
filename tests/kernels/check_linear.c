/* linear: rows around the register tile, outputs around the panel of 32 and the gated panel of 16, every epilogue. */
#include "checkkernel.h"

#include "../../kernels/linear/linear.h"

#include <math.h>

static const struct {
    int batch, rows, inputs, outputs; /* x [batch, rows, inputs]; gated: outputs counts values and gates */
    int stride;                       /* of x, 0: dense */
    bool gated, bias, residual;
    int channel; /* batches of the channel bias: 0 (none), 1 or batch */
    calo_activation activation;
    data_kind data;
    type_choice types;
    bool full;
} rows[] = {
    { 1, 1, 1, 1, 0, false, false, false, 0, CALO_LINEAR, NORMAL, FEW, false },
    { 1, 1, 320, 320, 0, false, true, false, 0, CALO_SILU, NORMAL, FEW, false },
    { 2, 7, 40, 33, 0, false, true, true, 2, CALO_LINEAR, NORMAL, ALL, false },
    { 1, 13, 17, 31, 0, false, true, false, 0, CALO_GELU, OUTLIERS, FEW, false },
    { 1, 12, 16, 32, 0, false, false, false, 0, CALO_LINEAR, LIMITS, FEW, false },
    { 3, 5, 31, 15, 0, false, true, false, 1, CALO_QUICK_GELU, NORMAL, FEW, false },
    { 1, 11, 97, 65, 0, false, true, true, 0, CALO_LINEAR, MEAN, FEW, false },
    { 2, 9, 15, 63, 0, false, false, true, 0, CALO_GELU_TANH, NORMAL, FEW, false },
    { 1, 4, 2, 16, 0, false, true, false, 0, CALO_LINEAR, TINY, FEW, false },
    { 2, 8, 33, 17, 50, false, true, false, 0, CALO_LINEAR, NORMAL, FEW, false },
    { 2, 31, 64, 96, 192, false, false, false, 0, CALO_LINEAR, OUTLIERS, FEW, false },
    { 2, 7, 24, 64, 0, true, true, false, 0, CALO_LINEAR, NORMAL, ALL, false },
    { 1, 13, 40, 34, 0, true, true, true, 0, CALO_LINEAR, NORMAL, FEW, false },
    { 2, 5, 17, 2, 0, true, false, false, 0, CALO_LINEAR, NORMAL, FEW, false },
    { 1, 9, 31, 62, 40, true, true, false, 0, CALO_LINEAR, NORMAL, FEW, false },
    { 2, 77, 160, 192, 0, false, true, true, 0, CALO_LINEAR, NORMAL, ALL, false },
    { 2, 20, 3136, 72, 0, false, true, true, 2, CALO_GELU, NORMAL, ALL, false }, /* k in several parts */
    { 1, 9, 3136, 80, 0, true, true, true, 0, CALO_LINEAR, NORMAL, ALL, false },
    { 1, 5, 8200, 72, 0, false, true, false, 0, CALO_LINEAR, NORMAL, HALVES, false }, /* and the stages several times */
    { 1, 65, 320, 129, 0, false, true, false, 0, CALO_LINEAR, NORMAL, FEW, false },
    { 1, 257, 48, 32, 0, false, true, false, 0, CALO_LINEAR, MEAN, FEW, false },
    { 2, 65, 80, 640, 0, true, true, false, 0, CALO_LINEAR, NORMAL, FEW, false },
    { 1, 3, 1280, 48, 0, false, true, false, 0, CALO_LINEAR, OUTLIERS, FEW, false },
    { 2, 1024, 640, 640, 0, false, true, true, 0, CALO_LINEAR, NORMAL, FEW, true },
    { 2, 1024, 640, 5120, 0, true, true, false, 0, CALO_LINEAR, NORMAL, FEW, true },
    { 2, 77, 768, 3072, 0, false, true, false, 0, CALO_QUICK_GELU, NORMAL, FEW, true },
};

static const char *const activations[] = { "", "-silu", "-gelu", "-gelu_tanh", "-quick_gelu" };

static void one_case(check *c, int i)
{
    const int64_t batch = rows[i].batch, tokens = rows[i].rows, inputs = rows[i].inputs, outputs = rows[i].outputs;
    const int64_t columns = rows[i].gated ? outputs / 2 : outputs, first = rows[i].stride ? 3 : 0;
    const int64_t x[] = { batch, tokens, inputs }, y[] = { batch, tokens, columns };
    const int64_t channel[] = { rows[i].channel, columns }, weight[] = { outputs, inputs };
    /* Sums of the size of x; near the limits an eighth of it, to stay finite. */
    const double scale = (rows[i].data == LIMITS ? 0.125 : 1) / sqrt((double)inputs);
    calo_linear_weights w = { .weight =
                                  check_weights(c, rows[i].gated ? CALO_PANELS_GATED : CALO_PANELS, scale, 2, weight) };
    calo_epilogue e = { .activation = rows[i].activation };
    if (rows[i].bias)
        w.bias = check_floats(c, 0.1, 1, 1, &outputs);
    if (rows[i].channel)
        e.channel_bias = check_floats(c, -0.1, 1, 2, channel);
    if (rows[i].residual)
        e.residual = check_activations(c, NORMAL, 1, 3, y);
    c->magnitude = check_size(c, rows[i].data) + rows[i].bias + rows[i].residual + (rows[i].channel > 0);
    c->batched = 1u | (rows[i].channel > 1 ? 1u << CALO_SLOT_CHANNEL_BIAS : 0) |
                 (rows[i].residual ? 1u << CALO_SLOT_RESIDUAL : 0);
    calo_linear(&c->run, check_columns(c, rows[i].data, 1, 3, x, first, rows[i].stride ? rows[i].stride : inputs), &w,
                &e);
}

void check_linear(check *c)
{
    type_pair pairs[9];
    for (int i = 0; i < COUNT(rows); i++)
        for (int p = check_pairs(pairs, true, rows[i].types, i); p-- > 0;) {
            if ((rows[i].full && !c->full) ||
                !check_case(c, pairs[p], "%dx%dx%d-%d%s%s%s%s%s-stride%d-%s", rows[i].batch, rows[i].rows,
                            rows[i].inputs, rows[i].outputs, rows[i].gated ? "-gated" : "",
                            activations[rows[i].activation], rows[i].bias ? "-bias" : "",
                            rows[i].channel == 0   ? ""
                            : rows[i].channel == 1 ? "-channel"
                                                   : "-channels",
                            rows[i].residual ? "-residual" : "", rows[i].stride, data_kind_names[rows[i].data]))
                continue;
            c->every_tuning = c->full || (rows[i].types != FEW && p == 0);
            c->misaligned &= rows[i].types == FEW; /* what kernels that need alignment are tried on */
            one_case(c, i);
            check_end(c);
        }
    if (!check_case(c, (type_pair){ CALO_F32, CALO_F32 }, "refusals"))
        return;
    calo_linear_weights w = { .weight = check_weights(c, CALO_PANELS, 1, 2, (int64_t[]){ 8, 5 }) };
    calo_linear(&c->run, check_activations(c, NORMAL, 1, 3, (int64_t[]){ 1, 3, 4 }), &w, NULL);
    check_refused(c, "4 columns for a weight of 5 inputs");
    w.weight = check_weights(c, CALO_PANELS, 1, 2, (int64_t[]){ 8, 4 });
    w.bias = check_floats(c, 0, 1, 1, (int64_t[]){ 7 });
    calo_linear(&c->run, check_activations(c, NORMAL, 1, 3, (int64_t[]){ 1, 3, 4 }), &w, NULL);
    check_refused(c, "a bias of 7 for 8 outputs");
}
