/* A vocabulary as a sorted array: lookups happen while a file is loaded and never per word of a prompt, so a binary
   search is fast enough, and no choice of words makes it slow, as one can make a hash table. */
#include "vocabulary.h"
#include "../shim.h"

#include <stdlib.h>
#include <string.h>

calo_status calo_vocabulary_add(calo_vocabulary *vocabulary, const char *bytes, size_t size, int32_t id,
                                calo_fault *fault)
{
    if (size > UINT32_MAX || size > SIZE_MAX / 4 - vocabulary->text_size || vocabulary->count >= UINT32_MAX)
        return calo_fail(fault, CALO_EMEMORY, "no memory for a vocabulary of %zu words", vocabulary->count);
    if (vocabulary->text_size + size > vocabulary->text_capacity) {
        size_t capacity = 2 * (vocabulary->text_size + size) + 256;
        char *text = calo_resize(vocabulary->text, capacity, 1);
        if (!text)
            return calo_fail(fault, CALO_EMEMORY, "no memory for a vocabulary of %zu bytes", capacity);
        vocabulary->text = text;
        vocabulary->text_capacity = capacity;
    }
    if (vocabulary->count == vocabulary->capacity) {
        size_t capacity = 2 * vocabulary->capacity + 64;
        struct calo_word *words = calo_resize(vocabulary->words, capacity, sizeof *words);
        if (!words)
            return calo_fail(fault, CALO_EMEMORY, "no memory for a vocabulary of %zu words", capacity);
        vocabulary->words = words;
        vocabulary->capacity = capacity;
    }
    if (size)
        memcpy(vocabulary->text + vocabulary->text_size, bytes, size);
    vocabulary->words[vocabulary->count++] = (struct calo_word){ vocabulary->text_size, NULL, (uint32_t)size, id };
    vocabulary->text_size += size;
    return CALO_OK;
}

static int order(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t common = a_size < b_size ? a_size : b_size;
    int sign = common ? memcmp(a, b, common) : 0;
    return sign ? sign : (a_size > b_size) - (a_size < b_size);
}

static int word_order(const void *left, const void *right)
{
    const struct calo_word *a = left, *b = right;
    int sign = order(a->bytes, a->size, b->bytes, b->size);
    return sign ? sign : (a->offset > b->offset) - (a->offset < b->offset);
}

void calo_vocabulary_sort(calo_vocabulary *vocabulary)
{
    struct calo_word *words = vocabulary->words;
    size_t kept = 0;
    if (!vocabulary->count)
        return;
    for (size_t i = 0; i < vocabulary->count; i++)
        words[i].bytes = vocabulary->text + words[i].offset;
    qsort(words, vocabulary->count, sizeof *words, word_order);
    for (size_t i = 0; i < vocabulary->count; i++)
        if (i + 1 == vocabulary->count ||
            order(words[i].bytes, words[i].size, words[i + 1].bytes, words[i + 1].size) != 0)
            words[kept++] = words[i];
    vocabulary->count = kept;
}

int32_t calo_vocabulary_find(const calo_vocabulary *vocabulary, const char *bytes, size_t size)
{
    size_t low = 0, high = vocabulary->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct calo_word *word = &vocabulary->words[middle];
        int sign = order(word->bytes, word->size, bytes, size);
        if (sign == 0)
            return word->id;
        if (sign < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

void calo_vocabulary_free(calo_vocabulary *vocabulary)
{
    calo_free(vocabulary->text);
    calo_free(vocabulary->words);
    *vocabulary = (calo_vocabulary){ 0 };
}
