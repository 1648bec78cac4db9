/* Parameters: found or drawn, packed in panels of 32 outputs, written to the device. */
#include "parameters.h"
#include "../number.h"
#include "../shim.h"

#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { NAME_SIZE = 224, MAX_STACKED = 3, STAGING = 32 << 20 };

/* One matrix on the device: one or several stored ones, one under the other. */
typedef struct matrix {
    calo_entry entries[MAX_STACKED]; /* without a name: drawn at random */
    float *whole[MAX_STACKED];       /* a transposed one's numbers, which are read at once; otherwise NULL */
    char names[MAX_STACKED][NAME_SIZE];
    int count;
    int64_t rows_each, inputs, taps; /* a stored row is [inputs][taps]; taps = kh · kw */
    calo_tensor tensor;              /* where it goes */
} matrix;

static bool failed(const calo_parameters *p)
{
    return p->fault->status != CALO_OK;
}

static bool writes(const calo_parameters *p)
{
    return p->device && p->arena->committed;
}

/* ---- random numbers --------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t x) /* splitmix64's finaliser (Steele et al. 2014) */
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* The sum of four uniform 16-bit numbers has mean 131070 and a deviation of 65536/√3: near enough to a normal, and the
 * same on every machine. */
void calo_random_parameter(const char *name, calo_parameter_kind kind, int64_t fan_in, int64_t first, int64_t count,
                           float *values)
{
    uint64_t seed = UINT64_C(0x243f6a8885a308d3);
    for (const char *c = name; *c; c++)
        seed = mix(seed + (unsigned char)*c);
    const float deviation = kind == CALO_MATRIX ? (float)(1 / sqrt((double)fan_in)) : 0.02f;
    const float scale = deviation * 2.6428e-5f; /* √3 / 65536 = 2.6428e-5 */
    const float centre = kind == CALO_GAIN ? 1.0f : 0.0f;
    for (int64_t i = 0; i < count; i++) {
        const uint64_t r = mix(seed + (uint64_t)(first + i) * UINT64_C(0x9e3779b97f4a7c15));
        const int32_t sum = (int32_t)(r & 0xffff) + (int32_t)(r >> 16 & 0xffff) + (int32_t)(r >> 32 & 0xffff) +
                            (int32_t)(r >> 48) - 131070;
        values[i] = centre + scale * (float)sum;
    }
}

/* ---- finding ---------------------------------------------------------------------------------------------------- */

static bool shape_is(const calo_entry *entry, int rank, const int64_t *dims)
{
    int given = entry->rank;
    while (given > rank && entry->dims[given - 1] == 1) /* [N,K,1,1] is [N,K] */
        given--;
    if (given != rank)
        return false;
    for (int i = 0; i < rank; i++)
        if (entry->dims[i] != dims[i])
            return false;
    return true;
}

