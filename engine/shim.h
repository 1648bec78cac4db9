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

/* A file that is read in pieces. Its bytes are copied, never mapped: a file that is cut while it is in use gives an
 * error, not a signal. */
typedef struct calo_file {
    int descriptor;
    uint64_t size;
    char *path; /* for sentences */
} calo_file;

/* CALO_EFILE with a sentence that names `path`: missing, a folder, unreadable. */
calo_status calo_file_open(const char *path, calo_file *file, calo_fault *fault);
/* Exactly `size` bytes from `offset`, or CALO_EFILE. Threads may read the same file at once. */
calo_status calo_file_read(const calo_file *file, uint64_t offset, void *to, size_t size, calo_fault *fault);
/* Takes a file that was never opened (all zero), too. */
void calo_file_close(calo_file *file);

/* Reads a whole file of at most `limit` bytes. The text is followed by a 0 that `size` does not count; free it. */
calo_status calo_read_file(const char *path, size_t limit, char **text, size_t *size, calo_fault *fault);

/* A file that appears whole or not at all: written as PATH.….part beside it, synced, then renamed by `commit`. `abandon` removes
 * the part and is what `commit` does when it fails. A path that is a folder or in a missing folder is CALO_EFILE. */
typedef struct calo_writer calo_writer;
calo_status calo_writer_open(const char *path, calo_writer **writer, calo_fault *fault);
calo_status calo_writer_put(calo_writer *writer, const void *bytes, size_t size, calo_fault *fault);
calo_status calo_writer_commit(calo_writer **writer, calo_fault *fault);
void calo_writer_abandon(calo_writer **writer);

calo_status calo_make_directory(const char *path, calo_fault *fault); /* an existing one will do */
calo_status calo_make_path(const char *path, calo_fault *fault);      /* with the folders above it */
/* Removes the files of a folder that were touched longest ago until the others hold at most `limit` bytes. */
void calo_trim_folder(const char *path, uint64_t limit);
void calo_touch(const char *path); /* this file was used now */
bool calo_is_directory(const char *path);
bool calo_is_file(const char *path);

/* Seconds of the monotonic clock. */
double calo_seconds(void);

/* Calls work(job, i) for i = 0 … count−1 on up to `threads` threads (0: one per processor) and returns when all are
 * done. Falls back to fewer threads when the system gives no more. */
void calo_parallel(int threads, int64_t count, void (*work)(void *job, int64_t index), void *job);

#endif
