/* From text to ids. The steps are in tokenizer.h; each but the last works on arrays of code points, and each is linear
   or n log n in the length of the text. */
#include "tokenizer_parts.h"
#include "unicode.h"
#include "../shim.h"

#include <string.h>

/* What one encoding needs; `ids` is its result. */
struct work {
    const calo_tokenizer *tokenizer;
    size_t limit;      /* ids that are wanted: the search ends when it has them */
    int32_t word_id;   /* the added token that is a word like any other; −1: none is */
    calo_codes text;   /* the prompt */
    calo_codes normal; /* a part of it between added tokens, normalised */
    uint8_t *word;     /* UTF-8 */
    size_t word_capacity;
    calo_byte_pair_work pairs;
    calo_ids ids;
    calo_fault *fault;
};

static calo_status encode_word(struct work *work, const uint32_t *codes, size_t count)
{
    if (count > work->word_capacity / 4) {
        size_t capacity = count + count / 2 + 64;
        uint8_t *word = calo_resize(work->word, capacity, 4);
        if (!word)
            return calo_fail(work->fault, CALO_EMEMORY, "no memory for a word of %zu characters", count);
        work->word = word;
        work->word_capacity = 4 * capacity;
    }
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += (size_t)calo_unicode_encode(codes[i], work->word + size);
    return calo_byte_pair_encode(&work->tokenizer->pairs, work->word, size, &work->pairs, &work->ids, work->fault);
}

/* Characters of `text` (ASCII) if codes begin with it, else 0. */
static size_t begins(const uint32_t *codes, size_t count, const char *text)
{
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i++)
        if (i >= count || codes[i] != (uint32_t)text[i])
            return 0;
    return size;
}

static size_t run(const uint32_t *codes, size_t count, bool letters)
{
    const unsigned stops = CALO_LETTER | CALO_NUMBER | CALO_SPACE;
    size_t size = 0;
    while (size < count) {
        unsigned class = calo_unicode_class(codes[size]) & stops;
        if (letters ? class != CALO_LETTER : class != 0)
            break;
        size++;
    }
    return size;
}

/* The length of the word at codes[0], 0 for a space. The first alternative that matches counts, not the longest:
 * "'sun" is 's and un. */
static size_t word_length(const uint32_t *codes, size_t count)
{
    static const char *const contractions[] = { "'s", "'t", "'re", "'ve", "'m", "'ll", "'d" };
    size_t size;
    if (codes[0] == '\'')
        for (size_t i = 0; i < sizeof contractions / sizeof *contractions; i++)
            if ((size = begins(codes, count, contractions[i])))
                return size;
    unsigned class = calo_unicode_class(codes[0]);
    if (class & CALO_NUMBER)
        return 1;
    return class & CALO_SPACE ? 0 : run(codes, count, class & CALO_LETTER);
}

/* The words of a normalised text, as far as they are wanted. */
static calo_status encode_words(struct work *work, const uint32_t *codes, size_t count)
{
    calo_status status = CALO_OK;
    for (size_t i = 0; i < count && !status && work->ids.count < work->limit;) {
        size_t size = 0;
        if (codes[i] == '<' && ((size = begins(codes + i, count - i, "<|startoftext|>")) ||
                                (size = begins(codes + i, count - i, "<|endoftext|>")))) {
            /* One match of the first expression, which the byte-level step's own splits in three: <| startoftext |> */
            status = encode_word(work, codes + i, 2);
            if (!status)
                status = encode_word(work, codes + i + 2, size - 4);
            if (!status)
                status = encode_word(work, codes + i + size - 2, 2);
            i += size;
            continue;
        }
        size = word_length(codes + i, count - i);
        if (size)
            status = encode_word(work, codes + i, size);
        i += size ? size : 1;
    }
    return status;
}

/* The next added token that counts, and the text before it, in which the others stay. */
static bool next_token(const struct work *work, calo_added_pass *pass, size_t *start, size_t *end, int32_t *id)
{
    size_t first = pass->given, from;
    bool more;
    do
        more = calo_added_next(&work->tokenizer->added, pass, &from, end, id);
    while (more && *id == work->word_id);
    *start = first < *end ? first : *end;
    return more;
}

/* A part of the text between tokens that are sought as they are. */
static calo_status encode_part(struct work *work, const uint32_t *codes, size_t count)
{
    calo_status status = calo_unicode_normalize(codes, count, &work->normal, work->fault);
    calo_added_pass pass = { work->normal.at, work->normal.count, true, 0, 0 };
    bool more = true;
    while (more && !status && work->ids.count < work->limit) {
        size_t start, end;
        int32_t id;
        more = next_token(work, &pass, &start, &end, &id);
        status = encode_words(work, pass.codes + start, end - start);
        if (more && !status)
            status = calo_ids_push(&work->ids, id, work->fault);
    }
    return status;
}

/* Fills work->ids with at least `limit` ids, or all. */
static calo_status encode_text(struct work *work, const char *text)
{
    size_t size = text ? strlen(text) : 0;
    if (size > INT32_MAX / 4)
        return calo_fail(work->fault, CALO_EUSAGE, "a prompt of %zu bytes is too long", size);
    calo_status status = calo_unicode_decode(text ? text : "", size, &work->text, work->fault);
    calo_added_pass pass = { work->text.at, work->text.count, false, 0, 0 };
    bool more = true;
    while (more && !status && work->ids.count < work->limit) {
        size_t start, end;
        int32_t id;
        more = next_token(work, &pass, &start, &end, &id);
        if (start < end)
            status = encode_part(work, pass.codes + start, end - start);
        if (more && !status)
            status = calo_ids_push(&work->ids, id, work->fault);
    }
    return status;
}

