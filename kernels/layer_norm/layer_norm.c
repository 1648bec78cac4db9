/* The op `layer_norm`. */
#include "layer_norm.h"
#include "../groups.h"

CALO_DECLARE_REFERENCE(layer_norm);

static calo_status infer(calo_call *call, calo_fault *fault)
{
    const calo_tensor x = call->in[0];
    char a[64], b[64];
    for (int i = 1; i < 3; i++)
        if (call->in[i].type != CALO_F32 || calo_tensor_count(call->in[i]) != calo_tensor_columns(x) || x.rank < 2 ||
            !calo_tensor_dense(x))
            return calo_fail(fault, CALO_EUSAGE, "layer_norm: gain or shift %s does not fit %s",
                             calo_shape_text(call->in[i], a, sizeof a), calo_shape_text(x, b, sizeof b));
    call->out = calo_shape(x.type, x.rank, x.dims);
    return CALO_OK;
}

static calo_cost cost(const calo_call *call)
{
    return (calo_cost){ 8.0 * (double)calo_tensor_count(call->out), 2.0 * (double)calo_tensor_bytes(call->out) };
}

static bool any(const calo_call *call, const calo_device_info *info)
{
    (void)call;
    (void)info;
    return true;
}

enum { LANE_EIGHTS = 8 }; /* eights of numbers that a lane has the registers for */

static bool fits_eights(const calo_call *call, const calo_device_info *info)
{
    const int64_t width = calo_tensor_columns(call->out);
    (void)info;
    return width % 8 == 0 && width <= 32 * 8 * LANE_EIGHTS && calo_aligned(call, 3);
}

static void launch(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const int64_t rows = calo_tensor_rows(call->out);
    calo_launch launch = calo_launch_begin(variant, call, call->in[0], (calo_tensor){ 0 });
    if (variant->supports == fits_eights)
        calo_define(&launch, "EIGHTS_OF_LANE", (int)calo_ceil_div(calo_tensor_columns(call->out), 256));
    for (int i = 0; i < 3; i++)
        calo_arg_tensor(&launch, call->in[i]);
    calo_arg_tensor(&launch, call->out);
    calo_arg_int(&launch, rows);
    calo_arg_int(&launch, calo_tensor_columns(call->out));
    calo_arg_float(&launch, *(const double *)call->args);
    if (variant->backend == CALO_CUDA) /* a warp a row, ROWS rows a block */
        calo_groups(&launch, 32 * rows, 32 * call->tuning[0]);
    else {
        launch.global[0] = (size_t)calo_ceil_div(rows, call->tuning[0]);
        calo_alone(&launch);
    }
    calo_dispatch(run, &launch);
}

static const calo_variant variants[] = {
    { .name = "rows", .backend = CALO_OPENCL, .prefer = CALO_PREFER_CPU | CALO_PREFER_GPU,
      .source = "layer_norm/layer_norm.cl", .entry = "layer_norm_rows", .tunables = { { "ROWS", { 8, 1 } } },
      .supports = any, .launch = launch },
    { .name = "eights", .backend = CALO_CUDA, .prefer = CALO_PREFER_GPU, .source = "layer_norm/layer_norm.cu",
      .entry = "layer_norm_eights", .tunables = { { "ROWS", { 8, 4 } } }, .supports = fits_eights, .launch = launch },
    { .name = "warp", .backend = CALO_CUDA, .prefer = CALO_PREFER_GPU, .source = "layer_norm/layer_norm.cu",
      .entry = "layer_norm_rows", .tunables = { { "ROWS", { 8, 4 } } }, .supports = any, .launch = launch },
};

const calo_op calo_op_layer_norm = {
    .name = "layer_norm",
    .infer = infer,
    .cost = cost,
    .reference = calo_layer_norm_double,
    .naive = calo_layer_norm_float,
    .args_size = sizeof(double),
    .variants = variants,
    .variant_count = sizeof variants / sizeof *variants,
};

calo_tensor calo_layer_norm(calo_run *run, calo_tensor x, const calo_norm_weights *w)
{
    calo_call call = { .op = &calo_op_layer_norm, .in = { x, w->gamma, w->beta }, .args = &w->eps };
    return calo_perform(run, &call);
}
