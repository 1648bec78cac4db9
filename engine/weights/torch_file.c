/* From a pickle's values to tensors of a file. */
#include "torch_file.h"
#include "pickle.h"
#include "pickle_globals.h"
#include "zip.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ROOT_SIZE = 512 };

typedef struct reader {
    calo_tensor_file *file;
    calo_fault *fault;
    calo_zip zip;
    calo_pickle pickle;
    char root[ROOT_SIZE]; /* the folder in the archive, with its slash */
    size_t text_used;
} reader;

/* The archive's one folder is named as the file once was: the member that ends with /data.pkl tells. */
static calo_status find_root(reader *r)
{
    static const char end[] = "data.pkl";
    for (int64_t i = 0; i < r->zip.count; i++) {
        const char *name = r->zip.members[i].name;
        const size_t length = strlen(name), rest = sizeof end - 1;
        if (length >= rest && strcmp(name + length - rest, end) == 0 && length - rest < ROOT_SIZE) {
            memcpy(r->root, name, length - rest);
            return CALO_OK;
        }
    }
    return calo_fail(r->fault, CALO_EFILE, "%s is a zip archive but none of torch's: it has no data.pkl", r->file->file.path);
}

static const calo_zip_member *member(const reader *r, const char *name)
{
    char full[2 * ROOT_SIZE];
    snprintf(full, sizeof full, "%s%s", r->root, name);
    return calo_zip_find(&r->zip, full);
}

static calo_status check_byte_order(const reader *r)
{
    const calo_zip_member *order = member(r, "byteorder");
    char text[8] = "";
    if (!order)
        return CALO_OK;
    if (order->size < sizeof text && calo_file_read(&r->file->file, order->begin, text, (size_t)order->size, r->fault))
        return r->fault->status;
    return strncmp(text, "little", 6) == 0 ? CALO_OK
                                           : calo_fail(r->fault, CALO_EFILE, "%s: its byte order is not little", r->file->file.path);
}

/* ---- tensors ---------------------------------------------------------------------------------------------------- */

static const calo_pickle_value *value_of(const reader *r, uint32_t cell)
{
    return &r->pickle.values[r->pickle.cells[cell].value];
}

static bool text_is(const calo_pickle_value *v, const char *text)
{
    return v->kind == CALO_PICKLE_TEXT && calo_text_is(text, v->text, (size_t)v->number);
}

/* A tuple of whole numbers, 0 … 2^48. */
static bool read_numbers(const reader *r, const calo_pickle_value *tuple, int64_t *numbers, int *count)
{
    if (!tuple || tuple->kind != CALO_PICKLE_TUPLE || tuple->count > CALO_STORED_RANK)
        return false;
    *count = 0;
    for (uint32_t cell = tuple->first, i = 0; i < tuple->count; i++, cell = r->pickle.cells[cell].next) {
        const calo_pickle_value *v = value_of(r, cell);
        if (v->kind != CALO_PICKLE_NUMBER || v->number < 0 || v->number > INT64_C(1) << 48)
            return false;
        numbers[(*count)++] = v->number;
    }
    return true;
}

/* Dense rows, or the columns of a matrix that is dense the other way round. */
static bool read_strides(const int64_t *strides, calo_entry *entry)
{
    int64_t dense = 1;
    bool rows = true;
    for (int i = entry->rank - 1; i >= 0; i--) {
        rows = rows && (entry->dims[i] == 1 || strides[i] == dense);
        dense *= entry->dims[i];
    }
    entry->transposed = !rows && entry->rank == 2 && strides[0] == 1 && strides[1] == entry->dims[0];
    return rows || entry->transposed;
}

/* The type that a tensor's arguments name, after those that older ones have; or its storage's. */
static calo_stored type_of(const reader *r, const calo_pickle_value *arguments, const calo_pickle_value *storage)
{
    const calo_pickle_value *named = calo_pickle_item(&r->pickle, arguments, 6);
    return named && named->kind == CALO_PICKLE_GLOBAL && calo_pickle_globals[named->number].meaning == CALO_MEANS_TYPE
               ? calo_pickle_globals[named->number].type
               : (calo_stored)storage->number;
}

/* (storage, offset, size, stride, requires_grad, hooks); of newer ones a type follows */
static calo_status read_tensor(reader *r, const calo_pickle_value *arguments, const char *name, calo_entry *entry)
{
    const char *path = r->file->file.path;
    const calo_pickle_value *storage = calo_pickle_item(&r->pickle, arguments, 0);
    const calo_pickle_value *offset = calo_pickle_item(&r->pickle, arguments, 1);
    int64_t strides[CALO_STORED_RANK];
    int rank = 0;
    char key[64];
    *entry = (calo_entry){ .name = name, .file = &r->file->file };
    if (!storage || storage->kind != CALO_PICKLE_STORAGE || storage->number2 >= (int64_t)sizeof key - 8 || !offset ||
        offset->kind != CALO_PICKLE_NUMBER || offset->number < 0 ||
        !read_numbers(r, calo_pickle_item(&r->pickle, arguments, 2), entry->dims, &entry->rank) ||
        !read_numbers(r, calo_pickle_item(&r->pickle, arguments, 3), strides, &rank) || rank != entry->rank)
        return calo_fail(r->fault, CALO_EFILE, "%s: tensor %.200s is not described as torch describes one", path, name);
    entry->type = type_of(r, arguments, storage);
    if (entry->type == CALO_STORED_TYPES)
        return calo_fail(r->fault, CALO_EFILE, "%s: tensor %.200s is of a type that is not known", path, name);
    uint64_t size = calo_stored_size(entry->type), begin;
    for (int i = 0; i < entry->rank; i++)
        if (__builtin_mul_overflow(size, (uint64_t)entry->dims[i], &size) || size > INT64_MAX)
            return calo_fail(r->fault, CALO_EFILE, "%s: the shape of tensor %.200s is too large", path, name);
    if (!read_strides(strides, entry))
        return calo_fail(r->fault, CALO_EFILE, "%s: tensor %.200s is a view whose numbers do not lie together", path, name);
    snprintf(key, sizeof key, "data/%.*s", (int)storage->number2, storage->text);
    const calo_zip_member *at = member(r, key);
    if (!at || !at->begin)
        return calo_fail(r->fault, CALO_EFILE, "%s: the numbers of tensor %.200s, %s, are %s", path, name, key,
                         at ? "compressed" : "missing");
    if (__builtin_mul_overflow((uint64_t)offset->number, calo_stored_size(entry->type), &begin) || begin > at->size ||
        size > at->size - begin)
        return calo_fail(r->fault, CALO_EFILE, "%s: tensor %.200s passes the end of its storage %s", path, name, key);
    entry->begin = at->begin + begin;
    entry->size = size;
    return CALO_OK;
}

