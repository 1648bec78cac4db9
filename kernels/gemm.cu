/* A tile of a matrix product on tensor cores, which linear and conv2d share: sums += A · B, 16-bit, f32 sums.

   A block of 4 warps makes TILE_M rows × TILE_PANELS panels of 32 columns; a warp has half of the rows and half of the
   columns. Per step of 32 of k a stage of shared memory holds TILE_M rows of A and the tile's rows of the weight (one per
   output), 64 bytes each. Chunk c (8 numbers) of a row r lies at c ^ (r / 2 % 4), so that the 8 rows of an ldmatrix are
   in different banks. Three stages, filled by cp.async two steps ahead: 48 KiB at 128 × 128, where a thread has 128 sums
   and a warp loads 8 KiB per 64 mma.

   With WGMMA (Hopper) a step is 64 of k, brought by TMA in the 128-byte swizzle. A block is 3 warpgroups: one thread of
   the first keeps as many stages as fit under way, the other two multiply 64 rows by all columns each. There are as many
   blocks as multiprocessors, which take one tile after the other: the next one's stages arrive while this one's sums
   leave.

   Sums leave in rows (2 bytes a store were 7 µs a tile on an H200, 16 are less than one): the four lanes that hold a row's
   32 columns exchange them until each has eight side by side, so that bias, residual and result are read and written 16
   bytes at a time. */
#ifndef GATED
#define GATED 0
#endif

#ifndef WGMMA_STAGES
#define WGMMA_STAGES 0
#endif

#ifdef TILE_M
#define TILE_N (TILE_PANELS * 32)
#if WGMMA_STAGES
#define STEP_K 64
#define FRAGMENTS_M 1            /* of 16 rows, a warp's */
#define FRAGMENTS_N (TILE_N / 8) /* of 8 columns, a warp's */
#else
#define STEP_K 32
#define STAGES 3
#define FRAGMENTS_M (TILE_M / 32)
#define FRAGMENTS_N (TILE_N / 16)
#endif
#define A_STAGE (TILE_M * STEP_K)
#define B_STAGE (TILE_N * STEP_K)

#if ACT == TYPE_BF16
#define mma mma_bf16
#else
#define mma mma_f16
#endif

/* A tile of the result, or of a part of k. Those of the same rows follow each other, so that A comes from L2. */
typedef struct place {
    int first_row, first_panel, part;
} place;

INLINE int count_tiles(int rows, int panels, int parts)
{
    return (rows + TILE_M - 1) / TILE_M * ((panels + TILE_PANELS - 1) / TILE_PANELS) * parts;
}

INLINE place place_of(int tile, int rows, int panels)
{
    const int across = (panels + TILE_PANELS - 1) / TILE_PANELS, down = (rows + TILE_M - 1) / TILE_M;
    const place p = { tile / across % down * TILE_M, tile % across * TILE_PANELS, tile / across / down };
    return p;
}

INLINE int warp_row(void)
{
    return WGMMA_STAGES ? threadIdx.x / 32 * 16 - 64 : threadIdx.x / 32 % 2 * (TILE_M / 2);
}

INLINE int warp_column(void)
{
    return WGMMA_STAGES ? 0 : threadIdx.x / 64 * (TILE_N / 2);
}

INLINE void clear_sums(float (*sums)[FRAGMENTS_N][4])
{
    UNROLL
    for (int i = 0; i < FRAGMENTS_M; i++)
        UNROLL
        for (int j = 0; j < FRAGMENTS_N; j++)
            UNROLL
            for (int e = 0; e < 4; e++)
                sums[i][j][e] = 0.0f;
}

#if WGMMA_STAGES
#if TILE_PANELS == 2
#define wgmma wgmma_64
#elif TILE_PANELS == 3
#define wgmma wgmma_96
#elif TILE_PANELS == 4
#define wgmma wgmma_128
#elif TILE_PANELS == 5
#define wgmma wgmma_160
#else
#define wgmma wgmma_256
#endif

/* The stage that is next in the ring, and the parity of the phase in which it is filled. */
typedef struct turn {
    int stage, parity;
} turn;

INLINE turn next_turn(turn t)
{
    const bool last = t.stage == WGMMA_STAGES - 1;
    const turn next = { last ? 0 : t.stage + 1, t.parity ^ (int)last };
    return next;
}

INLINE SHARED_POINTER(ushort) stage_of(SHARED_POINTER(ushort) tiles, turn t)
{
    return tiles + t.stage * (A_STAGE + B_STAGE);
}

