/* The one door. Every op of every model goes through calo_perform, which checks the arguments, asks for the cost, picks
   a variant, launches it, and keeps the books; so planning, profiling and checking work for all models alike.

   A model calls ops as functions on values (`h = calo_linear(run, x, &w->proj, NULL)`). `run` carries the first error:
   after it every op is a no-op that returns no tensor, so a forward pass has no `if` between its lines. */
#ifndef CALO_OP_H
#define CALO_OP_H

#include "../engine/arena.h"
#include "../engine/device.h"
#include "../engine/fault.h"
#include "../engine/tensor.h"

#define CALO_MAX_INPUTS 8
#define CALO_MAX_TUNABLES 4
#define CALO_MAX_ARGUMENTS 48
#define CALO_MAX_SCRATCH 8
#define CALO_MAX_TRAITS 8
#define CALO_ARGS_ROOM 128 /* bytes: the most that an op's args take */

typedef struct calo_op calo_op;
typedef struct calo_variant calo_variant;
typedef struct calo_ledger calo_ledger;
typedef struct calo_lesson calo_lesson;
typedef struct calo_tuning calo_tuning;

/* ---- run -------------------------------------------------------------------------------------------------------- */

typedef struct calo_run {
    calo_device *device;          /* NULL: plan mode, nothing is launched, everything is accounted */
    calo_device_info info;        /* what variants are chosen for, and by which measurements */
    calo_arena *arena;            /* activations */
    calo_type dtype;              /* of activations: f32, f16 or bf16 */
    calo_fault *fault;            /* first error */
    calo_ledger *ledger;          /* books for plan and profile, or NULL */
    calo_lesson *lesson;          /* takes down every different call (tuner.h), or NULL */
    bool profile;                 /* wait for each op and book its time */
    bool check;                   /* also run each op on its reference; a departure is an error */
    int (*should_stop)(void *user); /* asked before each op on a device: non-zero stops with CALO_ECANCELLED; or NULL */
    void *stop_user;
    bool stopped;                 /* it did */
    double ahead;                 /* FLOP that a processor was given and not waited for, where somebody may stop the run */
    const char *label;            /* the part of the model that runs now, for messages: "unet", "vae" */
    const calo_op *forced_op;     /* tests and benches: this op uses the forced variant or fails */
    const calo_variant *forced;
    const int *forced_tuning;     /* with it: an index for each tunable, or NULL */
    calo_tensor scratch[CALO_MAX_SCRATCH]; /* of the op that is being launched */
    int scratch_count;
} calo_run;

static inline bool calo_failed(const calo_run *run)
{
    return run->fault->status != CALO_OK;
}

/* A new tensor of the run's arena, uninitialised. */
calo_tensor calo_new(calo_run *run, calo_type type, int rank, const int64_t *dims);

/* The tensor, marked so that the op that reads it next gives its memory back; *t becomes no tensor. */
calo_tensor calo_take(calo_tensor *t);

/* Gives the memory back now. Takes no tensor, too. */
void calo_drop(calo_run *run, calo_tensor *t);

/* Host to device and back, as f32 whatever the tensor's type (CALO_I32: int32_t). Dense tensors. While planning: no-op
 * (`download` then leaves `to` alone). Rounding to f16 and bf16 is to nearest even. */
void calo_upload(calo_run *run, calo_tensor t, const void *from);
void calo_download(calo_run *run, calo_tensor t, void *to);

/* ---- an op ------------------------------------------------------------------------------------------------------ */

/* One use of an op. What each input slot means, and what `args` points to, is the op's own affair (its header says). */
typedef struct calo_call {
    const calo_op *op;
    calo_tensor in[CALO_MAX_INPUTS]; /* an optional input that is not given has type CALO_AUTO */
    calo_tensor out;                 /* given: written in place; not given: made from the arena as `infer` says */
    const void *args;
    const int *tuning;               /* the chosen value of each tunable, in the variant's order */
} calo_call;

typedef struct calo_cost {
    double flops; /* a multiply-add is 2 */
    double bytes; /* each input read once, the output written once */
} calo_cost;

struct calo_op {
    const char *name;
    /* Checks every input against every other and sets out's type, rank, dims, stride, layout. On a mismatch returns
     * calo_fail(fault, CALO_EFILE or CALO_EUSAGE, "linear: x [2,4096,320] does not fit weight [640,640]"). */
    calo_status (*infer)(calo_call *call, calo_fault *fault);
    calo_cost (*cost)(const calo_call *call);
    /* The definition, and the same in float, which sets the tolerance. Inputs are dense, in slot order, weights
     * unpacked to their logical dims, NULL where absent; integers are exact. Both come from reference.c, see there. */
    void (*reference)(const calo_call *call, const double *const *in, double *out);
    void (*naive)(const calo_call *call, const float *const *in, float *out);
    /* What beside shapes and types decides how much work a call is: numbers of its args, at most CALO_MAX_TRAITS; returns
     * how many. NULL: nothing. Calls that are alike in all of that share a measured choice. */
    int (*traits)(const calo_call *call, int64_t *values);
    size_t args_size;             /* bytes behind a call's args, which hold no pointer; 0: it has none */
    const calo_variant *variants; /* in order of preference */
    int variant_count;
};

typedef struct calo_tunable {
    const char *name; /* becomes a macro */
    int values[6];    /* ends with 0 or at 6 */
} calo_tunable;

