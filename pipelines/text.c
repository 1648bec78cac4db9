/* Encoding prompts as diffusers' pipelines do.

       1, 2: context = norm(hidden state after the last layer but clip_skip)
       XL:   context = [first encoder's | second's] hidden state before the last layer, less clip_skip; no norm
             pooled  = the second's projection

   Layers are skipped for the prompt only, never for the negative one. */
#include "text.h"
#include "../engine/shim.h"
#include "../kernels/concat/concat.h"
#include "../kernels/elementwise/elementwise.h"

#include <stdio.h>

static const double one = 1, zero = 0;

static bool is_xl(const calo_text *text)
{
    return text->model->checkpoint.unet.text_time;
}

static int halves(const calo_text *text)
{
    return text->guided && !text->zero_negative ? 2 : 1;
}

static calo_status tokenize(calo_text *text, int encoder, const calo_request *request, calo_fault *fault)
{
    const calo_tokenizer *tokenizer = text->model->tokenizer[encoder];
    const int limit = text->model->checkpoint.clip[encoder].max_position_embeddings;
    const int stated = calo_tokenizer_max_length(tokenizer);
    const int tokens = stated >= 2 && stated < limit ? stated : limit;
    if (text->tokens && text->tokens != tokens)
        return calo_fail(fault, CALO_EFILE, "%s: the text encoders take %d and %d tokens; they must agree",
                         text->model->checkpoint.path, text->tokens, tokens);
    text->tokens = tokens;
    int32_t *ids = text->ids[encoder] = calo_alloc(2 * (size_t)tokens, sizeof *ids);
    if (!ids)
        return calo_fail(fault, CALO_EMEMORY, "no host memory for a prompt");
    if (halves(text) == 2) {
        calo_tokenizer_encode(tokenizer, request->negative, ids, tokens, NULL, fault);
        ids += tokens;
    }
    return calo_tokenizer_encode(tokenizer, request->prompt, ids, tokens, NULL, fault);
}

calo_status calo_text_open(calo_text *text, const calo_model *model, const calo_request *request, bool guided,
                           calo_fault *fault)
{
    const calo_checkpoint *c = &model->checkpoint;
    *text = (calo_text){ .model = model, .guided = guided, .clip_skip = request->clip_skip };
    text->zero_negative = guided && c->unet.text_time && c->force_zeros_for_empty_prompt && !request->negative;
    for (int i = 0; i < 2 && !fault->status; i++) {
        const int most = c->clip[i].num_hidden_layers - 1;
        if (!c->has[CALO_TEXT + i])
            continue;
        if (request->clip_skip < 0 || request->clip_skip > most)
            return calo_fail(fault, CALO_EUSAGE, "clip-skip must be 0 … %d, not %d", most, request->clip_skip);
        tokenize(text, i, request, fault);
    }
    return fault->status;
}

void calo_text_close(calo_text *text)
{
    for (int i = 0; i < 2; i++) {
        calo_free(text->ids[i]);
        text->ids[i] = NULL;
    }
}

/* Rows [first, first + count) of one encoder's ids. */
static calo_tensor encode_rows(calo_run *run, const calo_text *text, int encoder, calo_tensor ids, int first, int count,
                               int skip, calo_tensor *pooled)
{
    const calo_clip *clip = &text->model->clip[encoder];
    int ends[2] = { 0, 0 };
    for (int i = 0; i < count; i++)
        ends[i] = calo_clip_end(&clip->config, text->ids[encoder] + (first + i) * text->tokens, text->tokens);
    const calo_clip_wish wish = { .skip = skip + is_xl(text), .normed = !is_xl(text),
                                  .pooled_from = clip->config.projects ? ends : NULL };
    return calo_clip_encode(run, clip, calo_batches(ids, first, count), &wish, pooled);
}

