/* Weights and chunks in A1111's grammar:

       (a) weighs 1.1 times as much, [a] 1.1 times less, (a:1.3) 1.3 times; nested ones multiply; \( \) \[ \] \\ are
   text BREAK, a word of its own outside of weights, ends a chunk

   A bracket that is never closed holds to the end; round and square ones do not know of each other. A chunk has length
   − 2 tokens of text. Where one is full, the words after its last comma move to the next, if they are few. Source:
   stable-diffusion-webui, modules/prompt_parser.py (parse_prompt_attention), modules/sd_hijack_clip.py. */
#include "prompt_parts.h"
#include "../shim.h"

#include <math.h>
#include <string.h>

enum { BACKTRACK = 20 }; /* tokens after a comma that still move: the setting comma_padding_backtrack as it comes */

/* A stretch of text that gets its weight as one: code points from … to of the prompt, or the word BREAK. */
struct piece {
    size_t from, to;
    bool is_break;
};

/* Pieces from `first` to the next run's have this weight by now. */
struct run {
    size_t first;
    double weight;
};

struct attention {
    const calo_codes *text;
    struct piece *pieces;
    struct run *runs;
    size_t *round, *square; /* the open brackets: how many pieces there were */
    size_t piece_count, run_count, round_count, square_count;
};

static void add_piece(struct attention *attention, size_t from, size_t to, bool is_break)
{
    const double weight = is_break ? -1.0 : 1.0;
    if (!attention->run_count || attention->runs[attention->run_count - 1].weight != weight)
        attention->runs[attention->run_count++] = (struct run){ attention->piece_count, weight };
    attention->pieces[attention->piece_count++] = (struct piece){ from, to, is_break };
}

/* Multiplies the weights of the pieces from `first` on. Factors apply in the original's order, so that weights which
 * are equal there are equal here: neighbours are joined by that. */
static void multiply(struct attention *attention, size_t first, double factor)
{
    if (first >= attention->piece_count)
        return;
    struct run *runs = attention->runs;
    size_t low = 0, high = attention->run_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (runs[middle].first <= first)
            low = middle;
        else
            high = middle;
    }
    if (runs[low].first < first) {
        memmove(runs + low + 1, runs + low, (attention->run_count - low) * sizeof *runs);
        runs[++low].first = first;
        attention->run_count++;
    }
    size_t kept = low;
    for (size_t i = low; i < attention->run_count; i++) {
        struct run run = { runs[i].first, runs[i].weight * factor };
        if (!kept || runs[kept - 1].weight != run.weight)
            runs[kept++] = run;
    }
    attention->run_count = kept;
}

/* The white space and the word BREAK in codes[*from … *to), from *from on: false when there is none. */
static bool find_break(const uint32_t *codes, size_t begin, size_t end, size_t *from, size_t *to)
{
    static const char word[] = "BREAK";
    const size_t least = *from;
    for (size_t at = least; at + 5 <= end; at++) {
        size_t same = 0;
        while (same < 5 && codes[at + same] == (uint32_t)word[same])
            same++;
        if (same < 5 || (at > begin && calo_prompt_word(codes[at - 1])) ||
            (at + 5 < end && calo_prompt_word(codes[at + 5])))
            continue;
        *from = at;
        while (*from > least && calo_prompt_space(codes[*from - 1]))
            --*from;
        *to = at + 5;
        while (*to < end && calo_prompt_space(codes[*to]))
            ++*to;
        return true;
    }
    return false;
}

static void add_text(struct attention *attention, size_t begin, size_t end)
{
    size_t at = begin, from = begin, to;
    while (find_break(attention->text->at, begin, end, &from, &to)) {
        add_piece(attention, at, from, false);
        add_piece(attention, 0, 0, true);
        at = from = to;
    }
    add_piece(attention, at, end, false);
}

/* ": 1.3 )" at the colon `at`: the length, 0 if it is none. *number: whether what stands there is a number. */
static size_t read_weight(const calo_codes *text, size_t at, double *weight, bool *number)
{
    const uint32_t *codes = text->at;
    size_t i = at + 1;
    while (i < text->count && calo_prompt_space(codes[i]))
        i++;
    size_t from = i;
    i += i < text->count && (codes[i] == '+' || codes[i] == '-');
    size_t digits = i;
    while (i < text->count && (codes[i] == '.' || calo_prompt_digit(codes[i])))
        i++;
    size_t to = i;
    while (i < text->count && calo_prompt_space(codes[i]))
        i++;
    if (digits == to || i == text->count || codes[i] != ')')
        return 0;
    *number = calo_prompt_number(codes + from, to - from, weight) && isfinite(*weight);
    return i + 1 - at;
}

