/* y = softmax(scale · q kᵀ) v per head: q [B, T, heads · D], k and v [1 or B, S, heads · D], rows apart by their strides.
   Streaming softmax (Milakov and Gimelshein 2018; FlashAttention 2): no T × S matrix is ever in memory.

   attention_mma    tensor cores, 16-bit, D a multiple of 8 up to 160. A block is 4 warps of 16 queries, whose fragments
                    stay in registers; KEYS keys and values at a time pass through shared memory, twice buffered by
                    cp.async. D is not padded: its last 8 channels, where it is an odd multiple of 8, are an mma of k 8
                    (40 = 16 + 16 + 8). Rows in shared memory are an odd number of 16-byte chunks apart, so the 8 rows of
                    an ldmatrix are in different banks. The probabilities become the A fragments of the second product
                    without leaving their registers.
   attention_wgmma  the same on Hopper's own instructions (ptx90.cu) for D = 40, 64, 80 and 128: one warpgroup's thread keeps
                    two blocks of 128 keys and values coming by TMA, three (D up to 64) or two multiply 64 queries each.
                    The scores of the next block are multiplied while the values of this one are, and softened beside the
                    latter (FlashAttention 3's order).
   attention_wide   the same up to D = 512 (the VAE has one head of 512): 8 warps, 2 × 16 queries by 4 quarters of D. A
                    warp multiplies its quarter of q and k, the four partial scores meet in shared memory in a fixed
                    order, and each warp makes its quarter of the result.
   attention_warp   any type, any D up to 512, in f32: a warp a query. Lanes take a key each for the scores (keys pass
                    through shared memory 32 channels at a time), then channels for the sums.

   Exponentials are 2^x with log2 e folded into the scale. exp's throughput (16 a clock and multiprocessor) bounds D = 40
   at 62 % of the tensor cores' peak. An H200 reached 34 % of a square product's there, 45 % at D = 64 (4096 keys), before
   the softening ran beside the second product; it has not timed that since. */
#ifndef D
#define D 8
#define CAUSAL 0
#endif

#define ATTENTION_ARGUMENTS                                                                                            \
    ulong q_at, const act *k, ulong k_at, const act *v, ulong v_at, act *y, ulong y_at, int queries, int keys,         \
        int heads, int stride, int batched, float scale, int k_stride, int v_stride

#define LOG2_E 1.44269504088896341f
#define NOTHING -1e30f /* a score that no key has; its difference to any score is finite */

#if ACT == TYPE_BF16
#define mma mma_bf16
#define mma_k8 mma_bf16_k8
#else
#define mma mma_f16
#define mma_k8 mma_f16_k8
#endif

/* Scores of keys that a row does not see become NOTHING: 16 queries by 8 · count keys, by this thread rows `row` and `row` +
   8 (e / 2), keys first_key + 8 j + 2 t + e % 2. Rows before `first_row` there are none: most often they see all keys. */
INLINE void hide_keys(float (*s)[4], int count, int first_key, int keys, int first_row, int row)
{
    const int t = threadIdx.x % 4 * 2;
    if (first_key + 8 * count <= (CAUSAL ? min(keys, first_row + 1) : keys))
        return;
    UNROLL
    for (int j = 0; j < count; j++)
        UNROLL
        for (int e = 0; e < 4; e++)
            if (first_key + 8 * j + t + e % 2 > (CAUSAL ? min(keys - 1, row + e / 2 * 8) : keys - 1))
                s[j][e] = NOTHING;
}

/* Scores become probabilities, relative to the row's largest so far; shrink is what sums of before are worth now. */
INLINE void soften(float (*s)[4], int count, float factor, float *largest, float *total, float *shrink)
{
    UNROLL
    for (int h = 0; h < 2; h++) {
        float most = largest[h], sum[2] = { 0 };
        UNROLL
        for (int j = 0; j < count; j++)
            UNROLL
            for (int e = 0; e < 2; e++)
                most = fmaxf(most, s[j][2 * h + e]);
        most = fmaxf(most, shuffle_xor(most, 1));
        most = fmaxf(most, shuffle_xor(most, 2));
        shrink[h] = fast_exp2((largest[h] - most) * factor);
        largest[h] = most;
        const float base = most * factor;
        UNROLL
        for (int j = 0; j < count; j++)
            UNROLL
            for (int e = 0; e < 2; e++) {
                s[j][2 * h + e] = fast_exp2(fmaf(s[j][2 * h + e], factor, -base));
                sum[e] += s[j][2 * h + e];
            }
        total[h] = total[h] * shrink[h] + (sum[0] + sum[1]);
    }
}

