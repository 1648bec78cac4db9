/* The one door: infer, allocate, choose, launch, check, book. */
#include "op.h"
#include "../engine/number.h"
#include "../engine/shim.h"
#include "check.h"
#include "ledger.h"
#include "sources.h"
#include "tuner.h"
#include "tuning.h"

#include <stdio.h>
#include <string.h>

static const calo_tensor no_tensor;

/* ---- tensors of a run ------------------------------------------------------------------------------------------- */

calo_tensor calo_new(calo_run *run, calo_type type, int rank, const int64_t *dims)
{
    calo_tensor t = calo_shape(type, rank, dims);
    if (calo_failed(run) || calo_arena_take(run->arena, &t, run->fault))
        return no_tensor;
    return t;
}

calo_tensor calo_take(calo_tensor *t)
{
    calo_tensor taken = *t;
    taken.taken = true;
    *t = no_tensor;
    return taken;
}

void calo_drop(calo_run *run, calo_tensor *t)
{
    calo_arena_give(run->arena, t);
}

calo_tensor calo_scratch(calo_run *run, calo_type type, int64_t count)
{
    if (run->scratch_count == CALO_MAX_SCRATCH) {
        calo_fail(run->fault, CALO_EUSAGE, "an op asked for more than %d scratch tensors", CALO_MAX_SCRATCH);
        return no_tensor;
    }
    calo_tensor t = calo_new(run, type, 1, &count);
    if (calo_present(t))
        run->scratch[run->scratch_count++] = t;
    return t;
}

/* Host conversions go through a bounded staging block, so that a large tensor does not double in host memory. */
enum { STAGING = 1 << 16 };

static bool converts(calo_type type)
{
    return type == CALO_F16 || type == CALO_BF16;
}

void calo_upload(calo_run *run, calo_tensor t, const void *from)
{
    if (calo_failed(run) || !run->device || !calo_present(t))
        return;
    int64_t count = calo_tensor_count(t);
    if (!converts(t.type)) {
        run->device->api->write(run->device, t.buffer, t.offset, from, (uint64_t)count * 4, run->fault);
        return;
    }
    uint16_t *staging = calo_alloc(STAGING, sizeof *staging);
    if (!staging) {
        calo_fail(run->fault, CALO_EMEMORY, "no host memory for an upload");
        return;
    }
    const float *values = from;
    for (int64_t at = 0; at < count && !calo_failed(run); at += STAGING) {
        int64_t part = count - at < STAGING ? count - at : STAGING;
        for (int64_t i = 0; i < part; i++)
            staging[i] = t.type == CALO_F16 ? calo_to_f16(values[at + i]) : calo_to_bf16(values[at + i]);
        run->device->api->write(run->device, t.buffer, t.offset + (uint64_t)at * 2, staging, (uint64_t)part * 2,
                                run->fault);
    }
    calo_free(staging);
}

void calo_download(calo_run *run, calo_tensor t, void *to)
{
    if (calo_failed(run) || !run->device || !calo_present(t))
        return;
    int64_t count = calo_tensor_count(t);
    if (!converts(t.type)) {
        run->device->api->read(run->device, t.buffer, t.offset, to, (uint64_t)count * 4, run->fault);
        return;
    }
    uint16_t *staging = calo_alloc(STAGING, sizeof *staging);
    if (!staging) {
        calo_fail(run->fault, CALO_EMEMORY, "no host memory for a download");
        return;
    }
    float *values = to;
    for (int64_t at = 0; at < count && !calo_failed(run); at += STAGING) {
        int64_t part = count - at < STAGING ? count - at : STAGING;
        run->device->api->read(run->device, t.buffer, t.offset + (uint64_t)at * 2, staging, (uint64_t)part * 2,
                               run->fault);
        for (int64_t i = 0; i < part; i++)
            values[at + i] = t.type == CALO_F16 ? calo_from_f16(staging[i]) : calo_from_bf16(staging[i]);
    }
    calo_free(staging);
}

/* ---- choosing --------------------------------------------------------------------------------------------------- */

bool calo_can(const calo_variant *variant, const calo_call *call, const calo_device_info *info)
{
    return variant->backend == info->backend && (!variant->capability || variant->capability == info->capability) &&
           !(variant->vendor & ~info->vendor) && variant->supports(call, info);
}

/* By the table's own order, which knows nothing of measurements. */
static const calo_variant *choose_by_rule(const calo_run *run, const calo_call *call)
{
    int class = run->info.class == CALO_CPU_CLASS ? CALO_PREFER_CPU : CALO_PREFER_GPU;
    const calo_variant *any = NULL;
    for (int i = 0; i < call->op->variant_count; i++) {
        const calo_variant *variant = &call->op->variants[i];
        if (!calo_can(variant, call, &run->info))
            continue;
        if (variant->prefer & class && (!variant->suits || variant->suits(call, &run->info)))
            return variant;
        if (!any)
            any = variant;
    }
    return any;
}

