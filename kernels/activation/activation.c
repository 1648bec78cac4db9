/* The op `activation`. */
#include "activation.h"
#include "../groups.h"

CALO_DECLARE_REFERENCE(activation);

static calo_status infer(calo_call *call, calo_fault *fault)
{
    const calo_tensor x = call->in[0];
    if (x.type == CALO_I32 || !calo_tensor_dense(x))
        return calo_fail(fault, CALO_EUSAGE, "activation: the input is not a dense tensor of floating-point numbers");
    call->out = calo_shape(x.type, x.rank, x.dims);
    return CALO_OK;
}

static calo_cost cost(const calo_call *call)
{
    return (calo_cost){ 10.0 * (double)calo_tensor_count(call->out), 2.0 * (double)calo_tensor_bytes(call->out) };
}

static bool any(const calo_call *call, const calo_device_info *info)
{
    (void)call;
    (void)info;
    return true;
}

/* Each work-item takes CHUNK elements; those that take many are alone in their group. */
static void launch(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const int64_t count = calo_tensor_count(call->out), chunk = call->tuning[0];
    calo_launch launch = calo_launch_begin(variant, call, call->in[0], (calo_tensor){ 0 });
    calo_define(&launch, "ACTIVATION", *(const calo_activation *)call->args);
    calo_arg_tensor(&launch, call->in[0]);
    calo_arg_tensor(&launch, call->out);
    calo_arg_long(&launch, count);
    calo_groups(&launch, calo_ceil_div(count, chunk), chunk > 1 ? 1 : calo_group_size(variant));
    calo_dispatch(run, &launch);
}

static const calo_variant variants[] = {
    { .name = "vector16",
      .backend = CALO_OPENCL,
      .prefer = CALO_PREFER_CPU,
      .source = "activation/activation.cl",
      .entry = "activation_vector16",
      .tunables = { { "CHUNK", { 4096, 1024 } } },
      .supports = any,
      .launch = launch },
    { .name = "element",
      .backend = CALO_OPENCL,
      .prefer = CALO_PREFER_GPU,
      .source = "activation/activation.cl",
      .entry = "activation_element",
      .tunables = { { "CHUNK", { 1 } } },
      .supports = any,
      .launch = launch },
    { .name = "element",
      .backend = CALO_CUDA,
      .prefer = CALO_PREFER_GPU,
      .source = "activation/activation.cu",
      .entry = "activation_element",
      .tunables = { { "CHUNK", { 1 } } },
      .supports = any,
      .launch = launch },
};

static int traits(const calo_call *call, int64_t *values)
{
    values[0] = *(const calo_activation *)call->args;
    return 1;
}

const calo_op calo_op_activation = {
    .name = "activation",
    .infer = infer,
    .cost = cost,
    .reference = calo_activation_double,
    .naive = calo_activation_float,
    .traits = traits,
    .args_size = sizeof(calo_activation),
    .variants = variants,
    .variant_count = sizeof variants / sizeof *variants,
};

calo_tensor calo_activate(calo_run *run, calo_tensor x, calo_activation kind)
{
    calo_call call = { .op = &calo_op_activation, .in = { x }, .args = &kind };
    return calo_perform(run, &call);
}
