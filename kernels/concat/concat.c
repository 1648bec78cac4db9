/* The op `concat`. */
#include "concat.h"

CALO_DECLARE_REFERENCE(concat);

static calo_status infer(calo_call *call, calo_fault *fault)
{
    const calo_tensor a = call->in[0], b = call->in[1];
    char x[64], y[64];
    bool fits = a.rank == b.rank && a.type == b.type && calo_tensor_dense(a) && calo_tensor_dense(b);
    for (int i = 0; fits && i + 1 < a.rank; i++)
        fits = a.dims[i] == b.dims[i];
    if (!fits)
        return calo_fail(fault, CALO_EUSAGE, "concat: %s does not fit beside %s", calo_shape_text(a, x, sizeof x),
                         calo_shape_text(b, y, sizeof y));
    call->out = calo_shape(a.type, a.rank, a.dims);
    call->out.dims[a.rank - 1] = call->out.stride = calo_tensor_columns(a) + calo_tensor_columns(b);
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

static void launch(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    calo_launch launch = calo_launch_begin(variant, call, call->out, (calo_tensor){ 0 });
    calo_arg_tensor(&launch, call->in[0]);
    calo_arg_tensor(&launch, call->in[1]);
    calo_arg_tensor(&launch, call->out);
    calo_arg_int(&launch, calo_tensor_columns(call->in[0]));
    calo_arg_int(&launch, calo_tensor_columns(call->in[1]));
    launch.global[0] = (size_t)calo_tensor_rows(call->out);
    calo_dispatch(run, &launch);
}

static const calo_variant variants[] = {
    { .name = "row", .backend = CALO_OPENCL, .prefer = CALO_PREFER_CPU | CALO_PREFER_GPU, .source = "concat/concat.cl",
      .entry = "concat_row", .supports = any, .launch = launch },
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
