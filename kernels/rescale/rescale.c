/* The op `rescale`: the spread of both tensors by parts, each batch item's factor, then one product a number. */
#include "rescale.h"
#include "../groups.h"

CALO_DECLARE_REFERENCE(rescale);

enum { GROUP = 256, PARTS = 256 }; /* work-items of a group of the tree; parts of an item at most */

static calo_status infer(calo_call *call, calo_fault *fault)
{
    const calo_rescale_args *args = call->args;
    const calo_tensor e = call->in[0], c = call->in[1];
    char a[64], b[64];
    if (!(args->share >= 0 && args->share <= 1))
        return calo_fail(fault, CALO_EUSAGE, "rescale: a share of %g is not between 0 and 1", args->share);
    if (e.rank < 2 || !calo_same_shape(e, c) || e.type == CALO_I32 || c.type == CALO_I32 || !calo_tensor_dense(e) ||
        !calo_tensor_dense(c))
        return calo_fail(fault, CALO_EUSAGE, "rescale: %s %s cannot take the spread of %s %s", calo_type_name(e.type),
                         calo_shape_text(e, a, sizeof a), calo_type_name(c.type), calo_shape_text(c, b, sizeof b));
    call->out = calo_shape(CALO_F32, e.rank, e.dims);
    return CALO_OK;
}

static calo_cost cost(const calo_call *call)
{
    const double bytes = (double)calo_tensor_bytes(call->in[0]) + (double)calo_tensor_bytes(call->in[1]);
    return (calo_cost){ 9.0 * (double)calo_tensor_count(call->out), bytes + (double)calo_tensor_bytes(call->out) };
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
    return info->max_work_group >= GROUP && info->local_memory >= GROUP * sizeof(float);
}

/* Numbers of a part: as many as the variant asks for, more where PARTS of them would not hold an item. They depend on
 * one item's size only, not on the batch. */
static int64_t part_size(const calo_call *call, int64_t count)
{
    const int64_t least = calo_ceil_div(count, PARTS);
    return least > call->tuning[0] ? least : call->tuning[0];
}

/* [B][parts][2] means and M2 of an item's parts, each by a group of `group` work-items. */
static calo_tensor spread(calo_run *run, const calo_call *call, const calo_variant *variant, calo_tensor x, int group)
{
    const int64_t batch = x.dims[0], count = calo_tensor_count(x) / batch, size = part_size(call, count);
    const int64_t parts = calo_ceil_div(count, size);
    calo_tensor partial = calo_scratch(run, CALO_F32, batch * parts * 2);
    calo_launch launch = calo_launch_begin(variant, call, x, (calo_tensor){ 0 });
    calo_arg_tensor(&launch, x);
    calo_arg_tensor(&launch, partial);
    calo_arg_long(&launch, count);
    calo_arg_long(&launch, size);
    calo_groups(&launch, parts * group, group);
    launch.global[1] = (size_t)batch;
    calo_dispatch(run, &launch);
    return partial;
}

/* `group` work-items take a part of the statistics, `apply` a block of the products, which `entry` computes. */
static void launch_parts(calo_run *run, const calo_call *call, const calo_variant *variant, int group, int apply,
                         const char *entry)
{
    const calo_rescale_args *args = call->args;
    const calo_tensor e = call->in[0];
    const int64_t batch = e.dims[0], count = calo_tensor_count(e) / batch, size = part_size(call, count);
    const calo_tensor guided = spread(run, call, variant, e, group);
    const calo_tensor conditional = spread(run, call, variant, call->in[1], group);
    const calo_tensor factors = calo_scratch(run, CALO_F32, batch);

    calo_launch launch = calo_launch_begin(variant, call, e, (calo_tensor){ 0 });
    launch.entry = "rescale_factor";
    calo_arg_tensor(&launch, guided);
    calo_arg_tensor(&launch, conditional);
    calo_arg_tensor(&launch, factors);
    calo_arg_long(&launch, count);
    calo_arg_long(&launch, size);
    calo_arg_int(&launch, calo_ceil_div(count, size));
    calo_arg_float(&launch, args->share);
    calo_arg_float(&launch, 1 - args->share);
    launch.global[0] = (size_t)batch;
    calo_alone(&launch);
    calo_dispatch(run, &launch);

    launch = calo_launch_begin(variant, call, e, (calo_tensor){ 0 });
    launch.entry = entry;
    calo_arg_tensor(&launch, e);
    calo_arg_tensor(&launch, factors);
    calo_arg_tensor(&launch, call->out);
    calo_arg_long(&launch, count);
    calo_arg_long(&launch, size);
    calo_groups(&launch, apply > 1 ? count : calo_ceil_div(count, size), apply);
    launch.global[1] = (size_t)batch;
    calo_dispatch(run, &launch);
}

static void launch_chunks(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    launch_parts(run, call, variant, 1, 1, "rescale_chunk");
}

static void launch_tree(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    launch_parts(run, call, variant, GROUP, GROUP, "rescale_element");
}

static const calo_variant variants[] = {
    { .name = "chunk",
      .backend = CALO_OPENCL,
      .prefer = CALO_PREFER_CPU,
      .source = "rescale/rescale.cl",
      .entry = "rescale_chunk_part",
      .tunables = { { "PART", { 4096, 256 } } },
      .supports = any,
      .launch = launch_chunks },
    { .name = "tree",
      .backend = CALO_OPENCL,
      .prefer = CALO_PREFER_GPU,
      .source = "rescale/rescale.cl",
      .entry = "rescale_tree_part",
      .tunables = { { "PART", { 4096, 256 } } },
      .supports = fits_tree,
      .launch = launch_tree },
    { .name = "tree",
      .backend = CALO_CUDA,
      .prefer = CALO_PREFER_GPU,
      .source = "rescale/rescale.cu",
      .entry = "rescale_tree_part",
      .tunables = { { "PART", { 4096, 256 } } },
      .supports = any,
      .launch = launch_tree },
};

const calo_op calo_op_rescale = {
    .name = "rescale",
    .infer = infer,
    .cost = cost,
    .reference = calo_rescale_double,
    .naive = calo_rescale_float,
    .args_size = sizeof(calo_rescale_args),
    .variants = variants,
    .variant_count = sizeof variants / sizeof *variants,
};

calo_tensor calo_rescale(calo_run *run, calo_tensor guided, calo_tensor conditional, double share)
{
    const calo_rescale_args args = { share };
    calo_call call = { .op = &calo_op_rescale, .in = { guided, conditional }, .args = &args };
    return calo_perform(run, &call);
}

void calo_rescale_into(calo_run *run, calo_tensor target, calo_tensor guided, calo_tensor conditional, double share)
{
    const calo_rescale_args args = { share };
    calo_call call = { .op = &calo_op_rescale, .in = { guided, conditional }, .out = target, .args = &args };
    calo_perform(run, &call);
}
