/* The op `linear`. */
#include "linear.h"
#include "../groups.h"

CALO_DECLARE_REFERENCE(linear);

static const calo_epilogue no_epilogue;

/* ---- what matrix-like ops share --------------------------------------------------------------------------------- */

calo_status calo_check_epilogue(const char *name, const calo_call *call, int64_t outputs, calo_fault *fault)
{
    const calo_tensor bias = call->in[CALO_SLOT_BIAS], channel = call->in[CALO_SLOT_CHANNEL_BIAS];
    const calo_tensor residual = call->in[CALO_SLOT_RESIDUAL], y = call->out;
    char a[64], b[64];
    if (calo_present(bias) && (bias.type != CALO_F32 || calo_tensor_count(bias) != outputs))
        return calo_fail(fault, CALO_EUSAGE, "%s: bias %s does not fit %lld outputs", name,
                         calo_shape_text(bias, a, sizeof a), (long long)outputs);
    if (calo_present(channel) &&
        (channel.type != CALO_F32 || channel.rank != 2 || channel.dims[1] != calo_tensor_columns(y) ||
         !calo_tensor_dense(channel) || (channel.dims[0] != 1 && channel.dims[0] != y.dims[0])))
        return calo_fail(fault, CALO_EUSAGE, "%s: channel bias %s does not fit the output %s", name,
                         calo_shape_text(channel, a, sizeof a), calo_shape_text(y, b, sizeof b));
    if (calo_present(residual) && (residual.type != y.type || !calo_tensor_dense(residual) ||
                                   calo_tensor_count(residual) != calo_tensor_count(y)))
        return calo_fail(fault, CALO_EUSAGE, "%s: residual %s does not fit the output %s", name,
                         calo_shape_text(residual, a, sizeof a), calo_shape_text(y, b, sizeof b));
    return CALO_OK;
}

void calo_arg_epilogue(calo_launch *launch, const calo_call *call, calo_activation activation)
{
    const calo_tensor channel = call->in[CALO_SLOT_CHANNEL_BIAS];
    const int64_t rows = calo_tensor_rows(call->out);
    calo_define(launch, "ACTIVATION", activation);
    calo_define(launch, "BIAS", calo_present(call->in[CALO_SLOT_BIAS]));
    calo_define(launch, "CHANNEL_BIAS", calo_present(channel));
    calo_define(launch, "RESIDUAL", calo_present(call->in[CALO_SLOT_RESIDUAL]));
    calo_arg_tensor(launch, call->in[CALO_SLOT_BIAS]);
    calo_arg_tensor(launch, channel);
    calo_arg_tensor(launch, call->in[CALO_SLOT_RESIDUAL]);
    calo_arg_tensor(launch, call->out);
    calo_arg_int(launch, calo_present(channel) ? rows / channel.dims[0] : rows);
}

/* ---- linear ----------------------------------------------------------------------------------------------------- */

static bool gated(const calo_call *call)
{
    return call->in[CALO_SLOT_WEIGHT].layout == CALO_PANELS_GATED;
}

static calo_status infer(calo_call *call, calo_fault *fault)
{
    const calo_tensor x = call->in[CALO_SLOT_X], weight = call->in[CALO_SLOT_WEIGHT];
    char a[64], b[64];
    if (weight.rank != 2 || weight.layout == CALO_ROWS || calo_tensor_columns(x) != weight.dims[1] || x.rank < 2 ||
        (gated(call) && weight.dims[0] % 2))
        return calo_fail(fault, CALO_EUSAGE, "linear: x %s does not fit weight %s", calo_shape_text(x, a, sizeof a),
                         calo_shape_text(weight, b, sizeof b));
    call->out = calo_shape(x.type, x.rank, x.dims);
    call->out.dims[x.rank - 1] = call->out.stride = gated(call) ? weight.dims[0] / 2 : weight.dims[0];
    return calo_check_epilogue("linear", call, weight.dims[0], fault);
}

static calo_cost cost(const calo_call *call)
{
    const calo_tensor x = call->in[CALO_SLOT_X], weight = call->in[CALO_SLOT_WEIGHT];
    const double residual = calo_present(call->in[CALO_SLOT_RESIDUAL]) ? (double)calo_tensor_bytes(call->out) : 0;
    return (calo_cost){ 2.0 * (double)calo_tensor_rows(x) * (double)calo_tensor_count(weight),
                        (double)calo_tensor_bytes(x) + (double)calo_tensor_bytes(weight) +
                            (double)calo_tensor_bytes(call->out) + residual };
}

static bool any(const calo_call *call, const calo_device_info *info)
{
    (void)call;
    (void)info;
    return true;
}

