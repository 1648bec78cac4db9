/* tokens: widths around the vector of 16, ids at both ends of the table and outside of it. */
#include "checkkernel.h"

#include "../../kernels/embedding/embedding.h"

static const struct {
    int batch, tokens, words, places, width;
    bool full;
} rows[] = {
    { 1, 1, 1, 1, 1, false },        { 1, 7, 11, 7, 15, false },    { 2, 5, 13, 9, 16, false },
    { 3, 13, 101, 17, 33, false },   { 2, 77, 499, 77, 64, false }, { 1, 77, 97, 77, 193, false },
    { 2, 77, 49408, 77, 768, true },
};

static calo_tensor ids(check *c, int batch, int tokens, int words)
{
    int32_t list[512];
    const int count = batch * tokens;
    for (int i = 0; i < count; i++)
        list[i] = (int32_t)(check_uniform(c) * words);
    list[0] = words - 1;
    if (count > 2) {
        list[count - 1] = words; /* callers refuse these; the kernel must still stay inside the table */
        list[1] = -1;
    }
    return check_given(c, CALO_I32, 2, (int64_t[]){ batch, tokens }, list);
}

void check_tokens(check *c)
{
    type_pair pairs[9];
    for (int i = 0; i < COUNT(rows); i++)
        for (int p = check_pairs(pairs, true, i == 3, i); p-- > 0;) {
            if ((rows[i].full && !c->full) || !check_case(c, pairs[p], "%dx%d-of-%d-places%d-width%d", rows[i].batch,
                                                          rows[i].tokens, rows[i].words, rows[i].places, rows[i].width))
                continue;
            const calo_tensor list = ids(c, rows[i].batch, rows[i].tokens, rows[i].words);
            const calo_tensor table = check_weights(c, CALO_ROWS, 1, 2, (int64_t[]){ rows[i].words, rows[i].width });
            if (i % 2) /* positions of another type than the table's */
                c->weight = c->weight == CALO_F32 ? CALO_F16 : CALO_F32;
            const calo_tensor places = check_weights(c, CALO_ROWS, 1, 2, (int64_t[]){ rows[i].places, rows[i].width });
            c->magnitude = 2;
            c->batched = 1;
            calo_embed_tokens(&c->run, list, table, places);
            check_end(c);
        }
    if (!check_case(c, (type_pair){ CALO_F32, CALO_F32 }, "refusals"))
        return;
    const calo_tensor list = ids(c, 1, 7, 11), table = check_weights(c, CALO_ROWS, 1, 2, (int64_t[]){ 11, 4 });
    calo_embed_tokens(&c->run, list, table, check_weights(c, CALO_ROWS, 1, 2, (int64_t[]){ 6, 4 }));
    check_refused(c, "more tokens than positions");
}
