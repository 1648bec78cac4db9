/* y[b, oy, ox, n] = epilogue(Σ x[b, iy, ix, c] w[n, ky, kx, c]), iy = oy · STRIDE + ky − pad_top, x enlarged UPSAMPLE
   times: an implicit product of rows (output pixels) by the packed weight's k = (ky · KW + kx) · C + c.

   conv2d_mma    tensor cores, 16-bit, C a multiple of 8 (gemm.cu says how the tile works). A thread brings the same 8
                 channels of TILE_M / 32 pixels in every step: it keeps the pixels' corners and walks its tap and channel,
                 so no division is left in the loop; a tap outside the image is zero-filled by cp.async. Where the
                 picture is small, k is split into parts and conv2d_sum adds the parts in their order.
   conv2d_wgmma  the same on Hopper's own instructions (ptx90.cu): TMA walks the pixels itself (im2col), 64 channels of one
                 tap a step; channels past C are zeros. It reads no enlarged pictures: conv2d_enlarge makes one first.
                 On an H200 (789 TFLOP/s): 93 to 102 % of a square product's peak from 60 GFLOP on, some 70 % where k is split.
   conv2d_tile   any type and any C, in f32 multiply-adds. */
#ifndef KH
#define KH 1
#define KW 1
#define STRIDE 1
#define UPSAMPLE 1
#endif

/* The pixel of x under output pixel `row` and tap (0, 0), before padding is cut, and where its image begins. */
INLINE void corner_of(int row, int out_height, int out_width, int pad_top, int pad_left, int *image, int *y, int *x)
{
    const int in_image = row % (out_height * out_width);
    *image = row / (out_height * out_width);
    *y = in_image / out_width * STRIDE - pad_top;
    *x = in_image % out_width * STRIDE - pad_left;
}

#define CONV_ARGUMENTS                                                                                                 \
    ulong x_at, const weight *w, ulong w_at, int height, int width, int channels, int out_height, int out_width,       \
        int columns, int pad_top, int pad_left, int rows, EPILOGUE_ARGUMENTS

/* y [B, UPSAMPLE · height, UPSAMPLE · width, C], each pixel of x as often as it is meant: 8 channels a thread. */
KERNEL(256) conv2d_enlarge(const ushort *x, ulong x_at, ushort *y, ulong y_at, int height, int width, int channels,
                           int images)
{
    const uint i = (uint)global_id(x), eights = channels / 8, pixel = i / eights;
    const uint wide = width * UPSAMPLE, high = height * UPSAMPLE, image = pixel / wide / high;
    const ulong from = ((ulong)image * height + pixel / wide % high / UPSAMPLE) * width + pixel % wide / UPSAMPLE;
    if (image < images)
        ((words4 *)(y + y_at))[i] = ((const words4 *)(x + x_at))[from * eights + i % eights];
}

