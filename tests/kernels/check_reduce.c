/* reduce: sizes around the vector, the chunk and the tree; NaN and infinities at the ends and in between. */
#include "checkkernel.h"

#include "../../kernels/reduce/reduce.h"

#include <math.h>
#include <stdlib.h>

static const struct {
    int64_t count;
    int bad; /* 0: none, 1: the first, 2: the last, 3: one in 7, 4: all */
    data_kind data;
} rows[] = {
    { 1, 0, NORMAL },     { 1, 4, NORMAL },      { 15, 0, MEAN },      { 16, 2, NORMAL },    { 17, 2, OUTLIERS },
    { 255, 1, NORMAL },   { 257, 3, NORMAL },    { 1023, 0, TINY },    { 1025, 2, LIMITS },  { 2048, 4, NORMAL },
    { 2049, 1, MEAN },    { 16384, 3, NORMAL },  { 16385, 2, NORMAL }, { 16411, 4, NORMAL }, { 100003, 3, OUTLIERS },
    { 65536, 0, NORMAL }, { 700001, 2, NORMAL },
};

static float number(check *c, int64_t i, int64_t count, int bad, data_kind data)
{
    static const float wrong[] = { INFINITY, -INFINITY, NAN };
    const double value = check_gauss(c), size = data == NORMAL ? 1 : check_size(c, data);
    const bool is_bad = (bad == 1 && i == 0) || (bad == 2 && i == count - 1) || (bad == 3 && i % 7 == 3) || bad == 4;
    if (is_bad)
        return wrong[(i / 7 + count) % 3];
    return (float)(data == MEAN ? 100 + value : value / 6 * size);
}

void check_reduce(check *c)
{
    type_pair pairs[9];
    for (int i = 0; i < COUNT(rows); i++)
        for (int p = check_pairs(pairs, false, true, i); p-- > 0;) {
            const int64_t count = rows[i].count;
            if (!check_case(c, pairs[p], "%d-bad%d-%s", (int)count, rows[i].bad, data_kind_names[rows[i].data]))
                continue;
            float *values = calloc((size_t)count, sizeof *values);
            for (int64_t k = 0; values && k < count; k++)
                values[k] = number(c, k, count, rows[i].bad, rows[i].data);
            c->exact = true;
            if (values)
                calo_reduce_finite(&c->run, check_given(c, c->act, 1, &count, values));
            free(values);
            check_end(c);
        }
}
