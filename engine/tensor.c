/* Shapes and views of tensors. No memory is touched here. */
#include "tensor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

size_t calo_type_size(calo_type type)
{
    switch (type) {
    case CALO_F32:
    case CALO_I32:
        return 4;
    case CALO_F16:
    case CALO_BF16:
        return 2;
    case CALO_AUTO:
        break;
    }
    return 0;
}

const char *calo_type_name(calo_type type)
{
    switch (type) {
    case CALO_F32:
        return "f32";
    case CALO_F16:
        return "f16";
    case CALO_BF16:
        return "bf16";
    case CALO_I32:
        return "i32";
    case CALO_AUTO:
        break;
    }
    return "none";
}

int64_t calo_tensor_columns(calo_tensor t)
{
    return t.rank ? t.dims[t.rank - 1] : 0;
}

int64_t calo_tensor_count(calo_tensor t)
{
    int64_t count = t.rank ? 1 : 0;
    for (int i = 0; i < t.rank; i++)
        count *= t.dims[i];
    return count;
}

int64_t calo_tensor_rows(calo_tensor t)
{
    int64_t rows = t.rank ? 1 : 0;
    for (int i = 0; i + 1 < t.rank; i++)
        rows *= t.dims[i];
    return rows;
}

bool calo_tensor_dense(calo_tensor t)
{
    return t.stride == calo_tensor_columns(t);
}

bool calo_same_shape(calo_tensor a, calo_tensor b)
{
    return a.rank == b.rank && memcmp(a.dims, b.dims, (size_t)a.rank * sizeof a.dims[0]) == 0;
}

uint64_t calo_tensor_bytes(calo_tensor t)
{
    uint64_t bytes = calo_type_size(t.type);
    for (int i = 0; i < t.rank; i++) {
        uint64_t extent = (uint64_t)t.dims[i];
        if (i == 0 && t.layout == CALO_PANELS)
            extent = (extent + CALO_PANEL - 1) / CALO_PANEL * CALO_PANEL;
        else if (i == 0 && t.layout == CALO_PANELS_GATED)
            extent = (extent / 2 + CALO_PANEL / 2 - 1) / (CALO_PANEL / 2) * CALO_PANEL;
        if (__builtin_mul_overflow(bytes, extent, &bytes) || bytes >> 62)
            return 0;
    }
    return bytes;
}

calo_tensor calo_shape(calo_type type, int rank, const int64_t *dims)
{
    calo_tensor t = { .type = type, .rank = rank };
    for (int i = 0; i < rank; i++)
        t.dims[i] = dims[i];
    t.stride = calo_tensor_columns(t);
    return t;
}

/* A view's memory belongs to the tensor that it was taken from. */
static calo_tensor view(calo_tensor t, int64_t skipped)
{
    t.offset += (uint64_t)skipped * calo_type_size(t.type);
    t.block = 0;
    t.taken = false;
    return t;
}

calo_tensor calo_columns(calo_tensor t, int64_t first, int64_t count)
{
    if (!calo_present(t))
        return t;
    calo_tensor part = view(t, first);
    part.dims[t.rank - 1] = count;
    return part;
}

calo_tensor calo_batches(calo_tensor t, int64_t first, int64_t count)
{
    if (!calo_present(t))
        return t;
    /* A vector's batches are its elements. */
    const int64_t each = t.rank == 1 ? 1 : t.dims[0] ? calo_tensor_rows(t) / t.dims[0] * t.stride : 0;
    calo_tensor part = view(t, first * each);
    part.dims[0] = count;
    return part;
}

calo_tensor calo_reshape(calo_tensor t, int rank, const int64_t *dims)
{
    if (!calo_present(t))
        return t;
    calo_tensor other = view(t, 0);
    other.rank = rank;
    for (int i = 0; i < rank; i++)
        other.dims[i] = dims[i];
    other.stride = calo_tensor_columns(other);
    return other;
}

char *calo_shape_text(calo_tensor t, char *text, size_t size)
{
    if (!calo_present(t)) {
        snprintf(text, size, "none");
        return text;
    }
    size_t at = (size_t)snprintf(text, size, "[");
    for (int i = 0; i < t.rank && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%" PRId64, i ? "," : "", t.dims[i]);
    if (at < size)
        snprintf(text + at, size - at, "]");
    return text;
}