static bool is_bracket(uint32_t code)
{
    return code == '(' || code == ')' || code == '[' || code == ']';
}

static void read_attention(struct attention *attention)
{
    const uint32_t *codes = attention->text->at;
    const size_t count = attention->text->count;
    for (size_t i = 0, next; i < count; i = next) {
        double weight = 1.0;
        bool number = false;
        size_t size = codes[i] == ':' ? read_weight(attention->text, i, &weight, &number) : 0;
        next = i + 1;
        if (codes[i] == '\\') {
            next += next < count && (codes[next] == '\\' || is_bracket(codes[next]));
            add_piece(attention, i + 1, next, false);
        } else if (codes[i] == '(') {
            attention->round[attention->round_count++] = attention->piece_count;
        } else if (codes[i] == '[') {
            attention->square[attention->square_count++] = attention->piece_count;
        } else if (size && attention->round_count && number) {
            multiply(attention, attention->round[--attention->round_count], weight);
            next = i + size;
        } else if (codes[i] == ')' && attention->round_count) {
            multiply(attention, attention->round[--attention->round_count], 1.1);
        } else if (codes[i] == ']' && attention->square_count) {
            multiply(attention, attention->square[--attention->square_count], 1 / 1.1);
        } else if (codes[i] == ':' || is_bracket(codes[i])) {
            if (size && !attention->round_count) /* no bracket to close */
                next = i + size;
            add_piece(attention, i, next, false);
        } else {
            while (next < count && codes[next] != '\\' && codes[next] != ':' && !is_bracket(codes[next]))
                next++;
            add_text(attention, i, next);
        }
    }
    for (size_t i = 0; i < attention->round_count; i++)
        multiply(attention, attention->round[i], 1.1);
    for (size_t i = 0; i < attention->square_count; i++)
        multiply(attention, attention->square[i], 1 / 1.1);
}

/* ---- chunks ----------------------------------------------------------------------------------------------------- */

/* The chunk that is being filled. */
struct filling {
    const calo_tokenizer *tokenizer;
    calo_prompt_chunks *chunks;
    calo_fault *fault;
    int32_t *ids;    /* [room] */
    double *weights; /* [room] */
    int room, count;
    int comma; /* where the last one stands; −1: none */
};

/* Ends the chunk before token `end`; the others begin the next. */
static calo_status end_chunk(struct filling *filling, int end)
{
    calo_status status = calo_prompt_chunks_put(filling->chunks, filling->tokenizer, filling->ids, filling->weights,
                                                end, filling->fault);
    filling->count -= end;
    memmove(filling->ids, filling->ids + end, (size_t)filling->count * sizeof *filling->ids);
    memmove(filling->weights, filling->weights + end, (size_t)filling->count * sizeof *filling->weights);
    filling->comma = -1;
    return status;
}

static calo_status put_token(struct filling *filling, int32_t id, double weight, int32_t comma)
{
    calo_status status = CALO_OK;
    if (id == comma)
        filling->comma = filling->count;
    else if (filling->count == filling->room && filling->comma != -1 && filling->count - filling->comma <= BACKTRACK)
        status = end_chunk(filling, filling->comma + 1);
    if (!status && filling->count == filling->room)
        status = end_chunk(filling, filling->count);
    filling->ids[filling->count] = id;
    filling->weights[filling->count++] = weight;
    return status;
}

/* The text of neighbours with one weight, read as one. */
static calo_status put_text(struct filling *filling, const calo_codes *text, double weight, int32_t comma)
{
    static const char word[] = "BREAK";
    size_t same = 0, count;
    int32_t *ids;
    while (same < text->count && same < 5 && text->at[same] == (uint32_t)word[same])
        same++;
    if (same == 5 && text->count == 5 && weight == -1.0)
        return end_chunk(filling, filling->count);
    char *string = calo_prompt_string(text->at, text->count);
    if (!string)
        return calo_fail(filling->fault, CALO_EMEMORY, "no memory for %zu characters of a prompt", text->count);
    calo_status status = calo_tokenizer_split_words(filling->tokenizer, string, &ids, &count, filling->fault);
    calo_free(string);
    for (size_t i = 0; i < count && !status; i++)
        status = put_token(filling, ids[i], weight, comma);
    calo_free(ids);
    return status;
}

