/* Encoding prompts as diffusers' pipelines do, a chunk at a time.

       1, 2: context = norm(hidden state after the last layer but clip_skip)
       XL:   context = [first encoder's | second's] hidden state before the last layer, less clip_skip; no norm
             pooled  = the second's projection of the first chunk

   diffusers skips layers for the prompt only; where prompts have a grammar, layers are skipped for both, as the tools
   that brought it do. A negative prompt that is scaled lies on the line from "" through itself. */
#include "text.h"
#include "../engine/shim.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ENCODERS = 2 };

static bool is_xl(const calo_text *text)
{
    return text->model->checkpoint.unet.text_time;
}

static bool has(const calo_text *text, int encoder)
{
    return text->model->checkpoint.has[CALO_TEXT + encoder];
}

/* ---- passages --------------------------------------------------------------------------------------------------- */

calo_status calo_text_open(calo_text *text, const calo_model *model, const calo_request *request, calo_fault *fault)
{
    const calo_checkpoint *c = &model->checkpoint;
    *text = (calo_text){ .model = model, .style = request->prompt_style, .clip_skip = request->clip_skip,
                         .negative_scale = request->negative_scale };
    for (int i = 0; i < ENCODERS; i++) {
        const int limit = c->clip[i].max_position_embeddings, most = c->clip[i].num_hidden_layers - 1;
        if (!has(text, i))
            continue;
        const int stated = calo_tokenizer_max_length(model->tokenizer[i]);
        const int tokens = stated >= 2 && stated < limit ? stated : limit;
        if (text->clip_skip < 0 || text->clip_skip > most)
            return calo_fail(fault, CALO_EUSAGE, "clip-skip must be 0 … %d, not %d", most, text->clip_skip);
        if (text->tokens && text->tokens != tokens)
            return calo_fail(fault, CALO_EFILE, "%s: the text encoders take %d and %d tokens; they must agree", c->path,
                             text->tokens, tokens);
        if (tokens < 3)
            return calo_fail(fault, CALO_EFILE, "%s: a text encoder takes %d tokens, which is too few", c->path, tokens);
        text->tokens = tokens;
        text->width += c->clip[i].hidden_size;
        if (c->clip[i].projects)
            text->pooled = c->clip[i].projection_dim;
    }
    return CALO_OK;
}

void calo_text_close(calo_text *text)
{
    for (int i = 0; i < text->count; i++) {
        calo_passage *p = &text->passages[i];
        for (int k = 0; k < ENCODERS; k++) {
            calo_free(p->texts[k]);
            calo_prompt_tokens_free(&p->tokens[k]);
        }
        calo_free(p->context);
        calo_free(p->pooled);
    }
    calo_free(text->passages);
    *text = (calo_text){ 0 };
}

