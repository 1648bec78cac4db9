/* Merging with a heap of candidates and a linked list of symbols: a merge touches two neighbours, so a word of n bytes
   costs O(n log n), where the usual scan for the best pair costs O(n²) and a long word would hang.

   The merges of a left symbol lie together, sorted by their right symbol: a lookup is one index and a short search, and
   no file can make it slow. */
#include "byte_pair.h"
#include "unicode.h"
#include "../shim.h"

#include <stdlib.h>
#include <string.h>

struct calo_symbol {
    int32_t symbol; /* −1: merged into its left neighbour */
    int32_t left, right;
};

static const char word_end[] = "</w>";
enum {
    WORD_END = sizeof word_end - 1,
    FAN = 4
}; /* children of a heap's node: with 4 of 8 bytes one line of cache has them */

calo_status calo_ids_push(calo_ids *ids, int32_t id, calo_fault *fault)
{
    if (ids->count == ids->capacity) {
        size_t capacity = 2 * ids->capacity + 128;
        int32_t *at = calo_resize(ids->at, capacity, sizeof *at);
        if (!at)
            return calo_fail(fault, CALO_EMEMORY, "no memory for %zu tokens", capacity);
        ids->at = at;
        ids->capacity = capacity;
    }
    ids->at[ids->count++] = id;
    return CALO_OK;
}

void calo_ids_free(calo_ids *ids)
{
    calo_free(ids->at);
    *ids = (calo_ids){ 0 };
}

uint32_t calo_byte_pair_alphabet(uint8_t byte)
{
    if (byte <= 0x20)
        return 0x100u + byte;
    if (byte >= 0x7F && byte <= 0xA0)
        return 0x121u + (byte - 0x7Fu);
    return byte == 0xAD ? 0x143 : byte;
}

/* The symbol with this id, or −1. */
static int32_t symbol_of(const calo_byte_pair *pairs, int32_t id)
{
    uint32_t low = 0, high = pairs->symbols;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (pairs->ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < pairs->symbols && pairs->ids[low] == id ? (int32_t)low : -1;
}

static int32_t find(const calo_byte_pair *pairs, const calo_vocabulary *vocabulary, const char *bytes, size_t size)
{
    int32_t id = calo_vocabulary_find(vocabulary, bytes, size);
    return id < 0 ? -1 : symbol_of(pairs, id);
}

static const struct calo_merge *lookup(const calo_byte_pair *pairs, int32_t left, int32_t right)
{
    uint32_t low = pairs->first[left], end = pairs->first[left + 1], high = end;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (pairs->merges[middle].right < (uint32_t)right)
            low = middle + 1;
        else
            high = middle;
    }
    return low < end && pairs->merges[low].right == (uint32_t)right ? &pairs->merges[low] : NULL;
}

/* ---- building --------------------------------------------------------------------------------------------------- */

struct row {
    uint32_t left;
    struct calo_merge merge;
};

static int row_order(const void *left, const void *right)
{
    const struct row *a = left, *b = right;
    if (a->left != b->left)
        return a->left < b->left ? -1 : 1;
    if (a->merge.right != b->merge.right)
        return a->merge.right < b->merge.right ? -1 : 1;
    return (a->merge.rank > b->merge.rank) - (a->merge.rank < b->merge.rank);
}

static int id_order(const void *left, const void *right)
{
    const int32_t *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

/* The distinct ids, ascending: two words may share one, and are then the same symbol. */
static calo_status number_symbols(calo_byte_pair *pairs, const calo_vocabulary *vocabulary, calo_fault *fault)
{
    size_t count = vocabulary->count;
    int32_t *ids = calo_alloc(count + 1, sizeof *ids);
    if (!ids || count > INT32_MAX / 2) {
        calo_free(ids);
        return calo_fail(fault, CALO_EMEMORY, "no memory for %zu symbols", count);
    }
    pairs->ids = ids;
    for (size_t i = 0; i < count; i++)
        ids[i] = vocabulary->words[i].id;
    qsort(ids, count, sizeof *ids, id_order);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || ids[i] != ids[pairs->symbols - 1])
            ids[pairs->symbols++] = ids[i];
    return CALO_OK;
}

