/* Composition, chunks and weights; the grammars are in prompt_schedule.c, prompt_a1111.c and prompt_comfy.c. */
#include "prompt_parts.h"
#include "../shim.h"

#include <math.h>
#include <string.h>

/* ---- text ------------------------------------------------------------------------------------------------------- */

calo_status calo_prompt_decode(const char *text, calo_codes *codes, calo_fault *fault)
{
    size_t size = text ? strlen(text) : 0;
    if (size > CALO_PROMPT_LONGEST)
        return calo_fail(fault, CALO_EUSAGE, "a prompt of %zu bytes is longer than the %d that its style may have",
                         size, CALO_PROMPT_LONGEST);
    return calo_unicode_decode(text ? text : "", size, codes, fault);
}

char *calo_prompt_string(const uint32_t *codes, size_t count)
{
    uint8_t *text = calo_alloc(4 * count + 1, 1);
    size_t size = 0;
    for (size_t i = 0; text && i < count; i++)
        size += (size_t)calo_unicode_encode(codes[i], text + size);
    return (char *)text;
}

/* ---- composition ------------------------------------------------------------------------------------------------ */

/* The first AND from `at` on that is a word of its own, or `count`. */
static size_t find_and(const uint32_t *codes, size_t count, size_t at)
{
    for (; at + 3 <= count; at++)
        if (codes[at] == 'A' && codes[at + 1] == 'N' && codes[at + 2] == 'D' &&
            (at == 0 || !calo_prompt_word(codes[at - 1])) && (at + 3 == count || !calo_prompt_word(codes[at + 3])))
            return at;
    return count;
}

/* Takes the weight off the end, ": 0.8" with white space around, and the white space before it. */
static void cut_weight(const uint32_t *codes, size_t *count, double *weight)
{
    size_t end = *count, dots = 0;
    while (end && calo_prompt_space(codes[end - 1]))
        end--;
    size_t at = end;
    *count = end;
    *weight = 1.0;
    while (at && (codes[at - 1] == '.' || calo_prompt_digit(codes[at - 1])))
        dots += codes[--at] == '.';
    if (dots > 1 || end - at == dots)
        return;
    at -= at && (codes[at - 1] == '+' || codes[at - 1] == '-');
    size_t number = at;
    while (at && calo_prompt_space(codes[at - 1]))
        at--;
    double value;
    if (!at || codes[at - 1] != ':' || !calo_prompt_number(codes + number, end - number, &value) || !isfinite(value))
        return;
    at--;
    while (at && calo_prompt_space(codes[at - 1]))
        at--;
    *count = at;
    *weight = value;
}

static calo_status one_part(const char *text, calo_prompt_part **parts, int *count, calo_fault *fault)
{
    *parts = calo_alloc(1, sizeof **parts);
    if (*parts)
        **parts = (calo_prompt_part){ calo_copy_string(text ? text : ""), 1.0 };
    *count = 1;
    return *parts && (*parts)->text ? CALO_OK : calo_fail(fault, CALO_EMEMORY, "no memory for a prompt");
}

static calo_status split_parts(const char *text, calo_prompt_part **parts, int *count, calo_fault *fault)
{
    calo_codes codes = { 0 };
    calo_status status = calo_prompt_decode(text, &codes, fault);
    int expected = 1;
    if (status)
        goto done;
    for (size_t at = 0; (at = find_and(codes.at, codes.count, at)) < codes.count; at += 3)
        expected++;
    if (!(*parts = calo_alloc((size_t)expected, sizeof **parts))) {
        status = calo_fail(fault, CALO_EMEMORY, "no memory for the %d parts of a prompt", expected);
        goto done;
    }
    for (size_t at = 0; *count < expected;) {
        size_t next = find_and(codes.at, codes.count, at), size = next - at;
        calo_prompt_part *part = &(*parts)[(*count)++];
        cut_weight(codes.at + at, &size, &part->weight);
        if (!(part->text = calo_prompt_string(codes.at + at, size))) {
            status = calo_fail(fault, CALO_EMEMORY, "no memory for a part of a prompt");
            goto done;
        }
        at = next + 3;
    }
done:
    calo_codes_free(&codes);
    return status;
}

calo_status calo_prompt_compose(calo_prompt_style style, const char *text, calo_prompt_part **parts, int *count,
                                calo_fault *fault)
{
    *parts = NULL;
    *count = 0;
    calo_status status =
        style == CALO_PROMPT_A1111 ? split_parts(text, parts, count, fault) : one_part(text, parts, count, fault);
    if (status) {
        calo_prompt_parts_free(parts, *count);
        *count = 0;
    }
    return status;
}

void calo_prompt_parts_free(calo_prompt_part **parts, int count)
{
    for (int i = 0; *parts && i < count; i++)
        calo_free((*parts)[i].text);
    calo_free(*parts);
    *parts = NULL;
}

/* ---- chunks ----------------------------------------------------------------------------------------------------- */

