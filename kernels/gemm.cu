/* A tile of a matrix product on tensor cores, which linear and conv2d share: sums += A · B, 16-bit, f32 sums.

   A block of 4 warps makes TILE_M rows × TILE_PANELS panels of 32 columns; a warp has half of the rows and half of the
   columns. Per step of 32 of k a stage of shared memory holds TILE_M rows of A and the tile's rows of the weight (one per
   output), 64 bytes each. Chunk c (8 numbers) of a row r lies at c ^ (r / 2 % 4), so that the 8 rows of an ldmatrix are
   in different banks. Three stages, filled by cp.async two steps ahead: 48 KiB at 128 × 128, where a thread has 128 sums
   and a warp loads 8 KiB per 64 mma.

   With WGMMA (Hopper) a step is 64 of k, brought by TMA in the 128-byte swizzle. A block is 3 warpgroups: one thread of
   the first keeps as many stages as fit under way, the other two multiply 64 rows by all columns each. */
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
#if TILE_PANELS == 4
#define wgmma wgmma_128
#else
#define wgmma wgmma_256
#endif

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

/* Waits until the step's stage is free, and announces what the loads that follow will bring. */
INLINE void begin_stage(BARRIER full, BARRIER empty, int step)
{
    barrier_wait(empty + step % WGMMA_STAGES, step / WGMMA_STAGES % 2 ^ 1);
    barrier_expect(full + step % WGMMA_STAGES, 2 * (A_STAGE + B_STAGE));
}

/* A multiplying warpgroup's part; a stage is given back when the next step's products are under way. */
INLINE void multiply_stages(SHARED_POINTER(ushort) tiles, BARRIER full, BARRIER empty, int steps,
                            float (*sums)[FRAGMENTS_N][4])
{
    const int group = threadIdx.x / 128 - 1;
    for (int step = 0; step < steps; step++) {
        SHARED_POINTER(ushort) a = tiles + step % WGMMA_STAGES * (A_STAGE + B_STAGE) + group * 64 * STEP_K;
        SHARED_POINTER(ushort) b = tiles + step % WGMMA_STAGES * (A_STAGE + B_STAGE) + A_STAGE;
        barrier_wait(full + step % WGMMA_STAGES, step / WGMMA_STAGES % 2);
        wgmma_begin();
        UNROLL
        for (int k = 0; k < STEP_K; k += 16)
            wgmma(&sums[0][0][0], along_k(a + k), along_k(b + k), step + k > 0);
        wgmma_commit();
        wgmma_wait(1);
        if (step > 0 && threadIdx.x % 128 == 0)
            barrier_arrive(empty + (step - 1) % WGMMA_STAGES);
    }
    wgmma_wait(0);
    wgmma_hold(&sums[0][0][0], 4 * FRAGMENTS_N);
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

/* Where the sum (i, j, e) of this thread lies in the tile. */
INLINE int sum_row(int i, int e)
{
    return warp_row() + i * 16 + threadIdx.x % 32 / 4 + (e >> 1) * 8;
}

INLINE int sum_column(int j, int e)
{
    return warp_column() + j * 8 + threadIdx.x % 4 * 2 + (e & 1);
}

/* The tile's sums as they are: partial [splits][rows][width], width all panels' columns. */
INLINE void store_partial(float (*sums)[FRAGMENTS_N][4], float *partial, int first_row, int first_column, int rows,
                          int width)
{
    partial += (ulong)blockIdx.z * rows * width;
    UNROLL
    for (int i = 0; i < FRAGMENTS_M; i++)
        UNROLL
        for (int j = 0; j < FRAGMENTS_N; j++)
            UNROLL
            for (int e = 0; e < 4; e++) {
                const int row = first_row + sum_row(i, e), column = first_column + sum_column(j, e);
                if (row < rows && column < width)
                    partial[(ulong)row * width + column] = sums[i][j][e];
            }
}

/* The tile's sums through the epilogue to y, rows below `rows` and columns below `columns`; or, of a split of k, to partial
   [splits][rows][32 panels]. */
INLINE void finish_tile(float (*sums)[FRAGMENTS_N][4], int first_row, int first_panel, int rows, int columns,
                        float *partial, int panels, EPILOGUE_ARGUMENTS)
{
    if (gridDim.z > 1) {
        store_partial(sums, partial, first_row, first_panel * 32, rows, panels * 32);
        return;
    }
    bias += bias_at;
    channel += channel_at;
    residual += residual_at;
    y += y_at;
    UNROLL
    for (int i = 0; i < FRAGMENTS_M; i++)
        UNROLL
        for (int j = 0; j < FRAGMENTS_N; j++)
            UNROLL
            for (int e = 0; e < 4; e++) {
                const int row = first_row + sum_row(i, e);
#if GATED
                const int column = sum_column(j, e), n = (first_panel + column / 32) * 16 + column % 32;
                if (j % 4 < 2 && row < rows && n < columns) /* fragments 0 and 1 of a panel are values, 2 and 3 gates */
                    finish_gated(sums[i][j][e], sums[i][j + 2 < FRAGMENTS_N ? j + 2 : 0][e], bias, residual, y, row, n,
                                 columns);
#else
                const int n = first_panel * 32 + sum_column(j, e);
                if (row < rows && n < columns)
                    finish(sums[i][j][e], bias, channel, residual, y, row, n, columns, rows_per_channel);
#endif
            }
}
#endif

/* Adds the splits of k in their order and finishes: a thread per result. */
INLINE void finish_splits(const float *partial, ulong partial_at, int splits, int rows, int columns, int width,
                          EPILOGUE_ARGUMENTS)
{
    const ulong at = global_id(x);
    const int row = (int)(at / columns), n = (int)(at % columns);
    if (row >= rows)
        return;
    partial += partial_at + (ulong)row * width;
    float sum = 0.0f;
#if GATED
    float gate = 0.0f;
    partial += n / 16 * 32 + n % 16;
    for (int s = 0; s < splits; s++) {
        sum += partial[(ulong)s * rows * width];
        gate += partial[(ulong)s * rows * width + 16];
    }
    finish_gated(sum, gate, bias + bias_at, residual + residual_at, y + y_at, row, n, columns);
#else
    for (int s = 0; s < splits; s++)
        sum += partial[(ulong)s * rows * width + n];
    finish(sum, bias + bias_at, channel + channel_at, residual + residual_at, y + y_at, row, n, columns,
           rows_per_channel);
#endif
}

/* ---- the same without tensor cores, for any type ----------------------------------------------------------------- */

/* 256 threads make 16 PER rows × 16 PER columns, PER × PER each: rows r + 16 i, columns c + 16 j, so that a gate (16
   columns on) meets its value. Per 16 of k both tiles lie in shared memory as floats. */
#ifdef PER
#define TILE (16 * PER)

INLINE void multiply_floats(SHARED_POINTER(float) a, SHARED_POINTER(float) b, float (*sums)[PER])
{
    const int r = threadIdx.x / 16, c = threadIdx.x % 16;
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
                sums[i][j] = fmaf(as[i], bs[j], sums[i][j]);
    }
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
