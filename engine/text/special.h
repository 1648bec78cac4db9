/* Special and added tokens as a tokenizer's folder states them, resolved as transformers 5 resolves them. */
#ifndef CALO_SPECIAL_H
#define CALO_SPECIAL_H

#include "added.h"
#include "vocabulary.h"

#include <cjson/cJSON.h>

/* The files of a folder that speak of special tokens; NULL where there is none. `folder` is the name in sentences. */
struct calo_special_files {
    const char *folder;
    const cJSON *config;    /* tokenizer_config.json */
    const cJSON *map;       /* special_tokens_map.json */
    const cJSON *added;     /* added_tokens.json */
    const cJSON *tokenizer; /* tokenizer.json */
};

struct calo_special {
    int32_t bos, eos, pad; /* ids */
    const char *unknown;   /* its content, in memory of the files or static; NULL: there is none */
    size_t size;           /* distinct words, those of the vocabulary included */
};

/* Fills and prepares `added` (empty before) and says which tokens frame a prompt. */
calo_status calo_special_resolve(const struct calo_special_files *files, const calo_vocabulary *vocabulary,
                                 calo_added *added, struct calo_special *special, calo_fault *fault);

#endif