/* A thread's sums of rows `row` and `row` + 8, divided by their totals. */
INLINE void store_queries(float (*sums)[4], float *total, act *y, int row, int queries, int heads)
{
    UNROLL
    for (int h = 0; h < 2; h++) {
        total[h] += shuffle_xor(total[h], 1);
        total[h] += shuffle_xor(total[h], 2);
        const float share = 1.0f / total[h];
        act *to = y + (ulong)(row + 8 * h) * heads * D + threadIdx.x % 4 * 2;
        if (row + 8 * h < queries) {
            UNROLL
            for (int c = 0; c < D / 8; c++)
                store_pair(sums[c][2 * h] * share, sums[c][2 * h + 1] * share, to + c * 8);
        }
    }
}

#ifdef KEYS
#define CHUNKS (D / 8)
#define PITCH ((CHUNKS | 1) * 8)
#define BLOCK (KEYS * PITCH)

/* Rows [first, first + count) of one head to shared memory, zeros past the end. */
INLINE void load_rows(SHARED_POINTER(ushort) to, const ushort *from, int first, int count, int end, int stride)
{
    for (int i = threadIdx.x; i < count * CHUNKS; i += 128) {
        const int row = i / CHUNKS, chunk = i % CHUNKS;
        const bool valid = first + row < end;
        copy_async(to + row * PITCH + chunk * 8, from + (valid ? (ulong)(first + row) * stride + chunk * 8 : 0), valid);
    }
}

/* s = q kᵀ: 16 queries by 8 · KEYS / 8 keys. */
INLINE void score(float (*s)[4], uint (*qs)[4], SHARED_POINTER(ushort) ks)
{
    const int lane = threadIdx.x % 32;
    UNROLL
    for (int j = 0; j < KEYS / 8; j += 2) {
        UNROLL
        for (int e = 0; e < 4; e++)
            s[j][e] = s[j + 1][e] = 0.0f;
        UNROLL
        for (int c = 0; c < D / 16; c++) {
            uint b[4];
            ldmatrix4(b, ks + (j * 8 + lane % 8 + lane / 16 * 8) * PITCH + c * 16 + lane / 8 % 2 * 8);
            mma(s[j], qs[c], b);
            mma(s[j + 1], qs[c], b + 2);
        }
#if D % 16
        uint b[2];
        ldmatrix2(b, ks + (j * 8 + lane % 16) * PITCH + D / 16 * 16);
        mma_k8(s[j], qs[D / 16], b);
        mma_k8(s[j + 1], qs[D / 16], b + 1);
#endif
    }
}

/* sums = sums · shrink + p v. */
INLINE void add_values(float (*sums)[4], float (*p)[4], const float *shrink, SHARED_POINTER(ushort) vs)
{
    const int lane = threadIdx.x % 32;
    UNROLL
    for (int c = 0; c < CHUNKS; c++)
        UNROLL
        for (int e = 0; e < 4; e++)
            sums[c][e] *= shrink[e / 2];
    UNROLL
    for (int j = 0; j < KEYS / 16; j++) {
        const uint a[4] = { pack_act(p[2 * j][0], p[2 * j][1]), pack_act(p[2 * j][2], p[2 * j][3]),
                            pack_act(p[2 * j + 1][0], p[2 * j + 1][1]), pack_act(p[2 * j + 1][2], p[2 * j + 1][3]) };
        UNROLL
        for (int c = 0; c + 2 <= CHUNKS; c += 2) {
            uint b[4];
            ldmatrix4_trans(b, vs + (j * 16 + lane % 16) * PITCH + c * 8 + lane / 16 * 8);
            mma(sums[c], a, b);
            mma(sums[c + 1], a, b + 2);
        }
#if D % 16
        uint b[2];
        ldmatrix2_trans(b, vs + (j * 16 + lane % 16) * PITCH + D / 16 * 16);
        mma(sums[CHUNKS - 1], a, b);
#endif
    }
}

