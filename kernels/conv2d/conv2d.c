/* The op `conv2d`. */
#include "conv2d.h"
#include "../groups.h"

CALO_DECLARE_REFERENCE(conv2d);

static const calo_epilogue no_epilogue;

enum { CHANNELS = 64 }; /* of one tap in a step of Hopper's kernel */

static int64_t extent(int64_t size, int upsample, int before, int after, int64_t kernel, int stride)
{
    const int64_t room = size * upsample + before + after - kernel;
    return room < 0 ? 0 : room / stride + 1;
}

static calo_status infer(calo_call *call, calo_fault *fault)
{
    const calo_conv2d_args *a = call->args;
    const calo_tensor x = call->in[CALO_SLOT_X], w = call->in[CALO_SLOT_WEIGHT];
    char s[64], t[64];
    if (x.rank != 4 || w.rank != 4 || w.layout != CALO_PANELS || x.dims[3] != w.dims[3] || !calo_tensor_dense(x) ||
        a->stride < 1 || a->upsample < 1 || a->upsample > 2)
        return calo_fail(fault, CALO_EUSAGE, "conv2d: x %s does not fit weight %s (stride %d, upsample %d)",
                         calo_shape_text(x, s, sizeof s), calo_shape_text(w, t, sizeof t), a->stride, a->upsample);
    const int64_t height = extent(x.dims[1], a->upsample, a->pad_top, a->pad_bottom, w.dims[1], a->stride);
    const int64_t width = extent(x.dims[2], a->upsample, a->pad_left, a->pad_right, w.dims[2], a->stride);
    if (height < 1 || width < 1)
        return calo_fail(fault, CALO_EUSAGE, "conv2d: x %s is smaller than the kernel %s",
                         calo_shape_text(x, s, sizeof s), calo_shape_text(w, t, sizeof t));
    call->out = calo_shape(x.type, 4, (int64_t[]){ x.dims[0], height, width, w.dims[0] });
    return calo_check_epilogue("conv2d", call, w.dims[0], fault);
}

static calo_cost cost(const calo_call *call)
{
    const calo_tensor w = call->in[CALO_SLOT_WEIGHT];
    const double residual = calo_present(call->in[CALO_SLOT_RESIDUAL]) ? (double)calo_tensor_bytes(call->out) : 0;
    return (calo_cost){ 2.0 * (double)calo_tensor_rows(call->out) * (double)calo_tensor_count(w),
                        (double)calo_tensor_bytes(call->in[CALO_SLOT_X]) + (double)calo_tensor_bytes(w) +
                            (double)calo_tensor_bytes(call->out) + residual };
}

static bool any(const calo_call *call, const calo_device_info *info)
{
    (void)call;
    (void)info;
    return true;
}

/* Everything up to the epilogue's arguments; `zeros` is an argument of OpenCL's kernels only. */
static calo_launch begin_product(const calo_call *call, const calo_variant *variant, calo_tensor zeros)
{
    const calo_conv2d_args *a = call->args;
    const calo_tensor x = call->in[CALO_SLOT_X], w = call->in[CALO_SLOT_WEIGHT], y = call->out;
    calo_launch launch = calo_launch_begin(variant, call, x, w);
    calo_define(&launch, "KH", (int)w.dims[1]);
    calo_define(&launch, "KW", (int)w.dims[2]);
    calo_define(&launch, "STRIDE", a->stride);
    calo_define(&launch, "UPSAMPLE", a->upsample);
    calo_arg_tensor(&launch, x);
    calo_arg_tensor(&launch, w);
    if (variant->backend == CALO_OPENCL)
        calo_arg_tensor(&launch, zeros);
    calo_arg_int(&launch, x.dims[1]);
    calo_arg_int(&launch, x.dims[2]);
    calo_arg_int(&launch, x.dims[3]);
    calo_arg_int(&launch, y.dims[1]);
    calo_arg_int(&launch, y.dims[2]);
    calo_arg_int(&launch, y.dims[3]);
    calo_arg_int(&launch, a->pad_top);
    calo_arg_int(&launch, a->pad_left);
    calo_arg_int(&launch, calo_tensor_rows(y));
    return launch;
}

static calo_launch begin(const calo_call *call, const calo_variant *variant, calo_tensor zeros)
{
    calo_launch launch = begin_product(call, variant, zeros);
    calo_arg_epilogue(&launch, call, ((const calo_conv2d_args *)call->args)->activation);
    return launch;
}

