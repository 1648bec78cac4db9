/* Prompts, their schedules and regions to phases. */
#include "conditions.h"
#include "../engine/shim.h"

#include <stdio.h>

/* One text of the request through its schedule. */
typedef struct line {
    calo_prompt_span *spans;
    int count;
} line;

/* A prompt or a negative prompt: what AND joins, for each encoder. */
typedef struct voice {
    int count;
    double weights[CALO_MAX_PARTS];
    line lines[CALO_MAX_PARTS][2];
    bool zero; /* no text at all: zeros */
} voice;

/* The request's own pair, and each region's. */
typedef struct score {
    voice positive[1 + CALO_MAX_REGIONS], negative[1 + CALO_MAX_REGIONS];
    int count;
} score;

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static calo_status read_text(const calo_request *request, const char *name, const char *text, int encoder, bool composes,
                             int calls, voice *voice, calo_fault *fault)
{
    calo_prompt_part *parts = NULL;
    int count = 0;
    if (calo_prompt_compose(composes ? request->prompt_style : CALO_PROMPT_PLAIN, text ? text : "", &parts, &count, fault))
        return fault->status;
    if (count > CALO_MAX_PARTS)
        calo_fail(fault, CALO_EUSAGE, "%s: AND joins %d parts; there may be %d", name, count, CALO_MAX_PARTS);
    else if (encoder > 0 && count != voice->count)
        calo_fail(fault, CALO_EUSAGE, "%s has %d parts that AND joins, for the other encoder there are %d; they must agree",
                  name, count, voice->count);
    voice->count = fault->status ? voice->count : count;
    for (int i = 0; i < count && !fault->status; i++) {
        voice->weights[i] = parts[i].weight;
        calo_prompt_schedule(request->prompt_style, parts[i].text, calls, &voice->lines[i][encoder].spans,
                             &voice->lines[i][encoder].count, fault);
    }
    calo_prompt_parts_free(&parts, count);
    return fault->status;
}

static calo_status read_voice(const calo_request *request, const char *const *names, const char *first, const char *second,
                              bool composes, int calls, voice *voice, calo_fault *fault)
{
    if (read_text(request, names[0], first, 0, composes, calls, voice, fault))
        return fault->status;
    return read_text(request, names[1], second && *second ? second : first, 1, composes, calls, voice, fault);
}

/* XL's pipelines take an absent negative prompt for zeros; A1111 does so with an empty one, too. */
static bool is_zero(const calo_text *text, const calo_request *request, const char *negative)
{
    const calo_checkpoint *c = &text->model->checkpoint;
    if (!c->unet.text_time || !c->force_zeros_for_empty_prompt || request->prompt_style == CALO_PROMPT_COMFY)
        return false;
    return !negative || (request->prompt_style == CALO_PROMPT_A1111 && !*negative);
}

static calo_status read_score(const calo_text *text, const calo_request *r, bool guided, int calls, score *score,
                              calo_fault *fault)
{
    static const char *const prompts[] = { "prompt", "prompt-2" }, *const negatives[] = { "negative", "negative-2" };
    char name[24];
    score->count = 1 + r->region_count;
    for (int i = 0; i < score->count && !fault->status; i++) {
        const calo_region *region = i ? &r->regions[i - 1] : NULL;
        const char *negative = region && region->negative ? region->negative : r->negative;
        const bool own = !region || region->negative;
        snprintf(name, sizeof name, "region %d", i);
        read_voice(r, region ? (const char *const[]){ name, name } : prompts, region ? region->prompt : r->prompt, region ? NULL : r->prompt_2, true, calls,
                   &score->positive[i], fault);
        if (!guided || fault->status)
            continue;
        score->negative[i].zero = is_zero(text, r, negative);
        read_voice(r, negatives, negative, own && region ? NULL : r->negative_2, false, calls, &score->negative[i], fault);
    }
    return fault->status;
}

static void score_free(score *score)
{
    for (int i = 0; i < score->count; i++)
        for (int k = 0; k < CALO_MAX_PARTS; k++)
            for (int e = 0; e < 2; e++) {
                line *a = &score->positive[i].lines[k][e], *b = &score->negative[i].lines[k][e];
                calo_prompt_spans_free(&a->spans, a->count);
                calo_prompt_spans_free(&b->spans, b->count);
            }
}

/* ---- phases ----------------------------------------------------------------------------------------------------- */

