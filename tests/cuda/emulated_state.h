/* What the parts of the emulated driver share. */
#ifndef EMULATED_STATE_H
#define EMULATED_STATE_H

#include "emulated_driver.h"

#include <stdbool.h>
#include <stdlib.h>

enum { SUCCESS = 0, INVALID_VALUE = 1, ILLEGAL_ADDRESS = 700, CAPTURE_UNSUPPORTED = 900 };

struct cu_context_record {
    int unused;
};
struct cu_stream_record {
    cu_graph capture; /* what is being recorded, or NULL */
};

typedef struct memory memory;

typedef struct emulator_state {
    int capability;
    long calls, fails_at, objects;
    cu_result fails_with;
    cu_result sticky; /* of a kernel's fault: every call gives it from then on */
    char report[512];
    memory *memories;
    size_t allocated, total;
    long launches, copied_out;
    struct cu_context_record context;
    int retained;
    cu_function functions;
} emulator_state;

extern emulator_state emulator;

/* Counts a call; what it is to return instead of being done, or SUCCESS. */
cu_result arrive(void);

#define ARRIVE()                                                                                                       \
    do {                                                                                                               \
        const cu_result early = arrive();                                                                              \
        if (early)                                                                                                     \
            return early;                                                                                              \
    } while (0)

/* A call that releases is done even where it is the one that fails, so that a test's own books stay right. */
#define ARRIVE_RELEASING() const cu_result early = arrive()

/* An object of the driver, counted; zeros. */
void *make(size_t size);
void unmake(void *object);

/* ---- memory ----------------------------------------------------------------------------------------------------- */

/* A kernel that wrote beyond an allocation leaves the context with an illegal address. */
void check_bands(void);

cu_result allocate(cu_pointer *pointer, size_t bytes);
cu_result release_memory(cu_pointer pointer);
cu_result memory_info(size_t *available, size_t *total);
cu_result allocate_host(void **pointer, size_t bytes, unsigned flags);
cu_result release_host(void *pointer);
cu_result copy_in(cu_pointer to, const void *from, size_t bytes, cu_stream stream);
cu_result copy_out(void *to, cu_pointer from, size_t bytes, cu_stream stream);

/* ---- tensor maps ------------------------------------------------------------------------------------------------ */

cu_result encode_tiled(void *to, int type, unsigned rank, cu_pointer base, const uint64_t *dims, const uint64_t *strides,
                       const unsigned *box, const unsigned *steps, int interleave, int swizzle, int l2, int outside);
cu_result encode_im2col(void *to, int type, unsigned rank, cu_pointer base, const uint64_t *dims, const uint64_t *strides,
                        const int *lower, const int *upper, unsigned channels, unsigned pixels, const unsigned *steps,
                        int interleave, int swizzle, int l2, int outside);

#endif
