/* activation: each kind, sizes around the vector of 16 and the chunk of 4096. */
#include "checkkernel.h"

#include "../../kernels/activation/activation.h"

static const struct {
    int64_t dims[3];
    data_kind data;
    bool full;
} rows[] = {
    { { 1, 1, 1 }, NORMAL, false },    { { 1, 1, 15 }, NORMAL, false },   { { 1, 1, 16 }, OUTLIERS, false },
    { { 1, 1, 17 }, LIMITS, false },   { { 2, 3, 7 }, TINY, false },      { { 1, 31, 33 }, MEAN, false },
    { { 1, 64, 64 }, NORMAL, false },  { { 1, 17, 241 }, NORMAL, false }, { { 3, 41, 101 }, OUTLIERS, false },
    { { 2, 77, 160 }, NORMAL, false }, { { 2, 77, 3072 }, NORMAL, true }, { { 2, 4096, 1280 }, NORMAL, true },
};

static const char *const kinds[] = { "linear", "silu", "gelu", "gelu_tanh", "quick_gelu" };

void check_activation(check *c)
{
    type_pair pairs[9];
    for (int i = 0; i < COUNT(rows); i++)
        for (int kind = 0; kind < COUNT(kinds); kind++)
            for (int p = check_pairs(pairs, false, true, i); p-- > 0;) {
                const int64_t *d = rows[i].dims;
                if ((rows[i].full && !c->full) || !check_case(c, pairs[p], "%s-%dx%dx%d-%s", kinds[kind], (int)d[0],
                                                              (int)d[1], (int)d[2], data_kind_names[rows[i].data]))
                    continue;
                c->batched = 1;
                calo_activate(&c->run, check_activations(c, rows[i].data, rows[i].data == NORMAL ? 3 : 1, 3, d),
                              (calo_activation)kind);
                check_end(c);
            }
}
