/* Streaming attention. D (the head's size) and CAUSAL are compile-time constants.

   attention_block, for CPUs: a work-item takes QUERIES queries of one head through all keys, KEYS at a time.
     scores   QUERIES × 32 keys in registers, over d: two vectors of packed keys and QUERIES broadcasts a step
     softmax  new maximum, exponentials, the running sum; what is there already is scaled by e^(old max − new max)
     values   QUERIES × 32 columns in registers, over the block's keys: two vectors of packed values a step
   On four Zen 4 cores (415 GFLOP/s probed): 200 GFLOP/s at T = 4096, d = 40, where 40 columns take three vectors of 16 and
   the exponentials are as long as a third of the products; 300 at d = 512 (the VAE). Scores never leave the first-level cache: QUERIES × KEYS floats. Keys and values were packed as floats once for all
   queries, with zeros up to a vector's width, the only padding there is. */
#ifndef QUERIES
#define QUERIES 12
#define KEYS 128
#endif
#ifndef D
#define D 64
#define CAUSAL 0
#endif
#define VECTORS ((D + 15) / 16)

/* One block of 32 keys of one head a work-item. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void attention_pack(__global const act *k, ulong k_at, __global const act *v, ulong v_at,
                             __global float *k_to, ulong k_to_at, __global float *v_to, ulong v_to_at, int keys,
                             int heads, int k_stride, int v_stride)
{
    const int block = (int)get_global_id(0), blocks = (int)get_global_size(0), head = (int)get_global_id(1);
    k += k_at + (ulong)(head / heads) * keys * k_stride + (head % heads) * D;
    v += v_at + (ulong)(head / heads) * keys * v_stride + (head % heads) * D;
    k_to += k_to_at + ((ulong)head * blocks + block) * 32 * D;
    v_to += v_to_at + (ulong)head * VECTORS * keys * 16;
    for (int i = 0; i < 32; i++) {
        const int key = block * 32 + i;
        for (int c = 0; c < D; c++)
            k_to[(i / 16 * D + c) * 16 + i % 16] = key < keys ? load_act(k, (ulong)key * k_stride + c) : 0.0f;
        for (int c = 0; key < keys && c < VECTORS * 16; c++)
            v_to[((ulong)(c / 16) * keys + key) * 16 + c % 16] = c < D ? load_act(v, (ulong)key * v_stride + c) : 0.0f;
    }
}

/* scores[r][0 … 32) = q_r · k of 32 keys. */
inline void score_block(const float *q, __global const float *k, float *scores)
{
    float16 a[QUERIES], b[QUERIES];
#pragma unroll
    for (int r = 0; r < QUERIES; r++)
        a[r] = b[r] = (float16)(0);
    for (int c = 0; c < D; c++) {
        const float16 k0 = vload16(c, k), k1 = vload16(D + c, k);
#pragma unroll
        for (int r = 0; r < QUERIES; r++) {
            const float16 x = (float16)(q[r * D + c]);
            a[r] = a[r] + x * k0;
            b[r] = b[r] + x * k1;
        }
    }
#pragma unroll
    for (int r = 0; r < QUERIES; r++) {
        vstore16(a[r], 0, scores + r * KEYS);
        vstore16(b[r], 1, scores + r * KEYS);
    }
}