static calo_status reserve_chunk(calo_prompt_chunks *chunks, calo_fault *fault)
{
    calo_prompt_tokens *tokens = &chunks->tokens;
    if (tokens->chunks < chunks->capacity)
        return CALO_OK;
    const int capacity = chunks->capacity + chunks->capacity / 2 + 1;
    const size_t count = (size_t)capacity * (size_t)tokens->length;
    int32_t *ids = calo_resize(tokens->ids, count, sizeof *ids);
    if (ids)
        tokens->ids = ids;
    double *weights = calo_resize(tokens->weights, count, sizeof *weights);
    if (weights)
        tokens->weights = weights;
    if (!ids || !weights)
        return calo_fail(fault, CALO_EMEMORY, "no memory for %d chunks of a prompt", capacity);
    chunks->capacity = capacity;
    return CALO_OK;
}

calo_status calo_prompt_chunks_put(calo_prompt_chunks *chunks, const calo_tokenizer *tokenizer, const int32_t *ids,
                                   const double *weights, int count, calo_fault *fault)
{
    if (reserve_chunk(chunks, fault))
        return CALO_EMEMORY;
    calo_prompt_tokens *tokens = &chunks->tokens;
    const size_t first = (size_t)tokens->chunks++ * (size_t)tokens->length;
    int32_t *to = tokens->ids + first;
    double *weight = tokens->weights + first;
    for (int i = 0; i < tokens->length; i++) {
        bool text = i > 0 && i <= count;
        to[i] = text             ? ids[i - 1]
                : i == 0         ? calo_tokenizer_bos(tokenizer)
                : i == count + 1 ? calo_tokenizer_eos(tokenizer)
                                 : calo_tokenizer_pad(tokenizer);
        weight[i] = text ? weights[i - 1] : 1.0;
        tokens->weighted = tokens->weighted || weight[i] != 1.0;
    }
    return CALO_OK;
}

static calo_status tokenize_plain(const char *text, const calo_tokenizer *tokenizer, calo_prompt_chunks *chunks,
                                  calo_fault *fault)
{
    calo_prompt_tokens *tokens = &chunks->tokens;
    if (reserve_chunk(chunks, fault))
        return CALO_EMEMORY;
    for (int i = 0; i < tokens->length; i++)
        tokens->weights[i] = 1.0;
    tokens->chunks = 1;
    return calo_tokenizer_encode(tokenizer, text, tokens->ids, tokens->length, NULL, fault);
}

calo_status calo_prompt_tokenize(calo_prompt_style style, const char *text, const calo_tokenizer *tokenizer, int length,
                                 calo_prompt_tokens *tokens, calo_fault *fault)
{
    const int least = style == CALO_PROMPT_PLAIN ? 2 : 3;
    *tokens = (calo_prompt_tokens){ 0 };
    if (length < least)
        return calo_fail(fault, CALO_EUSAGE, "a token count of %d leaves no room for a prompt: at least %d", length,
                         least);
    calo_prompt_chunks chunks = { .tokens = { .length = length } };
    calo_codes codes = { 0 };
    calo_status status = CALO_OK;
    if (style == CALO_PROMPT_PLAIN)
        status = tokenize_plain(text, tokenizer, &chunks, fault);
    else
        status = calo_prompt_decode(text, &codes, fault);
    if (!status && style == CALO_PROMPT_A1111)
        status = calo_prompt_tokenize_a1111(&codes, tokenizer, &chunks, fault);
    else if (!status && style == CALO_PROMPT_COMFY)
        status = calo_prompt_tokenize_comfy(&codes, tokenizer, &chunks, fault);
    calo_codes_free(&codes);
    if (status)
        calo_prompt_tokens_free(&chunks.tokens);
    *tokens = chunks.tokens;
    return status;
}

void calo_prompt_tokens_free(calo_prompt_tokens *tokens)
{
    calo_free(tokens->ids);
    calo_free(tokens->weights);
    *tokens = (calo_prompt_tokens){ 0 };
}

/* ---- weights ---------------------------------------------------------------------------------------------------- */

static double sum(const float *z, int64_t count)
{
    double total = 0.0;
    for (int64_t i = 0; i < count; i++)
        total += z[i];
    return total;
}

void calo_prompt_weigh_a1111(float *z, const double *weights, int64_t rows, int64_t width, bool restore)
{
    bool weighted = false;
    for (int64_t row = 0; row < rows; row++)
        weighted = weighted || weights[row] != 1.0;
    if (!weighted)
        return;
    double before = restore ? sum(z, rows * width) : 0.0;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = 0; i < width; i++)
            z[row * width + i] = (float)(z[row * width + i] * weights[row]);
    double after = restore ? sum(z, rows * width) : 0.0;
    if (after == 0.0)
        return;
    for (int64_t i = 0; i < rows * width; i++)
        z[i] = (float)(z[i] * (before / after));
}

void calo_prompt_weigh_comfy(float *z, const float *empty, const double *weights, int64_t chunks, int64_t length,
                             int64_t width)
{
    for (int64_t row = 0; row < chunks * length; row++)
        for (int64_t i = 0; i < width && weights[row] != 1.0; i++) {
            double base = empty[row % length * width + i];
            z[row * width + i] = (float)(base + (z[row * width + i] - base) * weights[row]);
        }
}
