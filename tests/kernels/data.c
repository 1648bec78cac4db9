/* Data of the cases: a small generator of its own, so that a seed means the same everywhere; tensors on the device
   between guard bands. Guard bands are NaN in every type: words of 0xffff around inputs, which are −1 in i32, and of
   0x7fff around and in results, so that one NaN copied over the other shows. */
#include "checkkernel.h"

#include "../../engine/number.h"
#include "../../engine/shim.h"

#include <math.h>
#include <string.h>

enum { INPUT_NAN = 0xffff, OUTPUT_NAN = 0x7fff };

const char *const data_kind_names[] = { "normal", "outliers", "limits", "tiny", "mean" };

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

/* FNV-1a. */
uint64_t check_hash(uint64_t seed, const char *text)
{
    uint64_t hash = seed ^ UINT64_C(0xcbf29ce484222325);
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return hash;
}

/* Steele et al. 2014, SplitMix64. */
static uint64_t next(check *c)
{
    uint64_t z = c->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

double check_uniform(check *c)
{
    return (double)(next(c) >> 11) * 0x1p-53;
}

/* The sum of twelve uniform numbers: cheap, the same on every machine, and never beyond ±6. */
double check_gauss(check *c)
{
    const uint64_t mask = 0x1fffff;
    double sum = -6;
    for (int i = 0; i < 4; i++) {
        const uint64_t bits = next(c);
        sum += (double)((bits & mask) + (bits >> 21 & mask) + (bits >> 42 & mask)) * 0x1p-21;
    }
    return sum;
}

static double range(calo_type type, data_kind kind)
{
    if (kind == TINY)
        return type == CALO_F16 ? 0x1p-14 : 0x1p-60;
    return type == CALO_F16 ? 6e4 : 0x1p50;
}

static double number(check *c, data_kind kind, calo_type type)
{
    switch (kind) {
    case NORMAL:
        break;
    case OUTLIERS:
        return check_gauss(c) * (next(c) % 64 ? 1 : 100);
    case LIMITS:
    case TINY:
        return range(type, kind) * (0.5 + 0.5 * check_uniform(c)) * (next(c) % 2 ? 1 : -1);
    case MEAN:
        return 100 + check_gauss(c);
    }
    return check_gauss(c);
}

double check_size(const check *c, data_kind kind)
{
    switch (kind) {
    case NORMAL:
        break;
    case OUTLIERS:
        return 12.5; /* √(1 + 100²/64) */
    case LIMITS:
    case TINY:
        return range(c->act, kind);
    case MEAN:
        return 100;
    }
    return 1;
}

double check_norm_size(data_kind kind, int64_t group, double eps)
{
    if (group == 1) /* no variance */
        return (kind == MEAN ? 100 : 1) / sqrt(eps);
    return kind == MEAN ? 100 : 1;
}

/* ---- tensors ---------------------------------------------------------------------------------------------------- */

static void put(unsigned char *at, calo_type type, double value)
{
    const float f = (float)value;
    const uint16_t half = type == CALO_F16 ? calo_to_f16(f) : calo_to_bf16(f);
    if (type == CALO_F32)
        memcpy(at, &f, sizeof f);
    else
        memcpy(at, &half, sizeof half);
}

/* A block of `elements` between guard bands, filled with `word`s; t gets its place. No two tensors of a case begin at
 * the same offset, so that a kernel cannot take one's for the other's. NULL without memory. */
static unsigned char *make_block(check *c, calo_tensor *t, int64_t elements, bool aligned, int word)
{
    if (!c->device || c->fault.status)
        return NULL;
    const size_t size = calo_type_size(t->type);
    const uint64_t skipped =
        (uint64_t)c->block_count * 128 + (c->misaligned && !aligned ? 1 + c->random % 7 : 0) * size;
    block *b = &c->blocks[c->block_count];
    if (c->block_count == MAX_BLOCKS) {
        calo_fail(&c->fault, CALO_EMEMORY, "a case has more than %d tensors", MAX_BLOCKS);
        return NULL;
    }
    *b = (block){ .bytes = 2 * GUARD_BYTES + skipped + (uint64_t)elements * size };
    b->raw = calo_alloc((size_t)b->bytes, 1);
    if (!b->raw) {
        calo_fail(&c->fault, CALO_EMEMORY, "no host memory for %lld elements", (long long)elements);
        return NULL;
    }
    c->block_count++;
    if (c->device->api->allocate(c->device, b->bytes, &b->buffer, &c->fault))
        return NULL;
    for (uint64_t i = 0; i < b->bytes; i++)
        b->raw[i] = (unsigned char)(i % 2 ? word >> 8 : word);
    t->buffer = b->buffer;
    t->offset = GUARD_BYTES + skipped;
    return b->raw + t->offset;
}

static calo_tensor send(check *c, calo_tensor t)
{
    if (c->device && !c->fault.status) {
        const block *b = &c->blocks[c->block_count - 1];
        c->device->api->write(c->device, b->buffer, 0, b->raw, b->bytes, &c->fault);
    }
    return t;
}

calo_tensor check_columns(check *c, data_kind kind, double scale, int rank, const int64_t *dims, int64_t first,
                          int64_t stride)
{
    calo_tensor t = calo_shape(c->act, rank, dims);
    const int64_t rows = calo_tensor_rows(t), columns = calo_tensor_columns(t);
    const size_t size = calo_type_size(t.type);
    t.stride = stride;
    unsigned char *at = make_block(c, &t, rows * stride, false, INPUT_NAN);
    for (int64_t r = 0; at && r < rows; r++)
        for (int64_t i = 0; i < columns; i++)
            put(at + (size_t)(r * stride + first + i) * size, t.type, scale * number(c, kind, t.type));
    send(c, t);
    t.offset += (uint64_t)first * size;
    return t;
}

calo_tensor check_activations(check *c, data_kind kind, double scale, int rank, const int64_t *dims)
{
    return check_columns(c, kind, scale, rank, dims, 0, dims[rank - 1]);
}

/* Where element (n, k) of a weight of N outputs and K inputs lies: the packing that engine/tensor.h describes. */
static int64_t packed(calo_tensor t, int64_t n, int64_t k, int64_t outputs, int64_t inputs)
{
    if (t.layout == CALO_ROWS)
        return n * inputs + k;
    const bool gated = t.layout == CALO_PANELS_GATED, gate = gated && n >= outputs / 2;
    const int64_t f = gate ? n - outputs / 2 : n, row = gated ? f / 16 * 32 + (gate ? 16 : 0) + f % 16 : n;
    return t.by_output ? row * inputs + k : (row / 32 * inputs + k) * 32 + row % 32;
}

calo_tensor check_weights(check *c, calo_layout layout, double scale, int rank, const int64_t *dims)
{
    calo_tensor t = calo_shape(c->weight, rank, dims);
    t.layout = layout;
    t.by_output = c->run.info.backend == CALO_CUDA;
    const size_t size = calo_type_size(t.type);
    const int64_t outputs = dims[0], inputs = calo_tensor_count(t) / outputs;
    const uint64_t bytes = calo_tensor_bytes(t);
    unsigned char *at = make_block(c, &t, (int64_t)(bytes / size), true, INPUT_NAN);
    if (at)
        memset(at, 0, (size_t)bytes);
    for (int64_t n = 0; at && n < outputs; n++)
        for (int64_t k = 0; k < inputs; k++)
            put(at + (size_t)packed(t, n, k, outputs, inputs) * size, t.type, scale * check_gauss(c));
    return send(c, t);
}

calo_tensor check_floats(check *c, double mean, double scale, int rank, const int64_t *dims)
{
    calo_tensor t = calo_shape(CALO_F32, rank, dims);
    const int64_t count = calo_tensor_count(t);
    unsigned char *at = make_block(c, &t, count, true, INPUT_NAN);
    for (int64_t i = 0; at && i < count; i++)
        put(at + (size_t)i * 4, CALO_F32, mean + scale * check_gauss(c));
    return send(c, t);
}

calo_tensor check_given(check *c, calo_type type, int rank, const int64_t *dims, const void *values)
{
    calo_tensor t = calo_shape(type, rank, dims);
    const int64_t count = calo_tensor_count(t);
    const size_t size = calo_type_size(type);
    const float *floats = values;
    unsigned char *at = make_block(c, &t, count, false, INPUT_NAN);
    if (at && size == 4)
        memcpy(at, values, (size_t)count * 4);
    for (int64_t i = 0; at && size == 2 && i < count; i++)
        put(at + (size_t)i * size, type, (double)floats[i]);
    return send(c, t);
}

calo_tensor check_output(check *c, calo_tensor shape)
{
    calo_tensor t = calo_shape(shape.type, shape.rank, shape.dims);
    make_block(c, &t, calo_tensor_count(t), false, OUTPUT_NAN);
    if (t.buffer)
        c->blocks[c->block_count - 1].output = true;
    return send(c, t);
}

void check_free_blocks(check *c)
{
    for (int i = 0; i < c->block_count; i++) {
        if (c->blocks[i].buffer)
            c->device->api->release(c->device, c->blocks[i].buffer);
        calo_free(c->blocks[i].raw);
    }
    c->block_count = 0;
}

block *check_find_block(check *c, calo_tensor t)
{
    for (int i = 0; i < c->block_count; i++)
        if (t.buffer && c->blocks[i].buffer == t.buffer)
            return &c->blocks[i];
    return NULL;
}
