/* A device that runs nothing: it remembers which kernels the launches of every CUDA variant ask for, with the block's
   size, so that a test can compile what real calls would compile. */
#ifndef RECORDER_H
#define RECORDER_H

#include "../../kernels/op.h"

typedef struct recorded {
    const char *source_name, *source; /* the library's own */
    char *options, *entry;
    int threads, dynamic_shared; /* of a block */
    int capability;              /* the only one that it is for; 0: any */
} recorded;

typedef struct recorder {
    calo_device device; /* first */
    recorded *kernels;
    int count, capacity;
    int launching; /* index of the kernel that was asked for last */
    int capability; /* of the variant that calls now */
} recorder;

void recorder_init(recorder *r);
void recorder_free(recorder *r);

/* Calls every op in shapes that reach each CUDA variant, tuning and type. False, with the reason on stdout, when a call
 * fails. */
bool record_everything(recorder *r);

#endif
