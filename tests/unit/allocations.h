/* Allocations that fail, for programs linked with --wrap=calo_alloc and --wrap=calo_resize. */
#ifndef CALO_TEST_ALLOCATIONS_H
#define CALO_TEST_ALLOCATIONS_H

#include <stdbool.h>
#include <stddef.h>

void *__real_calo_alloc(size_t count, size_t size);
void *__real_calo_resize(void *block, size_t count, size_t size);
void *__wrap_calo_alloc(size_t count, size_t size);
void *__wrap_calo_resize(void *block, size_t count, size_t size);

static long allocations_left = -1; /* the one after them fails; negative: none does */

static bool fails_now(void)
{
    return allocations_left >= 0 && allocations_left-- == 0;
}

void *__wrap_calo_alloc(size_t count, size_t size)
{
    return fails_now() ? NULL : __real_calo_alloc(count, size);
}

void *__wrap_calo_resize(void *block, size_t count, size_t size)
{
    return fails_now() ? NULL : __real_calo_resize(block, count, size);
}

#endif
