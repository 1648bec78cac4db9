/* blend: masks for one and for every batch. */
#include "checkkernel.h"

#include "../../kernels/elementwise/elementwise.h"

static const struct {
    int64_t dims[4];
    int mask_batches;
    data_kind data;
} rows[] = {
    { { 1, 1, 1, 1 }, 1, NORMAL }, { { 2, 3, 5, 4 }, 1, NORMAL },   { { 2, 3, 5, 4 }, 2, OUTLIERS },
    { { 3, 7, 11, 17 }, 1, MEAN }, { { 3, 13, 9, 16 }, 3, LIMITS }, { { 1, 64, 64, 4 }, 1, NORMAL },
    { { 2, 9, 13, 33 }, 1, TINY },
};

void check_blend(check *c)
{
    type_pair pairs[9];
    for (int i = 0; i < COUNT(rows); i++)
        for (int p = check_pairs(pairs, false, true, i); p-- > 0;) {
            const int64_t *d = rows[i].dims, count = rows[i].mask_batches * d[1] * d[2];
            float mask[64 * 64];
            if (!check_case(c, pairs[p], "%dx%dx%dx%d-mask%d-%s", (int)d[0], (int)d[1], (int)d[2], (int)d[3],
                            rows[i].mask_batches, data_kind_names[rows[i].data]))
                continue;
            for (int64_t k = 0; k < count; k++)
                mask[k] = k % 3 == 0 ? 0.0f : k % 3 == 1 ? 1.0f : (float)check_uniform(c);
            const calo_tensor a = check_activations(c, rows[i].data, 0.5, 4, d);
            const calo_tensor b = check_activations(c, rows[i].data, 0.5, 4, d);
            const int64_t shape[] = { rows[i].mask_batches, d[1], d[2], 1 };
            c->magnitude = check_size(c, rows[i].data);
            c->batched = rows[i].mask_batches > 1 ? 7 : 3;
            calo_blend(&c->run, a, b, check_given(c, c->act, 4, shape, mask));
            check_end(c);
        }
    if (!check_case(c, (type_pair){ CALO_F32, CALO_F32 }, "refusals"))
        return;
    const calo_tensor a = check_activations(c, NORMAL, 1, 4, rows[2].dims);
    calo_blend(&c->run, a, a, check_activations(c, NORMAL, 1, 4, (int64_t[]){ 2, 5, 3, 1 }));
    check_refused(c, "a mask with height and width exchanged");
}
