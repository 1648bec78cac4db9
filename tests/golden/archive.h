/* A zip archive of stored members, as torch writes its files. */
#ifndef CALO_TEST_ARCHIVE_H
#define CALO_TEST_ARCHIVE_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

enum { ARCHIVE_MEMBERS = 8192 };

typedef struct archive {
    FILE *file;
    struct {
        char name[96];
        uint32_t begin, size, crc;
    } members[ARCHIVE_MEMBERS];
    int count;
} archive;

static inline void archive_number(archive *a, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        fputc((int)(value >> 8 * i & 255), a->file);
}

static inline void archive_fields(archive *a, int i)
{
    archive_number(a, 0, 2); /* flags */
    archive_number(a, 0, 2); /* stored */
    archive_number(a, 0, 4); /* time */
    archive_number(a, a->members[i].crc, 4);
    archive_number(a, a->members[i].size, 4);
    archive_number(a, a->members[i].size, 4);
    archive_number(a, (uint32_t)strlen(a->members[i].name), 2);
}

static inline int archive_open(archive *a, const char *path)
{
    a->count = 0;
    a->file = fopen(path, "wb");
    return a->file != NULL;
}

static inline void archive_put(archive *a, const char *name, const void *bytes, size_t size)
{
    const int i = a->count++;
    snprintf(a->members[i].name, sizeof a->members[i].name, "%s", name);
    a->members[i].begin = (uint32_t)ftell(a->file);
    a->members[i].size = (uint32_t)size;
    a->members[i].crc = (uint32_t)crc32(0, bytes, (uInt)size);
    fputs("PK\3\4", a->file);
    archive_number(a, 20, 2);
    archive_fields(a, i);
    archive_number(a, 0, 2); /* no extra field */
    fputs(a->members[i].name, a->file);
    fwrite(bytes, 1, size, a->file);
}

static inline int archive_close(archive *a)
{
    const uint32_t begin = (uint32_t)ftell(a->file);
    for (int i = 0; i < a->count; i++) {
        fputs("PK\1\2", a->file);
        archive_number(a, 20, 2);
        archive_number(a, 20, 2);
        archive_fields(a, i);
        archive_number(a, 0, 4);  /* extra field, comment */
        archive_number(a, 0, 4);  /* disk, internal attributes */
        archive_number(a, 0, 4);  /* external attributes */
        archive_number(a, a->members[i].begin, 4);
        fputs(a->members[i].name, a->file);
    }
    const uint32_t size = (uint32_t)ftell(a->file) - begin;
    fputs("PK\5\6", a->file);
    archive_number(a, 0, 4);
    archive_number(a, (uint32_t)a->count, 2);
    archive_number(a, (uint32_t)a->count, 2);
    archive_number(a, size, 4);
    archive_number(a, begin, 4);
    archive_number(a, 0, 2);
    return fclose(a->file);
}

#endif