/* A row of zeros stands for every pixel outside the image, so the inner loop has no test. */
static calo_tensor zero_row(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const calo_tensor x = call->in[CALO_SLOT_X];
    calo_tensor zeros = calo_scratch(run, x.type, x.dims[3]);
    calo_launch launch = calo_launch_begin(variant, call, x, (calo_tensor){ 0 });
    launch.source = "conv2d/zeros.cl";
    launch.entry = "zeros";
    calo_arg_tensor(&launch, zeros);
    launch.global[0] = (size_t)x.dims[3];
    calo_alone(&launch);
    calo_dispatch(run, &launch);
    return zeros;
}

/* Dimension 0 runs over tiles of PIXELS output pixels, so that neighbouring work-items share a panel of the weight. */
static void launch_tile(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    calo_launch launch = begin(call, variant, zero_row(run, call, variant));
    launch.global[0] = (size_t)calo_ceil_div(calo_tensor_rows(call->out), call->tuning[0]);
    launch.global[1] = (size_t)calo_ceil_div(call->out.dims[3], CALO_PANEL);
    calo_alone(&launch);
    calo_dispatch(run, &launch);
}

/* Groups of 8 × 8 for 32 pixels × one panel. */
static void launch_local(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    calo_launch launch = begin(call, variant, (calo_tensor){ 0 });
    launch.global[0] = (size_t)(8 * calo_ceil_div(calo_tensor_rows(call->out), 32));
    launch.global[1] = (size_t)(8 * calo_ceil_div(call->out.dims[3], CALO_PANEL));
    launch.local[0] = launch.local[1] = 8;
    launch.local[2] = 1;
    calo_dispatch(run, &launch);
}

static int64_t panels(const calo_call *call)
{
    return calo_ceil_div(call->out.dims[3], CALO_PANEL);
}

static bool fits_mma(const calo_call *call, const calo_device_info *info)
{
    (void)info;
    return calo_fits_mma(call, call->in[CALO_SLOT_X].dims[3]);
}

/* A wave of 128 × 128 tiles on half of the device's multiprocessors. */
static bool is_large(const calo_call *call, const calo_device_info *info)
{
    return calo_ceil_div(calo_tensor_rows(call->out), 128) * calo_ceil_div(panels(call), 4) * 2 >= info->compute_units;
}

static void launch_mma(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const calo_tensor w = call->in[CALO_SLOT_WEIGHT];
    const int64_t inputs = w.dims[1] * w.dims[2] * w.dims[3];
    calo_launch_tiles(run, call, variant, begin_product(call, variant, (calo_tensor){ 0 }),
                      calo_tile(call, panels(call), inputs), panels(call), "conv2d_sum",
                      ((const calo_conv2d_args *)call->args)->activation, false);
}

/* What im2col takes: corners within 128 pixels, strides up to 8. A 32-bit number counts an enlarged picture's eights. */
static bool fits_wgmma(const calo_call *call, const calo_device_info *info)
{
    const calo_conv2d_args *a = call->args;
    const calo_tensor x = call->in[CALO_SLOT_X], w = call->in[CALO_SLOT_WEIGHT];
    return fits_mma(call, info) && a->stride <= 8 && w.dims[1] <= 64 && w.dims[2] <= 64 && a->pad_top <= 64 &&
           a->pad_left <= 64 && a->pad_bottom <= 64 && a->pad_right <= 64 &&
           (a->upsample == 1 || calo_tensor_count(x) / 8 * a->upsample * a->upsample < INT32_MAX);
}

/* Numbers of k in whole steps: a step is CHANNELS of one tap. */
static int64_t padded_inputs(calo_tensor weight)
{
    return weight.dims[1] * weight.dims[2] * calo_ceil_div(weight.dims[3], CHANNELS) * CHANNELS;
}

static void preset_wgmma(const calo_call *call, const calo_device_info *info, int values[CALO_MAX_TUNABLES])
{
    values[1] = calo_tile_panels(call, info, panels(call), padded_inputs(call->in[CALO_SLOT_WEIGHT]));
}