/* Nested weights multiply, and a grammar sets them no limit. */
static calo_status check_weights(const calo_prompt_tokens *tokens, const char *text, calo_fault *fault)
{
    const int64_t count = (int64_t)tokens->chunks * tokens->length;
    for (int64_t i = 0; tokens->weighted && i < count; i++)
        if (!(tokens->weights[i] > -1e6 && tokens->weights[i] < 1e6))
            return calo_fail(fault, CALO_EUSAGE, "a weight in the prompt '%.60s' multiplies to %g; at most 1e6 can be used", text,
                             tokens->weights[i]);
    return CALO_OK;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static calo_status fill_passage(calo_text *text, calo_passage *p, const char *first, const char *second,
                                calo_fault *fault)
{
    const char *const texts[] = { first, has(text, 0) ? second : first }; /* a refiner's only encoder is the second */
    int chunks = 1;
    for (int i = 0; i < ENCODERS && first && !fault->status; i++) {
        p->texts[i] = calo_copy_string(texts[i]);
        if (!p->texts[i])
            return calo_fail(fault, CALO_EMEMORY, "no host memory for a prompt");
        if (has(text, i) && !calo_prompt_tokenize(text->style, p->texts[i], text->model->tokenizer[i], text->tokens,
                                                  &p->tokens[i], fault) &&
            !check_weights(&p->tokens[i], p->texts[i], fault) && p->tokens[i].chunks > chunks)
            chunks = p->tokens[i].chunks;
    }
    p->length = (int64_t)chunks * text->tokens;
    p->context = calo_alloc((size_t)(p->length * text->width), sizeof *p->context);
    p->pooled = text->pooled ? calo_alloc((size_t)text->pooled, sizeof *p->pooled) : NULL;
    if (!fault->status && (!p->context || (text->pooled && !p->pooled)))
        return calo_fail(fault, CALO_EMEMORY, "no host memory for the context of a prompt of %d chunks", chunks);
    return fault->status;
}

int calo_text_passage(calo_text *text, const char *first, const char *second, bool negative, calo_fault *fault)
{
    for (int i = 0; i < text->count; i++) {
        const calo_passage *p = &text->passages[i];
        if (p->negative == negative && same_text(p->texts[0], first) && same_text(p->texts[1], second))
            return i;
    }
    if (text->count == text->capacity) {
        const int capacity = text->capacity ? 2 * text->capacity : 4;
        calo_passage *passages = calo_resize(text->passages, (size_t)capacity, sizeof *passages);
        if (!passages) {
            calo_fail(fault, CALO_EMEMORY, "no host memory for %d prompts", capacity);
            return -1;
        }
        text->passages = passages;
        text->capacity = capacity;
    }
    calo_passage *p = &text->passages[text->count++];
    *p = (calo_passage){ .negative = negative };
    return fill_passage(text, p, first, second, fault) ? -1 : text->count - 1;
}

/* ---- encoding --------------------------------------------------------------------------------------------------- */

/* One chunk's hidden states → hidden [tokens, D_encoder]; pooled [P] unless NULL. */
static void encode_chunk(calo_run *run, const calo_text *text, int encoder, const int32_t *chunk, int skip, float *hidden,
                         float *pooled)
{
    static const char *const labels[] = { "text_encoder", "text_encoder_2" };
    const calo_clip *clip = &text->model->clip[encoder];
    const int end = calo_clip_end(&clip->config, chunk, text->tokens);
    const calo_clip_wish wish = { .skip = skip + is_xl(text), .normed = !is_xl(text),
                                  .pooled_from = clip->config.projects ? &end : NULL };
    calo_tensor projected = { 0 };
    run->label = labels[encoder];
    calo_tensor ids = calo_new(run, CALO_I32, 2, (int64_t[]){ 1, text->tokens });
    calo_upload(run, ids, chunk);
    calo_tensor states = calo_clip_encode(run, clip, ids, &wish, &projected);
    calo_download(run, states, hidden);
    if (pooled && calo_present(projected))
        calo_download(run, projected, pooled);
    calo_drop(run, &ids);
    calo_drop(run, &states);
    calo_drop(run, &projected);
}

typedef struct memory {
    float *hidden, *empty; /* [chunks, tokens, D_encoder], [tokens, D_encoder] */
    int32_t *ids;          /* [tokens] of "" */
} memory;

static calo_status find_memory(const calo_text *text, int chunks, int64_t width, memory *m, calo_fault *fault)
{
    m->hidden = calo_alloc((size_t)(chunks * text->tokens * width), sizeof *m->hidden);
    m->empty = calo_alloc((size_t)(text->tokens * width), sizeof *m->empty);
    m->ids = calo_alloc((size_t)text->tokens, sizeof *m->ids);
    return m->hidden && m->empty && m->ids ? CALO_OK : calo_fail(fault, CALO_EMEMORY, "no host memory for a prompt's context");
}

/* z ← empty + scale (z − empty), chunk after chunk. */
static void move_from_empty(float *z, const float *empty, int64_t chunks, int64_t count, double scale)
{
    for (int64_t c = 0; c < chunks; c++)
        for (int64_t i = 0; i < count; i++)
            z[c * count + i] = (float)(empty[i] + scale * ((double)z[c * count + i] - empty[i]));
}

/* One encoder's share of a passage's context, columns [at, at + D_encoder). */
static void encode_passage(calo_run *run, const calo_text *text, int encoder, calo_passage *p, int64_t at)
{
    const calo_clip_config *config = &text->model->checkpoint.clip[encoder];
    const calo_prompt_tokens *tokens = &p->tokens[encoder];
    const int64_t width = config->hidden_size, chunks = p->length / text->tokens;
    const int skip = p->negative && text->style == CALO_PROMPT_PLAIN ? 0 : text->clip_skip;
    const bool moves = p->negative && text->negative_scale != 1, projects = config->projects;
    memory m = { 0 };
    float *projected = projects ? calo_alloc(2 * (size_t)text->pooled, sizeof *projected) : NULL;
    if (find_memory(text, (int)chunks, width, &m, run->fault) || (projects && !projected)) {
        calo_fail(run->fault, CALO_EMEMORY, "no host memory for a prompt's context");
        goto done;
    }
    calo_prompt_tokens empty = { 0 };
    if (calo_prompt_tokenize(text->style, NULL, text->model->tokenizer[encoder], text->tokens, &empty, run->fault))
        goto done;
    memcpy(m.ids, empty.ids, (size_t)text->tokens * sizeof *m.ids);
    calo_prompt_tokens_free(&empty);

    /* A prompt that is longer for the other encoder ends with empty chunks here. */
    for (int64_t c = 0; c < chunks && !calo_failed(run); c++)
        encode_chunk(run, text, encoder, c < tokens->chunks ? tokens->ids + c * text->tokens : m.ids, skip,
                     m.hidden + c * text->tokens * width, c == 0 && projects ? projected : NULL);
    if (moves || (tokens->weighted && text->style == CALO_PROMPT_COMFY))
        encode_chunk(run, text, encoder, m.ids, skip, m.empty, projects ? projected + text->pooled : NULL);
    if (calo_failed(run) || !run->device)
        goto done;
    if (tokens->weighted && text->style == CALO_PROMPT_COMFY)
        calo_prompt_weigh_comfy(m.hidden, m.empty, tokens->weights, tokens->chunks, text->tokens, width);
    for (int64_t c = 0; c < tokens->chunks && tokens->weighted && text->style == CALO_PROMPT_A1111; c++)
        calo_prompt_weigh_a1111(m.hidden + c * text->tokens * width, tokens->weights + c * text->tokens, text->tokens, width,
                                !is_xl(text));
    if (moves)
        move_from_empty(m.hidden, m.empty, chunks, text->tokens * width, text->negative_scale);
    if (moves && projects)
        move_from_empty(projected, projected + text->pooled, 1, text->pooled, text->negative_scale);
    for (int64_t t = 0; t < p->length; t++)
        memcpy(p->context + t * text->width + at, m.hidden + t * width, (size_t)width * sizeof(float));
    if (projects)
        memcpy(p->pooled, projected, (size_t)text->pooled * sizeof(float));
done:
    calo_free(projected);
    calo_free(m.hidden);
    calo_free(m.empty);
    calo_free(m.ids);
}

void calo_text_encode(calo_run *run, calo_text *text)
{
    int64_t at = 0;
    for (int i = 0; i < ENCODERS; i++) {
        if (!has(text, i))
            continue;
        for (int k = 0; k < text->count && !calo_failed(run); k++)
            if (text->passages[k].texts[0])
                encode_passage(run, text, i, &text->passages[k], at);
        at += text->model->checkpoint.clip[i].hidden_size;
    }
}

/* ---- dump ------------------------------------------------------------------------------------------------------- */

void calo_text_dump(const calo_text *text, int passage, const char *half, calo_dump *dump, calo_fault *fault)
{
    const calo_passage *p = &text->passages[passage];
    char name[32];
    for (int i = 0; i < ENCODERS; i++) {
        const int64_t count = (int64_t)p->tokens[i].chunks * text->tokens;
        snprintf(name, sizeof name, "tokens%s.%s", i ? "_2" : "", half);
        if (has(text, i) && count)
            calo_dump_values(dump, name, 1, &count, true, p->tokens[i].ids, fault);
    }
    snprintf(name, sizeof name, "context.%s", half);
    calo_dump_values(dump, name, 2, (int64_t[]){ p->length, text->width }, false, p->context, fault);
    snprintf(name, sizeof name, "pooled.%s", half);
    if (p->pooled)
        calo_dump_values(dump, name, 1, &text->pooled, false, p->pooled, fault);
}