static void dims_text(char *text, size_t size, int rank, const int64_t *dims)
{
    size_t used = (size_t)snprintf(text, size, "[");
    for (int i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld", i ? "," : "", (long long)dims[i]);
    if (used < size)
        snprintf(text + used, size - used, "]");
}

/* The stored tensor of that name and shape; one without a name when it is random, named to a visitor, or an error. */
static calo_entry find(calo_parameters *p, const char *name, int rank, const int64_t *dims, calo_parameter_kind kind,
                       int stored_rank)
{
    calo_entry entry = { .name = NULL };
    if (failed(p))
        return entry;
    if (p->visit) {
        int64_t stored[4] = { 1, 1, 1, 1 };
        memcpy(stored, dims, (size_t)rank * sizeof *dims);
        p->visit(p->user, name, stored_rank, stored, kind);
        return entry;
    }
    if (p->checkpoint->form == CALO_FORM_LAYOUT || calo_checkpoint_find(p->checkpoint, p->part, name, &entry, p->fault))
        return entry;
    if (!shape_is(&entry, rank, dims)) {
        char is[96], wanted[64];
        dims_text(is, sizeof is, entry.rank, entry.dims);
        dims_text(wanted, sizeof wanted, rank, dims);
        calo_fail(p->fault, CALO_EFILE, "%s: tensor %s is %s, the configuration says %s", entry.file->path, entry.name,
                  is, wanted);
        entry.name = NULL;
    }
    return entry;
}

/* Weights keep their stored type where a kernel reads it. fp8 numbers are f16 numbers, too; scaled ones are not. */
static calo_type device_type(const calo_parameters *p, const calo_entry *entry)
{
    if (!entry->name)
        return p->random_type;
    const bool half = entry->type == CALO_STORED_F16 || (calo_stored_is_f8(entry->type) && entry->scale == 0);
    if (calo_stored_is_f8(entry->type) && !half)
        return p->random_type;
    return half ? CALO_F16 : entry->type == CALO_STORED_BF16 ? CALO_BF16 : CALO_F32;
}

/* Decides where the tensor goes. On the second pass the arena gives the same place again. */
static bool place(calo_parameters *p, calo_tensor *t)
{
    if (failed(p) || p->visit || calo_arena_take(p->arena, t, p->fault))
        return false;
    t->block = 0; /* a weight is never given back */
    return writes(p);
}

static void wrote(calo_parameters *p, uint64_t bytes)
{
    p->done += bytes;
    if (p->on_done && !failed(p) && p->on_done(p->user, p->done))
        calo_fail(p->fault, CALO_ECANCELLED, "stopped while loading");
}

/* ---- packing ---------------------------------------------------------------------------------------------------- */

/* A group of panels that is packed in parallel and then written at once. */
typedef struct packing {
    const matrix *m;
    int64_t first; /* panel of the group's start */
    size_t panel_bytes;
    unsigned char *staging; /* where the group's first panel goes */
    _Atomic bool failed;
    calo_fault faults[1]; /* of the first thread that failed */
} packing;

/* The stored row of column `n` of a panel, −1 for a column of zeros. */
static int64_t row_of(const calo_tensor *t, int64_t panel, int64_t n)
{
    int64_t outputs = t->dims[0];
    if (t->layout == CALO_PANELS_GATED) {
        const int64_t half = CALO_PANEL / 2, feature = panel * half + n % half;
        return feature < outputs / 2 ? feature + n / half * (outputs / 2) : -1;
    }
    const int64_t row = panel * CALO_PANEL + n;
    return row < outputs ? row : -1;
}

static calo_status read_row(const matrix *m, int64_t row, float *values, calo_fault *fault)
{
    const int64_t which = row / m->rows_each, within = row % m->rows_each, size = m->inputs * m->taps;
    if (m->whole[which]) {
        memcpy(values, m->whole[which] + within * size, (size_t)size * sizeof *values);
        return CALO_OK;
    }
    if (m->entries[which].name)
        return calo_entry_read(&m->entries[which], within * size, size, values, fault);
    calo_random_parameter(m->names[which], CALO_MATRIX, size, within * size, size, values);
    return CALO_OK;
}

/* At most 32 numbers in the tensor's type. */
static void put_line(const matrix *m, const float *line, int64_t count, unsigned char *to)
{
    uint16_t half[CALO_PANEL];
    if (m->tensor.type == CALO_F32) {
        memcpy(to, line, (size_t)count * sizeof *line);
        return;
    }
    for (int64_t n = 0; n < count; n++)
        half[n] = m->tensor.type == CALO_F16 ? calo_to_f16(line[n]) : calo_to_bf16(line[n]);
    memcpy(to, half, (size_t)count * sizeof *half);
}

/* [32][inputs][taps] → [taps][inputs][32], or by output [32][taps][inputs], in the tensor's type. */
static void pack_panel(const matrix *m, const float *rows, unsigned char *to)
{
    const int64_t size = m->inputs * m->taps;
    const size_t each = calo_type_size(m->tensor.type);
    float line[CALO_PANEL];
    for (int64_t tap = 0; tap < m->taps; tap++)
        if (m->tensor.by_output) {
            for (int64_t n = 0; n < CALO_PANEL; n++)
                for (int64_t c = 0, count; c < m->inputs; c += count) {
                    count = m->inputs - c < CALO_PANEL ? m->inputs - c : CALO_PANEL;
                    for (int64_t i = 0; i < count; i++)
                        line[i] = rows[n * size + (c + i) * m->taps + tap];
                    put_line(m, line, count, to + (size_t)(n * size + tap * m->inputs + c) * each);
                }
        } else {
            for (int64_t c = 0; c < m->inputs; c++) {
                for (int64_t n = 0; n < CALO_PANEL; n++)
                    line[n] = rows[n * size + c * m->taps + tap];
                put_line(m, line, CALO_PANEL, to + (size_t)(tap * m->inputs + c) * CALO_PANEL * each);
            }
        }
}

static void pack_one(void *job, int64_t index)
{
    packing *g = job;
    const matrix *m = g->m;
    const int64_t size = m->inputs * m->taps;
    calo_fault fault = { 0 };
    float *rows = calo_alloc(CALO_PANEL * (size_t)size, sizeof *rows); /* zeros for what no row fills */
    if (!rows)
        calo_fail(&fault, CALO_EMEMORY, "no host memory to pack %s", m->names[0]);
    for (int n = 0; n < CALO_PANEL && !fault.status; n++) {
        const int64_t row = row_of(&m->tensor, g->first + index, n);
        if (row >= 0)
            read_row(m, row, rows + n * size, &fault);
    }
    if (!fault.status)
        pack_panel(m, rows, g->staging + (size_t)index * g->panel_bytes);
    else if (!atomic_exchange(&g->failed, true))
        g->faults[0] = fault;
    calo_free(rows);
}

/* Puts bytes at the tensor's place: in memory that the host shares, or through the device. */
static void put(calo_parameters *p, const calo_tensor *t, uint64_t at, const void *bytes, uint64_t size)
{
    char *host = calo_arena_host(p->arena, *t);
    if (failed(p))
        return;
    if (host)
        memcpy(host + at, bytes, (size_t)size);
    else
        p->device->api->write(p->device, t->buffer, t->offset + at, bytes, size, p->fault);
}

/* Packs straight into memory that the host shares with the device; otherwise by groups through a staging block. */
static void write_matrix(calo_parameters *p, const matrix *m)
{
    if (failed(p))
        return;
    const uint64_t bytes = calo_tensor_bytes(m->tensor);
    const size_t panel_bytes = (size_t)(m->inputs * m->taps) * CALO_PANEL * calo_type_size(m->tensor.type);
    const int64_t panels = (int64_t)(bytes / panel_bytes);
    unsigned char *host = calo_arena_host(p->arena, m->tensor), *staging = NULL;
    int64_t group = host ? panels : panel_bytes > STAGING ? 1 : (int64_t)(STAGING / panel_bytes);
    packing g = { .m = m, .panel_bytes = panel_bytes };
    if (group > panels)
        group = panels;
    if (!host)
        staging = calo_alloc((size_t)group, panel_bytes);
    g.staging = host ? host : staging;
    if (!g.staging) {
        calo_fail(p->fault, CALO_EMEMORY, "no host memory to pack %s", m->names[0]);
        return;
    }
    for (; g.first < panels && !failed(p); g.first += group) {
        const int64_t part = panels - g.first < group ? panels - g.first : group;
        calo_parallel(0, part, pack_one, &g);
        if (g.failed) {
            calo_fail(p->fault, g.faults[0].status, "%s", g.faults[0].text);
            break;
        }
        if (!host)
            put(p, &m->tensor, (uint64_t)g.first * panel_bytes, staging, (uint64_t)part * panel_bytes);
        wrote(p, (uint64_t)part * panel_bytes);
    }
    calo_free(staging);
}

/* ---- vectors and tables ----------------------------------------------------------------------------------------- */

/* Reads or draws a whole small tensor as f32. */
static void read_values(calo_parameters *p, const calo_entry *entry, const char *name, calo_parameter_kind kind,
                        int64_t fan_in, int64_t first, int64_t count, float *values)
{
    if (entry->name)
        calo_entry_read(entry, first, count, values, p->fault);
    else
        calo_random_parameter(name, kind, fan_in, first, count, values);
}

/* `count` vectors of `size`, one behind the other, as one f32 vector. */
static void load_vectors(calo_parameters *p, calo_tensor *t, char (*names)[NAME_SIZE], int count, int64_t size,
                         calo_parameter_kind kind)
{
    calo_entry entries[MAX_STACKED];
    for (int i = 0; i < count && i < MAX_STACKED; i++)
        entries[i] = find(p, names[i], 1, &size, kind, 1);
    *t = calo_shape(CALO_F32, 1, (int64_t[]){ count * size });
    if (!place(p, t))
        return;
    float *values = calo_alloc((size_t)(count * size), sizeof *values);
    if (!values)
        calo_fail(p->fault, CALO_EMEMORY, "no host memory to load %s", names[0]);
    for (int i = 0; i < count && !failed(p); i++)
        read_values(p, &entries[i], names[i], kind, size, 0, size, values + i * size);
    put(p, t, 0, values, (uint64_t)(count * size) * 4);
    wrote(p, (uint64_t)(count * size) * 4);
    calo_free(values);
}

void calo_load_table(calo_parameters *p, calo_tensor *table, int64_t rows, int64_t columns, const char *name)
{
    const int64_t dims[] = { rows, columns }, count = rows * columns, block = 1 << 20;
    const calo_entry entry = find(p, name, 2, dims, CALO_MATRIX, 2);
    *table = calo_shape(device_type(p, &entry), 2, dims);
    if (!place(p, table))
        return;
    float *values = calo_alloc((size_t)(count < block ? count : block), sizeof *values);
    uint16_t *halves = calo_alloc((size_t)(count < block ? count : block), sizeof *halves);
    if (!values || !halves)
        calo_fail(p->fault, CALO_EMEMORY, "no host memory to load %s", name);
    const size_t size = calo_type_size(table->type);
    for (int64_t at = 0; at < count && !failed(p); at += block) {
        const int64_t part = count - at < block ? count - at : block;
        read_values(p, &entry, name, CALO_MATRIX, columns, at, part, values);
        for (int64_t i = 0; size == 2 && i < part; i++)
            halves[i] = table->type == CALO_F16 ? calo_to_f16(values[i]) : calo_to_bf16(values[i]);
        put(p, table, (uint64_t)at * size, size == 2 ? (const void *)halves : values, (uint64_t)part * size);
        wrote(p, (uint64_t)part * size);
    }
    calo_free(values);
    calo_free(halves);
}

/* ---- matrices --------------------------------------------------------------------------------------------------- */

static void read_whole(calo_parameters *p, matrix *m)
{
    const int64_t size = m->rows_each * m->inputs * m->taps;
    for (int i = 0; i < m->count && !failed(p); i++) {
        if (!m->entries[i].name || !m->entries[i].transposed)
            continue;
        m->whole[i] = calo_alloc((size_t)size, sizeof *m->whole[i]);
        if (!m->whole[i])
            calo_fail(p->fault, CALO_EMEMORY, "no host memory to read %s", m->names[i]);
        else
            calo_entry_read(&m->entries[i], 0, size, m->whole[i], p->fault);
    }
}

typedef struct request {
    calo_layout layout;
    int kernel;      /* 0: a linear */
    int stored_rank; /* of make-random's tensor */
    int64_t outputs, inputs;
    bool bias;
} request;

/* base, or base.NAMES[i], for each of `count`. */
static void load_matrix(calo_parameters *p, calo_tensor *weight, calo_tensor *bias, const request *r, const char *base,
                        const char *const *names, int count)
{
    const int64_t kernel = r->kernel ? r->kernel : 1;
    const int64_t stored[] = { r->outputs, r->inputs, kernel, kernel };
    const int64_t rows = count * r->outputs;
    matrix m = { .count = count, .rows_each = r->outputs, .inputs = r->inputs, .taps = kernel * kernel };
    char bias_names[MAX_STACKED][NAME_SIZE];
    calo_type type = CALO_AUTO;
    for (int i = 0; i < count; i++) {
        snprintf(m.names[i], NAME_SIZE, "%s%s%s.weight", base, names ? "." : "", names ? names[i] : "");
        snprintf(bias_names[i], NAME_SIZE, "%s%s%s.bias", base, names ? "." : "", names ? names[i] : "");
        m.entries[i] = find(p, m.names[i], r->kernel ? 4 : 2, stored, CALO_MATRIX, r->stored_rank);
        const calo_type own = device_type(p, &m.entries[i]);
        type = type == CALO_AUTO || type == own ? own : CALO_F32;
    }
    *weight = r->kernel ? calo_shape(type, 4, (int64_t[]){ rows, kernel, kernel, r->inputs })
                        : calo_shape(type, 2, (int64_t[]){ rows, r->inputs });
    weight->layout = r->layout;
    weight->by_output = p->by_output;
    const bool filled = place(p, weight);
    m.tensor = *weight;
    if (filled) {
        read_whole(p, &m);
        write_matrix(p, &m);
    }
    for (int i = 0; i < count; i++)
        calo_free(m.whole[i]);
    if (r->bias)
        load_vectors(p, bias, bias_names, count, r->outputs, CALO_BIAS);
}

#define NAME_FROM(format)                                                                                              \
    char name[NAME_SIZE];                                                                                              \
    va_list list;                                                                                                      \
    va_start(list, format);                                                                                            \
    vsnprintf(name, sizeof name, format, list);                                                                        \
    va_end(list)

void calo_load_linear(calo_parameters *p, calo_linear_weights *w, int64_t outputs, int64_t inputs, bool bias,
                      const char *format, ...)
{
    NAME_FROM(format);
    load_matrix(p, &w->weight, &w->bias, &(request){ CALO_PANELS, 0, 2, outputs, inputs, bias }, name, NULL, 1);
}

void calo_load_pointwise(calo_parameters *p, calo_linear_weights *w, int64_t outputs, int64_t inputs, bool bias,
                         const char *format, ...)
{
    NAME_FROM(format);
    load_matrix(p, &w->weight, &w->bias, &(request){ CALO_PANELS, 0, 4, outputs, inputs, bias }, name, NULL, 1);
}

void calo_load_gated(calo_parameters *p, calo_linear_weights *w, int64_t outputs, int64_t inputs, bool bias,
                     const char *format, ...)
{
    NAME_FROM(format);
    load_matrix(p, &w->weight, &w->bias, &(request){ CALO_PANELS_GATED, 0, 2, outputs, inputs, bias }, name, NULL, 1);
}

void calo_load_stacked(calo_parameters *p, calo_linear_weights *w, const char *const *names, int count,
                       int64_t outputs, int64_t inputs, bool bias, const char *format, ...)
{
    NAME_FROM(format);
    load_matrix(p, &w->weight, &w->bias, &(request){ CALO_PANELS, 0, 2, outputs, inputs, bias }, name, names, count);
}

void calo_load_conv2d(calo_parameters *p, calo_conv2d_weights *w, int64_t outputs, int64_t inputs, int kernel,
                      const char *format, ...)
{
    NAME_FROM(format);
    load_matrix(p, &w->weight, &w->bias, &(request){ CALO_PANELS, kernel, 4, outputs, inputs, true }, name, NULL, 1);
}

void calo_load_diagonal(calo_parameters *p, calo_linear_weights *w, int64_t size, const double *diagonal,
                        const double *bias)
{
    matrix m = { .count = 1, .rows_each = size, .inputs = size, .taps = 1 };
    w->weight = calo_shape(CALO_F32, 2, (int64_t[]){ size, size });
    w->weight.layout = CALO_PANELS;
    w->weight.by_output = p->by_output;
    const bool filled = place(p, &w->weight);
    m.tensor = w->weight;
    if (filled) {
        m.whole[0] = calo_alloc((size_t)(size * size), sizeof *m.whole[0]);
        for (int64_t i = 0; m.whole[0] && i < size; i++)
            m.whole[0][i * size + i] = (float)diagonal[i];
        if (!m.whole[0])
            calo_fail(p->fault, CALO_EMEMORY, "no host memory for a matrix");
        write_matrix(p, &m);
        calo_free(m.whole[0]);
    }
    w->bias = calo_shape(CALO_F32, 1, &size);
    if (!place(p, &w->bias))
        return;
    for (int64_t i = 0; i < size; i++) {
        const float value = (float)bias[i];
        put(p, &w->bias, (uint64_t)i * sizeof value, &value, sizeof value);
    }
    wrote(p, (uint64_t)size * sizeof(float));
}

void calo_load_norm(calo_parameters *p, calo_norm_weights *w, int64_t channels, int groups, double eps,
                    const char *format, ...)
{
    NAME_FROM(format);
    char full[1][NAME_SIZE];
    w->groups = groups;
    w->eps = eps;
    snprintf(full[0], NAME_SIZE, "%s.weight", name);
    load_vectors(p, &w->gamma, full, 1, channels, CALO_GAIN);
    snprintf(full[0], NAME_SIZE, "%s.bias", name);
    load_vectors(p, &w->beta, full, 1, channels, CALO_BIAS);
}

void *calo_model_array(calo_parameters *p, void *existing, int64_t count, size_t size)
{
    if (existing || count == 0)
        return existing;
    void *made = calo_alloc((size_t)count, size);
    if (!made)
        calo_fail(p->fault, CALO_EMEMORY, "no host memory for a model's %lld parts", (long long)count);
    return made;
}
