/* rescale: items around the vector, the tree and the part, both tensors' types, a mean far from 0, and what does not
 * vary. */
#include "checkkernel.h"

#include "../../kernels/rescale/rescale.h"

#include <math.h>

static const struct {
    int rank;
    int64_t dims[4];
    double share;
    data_kind data;
} rows[] = {
    { 4, { 1, 1, 1, 1 }, 0.7, NORMAL },   { 2, { 5, 1 }, 1, MEAN },
    { 2, { 3, 2 }, 0.7, NORMAL },         { 2, { 2, 15 }, 0.5, OUTLIERS },
    { 3, { 2, 1, 16 }, 0.7, NORMAL },     { 2, { 1, 17 }, 1, MEAN },
    { 4, { 1, 9, 13, 4 }, 0.7, NORMAL },  { 4, { 3, 9, 13, 4 }, 0.3, OUTLIERS },
    { 2, { 2, 255 }, 1, LIMITS },         { 2, { 2, 257 }, 0.7, TINY },
    { 3, { 1, 31, 33 }, 0, NORMAL },      { 3, { 2, 31, 33 }, 0.7, MEAN },
    { 2, { 2, 1025 }, 0.7, NORMAL },      { 2, { 2, 4095 }, 0.7, MEAN },
    { 2, { 1, 4096 }, 0.5, NORMAL },      { 2, { 3, 4097 }, 0.7, OUTLIERS },
    { 4, { 1, 64, 64, 4 }, 0.7, NORMAL }, { 4, { 2, 128, 128, 4 }, 0.7, MEAN },
    { 2, { 2, 28657 }, 1, LIMITS },       { 4, { 2, 16, 16, 16 }, 0.7, TINY },
    { 2, { 1, 70001 }, 0.7, MEAN },
};

static const calo_type types[] = { CALO_F32, CALO_F16, CALO_BF16 };

/* The guided output f32 and the conditional one in the case's type; the other way round; or both in it. */
static void pair(check *c, int which, data_kind data, int rank, const int64_t *dims, calo_tensor *e, calo_tensor *cond)
{
    const calo_type own = c->act;
    const double scale = data == LIMITS ? 0.5 : 1;
    c->act = which == 0 ? CALO_F32 : own;
    *e = check_activations(c, data, scale, rank, dims);
    c->act = which == 1 ? CALO_F32 : own;
    *cond = check_activations(c, data, 0.4 * scale, rank, dims);
    c->act = own;
}

static void shapes(check *c)
{
    static const char *const names[] = { "wide", "narrow", "same" };
    type_pair pairs[9];
    for (int i = 0; i < COUNT(rows); i++)
        for (int which = i % 2; which < 3; which += 2 - i % 2)
            for (int p = check_pairs(pairs, false, i % 4 == 2 ? ALL : FEW, i + which); p-- > 0;) {
                calo_tensor e, cond;
                const int64_t *d = rows[i].dims;
                const bool large = d[0] * d[1] > 60000 || d[1] * d[2] > 16000; /* one pair of types will do */
                if ((pairs[p].act == CALO_F32 && which != 2) || (large && which == 2))
                    continue;
                if (!check_case(c, pairs[p], "%dx%dx%dx%d-%g-%s-%s", (int)d[0], (int)d[1], (int)d[2], (int)d[3],
                                rows[i].share, names[which], data_kind_names[rows[i].data]))
                    continue;
                pair(c, which, rows[i].data, rows[i].rank, d, &e, &cond);
                c->batched = 3;
                calo_rescale(&c->run, e, cond, rows[i].share);
                check_end(c);
            }
}

/* The guided output's own memory takes the result. */
static void onto_input(check *c)
{
    for (int i = 0; i < COUNT(rows); i += 3)
        for (int target = 0; target < 2; target++) {
            calo_tensor in[2];
            const int64_t *d = rows[i].dims;
            if (!check_case(c, (type_pair){ CALO_F32, CALO_F32 }, "onto%d-%dx%dx%dx%d-%g-%s", target, (int)d[0],
                            (int)d[1], (int)d[2], (int)d[3], rows[i].share, data_kind_names[rows[i].data]))
                continue;
            pair(c, 2, rows[i].data, rows[i].rank, d, &in[0], &in[1]);
            calo_rescale_into(&c->run, in[target], in[0], in[1], rows[i].share);
            check_end(c);
        }
}

/* A guided output that does not vary is left as it is, beside one that does; a conditional one that does not vary has
 * spread 0. */
static void constants(check *c)
{
    static float flat[2 * 5000], varied[2 * 5000];
    const int64_t dims[] = { 2, 5000 };
    for (int type = 0; type < COUNT(types); type++)
        for (int which = 0; which < 2; which++) {
            if (!check_case(c, (type_pair){ types[type], CALO_F32 }, "constant-%s", which ? "conditional" : "guided"))
                continue;
            for (int i = 0; i < COUNT(flat); i++) {
                varied[i] = (float)check_gauss(c);
                flat[i] = i < 5000 ? 0.1f : (float)check_gauss(c);
            }
            const calo_tensor a = check_given(c, c->act, 2, dims, flat), b = check_given(c, c->act, 2, dims, varied);
            calo_rescale(&c->run, which ? b : a, which ? a : b, 0.7);
            check_end(c);
        }
}

static void refusals(check *c)
{
    if (!check_case(c, (type_pair){ CALO_F32, CALO_F32 }, "refusals"))
        return;
    const int64_t dims[] = { 2, 3, 5, 4 }, turned[] = { 2, 5, 3, 4 };
    const double shares[] = { -0.1, 1.1, NAN, INFINITY };
    for (int i = 0; i < COUNT(shares); i++) {
        const calo_tensor x = check_activations(c, NORMAL, 1, 4, dims);
        calo_rescale(&c->run, x, x, shares[i]);
        check_refused(c, "a share that is not between 0 and 1");
    }
    calo_rescale(&c->run, check_activations(c, NORMAL, 1, 4, dims), check_activations(c, NORMAL, 1, 4, turned), 0.7);
    check_refused(c, "height and width exchanged");
    const calo_tensor x = check_columns(c, NORMAL, 1, 4, dims, 1, 9);
    calo_rescale(&c->run, x, x, 0.7);
    check_refused(c, "rows that lie apart");
}

void check_rescale(check *c)
{
    shapes(c);
    onto_input(c);
    constants(c);
    refusals(c);
}
