/* Byte-pair encoding of one word: bytes → symbols, then the pair of lowest rank is merged until none is left.

   Sennrich et al. 2016, as CLIP has it: a byte b is written as the character alphabet(b), the last byte of a word as
   alphabet(b) + "</w>", and a merge "x y" of rank r makes the symbol "xy". */
#ifndef CALO_BYTE_PAIR_H
#define CALO_BYTE_PAIR_H

#include "vocabulary.h"

struct calo_merge {
    uint32_t right, rank, made;
};

/* Symbols are numbered 0 … symbols−1 by ascending id. All zero is empty. */
typedef struct calo_byte_pair {
    uint32_t symbols;
    int32_t *ids;              /* [symbols] */
    uint32_t *first;           /* [symbols + 1]: where the merges with this left symbol begin */
    struct calo_merge *merges; /* by left, then right */
    uint32_t merge_count;      /* of them, repetitions left out */
    uint32_t *made;            /* [ranks]: what the merge of a rank makes */
    int32_t start[256];        /* the symbol of a byte inside a word; −1: the vocabulary lacks it */
    int32_t end[256];          /* and of the last byte */
    int32_t unknown;           /* the symbol for those, or −1 */
} calo_byte_pair;

/* A merge as files have it. */
struct calo_merge_text {
    const char *left, *right;
    size_t left_size, right_size; /* bytes */
};

/* Builds from a sorted vocabulary and `count` merges in order of rank. `name` is the file in sentences. `unknown` may
 * be NULL. CALO_EFILE when a merge or what it makes is not in the vocabulary. */
calo_status calo_byte_pair_build(calo_byte_pair *pairs, const calo_vocabulary *vocabulary,
                                 const struct calo_merge_text *merges, size_t count, const char *unknown,
                                 const char *name, calo_fault *fault);
void calo_byte_pair_free(calo_byte_pair *pairs);

/* Memory that one encoding keeps from word to word. All zero is empty. */
typedef struct calo_byte_pair_work {
    struct calo_symbol *symbols;
    uint64_t *heap; /* candidates: rank << 32 | position */
    size_t symbol_capacity, heap_capacity, heap_count;
} calo_byte_pair_work;

void calo_byte_pair_work_free(calo_byte_pair_work *work);

/* Ids that grow. All zero is empty. */
typedef struct calo_ids {
    int32_t *at;
    size_t count, capacity;
} calo_ids;

calo_status calo_ids_push(calo_ids *ids, int32_t id, calo_fault *fault);
void calo_ids_free(calo_ids *ids);

/* Appends the ids of one word of 1 … 2^31 bytes. O(size · log size). */
calo_status calo_byte_pair_encode(const calo_byte_pair *pairs, const uint8_t *word, size_t size,
                                  calo_byte_pair_work *work, calo_ids *ids, calo_fault *fault);

/* The character that stands for a byte in vocabularies: itself where it prints, else U+0100 and up. */
uint32_t calo_byte_pair_alphabet(uint8_t byte);

#endif
