/* The op `resample`. */
#include "resample.h"
#include "../groups.h"

CALO_DECLARE_REFERENCE(resample);

static calo_status infer(calo_call *call, calo_fault *fault)
{
    const calo_resample_args *args = call->args;
    const calo_tensor x = call->in[0];
    char shape[64];
    if (x.rank != 4 || x.type == CALO_I32 || args->height < 1 || args->width < 1)
        return calo_fail(fault, CALO_EUSAGE, "resample: %s %s cannot be resized to %d × %d", calo_type_name(x.type),
                         calo_shape_text(x, shape, sizeof shape), args->height, args->width);
    call->out = calo_shape(x.type, 4, (int64_t[]){ x.dims[0], args->height, args->width, x.dims[3] });
    return CALO_OK;
}

static calo_cost cost(const calo_call *call)
{
    const calo_resample_args *args = call->args;
    return (calo_cost){ args->bilinear ? 9.0 * (double)calo_tensor_count(call->out) : 0,
                        (double)calo_tensor_bytes(call->in[0]) + (double)calo_tensor_bytes(call->out) };
}

static bool is_nearest(const calo_call *call, const calo_device_info *info)
{
    (void)info;
    return !((const calo_resample_args *)call->args)->bilinear;
}

static bool is_bilinear(const calo_call *call, const calo_device_info *info)
{
    return !is_nearest(call, info);
}

/* A work-item makes one number, or one row of pixels. */
static void launch_pixels(calo_run *run, const calo_call *call, const calo_variant *variant, bool rows)
{
    const calo_tensor x = call->in[0];
    const int64_t *from = x.dims, *to = call->out.dims;
    calo_launch launch = calo_launch_begin(variant, call, x, (calo_tensor){ 0 });
    calo_arg_tensor(&launch, x);
    calo_arg_tensor(&launch, call->out);
    for (int i = 1; i < 4; i++)
        calo_arg_int(&launch, from[i]);
    calo_arg_int(&launch, x.stride);
    calo_arg_int(&launch, to[1]);
    calo_arg_int(&launch, to[2]);
    calo_arg_float(&launch, (float)from[1] / (float)to[1]);
    calo_arg_float(&launch, (float)from[2] / (float)to[2]);
    calo_groups(&launch, rows ? 1 : to[2] * to[3], rows ? 1 : 64);
    launch.global[1] = (size_t)to[1];
    launch.global[2] = (size_t)to[0];
    calo_dispatch(run, &launch);
}

static void launch_row(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    launch_pixels(run, call, variant, true);
}

static void launch_number(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    launch_pixels(run, call, variant, false);
}

static const calo_variant variants[] = {
    { .name = "row",
      .backend = CALO_OPENCL,
      .prefer = CALO_PREFER_CPU,
      .source = "resample/resample.cl",
      .entry = "resample_row",
      .supports = is_nearest,
      .launch = launch_row },
    { .name = "number",
      .backend = CALO_OPENCL,
      .prefer = CALO_PREFER_GPU,
      .source = "resample/resample.cl",
      .entry = "resample_number",
      .supports = is_nearest,
      .launch = launch_number },
    { .name = "number",
      .backend = CALO_CUDA,
      .prefer = CALO_PREFER_GPU,
      .source = "resample/resample.cu",
      .entry = "resample_number",
      .supports = is_nearest,
      .launch = launch_number },
    { .name = "bilinear_row",
      .backend = CALO_OPENCL,
      .prefer = CALO_PREFER_CPU,
      .source = "resample/resample.cl",
      .entry = "bilinear_row",
      .supports = is_bilinear,
      .launch = launch_row },
    { .name = "bilinear_number",
      .backend = CALO_OPENCL,
      .prefer = CALO_PREFER_GPU,
      .source = "resample/resample.cl",
      .entry = "bilinear_number",
      .supports = is_bilinear,
      .launch = launch_number },
    { .name = "bilinear_number",
      .backend = CALO_CUDA,
      .prefer = CALO_PREFER_GPU,
      .source = "resample/resample.cu",
      .entry = "bilinear_number",
      .supports = is_bilinear,
      .launch = launch_number },
};

static int traits(const calo_call *call, int64_t *values)
{
    values[0] = ((const calo_resample_args *)call->args)->bilinear;
    return 1;
}

const calo_op calo_op_resample = {
    .name = "resample",
    .infer = infer,
    .cost = cost,
    .reference = calo_resample_double,
    .naive = calo_resample_float,
    .traits = traits,
    .args_size = sizeof(calo_resample_args),
    .variants = variants,
    .variant_count = sizeof variants / sizeof *variants,
};

static calo_tensor resample(calo_run *run, calo_tensor x, int height, int width, bool bilinear)
{
    const calo_resample_args args = { height, width, bilinear };
    calo_call call = { .op = &calo_op_resample, .in = { x }, .args = &args };
    return calo_perform(run, &call);
}

calo_tensor calo_resample_nearest(calo_run *run, calo_tensor x, int height, int width)
{
    return resample(run, x, height, width, false);
}

calo_tensor calo_resample_bilinear(calo_run *run, calo_tensor x, int height, int width)
{
    return resample(run, x, height, width, true);
}
