/* First fit over slabs: offsets on the host, memory once. */
#include "arena.h"
#include "shim.h"

#include <inttypes.h>
#include <string.h>

/* A block's name: its slab and its offset, never 0. Slabs are far smaller than 2^48 bytes. */
static uint64_t block_name(int slab, uint64_t offset)
{
    return ((uint64_t)(slab + 1) << 48) | offset;
}

void calo_arena_init(calo_arena *arena, calo_device *device, const calo_device_info *info)
{
    memset(arena, 0, sizeof *arena);
    arena->device = device;
    arena->slab_limit = info->max_allocation;
    arena->alignment = info->base_alignment > 64 ? (uint64_t)info->base_alignment : 64;
}

void calo_arena_free(calo_arena *arena)
{
    calo_arena_unmap(arena, NULL);
    for (int i = 0; i < arena->slab_count; i++) {
        if (arena->slabs[i].buffer)
            arena->device->api->release(arena->device, arena->slabs[i].buffer);
        calo_free(arena->slabs[i].used);
    }
    memset(arena, 0, sizeof *arena);
}

/* Finds the lowest gap of `bytes` in the slab; *at is the index where the span goes. */
static bool find_gap(const calo_slab *slab, uint64_t bytes, uint64_t limit, int *at, uint64_t *offset)
{
    uint64_t begin = 0;
    for (int i = 0; i <= slab->count; i++) {
        uint64_t end = i < slab->count ? slab->used[i].begin : limit;
        if (end >= begin && end - begin >= bytes) {
            *at = i;
            *offset = begin;
            return true;
        }
        if (i < slab->count)
            begin = slab->used[i].end;
    }
    return false;
}

static calo_status insert_span(calo_slab *slab, int at, uint64_t begin, uint64_t bytes, calo_fault *fault)
{
    if (slab->count == slab->capacity) {
        int capacity = slab->capacity ? 2 * slab->capacity : 32;
        calo_span *used = calo_resize(slab->used, (size_t)capacity, sizeof *used);
        if (!used)
            return calo_fail(fault, CALO_EMEMORY, "arena: no host memory for its list of %d blocks", capacity);
        slab->used = used;
        slab->capacity = capacity;
    }
    memmove(slab->used + at + 1, slab->used + at, (size_t)(slab->count - at) * sizeof *slab->used);
    slab->used[at] = (calo_span){ begin, begin + bytes };
    slab->count++;
    return CALO_OK;
}

calo_status calo_arena_take(calo_arena *arena, calo_tensor *t, calo_fault *fault)
{
    char shape[64];
    uint64_t bytes = calo_tensor_bytes(*t);
    if (bytes == 0 || bytes > arena->slab_limit)
        return calo_fail(fault, CALO_EMEMORY,
                         "a tensor of shape %s (%s) needs %" PRIu64 " bytes, the device allocates at most %" PRIu64
                         " at once",
                         calo_shape_text(*t, shape, sizeof shape), calo_type_name(t->type), bytes, arena->slab_limit);
    bytes = (bytes + arena->alignment - 1) / arena->alignment * arena->alignment;

    for (int i = 0; i < CALO_MAX_SLABS; i++) {
        if (i == arena->slab_count) {
            if (arena->committed)
                break;
            arena->slab_count++;
        }
        calo_slab *slab = &arena->slabs[i];
        uint64_t limit = arena->committed ? slab->size : arena->slab_limit, offset;
        if (limit < bytes && i + 1 < CALO_MAX_SLABS && !arena->committed)
            limit = bytes; /* rounding up to the alignment may pass the limit by less than one unit */
        int at;
        if (!find_gap(slab, bytes, limit, &at, &offset))
            continue;
        if (insert_span(slab, at, offset, bytes, fault))
            return fault ? fault->status : CALO_EMEMORY;
        if (offset + bytes > slab->peak)
            slab->peak = offset + bytes;
        arena->in_use += bytes;
        if (arena->in_use > arena->peak)
            arena->peak = arena->in_use;
        t->buffer = slab->buffer;
        t->offset = offset;
        t->block = block_name(i, offset);
        return CALO_OK;
    }
    return calo_fail(fault, CALO_EMEMORY,
                     "arena: no room for a tensor of shape %s: need %" PRIu64 " bytes, %" PRIu64 " of %" PRIu64
                     " are in use",
                     calo_shape_text(*t, shape, sizeof shape), bytes, arena->in_use, calo_arena_size(arena));
}

void calo_arena_give(calo_arena *arena, calo_tensor *t)
{
    if (t->block) {
        calo_slab *slab = &arena->slabs[(t->block >> 48) - 1];
        uint64_t begin = t->block & ((UINT64_C(1) << 48) - 1);
        for (int i = 0; i < slab->count; i++)
            if (slab->used[i].begin == begin) {
                arena->in_use -= slab->used[i].end - begin;
                slab->count--;
                memmove(slab->used + i, slab->used + i + 1, (size_t)(slab->count - i) * sizeof *slab->used);
                break;
            }
    }
    memset(t, 0, sizeof *t);
}

calo_status calo_arena_commit(calo_arena *arena, calo_fault *fault)
{
    for (int i = 0; i < arena->slab_count; i++) {
        calo_slab *slab = &arena->slabs[i];
        calo_status status = arena->device->api->allocate(arena->device, slab->peak, &slab->buffer, fault);
        if (status)
            return status;
        slab->size = slab->peak;
        slab->count = 0;
    }
    arena->committed = true;
    arena->in_use = 0;
    return CALO_OK;
}

calo_status calo_arena_map(calo_arena *arena, calo_fault *fault)
{
    calo_status status = CALO_OK;
    for (int i = 0; i < arena->slab_count && !status; i++)
        status = arena->device->api->map(arena->device, arena->slabs[i].buffer, &arena->slabs[i].mapped, fault);
    return status;
}

void calo_arena_unmap(calo_arena *arena, calo_fault *fault)
{
    for (int i = 0; i < arena->slab_count; i++) {
        calo_slab *slab = &arena->slabs[i];
        if (slab->mapped)
            arena->device->api->unmap(arena->device, slab->buffer, slab->mapped, fault);
        slab->mapped = NULL;
    }
}

void *calo_arena_host(const calo_arena *arena, calo_tensor t)
{
    for (int i = 0; i < arena->slab_count; i++)
        if (arena->slabs[i].buffer == t.buffer && arena->slabs[i].mapped)
            return (char *)arena->slabs[i].mapped + t.offset;
    return NULL;
}

uint64_t calo_arena_size(const calo_arena *arena)
{
    uint64_t bytes = 0;
    for (int i = 0; i < arena->slab_count; i++)
        bytes += arena->slabs[i].peak;
    return bytes;
}

uint64_t calo_arena_largest(const calo_arena *arena)
{
    uint64_t bytes = 0;
    for (int i = 0; i < arena->slab_count; i++)
        if (arena->slabs[i].peak > bytes)
            bytes = arena->slabs[i].peak;
    return bytes;
}