INLINE void open_stages(BARRIER full, BARRIER empty)
{
    if (threadIdx.x == 0) {
        for (int i = 0; i < WGMMA_STAGES; i++) {
            barrier_init(full + i, 1);
            barrier_init(empty + i, 2);
        }
        barrier_publish();
    }
    __syncthreads();
}

/* Waits until the stage is free, and announces what the loads that follow will bring. */
INLINE void begin_stage(BARRIER full, BARRIER empty, turn t)
{
    barrier_wait(empty + t.stage, t.parity ^ 1);
    barrier_expect(full + t.stage, 2 * (A_STAGE + B_STAGE));
}

/* A multiplying warpgroup's part of a tile; a stage is given back when the next step's products are under way. */
INLINE turn multiply_stages(SHARED_POINTER(ushort) tiles, BARRIER full, BARRIER empty, turn t, int steps,
                            float (*sums)[FRAGMENTS_N][4])
{
    const int group = threadIdx.x / 128 - 1;
    int before = 0;
    for (int step = 0; step < steps; step++) {
        SHARED_POINTER(ushort) a = stage_of(tiles, t) + group * 64 * STEP_K;
        SHARED_POINTER(ushort) b = stage_of(tiles, t) + A_STAGE;
        barrier_wait(full + t.stage, t.parity);
        wgmma_begin();
        UNROLL
        for (int k = 0; k < STEP_K; k += 16)
            wgmma(&sums[0][0][0], along_k(a + k), along_k(b + k), step + k > 0);
        wgmma_commit();
        wgmma_wait(1);
        if (step > 0 && threadIdx.x % 128 == 0)
            barrier_arrive(empty + before);
        before = t.stage;
        t = next_turn(t);
    }
    wgmma_wait(0);
    wgmma_hold(&sums[0][0][0], 4 * FRAGMENTS_N);
    if (threadIdx.x % 128 == 0)
        barrier_arrive(empty + before);
    return t;
}
#else
INLINE int tile_offset(int row, int chunk)
{
    return row * STEP_K + ((chunk ^ ((row >> 1) & 3)) << 3);
}

/* One step's weights, w [panels][32][inputs] from panel `first` and input k on, zeros past their ends. */
INLINE void load_panels(SHARED_POINTER(ushort) b, const ushort *w, int first, int panels, int k, int end, int inputs)
{
    UNROLL
    for (int i = 0; i < TILE_PANELS; i++) {
        const int row = i * 32 + threadIdx.x / 4, at = k + threadIdx.x % 4 * 8;
        const bool valid = first + i < panels && at < end;
        copy_async(b + tile_offset(row, threadIdx.x % 4), w + (valid ? ((ulong)first * 32 + row) * inputs + at : 0), valid);
    }
}

INLINE void multiply_stage(SHARED_POINTER(ushort) a, SHARED_POINTER(ushort) b, float (*sums)[FRAGMENTS_N][4])
{
    const int lane = threadIdx.x % 32;
    UNROLL
    for (int k = 0; k < STEP_K / 16; k++) {
        uint as[FRAGMENTS_M][4], bs[FRAGMENTS_N / 2][4];
        UNROLL
        for (int i = 0; i < FRAGMENTS_M; i++)
            ldmatrix4(as[i], a + tile_offset(warp_row() + i * 16 + lane % 16, 2 * k + lane / 16));
        UNROLL
        for (int j = 0; j < FRAGMENTS_N / 2; j++) /* columns 0 … 7 at k 0 … 7 and 8 … 15, then columns 8 … 15 */
            ldmatrix4(bs[j], b + tile_offset(warp_column() + j * 16 + lane % 8 + lane / 16 * 8, 2 * k + lane / 8 % 2));
        UNROLL
        for (int i = 0; i < FRAGMENTS_M; i++)
            UNROLL
            for (int j = 0; j < FRAGMENTS_N / 2; j++) {
                mma(sums[i][2 * j], as[i], bs[j]);
                mma(sums[i][2 * j + 1], as[i], bs[j] + 2);
            }
    }
}

#endif

/* Where the sums (i, j, e) of this thread lie in the tile: the column of the even ones. */
INLINE int sum_row(int i, int e)
{
    return warp_row() + i * 16 + threadIdx.x % 32 / 4 + (e >> 1) * 8;
}

