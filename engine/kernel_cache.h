/* Compiled kernels on disk, so that a program compiles once on a machine: files named by a hash of all that went into the
   compilation. Losing or spoiling one costs a compilation, never an error. */
#ifndef CALO_KERNEL_CACHE_H
#define CALO_KERNEL_CACHE_H

#include <stddef.h>

#define CALO_KERNEL_CACHE_LIMIT ((size_t)256 << 20) /* bytes; beyond it the files used longest ago go */

/* $XDG_CACHE_HOME/calotype/kernels or ~/.cache/calotype/kernels, into a text of `size` bytes; "" where there is neither. */
void calo_kernel_cache_folder(char *folder, size_t size);

/* The bytes kept under the key, whose parts are what the compilation depends on; NULL when there are none or they are
 * not whole. Free them. */
void *calo_kernel_cache_get(const char *folder, const char *const *parts, int count, size_t *size);

/* Keeps the bytes, atomically, and lets the oldest files go beyond `limit`. A folder that cannot be written keeps none. */
void calo_kernel_cache_put(const char *folder, const char *const *parts, int count, const void *bytes, size_t size,
                           size_t limit);

#endif