/* One merge of the file as symbols. `joint` holds the two words side by side. */
static calo_status resolve(const calo_byte_pair *pairs, const calo_vocabulary *vocabulary,
                           const struct calo_merge_text *merge, char *joint, size_t rank, struct row *row,
                           const char *name, calo_fault *fault)
{
    memcpy(joint, merge->left, merge->left_size);
    memcpy(joint + merge->left_size, merge->right, merge->right_size);
    int32_t left = find(pairs, vocabulary, merge->left, merge->left_size);
    int32_t right = find(pairs, vocabulary, merge->right, merge->right_size);
    int32_t made = find(pairs, vocabulary, joint, merge->left_size + merge->right_size);
    if (left < 0 || right < 0 || made < 0) {
        bool one = left < 0 || right < 0;
        const char *word = left < 0 ? merge->left : right < 0 ? merge->right : joint;
        size_t size = left < 0    ? merge->left_size
                      : right < 0 ? merge->right_size
                                  : merge->left_size + merge->right_size;
        return calo_fail(fault, CALO_EFILE, "%s: merge %zu %s \"%.*s\", which the vocabulary lacks", name, rank + 1,
                         one ? "joins" : "makes", (int)(size < 64 ? size : 64), word);
    }
    *row = (struct row){ (uint32_t)left, { (uint32_t)right, (uint32_t)rank, (uint32_t)made } };
    return CALO_OK;
}

static calo_status build_merges(calo_byte_pair *pairs, const calo_vocabulary *vocabulary,
                                const struct calo_merge_text *merges, size_t count, const char *name, calo_fault *fault)
{
    calo_status status = CALO_OK;
    size_t longest = 0;
    for (size_t i = 0; i < count; i++) {
        size_t size = merges[i].left_size + merges[i].right_size;
        longest = size > longest ? size : longest;
    }
    struct row *rows = calo_alloc(count + 1, sizeof *rows);
    char *joint = calo_alloc(longest + 1, 1);
    pairs->first = calo_alloc((size_t)pairs->symbols + 1, sizeof *pairs->first);
    pairs->merges = calo_alloc(count + 1, sizeof *pairs->merges);
    pairs->made = calo_alloc(count + 1, sizeof *pairs->made);
    if (!rows || !joint || !pairs->first || !pairs->merges || !pairs->made || count >= UINT32_MAX) {
        status = calo_fail(fault, CALO_EMEMORY, "no memory for %zu merges", count);
        goto done;
    }
    for (size_t i = 0; i < count; i++)
        if ((status = resolve(pairs, vocabulary, &merges[i], joint, i, &rows[i], name, fault)))
            goto done;
    qsort(rows, count, sizeof *rows, row_order);
    for (size_t i = 0; i < count; i++) {
        /* Of a repeated pair the last rank counts, as it does in the package's table. */
        if (i + 1 < count && rows[i].left == rows[i + 1].left && rows[i].merge.right == rows[i + 1].merge.right)
            continue;
        pairs->merges[pairs->merge_count++] = rows[i].merge;
        pairs->made[rows[i].merge.rank] = rows[i].merge.made;
        pairs->first[rows[i].left + 1]++;
    }
    for (uint32_t i = 0; i < pairs->symbols; i++)
        pairs->first[i + 1] += pairs->first[i];
done:
    calo_free(rows);
    calo_free(joint);
    return status;
}

calo_status calo_byte_pair_build(calo_byte_pair *pairs, const calo_vocabulary *vocabulary,
                                 const struct calo_merge_text *merges, size_t count, const char *unknown,
                                 const char *name, calo_fault *fault)
{
    *pairs = (calo_byte_pair){ 0 };
    calo_status status = number_symbols(pairs, vocabulary, fault);
    if (!status)
        status = build_merges(pairs, vocabulary, merges, count, name, fault);
    if (status) {
        calo_byte_pair_free(pairs);
        return status;
    }
    for (int byte = 0; byte < 256; byte++) {
        uint8_t text[4 + WORD_END];
        size_t size = (size_t)calo_unicode_encode(calo_byte_pair_alphabet((uint8_t)byte), text);
        memcpy(text + size, word_end, WORD_END);
        pairs->start[byte] = find(pairs, vocabulary, (const char *)text, size);
        pairs->end[byte] = find(pairs, vocabulary, (const char *)text, size + WORD_END);
    }
    pairs->unknown = unknown ? find(pairs, vocabulary, unknown, strlen(unknown)) : -1;
    return CALO_OK;
}

void calo_byte_pair_free(calo_byte_pair *pairs)
{
    calo_free(pairs->ids);
    calo_free(pairs->first);
    calo_free(pairs->merges);
    calo_free(pairs->made);
    *pairs = (calo_byte_pair){ 0 };
}

/* ---- encoding --------------------------------------------------------------------------------------------------- */

void calo_byte_pair_work_free(calo_byte_pair_work *work)
{
    calo_free(work->symbols);
    calo_free(work->heap);
    *work = (calo_byte_pair_work){ 0 };
}