/* The variant and the value of each of its tunables: what is forced, what was measured, what the table prefers. */
static const calo_variant *choose(const calo_run *run, const calo_call *call, int values[CALO_MAX_TUNABLES])
{
    const bool forced = run->forced && run->forced_op == call->op;
    const calo_choice *measured = run->info.tuning && !forced ? calo_tuning_find(run->info.tuning, call) : NULL;
    const calo_variant *variant = forced ? run->forced : measured ? measured->variant : NULL;
    if (variant && !calo_can(variant, call, &run->info)) {
        if (forced)
            return NULL;
        variant = NULL;
        measured = NULL;
    }
    if (!variant)
        variant = choose_by_rule(run, call);
    for (int i = 0; variant && i < CALO_MAX_TUNABLES && variant->tunables[i].name; i++)
        values[i] = measured ? measured->values[i]
                             : variant->tunables[i].values[forced && run->forced_tuning ? run->forced_tuning[i] : 0];
    if (variant && variant->preset && !measured && !(forced && run->forced_tuning))
        variant->preset(call, &run->info, values);
    return variant;
}

const calo_variant *calo_choose(const calo_run *run, const calo_call *call, int values[CALO_MAX_TUNABLES])
{
    int unused[CALO_MAX_TUNABLES];
    return choose(run, call, values ? values : unused);
}

/* ---- the door --------------------------------------------------------------------------------------------------- */

static bool sound(const calo_call *call, calo_fault *fault)
{
    for (int i = 0; i < CALO_MAX_INPUTS; i++) {
        const calo_tensor *t = &call->in[i];
        for (int d = 0; calo_present(*t) && d < t->rank; d++)
            if (t->dims[d] < 1 || t->dims[d] > INT32_MAX) {
                char shape[64];
                calo_fail(fault, CALO_EUSAGE, "%s: input %d has the shape %s", call->op->name, i,
                          calo_shape_text(*t, shape, sizeof shape));
                return false;
            }
    }
    return true;
}

/* Whether the run is to go on. A processor would be seconds behind, as launches do not wait: it may be AHEAD behind. */
static bool goes_on(calo_run *run, const calo_call *call)
{
    static const double AHEAD = 20e9;
    if (!run->device || !run->should_stop)
        return true;
    if (run->info.class == CALO_CPU_CLASS && (run->ahead += call->op->cost(call).flops) > AHEAD) {
        run->device->api->finish(run->device, run->fault);
        run->ahead = 0;
    }
    run->stopped = run->should_stop(run->stop_user) != 0;
    if (run->stopped)
        calo_fail(run->fault, CALO_ECANCELLED, "stopped in %s", run->label ? run->label : call->op->name);
    return !calo_failed(run);
}

static void launch(calo_run *run, calo_call *call, const calo_variant *variant, const int *values)
{
    if (!goes_on(run, call))
        return;
    call->tuning = values;
    if (run->lesson)
        calo_lesson_note(run->lesson, call);

    calo_witness witness = { 0 };
    bool check = run->check && run->device;
    if (check)
        calo_witness_inputs(run, call, &witness);
    double begin = 0;
    if (run->profile && run->device) {
        run->device->api->finish(run->device, run->fault);
        begin = calo_seconds();
    }

    variant->launch(run, call, variant);
    for (int i = 0; i < run->scratch_count; i++)
        calo_drop(run, &run->scratch[i]);
    run->scratch_count = 0;

    double seconds = 0;
    if (run->profile && run->device) {
        run->device->api->finish(run->device, run->fault);
        seconds = calo_seconds() - begin;
    }
    if (check)
        calo_check_output(run, call, variant, &witness);
    if (run->ledger && !calo_failed(run))
        calo_ledger_book(run->ledger, run, call, variant, call->op->cost(call), seconds);
    call->tuning = NULL;
}

/* Infers the output, and keeps the one that was given, if it is what the op makes. */
static bool infer(calo_call *call, calo_fault *fault)
{
    calo_tensor given = call->out;
    call->out = no_tensor;
    if (!sound(call, fault) || call->op->infer(call, fault))
        return false;
    if (!calo_present(given))
        return true;
    if (given.type != call->out.type || !calo_same_shape(given, call->out) || !calo_tensor_dense(given)) {
        char is[64], wanted[64];
        calo_fail(fault, CALO_EUSAGE, "%s: the result is %s %s, it cannot be written to %s %s", call->op->name,
                  calo_type_name(call->out.type), calo_shape_text(call->out, wanted, sizeof wanted),
                  calo_type_name(given.type), calo_shape_text(given, is, sizeof is));
        return false;
    }
    call->out = given;
    return true;
}

calo_tensor calo_perform(calo_run *run, calo_call *call)
{
    bool given = calo_present(call->out);
    if (!calo_failed(run) && infer(call, run->fault)) {
        int values[CALO_MAX_TUNABLES] = { 0 };
        const calo_variant *variant = choose(run, call, values);
        char shapes[160];
        if (!given)
            calo_arena_take(run->arena, &call->out, run->fault);
        if (!variant)
            calo_fail(run->fault, CALO_EUSAGE, "%s: no kernel for %s on %s", call->op->name,
                      calo_call_text(call, shapes, sizeof shapes), run->info.name);
        else if (!calo_failed(run))
            launch(run, call, variant, values);
    }
    for (int i = 0; i < CALO_MAX_INPUTS; i++)
        if (call->in[i].taken)
            calo_drop(run, &call->in[i]);
    if (!calo_failed(run))
        return call->out;
    if (!given)
        calo_drop(run, &call->out);
    return no_tensor;
}

