/* The op `attention`. */
#include "attention.h"
#include "../groups.h"

#include <math.h>

CALO_DECLARE_REFERENCE(attention);

double calo_attention_scale(const calo_attention_args *args, int64_t d)
{
    return args->scale > 0 ? args->scale : 1 / sqrt((double)d);
}

static int64_t head_dim(const calo_call *call)
{
    return call->in[0].dims[2] / ((const calo_attention_args *)call->args)->heads;
}

static calo_status infer(calo_call *call, calo_fault *fault)
{
    const calo_attention_args *args = call->args;
    const calo_tensor q = call->in[0], k = call->in[1], v = call->in[2];
    char a[64], b[64], c[64];
    if (q.rank != 3 || k.rank != 3 || !calo_same_shape(k, v) || q.dims[2] != k.dims[2] || q.type != k.type ||
        q.type != v.type || args->heads < 1 || q.dims[2] % args->heads || (k.dims[0] != 1 && k.dims[0] != q.dims[0]) ||
        q.dims[2] / args->heads > CALO_MAX_HEAD_DIM)
        return calo_fail(fault, CALO_EUSAGE, "attention: q %s, k %s, v %s do not fit %d heads of at most %d",
                         calo_shape_text(q, a, sizeof a), calo_shape_text(k, b, sizeof b),
                         calo_shape_text(v, c, sizeof c), args->heads, CALO_MAX_HEAD_DIM);
    call->out = calo_shape(q.type, 3, q.dims);
    return CALO_OK;
}

static calo_cost cost(const calo_call *call)
{
    const calo_attention_args *args = call->args;
    const double half = args->causal ? 0.5 : 1;
    return (calo_cost){ 4.0 * half * (double)calo_tensor_count(call->in[0]) * (double)call->in[1].dims[1],
                        (double)calo_tensor_bytes(call->in[0]) + (double)calo_tensor_bytes(call->in[1]) +
                            (double)calo_tensor_bytes(call->in[2]) + (double)calo_tensor_bytes(call->out) };
}

static bool any(const calo_call *call, const calo_device_info *info)
{
    (void)call;
    (void)info;
    return true;
}

static void define_shape(calo_launch *launch, const calo_call *call)
{
    const calo_attention_args *args = call->args;
    calo_define(launch, "D", (int)head_dim(call));
    calo_define(launch, "CAUSAL", args->causal);
}

static void arg_common(calo_launch *launch, const calo_call *call)
{
    const calo_attention_args *args = call->args;
    calo_arg_int(launch, call->in[0].dims[1]);
    calo_arg_int(launch, call->in[1].dims[1]);
    calo_arg_int(launch, args->heads);
    calo_arg_int(launch, call->in[0].stride);
    calo_arg_int(launch, call->in[1].dims[0] > 1);
    calo_arg_float(launch, calo_attention_scale(args, head_dim(call)));
}

/* Keys and values are packed once as floats, by head: [⌈S/32⌉·2][d][16] and [⌈d/16⌉][S][16]. */
static void launch_block(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const calo_attention_args *args = call->args;
    const calo_tensor q = call->in[0], k = call->in[1], v = call->in[2];
    const int64_t d = head_dim(call), keys = k.dims[1], heads = k.dims[0] * args->heads;
    const int64_t key_blocks = calo_ceil_div(keys, 32), value_blocks = calo_ceil_div(d, 16);
    calo_tensor k_packed = calo_scratch(run, CALO_F32, heads * key_blocks * 32 * d);
    calo_tensor v_packed = calo_scratch(run, CALO_F32, heads * value_blocks * 16 * keys);

    calo_launch pack = calo_launch_begin(variant, call, q, (calo_tensor){ 0 });
    define_shape(&pack, call);
    pack.entry = "attention_pack";
    calo_arg_tensor(&pack, k);
    calo_arg_tensor(&pack, v);
    calo_arg_tensor(&pack, k_packed);
    calo_arg_tensor(&pack, v_packed);
    calo_arg_int(&pack, keys);
    calo_arg_int(&pack, args->heads);
    calo_arg_int(&pack, k.stride);
    calo_arg_int(&pack, v.stride);
    pack.global[0] = (size_t)key_blocks;
    pack.global[1] = (size_t)heads;
    calo_alone(&pack);
    calo_dispatch(run, &pack);

    calo_launch launch = calo_launch_begin(variant, call, q, (calo_tensor){ 0 });
    define_shape(&launch, call);
    calo_arg_tensor(&launch, q);
    calo_arg_tensor(&launch, k_packed);
    calo_arg_tensor(&launch, v_packed);
    calo_arg_tensor(&launch, call->out);
    arg_common(&launch, call);
    launch.global[0] = (size_t)calo_ceil_div(q.dims[1], call->tuning[0]);
    launch.global[1] = (size_t)(q.dims[0] * args->heads);
    calo_alone(&launch);
    calo_dispatch(run, &launch);
}