static int64_t panels(const calo_call *call)
{
    const int64_t outputs = calo_tensor_columns(call->out);
    return gated(call) ? calo_ceil_div(outputs, CALO_PANEL / 2) : calo_ceil_div(outputs, CALO_PANEL);
}

/* Everything up to the epilogue's arguments. */
static calo_launch begin_product(const calo_call *call, const calo_variant *variant)
{
    const calo_tensor x = call->in[CALO_SLOT_X], weight = call->in[CALO_SLOT_WEIGHT];
    calo_launch launch = calo_launch_begin(variant, call, x, weight);
    calo_define(&launch, "GATED", gated(call));
    calo_arg_tensor(&launch, x);
    calo_arg_tensor(&launch, weight);
    calo_arg_int(&launch, calo_tensor_rows(x));
    calo_arg_int(&launch, calo_tensor_columns(call->out));
    calo_arg_int(&launch, weight.dims[1]);
    calo_arg_int(&launch, x.stride);
    return launch;
}

static calo_launch begin(const calo_call *call, const calo_variant *variant)
{
    calo_launch launch = begin_product(call, variant);
    calo_arg_epilogue(&launch, call, *(const calo_activation *)call->args);
    return launch;
}

/* Dimension 0 runs over tiles of ROWS rows, so that neighbouring work-items share a panel of the weight. */
static void launch_tile(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    calo_launch launch = begin(call, variant);
    launch.global[0] = (size_t)calo_ceil_div(calo_tensor_rows(call->in[CALO_SLOT_X]), call->tuning[0]);
    launch.global[1] = (size_t)panels(call);
    calo_alone(&launch);
    calo_dispatch(run, &launch);
}

/* Groups of 8 × 8 for 32 rows × one panel. */
static void launch_local(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    calo_launch launch = begin(call, variant);
    launch.global[0] = (size_t)(8 * calo_ceil_div(calo_tensor_rows(call->in[CALO_SLOT_X]), 32));
    launch.global[1] = (size_t)(8 * panels(call));
    launch.local[0] = launch.local[1] = 8;
    launch.local[2] = 1;
    calo_dispatch(run, &launch);
}

static bool fits_mma(const calo_call *call, const calo_device_info *info)
{
    (void)info;
    return calo_fits_mma(call, calo_tensor_columns(call->in[CALO_SLOT_X]));
}

/* A wave of 128 × 128 tiles on half of the device's multiprocessors. */
static bool is_large(const calo_call *call, const calo_device_info *info)
{
    return calo_ceil_div(calo_tensor_rows(call->out), 128) * calo_ceil_div(panels(call), 4) * 2 >= info->compute_units;
}

static void launch_mma(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const int64_t inputs = call->in[CALO_SLOT_WEIGHT].dims[1];
    calo_launch_tiles(run, call, variant, begin_product(call, variant), calo_tile(call, panels(call), inputs),
                      panels(call), "linear_sum", *(const calo_activation *)call->args, gated(call));
}

static void preset_wgmma(const calo_call *call, const calo_device_info *info, int values[CALO_MAX_TUNABLES])
{
    values[1] = calo_tile_panels(call, info, panels(call), call->in[CALO_SLOT_WEIGHT].dims[1]);
}

static void launch_wgmma(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const calo_tensor x = call->in[CALO_SLOT_X], weight = call->in[CALO_SLOT_WEIGHT];
    const int64_t inputs = weight.dims[1], rows = calo_tensor_rows(x);
    const calo_tiling t = calo_tile(call, panels(call), inputs);
    const calo_map x_map = calo_rows_map(inputs, rows, x.stride, t.tile_rows);
    const calo_map w_map = calo_rows_map(inputs, panels(call) * CALO_PANEL, inputs, t.tile_panels * CALO_PANEL);
    calo_launch launch = calo_launch_begin(variant, call, x, weight);
    calo_define(&launch, "GATED", gated(call));
    calo_use_wgmma(&launch, t);
    calo_arg_map(&launch, x, &x_map);
    calo_arg_map(&launch, weight, &w_map);
    calo_arg_int(&launch, rows);
    calo_arg_int(&launch, calo_tensor_columns(call->out));
    calo_arg_int(&launch, inputs);
    calo_launch_tiles(run, call, variant, launch, t, panels(call), "linear_sum", *(const calo_activation *)call->args,
                      gated(call));
}

/* cuBLASLt's sums to scratch, then the epilogue, as with splits of k; straight to y where there is no epilogue. */
enum { BLAS_WORKSPACE = 32 << 20 };

