/* group_norm: groups of 1 to many channels, with widths that no vector divides, images and tokens. */
#include "checkkernel.h"

#include "../../kernels/group_norm/group_norm.h"

static const struct {
    int rank;
    int64_t dims[4];
    int groups;
    double eps;
    data_kind data;
    bool full;
} rows[] = {
    { 4, { 1, 1, 1, 1 }, 1, 1e-5, NORMAL, false },       { 4, { 2, 3, 5, 6 }, 3, 1e-5, NORMAL, false },
    { 4, { 1, 7, 9, 15 }, 5, 1e-6, OUTLIERS, false },    { 4, { 2, 8, 8, 32 }, 32, 1e-5, NORMAL, false },
    { 4, { 2, 9, 13, 40 }, 20, 1e-5, MEAN, false },      { 4, { 1, 16, 16, 64 }, 32, 1e-6, TINY, false },
    { 4, { 2, 9, 13, 80 }, 20, 1e-5, LIMITS, false },    { 3, { 2, 77, 96 }, 8, 1e-6, NORMAL, false },
    { 4, { 1, 5, 5, 34 }, 17, 1e-5, NORMAL, false },     { 4, { 1, 33, 31, 16 }, 2, 1e-5, OUTLIERS, false },
    { 4, { 2, 17, 17, 160 }, 32, 1e-5, NORMAL, false },  { 4, { 1, 64, 64, 32 }, 4, 1e-6, MEAN, false },
    { 3, { 1, 1, 24 }, 6, 1e-5, NORMAL, false },         { 4, { 3, 2, 3, 132 }, 4, 1e-5, NORMAL, false },
    { 4, { 1, 64, 64, 60 }, 2, 1e-6, MEAN, false }, /* more than shared memory holds */
    { 4, { 1, 4, 4, 520 }, 2, 1e-5, NORMAL, false },     { 4, { 2, 64, 64, 320 }, 32, 1e-5, NORMAL, true },
    { 4, { 1, 256, 256, 256 }, 32, 1e-6, NORMAL, true },
};

void check_group_norm(check *c)
{
    type_pair pairs[9];
    for (int i = 0; i < COUNT(rows); i++)
        for (int silu = 0; silu < 2; silu++)
            for (int p = check_pairs(pairs, false, i % 3 == 1, i + silu); p-- > 0;) {
                const int64_t *d = rows[i].dims, width = d[rows[i].rank - 1];
                if ((rows[i].full && !c->full) ||
                    !check_case(c, pairs[p], "%dx%dx%dx%d-groups%d-eps%g%s-%s", (int)d[0], (int)d[1], (int)d[2],
                                (int)d[3], rows[i].groups, rows[i].eps, silu ? "-silu" : "",
                                data_kind_names[rows[i].data]))
                    continue;
                const double scale = rows[i].data == LIMITS ? 0.25 : 1;
                const calo_tensor x = check_activations(c, rows[i].data, scale, rows[i].rank, d);
                const calo_norm_weights w = { .gamma = check_floats(c, 1, 0.2, 1, &width),
                                              .beta = check_floats(c, 0, 0.5, 1, &width),
                                              .groups = rows[i].groups,
                                              .eps = rows[i].eps };
                const int64_t group = calo_tensor_count(x) / d[0] / rows[i].groups;
                c->magnitude = check_norm_size(rows[i].data, group, rows[i].eps);
                c->batched = 1;
                calo_group_norm(&c->run, x, &w, silu ? CALO_SILU : CALO_LINEAR);
                check_end(c);
            }
    if (!check_case(c, (type_pair){ CALO_F32, CALO_F32 }, "refusals"))
        return;
    const calo_norm_weights w = { .gamma = check_floats(c, 1, 0, 1, (int64_t[]){ 8 }),
                                  .beta = check_floats(c, 0, 0, 1, (int64_t[]){ 8 }),
                                  .groups = 3,
                                  .eps = 1e-5 };
    calo_group_norm(&c->run, check_activations(c, NORMAL, 1, 4, (int64_t[]){ 1, 3, 3, 8 }), &w, CALO_LINEAR);
    check_refused(c, "8 channels in 3 groups");
}