KERNEL(128) attention_mma(const ushort *q, ATTENTION_ARGUMENTS)
{
    SHARED(ushort, tiles, [4 * BLOCK + (4 * BLOCK < 64 * PITCH ? 64 * PITCH - 4 * BLOCK : 0)]);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, first = blockIdx.x * 64;
    const int batch = blockIdx.y / heads, head = blockIdx.y % heads, source = batched ? batch : 0;
    const int row = first + warp * 16 + lane / 4;
    const int reach = CAUSAL ? min(keys, first + 64) : keys, blocks = (reach + KEYS - 1) / KEYS;
    const float factor = scale * LOG2_E;
    float sums[CHUNKS][4] = { { 0 } }, largest[2] = { NOTHING, NOTHING }, total[2] = { 0 }, shrink[2];
    uint qs[(D + 15) / 16][4] = { { 0 } };
    q += q_at + (ulong)batch * queries * stride + head * D;
    k += k_at + (ulong)source * keys * k_stride + head * D;
    v += v_at + (ulong)source * keys * v_stride + head * D;

    load_rows(tiles, q, first, 64, queries, stride);
    copy_commit();
    copy_wait(0);
    __syncthreads();
    UNROLL
    for (int c = 0; c < D / 16; c++)
        ldmatrix4(qs[c], tiles + (warp * 16 + lane % 16) * PITCH + c * 16 + lane / 16 * 8);
#if D % 16
    ldmatrix2(qs[D / 16], tiles + (warp * 16 + lane % 16) * PITCH + D / 16 * 16);
#endif
    __syncthreads();

    load_rows(tiles, k, 0, KEYS, keys, k_stride);
    load_rows(tiles + BLOCK, v, 0, KEYS, keys, v_stride);
    copy_commit();
    for (int i = 0; i < blocks; i++) {
        SHARED_POINTER(ushort) now = tiles + i % 2 * 2 * BLOCK;
        copy_wait(0);
        __syncthreads(); /* block i is here for all, and all are done with block i − 1 */
        if (i + 1 < blocks) {
            SHARED_POINTER(ushort) next = tiles + (i + 1) % 2 * 2 * BLOCK;
            load_rows(next, k, (i + 1) * KEYS, KEYS, keys, k_stride);
            load_rows(next + BLOCK, v, (i + 1) * KEYS, KEYS, keys, v_stride);
            copy_commit();
        }
        float s[KEYS / 8][4];
        score(s, qs, now);
        hide_keys(s, KEYS / 8, i * KEYS, keys, first, row);
        soften(s, KEYS / 8, factor, largest, total, shrink);
        add_values(sums, s, shrink, now + BLOCK);
    }

    y += y_at + (ulong)batch * queries * heads * D + head * D;
    store_queries(sums, total, y, row, queries, heads);
}
#endif

#ifdef WGMMA_KEYS
#define HALVES ((D + 63) / 64) /* of 64 channels, zeros past D: a tile is as many blocks of rows of 128 bytes */
#define QUERIES (WGMMA_GROUPS * 64)
#define Q_TILE (QUERIES * 64)
#define K_TILE (WGMMA_KEYS * 64)
#define STAGE_SIZE (HALVES * K_TILE)
#if WGMMA_GROUPS == 3 /* 512 threads begin with 128 registers each: 128 · (32 + 3 · 160) = 65536 */
#define FEWER 32
#define MORE 160
#else
#define FEWER 40
#define MORE 232
#endif
#if D == 40
#define wgmma_values wgmma_across_40
#elif D == 64
#define wgmma_values wgmma_across_64
#elif D == 80
#define wgmma_values wgmma_across_80
#else
#define wgmma_values wgmma_across_128
#endif

