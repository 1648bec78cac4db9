/* timesteps: odd widths, both orders, shifts 0 and 1, whole and broken times up to 1000. */
#include "checkkernel.h"

#include "../../kernels/embedding/embedding.h"

static const struct {
    int times, dim;
    bool flip;
    double shift;
} rows[] = {
    { 1, 2, false, 0 },  { 1, 3, true, 0 },    { 3, 5, false, 0 },   { 7, 4, true, 1 },
    { 20, 40, true, 0 }, { 50, 320, true, 0 }, { 13, 33, false, 1 }, { 2, 1281, true, 0.5 },
};

void check_timesteps(check *c)
{
    type_pair pairs[9];
    for (int i = 0; i < COUNT(rows); i++)
        for (int p = check_pairs(pairs, false, true, i); p-- > 0;) {
            float times[64];
            if (!check_case(c, pairs[p], "%dx%d-flip%d-shift%g", rows[i].times, rows[i].dim, rows[i].flip,
                            rows[i].shift))
                continue;
            for (int k = 0; k < rows[i].times; k++)
                times[k] = k % 2 ? (float)(1000 * check_uniform(c)) : (float)(int)(1000 * check_uniform(c));
            times[0] = 999;
            calo_embed_timesteps(&c->run, check_given(c, CALO_F32, 1, (int64_t[]){ rows[i].times }, times), rows[i].dim,
                                 rows[i].flip, rows[i].shift);
            check_end(c);
        }
    if (!check_case(c, (type_pair){ CALO_F32, CALO_F32 }, "refusals"))
        return;
    calo_embed_timesteps(&c->run, check_given(c, CALO_F32, 1, (int64_t[]){ 1 }, (float[]){ 1 }), 2, true, 1);
    check_refused(c, "a shift as large as half the width");
}
