/* The globals that a checkpoint's pickle may name, and what each means there. */
#ifndef CALO_PICKLE_GLOBALS_H
#define CALO_PICKLE_GLOBALS_H

#include "tensor_file.h"

typedef enum calo_pickle_meaning {
    CALO_MEANS_INERT, /* of no use to a checkpoint's reader, as is all that is made of it */
    CALO_MEANS_ORDERED_DICT,
    CALO_MEANS_TENSOR,
    CALO_MEANS_PARAMETER,
    CALO_MEANS_STORAGE,
    CALO_MEANS_TYPE
} calo_pickle_meaning;

typedef struct calo_pickle_global {
    const char *module, *name;
    calo_pickle_meaning meaning;
    calo_stored type; /* of a storage (CALO_STORED_TYPES: it has none), or the type itself */
} calo_pickle_global;

extern const calo_pickle_global calo_pickle_globals[];

/* The number of the global of that name; −1: it is not allowed. The texts are not closed by a 0. */
int calo_pickle_global_find(const char *module, size_t module_length, const char *name, size_t name_length);

/* Whether `length` bytes are the text. */
bool calo_text_is(const char *text, const char *bytes, size_t length);

#endif
