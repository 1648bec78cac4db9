/* The ops `tokens` and `timesteps`. */
#include "embedding.h"

CALO_DECLARE_REFERENCE(tokens);
CALO_DECLARE_REFERENCE(timesteps);

static bool any(const calo_call *call, const calo_device_info *info)
{
    (void)call;
    (void)info;
    return true;
}

/* ---- tokens ----------------------------------------------------------------------------------------------------- */

static calo_status infer_tokens(calo_call *call, calo_fault *fault)
{
    const calo_tensor ids = call->in[0], table = call->in[1], positions = call->in[2];
    char a[64], b[64], c[64];
    if (ids.type != CALO_I32 || ids.rank != 2 || table.rank != 2 || positions.rank != 2 ||
        table.dims[1] != positions.dims[1] || positions.dims[0] < ids.dims[1] || table.type != positions.type)
        return calo_fail(fault, CALO_EUSAGE, "tokens: ids %s, table %s, positions %s do not fit",
                         calo_shape_text(ids, a, sizeof a), calo_shape_text(table, b, sizeof b),
                         calo_shape_text(positions, c, sizeof c));
    call->out = calo_shape(*(const calo_type *)call->args, 3, (int64_t[]){ ids.dims[0], ids.dims[1], table.dims[1] });
    return CALO_OK;
}

static calo_cost cost_tokens(const calo_call *call)
{
    const double count = (double)calo_tensor_count(call->out);
    return (calo_cost){ count, count * (2.0 * (double)calo_type_size(call->in[1].type)) + (double)calo_tensor_bytes(call->out) };
}

static void launch_tokens(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    calo_launch launch = calo_launch_begin(variant, call, call->out, call->in[1]);
    for (int i = 0; i < 3; i++)
        calo_arg_tensor(&launch, call->in[i]);
    calo_arg_tensor(&launch, call->out);
    calo_arg_int(&launch, call->in[1].dims[0]);
    calo_arg_int(&launch, call->out.dims[1]);
    calo_arg_int(&launch, call->out.dims[2]);
    launch.global[0] = (size_t)calo_tensor_rows(call->out);
    calo_dispatch(run, &launch);
}

static const calo_variant token_variants[] = {
    { .name = "row", .backend = CALO_OPENCL, .prefer = CALO_PREFER_CPU | CALO_PREFER_GPU,
      .source = "embedding/embedding.cl", .entry = "tokens_row", .supports = any, .launch = launch_tokens },
};

const calo_op calo_op_tokens = {
    .name = "tokens",
    .infer = infer_tokens,
    .cost = cost_tokens,
    .reference = calo_tokens_double,
    .naive = calo_tokens_float,
    .variants = token_variants,
    .variant_count = sizeof token_variants / sizeof *token_variants,
};

calo_tensor calo_embed_tokens(calo_run *run, calo_tensor ids, calo_tensor table, calo_tensor positions)
{
    calo_call call = { .op = &calo_op_tokens, .in = { ids, table, positions }, .args = &run->dtype };
    return calo_perform(run, &call);
}

/* ---- timesteps -------------------------------------------------------------------------------------------------- */

static calo_status infer_timesteps(calo_call *call, calo_fault *fault)
{
    const calo_timesteps_args *args = call->args;
    char a[64];
    if (call->in[0].type != CALO_F32 || call->in[0].rank != 1 || args->columns < 2)
        return calo_fail(fault, CALO_EUSAGE, "timesteps: %s %s cannot become %d columns",
                         calo_type_name(call->in[0].type), calo_shape_text(call->in[0], a, sizeof a), args->columns);
    call->out = calo_shape(args->type, 2, (int64_t[]){ call->in[0].dims[0], args->columns });
    return CALO_OK;
}

static calo_cost cost_timesteps(const calo_call *call)
{
    return (calo_cost){ 20.0 * (double)calo_tensor_count(call->out), (double)calo_tensor_bytes(call->out) };
}

static void launch_timesteps(calo_run *run, const calo_call *call, const calo_variant *variant)
{
    const calo_timesteps_args *args = call->args;
    calo_launch launch = calo_launch_begin(variant, call, call->out, (calo_tensor){ 0 });
    calo_arg_tensor(&launch, call->in[0]);
    calo_arg_tensor(&launch, call->out);
    calo_arg_int(&launch, args->columns);
    calo_arg_int(&launch, args->flip);
    calo_arg_float(&launch, args->shift);
    launch.global[0] = (size_t)call->out.dims[0];
    calo_dispatch(run, &launch);
}

static const calo_variant timestep_variants[] = {
    { .name = "row", .backend = CALO_OPENCL, .prefer = CALO_PREFER_CPU | CALO_PREFER_GPU,
      .source = "embedding/embedding.cl", .entry = "timesteps_row", .supports = any, .launch = launch_timesteps },
};

const calo_op calo_op_timesteps = {
    .name = "timesteps",
    .infer = infer_timesteps,
    .cost = cost_timesteps,
    .reference = calo_timesteps_double,
    .naive = calo_timesteps_float,
    .variants = timestep_variants,
    .variant_count = sizeof timestep_variants / sizeof *timestep_variants,
};

calo_tensor calo_embed_timesteps(calo_run *run, calo_tensor t, int64_t columns, bool flip, double shift)
{
    const calo_timesteps_args args = { .columns = (int)columns, .flip = flip, .shift = shift, .type = run->dtype };
    calo_call call = { .op = &calo_op_timesteps, .in = { t }, .args = &args };
    return calo_perform(run, &call);
}
