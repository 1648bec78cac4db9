/* Finding a model in folders, by what its file holds or by its name. */
#ifndef FIND_MODEL_H
#define FIND_MODEL_H

#include "../engine/calotype.h"

#include <stdbool.h>

typedef struct model_list {
    char **paths; /* .safetensors and .ckpt files, folders with a model_index.json */
    int count, room;
    bool no_memory;
} model_list;

/* Adds what lies in `folder`, four folders deep at most; `folder` may be a model itself. */
void model_list_add(model_list *list, const char *folder);
void model_list_free(model_list *list);

/* The model of a hash (8 digits, or 10 and more of the SHA-256, for which files are read whole) and of a name; either
 * may be NULL. Files of that name are tried first. *by_hash says what it was found by, *hash_seen (65 bytes) what hash
 * the model of that name has instead. NULL: there is none. `context` may be one without a device. */
const char *model_list_find(const model_list *list, calo_context *context, const char *hash, const char *name,
                            bool *by_hash, char *hash_seen);
/* The file or folder of a name, whatever it holds: with or without its ending. NULL: there is none. */
const char *model_list_name(const model_list *list, const char *name);

#endif