/* Rows [first, first + the box's) of one head, all channels. */
INLINE void load_head(SHARED_POINTER(ushort) to, const tensor_map *map, int tile, int head, int first, int batch,
                      BARRIER full)
{
    barrier_expect(full, HALVES * tile * 2);
    UNROLL
    for (int h = 0; h < HALVES; h++)
        load_box4(to + h * tile, map, h * 64, head, first, batch, full);
}

/* s = q kᵀ: 64 queries by WGMMA_KEYS keys. */
INLINE void issue_scores(float (*s)[4], SHARED_POINTER(ushort) qs, SHARED_POINTER(ushort) ks)
{
    wgmma_begin();
    UNROLL
    for (int c = 0; c < D; c += 16)
        wgmma_128(&s[0][0], along_k(qs + c / 64 * Q_TILE + c % 64), along_k(ks + c / 64 * K_TILE + c % 64), c > 0);
    wgmma_commit();
}

/* sums += p v. */
INLINE void issue_values(float (*sums)[4], uint (*p)[4], SHARED_POINTER(ushort) vs)
{
    wgmma_hold(&sums[0][0], D / 2);
    wgmma_begin();
    UNROLL
    for (int j = 0; j < WGMMA_KEYS / 16; j++)
        wgmma_values(&sums[0][0], p[j], across_k(vs + j * 16 * 64, 2 * K_TILE));
    wgmma_commit();
}

INLINE void pack_probabilities(uint (*p)[4], float (*s)[4])
{
    UNROLL
    for (int j = 0; j < WGMMA_KEYS / 16; j++) {
        p[j][0] = pack_act(s[2 * j][0], s[2 * j][1]);
        p[j][1] = pack_act(s[2 * j][2], s[2 * j][3]);
        p[j][2] = pack_act(s[2 * j + 1][0], s[2 * j + 1][1]);
        p[j][3] = pack_act(s[2 * j + 1][2], s[2 * j + 1][3]);
    }
}