/* Remembers that the symbol at `at` can merge with its right neighbour. */
static calo_status propose(const calo_byte_pair *pairs, calo_byte_pair_work *work, int32_t at, calo_fault *fault)
{
    int32_t right = work->symbols[at].right;
    const struct calo_merge *merge;
    if (right < 0 || !(merge = lookup(pairs, work->symbols[at].symbol, work->symbols[right].symbol)))
        return CALO_OK;
    if (work->heap_count == work->heap_capacity) {
        size_t capacity = work->heap_capacity + work->heap_capacity / 2 + 64;
        uint64_t *heap = calo_resize(work->heap, capacity, sizeof *heap);
        if (!heap)
            return calo_fail(fault, CALO_EMEMORY, "no memory for a word with %zu merges", capacity);
        work->heap = heap;
        work->heap_capacity = capacity;
    }
    uint64_t candidate = (uint64_t)merge->rank << 32 | (uint32_t)at;
    size_t i = work->heap_count++;
    for (size_t parent; i > 0 && candidate < work->heap[parent = (i - 1) / FAN]; i = parent)
        work->heap[i] = work->heap[parent];
    work->heap[i] = candidate;
    return CALO_OK;
}

static uint64_t take(calo_byte_pair_work *work)
{
    uint64_t *heap = work->heap, top = heap[0], last = heap[--work->heap_count];
    size_t i = 0, count = work->heap_count;
    for (size_t child; (child = FAN * i + 1) < count; i = child) {
        size_t end = child + FAN < count ? child + FAN : count;
        for (size_t other = child + 1; other < end; other++)
            if (heap[other] < heap[child])
                child = other;
        if (heap[child] >= last)
            break;
        heap[i] = heap[child];
    }
    heap[i] = last;
    return top;
}

static calo_status spell(const calo_byte_pair *pairs, const uint8_t *word, size_t size, struct calo_symbol *symbols,
                         calo_fault *fault)
{
    for (size_t i = 0; i < size; i++) {
        int32_t symbol = i + 1 < size ? pairs->start[word[i]] : pairs->end[word[i]];
        if (symbol < 0)
            symbol = pairs->unknown;
        if (symbol < 0)
            return calo_fail(fault, CALO_EFILE, "the vocabulary has neither the byte 0x%02x nor an unknown token",
                             word[i]);
        symbols[i] = (struct calo_symbol){ symbol, (int32_t)i - 1, i + 1 < size ? (int32_t)i + 1 : -1 };
    }
    return CALO_OK;
}

calo_status calo_byte_pair_encode(const calo_byte_pair *pairs, const uint8_t *word, size_t size,
                                  calo_byte_pair_work *work, calo_ids *ids, calo_fault *fault)
{
    if (size > INT32_MAX)
        return calo_fail(fault, CALO_EUSAGE, "a word of %zu bytes is too long", size);
    if (size > work->symbol_capacity) {
        size_t capacity = size + size / 2 + 64;
        struct calo_symbol *symbols = calo_resize(work->symbols, capacity, sizeof *symbols);
        if (!symbols)
            return calo_fail(fault, CALO_EMEMORY, "no memory for a word of %zu bytes", size);
        work->symbols = symbols;
        work->symbol_capacity = capacity;
    }
    struct calo_symbol *symbols = work->symbols;
    calo_status status = spell(pairs, word, size, symbols, fault);
    work->heap_count = 0;
    for (size_t i = 0; i < size && !status; i++)
        status = propose(pairs, work, (int32_t)i, fault);
    while (work->heap_count && !status) {
        uint64_t top = take(work);
        uint32_t at = (uint32_t)top, made = pairs->made[top >> 32];
        struct calo_symbol *here = &symbols[at];
        if (here->symbol < 0 || here->right < 0)
            continue;
        struct calo_symbol *next = &symbols[here->right];
        const struct calo_merge *merge = lookup(pairs, here->symbol, next->symbol);
        if (!merge || merge->made != made) /* a neighbour was merged meanwhile */
            continue;
        here->symbol = (int32_t)made;
        here->right = next->right;
        next->symbol = -1;
        if (here->right >= 0)
            symbols[here->right].left = (int32_t)at;
        if (here->left >= 0)
            status = propose(pairs, work, here->left, fault);
        if (!status)
            status = propose(pairs, work, (int32_t)at, fault);
    }
    for (size_t i = 0; i < size && !status; i++)
        if (symbols[i].symbol >= 0)
            status = calo_ids_push(ids, pairs->ids[symbols[i].symbol], fault);
    return status;
}
