/* y = epilogue(x · Wᵀ). W lies in panels by output, 32 ⌈N/32⌉ rows of K (engine/tensor.h), x and y in rows.

   linear_mma    tensor cores, 16-bit x and W of one type, K and the row stride multiples of 8 (gemm.cu says how the tile
                 works). Blocks of the same rows follow each other, so that x comes from L2. Where few tiles cannot fill
                 the device, k is split into parts and linear_sum adds the parts in their order: the same bits on
                 every run.
   linear_wgmma  the same on Hopper's own instructions (ptx90.cu), which alone reach its peak: mma.sync averages 63 % of it
                 there, wgmma more than 95 % (arXiv 2501.12084). On an H200 (789 TFLOP/s by cuBLASLt's best square product):
                 97 % at 2048 × 5120 → 1280, where the tiles fill the multiprocessors once; 50 to 65 % where k is 320 or 640,
                 as five or ten steps do not outlast the epilogue that follows them; half where k is split.
   linear_tile   any type, stride and K, in f32 multiply-adds: what --dtype f32 runs on, TF32 is never used. */
#if WGMMA_STAGES
KERNEL(384) linear_wgmma(TENSOR_MAP(x_map), TENSOR_MAP(w_map), int rows, int columns, int inputs, EPILOGUE_ARGUMENTS,
                         float *partial, ulong partial_at, int panels, int split, int splits)
{
    DYNAMIC_SHARED(ushort, stages);
    BARRIERS(full, WGMMA_STAGES);
    BARRIERS(empty, WGMMA_STAGES);
    const int tiles = count_tiles(rows, panels, splits);
    turn t = { 0, 0 };
    open_stages(full, empty);
    if (threadIdx.x < 128) {
        REGISTERS_DOWN(40);
        for (int tile = blockIdx.x; threadIdx.x == 0 && tile < tiles; tile += gridDim.x) {
            const place p = place_of(tile, rows, panels);
            for (int k = p.part * split; k < min(p.part * split + split, inputs); k += STEP_K) {
                SHARED_POINTER(ushort) a = stage_of(stages, t);
                begin_stage(full, empty, t);
                load_box2(a, &x_map, k, p.first_row, full + t.stage);
                load_box2(a + A_STAGE, &w_map, k, p.first_panel * 32, full + t.stage);
                t = next_turn(t);
            }
        }
        return;
    }
    REGISTERS_UP(232);
    for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const place p = place_of(tile, rows, panels);
        float sums[FRAGMENTS_M][FRAGMENTS_N][4];
        t = multiply_stages(stages, full, empty, t, (min(split, inputs - p.part * split) + STEP_K - 1) / STEP_K, sums);
        finish_tile(sums, p, rows, columns, partial + partial_at, splits, panels, bias, bias_at, channel, channel_at,
                    residual, residual_at, y, y_at, rows_per_channel);
    }
}
#elif defined(TILE_M)
KERNEL(128) linear_mma(const ushort *x, ulong x_at, const ushort *w, ulong w_at, int rows, int columns, int inputs,
                       int stride, EPILOGUE_ARGUMENTS, float *partial, ulong partial_at, int panels, int split, int splits)
{
    SHARED(ushort, tiles, [STAGES * (A_STAGE + B_STAGE)]);
    const place p = place_of(blockIdx.x, rows, panels);
    const int begin = p.part * split, end = min(begin + split, inputs);
    const int steps = (end - begin + STEP_K - 1) / STEP_K;
    float sums[FRAGMENTS_M][FRAGMENTS_N][4];
    clear_sums(sums);
    x += x_at;
    w += w_at;
    for (int step = 0; step < steps + STAGES - 1; step++) {
        if (step >= STAGES - 1) {
            copy_wait(STAGES - 2);
            __syncthreads();
        }
        if (step < steps) {
            SHARED_POINTER(ushort) a = tiles + step % STAGES * (A_STAGE + B_STAGE);
            const int k = begin + step * STEP_K, chunk = threadIdx.x % 4;
            UNROLL
            for (int i = 0; i < TILE_M / 32; i++) {
                const int row = i * 32 + threadIdx.x / 4;
                const bool valid = p.first_row + row < rows && k + chunk * 8 < end;
                copy_async(a + tile_offset(row, chunk),
                           x + (valid ? (ulong)(p.first_row + row) * stride + k + chunk * 8 : 0), valid);
            }
            load_panels(a + A_STAGE, w, p.first_panel, panels, k, end, inputs);
        }
        copy_commit();
        if (step >= STAGES - 1) {
            SHARED_POINTER(ushort) a = tiles + (step - (STAGES - 1)) % STAGES * (A_STAGE + B_STAGE);
            multiply_stage(a, a + A_STAGE, sums);
        }
    }
    finish_tile(sums, p, rows, columns, partial + partial_at, splits, panels, bias, bias_at, channel, channel_at,
                residual, residual_at, y, y_at, rows_per_channel);
}
#endif

KERNEL(256) linear_sum(const float *partial, ulong partial_at, int splits, int rows, int columns, int width,
                       EPILOGUE_ARGUMENTS)
{
    finish_splits(partial, partial_at, splits, rows, columns, width, bias, bias_at, channel, channel_at, residual,
                  residual_at, y, y_at, rows_per_channel);
}

#ifdef PER
KERNEL(256) linear_tile(const act *x, ulong x_at, const weight *w, ulong w_at, int rows, int columns, int inputs,
                        int stride, EPILOGUE_ARGUMENTS, int panels)
{
    SHARED(float, a, [16 * (TILE + 1)]);
    SHARED(float, b, [16 * (TILE + 1)]);
    const int across = (panels * 32 + TILE - 1) / TILE;
    const int first_panel = blockIdx.x % across * (TILE / 32), first_row = blockIdx.x / across * TILE;
    float sums[PER][PER] = { { 0 } };
    x += x_at;
    for (int k = 0; k < inputs; k += 16) {
        for (int e = threadIdx.x; e < 16 * TILE; e += 256) {
            const int row = e / 16, at = k + e % 16;
            a[e % 16 * (TILE + 1) + row] = first_row + row < rows && at < inputs
                                               ? load_act(x, (ulong)(first_row + row) * stride + at)
                                               : 0.0f;
        }
        load_float_panels(b, w + w_at, first_panel, panels, k, inputs);
        __syncthreads();
        multiply_floats(a, b, sums);
        __syncthreads();
    }
    finish_floats(sums, first_row, first_panel, rows, columns, bias, bias_at, channel, channel_at, residual,
                  residual_at, y, y_at, rows_per_channel);
}
#endif