static void launch_query(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const calo_attention_args *args = call->args;
    calo_launch launch = calo_launch_begin(variant, call, call->in[0], (calo_tensor){ 0 });
    define_shape(&launch, call);
    for (int i = 0; i < 3; i++)
        calo_arg_tensor(&launch, call->in[i]);
    calo_arg_tensor(&launch, call->out);
    arg_common(&launch, call);
    calo_arg_int(&launch, call->in[1].stride);
    calo_arg_int(&launch, call->in[2].stride);
    launch.global[0] = (size_t)call->in[0].dims[1];
    launch.global[1] = (size_t)(call->in[0].dims[0] * args->heads);
    calo_dispatch(run, &launch);
}

enum { GROUP = 64 };

/* Keys and values of one block in local memory: as many keys as 16 KiB hold, a power of two up to 32. */
static int local_keys(int64_t d)
{
    int keys = 32;
    while (keys > 1 && (int64_t)keys * d * 8 > 16384)
        keys /= 2;
    return keys;
}

static bool fits_local(const calo_call *call, const calo_device_info *info)
{
    return info->max_work_group >= GROUP && info->local_memory >= (uint64_t)local_keys(head_dim(call)) * (uint64_t)head_dim(call) * 8;
}

static void launch_local(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const calo_attention_args *args = call->args;
    calo_launch launch = calo_launch_begin(variant, call, call->in[0], (calo_tensor){ 0 });
    define_shape(&launch, call);
    calo_define(&launch, "LOCAL_KEYS", local_keys(head_dim(call)));
    for (int i = 0; i < 3; i++)
        calo_arg_tensor(&launch, call->in[i]);
    calo_arg_tensor(&launch, call->out);
    arg_common(&launch, call);
    calo_arg_int(&launch, call->in[1].stride);
    calo_arg_int(&launch, call->in[2].stride);
    calo_groups(&launch, call->in[0].dims[1], GROUP);
    launch.global[1] = (size_t)(call->in[0].dims[0] * args->heads);
    calo_dispatch(run, &launch);
}

/* ---- CUDA -------------------------------------------------------------------------------------------------------- */

enum { MMA_DIM = 160, MMA_QUERIES = 64, WGMMA_KEYS = 128, WIDE_QUERIES = 32, WIDE_KEYS = 16, WARPS = 8 };

static bool is_aligned(calo_tensor t)
{
    return t.stride % 8 == 0 && t.offset % 16 == 0;
}

static bool fits_wide(const calo_call *call, const calo_device_info *info)
{
    (void)info;
    return call->in[0].type != CALO_F32 && head_dim(call) % 8 == 0 && is_aligned(call->in[0]) &&
           is_aligned(call->in[1]) && is_aligned(call->in[2]) && call->out.offset % 4 == 0;
}

static bool fits_mma(const calo_call *call, const calo_device_info *info)
{
    return fits_wide(call, info) && head_dim(call) <= MMA_DIM;
}

