/* Reading a zip archive's directory from its end. */
#include "zip.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    END_SIZE = 22,      /* of the end record without its comment */
    COMMENT_LIMIT = 65535,
    LOCATOR_SIZE = 20,  /* of the Zip64 end record's locator, right before the end record */
    END64_SIZE = 56,
    ENTRY_SIZE = 46,    /* of a directory entry without name, extra field and comment */
    LOCAL_SIZE = 30,    /* of the header before a member's bytes */
    DIRECTORY_LIMIT = 64 << 20
};

static uint64_t number(const unsigned char *bytes, int size)
{
    uint64_t value = 0;
    for (int i = size - 1; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

typedef struct directory {
    uint64_t begin, size, count;
} directory;

static calo_status damaged(const calo_file *file, const char *what, calo_fault *fault)
{
    return calo_fail(fault, CALO_EFILE, "%s: the zip archive is damaged or was cut: %s", file->path, what);
}

/* The end record, and Zip64's where the file has one. */
static calo_status find_directory(const calo_file *file, directory *d, calo_fault *fault)
{
    const size_t size = file->size < END_SIZE + COMMENT_LIMIT ? (size_t)file->size : END_SIZE + COMMENT_LIMIT;
    const uint64_t start = file->size - size;
    unsigned char *tail = calo_alloc(size + 1, 1), record[END64_SIZE];
    size_t at = size < END_SIZE ? 0 : size - END_SIZE + 1;
    if (!tail)
        return calo_fail(fault, CALO_EMEMORY, "no host memory to open %s", file->path);
    calo_status status = calo_file_read(file, start, tail, size, fault);
    while (!status && at > 0 && memcmp(tail + at - 1, "PK\5\6", 4) != 0)
        at--;
    if (!status && at == 0)
        status = damaged(file, "it has no end record", fault);
    if (!status) {
        const unsigned char *end = tail + at - 1;
        *d = (directory){ .count = number(end + 10, 2), .size = number(end + 12, 4), .begin = number(end + 16, 4) };
        const uint64_t here = start + at - 1;
        if (here >= LOCATOR_SIZE && !calo_file_read(file, here - LOCATOR_SIZE, record, LOCATOR_SIZE, fault) &&
            memcmp(record, "PK\6\7", 4) == 0) {
            const uint64_t end64 = number(record + 8, 8);
            if (end64 > file->size - END64_SIZE || file->size < END64_SIZE)
                status = damaged(file, "its Zip64 end record lies outside", fault);
            else if (!calo_file_read(file, end64, record, END64_SIZE, fault))
                *d = (directory){ .count = number(record + 32, 8), .size = number(record + 40, 8),
                                  .begin = number(record + 48, 8) };
            if (!status && memcmp(record, "PK\6\6", 4) != 0)
                status = damaged(file, "its Zip64 end record is missing", fault);
        }
        status = status ? status : fault->status;
    }
    calo_free(tail);
    if (!status && (d->size > DIRECTORY_LIMIT || d->begin > file->size || d->size > file->size - d->begin ||
                    d->count > d->size / ENTRY_SIZE))
        status = damaged(file, "its directory lies outside", fault);
    return status;
}

/* Sizes and places of 2^32 and more stand in the extra field's part 1, those that do not fit and no others. */
static bool read_extra(const unsigned char *extra, size_t size, uint64_t *plain, uint64_t *packed, uint64_t *local)
{
    for (size_t at = 0; at + 4 <= size;) {
        const size_t id = number(extra + at, 2), length = number(extra + at + 2, 2);
        if (length > size - at - 4)
            return false;
        if (id == 1) {
            uint64_t *fields[] = { plain, packed, local };
            size_t used = 0;
            for (int i = 0; i < 3; i++)
                if (*fields[i] == 0xffffffff) {
                    if (used + 8 > length)
                        return false;
                    *fields[i] = number(extra + at + 4 + used, 8);
                    used += 8;
                }
            return true;
        }
        at += 4 + length;
    }
    return true;
}

/* A member's bytes begin behind its local header, whose name and extra field may be of other lengths. */
static calo_status place(const calo_file *file, uint64_t local, calo_zip_member *member, calo_fault *fault)
{
    unsigned char header[LOCAL_SIZE];
    if (local > file->size || file->size - local < LOCAL_SIZE)
        return damaged(file, "a member lies outside", fault);
    if (calo_file_read(file, local, header, LOCAL_SIZE, fault))
        return fault->status;
    if (memcmp(header, "PK\3\4", 4) != 0)
        return damaged(file, "a member has no header", fault);
    member->begin = local + LOCAL_SIZE + number(header + 26, 2) + number(header + 28, 2);
    if (member->begin > file->size || member->size > file->size - member->begin)
        return damaged(file, "a member passes the end", fault);
    return CALO_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const calo_zip_member *)a)->name, ((const calo_zip_member *)b)->name);
}