/* Turns a row of scores into exponentials; masked ones become 0. Returns e^(old max − new max). */
inline float soften(float *row, int seen, float *largest, float *total)
{
    float16 most = (float16)(-1e30f), sum = (float16)(0);
    const int16 lane = (int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (int i = 0; i < seen; i += 16)
        most = fmax(most, select((float16)(-1e30f), vload16(0, row + i), lane + i < seen));
    const float8 m8 = fmax(most.lo, most.hi);
    const float4 m4 = fmax(m8.lo, m8.hi);
    const float2 m2 = fmax(m4.lo, m4.hi);
    const float now = fmax(*largest, fmax(m2.x, m2.y));
    for (int i = 0; i < seen; i += 16) {
        const float16 e = select((float16)(0), fast_exp16(vload16(0, row + i) - now), lane + i < seen);
        sum += e;
        vstore16(e, 0, row + i);
    }
    const float8 s8 = sum.lo + sum.hi;
    const float4 s4 = s8.lo + s8.hi;
    const float2 s2 = s4.lo + s4.hi;
    const float shrink = fast_exp(*largest - now);
    *total = *total * shrink + (s2.x + s2.y);
    *largest = now;
    return shrink;
}

/* y[r][vector pair] = y · shrink_r + Σ_key p[r][key] · v[key]; `second` is 0 when the pair has one vector only. */
inline void add_values(const float *p, __global const float *v, int count, const float *shrink, float *y, int second,
                       ulong v_next)
{
    float16 a[QUERIES], b[QUERIES];
#pragma unroll
    for (int r = 0; r < QUERIES; r++) {
        a[r] = vload16(0, y + r * VECTORS * 16) * shrink[r];
        b[r] = second ? vload16(1, y + r * VECTORS * 16) * shrink[r] : (float16)(0);
    }
    if (second)
        for (int j = 0; j < count; j++) {
            const float16 v0 = vload16(j, v), v1 = vload16(j, v + v_next);
#pragma unroll
            for (int r = 0; r < QUERIES; r++) {
                const float16 x = (float16)(p[r * KEYS + j]);
                a[r] = a[r] + x * v0;
                b[r] = b[r] + x * v1;
            }
        }
    else
        for (int j = 0; j < count; j++) {
            const float16 v0 = vload16(j, v);
#pragma unroll
            for (int r = 0; r < QUERIES; r++)
                a[r] = a[r] + (float16)(p[r * KEYS + j]) * v0;
        }
#pragma unroll
    for (int r = 0; r < QUERIES; r++) {
        vstore16(a[r], 0, y + r * VECTORS * 16);
        if (second)
            vstore16(b[r], 1, y + r * VECTORS * 16);
    }
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
attention_block(__global const act *q, ulong q_at, __global const float *k, ulong k_at, __global const float *v,
                ulong v_at, __global act *y, ulong y_at, int queries, int keys, int heads, int stride, int batched,
                float scale)
{
    const int first = (int)get_global_id(0) * QUERIES, index = (int)get_global_id(1);
    const int batch = index / heads, head = index % heads, source = batched ? index : head;
    float own[QUERIES * D], scores[QUERIES * KEYS], sums[QUERIES * VECTORS * 16];
    float largest[QUERIES], total[QUERIES], shrink[QUERIES];
    q += q_at + (ulong)batch * queries * stride + head * D;
    k += k_at + (ulong)source * ((keys + 31) / 32) * 32 * D;
    v += v_at + (ulong)source * VECTORS * keys * 16;

    for (int r = 0; r < QUERIES; r++) {
        const ulong from = (ulong)min(first + r, queries - 1) * stride;
        for (int c = 0; c < D; c++)
            own[r * D + c] = load_act(q, from + c) * scale;
        for (int c = 0; c < VECTORS * 16; c++)
            sums[r * VECTORS * 16 + c] = 0.0f;
        largest[r] = -1e30f;
        total[r] = 0.0f;
    }

    const int reach = CAUSAL ? min(keys, first + QUERIES) : keys;
    for (int begin = 0; begin < reach; begin += KEYS) {
        const int count = min(KEYS, reach - begin);
        for (int i = 0; i < count; i += 32)
            score_block(own, k + (ulong)(begin + i) * D, scores + i);
        for (int r = 0; r < QUERIES; r++) {
            /* A causal row that sees nothing of this block keeps what it has: its exponentials are all 0. */
            const int seen = CAUSAL ? clamp(min(first + r, queries - 1) + 1 - begin, 0, count) : count;
            shrink[r] = soften(scores + r * KEYS, seen, &largest[r], &total[r]);
            if (CAUSAL)
                for (int i = (seen + 15) / 16 * 16; i < count; i++)
                    scores[r * KEYS + i] = 0.0f;
        }
        for (int i = 0; i < VECTORS; i += 2)
            add_values(scores, v + ((ulong)i * keys + begin) * 16, count, shrink, sums + i * 16, i + 1 < VECTORS,
                       (ulong)keys * 16);
    }

    for (int r = 0; r < QUERIES && first + r < queries; r++) {
        const ulong to = y_at + ((ulong)batch * queries + first + r) * heads * D + head * D;
        for (int c = 0; c < D; c++)
            store_act(sums[r * VECTORS * 16 + c] / total[r], y, to + c);
    }
}

/* One query of one head a work-item, keys one by one: the plainest kernel. */
__kernel void attention_query(__global const act *q, ulong q_at, __global const act *k, ulong k_at,
                              __global const act *v, ulong v_at, __global act *y, ulong y_at, int queries, int keys,
                              int heads, int stride, int batched, float scale, int k_stride, int v_stride)
{
    const int i = (int)get_global_id(0), batch = (int)get_global_id(1) / heads, head = (int)get_global_id(1) % heads;
    float sums[D], largest = -1e30f, total = 0.0f;
    q += q_at + ((ulong)batch * queries + i) * stride + head * D;
    k += k_at + (ulong)(batched ? batch : 0) * keys * k_stride + head * D;
    v += v_at + (ulong)(batched ? batch : 0) * keys * v_stride + head * D;
    for (int c = 0; c < D; c++)
        sums[c] = 0.0f;
    for (int j = 0; j < (CAUSAL ? min(keys, i + 1) : keys); j++) {
        float score = 0.0f;
        for (int c = 0; c < D; c++)
            score += load_act(q, c) * load_act(k, (ulong)j * k_stride + c);
        score *= scale;
        const float now = fmax(largest, score), shrink = exp(largest - now), e = exp(score - now);
        total = total * shrink + e;
        largest = now;
        for (int c = 0; c < D; c++)
            sums[c] = sums[c] * shrink + e * load_act(v, (ulong)j * v_stride + c);
    }
    const ulong to = y_at + ((ulong)batch * queries + i) * heads * D + head * D;
    for (int c = 0; c < D; c++)
        store_act(sums[c] / total, y, to + c);
}

/* For GPUs: a group of 64 work-items, one query each, shares blocks of LOCAL_KEYS keys and values in local memory, so
   that each is read from global memory once for 64 queries. */
#ifdef LOCAL_KEYS
__kernel __attribute__((reqd_work_group_size(64, 1, 1))) void
attention_local(__global const act *q, ulong q_at, __global const act *k, ulong k_at, __global const act *v, ulong v_at,
                __global act *y, ulong y_at, int queries, int keys, int heads, int stride, int batched, float scale,
                int k_stride, int v_stride)
{
    __local float ks[LOCAL_KEYS * D], vs[LOCAL_KEYS * D];
    const int i = (int)get_global_id(0), item = (int)get_local_id(0), index = (int)get_global_id(1);
    const int batch = index / heads, head = index % heads, own_row = min(i, queries - 1);
    const int reach = CAUSAL ? min(keys, (int)(get_group_id(0) + 1) * 64) : keys; /* of the group's last query */
    float own[D], sums[D], largest = -1e30f, total = 0.0f;
    q += q_at + ((ulong)batch * queries + own_row) * stride + head * D;
    k += k_at + (ulong)(batched ? batch : 0) * keys * k_stride + head * D;
    v += v_at + (ulong)(batched ? batch : 0) * keys * v_stride + head * D;
    for (int c = 0; c < D; c++) {
        own[c] = load_act(q, c) * scale;
        sums[c] = 0.0f;
    }
    for (int begin = 0; begin < reach; begin += LOCAL_KEYS) {
        const int count = min(LOCAL_KEYS, reach - begin), seen = CAUSAL ? min(count, i + 1 - begin) : count;
        for (int e = item; e < count * D; e += 64) {
            ks[e] = load_act(k, (ulong)(begin + e / D) * k_stride + e % D);
            vs[e] = load_act(v, (ulong)(begin + e / D) * v_stride + e % D);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int j = 0; j < seen; j++) {
            float score = 0.0f;
            for (int c = 0; c < D; c++)
                score += own[c] * ks[j * D + c];
            const float now = fmax(largest, score), shrink = exp(largest - now), e = exp(score - now);
            total = total * shrink + e;
            largest = now;
            for (int c = 0; c < D; c++)
                sums[c] = sums[c] * shrink + e * vs[j * D + c];
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    if (i < queries) {
        const ulong to = y_at + ((ulong)batch * queries + i) * heads * D + head * D;
        for (int c = 0; c < D; c++)
            store_act(sums[c] / total, y, to + c);
    }
}
#endif
