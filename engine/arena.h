/* An arena: memory for tensors whose lives are decided on the host, by first fit, before any of it exists.

   The same sequence of takes and gives always yields the same addresses. So a flow is first run in plan mode, which
   finds the peak; `calo_arena_commit` then allocates exactly that; and the real run takes the same addresses again.
   A device may cap one allocation, so an arena is one or more slabs; a tensor lies in one slab. */
#ifndef CALO_ARENA_H
#define CALO_ARENA_H

#include "device.h"

#define CALO_MAX_SLABS 64

typedef struct calo_span {
    uint64_t begin, end; /* bytes in its slab */
} calo_span;

typedef struct calo_slab {
    calo_span *used; /* ascending */
    int count, capacity;
    uint64_t peak;       /* highest end so far */
    uint64_t size;       /* committed bytes; 0 before */
    calo_buffer *buffer; /* NULL before commit */
    void *mapped;        /* the buffer's bytes between calo_arena_map and calo_arena_unmap, where the host sees them */
} calo_slab;

typedef struct calo_arena {
    calo_device *device;      /* NULL: plans only */
    uint64_t slab_limit;      /* bytes of one slab at most */
    uint64_t alignment;
    uint64_t in_use, peak;    /* bytes of live tensors, now and at most */
    int slab_count;
    bool committed;
    calo_slab slabs[CALO_MAX_SLABS];
} calo_arena;

void calo_arena_init(calo_arena *arena, calo_device *device, const calo_device_info *info);
void calo_arena_free(calo_arena *arena);

/* Memory for t's shape: fills buffer, offset, block. CALO_EMEMORY says need and limit. */
calo_status calo_arena_take(calo_arena *arena, calo_tensor *t, calo_fault *fault);

/* Gives the block back; a tensor that owns none is left alone. Sets *t to "no tensor". */
void calo_arena_give(calo_arena *arena, calo_tensor *t);

/* Allocates the slabs at their peaks and forgets all blocks. */
calo_status calo_arena_commit(calo_arena *arena, calo_fault *fault);

/* Gives the host the slabs of a device whose memory it shares, and takes them back before a kernel runs. */
calo_status calo_arena_map(calo_arena *arena, calo_fault *fault);
void calo_arena_unmap(calo_arena *arena, calo_fault *fault);
/* Where the host sees t's numbers; NULL: it does not, write them through the device. */
void *calo_arena_host(const calo_arena *arena, calo_tensor t);

/* Bytes of all slabs at their peaks: what commit allocates. */
uint64_t calo_arena_size(const calo_arena *arena);
/* The largest of them. */
uint64_t calo_arena_largest(const calo_arena *arena);

#endif
