/* What the launches of linear's and conv2d's tensor-core kernels share. */
#include "../groups.h"
#include "linear.h"

enum { WANTED_TILES = 64, MAX_SPLITS = 16, LEAST_SPLIT = 1536, STEP = 64, STAGE_BYTES = 224 << 10 };
enum { UNIT_ROWS = 128, UNIT_PANELS = 5 }; /* what is counted as a tile when k is split */

static int64_t units_of(const calo_device_info *info)
{
    return info->compute_units > 0 ? info->compute_units : 1;
}

calo_tiling calo_tile(const calo_call *call, int64_t panels, int64_t inputs)
{
    calo_tiling t = { .tile_rows = call->tuning[0], .tile_panels = call->tuning[1], .splits = 1, .split = inputs };
    const int64_t rows = calo_tensor_rows(call->out) / call->out.dims[0];
    const int64_t tiles = calo_ceil_div(rows, UNIT_ROWS) * calo_ceil_div(panels, UNIT_PANELS);
    int64_t splits = (WANTED_TILES + tiles / 2) / tiles;
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

/* Clocks of one multiprocessor for its share of the tiles. A step of 64 is 128 clocks of products a panel at the peak
   (4096 FLOP a clock), or the stage's bytes at some 56 a clock from L2; a tile also fills its pipeline and leaves through
   the epilogue. */
static double estimate(int64_t tiles, int64_t steps, int panels, int64_t units)
{
    const double products = 128.0 * panels, bytes = (UNIT_ROWS + 32.0 * panels) * STEP * 2 / 56;
    return (double)calo_ceil_div(tiles, units) *
           ((double)steps * (products > bytes ? products : bytes) + 500 + 150.0 * panels);
}

int calo_tile_panels(const calo_call *call, const calo_device_info *info, int64_t panels, int64_t inputs)
{
    static const int widths[] = CALO_WGMMA_PANELS;
    const int tuning[] = { UNIT_ROWS, UNIT_PANELS };
    calo_call tuned = *call;
    tuned.tuning = tuning;
    const calo_tiling t = calo_tile(&tuned, panels, inputs);
    const int64_t down = calo_ceil_div(calo_tensor_rows(call->out), UNIT_ROWS) * t.splits;
    int best = widths[0];
    double least = 0;
    for (int i = 0; i < (int)(sizeof widths / sizeof *widths); i++) {
        const double clocks = estimate(down * calo_ceil_div(panels, widths[i]), calo_ceil_div(t.split, STEP), widths[i],
                                       units_of(info));
        if (i == 0 || clocks < least) {
            least = clocks;
            best = widths[i];
        }
    }
    return best;
}

bool calo_fits_mma(const calo_call *call, int64_t channels)
{
    const calo_tensor x = call->in[CALO_SLOT_X];
    return calo_aligned(call, CALO_SLOT_RESIDUAL + 1) && x.type == call->in[CALO_SLOT_WEIGHT].type && x.type != CALO_F32 &&
           channels % 8 == 0 && x.stride % 8 == 0;
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
    calo_define(&sum, "EIGHTS", columns % 8 == 0);
    calo_arg_tensor(&sum, partial);
    calo_arg_int(&sum, splits);
    calo_arg_int(&sum, rows);
    calo_arg_int(&sum, columns);
    calo_arg_int(&sum, width);
    calo_arg_epilogue(&sum, call, activation);
    calo_groups(&sum, rows * calo_ceil_div(columns, 8), 256);
    calo_dispatch(run, &sum);
}

void calo_launch_tiles(calo_run *run, const calo_call *call, const calo_variant *variant, calo_launch launch,
                       calo_tiling tiling, int64_t panels, const char *sum_entry, calo_activation activation, bool gated)
{
    const int64_t rows = calo_tensor_rows(call->out), width = panels * CALO_PANEL;
    const int64_t across = calo_ceil_div(panels, tiling.tile_panels), down = calo_ceil_div(rows, tiling.tile_rows);
    calo_tensor partial = { 0 };
    if (tiling.splits > 1)
        partial = calo_scratch(run, CALO_F32, tiling.splits * rows * width);
    calo_define(&launch, "EIGHTS", calo_tensor_columns(call->out) % 8 == 0);
    calo_arg_epilogue(&launch, call, activation);
    calo_arg_tensor(&launch, partial);
    calo_arg_int(&launch, panels);
    calo_arg_int(&launch, tiling.split);
    calo_arg_int(&launch, tiling.splits);
    const int64_t tiles = across * down * tiling.splits, units = units_of(&run->info);
    if (variant->capability) /* Hopper's: a warpgroup loads, two multiply; a multiprocessor takes tile after tile */
        calo_groups(&launch, 384 * (tiles < units ? tiles : units), 384);
    else
        calo_groups(&launch, 128 * tiles, 128);
    calo_dispatch(run, &launch);
    if (tiling.splits > 1)
        calo_launch_sum(run, call, variant, partial, tiling.splits, width, sum_entry, activation, gated);
}
