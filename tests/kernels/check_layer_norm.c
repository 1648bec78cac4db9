/* layer_norm: widths around the vector of 16, rows around the tunable. */
#include "checkkernel.h"

#include "../../kernels/layer_norm/layer_norm.h"

static const struct {
    int64_t dims[3];
    double eps;
    data_kind data;
    bool full;
} rows[] = {
    { { 1, 1, 1 }, 1e-5, NORMAL, false },    { { 1, 3, 15 }, 1e-5, NORMAL, false },
    { { 2, 4, 16 }, 1e-5, OUTLIERS, false }, { { 1, 7, 17 }, 1e-6, LIMITS, false },
    { { 2, 8, 33 }, 1e-5, MEAN, false },     { { 1, 9, 64 }, 1e-5, TINY, false },
    { { 2, 77, 97 }, 1e-5, NORMAL, false },  { { 3, 31, 192 }, 1e-12, NORMAL, false },
    { { 2, 17, 320 }, 1e-5, MEAN, false },   { { 1, 65, 641 }, 1e-5, OUTLIERS, false },
    { { 2, 77, 768 }, 1e-5, NORMAL, false }, { { 2, 4096, 320 }, 1e-5, NORMAL, true },
};

void check_layer_norm(check *c)
{
    type_pair pairs[9];
    for (int i = 0; i < COUNT(rows); i++)
        for (int p = check_pairs(pairs, false, true, i); p-- > 0;) {
            const int64_t *d = rows[i].dims;
            if ((rows[i].full && !c->full) || !check_case(c, pairs[p], "%dx%dx%d-eps%g-%s", (int)d[0], (int)d[1],
                                                          (int)d[2], rows[i].eps, data_kind_names[rows[i].data]))
                continue;
            const calo_tensor x = check_activations(c, rows[i].data, rows[i].data == LIMITS ? 0.25 : 1, 3, d);
            const calo_norm_weights w = { .gamma = check_floats(c, 1, 0.2, 1, &d[2]),
                                          .beta = check_floats(c, 0, 0.5, 1, &d[2]),
                                          .eps = rows[i].eps };
            c->magnitude = check_norm_size(rows[i].data, d[2], rows[i].eps);
            c->batched = 1;
            calo_layer_norm(&c->run, x, &w);
            check_end(c);
        }
    if (!check_case(c, (type_pair){ CALO_F32, CALO_F32 }, "refusals"))
        return;
    const calo_norm_weights w = { .gamma = check_floats(c, 1, 0, 1, (int64_t[]){ 8 }),
                                  .beta = check_floats(c, 0, 0, 1, (int64_t[]){ 9 }),
                                  .eps = 1e-5 };
    calo_layer_norm(&c->run, check_activations(c, NORMAL, 1, 3, (int64_t[]){ 1, 3, 8 }), &w);
    check_refused(c, "a shift of another width");
}
