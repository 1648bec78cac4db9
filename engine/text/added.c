/* Seeking added tokens: the patterns are sorted, and at each place of the text the range of those that agree is
   narrowed character by character. Where no pattern begins with the character, that is one binary search. */
#include "added.h"
#include "../shim.h"

#include <stdlib.h>
#include <string.h>

calo_status calo_added_put(calo_added *added, const calo_added_token *token, const char *name, calo_fault *fault)
{
    if (strlen(token->content) > CALO_ADDED_LONGEST)
        return calo_fail(fault, CALO_EFILE, "%s: the added token %.40s… has more than %d bytes", name, token->content,
                         CALO_ADDED_LONGEST);
    size_t at = 0;
    while (at < added->count && added->tokens[at].id != token->id)
        at++;
    if (at == CALO_ADDED_MOST)
        return calo_fail(fault, CALO_EFILE, "%s: more than %d added tokens", name, CALO_ADDED_MOST);
    if (at == added->capacity) {
        size_t capacity = 2 * added->capacity + 8;
        calo_added_token *tokens = calo_resize(added->tokens, capacity, sizeof *tokens);
        if (!tokens)
            return calo_fail(fault, CALO_EMEMORY, "no memory for %zu added tokens", capacity);
        added->tokens = tokens;
        added->capacity = capacity;
    }
    char *content = calo_copy_string(token->content);
    if (!content)
        return calo_fail(fault, CALO_EMEMORY, "no memory for an added token");
    /* A content that was special once stays so. */
    bool special = token->special;
    if (at < added->count) {
        special = special || (added->tokens[at].special && strcmp(added->tokens[at].content, content) == 0);
        calo_free(added->tokens[at].content);
    } else {
        added->count++;
    }
    added->tokens[at] = *token;
    added->tokens[at].special = special;
    added->tokens[at].content = content;
    added->tokens[at].pattern = (calo_codes){ 0 };
    return CALO_OK;
}

int32_t calo_added_find(const calo_added *added, const char *content)
{
    for (size_t i = 0; i < added->count; i++)
        if (strcmp(added->tokens[i].content, content) == 0)
            return added->tokens[i].id;
    return -1;
}

void calo_added_free(calo_added *added)
{
    for (size_t i = 0; i < added->count; i++) {
        calo_free(added->tokens[i].content);
        calo_codes_free(&added->tokens[i].pattern);
    }
    calo_free(added->tokens);
    calo_free(added->order);
    *added = (calo_added){ 0 };
}

struct place {
    const calo_added_token *token;
    uint32_t index;
};

static int pattern_order(const calo_codes *a, const calo_codes *b)
{
    for (size_t i = 0; i < a->count && i < b->count; i++)
        if (a->at[i] != b->at[i])
            return a->at[i] < b->at[i] ? -1 : 1;
    return (a->count > b->count) - (a->count < b->count);
}

static int place_order(const void *left, const void *right)
{
    const calo_added_token *a = ((const struct place *)left)->token, *b = ((const struct place *)right)->token;
    return a->normalized != b->normalized ? a->normalized - b->normalized : pattern_order(&a->pattern, &b->pattern);
}

static calo_status spell(calo_added_token *token, calo_fault *fault)
{
    calo_codes codes = { 0 };
    calo_status status = calo_unicode_decode(token->content, strlen(token->content), &codes, fault);
    if (!status && token->normalized)
        status = calo_unicode_normalize(codes.at, codes.count, &token->pattern, fault);
    if (status || token->normalized)
        calo_codes_free(&codes);
    else
        token->pattern = codes;
    return status;
}

calo_status calo_added_prepare(calo_added *added, const char *name, calo_fault *fault)
{
    calo_status status = CALO_OK;
    struct place *places = calo_alloc(added->count + 1, sizeof *places);
    added->order = calo_alloc(added->count + 1, sizeof *added->order);
    if (!places || !added->order) {
        status = calo_fail(fault, CALO_EMEMORY, "no memory for %zu added tokens", added->count);
        goto done;
    }
    for (size_t i = 0; i < added->count; i++) {
        if ((status = spell(&added->tokens[i], fault)))
            goto done;
        places[i] = (struct place){ &added->tokens[i], (uint32_t)i };
        added->plain += !added->tokens[i].normalized;
    }
    qsort(places, added->count, sizeof *places, place_order);
    for (size_t i = 0; i < added->count; i++) {
        if (i > 0 && place_order(&places[i - 1], &places[i]) == 0) {
            status = calo_fail(fault, CALO_EFILE, "%s: the added tokens %.64s and %.64s are sought alike", name,
                               places[i - 1].token->content, places[i].token->content);
            goto done;
        }
        added->order[i] = places[i].index;
    }
done:
    calo_free(places);
    return status;
}

/* The first of order[low … high) whose pattern has at `depth` a character not below `code`; all agree before it. */
static size_t bound(const calo_added *added, size_t low, size_t high, size_t depth, uint32_t code)
{
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const calo_codes *pattern = &added->tokens[added->order[middle]].pattern;
        if (pattern->count <= depth || pattern->at[depth] < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const calo_added_token *longest(const calo_added *added, const calo_added_pass *pass)
{
    const calo_added_token *found = NULL;
    size_t low = pass->normalized ? added->plain : 0, high = pass->normalized ? added->count : added->plain;
    for (size_t depth = 0; low < high && pass->next + depth < pass->count; depth++) {
        uint32_t code = pass->codes[pass->next + depth];
        low = bound(added, low, high, depth, code);
        high = bound(added, low, high, depth, code + 1);
        if (low < high && added->tokens[added->order[low]].pattern.count == depth + 1)
            found = &added->tokens[added->order[low]];
    }
    return found;
}

static bool is(const calo_added_pass *pass, size_t at, unsigned class)
{
    return calo_unicode_class(pass->codes[at]) & class;
}

bool calo_added_next(const calo_added *added, calo_added_pass *pass, size_t *start, size_t *end, int32_t *id)
{
    while (added->count && pass->next < pass->count) {
        const calo_added_token *token = longest(added, pass);
        if (!token) {
            pass->next++;
            continue;
        }
        size_t from = pass->next, to = from + token->pattern.count;
        pass->next = to; /* a match that is discarded below is skipped all the same, as the package does */
        if (added->ignores_special && token->special)
            continue;
        if (token->single_word &&
            ((from > 0 && is(pass, from - 1, CALO_WORD)) || (to < pass->count && is(pass, to, CALO_WORD))))
            continue;
        while (token->lstrip && from > pass->given && is(pass, from - 1, CALO_SPACE))
            from--;
        while (token->rstrip && to < pass->count && is(pass, to, CALO_SPACE))
            to++;
        *start = pass->given;
        *end = from > pass->given ? from : pass->given;
        *id = token->id;
        pass->given = to;
        return true;
    }
    *start = pass->given < pass->count ? pass->given : pass->count;
    *end = pass->count;
    return false;
}
