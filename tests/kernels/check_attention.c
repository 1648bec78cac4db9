/* attention: head dimensions from 1 to 512 that no vector divides, lengths around the blocks, causal and not, keys of
   another length, one batch of keys for all, columns of a fused projection, flat and peaked softmax. */
#include "checkkernel.h"

#include "../../kernels/attention/attention.h"

#include <math.h>

typedef enum source { APART, FUSED_QKV, FUSED_KV } source;

static const struct {
    int batch, queries, keys, key_batch, heads, dim;
    bool causal;
    source source;
    double spread, scale; /* deviation of q and k; the args' scale */
    data_kind values;
    type_choice types;
    bool full;
} rows[] = {
    { 1, 1, 1, 1, 1, 1, false, APART, 1, 0, NORMAL, FEW, false },
    { 1, 7, 5, 1, 2, 5, false, APART, 1, 0, NORMAL, FEW, false },
    { 2, 33, 31, 2, 3, 20, false, APART, 1, 0, NORMAL, ALL, false },
    { 2, 13, 13, 2, 2, 40, false, FUSED_QKV, 1, 0, NORMAL, FEW, false },
    { 2, 77, 77, 2, 2, 16, true, FUSED_QKV, 1, 0, NORMAL, FEW, false },
    { 1, 31, 31, 1, 3, 7, true, APART, 2, 0, OUTLIERS, FEW, false },
    { 3, 17, 77, 1, 2, 8, false, FUSED_KV, 1, 0, NORMAL, FEW, false },
    { 2, 64, 77, 2, 2, 80, false, FUSED_KV, 1, 0, MEAN, FEW, false },
    { 1, 65, 129, 1, 1, 64, false, APART, 3, 0, NORMAL, FEW, false },
    { 1, 12, 257, 1, 2, 33, false, APART, 1, 0, LIMITS, FEW, false },
    { 1, 100, 63, 1, 1, 160, false, APART, 1, 0, NORMAL, FEW, false },
    { 1, 9, 300, 1, 1, 512, false, APART, 1, 0, NORMAL, FEW, false },
    { 1, 37, 37, 1, 1, 511, true, APART, 1, 0, NORMAL, FEW, false },
    { 2, 8, 128, 2, 1, 31, false, APART, 6, 0, NORMAL, FEW, false },
    { 1, 127, 127, 1, 2, 32, true, APART, 1, 0.3, NORMAL, FEW, false },
    { 1, 5, 1, 1, 2, 12, false, APART, 1, 0, TINY, FEW, false },
    { 2, 130, 65, 2, 1, 24, false, APART, 1, 0, OUTLIERS, FEW, false },
    { 1, 1, 200, 1, 4, 10, false, APART, 1, 0, NORMAL, FEW, false },
    { 2, 150, 390, 2, 2, 64, false, FUSED_KV, 1, 0, NORMAL, FEW, false },
    { 1, 200, 200, 1, 2, 64, true, FUSED_QKV, 1, 0, NORMAL, FEW, false },
    { 1, 130, 520, 1, 2, 128, false, FUSED_KV, 2, 0, OUTLIERS, FEW, false },
    { 2, 140, 77, 1, 1, 128, false, APART, 1, 0, MEAN, FEW, false },
    { 2, 260, 260, 2, 2, 40, false, FUSED_QKV, 1, 0, NORMAL, FEW, false },
    { 2, 200, 390, 2, 2, 40, false, FUSED_KV, 2, 0, MEAN, FEW, false },
    { 1, 200, 200, 1, 2, 80, true, APART, 1, 0, NORMAL, FEW, false },
    { 2, 1024, 1024, 2, 8, 40, false, FUSED_QKV, 1, 0, NORMAL, FEW, true },
    { 2, 1024, 77, 2, 8, 80, false, FUSED_KV, 1, 0, NORMAL, FEW, true },
    { 1, 1024, 1024, 1, 1, 512, false, FUSED_QKV, 1, 0, NORMAL, FEW, true },
};

static const char *const sources[] = { "", "-qkv", "-kv" };

static void one_case(check *c, int i)
{
    const int64_t width = (int64_t)rows[i].heads * rows[i].dim;
    const int64_t q_dims[] = { rows[i].batch, rows[i].queries, width };
    const int64_t k_dims[] = { rows[i].key_batch, rows[i].keys, width };
    const int64_t fused[] = { rows[i].key_batch, rows[i].keys, (rows[i].source == FUSED_QKV ? 3 : 2) * width };
    const calo_attention_args args = { rows[i].heads, rows[i].scale, rows[i].causal };
    calo_tensor q, k, v;
    if (rows[i].source == FUSED_QKV) {
        const calo_tensor qkv = check_activations(c, NORMAL, rows[i].spread, 3, fused);
        q = calo_columns(qkv, 0, width);
        k = calo_columns(qkv, width, width);
        v = calo_columns(qkv, 2 * width, width);
    } else {
        q = check_activations(c, NORMAL, rows[i].spread, 3, q_dims);
        if (rows[i].source == FUSED_KV) {
            const calo_tensor kv = check_activations(c, rows[i].values == MEAN ? NORMAL : rows[i].values, 1, 3, fused);
            k = calo_columns(kv, 0, width);
            v = calo_columns(kv, width, width);
        } else {
            k = check_activations(c, NORMAL, rows[i].spread, 3, k_dims);
            v = check_activations(c, rows[i].values, 1, 3, k_dims);
        }
    }
    /* A logit's rounding is that share of the logit, and softmax hands it on to the weights. */
    const double scale = calo_attention_scale(&args, rows[i].dim);
    const double logit = rows[i].spread * rows[i].spread * sqrt((double)rows[i].dim) * scale;
    c->magnitude = (rows[i].source == APART ? check_size(c, rows[i].values) : 1) * (1 + logit);
    c->batched = rows[i].key_batch == rows[i].batch ? 7 : 1;
    calo_attention(&c->run, q, k, v, &args);
}

void check_attention(check *c)
{
    type_pair pairs[9];
    for (int i = 0; i < COUNT(rows); i++)
        for (int p = check_pairs(pairs, false, rows[i].types, i); p-- > 0;) {
            if ((rows[i].full && !c->full) ||
                !check_case(c, pairs[p], "%dx%d-keys%dx%d-heads%dx%d%s%s-spread%g-scale%g-%s", rows[i].batch,
                            rows[i].queries, rows[i].key_batch, rows[i].keys, rows[i].heads, rows[i].dim,
                            rows[i].causal ? "-causal" : "", sources[rows[i].source], rows[i].spread, rows[i].scale,
                            data_kind_names[rows[i].values]))
                continue;
            c->every_tuning = c->full || (rows[i].types != FEW && p == 0);
            one_case(c, i);
            check_end(c);
        }
    if (!check_case(c, (type_pair){ CALO_F32, CALO_F32 }, "refusals"))
        return;
    const calo_attention_args args = { .heads = 3 };
    const calo_tensor q = check_activations(c, NORMAL, 1, 3, (int64_t[]){ 2, 3, 8 });
    calo_attention(&c->run, q, q, q, &args);
    check_refused(c, "8 columns in 3 heads");
}
