/* Decoding, canonical composition, lower case and classes.

   NFC is UAX #15: decompose fully, sort each run of marks by combining class, then join each character with the last
   starter where nothing between them blocks it. Hangul syllables are arithmetic: LV = S + (L·21 + V)·28, LVT = LV + T.
 */
#include "unicode.h"
#include "unicode_tables.h"
#include "../shim.h"

#include <string.h>

enum { REPLACEMENT = 0xFFFD, FIRST_MARK = 0x300, FIRST_DECOMPOSED = 0xC0, DEEPEST = 8, RANKS = 256, SHORT_RUN = 16 };
enum { S = 0xAC00, L = 0x1100, V = 0x1161, T = 0x11A7, LS = 19, VS = 21, TS = 28, SS = LS * VS * TS };

calo_status calo_codes_reserve(calo_codes *codes, size_t more, calo_fault *fault)
{
    if (more <= codes->capacity - codes->count)
        return CALO_OK;
    if (more > SIZE_MAX / 8 || codes->count > SIZE_MAX / 8)
        return calo_fail(fault, CALO_EMEMORY, "no memory for a text of %zu characters", more);
    size_t capacity = codes->count + more;
    if (capacity < codes->capacity + codes->capacity / 2)
        capacity = codes->capacity + codes->capacity / 2;
    uint32_t *at = calo_resize(codes->at, capacity, sizeof *at);
    if (!at)
        return calo_fail(fault, CALO_EMEMORY, "no memory for a text of %zu characters", capacity);
    codes->at = at;
    codes->capacity = capacity;
    return CALO_OK;
}

void calo_codes_free(calo_codes *codes)
{
    calo_free(codes->at);
    *codes = (calo_codes){ 0 };
}

/* Bytes of the longest valid or truncated sequence at text[0]; *code is U+FFFD unless it is whole. */
static size_t sequence(const uint8_t *text, size_t size, uint32_t *code)
{
    uint8_t lead = text[0];
    *code = REPLACEMENT;
    if (lead < 0x80) {
        *code = lead;
        return 1;
    }
    if (lead < 0xC2 || lead > 0xF4)
        return 1;
    size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    /* The second byte alone tells overlong forms, surrogates and codes beyond U+10FFFF. */
    uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    uint32_t value = lead & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (i >= size || text[i] < low || text[i] > high)
            return i;
        value = value << 6 | (text[i] & 0x3Fu);
        low = 0x80;
        high = 0xBF;
    }
    *code = value;
    return length;
}

calo_status calo_unicode_decode(const char *text, size_t size, calo_codes *codes, calo_fault *fault)
{
    if (calo_codes_reserve(codes, size, fault))
        return CALO_EMEMORY;
    const uint8_t *bytes = (const uint8_t *)text;
    for (size_t i = 0; i < size;)
        i += sequence(bytes + i, size - i, &codes->at[codes->count++]);
    return CALO_OK;
}

int calo_unicode_encode(uint32_t code, uint8_t bytes[4])
{
    if (code < 0x80) {
        bytes[0] = (uint8_t)code;
        return 1;
    }
    int length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (int i = length - 1; i > 0; i--, code >>= 6)
        bytes[i] = (uint8_t)(0x80 | (code & 0x3F));
    bytes[0] = (uint8_t)(0xF00 >> length | code);
    return length;
}

/* The value of `code` in a table of changes. */
static uint32_t change(const uint32_t *table, size_t count, int bits, uint32_t code)
{
    size_t low = 0, high = count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (table[middle] >> bits <= code)
            low = middle;
        else
            high = middle;
    }
    return table[low] & ((1u << bits) - 1);
}

unsigned calo_unicode_class(uint32_t code)
{
    return change(calo_unicode_classes, calo_unicode_class_count, 4, code);
}

static uint32_t rank_of(uint32_t code)
{
    return code < FIRST_MARK ? 0 : change(calo_unicode_marks, calo_unicode_mark_count, 8, code);
}

int calo_unicode_lower(uint32_t code, uint32_t lower[2])
{
    lower[0] = code;
    if (code < 0x80) {
        lower[0] += code >= 'A' && code <= 'Z' ? 'a' - 'A' : 0;
        return 1;
    }
    if (code == 0x130) { /* İ: the dot stays, as a mark of its own */
        lower[0] = 'i';
        lower[1] = 0x307;
        return 2;
    }
    size_t low = 0, high = calo_unicode_lower_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (calo_unicode_lowers[middle].first <= code)
            low = middle;
        else
            high = middle;
    }
    const struct calo_unicode_lower *run = &calo_unicode_lowers[low];
    uint32_t past = code - run->first;
    if (code >= run->first && past % run->step == 0 && past / run->step < run->count)
        lower[0] = (uint32_t)((int32_t)code + run->offset);
    return 1;
}

