/* Keeping and writing what each stage produced. */
#include "dump.h"
#include "../engine/shim.h"
#include "../engine/weights/safetensors.h"

#include <stdio.h>
#include <string.h>

static int64_t product(int rank, const int64_t *dims)
{
    int64_t count = 1;
    for (int i = 0; i < rank; i++)
        count *= dims[i];
    return count;
}

static calo_dump_tensor *add(calo_dump *dump, const char *name, calo_fault *fault)
{
    if (dump->count == dump->capacity) {
        int capacity = dump->capacity ? 2 * dump->capacity : 64;
        calo_dump_tensor *tensors = calo_resize(dump->tensors, (size_t)capacity, sizeof *tensors);
        if (!tensors) {
            calo_fail(fault, CALO_EMEMORY, "no host memory for the dump");
            return NULL;
        }
        dump->tensors = tensors;
        dump->capacity = capacity;
    }
    calo_dump_tensor *t = &dump->tensors[dump->count++];
    memset(t, 0, sizeof *t);
    snprintf(t->name, sizeof t->name, "%s", name);
    return t;
}

/* Room for `more` elements behind what is there. */
static float *extend(calo_dump_tensor *t, int64_t more, calo_fault *fault)
{
    float *values = calo_resize(t->values, (size_t)(t->filled + more), sizeof *values);
    if (!values) {
        calo_fail(fault, CALO_EMEMORY, "no host memory for the dump of %s", t->name);
        return NULL;
    }
    t->values = values;
    t->filled += more;
    return values + t->filled - more;
}

void calo_dump_values(calo_dump *dump, const char *name, int rank, const int64_t *dims, bool integer, const void *values,
                      calo_fault *fault)
{
    calo_dump_tensor *t = add(dump, name, fault);
    if (!t)
        return;
    t->rank = rank;
    t->integer = integer;
    memcpy(t->dims, dims, (size_t)rank * sizeof *dims);
    const int64_t count = product(rank, dims);
    float *to = extend(t, count, fault);
    if (to)
        memcpy(to, values, (size_t)count * 4);
}

/* The tensor of that name, made at the first use, with dimension 0 grown. */
static float *append(calo_dump *dump, const char *name, int rank, const int64_t *dims, calo_fault *fault)
{
    calo_dump_tensor *t = NULL;
    for (int i = 0; i < dump->count && !t; i++)
        if (strcmp(dump->tensors[i].name, name) == 0)
            t = &dump->tensors[i];
    if (!t) {
        t = add(dump, name, fault);
        if (!t)
            return NULL;
        t->rank = rank;
        memcpy(t->dims, dims, (size_t)rank * sizeof *dims);
        t->dims[0] = 0;
    }
    t->dims[0] += dims[0];
    return extend(t, product(rank, dims), fault);
}

void calo_dump_append(calo_dump *dump, calo_run *run, const char *name, calo_tensor t)
{
    if (calo_failed(run) || !run->device || !calo_present(t))
        return;
    float *to = append(dump, name, t.rank, t.dims, run->fault);
    if (to)
        calo_download(run, t, to);
}

void calo_dump_insert(calo_dump *dump, calo_run *run, const char *name, calo_tensor t, int64_t row)
{
    if (calo_failed(run) || !run->device || !calo_present(t))
        return;
    float *to = append(dump, name, t.rank, t.dims, run->fault);
    if (!to)
        return;
    const int64_t size = product(t.rank, t.dims);
    calo_dump_tensor *whole = dump->tensors;
    while (strcmp(whole->name, name) != 0)
        whole++;
    memmove(whole->values + (row + 1) * size, whole->values + row * size,
            (size_t)(whole->filled - (row + 1) * size) * sizeof *whole->values);
    calo_download(run, t, whole->values + row * size);
}

void calo_dump_append_values(calo_dump *dump, const char *name, int rank, const int64_t *dims, const float *values,
                             calo_fault *fault)
{
    float *to = append(dump, name, rank, dims, fault);
    if (to)
        memcpy(to, values, (size_t)product(rank, dims) * sizeof *values);
}

calo_status calo_dump_write(const calo_dump *dump, const char *path, calo_fault *fault)
{
    calo_tensor_record *records = calo_alloc((size_t)dump->count, sizeof *records);
    calo_writer *writer = NULL;
    if (!records)
        return calo_fail(fault, CALO_EMEMORY, "no host memory to write %s", path);
    for (int i = 0; i < dump->count; i++) {
        const calo_dump_tensor *t = &dump->tensors[i];
        records[i] = (calo_tensor_record){ .name = t->name, .rank = t->rank,
                                           .type = t->integer ? CALO_STORED_I32 : CALO_STORED_F32 };
        memcpy(records[i].dims, t->dims, sizeof t->dims);
    }
    calo_status status = calo_safetensors_begin(path, records, dump->count, &writer, fault);
    for (int i = 0; i < dump->count && !status; i++)
        status = calo_writer_put(writer, dump->tensors[i].values, (size_t)dump->tensors[i].filled * 4, fault);
    if (!status)
        status = calo_writer_commit(&writer, fault);
    calo_writer_abandon(&writer);
    calo_free(records);
    return status;
}

void calo_dump_free(calo_dump *dump)
{
    for (int i = 0; i < dump->count; i++)
        calo_free(dump->tensors[i].values);
    calo_free(dump->tensors);
    memset(dump, 0, sizeof *dump);
}
