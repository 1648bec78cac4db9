/* Entries, their table of names, and their numbers. */
#include "tensor_file.h"
#include "../number.h"
#include "safetensors.h"
#include "torch_file.h"

#include <inttypes.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
} types[CALO_STORED_TYPES] = {
    { "F64", 8 }, { "F32", 4 }, { "F16", 2 }, { "BF16", 2 }, { "I64", 8 }, { "I32", 4 },     { "I16", 2 },     { "I8", 1 },
    { "U64", 8 }, { "U32", 4 }, { "U16", 2 }, { "U8", 1 },   { "BOOL", 1 }, { "F8_E4M3", 1 }, { "F8_E5M2", 1 },
};

size_t calo_stored_size(calo_stored type)
{
    return types[type].size;
}

const char *calo_stored_name(calo_stored type)
{
    return types[type].name;
}

int64_t calo_entry_count(const calo_entry *entry)
{
    int64_t count = 1;
    for (int i = 0; i < entry->rank; i++)
        count *= entry->dims[i];
    return count;
}

bool calo_stored_is_f8(calo_stored type)
{
    return type == CALO_STORED_F8_E4M3 || type == CALO_STORED_F8_E5M2;
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

static uint32_t hash(const char *name)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 16777619u;
    return h ^ h >> 15;
}

static uint32_t *slot_of(const calo_tensor_file *file, const char *name)
{
    uint32_t i = hash(name) & file->slot_mask;
    while (file->slots[i] && strcmp(file->entries[file->slots[i] - 1].name, name) != 0)
        i = (i + 1) & file->slot_mask;
    return &file->slots[i];
}

calo_status calo_tensor_file_reserve(calo_tensor_file *file, int64_t capacity, calo_fault *fault)
{
    uint32_t slots = 16;
    while (slots < 2 * (uint64_t)capacity)
        slots *= 2;
    file->entries = calo_alloc((size_t)capacity, sizeof *file->entries);
    file->slots = calo_alloc(slots, sizeof *file->slots);
    file->slot_mask = slots - 1;
    file->capacity = capacity;
    return file->entries && file->slots ? CALO_OK
                                        : calo_fail(fault, CALO_EMEMORY, "%s: no host memory for %" PRId64 " tensors",
                                                    file->file.path, capacity);
}

calo_status calo_tensor_file_add(calo_tensor_file *file, const calo_entry *entry, calo_fault *fault)
{
    uint32_t *slot = slot_of(file, entry->name);
    if (*slot)
        return calo_fail(fault, CALO_EFILE, "%s: tensor %.200s stands twice", file->file.path, entry->name);
    if (file->count == file->capacity)
        return calo_fail(fault, CALO_EFILE, "%s: more tensors than descriptions", file->file.path);
    file->entries[file->count++] = *entry;
    *slot = (uint32_t)file->count;
    return CALO_OK;
}

