/* resample, nearest and bilinear: doubling, odd sizes up and down, the same size, columns of a wider tensor. */
#include "checkkernel.h"

#include "../../kernels/resample/resample.h"

static const struct {
    int64_t dims[4];
    int height, width, stride; /* stride 0: dense */
    bool full;
    data_kind data;
} rows[] = {
    { { 1, 1, 1, 1 }, 1, 1, 0, false, NORMAL },       { { 1, 1, 1, 3 }, 7, 5, 0, false, NORMAL },
    { { 2, 3, 5, 17 }, 6, 10, 0, false, OUTLIERS },   { { 1, 8, 8, 16 }, 16, 16, 0, false, NORMAL },
    { { 2, 5, 7, 33 }, 9, 13, 0, false, LIMITS },     { { 1, 9, 13, 15 }, 5, 7, 0, false, TINY },
    { { 2, 9, 13, 31 }, 9, 13, 0, false, NORMAL },    { { 2, 6, 5, 40 }, 11, 17, 64, false, NORMAL },
    { { 1, 3, 3, 4 }, 101, 97, 0, false, MEAN },      { { 1, 41, 43, 2 }, 29, 61, 0, false, NORMAL },
    { { 1, 1, 13, 4 }, 3, 26, 0, false, NORMAL },     { { 1, 9, 13, 4 }, 18, 26, 0, false, NORMAL },
    { { 1, 9, 13, 4 }, 13, 20, 0, false, NORMAL },    { { 1, 64, 64, 4 }, 96, 101, 0, false, NORMAL },
    { { 2, 128, 128, 4 }, 160, 193, 0, false, MEAN }, { { 2, 32, 32, 640 }, 63, 64, 0, true, NORMAL },
};

static void sizes(check *c, bool bilinear)
{
    type_pair pairs[9];
    for (int i = 0; i < COUNT(rows); i++)
        for (int p = check_pairs(pairs, false, true, i); p-- > 0;) {
            const int64_t *d = rows[i].dims;
            if ((rows[i].full && !c->full) ||
                !check_case(c, pairs[p], "%dx%dx%dx%d-to-%dx%d-stride%d%s-%s", (int)d[0], (int)d[1], (int)d[2],
                            (int)d[3], rows[i].height, rows[i].width, rows[i].stride, bilinear ? "-bilinear" : "",
                            data_kind_names[rows[i].data]))
                continue;
            const int64_t stride = rows[i].stride ? rows[i].stride : d[3];
            const calo_tensor x = check_columns(c, rows[i].data, 1, 4, d, rows[i].stride ? 7 : 0, stride);
            c->exact = !bilinear;
            c->magnitude = check_size(c, rows[i].data);
            c->batched = 1;
            if (bilinear)
                calo_resample_bilinear(&c->run, x, rows[i].height, rows[i].width);
            else
                calo_resample_nearest(&c->run, x, rows[i].height, rows[i].width);
            check_end(c);
        }
}

/* What has one colour keeps it, and what keeps its size keeps its numbers, bit by bit. */
static void unchanged(check *c)
{
    type_pair pairs[9];
    for (int p = check_pairs(pairs, false, true, 0); p-- > 0;) {
        float colours[7 * 5 * 4];
        if (check_case(c, pairs[p], "one-colour")) {
            for (int i = 0; i < COUNT(colours); i++)
                colours[i] = (const float[]){ 0.1f, -3.7f, 1e-3f, 41 }[i % 4];
            c->exact = true;
            calo_resample_bilinear(&c->run, check_given(c, c->act, 4, (int64_t[]){ 1, 7, 5, 4 }, colours), 23, 11);
            check_end(c);
        }
        if (check_case(c, pairs[p], "one-size")) {
            c->exact = true;
            calo_resample_bilinear(&c->run, check_activations(c, NORMAL, 1, 4, (int64_t[]){ 2, 127, 101, 5 }), 127,
                                   101);
            check_end(c);
        }
    }
}

void check_resample(check *c)
{
    sizes(c, false);
    sizes(c, true);
    unchanged(c);
    if (!check_case(c, (type_pair){ CALO_F32, CALO_F32 }, "refusals"))
        return;
    calo_resample_nearest(&c->run, check_activations(c, NORMAL, 1, 4, rows[0].dims), 0, 4);
    check_refused(c, "a height of 0");
    calo_resample_bilinear(&c->run, check_activations(c, NORMAL, 1, 3, (int64_t[]){ 3, 5, 4 }), 8, 8);
    check_refused(c, "three dimensions");
}