static const struct calo_unicode_pair *pair_of(uint32_t code)
{
    size_t low = 0, high = calo_unicode_pair_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (calo_unicode_pairs[middle].code < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low < calo_unicode_pair_count && calo_unicode_pairs[low].code == code ? &calo_unicode_pairs[low] : NULL;
}

/* The character that first and second make, or 0. */
static uint32_t joined(uint32_t first, uint32_t second)
{
    if (second < FIRST_MARK)
        return 0;
    if (first >= L && first < L + LS && second >= V && second < V + VS)
        return S + ((first - L) * VS + (second - V)) * TS;
    if (first >= S && first < S + SS && (first - S) % TS == 0 && second > T && second < T + TS)
        return first + (second - T);
    size_t low = 0, high = calo_unicode_composed_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct calo_unicode_pair *pair = &calo_unicode_pairs[calo_unicode_composed[middle]];
        if (pair->first < first || (pair->first == first && pair->second < second))
            low = middle + 1;
        else
            high = middle;
    }
    if (low == calo_unicode_composed_count)
        return 0;
    const struct calo_unicode_pair *pair = &calo_unicode_pairs[calo_unicode_composed[low]];
    return pair->first == first && pair->second == second ? pair->code : 0;
}

/* Appends the full decomposition of one code point. */
static calo_status decompose(uint32_t code, calo_codes *out, calo_fault *fault)
{
    if (calo_codes_reserve(out, DEEPEST + 1, fault))
        return CALO_EMEMORY;
    if (code >= S && code < S + SS) {
        uint32_t index = code - S;
        out->at[out->count++] = L + index / (VS * TS);
        out->at[out->count++] = V + index / TS % VS;
        if (index % TS)
            out->at[out->count++] = T + index % TS;
        return CALO_OK;
    }
    /* Second parts never decompose further (the generator's own expansion agrees), so a stack of them suffices. */
    uint32_t seconds[DEEPEST];
    int depth = 0;
    const struct calo_unicode_pair *pair;
    while (code >= FIRST_DECOMPOSED && depth < DEEPEST && (pair = pair_of(code))) {
        if (pair->second)
            seconds[depth++] = pair->second;
        code = pair->first;
    }
    out->at[out->count++] = code;
    while (depth)
        out->at[out->count++] = seconds[--depth];
    return CALO_OK;
}

/* Sorts a run of marks by rank, keeping the order of equals. Long runs are counted: a hostile one stays linear. */
static calo_status sort_marks(uint32_t *marks, size_t count, calo_codes *spare, calo_fault *fault)
{
    if (count <= SHORT_RUN) {
        for (size_t i = 1; i < count; i++) {
            uint32_t mark = marks[i], rank = rank_of(mark);
            size_t j = i;
            for (; j > 0 && rank_of(marks[j - 1]) > rank; j--)
                marks[j] = marks[j - 1];
            marks[j] = mark;
        }
        return CALO_OK;
    }
    spare->count = 0;
    if (calo_codes_reserve(spare, count, fault))
        return CALO_EMEMORY;
    memcpy(spare->at, marks, count * sizeof *marks);
    size_t start[RANKS] = { 0 };
    for (size_t i = 0; i < count; i++)
        start[rank_of(marks[i])]++;
    for (size_t rank = 0, sum = 0; rank < RANKS; rank++) {
        size_t here = start[rank];
        start[rank] = sum;
        sum += here;
    }
    for (size_t i = 0; i < count; i++)
        marks[start[rank_of(spare->at[i])]++] = spare->at[i];
    return CALO_OK;
}

/* Joins in place; the text only shrinks. */
static size_t recompose(uint32_t *codes, size_t count)
{
    size_t kept = 0, starter = SIZE_MAX;
    uint32_t before = 0; /* rank of the last character kept; 0 says that it is the starter itself */
    for (size_t i = 0; i < count; i++) {
        uint32_t code = codes[i], rank = rank_of(code), whole;
        if (starter != SIZE_MAX && (before < rank || before == 0) && (whole = joined(codes[starter], code))) {
            codes[starter] = whole;
            continue;
        }
        if (rank == 0)
            starter = kept;
        before = rank;
        codes[kept++] = code;
    }
    return kept;
}

calo_status calo_unicode_compose(const uint32_t *codes, size_t count, calo_codes *composed, calo_fault *fault)
{
    calo_status status = CALO_OK;
    calo_codes spare = { 0 };
    composed->count = 0;
    if ((status = calo_codes_reserve(composed, count, fault)))
        return status;
    size_t run = 0; /* where the current run of marks began */
    for (size_t i = 0; i < count && !status; i++) {
        size_t from = composed->count;
        status = decompose(codes[i], composed, fault);
        for (size_t j = from; j < composed->count && !status; j++)
            if (rank_of(composed->at[j]) == 0) {
                status = sort_marks(composed->at + run, j - run, &spare, fault);
                run = j + 1;
            }
    }
    if (!status)
        status = sort_marks(composed->at + run, composed->count - run, &spare, fault);
    if (!status)
        composed->count = recompose(composed->at, composed->count);
    calo_codes_free(&spare);
    return status;
}

calo_status calo_unicode_normalize(const uint32_t *codes, size_t count, calo_codes *normal, calo_fault *fault)
{
    calo_codes composed = { 0 };
    calo_status status = calo_unicode_compose(codes, count, &composed, fault);
    normal->count = 0;
    bool spaced = false;
    for (size_t i = 0; i < composed.count && !status; i++) {
        uint32_t lower[2];
        bool space = calo_unicode_class(composed.at[i]) & CALO_SPACE;
        if (space && spaced)
            continue;
        spaced = space;
        int made = calo_unicode_lower(space ? ' ' : composed.at[i], lower);
        if ((status = calo_codes_reserve(normal, 2, fault)))
            break;
        for (int j = 0; j < made; j++)
            normal->at[normal->count++] = lower[j];
    }
    calo_codes_free(&composed);
    return status;
}
