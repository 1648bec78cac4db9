/* The ops `combine` and `blend`. */
#include "elementwise.h"
#include "../groups.h"

CALO_DECLARE_REFERENCE(combine);
CALO_DECLARE_REFERENCE(blend);

static bool any(const calo_call *call, const calo_device_info *info)
{
    (void)call;
    (void)info;
    return true;
}

/* ---- combine ---------------------------------------------------------------------------------------------------- */

static calo_status infer_combine(calo_call *call, calo_fault *fault)
{
    const calo_combine_args *args = call->args;
    const calo_tensor x = call->in[0];
    char a[64], b[64];
    if (args->count < 1 || args->count > CALO_MAX_INPUTS)
        return calo_fail(fault, CALO_EUSAGE, "combine: %d inputs, not 1 to %d", args->count, CALO_MAX_INPUTS);
    if (x.type == CALO_I32 || args->type == CALO_I32)
        return calo_fail(fault, CALO_EUSAGE, "combine: integers cannot be combined");
    for (int i = 0; i < args->count; i++) {
        const calo_tensor other = call->in[i];
        if (!calo_same_shape(x, other) || other.type != x.type || !calo_tensor_dense(other))
            return calo_fail(fault, CALO_EUSAGE, "combine: input %d is %s %s, input 0 is %s %s", i,
                             calo_type_name(other.type), calo_shape_text(other, a, sizeof a), calo_type_name(x.type),
                             calo_shape_text(x, b, sizeof b));
    }
    call->out = calo_shape(args->type ? args->type : x.type, x.rank, x.dims);
    return CALO_OK;
}

static calo_cost cost_combine(const calo_call *call)
{
    const calo_combine_args *args = call->args;
    return (calo_cost){ 2.0 * args->count * (double)calo_tensor_count(call->out),
                        args->count * (double)calo_tensor_bytes(call->in[0]) + (double)calo_tensor_bytes(call->out) };
}

static void launch_combine(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const calo_combine_args *args = call->args;
    const int64_t count = calo_tensor_count(call->out), chunk = call->tuning[0];
    calo_launch launch = calo_launch_begin(variant, call, call->in[0], (calo_tensor){ 0 });
    calo_define(&launch, "OUT", calo_type_macro(call->out.type));
    calo_arg_int(&launch, args->count);
    for (int i = 0; i < CALO_MAX_INPUTS; i++) /* unused slots repeat the first, the kernel does not read them */
        calo_arg_tensor(&launch, call->in[i < args->count ? i : 0]);
    calo_arg_tensor(&launch, call->out);
    for (int i = 0; i < CALO_MAX_INPUTS; i++)
        calo_arg_float(&launch, i < args->count ? args->coefficients[i] : 0);
    calo_arg_float(&launch, args->constant);
    calo_arg_float(&launch, args->clamp);
    calo_arg_long(&launch, count);
    calo_groups(&launch, calo_ceil_div(count, chunk), chunk > 1 ? 1 : calo_group_size(variant));
    calo_dispatch(run, &launch);
}

static const calo_variant combine_variants[] = {
    { .name = "vector16",
      .backend = CALO_OPENCL,
      .prefer = CALO_PREFER_CPU,
      .source = "elementwise/elementwise.cl",
      .entry = "combine_vector16",
      .tunables = { { "CHUNK", { 4096, 1024 } } },
      .supports = any,
      .launch = launch_combine },
    { .name = "element",
      .backend = CALO_OPENCL,
      .prefer = CALO_PREFER_GPU,
      .source = "elementwise/elementwise.cl",
      .entry = "combine_element",
      .tunables = { { "CHUNK", { 1 } } },
      .supports = any,
      .launch = launch_combine },
    { .name = "element",
      .backend = CALO_CUDA,
      .prefer = CALO_PREFER_GPU,
      .source = "elementwise/elementwise.cu",
      .entry = "combine_element",
      .tunables = { { "CHUNK", { 1 } } },
      .supports = any,
      .launch = launch_combine },
};

const calo_op calo_op_combine = {
    .name = "combine",
    .infer = infer_combine,
    .cost = cost_combine,
    .reference = calo_combine_double,
    .naive = calo_combine_float,
    .args_size = sizeof(calo_combine_args),
    .variants = combine_variants,
    .variant_count = sizeof combine_variants / sizeof *combine_variants,
};

static calo_tensor combine(calo_run *run, calo_tensor target, const calo_tensor *in, const calo_combine_args *args)
{
    calo_call call = { .op = &calo_op_combine, .out = target, .args = args };
    for (int i = 0; i < args->count && i < CALO_MAX_INPUTS; i++)
        call.in[i] = in[i];
    return calo_perform(run, &call);
}

static calo_combine_args sum_of(const double *coefficients, int count, double clamp, calo_type type)
{
    calo_combine_args args = { .count = count, .clamp = clamp, .type = type };
    for (int i = 0; i < count && i < CALO_MAX_INPUTS; i++)
        args.coefficients[i] = coefficients[i];
    return args;
}

calo_tensor calo_combine(calo_run *run, const calo_tensor *in, const double *coefficients, int count, double clamp,
                         calo_type type)
{
    const calo_combine_args args = sum_of(coefficients, count, clamp, type);
    return combine(run, (calo_tensor){ 0 }, in, &args);
}