KERNEL(128 * (WGMMA_GROUPS + 1)) attention_wgmma(TENSOR_MAP(q_map), TENSOR_MAP(k_map), TENSOR_MAP(v_map), act *y,
                            ulong y_at, int queries, int keys, int heads, int batched, float scale)
{
    DYNAMIC_SHARED(ushort, tiles);
    BARRIERS(q_full, 1);
    BARRIERS(k_full, 2);
    BARRIERS(k_empty, 2);
    BARRIERS(v_full, 2);
    BARRIERS(v_empty, 2);
    SHARED_POINTER(ushort) ks = tiles + HALVES * Q_TILE;
    SHARED_POINTER(ushort) vs = ks + 2 * STAGE_SIZE;
    const int first = blockIdx.x * QUERIES, batch = blockIdx.y / heads, head = blockIdx.y % heads;
    const int reach = CAUSAL ? min(keys, first + QUERIES) : keys, blocks = (reach + WGMMA_KEYS - 1) / WGMMA_KEYS;
    if (threadIdx.x == 0) {
        barrier_init(q_full, 1);
        for (int i = 0; i < 2; i++) {
            barrier_init(k_full + i, 1);
            barrier_init(v_full + i, 1);
            barrier_init(k_empty + i, WGMMA_GROUPS);
            barrier_init(v_empty + i, WGMMA_GROUPS);
        }
        barrier_publish();
    }
    __syncthreads();

    if (threadIdx.x < 128) {
        REGISTERS_DOWN(FEWER);
        if (threadIdx.x == 0) {
            const int source = batched ? batch : 0;
            load_head(tiles, &q_map, Q_TILE, head, first, batch, q_full);
            for (int i = 0; i < blocks; i++) {
                const int slot = i % 2, turn = i / 2 % 2 ^ 1;
                barrier_wait(k_empty + slot, turn);
                load_head(ks + slot * STAGE_SIZE, &k_map, K_TILE, head, i * WGMMA_KEYS, source, k_full + slot);
                barrier_wait(v_empty + slot, turn);
                load_head(vs + slot * STAGE_SIZE, &v_map, K_TILE, head, i * WGMMA_KEYS, source, v_full + slot);
            }
        }
        return;
    }

    REGISTERS_UP(MORE);
    const int group = threadIdx.x / 128 - 1, lane = threadIdx.x % 32;
    const int row = first + group * 64 + threadIdx.x / 32 % 4 * 16 + lane / 4;
    const bool tells = threadIdx.x % 128 == 0;
    const float factor = scale * LOG2_E;
    SHARED_POINTER(ushort) qs = tiles + group * 64 * 64;
    float sums[D / 8][4] = { { 0 } }, largest[2] = { NOTHING, NOTHING }, total[2] = { 0 };
    uint p[WGMMA_KEYS / 16][4];
    barrier_wait(q_full, 0);
    {
        float s[WGMMA_KEYS / 8][4], shrink[2];
        barrier_wait(k_full, 0);
        issue_scores(s, qs, ks);
        wgmma_wait(0);
        wgmma_hold(&s[0][0], WGMMA_KEYS / 2);
        if (tells)
            barrier_arrive(k_empty);
        hide_keys(s, WGMMA_KEYS / 8, 0, keys, first, row);
        soften(s, WGMMA_KEYS / 8, factor, largest, total, shrink);
        pack_probabilities(p, s);
    }
    for (int i = 1; i < blocks; i++) {
        const int slot = i % 2, before = slot ^ 1;
        float s[WGMMA_KEYS / 8][4], shrink[2];
        barrier_wait(k_full + slot, i / 2 % 2);
        issue_scores(s, qs, ks + slot * STAGE_SIZE);
        barrier_wait(v_full + before, (i - 1) / 2 % 2);
        issue_values(sums, p, vs + before * STAGE_SIZE);
        wgmma_wait(1);
        wgmma_hold(&s[0][0], WGMMA_KEYS / 2);
        if (tells)
            barrier_arrive(k_empty + slot);
        hide_keys(s, WGMMA_KEYS / 8, i * WGMMA_KEYS, keys, first, row);
        soften(s, WGMMA_KEYS / 8, factor, largest, total, shrink);
        wgmma_hold(&s[0][0], WGMMA_KEYS / 2);
        /* The branch keeps the compiler from softening behind the wait, where no product would be under way. */
        if (any_of_warp(shrink[0] != 1.0f || shrink[1] != 1.0f)) {
            wgmma_wait(0);
            wgmma_hold(&sums[0][0], D / 2);
            UNROLL
            for (int c = 0; c < D / 8; c++)
                UNROLL
                for (int e = 0; e < 4; e++)
                    sums[c][e] *= shrink[e / 2];
        } else {
            wgmma_wait(0);
            wgmma_hold(&sums[0][0], D / 2);
        }
        if (tells)
            barrier_arrive(v_empty + before);
        pack_probabilities(p, s);
    }
    barrier_wait(v_full + (blocks - 1) % 2, (blocks - 1) / 2 % 2);
    issue_values(sums, p, vs + (blocks - 1) % 2 * STAGE_SIZE);
    wgmma_wait(0);
    wgmma_hold(&sums[0][0], D / 2);

    y += y_at + (ulong)batch * queries * heads * D + head * D;
    store_queries(sums, total, y, row, queries, heads);
}
#endif

#ifdef WIDE_KEYS
#define QUARTER ((D + 63) / 64 * 16) /* channels of a warp */
#define WIDE_CHUNKS (QUARTER / 2)    /* of a row: 4 quarters of QUARTER / 8 */
#define WIDE_PITCH ((WIDE_CHUNKS | 1) * 8)
#define WIDE_BLOCK (WIDE_KEYS * WIDE_PITCH)

INLINE void load_wide(SHARED_POINTER(ushort) to, const ushort *from, int first, int count, int end, int stride)
{
    for (int i = threadIdx.x; i < count * WIDE_CHUNKS; i += 256) {
        const int row = i / WIDE_CHUNKS, chunk = i % WIDE_CHUNKS;
        const bool valid = first + row < end && chunk * 8 < D;
        copy_async(to + row * WIDE_PITCH + chunk * 8, from + (valid ? (ulong)(first + row) * stride + chunk * 8 : 0),
                   valid);
    }
}

