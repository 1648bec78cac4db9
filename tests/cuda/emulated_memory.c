/* The emulated driver's memory: host memory between guard bands. */
#include "emulated_state.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { BAND = 4096 };

struct memory {
    unsigned char *base;
    size_t bytes;
    memory *next;
};

static bool band_is_whole(const unsigned char *band)
{
    for (int i = 0; i < BAND; i++)
        if (band[i] != 0xa5)
            return false;
    return true;
}

void check_bands(void)
{
    for (const memory *m = emulator.memories; m && !emulator.sticky; m = m->next)
        if (!band_is_whole(m->base) || !band_is_whole(m->base + BAND + m->bytes)) {
            snprintf(emulator.report, sizeof emulator.report, "a kernel wrote outside of %zu bytes of device memory",
                     m->bytes);
            emulator.sticky = ILLEGAL_ADDRESS;
        }
}

cu_result allocate(cu_pointer *pointer, size_t bytes)
{
    ARRIVE();
    if (!bytes)
        return INVALID_VALUE;
    if (emulator.allocated > emulator.total || bytes > emulator.total - emulator.allocated)
        return CU_OUT_OF_MEMORY;
    memory *made = make(sizeof *made);
    if (!made || posix_memalign((void **)&made->base, BAND, bytes + 2 * BAND)) {
        unmake(made);
        return CU_OUT_OF_MEMORY;
    }
    memset(made->base, 0xa5, BAND);
    memset(made->base + BAND + bytes, 0xa5, BAND);
    made->bytes = bytes;
    made->next = emulator.memories;
    emulator.memories = made;
    emulator.allocated += bytes;
    *pointer = (cu_pointer)(uintptr_t)(made->base + BAND);
    return SUCCESS;
}

cu_result release_memory(cu_pointer pointer)
{
    ARRIVE_RELEASING();
    check_bands();
    for (memory **m = &emulator.memories; *m; m = &(*m)->next)
        if ((cu_pointer)(uintptr_t)((*m)->base + BAND) == pointer) {
            memory *gone = *m;
            *m = gone->next;
            emulator.allocated -= gone->bytes;
            free(gone->base);
            unmake(gone);
            return early;
        }
    return INVALID_VALUE;
}

cu_result memory_info(size_t *available, size_t *total)
{
    ARRIVE();
    *available = emulator.total > emulator.allocated ? emulator.total - emulator.allocated : 0;
    *total = emulator.total;
    return SUCCESS;
}

cu_result allocate_host(void **pointer, size_t bytes, unsigned flags)
{
    ARRIVE();
    (void)flags;
    *pointer = make(bytes);
    return *pointer ? SUCCESS : CU_OUT_OF_MEMORY;
}

cu_result release_host(void *pointer)
{
    ARRIVE_RELEASING();
    unmake(pointer);
    return early;
}

cu_result copy_in(cu_pointer to, const void *from, size_t bytes, cu_stream stream)
{
    ARRIVE();
    if (stream->capture)
        return CAPTURE_UNSUPPORTED;
    memcpy((void *)(uintptr_t)to, from, bytes);
    return SUCCESS;
}

cu_result copy_out(void *to, cu_pointer from, size_t bytes, cu_stream stream)
{
    ARRIVE();
    if (stream->capture)
        return CAPTURE_UNSUPPORTED;
    emulator.copied_out += (long)bytes;
    memcpy(to, (const void *)(uintptr_t)from, bytes);
    return SUCCESS;
}
