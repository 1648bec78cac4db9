/* concat: widths around the vector of 16, rows around the tunable, columns of wider tensors. */
#include "checkkernel.h"

#include "../../kernels/concat/concat.h"

static const struct {
    int batch, rows, a, b, a_stride, b_stride; /* stride 0: dense */
    bool full;
} rows[] = {
    { 1, 1, 1, 1, 0, 0, false },       { 2, 3, 5, 7, 0, 0, false },      { 1, 31, 16, 15, 0, 0, false },
    { 1, 32, 17, 16, 0, 0, false },    { 2, 33, 40, 24, 0, 0, false },   { 2, 41, 33, 1, 0, 0, false },
    { 2, 35, 13, 20, 50, 0, false },   { 1, 65, 32, 32, 96, 71, false }, { 2, 64, 80, 160, 0, 0, false },
    { 2, 4096, 640, 320, 0, 0, true },
};

void check_concat(check *c)
{
    type_pair pairs[9];
    for (int i = 0; i < COUNT(rows); i++)
        for (int p = check_pairs(pairs, false, true, i); p-- > 0;) {
            const int batch = rows[i].batch, count = rows[i].rows;
            const int64_t a_stride = rows[i].a_stride, b_stride = rows[i].b_stride;
            if ((rows[i].full && !c->full) || !check_case(c, pairs[p], "%dx%dx%d+%d-strides%d+%d", batch, count,
                                                          rows[i].a, rows[i].b, (int)a_stride, (int)b_stride))
                continue;
            const int64_t a[] = { batch, count, rows[i].a }, b[] = { batch, count, rows[i].b };
            c->exact = true;
            c->batched = 3;
            calo_concat(&c->run, check_columns(c, NORMAL, 1, 3, a, a_stride ? 5 : 0, a_stride ? a_stride : a[2]),
                        check_columns(c, OUTLIERS, 1, 3, b, b_stride ? 3 : 0, b_stride ? b_stride : b[2]));
            check_end(c);
        }
    if (!check_case(c, (type_pair){ CALO_F32, CALO_F32 }, "refusals"))
        return;
    calo_concat(&c->run, check_activations(c, NORMAL, 1, 3, (int64_t[]){ 2, 6, 4 }),
                check_activations(c, NORMAL, 1, 3, (int64_t[]){ 2, 3, 4 }));
    check_refused(c, "tensors of different heights");
}