/* ---- the dictionary of tensors ---------------------------------------------------------------------------------- */

static const calo_pickle_value *lookup(const reader *r, const calo_pickle_value *dict, const char *key)
{
    const calo_pickle_value *found = NULL;
    for (uint32_t cell = dict->first, i = 0; i < dict->count; i += 2) {
        const uint32_t value = r->pickle.cells[cell].next;
        if (text_is(value_of(r, cell), key))
            found = value_of(r, value);
        cell = r->pickle.cells[value].next;
    }
    return found;
}

static const calo_pickle_value *find_tensors(const reader *r)
{
    static const char *const nests[] = { "state_dict", "params_ema", "params" };
    const calo_pickle_value *root = &r->pickle.values[r->pickle.root];
    for (size_t i = 0; root->kind == CALO_PICKLE_DICT && i < sizeof nests / sizeof *nests; i++) {
        const calo_pickle_value *inner = lookup(r, root, nests[i]);
        if (inner && inner->kind == CALO_PICKLE_DICT)
            return inner;
    }
    return root->kind == CALO_PICKLE_DICT ? root : NULL;
}

static bool is_tensor(const calo_pickle_value *key, const calo_pickle_value *value)
{
    return value->kind == CALO_PICKLE_TENSOR && key->kind == CALO_PICKLE_TEXT;
}

static calo_status measure(const reader *r, const calo_pickle_value *dict, int64_t *count, size_t *text)
{
    *count = 0;
    *text = 0;
    for (uint32_t cell = dict->first, i = 0; i < dict->count; i += 2) {
        const calo_pickle_value *key = value_of(r, cell);
        const uint32_t value = r->pickle.cells[cell].next;
        if (is_tensor(key, value_of(r, value))) {
            *count += 1;
            *text += (size_t)key->number + 1;
        }
        if (*text > 1 << 28)
            return calo_fail(r->fault, CALO_EFILE, "%s: its tensors' names are too long", r->file->file.path);
        cell = r->pickle.cells[value].next;
    }
    return CALO_OK;
}

static calo_status add_tensors(reader *r)
{
    const calo_pickle_value *dict = find_tensors(r);
    int64_t count = 0;
    size_t text = 0;
    if (!dict || (measure(r, dict, &count, &text) == CALO_OK && count == 0))
        return calo_fail(r->fault, CALO_EFILE, "%s: its pickle holds no dictionary of tensors", r->file->file.path);
    if (!r->fault->status && !(r->file->text = calo_alloc(text, 1)))
        calo_fail(r->fault, CALO_EMEMORY, "%s: no host memory for its names", r->file->file.path);
    if (r->fault->status || calo_tensor_file_reserve(r->file, count, r->fault))
        return r->fault->status;
    for (uint32_t cell = dict->first, i = 0; i < dict->count && !r->fault->status; i += 2) {
        const calo_pickle_value *key = value_of(r, cell);
        const uint32_t value = r->pickle.cells[cell].next;
        if (is_tensor(key, value_of(r, value))) {
            calo_entry entry;
            char *name = r->file->text + r->text_used;
            memcpy(name, key->text, (size_t)key->number); /* a 0 follows */
            r->text_used += (size_t)key->number + 1;
            if (!read_tensor(r, &r->pickle.values[value_of(r, value)->first], name, &entry))
                calo_tensor_file_add(r->file, &entry, r->fault);
        }
        cell = r->pickle.cells[value].next;
    }
    return r->fault->status;
}

calo_status calo_torch_file_read(calo_tensor_file *file, calo_fault *fault)
{
    reader r = { .file = file, .fault = fault };
    unsigned char *bytes = NULL;
    const calo_zip_member *pickle = NULL;
    if (calo_zip_open(&file->file, &r.zip, fault) || find_root(&r) || check_byte_order(&r))
        goto done;
    pickle = member(&r, "data.pkl");
    if (!pickle || !pickle->begin || pickle->size > INT32_MAX) {
        calo_fail(fault, CALO_EFILE, "%s: its data.pkl is compressed or too large", file->file.path);
        goto done;
    }
    bytes = calo_alloc((size_t)pickle->size + 1, 1);
    if (!bytes)
        calo_fail(fault, CALO_EMEMORY, "%s: no host memory for its pickle", file->file.path);
    else if (!calo_file_read(&file->file, pickle->begin, bytes, (size_t)pickle->size, fault) &&
             !calo_pickle_read(bytes, (size_t)pickle->size, file->file.path, &r.pickle, fault))
        add_tensors(&r);
done:
    calo_pickle_free(&r.pickle);
    calo_zip_close(&r.zip);
    calo_free(bytes);
    return fault->status;
}
