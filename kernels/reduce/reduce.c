/* The op `reduce`: partial results of CHUNK elements each, then one work-item combines them. */
#include "reduce.h"

CALO_DECLARE_REFERENCE(reduce);

enum { CHUNK = 4096 };

static calo_status infer(calo_call *call, calo_fault *fault)
{
    if (!calo_tensor_dense(call->in[0]))
        return calo_fail(fault, CALO_EUSAGE, "reduce: the input's rows are not dense");
    call->out = calo_shape(CALO_F32, 1, (int64_t[]){ 4 });
    return CALO_OK;
}

static calo_cost cost(const calo_call *call)
{
    return (calo_cost){ 3.0 * (double)calo_tensor_count(call->in[0]), (double)calo_tensor_bytes(call->in[0]) };
}

static bool any(const calo_call *call, const calo_device_info *info)
{
    (void)call;
    (void)info;
    return true;
}

static void launch(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const int64_t count = calo_tensor_count(call->in[0]), parts = calo_ceil_div(count, CHUNK);
    calo_tensor partial = calo_scratch(run, CALO_F32, 4 * parts);

    calo_launch launch = calo_launch_begin(variant, call, call->in[0], (calo_tensor){ 0 });
    calo_define(&launch, "CHUNK", CHUNK);
    calo_arg_tensor(&launch, call->in[0]);
    calo_arg_tensor(&launch, partial);
    calo_arg_long(&launch, count);
    launch.global[0] = (size_t)parts;
    calo_dispatch(run, &launch);

    calo_launch last = calo_launch_begin(variant, call, call->in[0], (calo_tensor){ 0 });
    calo_define(&last, "CHUNK", CHUNK);
    last.entry = "reduce_partial";
    calo_arg_tensor(&last, partial);
    calo_arg_tensor(&last, call->out);
    calo_arg_int(&last, parts);
    calo_dispatch(run, &last);
}

static const calo_variant variants[] = {
    { .name = "two_pass", .backend = CALO_OPENCL, .prefer = CALO_PREFER_CPU | CALO_PREFER_GPU,
      .source = "reduce/reduce.cl", .entry = "reduce_chunk", .supports = any, .launch = launch },
};

const calo_op calo_op_reduce = {
    .name = "reduce",
    .infer = infer,
    .cost = cost,
    .reference = calo_reduce_double,
    .naive = calo_reduce_float,
    .variants = variants,
    .variant_count = sizeof variants / sizeof *variants,
};

calo_tensor calo_reduce_finite(calo_run *run, calo_tensor x)
{
    calo_call call = { .op = &calo_op_reduce, .in = { x } };
    return calo_perform(run, &call);
}