/* Keys that fit 48 KiB twice with their values: 64 up to 88 channels, 32 up to 160. */
static int mma_keys(int64_t d)
{
    return d <= 88 ? 64 : 32;
}

/* Blocks of `queries` queries for each batch and head. */
static void launch_cuda(calo_run *run, const calo_call *call, const calo_variant *variant, const char *macro, int value,
                        int queries, int threads)
{
    const calo_attention_args *args = call->args;
    calo_launch launch = calo_launch_begin(variant, call, call->in[0], (calo_tensor){ 0 });
    define_shape(&launch, call);
    calo_define(&launch, macro, value);
    for (int i = 0; i < 3; i++)
        calo_arg_tensor(&launch, call->in[i]);
    calo_arg_tensor(&launch, call->out);
    arg_common(&launch, call);
    calo_arg_int(&launch, call->in[1].stride);
    calo_arg_int(&launch, call->in[2].stride);
    calo_groups(&launch, calo_ceil_div(call->in[0].dims[1], queries) * threads, threads);
    launch.global[1] = (size_t)(call->in[0].dims[0] * args->heads);
    calo_dispatch(run, &launch);
}

static void launch_mma(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    launch_cuda(run, call, variant, "KEYS", mma_keys(head_dim(call)), MMA_QUERIES, 128);
}

/* The head dims whose products ptx90.cu has. */
static bool fits_wgmma(const calo_call *call, const calo_device_info *info)
{
    const int64_t d = head_dim(call);
    return fits_wide(call, info) && (d == 40 || d == 64 || d == 80 || d == 128);
}

/* Warpgroups that multiply, 64 queries each: as many as have the registers. */
static int wgmma_groups(const calo_call *call)
{
    return head_dim(call) <= 64 ? 3 : 2;
}

/* With one block of keys there is nothing to overlap, and smaller blocks of queries fill a multiprocessor better. */
static bool fills_blocks(const calo_call *call, const calo_device_info *info)
{
    (void)info;
    return call->in[0].dims[1] >= 64 * wgmma_groups(call) && call->in[1].dims[1] > WGMMA_KEYS;
}

/* [B, T, heads · D] as [B, T, heads, D]: a load brings 64 channels of `rows` rows of one head. */
static calo_map head_map(calo_tensor t, int heads, int64_t d, int rows)
{
    const uint64_t stride = (uint64_t)t.stride * 2;
    return (calo_map){ .rank = 4,
                       .dims = { (uint64_t)d, (uint64_t)heads, (uint64_t)t.dims[1], (uint64_t)t.dims[0] },
                       .strides = { 0, (uint64_t)d * 2, stride, stride * (uint64_t)t.dims[1] },
                       .box = { 64, 1, (unsigned)rows, 1 } };
}

static void launch_wgmma(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const calo_attention_args *args = call->args;
    const int64_t d = head_dim(call);
    const int groups = wgmma_groups(call), queries = 64 * groups, threads = 128 * (groups + 1);
    calo_launch launch = calo_launch_begin(variant, call, call->in[0], (calo_tensor){ 0 });
    define_shape(&launch, call);
    calo_define(&launch, "WGMMA_KEYS", WGMMA_KEYS);
    calo_define(&launch, "WGMMA_GROUPS", groups);
    for (int i = 0; i < 3; i++) {
        const calo_map map = head_map(call->in[i], args->heads, d, i ? WGMMA_KEYS : queries);
        calo_arg_map(&launch, call->in[i], &map);
    }
    calo_arg_tensor(&launch, call->out);
    calo_arg_int(&launch, call->in[0].dims[1]);
    calo_arg_int(&launch, call->in[1].dims[1]);
    calo_arg_int(&launch, args->heads);
    calo_arg_int(&launch, call->in[1].dims[0] > 1);
    calo_arg_float(&launch, calo_attention_scale(args, head_dim(call)));
    calo_arg_local(&launch, (size_t)((queries + 4 * WGMMA_KEYS) * calo_ceil_div(d, 64) * 128));
    calo_groups(&launch, calo_ceil_div(call->in[0].dims[1], queries) * threads, threads);
    launch.global[1] = (size_t)(call->in[0].dims[0] * args->heads);
    calo_dispatch(run, &launch);
}

