/* A file of named tensors, whatever its format: where each one's numbers lie, and reading them. */
#ifndef CALO_TENSOR_FILE_H
#define CALO_TENSOR_FILE_H

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

/* A tensor of a file, as it is to be used. */
typedef struct calo_entry {
    const char *name;      /* UTF-8, belongs to the file; NULL: there is no tensor */
    const calo_file *file;
    uint64_t begin, size;  /* bytes, from the start of the file */
    int64_t dims[CALO_STORED_RANK];
    int rank;
    calo_stored type;
    bool transposed;       /* a matrix whose file holds it the other way round; dims are as it is used */
    float scale;           /* its numbers are the stored ones times this; 0: nothing to multiply with */
} calo_entry;

typedef struct calo_tensor_file {
    calo_file file;
    char *text;            /* holds the names */
    calo_entry *entries;   /* in the file's order */
    int64_t count, capacity;
    uint32_t *slots;       /* hash table of entry numbers + 1 */
    uint32_t slot_mask;
} calo_tensor_file;

/* Opens a file of any format that is read, told from its first bytes: safetensors, or torch's zip archive (.ckpt, .bin,
 * .pt). On failure *file is closed. The entries point into *file, which must not move. */
calo_status calo_tensor_file_open(const char *path, calo_tensor_file *file, calo_fault *fault);
void calo_tensor_file_close(calo_tensor_file *file);
const calo_entry *calo_tensor_file_find(const calo_tensor_file *file, const char *name); /* NULL: no such tensor */

/* For the formats' readers: makes room for `capacity` entries; adds one, whose name lies in file->text. CALO_EFILE when
 * the name stands twice or there is no room. */
calo_status calo_tensor_file_reserve(calo_tensor_file *file, int64_t capacity, calo_fault *fault);
calo_status calo_tensor_file_add(calo_tensor_file *file, const calo_entry *entry, calo_fault *fault);

size_t calo_stored_size(calo_stored type);
const char *calo_stored_name(calo_stored type); /* "F16" */
bool calo_stored_is_f8(calo_stored type);
int64_t calo_entry_count(const calo_entry *entry);

/* Elements [first, first + count) as f32. Integers and f64 are rounded to nearest. Of a transposed one all are read. */
calo_status calo_entry_read(const calo_entry *entry, int64_t first, int64_t count, float *values, calo_fault *fault);

#endif
