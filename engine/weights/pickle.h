/* Python's pickles as data: what torch writes is read, and nothing is ever called, imported or executed.

   A pickle is a program for a small stack machine. This machine knows every opcode of the protocols 0 to 5, but a global
   is looked up in a list of names and is only a mark: torch's storages and tensor builders and OrderedDict mean what
   they mean in a checkpoint; a few others that published checkpoints hold are inert; any other is refused by name.
   Source: CPython's Lib/pickletools.py (the opcodes), torch/_utils.py and torch/serialization.py (the builders). */
#ifndef CALO_PICKLE_H
#define CALO_PICKLE_H

#include "tensor_file.h"

typedef enum calo_pickle_kind {
    CALO_PICKLE_NONE,
    CALO_PICKLE_MARK,
    CALO_PICKLE_INERT,   /* what is of no use to a checkpoint's reader */
    CALO_PICKLE_NUMBER,  /* a whole number that fits an int64_t, or a truth value */
    CALO_PICKLE_TEXT,
    CALO_PICKLE_TUPLE,   /* also lists and sets */
    CALO_PICKLE_DICT,    /* items are keys and values in turns */
    CALO_PICKLE_GLOBAL,
    CALO_PICKLE_STORAGE, /* items: its key in the archive */
    CALO_PICKLE_TENSOR
} calo_pickle_kind;

/* Values are numbered, and refer to each other by number; a tuple, list or dictionary is a chain of cells. */
typedef struct calo_pickle_value {
    calo_pickle_kind kind;
    int64_t number;      /* of NUMBER; length of TEXT; which GLOBAL; calo_stored of STORAGE */
    const char *text;    /* of TEXT, not closed by a 0, in the pickle's bytes; of STORAGE: its key, of `number2` bytes */
    int64_t number2;
    uint32_t first, last, count; /* cells of TUPLE and DICT; of TENSOR: `first` is the arguments' tuple */
} calo_pickle_value;

typedef struct calo_pickle_cell {
    uint32_t value, next; /* numbers; next 0: the end */
} calo_pickle_cell;

typedef struct calo_pickle {
    const unsigned char *bytes;
    size_t size;
    calo_pickle_value *values;
    uint32_t value_count, value_room;
    calo_pickle_cell *cells; /* number 0 is unused */
    uint32_t cell_count, cell_room;
    uint32_t root;
} calo_pickle;

/* `bytes` must outlive the pickle; `path` names it in sentences. CALO_EFILE: damaged, too large, or it holds a global
 * that is not allowed, which the sentence names. Free it, whatever came of it. */
calo_status calo_pickle_read(const unsigned char *bytes, size_t size, const char *path, calo_pickle *pickle,
                             calo_fault *fault);
void calo_pickle_free(calo_pickle *pickle);

/* Item `at` of a TUPLE; NULL past its end. */
const calo_pickle_value *calo_pickle_item(const calo_pickle *pickle, const calo_pickle_value *tuple, uint32_t at);

#endif