static bool is_plain(const calo_call *call)
{
    return !gated(call) && *(const calo_activation *)call->args == CALO_LINEAR && !calo_present(call->in[CALO_SLOT_BIAS]) &&
           !calo_present(call->in[CALO_SLOT_CHANNEL_BIAS]) && !calo_present(call->in[CALO_SLOT_RESIDUAL]);
}

static void launch_blas(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const calo_tensor x = call->in[CALO_SLOT_X], weight = call->in[CALO_SLOT_WEIGHT];
    const int64_t rows = calo_tensor_rows(x), width = panels(call) * CALO_PANEL;
    calo_tensor workspace = calo_scratch(run, CALO_F32, BLAS_WORKSPACE / 4), y = call->out;
    if (!is_plain(call)) {
        y = calo_scratch(run, CALO_F32, rows * width);
        y = calo_reshape(y, 2, (int64_t[]){ rows, width });
    }
    if (run->device && !calo_failed(run))
        run->device->api->product(run->device, x, weight, y, workspace, run->fault);
    if (!is_plain(call))
        calo_launch_sum(run, call, variant, y, 1, width, "linear_sum", *(const calo_activation *)call->args, gated(call));
}

/* Tiles of 16 PER × 16 PER. */
static void launch_floats(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const int64_t tile = 16 * call->tuning[0];
    calo_launch launch = begin(call, variant);
    calo_arg_int(&launch, panels(call));
    calo_groups(&launch,
                256 * calo_ceil_div(panels(call) * CALO_PANEL, tile) * calo_ceil_div(calo_tensor_rows(call->out), tile), 256);
    calo_dispatch(run, &launch);
}

static const calo_variant variants[] = {
    { .name = "tile", .backend = CALO_OPENCL, .prefer = CALO_PREFER_CPU, .source = "linear/linear.cl",
      .entry = "linear_tile", .tunables = { { "ROWS", { 12, 8, 4 } } }, .supports = any, .launch = launch_tile },
    { .name = "local", .backend = CALO_OPENCL, .prefer = CALO_PREFER_GPU, .source = "linear/linear.cl",
      .entry = "linear_local", .supports = any, .launch = launch_local },
    { .name = "row", .backend = CALO_OPENCL, .source = "linear/linear.cl", .entry = "linear_row",
      .tunables = { { "ROWS", { 1 } } }, .supports = any, .launch = launch_tile },
    { .name = "wgmma", .backend = CALO_CUDA, .capability = 90, .prefer = CALO_PREFER_GPU, .source = "linear/linear.cu",
      .entry = "linear_wgmma", .tunables = { { "TILE_M", { 128 } }, { "TILE_PANELS", CALO_WGMMA_PANELS } },
      .supports = fits_mma, .preset = preset_wgmma, .launch = launch_wgmma },
    { .name = "mma", .backend = CALO_CUDA, .prefer = CALO_PREFER_GPU, .source = "linear/linear.cu",
      .entry = "linear_mma", .tunables = { { "TILE_M", { 128 } }, { "TILE_PANELS", { 4, 2 } } }, .supports = fits_mma,
      .suits = is_large, .launch = launch_mma },
    { .name = "mma_small", .backend = CALO_CUDA, .prefer = CALO_PREFER_GPU, .source = "linear/linear.cu",
      .entry = "linear_mma", .tunables = { { "TILE_M", { 64 } }, { "TILE_PANELS", { 2, 4 } } }, .supports = fits_mma,
      .launch = launch_mma },
    { .name = "cublas", .backend = CALO_CUDA, .vendor = CALO_VENDOR_BLAS, .source = "linear/linear.cu",
      .entry = "linear_sum", .supports = fits_mma, .launch = launch_blas },
    { .name = "floats", .backend = CALO_CUDA, .prefer = CALO_PREFER_GPU, .source = "linear/linear.cu",
      .entry = "linear_tile", .tunables = { { "PER", { 4, 8 } } }, .supports = any, .launch = launch_floats },
};

static int traits(const calo_call *call, int64_t *values)
{
    values[0] = *(const calo_activation *)call->args;
    return 1;
}

const calo_op calo_op_linear = {
    .name = "linear",
    .infer = infer,
    .cost = cost,
    .reference = calo_linear_double,
    .naive = calo_linear_float,
    .traits = traits,
    .args_size = sizeof(calo_activation),
    .variants = variants,
    .variant_count = sizeof variants / sizeof *variants,
};

calo_tensor calo_linear(calo_run *run, calo_tensor x, const calo_linear_weights *w, const calo_epilogue *epilogue)
{
    const calo_epilogue *e = epilogue ? epilogue : &no_epilogue;
    calo_call call = { .op = &calo_op_linear,
                       .in = { x, w->weight, w->bias, e->channel_bias, e->residual },
                       .args = &e->activation };
    return calo_perform(run, &call);
}
