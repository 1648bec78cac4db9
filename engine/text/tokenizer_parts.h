/* What a tokenizer is made of: filled by tokenizer_folder.c and tokenizer_builtin.c, used by tokenizer.c. */
#ifndef CALO_TOKENIZER_PARTS_H
#define CALO_TOKENIZER_PARTS_H

#include "tokenizer.h"
#include "added.h"
#include "byte_pair.h"
#include "special.h"
#include "vocabulary.h"

struct calo_tokenizer {
    calo_vocabulary vocabulary;
    calo_byte_pair pairs;
    calo_added added;
    int32_t bos, eos, pad;
    int max_length; /* 0: not stated */
    size_t size;    /* distinct words */
    int32_t rows;   /* largest id + 1 */
    bool pads_left; /* padding stands before the start token */
    bool cuts_left; /* a long prompt loses its beginning */
};

/* Completes a tokenizer whose vocabulary holds its words, not yet sorted. `name` is the file with the merges. */
calo_status calo_tokenizer_build(calo_tokenizer *tokenizer, const struct calo_special_files *files,
                                 const struct calo_merge_text *merges, size_t merge_count, const char *name,
                                 calo_fault *fault);

/* Merges as text, one a line, "left right"; lines that begin with #version do not count. They point into the text;
 * free the array. */
calo_status calo_merges_parse(const char *text, size_t size, const char *name, struct calo_merge_text **merges,
                              size_t *count, calo_fault *fault);

#endif
