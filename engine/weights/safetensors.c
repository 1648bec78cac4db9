/* Reading safetensors: the header is scanned once, in place, by a strict scanner for just this shape of JSON. */
#include "safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_LIMIT = 100000000 };

/* ---- scanner ---------------------------------------------------------------------------------------------------- */

typedef struct scanner {
    char *text, *at, *end; /* `end` points at a 0 that was put behind the header */
    const char *path;
    calo_fault *fault;
} scanner;

static bool bad(scanner *s, const char *what)
{
    calo_fail(s->fault, CALO_EFILE, "%s: header byte %lld: %s", s->path, (long long)(s->at - s->text) + 8, what);
    return false;
}

static void skip_space(scanner *s)
{
    while (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r')
        s->at++;
}

static bool expect(scanner *s, char c)
{
    skip_space(s);
    if (*s->at != c) {
        char what[32];
        snprintf(what, sizeof what, "'%c' is missing", c);
        return bad(s, what);
    }
    s->at++;
    return true;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static long unit(scanner *s)
{
    long value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(s->at[i]);
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    s->at += 4;
    return value;
}

/* After "\u": one code point, from one or two units. */
static bool scan_escape(scanner *s, char **out)
{
    long code = unit(s);
    if (code >= 0xd800 && code < 0xdc00 && s->at[0] == '\\' && s->at[1] == 'u') {
        s->at += 2;
        long low = unit(s);
        code = low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00) : -1;
    }
    if (code <= 0 || (code >= 0xd800 && code < 0xe000))
        return bad(s, "a \\u escape is not a character");
    char *o = *out;
    if (code < 0x80) {
        *o++ = (char)code;
    } else if (code < 0x800) {
        *o++ = (char)(0xc0 | code >> 6);
        *o++ = (char)(0x80 | (code & 63));
    } else if (code < 0x10000) {
        *o++ = (char)(0xe0 | code >> 12);
        *o++ = (char)(0x80 | (code >> 6 & 63));
        *o++ = (char)(0x80 | (code & 63));
    } else {
        *o++ = (char)(0xf0 | code >> 18);
        *o++ = (char)(0x80 | (code >> 12 & 63));
        *o++ = (char)(0x80 | (code >> 6 & 63));
        *o++ = (char)(0x80 | (code & 63));
    }
    *out = o;
    return true;
}

/* Bytes of one well-formed UTF-8 sequence at `p` (which a 0 follows somewhere), 0 when there is none. */
static int utf8_length(const unsigned char *p)
{
    if (p[0] < 0x80)
        return 1;
    int length = p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 0;
    for (int i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool outside = (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf4 && p[1] > 0x8f);
    return overlong || outside ? 0 : length;
}

/* A string, unescaped onto itself and closed by a 0; an escape is never shorter than what it stands for. */
static bool scan_string(scanner *s, const char **string)
{
    static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    if (!expect(s, '"'))
        return false;
    char *out = s->at;
    *string = out;
    while (*s->at != '"') {
        if ((unsigned char)*s->at < ' ')
            return bad(s, s->at == s->end ? "the header ends inside a string" : "a control character in a string");
        if (*s->at != '\\') {
            int length = utf8_length((const unsigned char *)s->at);
            if (!length)
                return bad(s, "a string is not UTF-8");
            memmove(out, s->at, (size_t)length);
            out += length;
            s->at += length;
            continue;
        }
        s->at++;
        const char *found = *s->at ? strchr(escapes, *s->at) : NULL;
        if (found) {
            *out++ = meanings[found - escapes];
            s->at++;
        } else if (*s->at == 'u') {
            s->at++;
            if (!scan_escape(s, &out))
                return false;
        } else {
            return bad(s, "an unknown escape in a string");
        }
    }
    s->at++;
    *out = '\0';
    return true;
}

static bool scan_number(scanner *s, int64_t *value)
{
    skip_space(s);
    if (*s->at < '0' || *s->at > '9')
        return bad(s, "a whole number is missing");
    if (s->at[0] == '0' && s->at[1] >= '0' && s->at[1] <= '9')
        return bad(s, "a number starts with 0");
    *value = 0;
    for (; *s->at >= '0' && *s->at <= '9'; s->at++)
        if (__builtin_mul_overflow(*value, 10, value) || __builtin_add_overflow(*value, *s->at - '0', value))
            return bad(s, "a number is too large");
    return true;
}

/* [a, b, …] of at most `limit` numbers. */
static bool scan_numbers(scanner *s, int64_t *values, int limit, int *count)
{
    *count = 0;
    if (!expect(s, '['))
        return false;
    skip_space(s);
    if (*s->at == ']') {
        s->at++;
        return true;
    }
    for (;;) {
        if (*count == limit)
            return bad(s, "a list is too long");
        if (!scan_number(s, &values[(*count)++]))
            return false;
        skip_space(s);
        if (*s->at == ',') {
            s->at++;
            continue;
        }
        return expect(s, ']');
    }
}

/* After an element of an object: more = a comma follows; otherwise the object is closed. */
static bool scan_more(scanner *s, bool *more)
{
    skip_space(s);
    *more = *s->at == ',';
    if (!*more)
        return expect(s, '}');
    s->at++;
    return true;
}

static bool scan_metadata(scanner *s)
{
    const char *text;
    bool more = true;
    if (!expect(s, '{'))
        return false;
    skip_space(s);
    if (*s->at == '}') {
        s->at++;
        return true;
    }
    while (more)
        if (!scan_string(s, &text) || !expect(s, ':') || !scan_string(s, &text) || !scan_more(s, &more))
            return false;
    return true;
}

static bool scan_type(scanner *s, calo_entry *entry)
{
    const char *name;
    if (!scan_string(s, &name))
        return false;
    for (int i = 0; i < CALO_STORED_TYPES; i++)
        if (strcmp(name, calo_stored_name((calo_stored)i)) == 0) {
            entry->type = (calo_stored)i;
            return true;
        }
    return bad(s, "an unknown dtype");
}

/* The description of one tensor; begin and size are as in the file, relative to the end of the header. */
static bool scan_entry(scanner *s, calo_entry *entry)
{
    int64_t offsets[2] = { 0 };
    unsigned seen = 0;
    bool more = true;
    int pair = 0;
    if (!expect(s, '{'))
        return false;
    while (more) {
        const char *key;
        unsigned bit = 0;
        if (!scan_string(s, &key) || !expect(s, ':'))
            return false;
        if (strcmp(key, "dtype") == 0 && scan_type(s, entry))
            bit = 1;
        else if (strcmp(key, "shape") == 0 && scan_numbers(s, entry->dims, CALO_STORED_RANK, &entry->rank))
            bit = 2;
        else if (strcmp(key, "data_offsets") == 0 && scan_numbers(s, offsets, 2, &pair))
            bit = 4;
        if (!bit || seen & bit)
            return bad(s, "a tensor has dtype, shape and data_offsets, each once and nothing else");
        seen |= bit;
        if (!scan_more(s, &more))
            return false;
    }
    uint64_t bytes = calo_stored_size(entry->type);
    for (int i = 0; i < entry->rank; i++)
        if (__builtin_mul_overflow(bytes, (uint64_t)entry->dims[i], &bytes) || bytes > INT64_MAX)
            return bad(s, "a shape is too large");
    if (seen != 7 || pair != 2 || offsets[1] < offsets[0] || (uint64_t)(offsets[1] - offsets[0]) != bytes)
        return bad(s, "dtype, shape and data_offsets of a tensor do not agree");
    entry->begin = (uint64_t)offsets[0];
    entry->size = bytes;
    return true;
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

/* No tensor is described in fewer bytes than `"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}` takes. */
static int64_t most_entries(const char *text)
{
    int64_t count = 0;
    for (const char *at = text; (at = strstr(at, "data_offsets")) != NULL; at++)
        count++;
    return count;
}

static calo_status scan_header(scanner *s, calo_tensor_file *file)
{
    if (calo_tensor_file_reserve(file, most_entries(s->text), s->fault))
        return s->fault->status;
    bool more = true, metadata = false;
    if (!expect(s, '{'))
        return CALO_EFILE;
    skip_space(s);
    if (*s->at == '}') {
        s->at++;
        more = false;
    }
    while (more) {
        const char *name;
        if (!scan_string(s, &name) || !expect(s, ':'))
            return CALO_EFILE;
        if (strcmp(name, "__metadata__") == 0) {
            if (metadata)
                return bad(s, "__metadata__ stands twice"), CALO_EFILE;
            metadata = true;
            if (!scan_metadata(s))
                return CALO_EFILE;
        } else {
            calo_entry entry = { .name = name, .file = &file->file };
            if (!scan_entry(s, &entry))
                return CALO_EFILE;
            if (calo_tensor_file_add(file, &entry, s->fault))
                return CALO_EFILE;
        }
        if (!scan_more(s, &more))
            return CALO_EFILE;
    }
    skip_space(s);
    return s->at == s->end ? CALO_OK : (bad(s, "something follows the header's object"), CALO_EFILE);
}

static int by_begin(const void *a, const void *b)
{
    const calo_entry *x = *(const calo_entry *const *)a, *y = *(const calo_entry *const *)b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->size < y->size ? -1 : x->size > y->size;
}

/* The ranges must cover the file behind the header; then they are made absolute. */
static calo_status place(calo_tensor_file *file, uint64_t start, const char *path, calo_fault *fault)
{
    calo_entry **order = calo_alloc((size_t)file->count, sizeof *order);
    uint64_t at = 0, end = file->file.size - start;
    calo_status status = CALO_OK;
    if (!order)
        return calo_fail(fault, CALO_EMEMORY, "%s: no host memory for %" PRId64 " tensors", path, file->count);
    for (int64_t i = 0; i < file->count; i++)
        order[i] = &file->entries[i];
    qsort(order, (size_t)file->count, sizeof *order, by_begin);
    for (int64_t i = 0; i < file->count && !status; i++) {
        if (order[i]->begin != at)
            status = calo_fail(fault, CALO_EFILE,
                               "%s: tensor %.200s begins at byte %" PRIu64 " of the data, expected %" PRIu64, path,
                               order[i]->name, order[i]->begin, at);
        else if (order[i]->size > end - at)
            status = calo_fail(fault, CALO_EFILE, "%s: tensor %.200s passes the end of the file by %" PRIu64 " bytes",
                               path, order[i]->name, order[i]->size - (end - at));
        at += order[i]->size;
        order[i]->begin += start;
    }
    if (!status && at != end)
        status = calo_fail(fault, CALO_EFILE, "%s: %" PRIu64 " bytes at the end belong to no tensor", path, end - at);
    calo_free(order);
    return status;
}

calo_status calo_safetensors_read(calo_tensor_file *file, calo_fault *fault)
{
    unsigned char prefix[8];
    uint64_t length = 0;
    const char *path = file->file.path;
    if (file->file.size < 8)
        return calo_fail(fault, CALO_EFILE, "%s has %" PRIu64 " bytes, too few for a safetensors file", path,
                         file->file.size);
    if (calo_file_read(&file->file, 0, prefix, sizeof prefix, fault))
        return fault->status;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | prefix[i];
    if (length < 2 || length > HEADER_LIMIT || length > file->file.size - 8)
        return calo_fail(fault, CALO_EFILE,
                         "%s is no safetensors file or was cut: its header would have %" PRIu64 " bytes, the file has "
                         "%" PRIu64, path, length, file->file.size);
    file->text = calo_alloc((size_t)length + 1, 1);
    if (!file->text)
        return calo_fail(fault, CALO_EMEMORY, "%s: no host memory for a header of %" PRIu64 " bytes", path, length);
    if (calo_file_read(&file->file, 8, file->text, (size_t)length, fault))
        return fault->status;
    scanner s = { file->text, file->text, file->text + length, path, fault };
    if (*s.at != '{')
        return calo_fail(fault, CALO_EFILE, "%s: byte 8 is not the '{' of a safetensors header", path);
    calo_status status = scan_header(&s, file);
    return status ? status : place(file, 8 + length, path, fault);
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

calo_status calo_safetensors_begin(const char *path, const calo_tensor_record *records, int64_t count,
                                   calo_writer **writer, calo_fault *fault)
{
    size_t capacity = 16, used = 0;
    uint64_t offset = 0;
    for (int64_t i = 0; i < count; i++)
        capacity += strlen(records[i].name) + 320;
    char *header = calo_alloc(capacity, 1);
    *writer = NULL;
    if (!header)
        return calo_fail(fault, CALO_EMEMORY, "no host memory for the header of %s", path);
    used += (size_t)snprintf(header, capacity, "{");
    for (int64_t i = 0; i < count; i++) {
        const calo_tensor_record *r = &records[i];
        uint64_t bytes = calo_stored_size(r->type);
        used += (size_t)snprintf(header + used, capacity - used, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", i ? "," : "",
                                 r->name, calo_stored_name(r->type));
        for (int d = 0; d < r->rank; d++) {
            used += (size_t)snprintf(header + used, capacity - used, "%s%" PRId64, d ? "," : "", r->dims[d]);
            bytes *= (uint64_t)r->dims[d];
        }
        used += (size_t)snprintf(header + used, capacity - used, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", offset,
                                 offset + bytes);
        offset += bytes;
    }
    used += (size_t)snprintf(header + used, capacity - used, "}");
    while (used % 8 && used + 1 < capacity)
        header[used++] = ' ';
    unsigned char prefix[8];
    for (int i = 0; i < 8; i++)
        prefix[i] = (unsigned char)((uint64_t)used >> 8 * i);
    calo_status status = calo_writer_open(path, writer, fault);
    if (!status)
        status = calo_writer_put(*writer, prefix, sizeof prefix, fault);
    if (!status)
        status = calo_writer_put(*writer, header, used, fault);
    if (status)
        calo_writer_abandon(writer);
    calo_free(header);
    return status;
}
