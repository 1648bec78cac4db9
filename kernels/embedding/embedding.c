/* The ops `tokens` and `timesteps`. */
#include "embedding.h"
#include "../../engine/shim.h"
#include "../groups.h"

#include <math.h>

CALO_DECLARE_REFERENCE(tokens);
CALO_DECLARE_REFERENCE(timesteps);

static bool any(const calo_call *call, const calo_device_info *info)
{
    (void)call;
    (void)info;
    return true;
}

/* ---- tokens ----------------------------------------------------------------------------------------------------- */

static bool is_table(calo_tensor t)
{
    return t.rank == 2 && t.type != CALO_I32 && t.layout == CALO_ROWS && calo_tensor_dense(t);
}

static calo_status infer_tokens(calo_call *call, calo_fault *fault)
{
    const calo_tokens_args *args = call->args;
    const calo_tensor ids = call->in[0], table = call->in[1], positions = call->in[2];
    char a[64], b[64], c[64];
    if (ids.type != CALO_I32 || ids.rank != 2 || !calo_tensor_dense(ids) || !is_table(table) || !is_table(positions) ||
        table.dims[1] != positions.dims[1] || ids.dims[1] > positions.dims[0])
        return calo_fail(fault, CALO_EFILE, "tokens: ids %s %s, a table %s and positions %s do not fit",
                         calo_type_name(ids.type), calo_shape_text(ids, a, sizeof a),
                         calo_shape_text(table, b, sizeof b), calo_shape_text(positions, c, sizeof c));
    call->out = calo_shape(args->type, 3, (int64_t[]){ ids.dims[0], ids.dims[1], table.dims[1] });
    return CALO_OK;
}

static calo_cost cost_tokens(const calo_call *call)
{
    const double rows = (double)calo_tensor_count(call->in[0]), numbers = (double)calo_tensor_count(call->out);
    return (calo_cost){ numbers, 4 * rows + numbers * (double)calo_type_size(call->in[1].type) +
                                     (double)call->in[0].dims[1] * (double)call->in[1].dims[1] *
                                         (double)calo_type_size(call->in[2].type) +
                                     (double)calo_tensor_bytes(call->out) };
}

/* A work-item takes one row (entry embed_row), or 1 number of it (embed_number). */
static void launch_tokens(calo_run *run, const calo_call *call, const calo_variant *variant, bool row)
{
    const calo_tensor ids = call->in[0], table = call->in[1], positions = call->in[2];
    calo_launch launch = calo_launch_begin(variant, call, call->out, table);
    calo_define(&launch, "POSITION", calo_type_macro(positions.type));
    calo_arg_tensor(&launch, ids);
    calo_arg_tensor(&launch, table);
    calo_arg_tensor(&launch, positions);
    calo_arg_tensor(&launch, call->out);
    calo_arg_int(&launch, ids.dims[1]);
    calo_arg_int(&launch, table.dims[0]);
    calo_arg_int(&launch, table.dims[1]);
    calo_groups(&launch, row ? 1 : table.dims[1], row ? 1 : 64);
    launch.global[1] = (size_t)calo_tensor_count(ids);
    calo_dispatch(run, &launch);
}

static void launch_rows(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    launch_tokens(run, call, variant, true);
}

static void launch_numbers(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    launch_tokens(run, call, variant, false);
}

static const calo_variant token_variants[] = {
    { .name = "row",
      .backend = CALO_OPENCL,
      .prefer = CALO_PREFER_CPU,
      .source = "embedding/embedding.cl",
      .entry = "embed_row",
      .supports = any,
      .launch = launch_rows },
    { .name = "number",
      .backend = CALO_OPENCL,
      .prefer = CALO_PREFER_GPU,
      .source = "embedding/embedding.cl",
      .entry = "embed_number",
      .supports = any,
      .launch = launch_numbers },
    { .name = "number",
      .backend = CALO_CUDA,
      .prefer = CALO_PREFER_GPU,
      .source = "embedding/embedding.cu",
      .entry = "embed_number",
      .supports = any,
      .launch = launch_numbers },
};

const calo_op calo_op_tokens = {
    .name = "tokens",
    .infer = infer_tokens,
    .cost = cost_tokens,
    .reference = calo_tokens_double,
    .naive = calo_tokens_float,
    .args_size = sizeof(calo_tokens_args),
    .variants = token_variants,
    .variant_count = sizeof token_variants / sizeof *token_variants,
};

