/* The definition of attention: scores, their maximum, exponentials, weighted sum. */
#include "attention.h"
#include "../reference.h"

void CALO_REFERENCE(attention)(const calo_call *call, const REAL *const *in, REAL *out)
{
    const calo_attention_args *args = call->args;
    const int64_t batch = call->in[0].dims[0], queries = call->in[0].dims[1], width = call->in[0].dims[2];
    const int64_t keys = call->in[1].dims[1], d = width / args->heads;
    const REAL scale = (REAL)(float)calo_attention_scale(args, d);
    for (int64_t b = 0; b < batch; b++)
        for (int64_t h = 0; h < args->heads; h++)
            for (int64_t i = 0; i < queries; i++) {
                const int64_t source = call->in[1].dims[0] > 1 ? b : 0, seen = args->causal && i + 1 < keys ? i + 1 : keys;
                const REAL *q = in[0] + (b * queries + i) * width + h * d;
                REAL *y = out + (b * queries + i) * width + h * d, largest = -(REAL)INFINITY, total = 0;
                for (int64_t c = 0; c < d; c++)
                    y[c] = 0;
                /* Two sweeps over the keys instead of a row of scores: no memory to allocate, and none to run out. */
                for (int sweep = 0; sweep < 2; sweep++)
                    for (int64_t j = 0; j < seen; j++) {
                        const REAL *k = in[1] + (source * keys + j) * width + h * d;
                        const REAL *v = in[2] + (source * keys + j) * width + h * d;
                        REAL score = 0;
                        for (int64_t c = 0; c < d; c++)
                            score += q[c] * k[c];
                        score *= scale;
                        if (sweep == 0) {
                            largest = score > largest ? score : largest;
                            continue;
                        }
                        const REAL weight = exp(score - largest);
                        total += weight;
                        for (int64_t c = 0; c < d; c++)
                            y[c] += weight * v[c];
                    }
                for (int64_t c = 0; c < d; c++)
                    y[c] /= total;
            }
}
