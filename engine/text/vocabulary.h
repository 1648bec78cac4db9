/* A vocabulary: strings of bytes and their ids. */
#ifndef CALO_VOCABULARY_H
#define CALO_VOCABULARY_H

#include "../fault.h"

#include <stddef.h>
#include <stdint.h>

struct calo_word {
    size_t offset;     /* into text, which may move while words are added */
    const char *bytes; /* set by sorting */
    uint32_t size;     /* bytes */
    int32_t id;
};

/* All zero is empty. Add words, sort once, then find. */
typedef struct calo_vocabulary {
    char *text;
    size_t text_size, text_capacity; /* bytes */
    struct calo_word *words;
    size_t count, capacity;
} calo_vocabulary;

calo_status calo_vocabulary_add(calo_vocabulary *vocabulary, const char *bytes, size_t size, int32_t id,
                                calo_fault *fault);
/* Of equal words the one added last stays. */
void calo_vocabulary_sort(calo_vocabulary *vocabulary);
/* The id, or −1. */
int32_t calo_vocabulary_find(const calo_vocabulary *vocabulary, const char *bytes, size_t size);
void calo_vocabulary_free(calo_vocabulary *vocabulary);

#endif
