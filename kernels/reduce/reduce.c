/* The op `reduce`: two launches, parts and then their sum. */
#include "reduce.h"

CALO_DECLARE_REFERENCE(reduce);

enum { GROUP = 256, GROUPS = 1024 }; /* work-items of a group of the tree, and groups at most */

static calo_status infer(calo_call *call, calo_fault *fault)
{
    const calo_tensor x = call->in[0];
    char shape[64];
    if (x.type == CALO_I32 || !calo_tensor_dense(x))
        return calo_fail(fault, CALO_EUSAGE, "reduce: %s %s is not a dense tensor of floating-point numbers",
                         calo_type_name(x.type), calo_shape_text(x, shape, sizeof shape));
    call->out = calo_shape(CALO_F32, 1, (int64_t[]){ 4 });
    return CALO_OK;
}

static calo_cost cost(const calo_call *call)
{
    return (calo_cost){ 3.0 * (double)calo_tensor_count(call->in[0]), (double)calo_tensor_bytes(call->in[0]) + 16 };
}

static bool any(const calo_call *call, const calo_device_info *info)
{
    (void)call;
    (void)info;
    return true;
}

static bool fits_tree(const calo_call *call, const calo_device_info *info)
{
    (void)call;
    return info->max_work_group >= GROUP && info->local_memory >= GROUP * 3 * 4;
}

/* Parts by groups of `group` work-items, and one group that sums them. */
static void reduce(calo_run *run, const calo_call *call, const calo_variant *variant, int64_t parts, size_t group,
                   const char *sum_entry)
{
    const calo_tensor x = call->in[0];
    calo_tensor bad = calo_scratch(run, CALO_I32, parts), range = calo_scratch(run, CALO_F32, 2 * parts);
    calo_launch launch = calo_launch_begin(variant, call, x, (calo_tensor){ 0 });
    calo_define(&launch, "GROUP", (int)group);
    calo_arg_tensor(&launch, x);
    calo_arg_tensor(&launch, bad);
    calo_arg_tensor(&launch, range);
    calo_arg_long(&launch, calo_tensor_count(x));
    launch.global[0] = (size_t)parts * group;
    launch.local[0] = group;
    launch.local[1] = launch.local[2] = 1;
    calo_dispatch(run, &launch);

    calo_launch sum = calo_launch_begin(variant, call, x, (calo_tensor){ 0 });
    calo_define(&sum, "GROUP", (int)group);
    sum.entry = sum_entry;
    calo_arg_tensor(&sum, bad);
    calo_arg_tensor(&sum, range);
    calo_arg_tensor(&sum, call->out);
    calo_arg_long(&sum, parts);
    calo_arg_long(&sum, calo_tensor_count(x));
    sum.global[0] = sum.local[0] = group;
    sum.local[1] = sum.local[2] = 1;
    calo_dispatch(run, &sum);
}

static void launch_chunks(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    reduce(run, call, variant, calo_ceil_div(calo_tensor_count(call->in[0]), call->tuning[0]), 1, "reduce_chunk_sum");
}

static void launch_tree(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const int64_t wanted = calo_ceil_div(calo_tensor_count(call->in[0]), 8 * GROUP);
    reduce(run, call, variant, wanted < GROUPS ? wanted : GROUPS, GROUP, "reduce_tree_sum");
}

static const calo_variant variants[] = {
    { .name = "tree",
      .backend = CALO_OPENCL,
      .prefer = CALO_PREFER_GPU,
      .source = "reduce/reduce.cl",
      .entry = "reduce_tree_part",
      .supports = fits_tree,
      .launch = launch_tree },
    { .name = "tree",
      .backend = CALO_CUDA,
      .prefer = CALO_PREFER_GPU,
      .source = "reduce/reduce.cu",
      .entry = "reduce_tree_part",
      .supports = any,
      .launch = launch_tree },
    { .name = "chunk",
      .backend = CALO_OPENCL,
      .prefer = CALO_PREFER_CPU,
      .source = "reduce/reduce.cl",
      .entry = "reduce_chunk_part",
      .tunables = { { "CHUNK", { 16384, 1024 } } },
      .supports = any,
      .launch = launch_chunks },
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