/* x, or a copy of it that is as large as the convolution means it: im2col walks the pixels as they lie. */
static calo_tensor enlarged(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const calo_tensor x = call->in[CALO_SLOT_X];
    const int upsample = ((const calo_conv2d_args *)call->args)->upsample;
    const int64_t dims[] = { x.dims[0], x.dims[1] * upsample, x.dims[2] * upsample, x.dims[3] };
    if (upsample == 1)
        return x;
    calo_tensor y = calo_scratch(run, x.type, dims[0] * dims[1] * dims[2] * dims[3]);
    const calo_variant untuned = { .source = variant->source, .entry = "conv2d_enlarge" };
    calo_launch launch = calo_launch_begin(&untuned, call, x, (calo_tensor){ 0 });
    calo_define(&launch, "KH", 1);
    calo_define(&launch, "KW", 1);
    calo_define(&launch, "STRIDE", 1);
    calo_define(&launch, "UPSAMPLE", upsample);
    calo_arg_tensor(&launch, x);
    calo_arg_tensor(&launch, y);
    for (int i = 1; i < 4; i++)
        calo_arg_int(&launch, x.dims[i]);
    calo_arg_int(&launch, x.dims[0]);
    calo_groups(&launch, calo_tensor_count(y) / 8, 256);
    calo_dispatch(run, &launch);
    return calo_reshape(y, 4, dims);
}

static void launch_wgmma(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const calo_conv2d_args *a = call->args;
    const calo_tensor x = enlarged(run, call, variant), w = call->in[CALO_SLOT_WEIGHT], y = call->out;
    const int64_t inputs = w.dims[1] * w.dims[2] * w.dims[3];
    const calo_tiling t = calo_tile(call, panels(call), padded_inputs(w));
    const calo_map w_map = calo_rows_map(inputs, panels(call) * CALO_PANEL, inputs, t.tile_panels * CALO_PANEL);
    const uint64_t pixel = (uint64_t)x.dims[3] * 2, row = pixel * (uint64_t)x.dims[2];
    /* The last pixel walked, against the image's last, follows from how many outputs there are. */
    const calo_map x_map = {
        .rank = 4, .im2col = true, .step = (unsigned)a->stride, .box = { CHANNELS, (unsigned)t.tile_rows },
        .dims = { (uint64_t)x.dims[3], (uint64_t)x.dims[2], (uint64_t)x.dims[1], (uint64_t)x.dims[0] },
        .strides = { 0, pixel, row, row * (uint64_t)x.dims[1] },
        .lower = { -a->pad_left, -a->pad_top },
        .upper = { (int)((y.dims[2] - 1) * a->stride - a->pad_left - (x.dims[2] - 1)),
                   (int)((y.dims[1] - 1) * a->stride - a->pad_top - (x.dims[1] - 1)) },
    };
    calo_launch launch = calo_launch_begin(variant, call, x, w);
    calo_define(&launch, "KH", (int)w.dims[1]);
    calo_define(&launch, "KW", (int)w.dims[2]);
    calo_define(&launch, "STRIDE", a->stride);
    calo_define(&launch, "UPSAMPLE", 1);
    calo_use_wgmma(&launch, t);
    calo_arg_map(&launch, x, &x_map);
    calo_arg_map(&launch, w, &w_map);
    calo_arg_int(&launch, w.dims[3]);
    calo_arg_int(&launch, y.dims[1]);
    calo_arg_int(&launch, y.dims[2]);
    calo_arg_int(&launch, y.dims[3]);
    calo_arg_int(&launch, a->pad_top);
    calo_arg_int(&launch, a->pad_left);
    calo_arg_int(&launch, calo_tensor_rows(y));
    calo_launch_tiles(run, call, variant, launch, t, panels(call), "conv2d_sum", a->activation, false);
}

/* cuDNN's graphs: a bias, no more epilogue, and nothing enlarged. */
enum { DNN_WORKSPACE = 256 << 20 };

static bool fits_dnn(const calo_call *call, const calo_device_info *info)
{
    const calo_conv2d_args *a = call->args;
    return fits_mma(call, info) && a->upsample == 1 && a->activation == CALO_LINEAR &&
           !calo_present(call->in[CALO_SLOT_CHANNEL_BIAS]) && !calo_present(call->in[CALO_SLOT_RESIDUAL]);
}

static void launch_dnn(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const calo_conv2d_args *a = call->args;
    const calo_padding padding = { a->stride, a->pad_top, a->pad_left, a->pad_bottom, a->pad_right };
    calo_tensor workspace = calo_scratch(run, CALO_F32, DNN_WORKSPACE / 4);
    (void)variant;
    if (run->device && !calo_failed(run))
        run->device->api->convolve(run->device, call->in[CALO_SLOT_X], call->in[CALO_SLOT_WEIGHT],
                                   call->in[CALO_SLOT_BIAS], call->out, &padding, workspace, run->fault);
}