void calo_combine_into(calo_run *run, calo_tensor target, const calo_tensor *in, const double *coefficients, int count,
                       double clamp)
{
    const calo_combine_args args = sum_of(coefficients, count, clamp, target.type);
    combine(run, target, in, &args);
}

calo_tensor calo_add(calo_run *run, calo_tensor a, calo_tensor b)
{
    return calo_combine(run, (calo_tensor[]){ a, b }, (double[]){ 1, 1 }, 2, 0, CALO_AUTO);
}

calo_tensor calo_scale(calo_run *run, calo_tensor x, double factor)
{
    return calo_combine(run, &x, &factor, 1, 0, CALO_AUTO);
}

calo_tensor calo_cast(calo_run *run, calo_tensor x, calo_type type)
{
    if (x.type == type && x.taken) { /* nothing to do but to hand the memory on */
        x.taken = false;
        return x;
    }
    return calo_combine(run, &x, (double[]){ 1 }, 1, 0, type);
}

calo_tensor calo_affine(calo_run *run, calo_tensor x, double factor, double constant, calo_type type)
{
    const calo_combine_args args = { .count = 1, .coefficients = { factor }, .constant = constant, .type = type };
    return combine(run, (calo_tensor){ 0 }, &x, &args);
}

/* ---- blend ------------------------------------------------------------------------------------------------------ */

static calo_status infer_blend(calo_call *call, calo_fault *fault)
{
    const calo_tensor a = call->in[0], b = call->in[1], mask = call->in[2];
    char x[64], y[64], z[64];
    bool fits = calo_same_shape(a, b) && a.type == b.type && a.type == mask.type && a.type != CALO_I32 &&
                mask.rank == a.rank && a.rank >= 2 && calo_tensor_columns(mask) == 1 && calo_tensor_dense(a) &&
                calo_tensor_dense(b) && calo_tensor_dense(mask) && (mask.dims[0] == 1 || mask.dims[0] == a.dims[0]);
    for (int i = 1; fits && i + 1 < a.rank; i++)
        fits = mask.dims[i] == a.dims[i];
    if (!fits)
        return calo_fail(fault, CALO_EUSAGE, "blend: %s and %s cannot be blended by a mask %s",
                         calo_shape_text(a, x, sizeof x), calo_shape_text(b, y, sizeof y),
                         calo_shape_text(mask, z, sizeof z));
    call->out = calo_shape(a.type, a.rank, a.dims);
    return CALO_OK;
}

static calo_cost cost_blend(const calo_call *call)
{
    return (calo_cost){ 4.0 * (double)calo_tensor_count(call->out),
                        3.0 * (double)calo_tensor_bytes(call->out) + (double)calo_tensor_bytes(call->in[2]) };
}

static void launch_blend(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const int64_t count = calo_tensor_count(call->out), chunk = call->tuning[0];
    calo_launch launch = calo_launch_begin(variant, call, call->in[0], (calo_tensor){ 0 });
    for (int i = 0; i < 3; i++)
        calo_arg_tensor(&launch, call->in[i]);
    calo_arg_tensor(&launch, call->out);
    calo_arg_int(&launch, calo_tensor_columns(call->out));
    calo_arg_long(&launch, calo_tensor_rows(call->in[2]));
    calo_arg_long(&launch, count);
    calo_groups(&launch, calo_ceil_div(count, chunk), chunk > 1 ? 1 : calo_group_size(variant));
    calo_dispatch(run, &launch);
}

static const calo_variant blend_variants[] = {
    { .name = "chunk",
      .backend = CALO_OPENCL,
      .prefer = CALO_PREFER_CPU,
      .source = "elementwise/elementwise.cl",
      .entry = "blend_chunk",
      .tunables = { { "CHUNK", { 1024 } } },
      .supports = any,
      .launch = launch_blend },
    { .name = "element",
      .backend = CALO_OPENCL,
      .prefer = CALO_PREFER_GPU,
      .source = "elementwise/elementwise.cl",
      .entry = "blend_element",
      .tunables = { { "CHUNK", { 1 } } },
      .supports = any,
      .launch = launch_blend },
    { .name = "element",
      .backend = CALO_CUDA,
      .prefer = CALO_PREFER_GPU,
      .source = "elementwise/elementwise.cu",
      .entry = "blend_element",
      .tunables = { { "CHUNK", { 1 } } },
      .supports = any,
      .launch = launch_blend },
};

const calo_op calo_op_blend = {
    .name = "blend",
    .infer = infer_blend,
    .cost = cost_blend,
    .reference = calo_blend_double,
    .naive = calo_blend_float,
    .variants = blend_variants,
    .variant_count = sizeof blend_variants / sizeof *blend_variants,
};

calo_tensor calo_blend(calo_run *run, calo_tensor a, calo_tensor b, calo_tensor mask)
{
    calo_call call = { .op = &calo_op_blend, .in = { a, b, mask } };
    return calo_perform(run, &call);
}

void calo_blend_into(calo_run *run, calo_tensor target, calo_tensor a, calo_tensor b, calo_tensor mask)
{
    calo_call call = { .op = &calo_op_blend, .in = { a, b, mask }, .out = target };
    calo_perform(run, &call);
}
