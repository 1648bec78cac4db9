/* What each stage produced, kept on the host until a run ends, then written as one .safetensors file (--dump). */
#ifndef CALO_DUMP_H
#define CALO_DUMP_H

#include "../kernels/op.h"

typedef struct calo_dump_tensor {
    char name[32];
    int rank;
    int64_t dims[4]; /* with dims[0] the images' share times `count` where it is per image */
    bool integer;
    float *values;   /* or int32_t */
    int64_t filled;  /* elements so far */
} calo_dump_tensor;

typedef struct calo_dump {
    calo_dump_tensor *tensors;
    int count, capacity;
} calo_dump;

/* Keeps host values under a new name; `integer`: they are int32_t. */
void calo_dump_values(calo_dump *dump, const char *name, int rank, const int64_t *dims, bool integer, const void *values,
                      calo_fault *fault);

/* Downloads a tensor as f32 and puts it behind what `name` already holds along dimension 0: image after image. */
void calo_dump_append(calo_dump *dump, calo_run *run, const char *name, calo_tensor t);
/* The same, but t, one row of dimension 0, becomes number `row`. */
void calo_dump_insert(calo_dump *dump, calo_run *run, const char *name, calo_tensor t, int64_t row);
/* Appends from the host. */
void calo_dump_append_values(calo_dump *dump, const char *name, int rank, const int64_t *dims, const float *values,
                             calo_fault *fault);

calo_status calo_dump_write(const calo_dump *dump, const char *path, calo_fault *fault);
void calo_dump_free(calo_dump *dump);

#endif
