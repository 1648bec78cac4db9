/* Brings a model's parameters to the device: found by name in a checkpoint, or drawn at random for a layout.

   A model's load function is called twice with the same arguments. The first time the arena only plans: each parameter
   is found, its shape and type are checked, and its place decided. Then the arena is committed, and the second time the
   numbers are read, packed and written, 32 outputs at a time on all processors. Like a run, a loading carries its first
   error, so that a model's load function is a list of its parameters. */
#ifndef CALO_PARAMETERS_H
#define CALO_PARAMETERS_H

#include "../../kernels/conv2d/conv2d.h"
#include "../../kernels/linear/linear.h"
#include "../../kernels/epilogue.h"
#include "../arena.h"
#include "../weights/checkpoint.h"

/* How a parameter is drawn when it is random. */
typedef enum calo_parameter_kind { CALO_MATRIX, CALO_GAIN, CALO_BIAS } calo_parameter_kind;

typedef struct calo_parameters {
    const calo_checkpoint *checkpoint;
    calo_part part;
    calo_type random_type; /* of a layout's weights, and of scaled fp8 ones: f32, f16 or bf16 */
    bool by_output;        /* how panels lie (engine/tensor.h): as the device's kernels want them */
    calo_arena *arena;
    calo_fault *fault;
    calo_device *device;   /* NULL, or an arena that is not committed: nothing is read or written */
    uint64_t done;         /* bytes written so far */
    int (*on_done)(void *user, uint64_t done); /* non-zero stops the loading */
    /* When set, nothing is placed or read: each stored tensor is only named, for `make-random`. */
    void (*visit)(void *user, const char *name, int rank, const int64_t *dims, calo_parameter_kind kind);
    void *user;
} calo_parameters;

/* A matrix [outputs, inputs] stored as NAME.weight, with NAME.bias when `bias`. Pointwise: it is meant to be stored as a
 * 1×1 convolution; either form is read. Gated: outputs counts values and gates. */
void calo_load_linear(calo_parameters *p, calo_linear_weights *w, int64_t outputs, int64_t inputs, bool bias,
                      const char *format, ...) __attribute__((format(printf, 6, 7)));
void calo_load_pointwise(calo_parameters *p, calo_linear_weights *w, int64_t outputs, int64_t inputs, bool bias,
                         const char *format, ...) __attribute__((format(printf, 6, 7)));
void calo_load_gated(calo_parameters *p, calo_linear_weights *w, int64_t outputs, int64_t inputs, bool bias,
                     const char *format, ...) __attribute__((format(printf, 6, 7)));

/* Several matrices of the same shape, one under the other, as one: PREFIX.NAMES[i].weight. */
void calo_load_stacked(calo_parameters *p, calo_linear_weights *w, const char *const *names, int count,
                       int64_t outputs, int64_t inputs, bool bias, const char *format, ...)
    __attribute__((format(printf, 8, 9)));

/* [outputs, inputs, kernel, kernel] as stored. Stride, padding and up-sampling are left as they are in *w. */
void calo_load_conv2d(calo_parameters *p, calo_conv2d_weights *w, int64_t outputs, int64_t inputs, int kernel,
                      const char *format, ...) __attribute__((format(printf, 6, 7)));

/* NAME.weight and NAME.bias [channels]. */
void calo_load_norm(calo_parameters *p, calo_norm_weights *w, int64_t channels, int groups, double eps,
                    const char *format, ...) __attribute__((format(printf, 6, 7)));

/* diag(diagonal) · x + bias, of `size` numbers that a configuration states: f32, stored nowhere. */
void calo_load_diagonal(calo_parameters *p, calo_linear_weights *w, int64_t size, const double *diagonal,
                        const double *bias);

/* A table [rows, columns] that is looked up, not multiplied: the tensor's own name. */
void calo_load_table(calo_parameters *p, calo_tensor *table, int64_t rows, int64_t columns, const char *name);

/* An array inside a model, made on the first pass and found again on the second. */
void *calo_model_array(calo_parameters *p, void *existing, int64_t count, size_t size);

/* Elements [first, first + count) of the random parameter `name`, as every layout has it. */
void calo_random_parameter(const char *name, calo_parameter_kind kind, int64_t fan_in, int64_t first, int64_t count,
                           float *values);

#endif
