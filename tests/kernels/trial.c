/* A trial: one call, one variant, one tuning, on one device.

   The linker sends every op's way through the door here. Each variant that supports the call runs twice at every
   tuning, writing to memory that is NaN everywhere, with scratch that is NaN everywhere, between inputs whose
   surroundings are NaN. It passes if
     - the bytes around the result, and all inputs, are what they were, and scratch ends where the plan said;
     - every number is as near to the reference as the judgement below asks, in accept form: a NaN is never near;
     - the second run gives the same bits, and so does the last batch alone.

   The judgement. f32: |got − reference| ≤ B with B = 2 · max |naive − reference| + 4 · 2^-24 · M, naive being the op's
   reference compiled in float and M the largest result, or the size of the sums' terms where the case knows it. f16 and
   bf16: ≤ B + half the distance of neighbours there, for results are computed in f32 and rounded once, to nearest.
   Ops that only move numbers have to give the reference's, rounded to nearest even. */
#include "checkkernel.h"

#include "../../engine/number.h"
#include "../../engine/shim.h"
#include "../../kernels/check.h"

#include <float.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

calo_tensor __real_calo_perform(calo_run *run, calo_call *call);
calo_tensor __wrap_calo_perform(calo_run *run, calo_call *call);

/* What one call's trials share. */
typedef struct trial {
    check *c;
    calo_call call; /* with its output's shape and memory */
    block *out;
    double *expected;
    double bound, largest; /* B; the largest number, or term of one */
    const calo_variant *variant;
    int tuning[CALO_MAX_TUNABLES]; /* indices */
    char tuning_text[96];
} trial;

/* ---- reporting -------------------------------------------------------------------------------------------------- */

/* "ROWS=12,KEYS=64", or "-". */
static void name_tuning(trial *t)
{
    size_t used = 0;
    snprintf(t->tuning_text, sizeof t->tuning_text, "-");
    for (int i = 0; i < CALO_MAX_TUNABLES && t->variant->tunables[i].name; i++) {
        const calo_tunable *tunable = &t->variant->tunables[i];
        int written = snprintf(t->tuning_text + used, sizeof t->tuning_text - used, "%s%s=%d", i ? "," : "",
                               tunable->name, tunable->values[t->tuning[i]]);
        used += written > 0 && used + (size_t)written < sizeof t->tuning_text ? (size_t)written : 0;
    }
}