calo_tensor calo_embed_tokens(calo_run *run, calo_tensor ids, calo_tensor table, calo_tensor positions)
{
    const calo_tokens_args args = { run->dtype };
    calo_call call = { .op = &calo_op_tokens, .in = { ids, table, positions }, .args = &args };
    return calo_perform(run, &call);
}

/* ---- timesteps -------------------------------------------------------------------------------------------------- */

float calo_timestep_frequency(int i, int dim, double shift)
{
    const float numerator = -9.210340371976184f * (float)i; /* −ln 10000 */
    const float exponent = numerator / (float)(dim / 2 - shift);
    return (float)exp((double)exponent);
}

static calo_status infer_timesteps(calo_call *call, calo_fault *fault)
{
    const calo_timesteps_args *args = call->args;
    const calo_tensor t = call->in[0];
    char shape[64];
    if (t.type != CALO_F32 || t.rank != 1)
        return calo_fail(fault, CALO_EUSAGE, "timesteps: the times are %s %s, not f32 [N]", calo_type_name(t.type),
                         calo_shape_text(t, shape, sizeof shape));
    if (args->dim < 2 || !isfinite(args->shift) || !(args->dim / 2 - args->shift > 0))
        return calo_fail(fault, CALO_EFILE, "timesteps: %d channels with a frequency shift of %g", args->dim,
                         args->shift);
    call->out = calo_shape(args->type, 2, (int64_t[]){ t.dims[0], args->dim });
    return CALO_OK;
}

static calo_cost cost_timesteps(const calo_call *call)
{
    return (calo_cost){ 20.0 * (double)calo_tensor_count(call->out),
                        (double)calo_tensor_bytes(call->in[0]) + (double)calo_tensor_bytes(call->out) };
}

static void launch_timesteps(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const calo_timesteps_args *args = call->args;
    const int half = args->dim / 2;
    calo_tensor frequencies = calo_scratch(run, CALO_F32, half);
    float *values = calo_alloc((size_t)half, sizeof *values);
    if (!values) {
        calo_fail(run->fault, CALO_EMEMORY, "no host memory for %d frequencies", half);
        return;
    }
    for (int i = 0; i < half; i++)
        values[i] = calo_timestep_frequency(i, args->dim, args->shift);
    calo_upload(run, frequencies, values);
    calo_free(values);

    calo_launch launch = calo_launch_begin(variant, call, call->out, (calo_tensor){ 0 });
    calo_arg_tensor(&launch, call->in[0]);
    calo_arg_tensor(&launch, frequencies);
    calo_arg_tensor(&launch, call->out);
    calo_arg_int(&launch, args->dim);
    calo_arg_int(&launch, args->flip);
    calo_groups(&launch, calo_ceil_div(args->dim, 2), 64);
    launch.global[1] = (size_t)call->in[0].dims[0];
    calo_dispatch(run, &launch);
}

static const calo_variant timestep_variants[] = {
    { .name = "angle",
      .backend = CALO_OPENCL,
      .prefer = CALO_PREFER_CPU | CALO_PREFER_GPU,
      .source = "embedding/embedding.cl",
      .entry = "embed_angle",
      .supports = any,
      .launch = launch_timesteps },
    { .name = "angle",
      .backend = CALO_CUDA,
      .prefer = CALO_PREFER_GPU,
      .source = "embedding/embedding.cu",
      .entry = "embed_angle",
      .supports = any,
      .launch = launch_timesteps },
};

const calo_op calo_op_timesteps = {
    .name = "timesteps",
    .infer = infer_timesteps,
    .cost = cost_timesteps,
    .reference = calo_timesteps_double,
    .naive = calo_timesteps_float,
    .args_size = sizeof(calo_timesteps_args),
    .variants = timestep_variants,
    .variant_count = sizeof timestep_variants / sizeof *timestep_variants,
};

calo_tensor calo_embed_timesteps(calo_run *run, calo_tensor t, int dim, bool flip_sin_to_cos, double freq_shift)
{
    const calo_timesteps_args args = { dim, flip_sin_to_cos, freq_shift, run->dtype };
    calo_call call = { .op = &calo_op_timesteps, .in = { t }, .args = &args };
    return calo_perform(run, &call);
}
