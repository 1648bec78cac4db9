/* checkkernel: every op, every variant, every tuning and type against the op's reference in double.

   After dav1d's checkasm: an op's file (check_<op>.c) has a table of shapes and calls the op's own public function on
   made-up data. The linker's --wrap turns the call's way through the door (calo_perform) into a trial of every variant,
   see trial.c. Data, guard bands and the judgement are the same for all ops. */
#ifndef CHECKKERNEL_H
#define CHECKKERNEL_H

#include "../../kernels/epilogue.h"
#include "../../kernels/op.h"

#include <stdint.h>

#define MAX_BLOCKS 24
#define MAX_VARIANTS 16
#define MAX_TUNINGS 256
#define GUARD_BYTES 16384 /* before and after every tensor */

/* What the numbers look like. */
typedef enum data_kind {
    NORMAL,   /* mean 0, deviation 1 */
    OUTLIERS, /* the same with one number in 64 a hundred times larger */
    LIMITS,   /* ± half to all of the storage type's range, as far as sums of them stay finite */
    TINY,     /* ± near the storage type's least normal number */
    MEAN,     /* 100 and deviation 1 */
} data_kind;

extern const char *const data_kind_names[];

/* Device memory of one tensor between its guard bands, and what it held when it was made. */
typedef struct block {
    calo_buffer *buffer;
    unsigned char *raw;
    uint64_t bytes;
    bool output; /* what a trial wrote is put back before the next one */
} block;

typedef struct filter {
    const char *op, *variant, *tuning, *name, *type, *device; /* NULL: all; name is a pattern of fnmatch */
} filter;

typedef struct check {
    calo_run run; /* first: the door's stand-in finds the check by it */
    filter filter;
    uint64_t seed;
    bool full, list, bench, verbose;
    const char *kernels; /* a folder of sources to use in place of the built-in ones, or NULL */

    /* the device: NULL where there is none, then every trial is skipped */
    calo_device *device;
    char device_name[32];
    bool found[3]; /* by backend: is there a device? */

    /* the case */
    const calo_op *op;
    char name[160], types[16];
    calo_type act, weight;
    uint64_t random; /* the generator's state */
    bool misaligned; /* activations start some elements off their alignment */
    block blocks[MAX_BLOCKS];
    int block_count;
    calo_fault fault;
    /* said by the case between check_case and the op's call */
    double magnitude;  /* of the terms that are summed up to a result: cancellation does not lower the floor below it */
    bool exact;        /* numbers are moved, not computed: the reference's, rounded to the type, bit by bit */
    uint32_t batched;  /* bit i: input i has the output's batches; the last alone must give the same bits */
    bool every_tuning; /* not only the default and one other */

    /* the books */
    int64_t passed, failed, skipped;
    bool reached[MAX_VARIANTS][MAX_TUNINGS]; /* by a trial of the op */
    bool timing;                             /* second pass of --bench */
} check;

/* ---- cases ------------------------------------------------------------------------------------------------------ */

/* The types of a table's row: f32 and one other that changes from row to row, all of them, or what tensor cores take,
 * 16-bit activations and weights of one type. Returns how many. */
typedef enum type_choice { FEW, ALL, HALVES } type_choice;
typedef struct type_pair {
    calo_type act, weight;
} type_pair;
int check_pairs(type_pair pairs[9], bool weights, type_choice choice, int row);

/* Begins a case; false when the filters leave it out. The name says all that matters, in letters a shell leaves alone;
 * with the types it also seeds the data. check_end forgets its tensors. */
bool check_case(check *c, type_pair types, const char *format, ...) __attribute__((format(printf, 3, 4)));
void check_end(check *c);

/* How many combinations of its tunables' values a variant has. */
int check_tunings(const calo_variant *variant);

/* After a call that the op must refuse: books it, and forgets the refusal. */
void check_refused(check *c, const char *what);

/* ---- data (data.c) ---------------------------------------------------------------------------------------------- */

uint64_t check_hash(uint64_t seed, const char *text);
double check_uniform(check *c); /* 0 … 1 */
double check_gauss(check *c);

/* Tensors of the case on the device, between guard bands of NaN. */
calo_tensor check_activations(check *c, data_kind kind, double scale, int rank, const int64_t *dims);
/* Columns [first, first + the last dim) of rows `stride` long; the other columns are NaN. */
calo_tensor check_columns(check *c, data_kind kind, double scale, int rank, const int64_t *dims, int64_t first,
                          int64_t stride);
calo_tensor check_weights(check *c, calo_layout layout, double scale, int rank, const int64_t *dims);
calo_tensor check_floats(check *c, double mean, double scale, int rank, const int64_t *dims);
/* Given numbers, in any type; as f32 values, or int32_t for CALO_I32. */
calo_tensor check_given(check *c, calo_type type, int rank, const int64_t *dims, const void *values);
/* A result's memory, filled with NaN. */
calo_tensor check_output(check *c, calo_tensor shape);
void check_free_blocks(check *c);
block *check_find_block(check *c, calo_tensor t);

/* A typical |x| of the kind and of the case's activation type: what `magnitude` is made of. */
double check_size(const check *c, data_kind kind);
/* |mean| / √(variance + eps): a norm magnifies the rounding of its mean by that. At least 1. */
double check_norm_size(data_kind kind, int64_t group, double eps);

/* ---- the ops' files ---------------------------------------------------------------------------------------------- */

typedef struct op_check {
    const calo_op *op;
    void (*cases)(check *c);
} op_check;

void check_activation(check *c);
void check_attention(check *c);
void check_blend(check *c);
void check_combine(check *c);
void check_concat(check *c);
void check_conv2d(check *c);
void check_group_norm(check *c);
void check_layer_norm(check *c);
void check_linear(check *c);
void check_reduce(check *c);
void check_resample(check *c);
void check_rescale(check *c);
void check_timesteps(check *c);
void check_tokens(check *c);

/* sources.c: kernel sources from a folder; false when one cannot be read. */
bool sources_override(const char *folder);
void sources_free(void);

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

#endif