/* Tiles of 16 PER × 16 PER. */
static void launch_floats(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const int64_t tile = 16 * call->tuning[0];
    calo_launch launch = begin(call, variant, (calo_tensor){ 0 });
    calo_arg_int(&launch, panels(call));
    calo_groups(&launch,
                256 * calo_ceil_div(panels(call) * CALO_PANEL, tile) * calo_ceil_div(calo_tensor_rows(call->out), tile), 256);
    calo_dispatch(run, &launch);
}

static const calo_variant variants[] = {
    { .name = "tile", .backend = CALO_OPENCL, .prefer = CALO_PREFER_CPU, .source = "conv2d/conv2d.cl",
      .entry = "conv2d_tile", .tunables = { { "PIXELS", { 8, 12, 4 } } }, .supports = any, .launch = launch_tile },
    { .name = "local", .backend = CALO_OPENCL, .prefer = CALO_PREFER_GPU, .source = "conv2d/conv2d.cl",
      .entry = "conv2d_local", .supports = any, .launch = launch_local },
    { .name = "pixel", .backend = CALO_OPENCL, .source = "conv2d/conv2d.cl", .entry = "conv2d_tile",
      .tunables = { { "PIXELS", { 1 } } }, .supports = any, .launch = launch_tile },
    { .name = "wgmma", .backend = CALO_CUDA, .capability = 90, .prefer = CALO_PREFER_GPU, .source = "conv2d/conv2d.cu",
      .entry = "conv2d_wgmma", .tunables = { { "TILE_M", { 128 } }, { "TILE_PANELS", CALO_WGMMA_PANELS } },
      .supports = fits_wgmma, .preset = preset_wgmma, .launch = launch_wgmma },
    { .name = "mma", .backend = CALO_CUDA, .prefer = CALO_PREFER_GPU, .source = "conv2d/conv2d.cu",
      .entry = "conv2d_mma", .tunables = { { "TILE_M", { 128 } }, { "TILE_PANELS", { 4, 2 } } }, .supports = fits_mma,
      .suits = is_large, .launch = launch_mma },
    { .name = "mma_small", .backend = CALO_CUDA, .prefer = CALO_PREFER_GPU, .source = "conv2d/conv2d.cu",
      .entry = "conv2d_mma", .tunables = { { "TILE_M", { 64 } }, { "TILE_PANELS", { 2, 4 } } }, .supports = fits_mma,
      .launch = launch_mma },
    { .name = "cudnn", .backend = CALO_CUDA, .vendor = CALO_VENDOR_DNN, .supports = fits_dnn, .launch = launch_dnn },
    { .name = "floats", .backend = CALO_CUDA, .prefer = CALO_PREFER_GPU, .source = "conv2d/conv2d.cu",
      .entry = "conv2d_tile", .tunables = { { "PER", { 4, 8 } } }, .supports = any, .launch = launch_floats },
};

static int traits(const calo_call *call, int64_t *values)
{
    const calo_conv2d_args *a = call->args;
    const int64_t all[] = { a->stride, a->pad_top, a->pad_left, a->pad_bottom, a->pad_right, a->upsample, a->activation };
    for (int i = 0; i < 7; i++)
        values[i] = all[i];
    return 7;
}

const calo_op calo_op_conv2d = {
    .name = "conv2d",
    .infer = infer,
    .cost = cost,
    .reference = calo_conv2d_double,
    .naive = calo_conv2d_float,
    .traits = traits,
    .args_size = sizeof(calo_conv2d_args),
    .variants = variants,
    .variant_count = sizeof variants / sizeof *variants,
};

calo_tensor calo_conv2d(calo_run *run, calo_tensor x, const calo_conv2d_weights *w, const calo_epilogue *epilogue)
{
    const calo_epilogue *e = epilogue ? epilogue : &no_epilogue;
    const calo_conv2d_args args = { .stride = w->stride, .pad_top = w->pad_top, .pad_left = w->pad_left,
                                    .pad_bottom = w->pad_bottom, .pad_right = w->pad_right,
                                    .upsample = w->upsample, .activation = e->activation };
    calo_call call = { .op = &calo_op_conv2d,
                       .in = { x, w->weight, w->bias, e->channel_bias, e->residual },
                       .args = &args };
    return calo_perform(run, &call);
}