KERNEL(256) attention_wide(const ushort *q, ATTENTION_ARGUMENTS)
{
    SHARED(ushort, tiles, [2 * WIDE_BLOCK]);
    SHARED(float, partial, [4 * 32 * WIDE_KEYS]);
    const int lane = threadIdx.x % 32, group = threadIdx.x / 32 % 2, quarter = threadIdx.x / 64;
    const int first = blockIdx.x * 32, batch = blockIdx.y / heads, head = blockIdx.y % heads;
    const int source = batched ? batch : 0, row = first + group * 16 + lane / 4;
    const int reach = CAUSAL ? min(keys, first + 32) : keys;
    const float factor = scale * LOG2_E;
    float sums[QUARTER / 8][4] = { { 0 } }, largest[2] = { NOTHING, NOTHING }, total[2] = { 0 }, shrink[2];
    uint qs[QUARTER / 16][4];
    q += q_at + (ulong)batch * queries * stride + head * D;
    k += k_at + (ulong)source * keys * k_stride + head * D;
    v += v_at + (ulong)source * keys * v_stride + head * D;

    load_wide(tiles, q, first, 32, queries, stride); /* 32 queries fill both tiles */
    copy_commit();
    copy_wait(0);
    __syncthreads();
    UNROLL
    for (int c = 0; c < QUARTER / 16; c++)
        ldmatrix4(qs[c],
                  tiles + (group * 16 + lane % 16) * WIDE_PITCH + quarter * QUARTER + c * 16 + lane / 16 * 8);

    for (int begin = 0; begin < reach; begin += WIDE_KEYS) {
        __syncthreads(); /* the queries, or the keys and values of before, have been read */
        load_wide(tiles, k, begin, WIDE_KEYS, keys, k_stride);
        copy_commit();
        load_wide(tiles + WIDE_BLOCK, v, begin, WIDE_KEYS, keys, v_stride);
        copy_commit();
        copy_wait(1);
        __syncthreads();
        float s[WIDE_KEYS / 8][4] = { { 0 } };
        UNROLL
        for (int c = 0; c < QUARTER / 16; c++)
            UNROLL
            for (int j = 0; j < WIDE_KEYS / 8; j += 2) {
                uint b[4];
                ldmatrix4(b, tiles + (j * 8 + lane % 8 + lane / 16 * 8) * WIDE_PITCH + quarter * QUARTER + c * 16 +
                                 lane / 8 % 2 * 8);
                mma(s[j], qs[c], b);
                mma(s[j + 1], qs[c], b + 2);
            }
        /* partial [quarter][group][j][e][lane]: each thread meets its own place in the other quarters */
        const int mine = group * (16 * WIDE_KEYS) + lane;
        UNROLL
        for (int j = 0; j < WIDE_KEYS / 8; j++)
            UNROLL
            for (int e = 0; e < 4; e++)
                partial[quarter * (32 * WIDE_KEYS) + mine + (j * 4 + e) * 32] = s[j][e];
        copy_wait(0);
        __syncthreads();
        UNROLL
        for (int j = 0; j < WIDE_KEYS / 8; j++)
            UNROLL
            for (int e = 0; e < 4; e++) {
                const int at = mine + (j * 4 + e) * 32;
                s[j][e] = (partial[at] + partial[at + 32 * WIDE_KEYS]) +
                          (partial[at + 64 * WIDE_KEYS] + partial[at + 96 * WIDE_KEYS]);
            }
        hide_keys(s, WIDE_KEYS / 8, begin, keys, first, row);
        soften(s, WIDE_KEYS / 8, factor, largest, total, shrink);
        UNROLL
        for (int c = 0; c < QUARTER / 8; c++)
            UNROLL
            for (int e = 0; e < 4; e++)
                sums[c][e] *= shrink[e / 2];
        UNROLL
        for (int j = 0; j < WIDE_KEYS / 16; j++) {
            const uint a[4] = { pack_act(s[2 * j][0], s[2 * j][1]), pack_act(s[2 * j][2], s[2 * j][3]),
                                pack_act(s[2 * j + 1][0], s[2 * j + 1][1]), pack_act(s[2 * j + 1][2], s[2 * j + 1][3]) };
            UNROLL
            for (int c = 0; c < QUARTER / 8; c += 2) {
                uint b[4];
                ldmatrix4_trans(b, tiles + WIDE_BLOCK + (j * 16 + lane % 16) * WIDE_PITCH + quarter * QUARTER + c * 8 +
                                       lane / 16 * 8);
                mma(sums[c], a, b);
                mma(sums[c + 1], a, b + 2);
            }
        }
    }

    y += y_at + (ulong)batch * queries * heads * D + head * D;
    for (int h = 0; h < 2; h++) {
        total[h] += shuffle_xor(total[h], 1);
        total[h] += shuffle_xor(total[h], 2);
        const float share = 1.0f / total[h];
        if (row + 8 * h >= queries)
            continue;
        UNROLL
        for (int c = 0; c < QUARTER / 8; c++) {
            const int channel = quarter * QUARTER + c * 8 + lane % 4 * 2;
            if (channel < D)
                store_pair(sums[c][2 * h] * share, sums[c][2 * h + 1] * share,
                           y + (ulong)(row + 8 * h) * heads * D + channel);
        }
    }
}
#endif

