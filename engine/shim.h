/* The one way to memory, files and threads. Every allocation and every file call of the library goes through these
 * functions, so that a test can replace them (the linker's --wrap) and fail each of them once. */
#ifndef CALO_SHIM_H
#define CALO_SHIM_H

#include "fault.h"

#include <stddef.h>
#include <stdint.h>

/* Memory. A product that overflows and a failed allocation both give NULL; `calo_free` takes NULL. */
void *calo_alloc(size_t count, size_t size);                /* zeroed */
void *calo_resize(void *block, size_t count, size_t size);  /* keeps the block when it fails; new part not zeroed */
char *calo_copy_string(const char *text);
void calo_free(void *block);

/* A whole file, mapped for reading. `bytes` is NULL when `size` is 0. */
typedef struct calo_mapping {
    const uint8_t *bytes;
    size_t size;
    int descriptor; /* kept open, so that `calo_mapping_intact` can tell a file that was cut after mapping */
} calo_mapping;

/* CALO_EFILE with a sentence that names `path`: missing, a folder, unreadable. */
calo_status calo_map_file(const char *path, calo_mapping *mapping, calo_fault *fault);
bool calo_mapping_intact(const calo_mapping *mapping);
/* Tells the system that a part of the mapping was used for the last time, so that it stops counting as resident. */
void calo_mapping_drop(const calo_mapping *mapping, const uint8_t *start, size_t size);
void calo_unmap_file(calo_mapping *mapping);

/* Reads a whole file of at most `limit` bytes. The text is followed by a 0 that `size` does not count; free it. */
calo_status calo_read_file(const char *path, size_t limit, char **text, size_t *size, calo_fault *fault);

/* A file that appears whole or not at all: written as PATH.part, synced, then renamed by `commit`. `abandon` removes
 * the part and is what `commit` does when it fails. A path that is a folder or in a missing folder is CALO_EFILE. */
typedef struct calo_writer calo_writer;
calo_status calo_writer_open(const char *path, calo_writer **writer, calo_fault *fault);
calo_status calo_writer_put(calo_writer *writer, const void *bytes, size_t size, calo_fault *fault);
calo_status calo_writer_commit(calo_writer **writer, calo_fault *fault);
void calo_writer_abandon(calo_writer **writer);

bool calo_is_directory(const char *path);
bool calo_is_file(const char *path);

/* Seconds of the monotonic clock. */
double calo_seconds(void);

/* Calls work(job, i) for i = 0 … count−1 on up to `threads` threads (0: one per processor) and returns when all are
 * done. Falls back to fewer threads when the system gives no more. */
void calo_parallel(int threads, int64_t count, void (*work)(void *job, int64_t index), void *job);

#endif
