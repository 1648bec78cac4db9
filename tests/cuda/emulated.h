/* What an emulated kernel's program and the emulator share: C and C++ read it. A program exports emulated_entries,
   emulated_prepare, emulated_by, and where its thread stands. */
#ifndef EMULATED_H
#define EMULATED_H

#include <stdbool.h>

typedef struct emulated_index {
    unsigned x, y, z;
} emulated_index;

/* Called by a kernel's threads. */
typedef struct emulated_services {
    void (*barrier)(void); /* waits for the block */
    /* Waits for the other threads of a group of `size` (32, a warp; 128, a warpgroup) at an instruction of this kind; the
       last of them calls work on what each brought. */
    void (*rendezvous)(int size, int kind, void *own, void (*work)(void **lanes));
    void (*poll)(bool (*ready)(void *what), void *what); /* waits until it is ready */
    void (*fault)(const char *what); /* ends the launch; does not return */
    /* A copy of 16 bytes in this thread's open group; land(to, from) is called at the wait that covers it. */
    void (*copy)(void *to, const void *from, void (*land)(void *to, const void *from));
    void (*commit)(void);
    void (*wait)(int pending);
} emulated_services;

/* A tensor map: cuda.h's 128 bytes, in words of ours. */
#define EMULATED_MAP 0x4d415021u
typedef struct emulated_map {
    unsigned magic, rank, im2col, step;
    unsigned long base, dims[4], strides[4];
    unsigned short box[4];
    short lower[2], upper[2];
    unsigned char unused[24];
} emulated_map;

typedef struct emulated_entry {
    const char *name;
    int threads; /* of a block, at most */
    void (*enter)(void **parameters);
    const int *sizes; /* bytes of each parameter */
    int parameters;
} emulated_entry;

#endif