/* Two rows along dimension 0 from an upper one (NULL: zeros, shaped as the lower one) and a lower one. */
static calo_tensor stack(calo_run *run, calo_tensor *upper, calo_tensor *lower)
{
    if (calo_failed(run) || !calo_present(*lower))
        return (calo_tensor){ .type = CALO_AUTO };
    int64_t dims[CALO_MAX_RANK] = { 2, lower->dims[1], lower->dims[2] };
    calo_tensor both = calo_new(run, lower->type, lower->rank, dims);
    calo_combine_into(run, calo_batches(both, 0, 1), upper ? upper : lower, upper ? &one : &zero, 1, 0);
    calo_combine_into(run, calo_batches(both, 1, 1), lower, &one, 1, 0);
    if (upper)
        calo_drop(run, upper);
    calo_drop(run, lower);
    return both;
}

/* One encoder's hidden states [1 or 2, T, D], and the pooled text when it projects. */
static calo_tensor encode(calo_run *run, const calo_text *text, int encoder, calo_tensor *pooled)
{
    static const char *const labels[] = { "text_encoder", "text_encoder_2" };
    const int rows = halves(text), skip = text->clip_skip;
    calo_tensor hidden = { 0 };
    run->label = labels[encoder];
    calo_tensor ids = calo_new(run, CALO_I32, 2, (int64_t[]){ rows, text->tokens });
    calo_upload(run, ids, text->ids[encoder]);
    if (calo_failed(run))
        return hidden;
    if (text->zero_negative) {
        calo_tensor lower_pooled = { 0 }, lower = encode_rows(run, text, encoder, ids, 0, 1, skip, &lower_pooled);
        hidden = stack(run, NULL, &lower);
        *pooled = stack(run, NULL, &lower_pooled);
    } else if (rows == 2 && skip) {
        calo_tensor parts[2] = { { 0 } }, pools[2] = { { 0 } };
        for (int i = 0; i < 2; i++)
            parts[i] = encode_rows(run, text, encoder, ids, i, 1, i ? skip : 0, &pools[i]);
        hidden = stack(run, &parts[0], &parts[1]);
        *pooled = stack(run, &pools[0], &pools[1]);
    } else {
        hidden = encode_rows(run, text, encoder, ids, 0, rows, skip, pooled);
    }
    calo_drop(run, &ids);
    return hidden;
}

/* ---- dump ------------------------------------------------------------------------------------------------------- */

static const char *const half_names[] = { "uncond", "cond" };

static void dump_tokens(const calo_text *text, int encoder, calo_dump *dump, calo_fault *fault)
{
    const int64_t tokens = text->tokens;
    for (int i = 0; i < halves(text); i++) {
        char name[32];
        snprintf(name, sizeof name, "tokens%s.%s", encoder ? "_2" : "", half_names[halves(text) == 2 ? i : 1]);
        calo_dump_values(dump, name, 1, &tokens, true, text->ids[encoder] + i * tokens, fault);
    }
}

/* t's rows without their dimension 0. */
static void dump_halves(calo_run *run, const calo_text *text, const char *key, calo_tensor t, calo_dump *dump)
{
    for (int i = text->guided ? 0 : 1, row = 0; i < 2 && !calo_failed(run); i++, row++) {
        char name[32];
        const calo_tensor half = calo_batches(t, row, 1);
        snprintf(name, sizeof name, "%s.%s", key, half_names[i]);
        calo_dump_append(dump, run, name, calo_reshape(half, half.rank - 1, half.dims + 1));
    }
}

calo_tensor calo_text_encode(calo_run *run, const calo_text *text, calo_tensor *pooled, calo_dump *dump)
{
    calo_tensor context = { 0 };
    *pooled = context;
    for (int i = 0; i < 2 && !calo_failed(run); i++) {
        calo_tensor own = { 0 };
        if (!text->ids[i])
            continue;
        calo_tensor hidden = encode(run, text, i, &own);
        context = calo_present(context) ? calo_concat(run, calo_take(&context), calo_take(&hidden)) : hidden;
        if (calo_present(own))
            *pooled = own;
        if (dump)
            dump_tokens(text, i, dump, run->fault);
    }
    if (dump)
        dump_halves(run, text, "context", context, dump);
    if (dump && calo_present(*pooled))
        dump_halves(run, text, "pooled", *pooled, dump);
    return context;
}
