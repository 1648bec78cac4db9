/* resample: doubling, odd sizes up and down, the same size, columns of a wider tensor. */
#include "checkkernel.h"

#include "../../kernels/resample/resample.h"

static const struct {
    int64_t dims[4];
    int height, width, stride; /* stride 0: dense */
    bool full;
} rows[] = {
    { { 1, 1, 1, 1 }, 1, 1, 0, false },      { { 1, 1, 1, 3 }, 7, 5, 0, false },
    { { 2, 3, 5, 17 }, 6, 10, 0, false },    { { 1, 8, 8, 16 }, 16, 16, 0, false },
    { { 2, 5, 7, 33 }, 9, 13, 0, false },    { { 1, 9, 13, 15 }, 5, 7, 0, false },
    { { 2, 9, 13, 31 }, 9, 13, 0, false },   { { 2, 6, 5, 40 }, 11, 17, 64, false },
    { { 1, 3, 3, 4 }, 101, 97, 0, false },   { { 1, 41, 43, 2 }, 29, 61, 0, false },
    { { 2, 32, 32, 640 }, 63, 64, 0, true },
};

void check_resample(check *c)
{
    type_pair pairs[9];
    for (int i = 0; i < COUNT(rows); i++)
        for (int p = check_pairs(pairs, false, true, i); p-- > 0;) {
            const int64_t *d = rows[i].dims;
            if ((rows[i].full && !c->full) ||
                !check_case(c, pairs[p], "%dx%dx%dx%d-to-%dx%d-stride%d", (int)d[0], (int)d[1], (int)d[2], (int)d[3],
                            rows[i].height, rows[i].width, rows[i].stride))
                continue;
            c->exact = true;
            c->batched = 1;
            calo_resample_nearest(
                &c->run,
                check_columns(c, NORMAL, 1, 4, d, rows[i].stride ? 7 : 0, rows[i].stride ? rows[i].stride : d[3]),
                rows[i].height, rows[i].width);
            check_end(c);
        }
    if (!check_case(c, (type_pair){ CALO_F32, CALO_F32 }, "refusals"))
        return;
    calo_resample_nearest(&c->run, check_activations(c, NORMAL, 1, 4, rows[0].dims), 0, 4);
    check_refused(c, "a height of 0");
}
