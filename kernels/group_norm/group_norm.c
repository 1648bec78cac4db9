/* The op `group_norm`: statistics by chunks of pixels, their combination by group, then one multiply-add a number; or a block
   of threads a group. */
#include "group_norm.h"
#include "../groups.h"

CALO_DECLARE_REFERENCE(group_norm);

static calo_status infer(calo_call *call, calo_fault *fault)
{
    const calo_group_norm_args *args = call->args;
    const calo_tensor x = call->in[0];
    const int64_t width = calo_tensor_columns(x);
    char a[64], b[64];
    if (x.rank < 2 || args->groups < 1 || width % args->groups || !calo_tensor_dense(x))
        return calo_fail(fault, CALO_EUSAGE, "group_norm: %s cannot be cut into %d groups",
                         calo_shape_text(x, a, sizeof a), args->groups);
    for (int i = 1; i < 3; i++)
        if (call->in[i].type != CALO_F32 || calo_tensor_count(call->in[i]) != width)
            return calo_fail(fault, CALO_EUSAGE, "group_norm: gain or shift %s does not fit %s",
                             calo_shape_text(call->in[i], a, sizeof a), calo_shape_text(x, b, sizeof b));
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

/* Chunks hold about ELEMENTS numbers: small enough for a cache, so that the second look at them is cheap. They depend
 * on one image's shape only, not on the batch. */
static void launch_chunks(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const calo_group_norm_args *args = call->args;
    const calo_tensor x = call->in[0];
    const int64_t batch = x.dims[0], width = calo_tensor_columns(x), pixels = calo_tensor_rows(x) / batch;
    const int64_t by_size = call->tuning[0] / width, chunk = by_size < 1 ? 1 : by_size < pixels ? by_size : pixels;
    const int64_t chunks = calo_ceil_div(pixels, chunk);
    calo_tensor partial = calo_scratch(run, CALO_F32, batch * chunks * 2 * width);
    calo_tensor affine = calo_scratch(run, CALO_F32, batch * 2 * width);

    calo_launch launch = calo_launch_begin(variant, call, x, (calo_tensor){ 0 });
    launch.entry = "group_norm_partial";
    calo_arg_tensor(&launch, x);
    calo_arg_tensor(&launch, partial);
    calo_arg_int(&launch, pixels);
    calo_arg_int(&launch, width);
    calo_arg_int(&launch, chunk);
    launch.global[0] = (size_t)chunks;
    launch.global[1] = (size_t)batch;
    calo_alone(&launch);
    calo_dispatch(run, &launch);

    launch = calo_launch_begin(variant, call, x, (calo_tensor){ 0 });
    launch.entry = "group_norm_combine";
    calo_arg_tensor(&launch, partial);
    calo_arg_tensor(&launch, call->in[1]);
    calo_arg_tensor(&launch, call->in[2]);
    calo_arg_tensor(&launch, affine);
    calo_arg_int(&launch, pixels);
    calo_arg_int(&launch, width);
    calo_arg_int(&launch, chunk);
    calo_arg_int(&launch, chunks);
    calo_arg_float(&launch, args->eps);
    launch.global[0] = (size_t)args->groups;
    launch.global[1] = (size_t)batch;
    calo_alone(&launch);
    calo_dispatch(run, &launch);

    launch = calo_launch_begin(variant, call, x, (calo_tensor){ 0 });
    launch.entry = "group_norm_apply";
    calo_define(&launch, "ACTIVATION", args->activation);
    calo_arg_tensor(&launch, x);
    calo_arg_tensor(&launch, affine);
    calo_arg_tensor(&launch, call->out);
    calo_arg_int(&launch, pixels);
    calo_arg_int(&launch, width);
    calo_arg_int(&launch, chunk);
    launch.global[0] = (size_t)chunks;
    launch.global[1] = (size_t)batch;
    calo_alone(&launch);
    calo_dispatch(run, &launch);
}

enum { GROUP = 64 };

static bool fits_local(const calo_call *call, const calo_device_info *info)
{
    (void)call;
    return info->max_work_group >= GROUP && info->local_memory >= 3 * GROUP * sizeof(float);
}

/* A group of work-items for the statistics of each (batch, norm group), then one work-item a number. */
static void launch_local(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const calo_group_norm_args *args = call->args;
    const calo_tensor x = call->in[0];
    const int64_t batch = x.dims[0], width = calo_tensor_columns(x), pixels = calo_tensor_rows(x) / batch;
    calo_tensor affine = calo_scratch(run, CALO_F32, batch * 2 * width);

    calo_launch launch = calo_launch_begin(variant, call, x, (calo_tensor){ 0 });
    launch.entry = "group_norm_statistics";
    calo_arg_tensor(&launch, x);
    calo_arg_tensor(&launch, call->in[1]);
    calo_arg_tensor(&launch, call->in[2]);
    calo_arg_tensor(&launch, affine);
    calo_arg_int(&launch, pixels);
    calo_arg_int(&launch, width);
    calo_arg_int(&launch, width / args->groups);
    calo_arg_float(&launch, args->eps);
    calo_groups(&launch, args->groups * GROUP, GROUP);
    launch.global[1] = (size_t)batch;
    calo_dispatch(run, &launch);

    launch = calo_launch_begin(variant, call, x, (calo_tensor){ 0 });
    calo_define(&launch, "ACTIVATION", args->activation);
    calo_arg_tensor(&launch, x);
    calo_arg_tensor(&launch, affine);
    calo_arg_tensor(&launch, call->out);
    calo_arg_int(&launch, width);
    calo_arg_long(&launch, pixels * width);
    calo_groups(&launch, pixels * width, GROUP);
    launch.global[1] = (size_t)batch;
    calo_dispatch(run, &launch);
}

/* Statistics spread over up to some hundred blocks an image, then a warp a group, then a thread for eight numbers or one. */
enum { LEAST_CHUNK = 16 };

static void launch_spread(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const calo_group_norm_args *args = call->args;
    const calo_tensor x = call->in[0];
    const int64_t batch = x.dims[0], width = calo_tensor_columns(x), pixels = calo_tensor_rows(x) / batch;
    const int64_t by_count = calo_ceil_div(pixels, call->tuning[0]), chunk = by_count < LEAST_CHUNK ? LEAST_CHUNK : by_count;
    const int64_t chunks = calo_ceil_div(pixels, chunk);
    const bool eights = width % 8 == 0 && calo_aligned(call, 1) && pixels * width < INT32_MAX;
    calo_tensor partial = calo_scratch(run, CALO_F32, batch * chunks * 2 * width);
    calo_tensor affine = calo_scratch(run, CALO_F32, batch * 2 * width);

    calo_launch launch = calo_launch_begin(variant, call, x, (calo_tensor){ 0 });
    calo_define(&launch, "ACTIVATION", args->activation);
    calo_launch combine = launch, apply = launch;
    launch.entry = "group_norm_partial";
    calo_arg_tensor(&launch, x);
    calo_arg_tensor(&launch, partial);
    calo_arg_int(&launch, pixels);
    calo_arg_int(&launch, width);
    calo_arg_int(&launch, chunk);
    calo_groups(&launch, chunks * 256, 256);
    launch.global[1] = (size_t)batch;
    calo_dispatch(run, &launch);

    combine.entry = "group_norm_combine";
    calo_arg_tensor(&combine, partial);
    calo_arg_tensor(&combine, call->in[1]);
    calo_arg_tensor(&combine, call->in[2]);
    calo_arg_tensor(&combine, affine);
    calo_arg_int(&combine, pixels);
    calo_arg_int(&combine, width);
    calo_arg_int(&combine, chunk);
    calo_arg_int(&combine, chunks);
    calo_arg_int(&combine, width / args->groups);
    calo_arg_float(&combine, args->eps);
    calo_groups(&combine, (int64_t)args->groups * 32, 32);
    combine.global[1] = (size_t)batch;
    calo_dispatch(run, &combine);

    calo_arg_tensor(&apply, x);
    calo_arg_tensor(&apply, affine);
    calo_arg_tensor(&apply, call->out);
    calo_arg_int(&apply, width);
    calo_arg_long(&apply, pixels * width);
    if (eights)
        apply.entry = "group_norm_eights";
    calo_groups(&apply, eights ? pixels * width / 8 : pixels * width, 256);
    apply.global[1] = (size_t)batch;
    calo_dispatch(run, &apply);
}

/* A block an image and group, of pairs of channels. */
enum { BLOCK_THREADS = 1024, BLOCK_RESERVE = 2048, BLOCK_BYTES = 512 << 10 };

static uint64_t group_bytes(const calo_call *call)
{
    return calo_tensor_bytes(call->out) / (uint64_t)call->out.dims[0] /
           (uint64_t)((const calo_group_norm_args *)call->args)->groups;
}

static bool fits_block(const calo_call *call, const calo_device_info *info)
{
    const calo_group_norm_args *args = call->args;
    const calo_tensor x = call->in[0];
    (void)info;
    return x.type != CALO_F32 && calo_tensor_columns(x) / args->groups % 2 == 0 && x.offset % 4 == 0 &&
           call->out.offset % 4 == 0 && group_bytes(call) < INT32_MAX;
}

/* Beyond, one multiprocessor has too much to read. */
static bool suits_block(const calo_call *call, const calo_device_info *info)
{
    (void)info;
    return group_bytes(call) <= BLOCK_BYTES;
}

static void launch_block(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const calo_group_norm_args *args = call->args;
    const calo_tensor x = call->in[0];
    const int64_t batch = x.dims[0], width = calo_tensor_columns(x);
    const bool staged = group_bytes(call) + BLOCK_RESERVE <= run->info.local_memory;
    calo_launch launch = calo_launch_begin(variant, call, x, (calo_tensor){ 0 });
    calo_define(&launch, "ACTIVATION", args->activation);
    calo_define(&launch, "STAGED", staged);
    for (int i = 0; i < 3; i++)
        calo_arg_tensor(&launch, call->in[i]);
    calo_arg_tensor(&launch, call->out);
    calo_arg_int(&launch, calo_tensor_rows(x) / batch);
    calo_arg_int(&launch, width);
    calo_arg_int(&launch, width / args->groups);
    calo_arg_float(&launch, args->eps);
    calo_arg_local(&launch, staged ? group_bytes(call) : 4);
    calo_groups(&launch, (int64_t)args->groups * BLOCK_THREADS, BLOCK_THREADS);
    launch.global[1] = (size_t)batch;
    calo_dispatch(run, &launch);
}

static const calo_variant variants[] = {
    { .name = "chunks", .backend = CALO_OPENCL, .prefer = CALO_PREFER_CPU,
      .source = "group_norm/group_norm.cl", .entry = "group_norm_apply", .tunables = { { "ELEMENTS", { 16384, 4096 } } },
      .supports = any, .launch = launch_chunks },
    { .name = "local", .backend = CALO_OPENCL, .prefer = CALO_PREFER_GPU, .source = "group_norm/group_norm.cl",
      .entry = "group_norm_element", .supports = fits_local, .launch = launch_local },
    { .name = "block", .backend = CALO_CUDA, .prefer = CALO_PREFER_GPU, .source = "group_norm/group_norm.cu",
      .entry = "group_norm_block", .supports = fits_block, .suits = suits_block, .launch = launch_block },
    { .name = "spread", .backend = CALO_CUDA, .prefer = CALO_PREFER_GPU, .source = "group_norm/group_norm.cu",
      .entry = "group_norm_element", .tunables = { { "CHUNKS", { 256, 1024, 64 } } }, .supports = any,
      .launch = launch_spread },
};

static int traits(const calo_call *call, int64_t *values)
{
    const calo_group_norm_args *args = call->args;
    values[0] = args->groups;
    values[1] = args->activation;
    return 2;
}

const calo_op calo_op_group_norm = {
    .name = "group_norm",
    .infer = infer,
    .cost = cost,
    .reference = calo_group_norm_double,
    .naive = calo_group_norm_float,
    .traits = traits,
    .args_size = sizeof(calo_group_norm_args),
    .variants = variants,
    .variant_count = sizeof variants / sizeof *variants,
};

calo_tensor calo_group_norm(calo_run *run, calo_tensor x, const calo_norm_weights *w, calo_activation activation)
{
    const calo_group_norm_args args = { .groups = w->groups, .eps = w->eps, .activation = activation };
    calo_call call = { .op = &calo_op_group_norm, .in = { x, w->gamma, w->beta }, .args = &args };
    return calo_perform(run, &call);
}