INLINE int sum_column(int j)
{
    return warp_column() + j * 8 + threadIdx.x % 4 * 2;
}

/* The tile's sums as they are: partial [rows][width], width all panels' columns. */
INLINE void store_partial(float (*sums)[FRAGMENTS_N][4], float *partial, int first_row, int first_column, int rows,
                          int width)
{
    UNROLL
    for (int i = 0; i < FRAGMENTS_M; i++)
        UNROLL
        for (int h = 0; h < 4; h += 2) {
            const int row = first_row + sum_row(i, h);
            UNROLL
            for (int j = 0; j < FRAGMENTS_N; j++) {
                const int column = first_column + sum_column(j);
                const pair two = { sums[i][j][h], sums[i][j][h + 1] };
                if (row < rows && column < width)
                    *(pair *)(partial + (ulong)row * width + column) = two;
            }
        }
}

/* Lane t of four has the pairs of columns 8 j + 2 t of a row in v[j]; then those from 8 t on. */
INLINE void gather_columns(float (*v)[2])
{
    const int t = threadIdx.x % 4;
    UNROLL
    for (int mask = 1; mask <= 2; mask *= 2)
        UNROLL
        for (int i = 0; i < 4; i++)
            UNROLL
            for (int e = 0; e < 2; e++)
                if (!(i & mask)) {
                    const bool upper = t & mask;
                    const float theirs = shuffle_xor(upper ? v[i][e] : v[i + mask][e], mask);
                    v[i][e] = upper ? theirs : v[i][e];
                    v[i + mask][e] = upper ? v[i + mask][e] : theirs;
                }
}

/* The tile's sums through the epilogue to y, rows below `rows` and columns below `columns`; or, where only a part of k was
   multiplied, to partial [splits][rows][32 panels]. */
INLINE void finish_tile(float (*sums)[FRAGMENTS_N][4], place p, int rows, int columns, float *partial, int splits, int panels,
                        EPILOGUE_ARGUMENTS)
{
    const int t = threadIdx.x % 4;
    if (splits > 1) {
        partial += (ulong)p.part * rows * panels * 32;
        store_partial(sums, partial, p.first_row, p.first_panel * 32, rows, panels * 32);
        return;
    }
    bias += bias_at;
    channel += channel_at;
    residual += residual_at;
    y += y_at;
    UNROLL
    for (int i = 0; i < FRAGMENTS_M; i++)
        UNROLL
        for (int h = 0; h < 4; h += 2) {
            const int row = p.first_row + sum_row(i, h);
#if GATED /* fragments 0 and 1 of a panel are values, 2 and 3 gates: two panels make 32 columns */
            UNROLL
            for (int j = 0; j < FRAGMENTS_N; j += 8) {
                const int first = (p.first_panel + (warp_column() + j * 8) / 32) * 16;
                float v[4][2] = { { 0 } };
                UNROLL
                for (int f = 0; f < 4 && j + 4 * (f / 2) < FRAGMENTS_N; f++)
                    UNROLL
                    for (int e = 0; e < 2; e++) {
                        const int n = first + 8 * f + 2 * t + e, value = j + 4 * (f / 2) + f % 2;
                        if (n < columns)
                            v[f][e] = gate_value(sums[i][value][h + e], sums[i][value + 2][h + e], bias, n, columns);
                    }
                gather_columns(v);
                if (row < rows && (j + 4 < FRAGMENTS_N || t < 2))
                    store_columns(&v[0][0], residual, y, row, first + 8 * t, columns);
            }
#else
            UNROLL
            for (int j = 0; j < FRAGMENTS_N; j += 4) {
                float v[4][2];
                UNROLL
                for (int f = 0; f < 4; f++)
                    UNROLL
                    for (int e = 0; e < 2; e++)
                        v[f][e] = sums[i][j + f][h + e];
                gather_columns(v);
                if (row < rows)
                    finish_columns(&v[0][0], bias, channel, residual, y, row,
                                   p.first_panel * 32 + warp_column() + 8 * (j + t), columns, rows_per_channel);
            }
#endif
        }
}
#endif

/* v += the parts' eight numbers in the order of the parts, four of which are read at a time. */
INLINE void add_parts(const float *partial, ulong part, int splits, float *v)
{
    for (int first = 0; first < splits; first += 4) {
        float more[4][8];
        UNROLL
        for (int s = 0; s < 4; s++)
            if (first + s < splits)
                load8_floats(partial + (first + s) * part, more[s]);
        UNROLL
        for (int s = 0; s < 4; s++)
            if (first + s < splits) {
                UNROLL
                for (int i = 0; i < 8; i++)
                    v[i] += more[s][i];
            }
    }
}