static calo_status append(calo_codes *joined, const struct attention *attention, const struct piece *piece,
                          calo_fault *fault)
{
    static const uint32_t word[] = { 'B', 'R', 'E', 'A', 'K' };
    const uint32_t *from = piece->is_break ? word : attention->text->at + piece->from;
    const size_t count = piece->is_break ? 5 : piece->to - piece->from;
    if (calo_codes_reserve(joined, count, fault))
        return CALO_EMEMORY;
    if (count)
        memcpy(joined->at + joined->count, from, count * sizeof *from);
    joined->count += count;
    return CALO_OK;
}

static calo_status fill_chunks(struct filling *filling, const struct attention *attention)
{
    const int32_t comma = calo_tokenizer_find(filling->tokenizer, ",</w>");
    calo_codes joined = { 0 };
    calo_status status = CALO_OK;
    size_t run = 0;
    for (size_t i = 0; i < attention->piece_count && !status;) {
        while (run + 1 < attention->run_count && attention->runs[run + 1].first <= i)
            run++;
        const double weight = attention->runs[run].weight;
        joined.count = 0;
        do {
            status = append(&joined, attention, &attention->pieces[i++], filling->fault);
            if (run + 1 < attention->run_count && attention->runs[run + 1].first == i)
                break;                                                       /* neighbouring runs differ */
        } while (!status && i < attention->piece_count && weight == weight); /* one NaN is not another */
        if (!status)
            status = put_text(filling, &joined, weight, comma);
    }
    if (!status && (filling->count || !filling->chunks->tokens.chunks))
        status = end_chunk(filling, filling->count);
    calo_codes_free(&joined);
    return status;
}

/* OpenCLIP's models have padding after the first end token, be it one that the prompt spells out. */
static void pad_after_end(const calo_tokenizer *tokenizer, calo_prompt_tokens *tokens)
{
    for (int chunk = 0; chunk < tokens->chunks; chunk++) {
        int32_t *ids = tokens->ids + (size_t)chunk * (size_t)tokens->length;
        int i = 0;
        while (ids[i] != calo_tokenizer_eos(tokenizer))
            i++;
        while (++i < tokens->length)
            ids[i] = calo_tokenizer_pad(tokenizer);
    }
}

calo_status calo_prompt_tokenize_a1111(const calo_codes *text, const calo_tokenizer *tokenizer,
                                       calo_prompt_chunks *chunks, calo_fault *fault)
{
    const int room = chunks->tokens.length - 2;
    const size_t most = 2 * text->count + 1; /* pieces: one a character, two more for each BREAK */
    struct filling filling = { tokenizer, chunks, fault, NULL, NULL, room, 0, -1 };
    struct attention attention = { .text = text };
    calo_status status = CALO_OK;
    attention.pieces = calo_alloc(most, sizeof *attention.pieces);
    attention.runs = calo_alloc(most, sizeof *attention.runs);
    attention.round = calo_alloc(most, sizeof *attention.round);
    attention.square = calo_alloc(most, sizeof *attention.square);
    filling.ids = calo_alloc((size_t)room, sizeof *filling.ids);
    filling.weights = calo_alloc((size_t)room, sizeof *filling.weights);
    if (!attention.pieces || !attention.runs || !attention.round || !attention.square || !filling.ids ||
        !filling.weights)
        status = calo_fail(fault, CALO_EMEMORY, "no memory for a prompt of %zu characters", text->count);
    if (!status) {
        read_attention(&attention);
        status = fill_chunks(&filling, &attention);
    }
    if (!status && calo_tokenizer_pad(tokenizer) != calo_tokenizer_eos(tokenizer))
        pad_after_end(tokenizer, &chunks->tokens);
    calo_free(attention.pieces);
    calo_free(attention.runs);
    calo_free(attention.round);
    calo_free(attention.square);
    calo_free(filling.ids);
    calo_free(filling.weights);
    return status;
}
