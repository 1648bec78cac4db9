/* Weights and chunks in ComfyUI's grammar:

       (a) weighs 1.1 times as much as what is around it, (a:1.3) weighs 1.3, whatever is around it; \( and \) are text

   The weight stands behind the last colon. A ")" too many makes the next "(" text; a "(" too many takes the last ")" of
   the text for its own. Text of one weight, cut before the name of an embedding, is a group: one of fewer than 8 tokens
   is not divided between chunks. Source: ComfyUI, comfy/sd1_clip.py. */
#include "prompt_parts.h"
#include "../shim.h"

#include <math.h>
#include <string.h>

enum { LARGE = 8 }; /* tokens of a group that may be divided: the original's max_word_length */

enum { ESCAPED_OPEN = 0x110000, ESCAPED_CLOSE }; /* no code points: brackets that are text */

/* What is being read: codes[at … end), all of it inside one bracket or none. */
struct range {
    size_t at, end;
    double weight;
};

struct comfy {
    const calo_tokenizer *tokenizer;
    calo_prompt_chunks *chunks;
    calo_fault *fault;
    calo_codes *text;
    size_t *close; /* [count]: of a "(", its partner; the count: none */
    size_t *mark;  /* [count + 1]: the last bracket before a place, plus 1; 0: none */
    size_t *colon; /* [count + 1]: the last : before a place, plus 1; 0: none */
    struct range *ranges;
    size_t depth;
    int32_t *ids;    /* [room]: the chunk that is being filled */
    double *weights; /* [room] */
    int room, count;
};

/* \( and \) become characters of their own. */
static void escape(calo_codes *text)
{
    size_t kept = 0;
    for (size_t i = 0; i < text->count; i++) {
        uint32_t code = text->at[i], next = i + 1 < text->count ? text->at[i + 1] : 0;
        if (code == '\\' && (next == '(' || next == ')')) {
            code = next == '(' ? ESCAPED_OPEN : ESCAPED_CLOSE;
            i++;
        }
        text->at[kept++] = code;
    }
    text->count = kept;
}

/* Partners in the whole text. A part of it that begins inside a bracket and ends with the same one, or before, has the
 * same partners, less those beyond its end. */
static void find_partners(struct comfy *comfy, size_t *stack)
{
    const uint32_t *codes = comfy->text->at;
    const size_t count = comfy->text->count;
    size_t depth = 0;
    for (size_t i = 0; i < count; i++) {
        comfy->close[i] = count;
        if (codes[i] == '(')
            stack[depth++] = i;
        else if (codes[i] == ')' && depth)
            comfy->close[stack[--depth]] = i;
        comfy->mark[i + 1] = codes[i] == '(' || codes[i] == ')' ? i + 1 : comfy->mark[i];
        comfy->colon[i + 1] = codes[i] == ':' ? i + 1 : comfy->colon[i];
    }
}

/* ---- chunks ----------------------------------------------------------------------------------------------------- */

static calo_status end_chunk(struct comfy *comfy)
{
    int count = comfy->count;
    comfy->count = 0;
    return calo_prompt_chunks_put(comfy->chunks, comfy->tokenizer, comfy->ids, comfy->weights, count, comfy->fault);
}

static void put_ids(struct comfy *comfy, const int32_t *ids, int count, double weight)
{
    memcpy(comfy->ids + comfy->count, ids, (size_t)count * sizeof *ids);
    for (int i = 0; i < count; i++)
        comfy->weights[comfy->count++] = weight;
}

static calo_status put_group(struct comfy *comfy, const uint32_t *codes, size_t size, double weight)
{
    calo_status status = CALO_OK;
    int32_t *ids;
    size_t count;
    char *string = calo_prompt_string(codes, size);
    if (!string)
        return calo_fail(comfy->fault, CALO_EMEMORY, "no memory for %zu characters of a prompt", size);
    status = calo_tokenizer_split_words(comfy->tokenizer, string, &ids, &count, comfy->fault);
    calo_free(string);
    /* A chunk too short for a small group, which the original does not know, divides it. */
    const bool large = count >= LARGE || count > (size_t)comfy->room;
    for (size_t at = 0; at < count && !status;) {
        const int left = comfy->room - comfy->count;
        if (count - at <= (size_t)left) {
            put_ids(comfy, ids + at, (int)(count - at), weight);
            break;
        }
        if (large) {
            put_ids(comfy, ids + at, left, weight);
            at += (size_t)left;
        }
        status = end_chunk(comfy);
    }
    calo_free(ids);
    return status;
}