static bool fail(const trial *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(const trial *t, const char *format, ...)
{
    const check *c = t->c;
    va_list list;
    printf("FAIL %s %s %s, case %s, types %s, on %s:\n     ", c->op->name, t->variant ? t->variant->name : "(any)",
           t->tuning_text, c->name, c->types, c->device_name);
    va_start(list, format);
    vprintf(format, list);
    va_end(list);
    printf("\n     checkkernel --op %s", c->op->name);
    if (t->variant)
        printf(" --variant %s --tuning %s", t->variant->name, t->tuning_text);
    printf(" --case %s --type %s --seed %" PRIu64 " --device %s%s%s%s\n", c->name, c->types, c->seed, c->device_name,
           c->full ? " --full" : "", c->kernels ? " --kernels " : "", c->kernels ? c->kernels : "");
    fflush(stdout);
    return false;
}

/* ---- expectation ------------------------------------------------------------------------------------------------ */

static bool fill_doubles(trial *t, double **in, float **naive_in)
{
    for (int i = 0; i < CALO_MAX_INPUTS; i++) {
        const calo_tensor x = t->call.in[i];
        if (!calo_present(x))
            continue;
        const int64_t count = calo_tensor_count(x);
        in[i] = calo_tensor_doubles(&t->c->run, x);
        naive_in[i] = calo_alloc((size_t)count, sizeof **naive_in);
        if (!in[i] || !naive_in[i])
            return false;
        for (int64_t k = 0; k < count; k++)
            naive_in[i][k] = (float)in[i][k];
    }
    return true;
}

/* The reference's result and B. */
static bool expect(trial *t)
{
    const calo_call *call = &t->call;
    const int64_t count = calo_tensor_count(call->out);
    double *in[CALO_MAX_INPUTS] = { NULL }, naive_error = 0, largest = t->c->magnitude;
    float *naive_in[CALO_MAX_INPUTS] = { NULL };
    float *naive = calo_alloc((size_t)count, sizeof *naive);
    t->expected = calo_alloc((size_t)count, sizeof *t->expected);
    bool made = naive && t->expected && fill_doubles(t, in, naive_in);
    if (made) {
        call->op->reference(call, (const double *const *)in, t->expected);
        call->op->naive(call, (const float *const *)naive_in, naive);
        for (int64_t i = 0; i < count; i++) {
            largest = fmax(largest, fabs(t->expected[i]));
            naive_error = fmax(naive_error, fabs((double)naive[i] - t->expected[i]));
        }
        t->largest = largest;
        t->bound = t->c->exact ? FLT_MIN : 2 * naive_error + 4 * 0x1p-24 * largest + FLT_MIN;
    } else
        fail(t, "no host memory for the reference of %" PRId64 " numbers", count);
    for (int i = 0; i < CALO_MAX_INPUTS; i++) {
        calo_free(in[i]);
        calo_free(naive_in[i]);
    }
    calo_free(naive);
    return made;
}

/* Half the distance from |value| to its neighbours in the type; what f32 results lose is part of B. */
static double half_step(calo_type type, double value)
{
    int exponent;
    if (type != CALO_F16 && type != CALO_BF16)
        return 0;
    frexp(value, &exponent); /* value = m · 2^exponent, ½ ≤ m < 1 */
    if (type == CALO_F16)
        return ldexp(1, (exponent < -13 ? -13 : exponent) - 12);
    return ldexp(1, (exponent < -125 ? -125 : exponent) - 9);
}

/* The numbers of a tensor as they lie in a copy of its block. */
static double element(calo_type type, const unsigned char *at, int64_t i)
{
    float f;
    uint16_t half;
    if (type == CALO_F32) {
        memcpy(&f, at + i * 4, sizeof f);
        return (double)f;
    }
    memcpy(&half, at + i * 2, sizeof half);
    return (double)(type == CALO_F16 ? calo_from_f16(half) : calo_from_bf16(half));
}

static double rounded(calo_type type, double value)
{
    const float f = (float)value;
    if (type == CALO_F16)
        return (double)calo_from_f16(calo_to_f16(f));
    return (double)(type == CALO_BF16 ? calo_from_bf16(calo_to_bf16(f)) : f);
}

/* B, and where the variant rounds a factor of its sums to the activations' type, a quarter of a step of the largest term:
   of the half that each term may be off, what is left when many are summed. */
static double bound_of(const trial *t)
{
    const calo_type type = t->call.in[0].type;
    const double step = type == CALO_F16 ? 0x1p-10 : type == CALO_BF16 ? 0x1p-7 : 0;
    return t->bound + (t->variant->rounds_factors ? 0.25 * step * t->largest : 0);
}

static bool judge(trial *t, const unsigned char *after)
{
    const double limit = bound_of(t);
    const calo_tensor y = t->call.out;
    int64_t wrong = 0, worst = -1;
    double worst_excess = 0;
    for (int64_t i = 0; i < calo_tensor_count(y); i++) {
        const double expected = t->expected[i], got = element(y.type, after + y.offset, i);
        const double bound = limit + half_step(y.type, fabs(expected) + limit);
        const double excess = fabs(got - expected) / bound;
        if (t->c->exact ? got == rounded(y.type, expected) : fabs(got - expected) <= bound)
            continue;
        wrong++;
        if (worst < 0 || !(excess <= worst_excess)) {
            worst = i;
            worst_excess = isnan(excess) ? INFINITY : excess;
        }
    }
    if (wrong == 0)
        return true;
    const double expected = t->expected[worst], got = element(y.type, after + y.offset, worst);
    const int64_t columns = calo_tensor_columns(y);
    return fail(t,
                "%" PRId64 " of %" PRId64 " numbers are wrong, worst row %" PRId64 " column %" PRId64
                ": got %.9g, expected %.9g, error %.3g, allowed %.3g",
                wrong, calo_tensor_count(y), worst / columns, worst % columns, got, expected, fabs(got - expected),
                limit + half_step(y.type, fabs(expected) + limit));
}

/* ---- running ---------------------------------------------------------------------------------------------------- */

/* Bytes of scratch that the launch takes, found in plan mode. */
static uint64_t plan_scratch(trial *t, calo_run run)
{
    calo_arena arena;
    calo_call call = t->call;
    calo_arena_init(&arena, NULL, &run.info);
    run.arena = &arena;
    run.device = NULL;
    __real_calo_perform(&run, &call);
    const uint64_t bytes = calo_arena_size(&arena);
    calo_arena_free(&arena);
    return bytes;
}

/* The arena of a trial: one slab as large as planned, and a guard band after it. */
static bool make_arena(check *c, calo_arena *arena, uint64_t bytes)
{
    calo_arena_init(arena, c->device, &c->run.info);
    arena->slab_count = 1;
    arena->slabs[0].peak = bytes + GUARD_BYTES;
    if (calo_arena_commit(arena, &c->fault))
        return false;
    arena->slabs[0].size = bytes; /* what may be taken */
    unsigned char *fill = calo_alloc((size_t)bytes + GUARD_BYTES, 1);
    if (!fill)
        return false;
    memset(fill, 0xff, (size_t)bytes + GUARD_BYTES);
    c->device->api->write(c->device, arena->slabs[0].buffer, 0, fill, bytes + GUARD_BYTES, &c->fault);
    calo_free(fill);
    return !c->fault.status;
}

static bool arena_intact(trial *t, const calo_arena *arena, uint64_t bytes)
{
    unsigned char guard[GUARD_BYTES];
    check *c = t->c;
    c->device->api->read(c->device, arena->slabs[0].buffer, bytes, guard, sizeof guard, &c->fault);
    for (int i = 0; i < GUARD_BYTES; i++)
        if (guard[i] != 0xff)
            return fail(t, "scratch was written %d bytes past its end", i);
    return true;
}

/* The run that a trial makes: this variant, this tuning, errors to the check's fault. */
static calo_run forced_run(trial *t, calo_arena *arena)
{
    calo_run run = t->c->run;
    run.device = t->c->device;
    run.fault = &t->c->fault;
    run.arena = arena;
    run.forced_op = t->call.op;
    run.forced = t->variant;
    run.forced_tuning = t->tuning;
    return run;
}

static bool failed_run(trial *t, const char *when)
{
    check *c = t->c;
    if (!c->fault.status)
        return false;
    fail(t, "%s: %s", when, c->fault.text);
    calo_fault_clear(&c->fault);
    return true;
}

/* Runs the call once. `out` is its output's block, restored first; its bytes afterwards go to `after`. */
static bool run_once(trial *t, calo_call call, block *out, unsigned char *after)
{
    check *c = t->c;
    const calo_device_api *api = c->device->api;
    calo_arena arena = { 0 };
    bool passed = false;
    const uint64_t bytes = plan_scratch(t, forced_run(t, NULL));
    if (failed_run(t, "planning") || !make_arena(c, &arena, bytes)) {
        failed_run(t, "scratch");
        goto done;
    }
    calo_run run = forced_run(t, &arena);
    api->write(c->device, out->buffer, 0, out->raw, out->bytes, &c->fault);
    __real_calo_perform(&run, &call);
    api->finish(c->device, &c->fault);
    if (!c->fault.status)
        api->read(c->device, out->buffer, 0, after, out->bytes, &c->fault);
    passed = !failed_run(t, "running") && arena_intact(t, &arena, bytes);
done:
    calo_arena_free(&arena);
    return passed;
}

/* Everything but the result is what it was. */
static bool surroundings_intact(trial *t, const block *out, calo_tensor y, const unsigned char *after)
{
    check *c = t->c;
    const uint64_t begin = y.offset, end = begin + calo_tensor_bytes(y);
    for (uint64_t i = 0; i < out->bytes; i++)
        if ((i < begin || i >= end) && after[i] != out->raw[i])
            return fail(t, "the guard band was written: byte %" PRId64 " from the result's %s",
                        i < begin ? (int64_t)(begin - i) : (int64_t)(i - end), i < begin ? "begin, before it" : "end");
    for (int b = 0; b < c->block_count; b++) {
        block *in = &c->blocks[b];
        if (in == out || in->output)
            continue;
        unsigned char *now = calo_alloc((size_t)in->bytes, 1);
        if (!now)
            return fail(t, "no host memory");
        c->device->api->read(c->device, in->buffer, 0, now, in->bytes, &c->fault);
        const bool same = memcmp(now, in->raw, (size_t)in->bytes) == 0;
        calo_free(now);
        if (!same) {
            c->device->api->write(c->device, in->buffer, 0, in->raw, in->bytes, &c->fault);
            return fail(t, "an input was written to");
        }
    }
    return !failed_run(t, "reading back");
}

/* The last batch by itself gives the bits that it has among the others. */
static bool batch_alone(trial *t, const unsigned char *after)
{
    check *c = t->c;
    const calo_tensor y = t->call.out;
    const int64_t batches = y.dims[0];
    calo_call call = t->call;
    if (!c->batched || batches < 2)
        return true;
    for (int i = 0; i < CALO_MAX_INPUTS; i++)
        if (c->batched >> i & 1)
            call.in[i] = calo_batches(call.in[i], batches - 1, 1);
    if (!calo_can(t->variant, &call, &c->run.info))
        return true;
    call.out = check_output(c, calo_batches(y, batches - 1, 1));
    if (!calo_present(call.out) || failed_run(t, "a single batch"))
        return false;

    block *out = &c->blocks[c->block_count - 1];
    const size_t bytes = (size_t)calo_tensor_bytes(call.out);
    unsigned char *alone = calo_alloc((size_t)out->bytes, 1);
    bool passed = alone && run_once(t, call, out, alone);
    if (passed && memcmp(alone + call.out.offset, after + y.offset + (size_t)(batches - 1) * bytes, bytes) != 0)
        passed = fail(t, "the last batch alone gives other bits than among %" PRId64, batches);
    calo_free(alone);
    c->device->api->release(c->device, out->buffer);
    calo_free(out->raw);
    c->block_count--;
    return passed;
}

static bool try_once(trial *t)
{
    unsigned char *first = calo_alloc((size_t)t->out->bytes, 1), *second = calo_alloc((size_t)t->out->bytes, 1);
    bool passed = first && second && run_once(t, t->call, t->out, first) &&
                  surroundings_intact(t, t->out, t->call.out, first) && judge(t, first) &&
                  run_once(t, t->call, t->out, second);
    if (passed && memcmp(first, second, (size_t)t->out->bytes) != 0)
        passed = fail(t, "a second run gives other bits");
    passed = passed && batch_alone(t, first);
    calo_free(first);
    calo_free(second);
    return passed;
}

/* ---- timing ----------------------------------------------------------------------------------------------------- */

/* The best of at least three runs and a tenth of a second. */
static void time_it(trial *t)
{
    check *c = t->c;
    calo_arena arena = { 0 };
    const uint64_t bytes = plan_scratch(t, forced_run(t, NULL));
    double best = INFINITY, spent = 0;
    if (make_arena(c, &arena, bytes)) {
        calo_run run = forced_run(t, &arena);
        for (int i = 0; (i < 4 || spent < 0.1) && !c->fault.status; i++) { /* the first one compiles */
            calo_call call = t->call;
            const double begin = calo_seconds();
            __real_calo_perform(&run, &call);
            c->device->api->finish(c->device, &c->fault);
            const double seconds = calo_seconds() - begin;
            spent += i ? seconds : 0;
            best = i && seconds < best ? seconds : best;
        }
        const calo_cost cost = t->call.op->cost(&t->call);
        printf("%-11s %-10s %-22s %-40s %-9s %10.1f us %8.2f GFLOP/s %7.2f GB/s\n", c->op->name, t->variant->name,
               t->tuning_text, c->name, c->types, best * 1e6, cost.flops / best * 1e-9, cost.bytes / best * 1e-9);
    }
    failed_run(t, "timing");
    calo_arena_free(&arena);
}

/* ---- the door's stand-in ---------------------------------------------------------------------------------------- */

/* The combination's indices, the first tunable changing fastest. */
static void set_tuning(trial *t, int combination)
{
    for (int i = 0; i < CALO_MAX_TUNABLES && t->variant->tunables[i].name; i++) {
        int values = 0;
        while (values < 6 && t->variant->tunables[i].values[values])
            values++;
        t->tuning[i] = combination % values;
        combination /= values;
    }
    name_tuning(t);
}

/* Every case takes the default and one other, so that together they take all; a compiler run for each would be too slow
 * for everyday use. */
static bool wanted(const trial *t, int combination, int count)
{
    const check *c = t->c;
    if (c->filter.tuning)
        return strcmp(c->filter.tuning, t->tuning_text) == 0;
    return combination == 0 || c->every_tuning ||
           combination == 1 + (int)(check_hash(0, c->name) % (uint64_t)(count - 1));
}

static void try_tuning(trial *t, bool *reached)
{
    check *c = t->c;
    if (!c->device || t->variant->backend != c->run.info.backend) {
        /* counted where no device could have run it; another device's turn comes elsewhere */
        c->skipped += !c->device || (!c->found[t->variant->backend] && !c->filter.device);
        return;
    }
    if (c->timing) {
        time_it(t);
        return;
    }
    const bool passed = try_once(t);
    c->passed += passed;
    c->failed += !passed;
    *reached = true;
    if (c->verbose && passed)
        printf("pass %s %s %s, case %s, types %s\n", c->op->name, t->variant->name, t->tuning_text, c->name, c->types);
}

static void try_variant(trial *t, int index)
{
    const int count = check_tunings(t->variant);
    if (index >= MAX_VARIANTS || count > MAX_TUNINGS) {
        t->c->failed++;
        fail(t, "more than %d variants or %d tunings", MAX_VARIANTS, MAX_TUNINGS);
        return;
    }
    for (int combination = 0; combination < count; combination++) {
        set_tuning(t, combination);
        if (wanted(t, combination, count))
            try_tuning(t, &t->c->reached[index][combination]);
    }
}

/* What the door itself must get right about the call: a cost, a choice. */
static bool check_door(trial *t)
{
    const calo_cost cost = t->call.op->cost(&t->call);
    calo_run run = t->c->run;
    run.forced = NULL;
    if (!(cost.flops >= 0 && cost.flops < 1e18) || !(cost.bytes > 0 && cost.bytes < 1e18))
        return fail(t, "its cost is %g FLOPs and %g bytes", cost.flops, cost.bytes);
    return calo_choose(&run, &t->call, NULL) || fail(t, "no variant would be chosen");
}

static void try_call(trial *t)
{
    check *c = t->c;
    const calo_op *op = t->call.op;
    const bool door = check_door(t);
    c->failed += !door;
    if (!door || (!c->timing && c->device && !expect(t)))
        return;
    for (int i = 0; i < op->variant_count; i++) {
        t->variant = &op->variants[i];
        if (c->filter.variant && fnmatch(c->filter.variant, t->variant->name, 0) != 0)
            continue;
        if (calo_can(t->variant, &t->call, &c->run.info))
            try_variant(t, i);
    }
}

calo_tensor __wrap_calo_perform(calo_run *run, calo_call *call)
{
    check *c = (check *)run;
    trial t = { .c = c, .call = *call, .tuning_text = "-" };
    if (c->fault.status)
        return (calo_tensor){ 0 };
    t.call.out = (calo_tensor){ 0 };
    if (call->op->infer(&t.call, &c->fault))
        return (calo_tensor){ 0 };
    if (call->op != c->op)
        calo_fail(&c->fault, CALO_EUSAGE, "the case calls %s", call->op->name);
    t.call.out = calo_present(call->out) ? call->out : check_output(c, t.call.out);
    t.out = check_find_block(c, t.call.out);
    for (int i = 0; i < CALO_MAX_INPUTS; i++)
        t.call.in[i].taken = false;
    if (!c->fault.status)
        try_call(&t);
    calo_free(t.expected);
    return t.call.out;
}
