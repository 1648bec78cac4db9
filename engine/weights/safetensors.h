/* safetensors: a file of named tensors.

       8 bytes, little endian: N;  N bytes of JSON;  the numbers
       { "NAME": { "dtype": "F16", "shape": [2,3], "data_offsets": [begin, end] }, …, "__metadata__": { … } }

   Source: the format's README (huggingface/safetensors). Every byte of the header is checked before anything is
   allocated in proportion to what it claims: names are unique, shape × type equals the byte range, and the ranges cover
   the rest of the file without gap or overlap. */
#ifndef CALO_SAFETENSORS_H
#define CALO_SAFETENSORS_H

#include "tensor_file.h"

/* Reads the header of file->file, which is open. */
calo_status calo_safetensors_read(calo_tensor_file *file, calo_fault *fault);

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