/* ---- launching -------------------------------------------------------------------------------------------------- */

static void append_option(calo_launch *launch, const char *name, int value)
{
    size_t used = strlen(launch->options);
    int written = snprintf(launch->options + used, sizeof launch->options - used, " -D%s=%d", name, value);
    if (written < 0 || (size_t)written >= sizeof launch->options - used)
        launch->overflow = true;
}

calo_launch calo_launch_begin(const calo_variant *variant, const calo_call *call, calo_tensor act, calo_tensor weight)
{
    calo_launch launch = { .source = variant->source, .entry = variant->entry, .global = { 1, 1, 1 } };
    calo_define(&launch, "ACT", calo_type_macro(calo_present(act) ? act.type : CALO_F32));
    calo_define(&launch, "WEIGHT", calo_type_macro(calo_present(weight) ? weight.type : CALO_F32));
    for (int i = 0; i < CALO_MAX_TUNABLES && variant->tunables[i].name; i++)
        calo_define(&launch, variant->tunables[i].name, call->tuning[i]);
    return launch;
}

int calo_type_macro(calo_type type)
{
    return type == CALO_F16 ? 2 : type == CALO_BF16 ? 3 : 1;
}

void calo_define(calo_launch *launch, const char *name, int value)
{
    append_option(launch, name, value);
}

static calo_argument *next_argument(calo_launch *launch)
{
    if (launch->argument_count == CALO_MAX_ARGUMENTS) {
        launch->overflow = true;
        return &launch->arguments[CALO_MAX_ARGUMENTS];
    }
    return &launch->arguments[launch->argument_count++];
}

void calo_arg_tensor(calo_launch *launch, calo_tensor t)
{
    calo_argument *buffer = next_argument(launch);
    *buffer = (calo_argument){ .kind = CALO_ARG_BUFFER, .buffer = t.buffer };
    calo_argument *offset = next_argument(launch);
    *offset = (calo_argument){ .kind = CALO_ARG_VALUE, .size = 8 };
    offset->value.u = calo_present(t) ? t.offset / calo_type_size(t.type) : 0;
}

void calo_arg_int(calo_launch *launch, int64_t value)
{
    calo_argument *argument = next_argument(launch);
    *argument = (calo_argument){ .kind = CALO_ARG_VALUE, .size = 4 };
    argument->value.i = (int32_t)value;
    if (value < INT32_MIN || value > INT32_MAX)
        launch->overflow = true;
}

void calo_arg_long(calo_launch *launch, int64_t value)
{
    calo_argument *argument = next_argument(launch);
    *argument = (calo_argument){ .kind = CALO_ARG_VALUE, .size = 8 };
    argument->value.u = (uint64_t)value;
    if (value < 0)
        launch->overflow = true;
}

void calo_arg_float(calo_launch *launch, double value)
{
    calo_argument *argument = next_argument(launch);
    *argument = (calo_argument){ .kind = CALO_ARG_VALUE, .size = 4 };
    argument->value.f = (float)value;
}

void calo_arg_local(calo_launch *launch, size_t bytes)
{
    *next_argument(launch) = (calo_argument){ .kind = CALO_ARG_LOCAL, .size = bytes };
}

void calo_arg_map(calo_launch *launch, calo_tensor t, const calo_map *map)
{
    calo_argument *argument = next_argument(launch);
    *argument = (calo_argument){ .kind = CALO_ARG_MAP, .buffer = t.buffer, .value.map = *map };
    argument->value.map.type = t.type;
    argument->value.map.offset = t.offset;
}

void calo_dispatch(calo_run *run, const calo_launch *launch)
{
    if (calo_failed(run))
        return;
    if (launch->overflow) {
        calo_fail(run->fault, CALO_EUSAGE, "%s: %s: an argument is out of range, or there are too many", launch->source,
                  launch->entry);
        return;
    }
    for (int i = 1; i < 3 && run->info.backend == CALO_CUDA; i++) /* before a plan is done with it */
        if (launch->local[i] && launch->global[i] / launch->local[i] > CALO_CUDA_GRID) {
            calo_fail(run->fault, CALO_EUSAGE, "%s: %s: %zu blocks along axis %d, CUDA has %d", launch->source, launch->entry,
                      launch->global[i] / launch->local[i], i, CALO_CUDA_GRID);
            return;
        }
    if (!run->device)
        return;
    calo_kernel_key key = { launch->source, calo_kernel_source(launch->source), launch->options, launch->entry };
    calo_kernel *kernel;
    if (!key.source) {
        calo_fail(run->fault, CALO_EDEVICE, "the kernel source %s is not in this build", launch->source);
        return;
    }
    if (run->device->api->kernel(run->device, &key, &kernel, run->fault))
        return;
    run->device->api->launch(run->device, kernel, launch->arguments, launch->argument_count, launch->global,
                             launch->local, run->fault);
}
