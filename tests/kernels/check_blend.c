/* blend: masks for one and for every batch, masks of 0 and 1, and writing onto an input. */
#include "checkkernel.h"

#include "../../kernels/elementwise/elementwise.h"

static const struct {
    int64_t dims[4];
    int mask_batches;
    data_kind data;
} rows[] = {
    { { 1, 1, 1, 1 }, 1, NORMAL }, { { 2, 3, 5, 4 }, 1, NORMAL },    { { 2, 3, 5, 4 }, 2, OUTLIERS },
    { { 3, 7, 11, 17 }, 1, MEAN }, { { 3, 13, 9, 16 }, 3, LIMITS },  { { 1, 64, 64, 4 }, 1, NORMAL },
    { { 2, 9, 13, 33 }, 1, TINY }, { { 1, 9, 13, 4 }, 1, OUTLIERS }, { { 2, 128, 128, 4 }, 1, NORMAL },
};

/* Numbers between 0 and 1, both of them among the numbers, or nothing else. */
static calo_tensor mask_of(check *c, int batches, const int64_t *d, bool hard)
{
    static float mask[3 * 128 * 128];
    const int64_t shape[] = { batches, d[1], d[2], 1 };
    for (int64_t k = 0; k < calo_tensor_count(calo_shape(c->act, 4, shape)); k++)
        mask[k] = k % 3 == 0 ? 0.0f : k % 3 == 1 ? 1.0f : (float)check_uniform(c);
    for (int64_t k = 0; hard && k < COUNT(mask); k++)
        mask[k] = mask[k] < 0.5f ? 0.0f : 1.0f;
    return check_given(c, c->act, 4, shape, mask);
}

static void masks(check *c)
{
    type_pair pairs[9];
    for (int i = 0; i < COUNT(rows); i++)
        for (int p = check_pairs(pairs, false, true, i); p-- > 0;) {
            const int64_t *d = rows[i].dims;
            if (!check_case(c, pairs[p], "%dx%dx%dx%d-mask%d-%s", (int)d[0], (int)d[1], (int)d[2], (int)d[3],
                            rows[i].mask_batches, data_kind_names[rows[i].data]))
                continue;
            const calo_tensor a = check_activations(c, rows[i].data, 0.5, 4, d);
            const calo_tensor b = check_activations(c, rows[i].data, 0.5, 4, d);
            c->magnitude = check_size(c, rows[i].data);
            c->batched = rows[i].mask_batches > 1 ? 7 : 3;
            calo_blend(&c->run, a, b, mask_of(c, rows[i].mask_batches, d, false));
            check_end(c);
        }
}

/* Where a mask is 0 or 1, one of the two comes back bit by bit; that one may also take the result. */
static void onto_input(check *c)
{
    type_pair pairs[9];
    for (int i = 0; i < COUNT(rows); i++)
        for (int target = 0; target < 3; target++)
            for (int p = check_pairs(pairs, false, true, i); p-- > 0;) {
                const int64_t *d = rows[i].dims;
                calo_tensor in[2];
                if (!check_case(c, pairs[p], "%dx%dx%dx%d-mask%d-%s-%s", (int)d[0], (int)d[1], (int)d[2], (int)d[3],
                                rows[i].mask_batches, data_kind_names[rows[i].data],
                                (const char *const[]){ "onto0", "onto1", "hard" }[target]))
                    continue;
                for (int k = 0; k < 2; k++)
                    in[k] = check_activations(c, rows[i].data, 0.5, 4, d);
                const calo_tensor mask = mask_of(c, rows[i].mask_batches, d, target == 2);
                c->magnitude = check_size(c, rows[i].data);
                c->exact = target == 2;
                if (target < 2)
                    calo_blend_into(&c->run, in[target], in[0], in[1], mask);
                else
                    calo_blend(&c->run, in[0], in[1], mask);
                check_end(c);
            }
}

void check_blend(check *c)
{
    masks(c);
    onto_input(c);
    if (!check_case(c, (type_pair){ CALO_F32, CALO_F32 }, "refusals"))
        return;
    const calo_tensor a = check_activations(c, NORMAL, 1, 4, rows[2].dims);
    calo_blend(&c->run, a, a, check_activations(c, NORMAL, 1, 4, (int64_t[]){ 2, 5, 3, 1 }));
    check_refused(c, "a mask with height and width exchanged");
}