/* Text of one weight. */
static calo_status put_text(struct comfy *comfy, size_t from, size_t to, double weight)
{
    static const char name[] = "embedding:";
    const size_t size = sizeof name - 1;
    uint32_t *codes = comfy->text->at;
    calo_status status = CALO_OK;
    for (size_t i = from; i < to; i++)
        codes[i] = codes[i] == ESCAPED_OPEN ? '(' : codes[i] == ESCAPED_CLOSE ? ')' : codes[i];
    while (from < to && !status) {
        size_t end = from, same = 0;
        for (; end < to; end++) {
            if (codes[end] != ' ' && codes[end] != '\n')
                continue;
            for (same = 0; same < size && end + 1 + same < to && codes[end + 1 + same] == (uint32_t)name[same]; same++)
                ;
            if (same == size)
                break;
        }
        if (from < end)
            status = put_group(comfy, codes + from, end - from, weight);
        from = end + 1;
    }
    return status;
}

/* ---- weights ---------------------------------------------------------------------------------------------------- */

/* Goes into the bracket codes[from … to]. */
static void enter(struct comfy *comfy, size_t from, size_t to, double weight)
{
    size_t begin = from + 1, end = to, colon = comfy->colon[end];
    double value;
    weight *= 1.1;
    if (colon > begin + 1 && comfy->mark[end] <= colon && /* else it holds a bracket, which no number does */
        calo_prompt_number(comfy->text->at + colon, end - colon, &value) && isfinite(value)) {
        weight = value;
        end = colon - 1;
    }
    comfy->ranges[comfy->depth++] = (struct range){ begin, end, weight };
}

/* The first piece of the range on top: text, or a bracket, which becomes the top. */
static calo_status read_piece(struct comfy *comfy)
{
    const uint32_t *codes = comfy->text->at;
    struct range *range = &comfy->ranges[comfy->depth - 1];
    size_t from = range->at, end = range->end, i = from;
    const double weight = range->weight;
    if (codes[from] == '(') {
        size_t close = comfy->close[from] < end ? comfy->close[from] : end - 1;
        bool bracket = codes[close] == ')' && close > from;
        range->at = close + 1;
        if (!bracket)
            return put_text(comfy, from, end, weight);
        enter(comfy, from, close, weight);
        return CALO_OK;
    }
    for (size_t missing = 0; i < end && (missing || codes[i] != '('); i++) {
        missing += codes[i] == ')';
        missing -= codes[i] == '(';
    }
    range->at = i;
    return put_text(comfy, from, i, weight);
}

static calo_status read_text(struct comfy *comfy)
{
    calo_status status = CALO_OK;
    comfy->ranges[comfy->depth++] = (struct range){ 0, comfy->text->count, 1.0 };
    while (comfy->depth && !status) {
        struct range *range = &comfy->ranges[comfy->depth - 1];
        if (range->at >= range->end)
            comfy->depth--;
        else
            status = read_piece(comfy);
    }
    return status ? status : end_chunk(comfy);
}

calo_status calo_prompt_tokenize_comfy(calo_codes *text, const calo_tokenizer *tokenizer, calo_prompt_chunks *chunks,
                                       calo_fault *fault)
{
    const size_t size = text->count + 2;
    struct comfy comfy = {
        .tokenizer = tokenizer, .chunks = chunks, .fault = fault, .text = text, .room = chunks->tokens.length - 2
    };
    calo_status status = CALO_OK;
    comfy.close = calo_alloc(size, sizeof *comfy.close);
    comfy.mark = calo_alloc(size, sizeof *comfy.mark);
    comfy.colon = calo_alloc(size, sizeof *comfy.colon);
    comfy.ranges = calo_alloc(size, sizeof *comfy.ranges);
    size_t *stack = calo_alloc(size, sizeof *stack);
    comfy.ids = calo_alloc((size_t)comfy.room, sizeof *comfy.ids);
    comfy.weights = calo_alloc((size_t)comfy.room, sizeof *comfy.weights);
    if (!comfy.close || !comfy.mark || !comfy.colon || !comfy.ranges || !stack || !comfy.ids || !comfy.weights)
        status = calo_fail(fault, CALO_EMEMORY, "no memory for a prompt of %zu characters", text->count);
    if (!status) {
        escape(text);
        find_partners(&comfy, stack);
        status = read_text(&comfy);
    }
    calo_free(comfy.close);
    calo_free(comfy.mark);
    calo_free(comfy.colon);
    calo_free(comfy.ranges);
    calo_free(stack);
    calo_free(comfy.ids);
    calo_free(comfy.weights);
    return status;
}
