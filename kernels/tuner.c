/* Lessons, and timing. */
#include "tuner.h"
#include "../engine/shim.h"
#include "tuning.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CANDIDATES = 512, BLOCK = 1048573 /* numbers, a prime: no shape repeats with it */ };
static const double turn_s = 5e-3, hopeless = 3;

/* ---- lessons ---------------------------------------------------------------------------------------------------- */

static calo_tensor shape_of(calo_tensor t)
{
    t.buffer = NULL;
    t.offset = t.block = 0;
    t.taken = false;
    return t;
}

static calo_learned *learn(const calo_call *call, const char *key)
{
    calo_learned *learned = call->op->args_size <= CALO_ARGS_ROOM ? calo_alloc(1, sizeof *learned) : NULL;
    if (learned)
        learned->key = calo_copy_string(key);
    if (!learned || !learned->key) {
        calo_free(learned);
        return NULL;
    }
    learned->call = (calo_call){ .op = call->op, .out = shape_of(call->out), .args = learned->args.bytes };
    for (int i = 0; i < CALO_MAX_INPUTS; i++)
        learned->call.in[i] = shape_of(call->in[i]);
    if (call->op->args_size)
        memcpy(learned->args.bytes, call->args, call->op->args_size);
    return learned;
}

void calo_lesson_note(calo_lesson *lesson, const calo_call *call)
{
    char key[CALO_KEY_TEXT];
    calo_call_key(call, key);
    for (int i = 0; i < lesson->count; i++)
        if (strcmp(lesson->calls[i]->key, key) == 0) {
            lesson->calls[i]->uses++;
            return;
        }
    if (lesson->count == lesson->capacity) {
        const int capacity = lesson->capacity ? 2 * lesson->capacity : 64;
        calo_learned **calls = calo_resize(lesson->calls, (size_t)capacity, sizeof *calls);
        if (!calls) {
            lesson->incomplete = true;
            return;
        }
        lesson->calls = calls;
        lesson->capacity = capacity;
    }
    calo_learned *learned = learn(call, key);
    if (!learned) {
        lesson->incomplete = true;
        return;
    }
    learned->uses = 1;
    lesson->calls[lesson->count++] = learned;
}

void calo_lesson_free(calo_lesson *lesson)
{
    for (int i = 0; i < lesson->count; i++) {
        calo_free(lesson->calls[i]->key);
        calo_free(lesson->calls[i]);
    }
    calo_free(lesson->calls);
    *lesson = (calo_lesson){ 0 };
}

/* ---- candidates ------------------------------------------------------------------------------------------------- */

/* The next combination of indices, 0 … 0 after the last. */
static bool next_tuning(const calo_variant *variant, int tuning[CALO_MAX_TUNABLES])
{
    for (int i = 0; i < CALO_MAX_TUNABLES && variant->tunables[i].name; i++) {
        const calo_tunable *t = &variant->tunables[i];
        const int values = (int)(sizeof t->values / sizeof *t->values);
        if (++tuning[i] < values && t->values[tuning[i]])
            return true;
        tuning[i] = 0;
    }
    return false;
}

/* Candidates into `list` (or NULL, to count them): the table's own choice, the rest of its variant, the other variants.
 */
static int list_candidates(const calo_learned *learned, const calo_device_info *info, calo_candidate *list)
{
    calo_run run = { .info = *info };
    run.info.tuning = NULL;
    const calo_call *call = &learned->call;
    int standard_values[CALO_MAX_TUNABLES] = { 0 }, count = 0;
    const calo_variant *standard = calo_choose(&run, call, standard_values);
    for (int v = -1; standard && v < call->op->variant_count; v++) {
        const calo_variant *variant = v < 0 ? standard : &call->op->variants[v];
        int tuning[CALO_MAX_TUNABLES] = { 0 };
        if ((v >= 0 && variant == standard) || !calo_can(variant, call, info))
            continue;
        do {
            if (list) {
                calo_candidate *c = &list[count];
                c->variant = variant;
                memcpy(c->tuning, tuning, sizeof tuning);
                for (int i = 0; i < CALO_MAX_TUNABLES && variant->tunables[i].name; i++)
                    c->values[i] = variant->tunables[i].values[tuning[i]];
                if (v < 0 && memcmp(c->values, standard_values, sizeof standard_values) == 0) {
                    const calo_candidate first = list[0];
                    list[0] = *c;
                    *c = first;
                }
            }
            count++;
        } while (count < MOST_CANDIDATES && next_tuning(variant, tuning));
        if (count == MOST_CANDIDATES)
            break;
    }
    return count;
}

