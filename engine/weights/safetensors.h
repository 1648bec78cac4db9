/* safetensors: a file of named tensors.

       8 bytes, little endian: N;  N bytes of JSON;  the numbers
       { "NAME": { "dtype": "F16", "shape": [2,3], "data_offsets": [begin, end] }, …, "__metadata__": { … } }

   Source: the format's README (huggingface/safetensors). Every byte of the header is checked before anything is
   allocated in proportion to what it claims: names are unique, shape × type equals the byte range, and the ranges cover
   the rest of the file without gap or overlap. */
#ifndef CALO_SAFETENSORS_H
#define CALO_SAFETENSORS_H

#include "../shim.h"

typedef enum calo_stored {
    CALO_STORED_F64,
    CALO_STORED_F32,
    CALO_STORED_F16,
    CALO_STORED_BF16,
    CALO_STORED_I64,
    CALO_STORED_I32,
    CALO_STORED_I16,
    CALO_STORED_I8,
    CALO_STORED_U64,
    CALO_STORED_U32,
    CALO_STORED_U16,
    CALO_STORED_U8,
    CALO_STORED_BOOL,
    CALO_STORED_F8_E4M3,
    CALO_STORED_F8_E5M2,
    CALO_STORED_TYPES
} calo_stored;

enum { CALO_STORED_RANK = 8 };

typedef struct calo_entry {
    const char *name;      /* UTF-8, belongs to the file */
    const calo_file *file;
    uint64_t begin, size;  /* bytes, from the start of the file */
    int64_t dims[CALO_STORED_RANK];
    int rank;
    calo_stored type;
} calo_entry;

typedef struct calo_safetensors {
    calo_file file;
    char *header;
    calo_entry *entries;   /* in the header's order */
    int64_t count;
    uint32_t *slots;       /* hash table of entry numbers + 1 */
    uint32_t slot_mask;
} calo_safetensors;

/* On failure *file is closed. The entries point into *file, which must not move. */
calo_status calo_safetensors_open(const char *path, calo_safetensors *file, calo_fault *fault);
void calo_safetensors_close(calo_safetensors *file);
const calo_entry *calo_safetensors_find(const calo_safetensors *file, const char *name); /* NULL: no such tensor */

size_t calo_stored_size(calo_stored type);
const char *calo_stored_name(calo_stored type); /* "F16" */
int64_t calo_entry_count(const calo_entry *entry);

/* Elements [first, first + count) as f32. Integers and f64 are rounded to nearest. */
calo_status calo_entry_read(const calo_entry *entry, int64_t first, int64_t count, float *values, calo_fault *fault);

/* ---- writing ---------------------------------------------------------------------------------------------------- */

typedef struct calo_tensor_record {
    const char *name;
    calo_stored type;
    int rank;
    int64_t dims[CALO_STORED_RANK];
} calo_tensor_record;

/* Starts a file whose header lists `records`; then put each one's bytes in this order and commit the writer. */
calo_status calo_safetensors_begin(const char *path, const calo_tensor_record *records, int64_t count,
                                   calo_writer **writer, calo_fault *fault);

#endif