const calo_entry *calo_tensor_file_find(const calo_tensor_file *file, const char *name)
{
    uint32_t found = file->slots ? *slot_of(file, name) : 0;
    return found ? &file->entries[found - 1] : NULL;
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

calo_status calo_tensor_file_open(const char *path, calo_tensor_file *file, calo_fault *fault)
{
    unsigned char magic[4] = { 0 };
    memset(file, 0, sizeof *file);
    calo_status status = calo_file_open(path, &file->file, fault);
    if (status)
        return status;
    if (file->file.size >= sizeof magic)
        status = calo_file_read(&file->file, 0, magic, sizeof magic, fault);
    if (!status)
        status = memcmp(magic, "PK\3\4", 4) == 0 ? calo_torch_file_read(file, fault) : calo_safetensors_read(file, fault);
    if (status)
        calo_tensor_file_close(file);
    return status;
}

void calo_tensor_file_close(calo_tensor_file *file)
{
    if (file->file.path)
        calo_file_close(&file->file);
    calo_free(file->text);
    calo_free(file->entries);
    calo_free(file->slots);
    memset(file, 0, sizeof *file);
}

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

static float from_f8(uint8_t bits, int exponent_bits, int mantissa_bits)
{
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const int exponent = bits >> mantissa_bits & ((1 << exponent_bits) - 1), mantissa = bits & ((1 << mantissa_bits) - 1);
    const float sign = bits & 0x80 ? -1.0f : 1.0f;
    const bool e5m2 = exponent_bits == 5;
    if (e5m2 ? exponent == 31 : (bits & 0x7f) == 0x7f)
        return e5m2 && !mantissa ? sign * calo_bits_float(0x7f800000) : calo_bits_float(0x7fc00000);
    float value = (float)(exponent ? mantissa + (1 << mantissa_bits) : mantissa);
    for (int e = (exponent ? exponent : 1) - bias - mantissa_bits; e; e += e < 0 ? 1 : -1)
        value *= e < 0 ? 0.5f : 2.0f;
    return sign * value;
}

/* `raw` holds `count` elements of the type; any of the machine's integers may be unaligned in it. */
static void convert(calo_stored type, const unsigned char *raw, int64_t count, float *values)
{
#define EACH(c_type, expression)                                                                                       \
    for (int64_t i = 0; i < count; i++) {                                                                              \
        c_type x;                                                                                                      \
        memcpy(&x, raw + (size_t)i * sizeof x, sizeof x);                                                              \
        values[i] = (expression);                                                                                      \
    }                                                                                                                  \
    return
    switch (type) {
    case CALO_STORED_F64:
        EACH(double, (float)x);
    case CALO_STORED_F32:
        memcpy(values, raw, (size_t)count * sizeof *values);
        return;
    case CALO_STORED_F16:
        EACH(uint16_t, calo_from_f16(x));
    case CALO_STORED_BF16:
        EACH(uint16_t, calo_from_bf16(x));
    case CALO_STORED_I64:
        EACH(int64_t, (float)x);
    case CALO_STORED_I32:
        EACH(int32_t, (float)x);
    case CALO_STORED_I16:
        EACH(int16_t, (float)x);
    case CALO_STORED_I8:
        EACH(int8_t, (float)x);
    case CALO_STORED_U64:
        EACH(uint64_t, (float)x);
    case CALO_STORED_U32:
        EACH(uint32_t, (float)x);
    case CALO_STORED_U16:
        EACH(uint16_t, (float)x);
    case CALO_STORED_U8:
    case CALO_STORED_BOOL:
        EACH(uint8_t, (float)x);
    case CALO_STORED_F8_E4M3:
        EACH(uint8_t, from_f8(x, 4, 3));
    case CALO_STORED_F8_E5M2:
        EACH(uint8_t, from_f8(x, 5, 2));
    case CALO_STORED_TYPES:
        return;
    }
#undef EACH
}

static calo_status read_as_stored(const calo_entry *entry, int64_t first, int64_t count, float *values,
                                  calo_fault *fault)
{
    enum { CHUNK = 1 << 16 }; /* bytes on the stack, a multiple of every size */
    const size_t size = types[entry->type].size;
    const uint64_t begin = entry->begin + (uint64_t)first * size;
    if (entry->type == CALO_STORED_F32)
        return calo_file_read(entry->file, begin, values, (size_t)count * size, fault);
    unsigned char raw[CHUNK];
    for (int64_t at = 0; at < count;) {
        int64_t part = count - at < (int64_t)(CHUNK / size) ? count - at : (int64_t)(CHUNK / size);
        calo_status status = calo_file_read(entry->file, begin + (uint64_t)at * size, raw, (size_t)part * size, fault);
        if (status)
            return status;
        convert(entry->type, raw, part, values + at);
        at += part;
    }
    return CALO_OK;
}

static calo_status read_transposed(const calo_entry *entry, int64_t first, int64_t count, float *values,
                                   calo_fault *fault)
{
    const int64_t rows = entry->dims[0], columns = entry->dims[1];
    float *stored = calo_alloc((size_t)(rows * columns), sizeof *stored); /* [columns][rows] */
    if (!stored)
        return calo_fail(fault, CALO_EMEMORY, "no host memory to read %s", entry->name);
    calo_status status = read_as_stored(entry, 0, rows * columns, stored, fault);
    for (int64_t i = 0; !status && i < count; i++)
        values[i] = stored[(first + i) % columns * rows + (first + i) / columns];
    calo_free(stored);
    return status;
}

calo_status calo_entry_read(const calo_entry *entry, int64_t first, int64_t count, float *values, calo_fault *fault)
{
    calo_status status = entry->transposed ? read_transposed(entry, first, count, values, fault)
                                           : read_as_stored(entry, first, count, values, fault);
    for (int64_t i = 0; entry->scale != 0 && !status && i < count; i++)
        values[i] *= entry->scale;
    return status;
}