int calo_tuner_candidates(const calo_learned *learned, const calo_device_info *info)
{
    return list_candidates(learned, info, NULL);
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

/* Numbers that the tensor's rows span, or its panels hold. */
static int64_t span_of(calo_tensor t)
{
    if (t.layout == CALO_ROWS)
        return (calo_tensor_rows(t) - 1) * t.stride + calo_tensor_columns(t);
    return (int64_t)(calo_tensor_bytes(t) / calo_type_size(t.type));
}

/* Memory for the tensor, filled with the block over and over. */
static void place(calo_run *run, calo_tensor *t, const float *block)
{
    const int64_t count = span_of(*t);
    calo_tensor flat = calo_new(run, t->type, 1, &count);
    for (int64_t at = 0; run->device && at < count && !calo_failed(run); at += BLOCK) {
        calo_tensor part = calo_batches(flat, at, count - at < BLOCK ? count - at : BLOCK);
        calo_upload(run, part, t->type == CALO_I32 ? block + BLOCK : block);
    }
    t->buffer = flat.buffer;
    t->offset = flat.offset;
}

/* The call with memory of its own. */
static calo_call placed(calo_run *run, const calo_learned *learned, const float *block)
{
    calo_call call = learned->call;
    for (int i = 0; i < CALO_MAX_INPUTS; i++)
        if (calo_present(call.in[i]))
            place(run, &call.in[i], block);
    const int64_t count = span_of(call.out);
    calo_tensor flat = calo_new(run, call.out.type, 1, &count);
    call.out.buffer = flat.buffer;
    call.out.offset = flat.offset;
    return call;
}

/* BLOCK numbers between −1 and 1, then BLOCK zeros. */
static float *make_block(void)
{
    float *block = calo_alloc(2 * (size_t)BLOCK, sizeof *block);
    uint64_t random = 1;
    for (int i = 0; block && i < BLOCK; i++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        block[i] = (float)(int32_t)(random >> 32) * 4.656613e-10f;
    }
    return block;
}

/* ---- timing ----------------------------------------------------------------------------------------------------- */

static void force(calo_run *run, const calo_call *call, const calo_candidate *c)
{
    run->forced_op = call->op;
    run->forced = c->variant;
    run->forced_tuning = c->tuning;
}

static void launch(calo_run *run, const calo_call *call, int launches)
{
    for (int i = 0; i < launches && !calo_failed(run); i++) {
        calo_call copy = *call;
        calo_perform(run, &copy);
    }
}

static double now(const calo_tuner *t, const calo_candidate *running)
{
    return t->clock ? t->clock(t->user, running) : calo_seconds();
}

/* Seconds a launch. */
static double turn(calo_tuner *t, const calo_call *call, calo_candidate *c)
{
    calo_device *device = t->device;
    force(&t->run, call, c);
    const double begin = now(t, c);
    if (c->graph)
        device->api->replay(device, c->graph, t->fault);
    else
        launch(&t->run, call, c->launches);
    if (!calo_failed(&t->run))
        device->api->finish(device, t->fault);
    return (now(t, c) - begin) / c->launches;
}

/* A candidate that fails is out, unless it is what runs without any measurement. */
static bool settle(calo_tuner *t, calo_candidate *c)
{
    if (!calo_failed(&t->run))
        return true;
    c->out = true;
    if (c == t->candidates)
        return false;
    calo_fault_clear(t->fault);
    return true;
}

/* A flow's steps are recorded, so what cannot be is no candidate. */
static void record(calo_tuner *t, const calo_call *call, calo_candidate *c)
{
    const calo_device_api *api = t->device->api;
    if (!api->capture || c->out)
        return;
    force(&t->run, call, c);
    if (!api->capture(t->device, t->fault)) {
        launch(&t->run, call, c->launches);
        api->end_capture(t->device, &c->graph, t->fault);
    }
    settle(t, c);
}

/* Compiles, and finds how many launches a turn has; puts what is far behind the best aside. */
static void warm_up(calo_tuner *t, const calo_call *call, calo_candidate *c, double *best)
{
    c->launches = 1;
    turn(t, call, c);
    double seconds = calo_failed(&t->run) ? 0 : turn(t, call, c);
    for (int i = 0; i < 4 && seconds < turn_s && !calo_failed(&t->run); i++) { /* a short one is easily disturbed */
        const double again = turn(t, call, c);
        seconds = again < seconds ? again : seconds;
    }
    settle(t, c);
    if (c != t->candidates && seconds > hopeless * *best)
        c->out = true;
    if (c->out)
        return;
    *best = c == t->candidates || seconds < *best ? seconds : *best;
    c->launches = 1 + (int)(turn_s / (seconds + 1e-7));
    record(t, call, c);
    if (c->out)
        return;
    turn(t, call, c); /* a recording's first replay takes longer */
    settle(t, c);
}

static int by_number(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(const double *values, int count)
{
    double sorted[CALO_TUNER_MAX_ROUNDS];
    memcpy(sorted, values, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, by_number);
    return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

int calo_tuner_pick(const calo_candidate *candidates, int count, int rounds)
{
    const calo_candidate *standard = &candidates[0];
    int best = 0, faster = 0;
    for (int i = 1; i < count; i++)
        if (!candidates[i].out && candidates[i].seconds < candidates[best].seconds)
            best = i;
    for (int r = 0; r < rounds; r++)
        faster += candidates[best].turns[r] < standard->turns[r];
    return candidates[best].seconds < (1 - CALO_TUNER_NOISE) * standard->seconds && 4 * faster >= 3 * rounds ? best : 0;
}

/* ---- one call --------------------------------------------------------------------------------------------------- */

void calo_tuner_end(calo_tuner *tuner)
{
    for (int i = 0; i < tuner->count; i++)
        if (tuner->candidates[i].graph)
            tuner->device->api->release_graph(tuner->device, tuner->candidates[i].graph);
    calo_free(tuner->candidates);
    tuner->candidates = NULL;
    tuner->count = tuner->winner = 0;
    calo_arena_free(&tuner->arena);
}

/* Finds how much memory the call takes, and takes it. */
static calo_status take_memory(calo_tuner *t, const calo_learned *learned)
{
    char what[CALO_KEY_TEXT + 16];
    t->run.device = NULL;
    const calo_call call = placed(&t->run, learned, NULL);
    for (int i = 0; i < t->count; i++) {
        calo_candidate *c = &t->candidates[i];
        force(&t->run, &call, c);
        launch(&t->run, &call, 1);
        if (!settle(t, c))
            return t->fault->status;
    }
    t->run.device = t->device;
    snprintf(what, sizeof what, "timing %s", learned->key);
    if (calo_failed(&t->run) ||
        calo_device_expect(t->device, what, calo_arena_size(&t->arena), calo_arena_largest(&t->arena), t->fault))
        return t->fault->status;
    return calo_arena_commit(&t->arena, t->fault);
}

static void run_rounds(calo_tuner *t, const calo_call *call)
{
    for (int round = 0; round < t->rounds; round++)
        for (int i = 0; i < t->count; i++) {
            calo_candidate *c = &t->candidates[i];
            if (c->out)
                continue;
            c->turns[round] = turn(t, call, c);
            if (!settle(t, c))
                return;
        }
}

calo_status calo_tuner_measure(calo_tuner *tuner, const calo_learned *learned)
{
    calo_fault *fault = tuner->fault;
    const int count = calo_tuner_candidates(learned, &tuner->device->info);
    double best = 0;
    calo_tuner_end(tuner);
    if (!count)
        return calo_fail(fault, CALO_EUSAGE, "no kernel for %s on %s", learned->key, tuner->device->info.name);
    float *block = make_block();
    tuner->candidates = calo_alloc((size_t)count, sizeof *tuner->candidates);
    calo_arena_init(&tuner->arena, tuner->device, &tuner->device->info);
    if (!block || !tuner->candidates) {
        calo_fail(fault, CALO_EMEMORY, "no host memory to time %d kernels", count);
        goto done;
    }
    tuner->count = list_candidates(learned, &tuner->device->info, tuner->candidates);
    tuner->run = (calo_run){ .info = tuner->device->info,
                             .arena = &tuner->arena,
                             .dtype = learned->call.out.type,
                             .fault = fault,
                             .label = "tune" };
    if (take_memory(tuner, learned))
        goto done;
    const calo_call call = placed(&tuner->run, learned, block);
    for (int i = 0; i < tuner->count && !calo_failed(&tuner->run); i++)
        warm_up(tuner, &call, &tuner->candidates[i], &best);
    if (!calo_failed(&tuner->run))
        run_rounds(tuner, &call);
    for (int i = 0; i < tuner->count && !calo_failed(&tuner->run); i++)
        if (!tuner->candidates[i].out)
            tuner->candidates[i].seconds = median(tuner->candidates[i].turns, tuner->rounds);
    if (!calo_failed(&tuner->run))
        tuner->winner = calo_tuner_pick(tuner->candidates, tuner->count, tuner->rounds);
done:
    calo_free(block);
    return fault->status;
}
