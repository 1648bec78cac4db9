/* Compiled kernels on disk. A file is the SHA-256 of its bytes and then the bytes, so a torn or spoilt one is seen. */
#include "kernel_cache.h"
#include "hash.h"
#include "shim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIGEST = 32, MAX_PATH = 1024, MAX_KERNEL = 64 << 20 };

void calo_kernel_cache_folder(char *folder, size_t size)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int length = 0;
    if (cache && *cache == '/')
        length = snprintf(folder, size, "%s/calotype/kernels", cache);
    else if (home && *home == '/')
        length = snprintf(folder, size, "%s/.cache/calotype/kernels", home);
    if (length <= 0 || (size_t)length >= size)
        folder[0] = '\0';
}

/* folder/<hash of the parts>.bin; false when there is no memory or the folder's name is too long. */
static bool path_of(const char *folder, const char *const *parts, int count, char path[MAX_PATH])
{
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += strlen(parts[i]) + 1;
    uint8_t *text = *folder ? calo_alloc(size, 1) : NULL, digest[DIGEST];
    if (!text)
        return false;
    size_t at = 0;
    for (int i = 0; i < count; i++) { /* with its 0, so that parts cannot run into each other */
        memcpy(text + at, parts[i], strlen(parts[i]) + 1);
        at += strlen(parts[i]) + 1;
    }
    calo_sha256(text, size, digest);
    calo_free(text);
    int length = snprintf(path, MAX_PATH, "%s/", folder);
    for (int i = 0; i < DIGEST / 2 && length > 0 && length < MAX_PATH; i++)
        length += snprintf(path + length, (size_t)(MAX_PATH - length), "%02x%s", digest[i],
                           i + 1 == DIGEST / 2 ? ".bin" : "");
    return length > 0 && length < MAX_PATH;
}

void *calo_kernel_cache_get(const char *folder, const char *const *parts, int count, size_t *size)
{
    char path[MAX_PATH], *text = NULL;
    uint8_t digest[DIGEST];
    size_t all = 0;
    if (!path_of(folder, parts, count, path) || calo_read_file(path, MAX_KERNEL, &text, &all, NULL))
        return NULL;
    if (all > DIGEST) {
        calo_sha256((const uint8_t *)text + DIGEST, all - DIGEST, digest);
        if (memcmp(digest, text, DIGEST) == 0) {
            calo_touch(path);
            *size = all - DIGEST;
            memmove(text, text + DIGEST, *size);
            return text;
        }
    }
    calo_free(text);
    return NULL;
}

void calo_kernel_cache_put(const char *folder, const char *const *parts, int count, const void *bytes, size_t size,
                           size_t limit)
{
    char path[MAX_PATH];
    uint8_t digest[DIGEST];
    calo_writer *writer;
    if (!path_of(folder, parts, count, path) || size > MAX_KERNEL - DIGEST || calo_make_path(folder, NULL) ||
        calo_writer_open(path, &writer, NULL))
        return;
    calo_sha256(bytes, size, digest);
    if (calo_writer_put(writer, digest, DIGEST, NULL) || calo_writer_put(writer, bytes, size, NULL))
        calo_writer_abandon(&writer);
    else if (calo_writer_commit(&writer, NULL) == CALO_OK)
        calo_trim_folder(folder, limit);
}