#if WGMMA_STAGES
KERNEL(384) conv2d_wgmma(TENSOR_MAP(x_map), TENSOR_MAP(w_map), int channels, int out_height, int out_width, int columns,
                         int pad_top, int pad_left, int rows, EPILOGUE_ARGUMENTS, float *partial, ulong partial_at,
                         int panels, int split, int splits)
{
    DYNAMIC_SHARED(ushort, stages);
    BARRIERS(full, WGMMA_STAGES);
    BARRIERS(empty, WGMMA_STAGES);
    const int tiles = count_tiles(rows, panels, splits), blocks = (channels + STEP_K - 1) / STEP_K;
    const int steps = split / STEP_K, all = KH * KW * blocks;
    turn t = { 0, 0 };
    open_stages(full, empty);
    if (threadIdx.x < 128) {
        REGISTERS_DOWN(40);
        for (int tile = blockIdx.x; threadIdx.x == 0 && tile < tiles; tile += gridDim.x) {
            const place p = place_of(tile, rows, panels);
            int image, y0, x0;
            corner_of(p.first_row, out_height, out_width, pad_top, pad_left, &image, &y0, &x0);
            for (int step = p.part * steps; step < min(p.part * steps + steps, all); step++) {
                SHARED_POINTER(ushort) a = stage_of(stages, t);
                const int tap = step / blocks, c = step % blocks * STEP_K;
                begin_stage(full, empty, t);
                load_pixels(a, &x_map, c, x0, y0, image, tap % KW, tap / KW, full + t.stage);
                load_box2(a + A_STAGE, &w_map, tap * channels + c, p.first_panel * 32, full + t.stage);
                t = next_turn(t);
            }
        }
        return;
    }
    REGISTERS_UP(232);
    for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const place p = place_of(tile, rows, panels);
        float sums[FRAGMENTS_M][FRAGMENTS_N][4];
        t = multiply_stages(stages, full, empty, t, min(steps, all - p.part * steps), sums);
        finish_tile(sums, p, rows, columns, partial + partial_at, splits, panels, bias, bias_at, channel, channel_at,
                    residual, residual_at, y, y_at, rows_per_channel);
    }
}
#elif defined(TILE_M)
KERNEL(128) conv2d_mma(const ushort *x, CONV_ARGUMENTS, float *partial, ulong partial_at, int panels, int split, int splits)
{
    SHARED(ushort, tiles, [STAGES * (A_STAGE + B_STAGE)]);
    const place p = place_of(blockIdx.x, rows, panels);
    const int inputs = KH * KW * channels, begin = p.part * split, end = min(begin + split, inputs);
    const int steps = (end - begin + STEP_K - 1) / STEP_K, chunk = threadIdx.x % 4;
    float sums[FRAGMENTS_M][FRAGMENTS_N][4];
    int images[TILE_M / 32], ys[TILE_M / 32], xs[TILE_M / 32];
    clear_sums(sums);
    x += x_at;
    w += w_at;
    UNROLL
    for (int i = 0; i < TILE_M / 32; i++) {
        const int row = p.first_row + i * 32 + threadIdx.x / 4;
        corner_of(min(row, rows - 1), out_height, out_width, pad_top, pad_left, &images[i], &ys[i], &xs[i]);
        if (row >= rows)
            ys[i] = -0x10000000; /* outside the image for every tap */
    }
    int k = begin + chunk * 8, tap = k / channels, c = k - tap * channels; /* this thread's numbers of the next step */
    for (int step = 0; step < steps + STAGES - 1; step++) {
        if (step >= STAGES - 1) {
            copy_wait(STAGES - 2);
            __syncthreads();
        }
        if (step < steps) {
            SHARED_POINTER(ushort) a = tiles + step % STAGES * (A_STAGE + B_STAGE);
            const int ky = tap / KW, kx = tap % KW;
            UNROLL
            for (int i = 0; i < TILE_M / 32; i++) {
                const int iy = ys[i] + ky, ix = xs[i] + kx;
                const bool valid =
                    k < end && iy >= 0 && iy < height * UPSAMPLE && ix >= 0 && ix < width * UPSAMPLE;
                const ulong pixel = ((ulong)images[i] * height + iy / UPSAMPLE) * width + ix / UPSAMPLE;
                copy_async(a + tile_offset(i * 32 + threadIdx.x / 4, chunk), x + (valid ? pixel * channels + c : 0),
                           valid);
            }
            load_panels(a + A_STAGE, w, p.first_panel, panels, begin + step * STEP_K, end, inputs);
            k += STEP_K;
            c += STEP_K;
            while (c >= channels) {
                c -= channels;
                tap++;
            }
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

KERNEL(256) conv2d_sum(const float *partial, ulong partial_at, int splits, int rows, int columns, int width,
                       EPILOGUE_ARGUMENTS)
{
    finish_splits(partial, partial_at, splits, rows, columns, width, bias, bias_at, channel, channel_at, residual,
                  residual_at, y, y_at, rows_per_channel);
}

#ifdef PER
KERNEL(256) conv2d_tile(const act *x, CONV_ARGUMENTS, int panels)
{
    SHARED(float, a, [16 * (TILE + 1)]);
    SHARED(float, b, [16 * (TILE + 1)]);
    const int across = (panels * 32 + TILE - 1) / TILE, inputs = KH * KW * channels;
    const int first_panel = blockIdx.x % across * (TILE / 32), first_row = blockIdx.x / across * TILE;
    float sums[PER][PER] = { { 0 } };
    x += x_at;
    for (int k = 0; k < inputs; k += 16) {
        for (int e = threadIdx.x; e < 16 * TILE; e += 256) {
            const int row = first_row + e / 16, at = k + e % 16, tap = at / channels, c = at % channels;
            int image, iy, ix;
            corner_of(min(row, rows - 1), out_height, out_width, pad_top, pad_left, &image, &iy, &ix);
            iy += tap / KW;
            ix += tap % KW;
            const bool valid = row < rows && at < inputs && iy >= 0 && iy < height * UPSAMPLE && ix >= 0 &&
                               ix < width * UPSAMPLE;
            const ulong pixel = ((ulong)image * height + iy / UPSAMPLE) * width + ix / UPSAMPLE;
            a[e % 16 * (TILE + 1) + e / 16] = valid ? load_act(x, pixel * channels + c) : 0.0f;
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
