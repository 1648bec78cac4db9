/* The op `concat`. */
#include "concat.h"
#include "../groups.h"

CALO_DECLARE_REFERENCE(concat);

static calo_status infer(calo_call *call, calo_fault *fault)
{
    const calo_tensor a = call->in[0], b = call->in[1];
    char first[64], second[64];
    calo_tensor out = calo_shape(a.type, a.rank, a.dims);
    bool fits = a.type == b.type && a.type != CALO_I32 && a.rank == b.rank && a.rank >= 1;
    for (int i = 0; fits && i + 1 < a.rank; i++)
        fits = a.dims[i] == b.dims[i];
    if (!fits)
        return calo_fail(fault, CALO_EUSAGE, "concat: %s %s and %s %s differ in more than their channels",
                         calo_type_name(a.type), calo_shape_text(a, first, sizeof first), calo_type_name(b.type),
                         calo_shape_text(b, second, sizeof second));
    out.dims[a.rank - 1] += b.dims[b.rank - 1];
    out.stride = out.dims[a.rank - 1];
    call->out = out;
    return CALO_OK;
}

static calo_cost cost(const calo_call *call)
{
    return (calo_cost){ 0, 2.0 * (double)calo_tensor_bytes(call->out) };
}

static bool any(const calo_call *call, const calo_device_info *info)
{
    (void)call;
    (void)info;
    return true;
}

static calo_launch begin(const calo_call *call, const calo_variant *variant)
{
    const calo_tensor a = call->in[0], b = call->in[1];
    calo_launch launch = calo_launch_begin(variant, call, a, (calo_tensor){ 0 });
    calo_arg_tensor(&launch, a);
    calo_arg_tensor(&launch, b);
    calo_arg_tensor(&launch, call->out);
    calo_arg_int(&launch, calo_tensor_columns(a));
    calo_arg_int(&launch, calo_tensor_columns(b));
    calo_arg_int(&launch, a.stride);
    calo_arg_int(&launch, b.stride);
    calo_arg_long(&launch, calo_tensor_rows(call->out));
    return launch;
}

static void launch_rows(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    calo_launch launch = begin(call, variant);
    calo_groups(&launch, calo_ceil_div(calo_tensor_rows(call->out), call->tuning[0]), 1);
    calo_dispatch(run, &launch);
}

static void launch_numbers(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    calo_launch launch = begin(call, variant);
    calo_groups(&launch, calo_tensor_columns(call->out), 64);
    launch.global[1] = (size_t)calo_tensor_rows(call->out);
    calo_dispatch(run, &launch);
}

static int64_t in_words(const calo_call *call)
{
    return 16 / (int64_t)calo_type_size(call->out.type);
}

/* Everything in whole words of 16 bytes, which a 32-bit number counts. */
static bool fits_words(const calo_call *call, const calo_device_info *info)
{
    bool fits = calo_tensor_count(call->out) < INT32_MAX && calo_aligned(call, 2);
    (void)info;
    for (int i = 0; i < 2; i++)
        fits = fits && call->in[i].stride % in_words(call) == 0 &&
               calo_tensor_columns(call->in[i]) % in_words(call) == 0;
    return fits;
}

static void launch_words(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    calo_launch launch = begin(call, variant);
    calo_groups(&launch, calo_tensor_count(call->out) / in_words(call), calo_group_size(variant));
    calo_dispatch(run, &launch);
}

/* Rows may be more than a grid's second axis holds. */
static void launch_flat(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    calo_launch launch = begin(call, variant);
    calo_groups(&launch, calo_tensor_count(call->out), calo_group_size(variant));
    calo_dispatch(run, &launch);
}

static const calo_variant variants[] = {
    { .name = "rows",
      .backend = CALO_OPENCL,
      .prefer = CALO_PREFER_CPU,
      .source = "concat/concat.cl",
      .entry = "concat_rows",
      .tunables = { { "ROWS", { 32, 8 } } },
      .supports = any,
      .launch = launch_rows },
    { .name = "number",
      .backend = CALO_OPENCL,
      .prefer = CALO_PREFER_GPU,
      .source = "concat/concat.cl",
      .entry = "concat_number",
      .supports = any,
      .launch = launch_numbers },
    { .name = "words",
      .backend = CALO_CUDA,
      .prefer = CALO_PREFER_GPU,
      .source = "concat/concat.cu",
      .entry = "concat_words",
      .supports = fits_words,
      .launch = launch_words },
    { .name = "number",
      .backend = CALO_CUDA,
      .prefer = CALO_PREFER_GPU,
      .source = "concat/concat.cu",
      .entry = "concat_number",
      .supports = any,
      .launch = launch_flat },
};

const calo_op calo_op_concat = {
    .name = "concat",
    .infer = infer,
    .cost = cost,
    .reference = calo_concat_double,
    .naive = calo_concat_float,
    .variants = variants,
    .variant_count = sizeof variants / sizeof *variants,
};

calo_tensor calo_concat(calo_run *run, calo_tensor a, calo_tensor b)
{
    calo_call call = { .op = &calo_op_concat, .in = { a, b } };
    return calo_perform(run, &call);
}