static calo_status read_entries(const calo_file *file, const directory *d, const unsigned char *bytes, calo_zip *zip,
                                calo_fault *fault)
{
    size_t at = 0, used = 0;
    for (uint64_t i = 0; i < d->count; i++) {
        const unsigned char *entry = bytes + at;
        if (d->size - at < ENTRY_SIZE || memcmp(entry, "PK\1\2", 4) != 0)
            return damaged(file, "a directory entry is missing", fault);
        const size_t name = number(entry + 28, 2), extra = number(entry + 30, 2), comment = number(entry + 32, 2);
        uint64_t packed = number(entry + 20, 4), plain = number(entry + 24, 4), local = number(entry + 42, 4);
        if (d->size - at - ENTRY_SIZE < name + extra + comment)
            return damaged(file, "a directory entry is cut", fault);
        if (!read_extra(entry + ENTRY_SIZE + name, extra, &plain, &packed, &local))
            return damaged(file, "an extra field is cut", fault);
        calo_zip_member *member = &zip->members[zip->count++];
        member->name = zip->names + used;
        member->size = plain;
        memcpy(zip->names + used, entry + ENTRY_SIZE, name); /* a 0 follows */
        used += name + 1;
        const bool stored = number(entry + 10, 2) == 0 && packed == plain;
        if (stored && place(file, local, member, fault))
            return fault->status;
        at += ENTRY_SIZE + name + extra + comment;
    }
    qsort(zip->members, (size_t)zip->count, sizeof *zip->members, by_name);
    return CALO_OK;
}

calo_status calo_zip_open(const calo_file *file, calo_zip *zip, calo_fault *fault)
{
    directory d = { 0, 0, 0 };
    memset(zip, 0, sizeof *zip);
    if (find_directory(file, &d, fault))
        return fault->status;
    unsigned char *bytes = calo_alloc((size_t)d.size + 1, 1);
    zip->names = calo_alloc((size_t)d.size + 1, 1); /* an entry is longer than its name and a 0 */
    zip->members = calo_alloc((size_t)d.count + 1, sizeof *zip->members);
    if (!bytes || !zip->names || !zip->members)
        calo_fail(fault, CALO_EMEMORY, "no host memory to open %s", file->path);
    else if (!calo_file_read(file, d.begin, bytes, (size_t)d.size, fault))
        read_entries(file, &d, bytes, zip, fault);
    calo_free(bytes);
    return fault->status;
}

void calo_zip_close(calo_zip *zip)
{
    calo_free(zip->names);
    calo_free(zip->members);
    memset(zip, 0, sizeof *zip);
}

const calo_zip_member *calo_zip_find(const calo_zip *zip, const char *name)
{
    const calo_zip_member key = { .name = name };
    return zip->count ? bsearch(&key, zip->members, (size_t)zip->count, sizeof key, by_name) : NULL;
}
