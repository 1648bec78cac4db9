/* What the launches of linear's and conv2d's tensor-core kernels share. */
#include "../groups.h"
#include "linear.h"

enum { WANTED_TILES = 64, MAX_SPLITS = 16, LEAST_SPLIT = 256, STEP = 64, STAGE_BYTES = 192 << 10 };

calo_tiling calo_tile(const calo_call *call, int64_t panels, int64_t inputs)
{
    const int64_t rows = calo_tensor_rows(call->out) / call->out.dims[0];
    calo_tiling t = { .tile_rows = call->tuning[0], .tile_panels = call->tuning[1], .splits = 1, .split = inputs };
    const int64_t tiles = calo_ceil_div(rows, t.tile_rows) * calo_ceil_div(panels, t.tile_panels);
    int64_t splits = calo_ceil_div(WANTED_TILES, tiles);
    if (splits > inputs / LEAST_SPLIT)
        splits = inputs / LEAST_SPLIT;
    if (splits > MAX_SPLITS)
        splits = MAX_SPLITS;
    if (splits > 1) {
        t.split = calo_ceil_div(calo_ceil_div(inputs, splits), STEP) * STEP;
        t.splits = calo_ceil_div(inputs, t.split);
    }
    return t;
}

bool calo_fits_mma(calo_tensor x, calo_tensor weight, int64_t channels)
{
    return x.type == weight.type && x.type != CALO_F32 && channels % 8 == 0 && x.stride % 8 == 0 && x.offset % 16 == 0 &&
           weight.offset % 16 == 0;
}

void calo_use_wgmma(calo_launch *launch, calo_tiling tiling)
{
    const int stage = (tiling.tile_rows + tiling.tile_panels * CALO_PANEL) * STEP * 2, stages = STAGE_BYTES / stage;
    calo_define(launch, "WGMMA_STAGES", stages);
    calo_arg_local(launch, (size_t)(stages * stage));
}

calo_map calo_rows_map(int64_t columns, int64_t rows, int64_t stride, int box_rows)
{
    return (calo_map){ .rank = 2, .dims = { (uint64_t)columns, (uint64_t)rows }, .strides = { 0, (uint64_t)stride * 2 },
                       .box = { STEP, (unsigned)box_rows } };
}

void calo_launch_sum(calo_run *run, const calo_call *call, const calo_variant *variant, calo_tensor partial,
                     int64_t splits, int64_t width, const char *entry, calo_activation activation, bool gated)
{
    const int64_t rows = calo_tensor_rows(call->out), columns = calo_tensor_columns(call->out);
    const calo_variant untuned = { .source = variant->source, .entry = entry };
    calo_launch sum = calo_launch_begin(&untuned, call, call->in[CALO_SLOT_X], call->in[CALO_SLOT_WEIGHT]);
    calo_define(&sum, "GATED", gated);
    calo_arg_tensor(&sum, partial);
    calo_arg_int(&sum, splits);
    calo_arg_int(&sum, rows);
    calo_arg_int(&sum, columns);
    calo_arg_int(&sum, width);
    calo_arg_epilogue(&sum, call, activation);
    calo_groups(&sum, rows * columns, 256);
    calo_dispatch(run, &sum);
}

void calo_launch_tiles(calo_run *run, const calo_call *call, const calo_variant *variant, calo_launch launch,
                       calo_tiling tiling, int64_t panels, const char *sum_entry, calo_activation activation, bool gated)
{
    const int64_t rows = calo_tensor_rows(call->out), width = panels * CALO_PANEL;
    const int threads = variant->capability ? 384 : 128; /* Hopper's: a warpgroup loads, two multiply */
    calo_tensor partial = { 0 };
    if (tiling.splits > 1)
        partial = calo_scratch(run, CALO_F32, tiling.splits * rows * width);
    calo_arg_epilogue(&launch, call, activation);
    calo_arg_tensor(&launch, partial);
    calo_arg_int(&launch, panels);
    calo_arg_int(&launch, tiling.split);
    calo_groups(&launch, threads * calo_ceil_div(panels, tiling.tile_panels), threads);
    launch.global[1] = (size_t)calo_ceil_div(rows, tiling.tile_rows);
    launch.global[2] = (size_t)tiling.splits;
    calo_dispatch(run, &launch);
    if (tiling.splits > 1)
        calo_launch_sum(run, call, variant, partial, tiling.splits, width, sum_entry, activation, gated);
}