/* Adds the parts of k and finishes: a thread for eight columns. */
INLINE void finish_splits(const float *partial, ulong partial_at, int splits, int rows, int columns, int width,
                          EPILOGUE_ARGUMENTS)
{
    const uint eights = (columns + 7) / 8, at = (uint)global_id(x);
    const int row = (int)(at / eights), n = (int)(at % eights) * 8;
    const ulong part = (ulong)rows * width;
    float v[8] = { 0 };
    if (row >= rows)
        return;
    partial += partial_at + (ulong)row * width;
#if GATED
    float gates[8] = { 0 };
    partial += n / 16 * 32 + n % 16;
    add_parts(partial, part, splits, v);
    add_parts(partial + 16, part, splits, gates);
    UNROLL
    for (int i = 0; i < 8; i++)
        if (n + i < columns)
            v[i] = gate_value(v[i], gates[i], bias + bias_at, n + i, columns);
    store_columns(v, residual + residual_at, y + y_at, row, n, columns);
#else
    add_parts(partial + n, part, splits, v);
    finish_columns(v, bias + bias_at, channel + channel_at, residual + residual_at, y + y_at, row, n, columns,
                   rows_per_channel);
#endif
}

/* ---- the same without tensor cores, for any type ----------------------------------------------------------------- */

/* 256 threads make 16 PER rows × 16 PER columns, PER × PER each: rows r + 16 i, columns c + 16 j, so that a gate (16
   columns on) meets its value. Per 16 of k both tiles lie in shared memory as floats, and what they add is summed by itself
   first: errors grow with the root of 16 + k / 16 then, not of k. */
#ifdef PER
#define TILE (16 * PER)

INLINE void multiply_floats(SHARED_POINTER(float) a, SHARED_POINTER(float) b, float (*sums)[PER])
{
    const int r = threadIdx.x / 16, c = threadIdx.x % 16;
    float part[PER][PER] = { { 0 } };
    for (int k = 0; k < 16; k++) {
        float as[PER], bs[PER];
        UNROLL
        for (int i = 0; i < PER; i++) {
            as[i] = a[k * (TILE + 1) + r + 16 * i];
            bs[i] = b[k * (TILE + 1) + c + 16 * i];
        }
        UNROLL
        for (int i = 0; i < PER; i++)
            UNROLL
            for (int j = 0; j < PER; j++)
                part[i][j] = fmaf(as[i], bs[j], part[i][j]);
    }
    UNROLL
    for (int i = 0; i < PER; i++)
        UNROLL
        for (int j = 0; j < PER; j++)
            sums[i][j] += part[i][j];
}

/* Inputs k … k+15 of the tile's outputs as floats, zeros past their ends. */
INLINE void load_float_panels(SHARED_POINTER(float) b, const weight *w, int first, int panels, int k, int inputs)
{
    for (int e = threadIdx.x; e < 16 * TILE; e += 256) {
        const int row = e / 16, at = k + e % 16;
        b[e % 16 * (TILE + 1) + row] = at < inputs && first + row / 32 < panels
                                           ? load_weight(w, ((ulong)first * 32 + row) * inputs + at)
                                           : 0.0f;
    }
}

INLINE void finish_floats(float (*sums)[PER], int first_row, int first_panel, int rows, int columns, EPILOGUE_ARGUMENTS)
{
    const int r = threadIdx.x / 16, c = threadIdx.x % 16;
    UNROLL
    for (int i = 0; i < PER; i++) {
        const int row = first_row + r + 16 * i;
#if GATED
        UNROLL
        for (int j = 0; j < PER; j += 2) {
            const int n = (first_panel + j / 2) * 16 + c;
            if (row < rows && n < columns)
                finish_gated(sums[i][j], sums[i][j + 1], bias + bias_at, residual + residual_at, y + y_at, row, n,
                             columns);
        }
#else
        UNROLL
        for (int j = 0; j < PER; j++) {
            const int n = first_panel * 32 + c + 16 * j;
            if (row < rows && n < columns)
                finish(sums[i][j], bias + bias_at, channel + channel_at, residual + residual_at, y + y_at, row, n,
                       columns, rows_per_channel);
        }
#endif
    }
}
#endif