static void close_work(struct work *work)
{
    calo_codes_free(&work->text);
    calo_codes_free(&work->normal);
    calo_free(work->word);
    calo_byte_pair_work_free(&work->pairs);
    calo_ids_free(&work->ids);
}

calo_status calo_tokenizer_encode(const calo_tokenizer *tokenizer, const char *text, int32_t *ids, int max_length,
                                  int *used, calo_fault *fault)
{
    if (max_length < 2)
        return calo_fail(fault, CALO_EUSAGE, "a token count of %d leaves no room for the start and end tokens",
                         max_length);
    size_t room = (size_t)max_length - 2;
    const size_t limit = tokenizer->cuts_left ? SIZE_MAX : room;
    struct work work = { .tokenizer = tokenizer, .limit = limit, .word_id = -1, .fault = fault };
    calo_status status = encode_text(&work, text);
    if (!status) {
        size_t kept = work.ids.count < room ? work.ids.count : room, padding = room - kept;
        const int32_t *from = work.ids.at;
        if (tokenizer->cuts_left && from)
            from += work.ids.count - kept;
        for (size_t i = 0; i < padding && tokenizer->pads_left; i++)
            *ids++ = tokenizer->pad;
        *ids++ = tokenizer->bos;
        for (size_t i = 0; i < kept; i++)
            *ids++ = from[i];
        *ids++ = tokenizer->eos;
        for (size_t i = 0; i < padding && !tokenizer->pads_left; i++)
            *ids++ = tokenizer->pad;
        if (used)
            *used = (int)kept + 2;
    }
    close_work(&work);
    return status;
}

static calo_status split(const calo_tokenizer *tokenizer, int32_t word_id, const char *text, int32_t **ids,
                         size_t *count, calo_fault *fault)
{
    struct work work = { .tokenizer = tokenizer, .limit = SIZE_MAX, .word_id = word_id, .fault = fault };
    *ids = NULL;
    *count = 0;
    calo_status status = encode_text(&work, text);
    if (!status) {
        *ids = work.ids.at;
        *count = work.ids.count;
        work.ids = (calo_ids){ 0 };
    }
    close_work(&work);
    return status;
}

calo_status calo_tokenizer_split(const calo_tokenizer *tokenizer, const char *text, int32_t **ids, size_t *count,
                                 calo_fault *fault)
{
    return split(tokenizer, -1, text, ids, count, fault);
}

calo_status calo_tokenizer_split_words(const calo_tokenizer *tokenizer, const char *text, int32_t **ids, size_t *count,
                                       calo_fault *fault)
{
    return split(tokenizer, tokenizer->pad == tokenizer->eos ? -1 : tokenizer->pad, text, ids, count, fault);
}

calo_status calo_tokenizer_build(calo_tokenizer *tokenizer, const struct calo_special_files *files,
                                 const struct calo_merge_text *merges, size_t merge_count, const char *name,
                                 calo_fault *fault)
{
    struct calo_special special = { 0 };
    calo_vocabulary_sort(&tokenizer->vocabulary);
    calo_status status = calo_special_resolve(files, &tokenizer->vocabulary, &tokenizer->added, &special, fault);
    if (!status)
        status = calo_byte_pair_build(&tokenizer->pairs, &tokenizer->vocabulary, merges, merge_count, special.unknown,
                                      name, fault);
    if (status)
        return status;
    tokenizer->bos = special.bos;
    tokenizer->eos = special.eos;
    tokenizer->pad = special.pad;
    tokenizer->size = special.size;
    int32_t largest = 0;
    for (size_t i = 0; i < tokenizer->vocabulary.count; i++)
        if (tokenizer->vocabulary.words[i].id > largest)
            largest = tokenizer->vocabulary.words[i].id;
    for (size_t i = 0; i < tokenizer->added.count; i++)
        if (tokenizer->added.tokens[i].id > largest)
            largest = tokenizer->added.tokens[i].id;
    tokenizer->rows = largest + 1;
    return CALO_OK;
}

void calo_tokenizer_close(calo_tokenizer **tokenizer)
{
    if (!tokenizer || !*tokenizer)
        return;
    calo_vocabulary_free(&(*tokenizer)->vocabulary);
    calo_byte_pair_free(&(*tokenizer)->pairs);
    calo_added_free(&(*tokenizer)->added);
    calo_free(*tokenizer);
    *tokenizer = NULL;
}

int32_t calo_tokenizer_bos(const calo_tokenizer *tokenizer)
{
    return tokenizer->bos;
}

int32_t calo_tokenizer_eos(const calo_tokenizer *tokenizer)
{
    return tokenizer->eos;
}

int32_t calo_tokenizer_pad(const calo_tokenizer *tokenizer)
{
    return tokenizer->pad;
}

void calo_tokenizer_set_pad(calo_tokenizer *tokenizer, int32_t id)
{
    tokenizer->pad = id;
}

int calo_tokenizer_max_length(const calo_tokenizer *tokenizer)
{
    return tokenizer->max_length;
}

size_t calo_tokenizer_size(const calo_tokenizer *tokenizer)
{
    return tokenizer->size;
}

int32_t calo_tokenizer_rows(const calo_tokenizer *tokenizer)
{
    return tokenizer->rows;
}

int32_t calo_tokenizer_find(const calo_tokenizer *tokenizer, const char *word)
{
    int32_t id = calo_added_find(&tokenizer->added, word);
    return id >= 0 ? id : calo_vocabulary_find(&tokenizer->vocabulary, word, strlen(word));
}