/* A1111 compares with a counter from 0, so a span that ends at step n holds for the calls 0 … n. */
static const char *text_at(const line *line, int call)
{
    for (int i = 0; i < line->count; i++)
        if (call <= line->spans[i].end_step)
            return line->spans[i].text;
    return line->count ? line->spans[line->count - 1].text : "";
}

/* The batch's row that reads the passage. */
static int row_of(calo_phase *phase, int passage, calo_fault *fault)
{
    for (int i = 0; i < phase->row_count; i++)
        if (phase->rows[i] == passage)
            return i;
    if (passage < 0)
        return 0;
    if (phase->row_count == CALO_MAX_CONDITIONS) {
        calo_fail(fault, CALO_EUSAGE, "prompts, negative prompts and regions make more than %d texts at once",
                  CALO_MAX_CONDITIONS);
        return 0;
    }
    phase->rows[phase->row_count] = passage;
    return phase->row_count++;
}

static bool in_interval(const calo_request *r, int call, int calls)
{
    const double at = (double)call / calls;
    return at >= r->guidance_start && at < r->guidance_end;
}

/* What holds at one call. */
static calo_status make_phase(calo_text *text, const score *score, bool guided, int call,
                              calo_phase *phase, calo_fault *fault)
{
    *phase = (calo_phase){ .begin = call, .end = call + 1, .group_count = score->count };
    for (int i = 0; i < score->count && !fault->status; i++) {
        const voice *v = &score->negative[i];
        phase->groups[i].uncond = -1;
        phase->groups[i].region = i - 1;
        if (!guided)
            continue;
        const char *first = v->zero ? NULL : text_at(&v->lines[0][0], call);
        const char *second = v->zero ? NULL : text_at(&v->lines[0][1], call);
        phase->groups[i].uncond = row_of(phase, calo_text_passage(text, first, second, true, fault), fault);
    }
    for (int i = 0; i < score->count && !fault->status; i++) {
        const voice *v = &score->positive[i];
        calo_group *group = &phase->groups[i];
        group->count = v->count;
        for (int k = 0; k < v->count && !fault->status; k++) {
            group->weights[k] = v->weights[k];
            group->rows[k] = row_of(phase, calo_text_passage(text, text_at(&v->lines[k][0], call),
                                                             text_at(&v->lines[k][1], call), false, fault), fault);
        }
    }
    return fault->status;
}

static bool same_texts(const calo_phase *a, const calo_phase *b)
{
    bool same = a->row_count == b->row_count;
    for (int i = 0; same && i < a->row_count; i++)
        same = a->rows[i] == b->rows[i];
    for (int i = 0; same && i < a->group_count; i++) {
        const calo_group *g = &a->groups[i], *h = &b->groups[i];
        same = g->uncond == h->uncond && g->count == h->count;
        for (int k = 0; same && k < g->count; k++)
            same = g->rows[k] == h->rows[k];
    }
    return same;
}

static calo_status append(calo_conditions *c, const calo_phase *phase, calo_fault *fault)
{
    if (c->count && same_texts(&c->phases[c->count - 1], phase)) {
        c->phases[c->count - 1].end = phase->end;
        return CALO_OK;
    }
    if (c->count == c->capacity) {
        const int capacity = c->capacity ? 2 * c->capacity : 4;
        calo_phase *phases = calo_resize(c->phases, (size_t)capacity, sizeof *phases);
        if (!phases)
            return calo_fail(fault, CALO_EMEMORY, "no host memory for a prompt's schedule");
        c->phases = phases;
        c->capacity = capacity;
    }
    c->phases[c->count++] = *phase;
    return CALO_OK;
}

calo_status calo_conditions_open(calo_conditions *conditions, calo_text *text, const calo_request *request, bool guided,
                                 int calls, calo_fault *fault)
{
    score *score = calo_alloc(1, sizeof *score);
    *conditions = (calo_conditions){ 0 };
    if (!score)
        return calo_fail(fault, CALO_EMEMORY, "no host memory for a prompt's schedule");
    read_score(text, request, guided, calls, score, fault);
    for (int call = 0; call < calls && !fault->status; call++) {
        calo_phase phase;
        if (!make_phase(text, score, guided && in_interval(request, call, calls), call, &phase, fault))
            append(conditions, &phase, fault);
    }
    score_free(score);
    calo_free(score);
    return fault->status;
}

void calo_conditions_close(calo_conditions *conditions)
{
    calo_free(conditions->phases);
    *conditions = (calo_conditions){ 0 };
}