/* The door takes what was measured to be the fastest for such a call (tuning.h), where that is known. Otherwise, of the
   device's backend, the first row that prefers the device's class, supports the call and suits it, else the first that
   supports it. So `supports` says only where a kernel is correct, and tests run every variant on
   every device of its backend. */
enum { CALO_PREFER_CPU = 1, CALO_PREFER_GPU = 2 };

struct calo_variant {
    const char *name;
    calo_backend backend;
    int prefer;         /* CALO_PREFER_CPU | CALO_PREFER_GPU: the classes of device that it is meant for */
    const char *source; /* "linear/linear.cl" */
    const char *entry;
    calo_tunable tunables[CALO_MAX_TUNABLES];
    int capability;      /* CUDA: the only one that it is compiled for; 0: any */
    unsigned vendor;     /* the library that it is, CALO_VENDOR_BLAS or CALO_VENDOR_DNN; 0: it is ours */
    bool rounds_factors; /* a factor that it computes (attention's probabilities) goes into a product in the activations'
                            type, as tensor cores take it: its error may be that of one such rounding larger */
    bool (*supports)(const calo_call *call, const calo_device_info *info);
    bool (*suits)(const calo_call *call, const calo_device_info *info); /* where it is thought fastest; NULL: always */
    /* Sets the tunables to what is thought fastest for a call; NULL: the first value of each. */
    void (*preset)(const calo_call *call, const calo_device_info *info, int values[CALO_MAX_TUNABLES]);
    /* Launches one or more kernels with calo_dispatch. Shared by rows that differ in entry and tunables only. */
    void (*launch)(calo_run *run, const calo_call *call, const calo_variant *variant);
};

/* reference.c is compiled twice, with REAL double and REAL float; CALO_REFERENCE(linear) is then the function's name:
       void CALO_REFERENCE(linear)(const calo_call *call, const REAL *const *in, REAL *out) { … }
   and CALO_DECLARE_REFERENCE(linear); in the op's C file declares calo_linear_double and calo_linear_float. */
#define CALO_PASTE3(a, b, c) a##b##_##c
#define CALO_PASTE(a, b, c) CALO_PASTE3(a, b, c)
#define CALO_REFERENCE(op) CALO_PASTE(calo_, op, REAL)
#define CALO_DECLARE_REFERENCE(op)                                                                                     \
    void calo_##op##_double(const calo_call *call, const double *const *in, double *out);                              \
    void calo_##op##_float(const calo_call *call, const float *const *in, float *out)

/* Runs the call: infer, allocate the output, choose, launch, check, book, give taken inputs back. Returns the output,
 * or no tensor after an error. */
calo_tensor calo_perform(calo_run *run, calo_call *call);

/* The variant that calo_perform would take, NULL when none supports the call; and its tunables' values, unless NULL. */
const calo_variant *calo_choose(const calo_run *run, const calo_call *call, int values[CALO_MAX_TUNABLES]);

/* Whether the variant is one of the device's that gives the right result for the call. */
bool calo_can(const calo_variant *variant, const calo_call *call, const calo_device_info *info);

/* Every op, for tests and benches. */
extern const calo_op *const calo_ops[];
extern const int calo_op_count;

/* ---- launching, for the variants' launch functions -------------------------------------------------------------- */

typedef struct calo_launch {
    const char *source, *entry; /* default: the variant's */
    char options[512]; /* " -DNAME=value" for each macro */
    calo_argument arguments[CALO_MAX_ARGUMENTS + 1]; /* the last one takes what overflows, and is never passed */
    int argument_count;
    size_t global[3], local[3]; /* in work-items; local all 0: the device chooses */
    bool overflow;              /* more arguments or macros than fit: calo_dispatch reports it */
} calo_launch;

/* Starts a launch of the variant's source and entry: macros ACT (the run's dtype or the type of `act`), WEIGHT, and
 * the tunables at their chosen values. `weight` may be no tensor. */
calo_launch calo_launch_begin(const calo_variant *variant, const calo_call *call, calo_tensor act, calo_tensor weight);
void calo_define(calo_launch *launch, const char *name, int value); /* -DNAME=value */
int calo_type_macro(calo_type type);                      /* TYPE_F32, TYPE_F16 or TYPE_BF16 of prelude.cl */
void calo_arg_tensor(calo_launch *launch, calo_tensor t); /* two arguments: buffer, ulong offset in elements;
                                                             no tensor passes a null pointer and 0 */
void calo_arg_int(calo_launch *launch, int64_t value);    /* int */
void calo_arg_long(calo_launch *launch, int64_t value);   /* ulong */
void calo_arg_float(calo_launch *launch, double value);   /* float */
void calo_arg_local(calo_launch *launch, size_t bytes);   /* __local; CUDA: dynamic shared memory, in any place */
void calo_arg_map(calo_launch *launch, calo_tensor t, const calo_map *map); /* type and place are t's */
void calo_dispatch(calo_run *run, const calo_launch *launch);

/* Scratch of one op: lives until the op's launch function returns (work is ordered, so reuse after it is safe). */
calo_tensor calo_scratch(calo_run *run, calo_type type, int64_t count);

/* ⌈a/b⌉ for a ≥ 0, b > 0. */
static inline int64_t calo_ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

#endif
