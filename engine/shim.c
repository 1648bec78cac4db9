/* Memory, files and threads, on POSIX. */
#include "shim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- memory ----------------------------------------------------------------------------------------------------- */

void *calo_alloc(size_t count, size_t size)
{
    return calloc(count ? count : 1, size ? size : 1);
}

void *calo_resize(void *block, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    return realloc(block, bytes ? bytes : 1);
}

char *calo_copy_string(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = calo_alloc(size, 1);
    return copy ? memcpy(copy, text, size) : NULL;
}

void calo_free(void *block)
{
    free(block);
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

calo_status calo_file_open(const char *path, calo_file *file, calo_fault *fault)
{
    struct stat about;
    *file = (calo_file){ .descriptor = -1, .path = calo_copy_string(path) };
    if (!file->path)
        return calo_fail(fault, CALO_EMEMORY, "no host memory to open %s", path);
    file->descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe nobody writes to is not waited for */
    if (file->descriptor < 0 || fstat(file->descriptor, &about) != 0) {
        calo_fail(fault, CALO_EFILE, "%s: %s", path, strerror(errno));
        calo_file_close(file);
        return CALO_EFILE;
    }
    if (!S_ISREG(about.st_mode)) {
        calo_fail(fault, CALO_EFILE, "%s is not a file", path);
        calo_file_close(file);
        return CALO_EFILE;
    }
    file->size = (uint64_t)about.st_size;
    return CALO_OK;
}

calo_status calo_file_read(const calo_file *file, uint64_t offset, void *to, size_t size, calo_fault *fault)
{
    char *at = to;
    while (size) {
        ssize_t got = pread(file->descriptor, at, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return calo_fail(fault, CALO_EFILE, "%s: %s", file->path, strerror(errno));
        if (got == 0)
            return calo_fail(fault, CALO_EFILE, "%s ends at byte %llu: it was cut while it was read", file->path,
                             (unsigned long long)offset);
        at += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return CALO_OK;
}

void calo_file_close(calo_file *file)
{
    if (file->path && file->descriptor >= 0)
        close(file->descriptor);
    calo_free(file->path);
    *file = (calo_file){ .descriptor = -1 };
}

calo_status calo_read_file(const char *path, size_t limit, char **text, size_t *size, calo_fault *fault)
{
    calo_file file;
    *text = NULL;
    *size = 0;
    calo_status status = calo_file_open(path, &file, fault);
    if (status)
        return status;
    if (file.size > limit) {
        status = calo_fail(fault, CALO_EFILE, "%s has %llu bytes, at most %zu are read", path,
                           (unsigned long long)file.size, limit);
        goto done;
    }
    *text = calo_alloc((size_t)file.size + 1, 1);
    if (!*text) {
        status = calo_fail(fault, CALO_EMEMORY, "no host memory to read %s", path);
        goto done;
    }
    status = calo_file_read(&file, 0, *text, (size_t)file.size, fault);
    *size = (size_t)file.size;
    if (status) {
        calo_free(*text);
        *text = NULL;
        *size = 0;
    }
done:
    calo_file_close(&file);
    return status;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

struct calo_writer {
    int descriptor;
    char *path, *part;
};

/* Where a link leads, to be freed; a copy of a path that is none. NULL without memory. */
static char *follow_link(const char *path)
{
    enum { SIZE = 4096, MOST = 16 };
    char target[SIZE];
    char *at = calo_copy_string(path);
    for (int i = 0; at && i < MOST; i++) {
        const ssize_t length = readlink(at, target, SIZE - 1);
        if (length < 0)
            break;
        target[length] = '\0';
        const char *slash = strrchr(at, '/');
        const size_t folder = *target == '/' || !slash ? 0 : (size_t)(slash - at + 1);
        char *next = calo_alloc(folder + (size_t)length + 1, 1);
        if (next) {
            memcpy(next, at, folder);
            memcpy(next + folder, target, (size_t)length);
        }
        calo_free(at);
        at = next;
    }
    return at;
}

/* A part of its own for every writer, also for two processes that write the same file. */
static int open_part(calo_writer *writer, size_t size)
{
    int descriptor = -1;
    for (int i = 0; i < 1000 && descriptor < 0; i++) {
        snprintf(writer->part, size, "%s.%ld-%d.part", writer->path, (long)getpid(), i);
        descriptor = open(writer->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (descriptor < 0 && errno != EEXIST)
            break;
    }
    return descriptor;
}

calo_status calo_writer_open(const char *path, calo_writer **writer, calo_fault *fault)
{
    calo_writer *made = calo_alloc(1, sizeof *made);
    size_t size = 0;
    struct stat about;
    *writer = NULL;
    if (made) {
        made->descriptor = -1;
        made->path = follow_link(path);
        size = made->path ? strlen(made->path) + 40 : 0;
        made->part = size ? calo_alloc(size, 1) : NULL;
    }
    if (!made || !made->path || !made->part) {
        calo_writer_abandon(&made);
        return calo_fail(fault, CALO_EMEMORY, "no host memory to write %s", path);
    }
    if (calo_is_directory(path)) {
        calo_writer_abandon(&made);
        return calo_fail(fault, CALO_EFILE, "%s is a folder, it cannot be written as a file", path);
    }
    if (stat(made->path, &about) == 0 && !S_ISREG(about.st_mode)) {
        calo_writer_abandon(&made);
        return calo_fail(fault, CALO_EFILE, "%s is no regular file, it cannot be replaced", path);
    }
    made->descriptor = open_part(made, size);
    if (made->descriptor < 0) {
        calo_fail(fault, CALO_EFILE, "%s cannot be written: %s", path, strerror(errno));
        made->part[0] = '\0'; /* whatever has that name is not ours to remove */
        calo_writer_abandon(&made);
        return CALO_EFILE;
    }
    *writer = made;
    return CALO_OK;
}

calo_status calo_writer_put(calo_writer *writer, const void *bytes, size_t size, calo_fault *fault)
{
    const char *at = bytes;
    while (size) {
        ssize_t written = write(writer->descriptor, at, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return calo_fail(fault, CALO_EFILE, "%s cannot be written: %s", writer->path, strerror(errno));
        at += written;
        size -= (size_t)written;
    }
    return CALO_OK;
}

calo_status calo_writer_commit(calo_writer **writer, calo_fault *fault)
{
    calo_writer *w = *writer;
    calo_status status = CALO_OK;
    bool synced = fsync(w->descriptor) == 0 || errno == EINVAL || errno == EROFS; /* some file systems cannot */
    bool closed = close(w->descriptor) == 0;
    w->descriptor = -1;
    if (!synced || !closed || rename(w->part, w->path) != 0)
        status = calo_fail(fault, CALO_EFILE, "%s cannot be written: %s", w->path, strerror(errno));
    else
        w->part[0] = '\0';
    calo_writer_abandon(writer);
    return status;
}

void calo_writer_abandon(calo_writer **writer)
{
    calo_writer *w = *writer;
    if (!w)
        return;
    if (w->descriptor >= 0)
        close(w->descriptor);
    if (w->part && w->part[0])
        unlink(w->part);
    calo_free(w->path);
    calo_free(w->part);
    calo_free(w);
    *writer = NULL;
}

/* ---- folders, time ---------------------------------------------------------------------------------------------- */

calo_status calo_make_directory(const char *path, calo_fault *fault)
{
    if (mkdir(path, 0777) != 0 && !(errno == EEXIST && calo_is_directory(path)))
        return calo_fail(fault, CALO_EFILE, "the folder %s cannot be made: %s", path, strerror(errno));
    return CALO_OK;
}

calo_status calo_make_path(const char *path, calo_fault *fault)
{
    char *above = calo_copy_string(path);
    calo_status status = above ? CALO_OK : calo_fail(fault, CALO_EMEMORY, "no host memory to make the folder %s", path);
    for (char *at = above; !status && at && (at = strchr(at + 1, '/'));) {
        *at = '\0';
        status = calo_make_directory(above, fault);
        *at = '/';
    }
    calo_free(above);
    return status ? status : calo_make_directory(path, fault);
}

void calo_touch(const char *path)
{
    utimensat(AT_FDCWD, path, NULL, 0);
}

/* The folder's regular files: how many bytes in all, and which was touched longest ago. */
static uint64_t survey(int folder, DIR *list, char *oldest, size_t size)
{
    struct timespec least = { 0 };
    uint64_t total = 0;
    oldest[0] = '\0';
    rewinddir(list);
    for (struct dirent *entry; (entry = readdir(list));) {
        struct stat about;
        if (fstatat(folder, entry->d_name, &about, AT_SYMLINK_NOFOLLOW) || !S_ISREG(about.st_mode))
            continue;
        total += (uint64_t)about.st_size;
        const struct timespec at = about.st_mtim;
        if (!oldest[0] || at.tv_sec < least.tv_sec || (at.tv_sec == least.tv_sec && at.tv_nsec < least.tv_nsec)) {
            least = at;
            snprintf(oldest, size, "%s", entry->d_name);
        }
    }
    return total;
}

void calo_trim_folder(const char *path, uint64_t limit)
{
    char oldest[256];
    DIR *list = opendir(path);
    if (!list)
        return;
    while (survey(dirfd(list), list, oldest, sizeof oldest) > limit && oldest[0])
        if (unlinkat(dirfd(list), oldest, 0))
            break;
    closedir(list);
}

bool calo_is_directory(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

bool calo_is_file(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISREG(about.st_mode);
}

double calo_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- threads ---------------------------------------------------------------------------------------------------- */

enum { MAX_THREADS = 64 };

typedef struct parallel {
    pthread_mutex_t lock;
    int64_t next, count;
    void (*work)(void *job, int64_t index);
    void *job;
} parallel;

static void *worker(void *argument)
{
    parallel *p = argument;
    for (;;) {
        pthread_mutex_lock(&p->lock);
        int64_t index = p->next < p->count ? p->next++ : -1;
        pthread_mutex_unlock(&p->lock);
        if (index < 0)
            return NULL;
        p->work(p->job, index);
    }
}

void calo_parallel(int threads, int64_t count, void (*work)(void *job, int64_t index), void *job)
{
    parallel p = { .count = count, .work = work, .job = job };
    pthread_t others[MAX_THREADS];
    int started = 0;
    if (threads <= 0)
        threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (threads > MAX_THREADS)
        threads = MAX_THREADS;
    if (threads > count)
        threads = (int)count;
    pthread_mutex_init(&p.lock, NULL);
    while (started < threads - 1 && pthread_create(&others[started], NULL, worker, &p) == 0)
        started++;
    worker(&p);
    for (int i = 0; i < started; i++)
        pthread_join(others[i], NULL);
    pthread_mutex_destroy(&p.lock);
}