#ifdef WARPS
#define LANE_CHANNELS ((D + 31) / 32)

KERNEL(32 * WARPS) attention_warp(const act *q, ATTENTION_ARGUMENTS)
{
    SHARED(float, own, [WARPS][LANE_CHANNELS * 32]);
    SHARED(float, block, [32][33]);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, first = blockIdx.x * WARPS, row = first + warp;
    const int batch = blockIdx.y / heads, head = blockIdx.y % heads, source = batched ? batch : 0;
    const int reach = CAUSAL ? min(keys, first + WARPS) : keys, last = CAUSAL ? min(keys - 1, row) : keys - 1;
    float sums[LANE_CHANNELS], largest = NOTHING, total = 0.0f;
    q += q_at + ((ulong)batch * queries + min(row, queries - 1)) * stride + head * D;
    k += k_at + (ulong)source * keys * k_stride + head * D;
    v += v_at + (ulong)source * keys * v_stride + head * D;
    UNROLL
    for (int i = 0; i < LANE_CHANNELS; i++) {
        const int c = i * 32 + lane;
        own[warp][c] = c < D ? load_act(q, c) * (scale * LOG2_E) : 0.0f;
        sums[i] = 0.0f;
    }
    for (int begin = 0; begin < reach; begin += 32) {
        float s = 0.0f;
        for (int c = 0; c < D; c += 32) {
            __syncthreads();
            for (int i = threadIdx.x; i < 1024; i += 32 * WARPS) {
                const int j = begin + i / 32, channel = c + i % 32;
                block[i / 32][i % 32] = j < keys && channel < D ? load_act(k, (ulong)j * k_stride + channel) : 0.0f;
            }
            __syncthreads();
            for (int i = 0; i < 32; i++)
                s = fmaf(own[warp][c + i], block[lane][i], s);
        }
        if (begin + lane > last)
            s = NOTHING;
        float most = fmaxf(largest, s);
        for (int mask = 16; mask; mask /= 2)
            most = fmaxf(most, shuffle_xor(most, mask));
        const float shrink = exp2f(largest - most), p = begin + lane > last ? 0.0f : exp2f(s - most);
        largest = most;
        total = total * shrink + p;
        float part[LANE_CHANNELS] = { 0 }; /* of these keys, by itself: thousands of keys are not one chain of errors */
        for (int j = 0; j < min(32, keys - begin); j++) {
            const float weight_of_key = shuffle_from(p, j);
            UNROLL
            for (int i = 0; i < LANE_CHANNELS; i++)
                if (i * 32 + lane < D)
                    part[i] = fmaf(weight_of_key, load_act(v, (ulong)(begin + j) * v_stride + i * 32 + lane), part[i]);
        }
        UNROLL
        for (int i = 0; i < LANE_CHANNELS; i++)
            sums[i] = fmaf(sums[i], shrink, part[i]);
    }
    total = sum_of_warp(total);
    y += y_at + ((ulong)batch * queries + row) * heads * D + head * D;
    UNROLL
    for (int i = 0; i < LANE_CHANNELS; i++)
        if (row < queries && i * 32 + lane < D)
            store_act(sums[i] / total, y, i * 32 + lane);
}
#endif