static void launch_wide(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    launch_cuda(run, call, variant, "WIDE_KEYS", WIDE_KEYS, WIDE_QUERIES, 256);
}

static void launch_warp(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    launch_cuda(run, call, variant, "WARPS", WARPS, WARPS, 32 * WARPS);
}

/* cuDNN's graph. */
enum { DNN_WORKSPACE = 64 << 20 };

static bool fits_dnn(const calo_call *call, const calo_device_info *info)
{
    const calo_attention_args *args = call->args;
    return fits_wide(call, info) && head_dim(call) <= 128 && !args->causal &&
           call->in[0].dims[0] == call->in[1].dims[0];
}

static void launch_dnn(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const calo_attention_args *args = call->args;
    calo_tensor workspace = calo_scratch(run, CALO_F32, DNN_WORKSPACE / 4);
    (void)variant;
    if (run->device && !calo_failed(run))
        run->device->api->attend(run->device, call->in[0], call->in[1], call->in[2], call->out, args->heads,
                                 calo_attention_scale(args, head_dim(call)), workspace, run->fault);
}

static const calo_variant variants[] = {
    { .name = "block", .backend = CALO_OPENCL, .prefer = CALO_PREFER_CPU, .source = "attention/attention.cl",
      .entry = "attention_block", .tunables = { { "QUERIES", { 12, 8, 4 } }, { "KEYS", { 128, 256, 64 } } },
      .supports = any, .launch = launch_block },
    { .name = "local", .backend = CALO_OPENCL, .prefer = CALO_PREFER_GPU, .source = "attention/attention.cl",
      .entry = "attention_local", .supports = fits_local, .launch = launch_local },
    { .name = "query", .backend = CALO_OPENCL, .source = "attention/attention.cl",
      .entry = "attention_query", .supports = any, .launch = launch_query },
    { .name = "wgmma", .backend = CALO_CUDA, .capability = 90, .prefer = CALO_PREFER_GPU,
      .source = "attention/attention.cu", .entry = "attention_wgmma", .rounds_factors = true, .supports = fits_wgmma,
      .suits = fills_blocks, .launch = launch_wgmma },
    { .name = "mma", .backend = CALO_CUDA, .prefer = CALO_PREFER_GPU, .source = "attention/attention.cu",
      .entry = "attention_mma", .rounds_factors = true, .supports = fits_mma, .launch = launch_mma },
    { .name = "wide", .backend = CALO_CUDA, .prefer = CALO_PREFER_GPU, .source = "attention/attention.cu",
      .entry = "attention_wide", .rounds_factors = true, .supports = fits_wide, .launch = launch_wide },
    { .name = "cudnn", .backend = CALO_CUDA, .vendor = CALO_VENDOR_DNN, .rounds_factors = true, .supports = fits_dnn,
      .launch = launch_dnn },
    { .name = "warp", .backend = CALO_CUDA, .prefer = CALO_PREFER_GPU, .source = "attention/attention.cu",
      .entry = "attention_warp", .supports = any, .launch = launch_warp },
};

static int traits(const calo_call *call, int64_t *values)
{
    const calo_attention_args *args = call->args;
    values[0] = args->heads;
    values[1] = args->causal;
    return 2;
}

const calo_op calo_op_attention = {
    .name = "attention",
    .infer = infer,
    .cost = cost,
    .reference = calo_attention_double,
    .naive = calo_attention_float,
    .traits = traits,
    .args_size = sizeof(calo_attention_args),
    .variants = variants,
    .variant_count = sizeof variants / sizeof *variants,
};

calo_tensor calo_attention(calo_run *run, calo_tensor q, calo_tensor k, calo_tensor v, const calo_attention_args *args)
{
    calo_call call = { .op = &calo_op_attention, .in = { q, k, v }, .args = args };
    return calo_perform(run, &call);
}
