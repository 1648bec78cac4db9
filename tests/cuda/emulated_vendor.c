/* cuBLASLt and cuDNN that are not there: what is asked of them is kept, and done in plain C when it is executed. */
#include "emulated_vendor.h"
#include "emulated_state.h"
#include "../../engine/cuda_blas.h"
#include "../../engine/cuda_dnn.h"
#include "../../engine/number.h"

#include <math.h>
#include <string.h>

enum { NOT_SUPPORTED = 15, MAX_ATTRIBUTES = 16, MAX_VALUES = 8 };

static double number_at(cu_pointer base, bool f32, bool f16, int64_t index)
{
    if (f32)
        return ((const float *)(uintptr_t)base)[index];
    const uint16_t bits = ((const uint16_t *)(uintptr_t)base)[index];
    return f16 ? calo_from_f16(bits) : calo_from_bf16(bits);
}

static void put_number(cu_pointer base, bool f32, bool f16, int64_t index, double value)
{
    if (f32)
        ((float *)(uintptr_t)base)[index] = (float)value;
    else
        ((uint16_t *)(uintptr_t)base)[index] = f16 ? calo_to_f16((float)value) : calo_to_bf16((float)value);
}

/* ---- cuBLASLt: columns first ---------------------------------------------------------------------------------------- */

struct blas_handle_record {
    int unused;
};
struct blas_product_record {
    int transpose;
};
struct blas_matrix_record {
    int type;
    uint64_t rows, columns;
    int64_t lead;
};
struct blas_preference_record {
    size_t workspace;
};

static int blas_create(blas_handle *handle)
{
    ARRIVE();
    *handle = make(sizeof **handle);
    return SUCCESS;
}

static int blas_destroy(blas_handle handle)
{
    ARRIVE_RELEASING();
    unmake(handle);
    return early;
}

static int product_create(blas_product *product, int compute, int scale)
{
    ARRIVE();
    if (compute != BLAS_COMPUTE_F32 || scale != CUDA_TYPE_F32)
        return NOT_SUPPORTED;
    *product = make(sizeof **product);
    return SUCCESS;
}

static int product_destroy(blas_product product)
{
    ARRIVE_RELEASING();
    unmake(product);
    return early;
}

static int product_set(blas_product product, int attribute, const void *value, size_t size)
{
    ARRIVE();
    if (attribute != BLAS_PRODUCT_TRANSPOSE_A || size != 4)
        return NOT_SUPPORTED;
    memcpy(&product->transpose, value, size);
    return SUCCESS;
}

static int matrix_create(blas_matrix *matrix, int type, uint64_t rows, uint64_t columns, int64_t lead)
{
    ARRIVE();
    if (lead < (int64_t)rows)
        return NOT_SUPPORTED;
    *matrix = make(sizeof **matrix);
    **matrix = (struct blas_matrix_record){ type, rows, columns, lead };
    return SUCCESS;
}

static int matrix_destroy(blas_matrix matrix)
{
    ARRIVE_RELEASING();
    unmake(matrix);
    return early;
}

static int preference_create(blas_preference *preference)
{
    ARRIVE();
    *preference = make(sizeof **preference);
    return SUCCESS;
}

static int preference_destroy(blas_preference preference)
{
    ARRIVE_RELEASING();
    unmake(preference);
    return early;
}

static int preference_set(blas_preference preference, int attribute, const void *value, size_t size)
{
    ARRIVE();
    if (attribute != BLAS_PREFERENCE_WORKSPACE || size != sizeof preference->workspace)
        return NOT_SUPPORTED;
    memcpy(&preference->workspace, value, size);
    return SUCCESS;
}

static int heuristic(blas_handle handle, blas_product product, blas_matrix a, blas_matrix b, blas_matrix c, blas_matrix d,
                     blas_preference preference, int wanted, blas_choice *choices, int *found)
{
    ARRIVE();
    (void)handle, (void)preference, (void)c;
    *found = wanted >= 1 && product->transpose && a->rows == b->rows && a->columns == d->rows && b->columns == d->columns;
    memset(choices, 0, sizeof *choices);
    return SUCCESS;
}

/* D = Aᵀ B. */
static int matmul(blas_handle handle, blas_product product, const void *alpha, cu_pointer a, blas_matrix a_matrix,
                  cu_pointer b, blas_matrix b_matrix, const void *beta, cu_pointer c, blas_matrix c_matrix, cu_pointer d,
                  blas_matrix d_matrix, const blas_algorithm *algorithm, cu_pointer workspace, size_t workspace_bytes,
                  cu_stream stream)
{
    ARRIVE();
    (void)handle, (void)product, (void)c, (void)c_matrix, (void)algorithm, (void)workspace, (void)workspace_bytes;
    if (stream->capture || *(const float *)alpha != 1 || *(const float *)beta != 0)
        return NOT_SUPPORTED;
    const bool half = a_matrix->type == CUDA_TYPE_F16;
    for (uint64_t j = 0; j < d_matrix->columns; j++)
        for (uint64_t i = 0; i < d_matrix->rows; i++) {
            double sum = 0;
            for (uint64_t k = 0; k < a_matrix->rows; k++)
                sum += number_at(a, false, half, (int64_t)(i * (uint64_t)a_matrix->lead + k)) *
                       number_at(b, false, half, (int64_t)(j * (uint64_t)b_matrix->lead + k));
            put_number(d, d_matrix->type == CUDA_TYPE_F32, half, (int64_t)(j * (uint64_t)d_matrix->lead + i), sum);
        }
    return SUCCESS;
}

/* ---- cuDNN: descriptors are what was set ---------------------------------------------------------------------------- */

struct dnn_handle_record {
    int unused;
};

typedef struct attribute {
    int name, type;
    int64_t count, values[MAX_VALUES]; /* a float's or a boolean's bits, too */
} attribute;

typedef struct descriptor {
    int kind;
    bool finished;
    attribute attributes[MAX_ATTRIBUTES];
    int count;
    struct descriptor *graph; /* of an engine's configuration */
} descriptor;

static int dnn_create(dnn_handle *handle)
{
    ARRIVE();
    *handle = make(sizeof **handle);
    return SUCCESS;
}

static int dnn_destroy(dnn_handle handle)
{
    ARRIVE_RELEASING();
    unmake(handle);
    return early;
}

static int dnn_set_stream(dnn_handle handle, cu_stream stream)
{
    ARRIVE();
    (void)handle, (void)stream;
    return SUCCESS;
}

static int descriptor_create(int kind, dnn_descriptor *made)
{
    ARRIVE();
    descriptor *d = make(sizeof *d);
    d->kind = kind;
    *made = d;
    return SUCCESS;
}

static int descriptor_destroy(dnn_descriptor which)
{
    ARRIVE_RELEASING();
    unmake(which);
    return early;
}

static int descriptor_finish(dnn_descriptor which)
{
    ARRIVE();
    ((descriptor *)which)->finished = true;
    return SUCCESS;
}

static size_t size_of(int type)
{
    switch (type) {
    case DNN_OF_BOOLEAN: return 1;
    case DNN_OF_INT64: case DNN_OF_POINTER: case DNN_OF_HANDLE: case DNN_OF_DESCRIPTOR: return 8;
    default: return 4;
    }
}

static int descriptor_set(dnn_descriptor which, int name, int type, int64_t count, const void *values)
{
    descriptor *d = which;
    ARRIVE();
    if (d->finished || d->count == MAX_ATTRIBUTES || count > MAX_VALUES)
        return NOT_SUPPORTED;
    attribute *a = &d->attributes[d->count++];
    *a = (attribute){ .name = name, .type = type, .count = count };
    for (int64_t i = 0; i < count; i++) {
        memcpy(&a->values[i], (const char *)values + (size_t)i * size_of(type), size_of(type));
        if (type == DNN_OF_DESCRIPTOR && !((descriptor *)(uintptr_t)a->values[i])->finished)
            return NOT_SUPPORTED;
    }
    return SUCCESS;
}

static const attribute *seek(const descriptor *d, int name)
{
    for (int i = 0; d && i < d->count; i++)
        if (d->attributes[i].name == name)
            return &d->attributes[i];
    return NULL;
}

static descriptor *part(const descriptor *d, int name)
{
    const attribute *a = seek(d, name);
    return a ? (descriptor *)(uintptr_t)a->values[0] : NULL;
}

/* One engine, which needs no workspace. */
static int descriptor_get(dnn_descriptor which, int name, int type, int64_t room, int64_t *count, void *values)
{
    ARRIVE();
    (void)type;
    if (name == DNN_HEURISTICS_RESULTS && room >= 1) {
        (*(descriptor **)values)->finished = true;
        (*(descriptor **)values)->graph = part(which, DNN_HEURISTICS_GRAPH);
        *count = 1;
    } else if (name == DNN_PLAN_WORKSPACE && ((descriptor *)which)->kind == DNN_PLAN) {
        *(int64_t *)values = 0;
        *count = 1;
    } else {
        return NOT_SUPPORTED;
    }
    return SUCCESS;
}

/* A tensor of the graph, and where the pack has it; 0 for one that is virtual. */
typedef struct bound {
    const int64_t *dims, *strides;
    bool f32, f16;
    cu_pointer at;
} bound;

static bound bind(const descriptor *t, const descriptor *pack)
{
    const attribute *ids = seek(pack, DNN_PACK_IDS), *pointers = seek(pack, DNN_PACK_POINTERS);
    const int64_t id = seek(t, DNN_TENSOR_ID)->values[0];
    const int type = (int)seek(t, DNN_TENSOR_TYPE)->values[0];
    bound b = { seek(t, DNN_TENSOR_DIMS)->values, seek(t, DNN_TENSOR_STRIDES)->values, type == DNN_FLOAT, type == DNN_HALF, 0 };
    for (int64_t i = 0; i < ids->count; i++)
        if (ids->values[i] == id)
            b.at = (cu_pointer)pointers->values[i];
    return b;
}

static double get(const bound *b, int64_t i, int64_t j, int64_t k, int64_t l)
{
    return number_at(b->at, b->f32, b->f16, i * b->strides[0] + j * b->strides[1] + k * b->strides[2] + l * b->strides[3]);
}

static void put(const bound *b, int64_t i, int64_t j, int64_t k, int64_t l, double value)
{
    put_number(b->at, b->f32, b->f16, i * b->strides[0] + j * b->strides[1] + k * b->strides[2] + l * b->strides[3], value);
}

static void convolve(const descriptor *forward, const descriptor *add, const descriptor *pack)
{
    const descriptor *shape = part(forward, DNN_FORWARD_CONVOLUTION);
    const int64_t *strides = seek(shape, DNN_CONVOLUTION_STRIDES)->values;
    const int64_t *before = seek(shape, DNN_CONVOLUTION_BEFORE)->values;
    const bound x = bind(part(forward, DNN_FORWARD_X), pack), w = bind(part(forward, DNN_FORWARD_W), pack);
    const bound y = bind(add ? part(add, DNN_OPERATION_Y) : part(forward, DNN_FORWARD_Y), pack);
    const bound bias = add ? bind(part(add, DNN_OPERATION_B), pack) : y;
    for (int64_t n = 0; n < y.dims[0]; n++)
        for (int64_t k = 0; k < y.dims[1]; k++)
            for (int64_t p = 0; p < y.dims[2]; p++)
                for (int64_t q = 0; q < y.dims[3]; q++) {
                    double sum = add ? get(&bias, 0, k, 0, 0) : 0;
                    for (int64_t r = 0; r < w.dims[2]; r++)
                        for (int64_t s = 0; s < w.dims[3]; s++) {
                            const int64_t row = p * strides[0] + r - before[0], column = q * strides[1] + s - before[1];
                            if (row < 0 || row >= x.dims[2] || column < 0 || column >= x.dims[3])
                                continue;
                            for (int64_t c = 0; c < x.dims[1]; c++)
                                sum += get(&x, n, c, row, column) * get(&w, k, c, r, s);
                        }
                    put(&y, n, k, p, q, sum);
                }
}

static void attend(const descriptor *operation, const descriptor *pack)
{
    const bound q = bind(part(operation, DNN_ATTENTION_Q), pack), k = bind(part(operation, DNN_ATTENTION_K), pack);
    const bound v = bind(part(operation, DNN_ATTENTION_V), pack), y = bind(part(operation, DNN_ATTENTION_Y), pack);
    const bound scale = bind(part(operation, DNN_ATTENTION_SCALE), pack);
    const int64_t keys = k.dims[2], dim = q.dims[3];
    double *p = calloc((size_t)keys, sizeof *p);
    for (int64_t b = 0; b < q.dims[0]; b++)
        for (int64_t h = 0; h < q.dims[1]; h++)
            for (int64_t t = 0; t < q.dims[2]; t++) {
                double most = -INFINITY, total = 0;
                for (int64_t s = 0; s < keys; s++) {
                    p[s] = 0;
                    for (int64_t d = 0; d < dim; d++)
                        p[s] += get(&q, b, h, t, d) * get(&k, b, h, s, d);
                    p[s] *= get(&scale, 0, 0, 0, 0);
                    most = p[s] > most ? p[s] : most;
                }
                for (int64_t s = 0; s < keys; s++)
                    total += p[s] = exp(p[s] - most);
                for (int64_t d = 0; d < dim; d++) {
                    double sum = 0;
                    for (int64_t s = 0; s < keys; s++)
                        sum += p[s] * get(&v, b, h, s, d);
                    put(&y, b, h, t, d, sum / total);
                }
            }
    free(p);
}

static int execute(dnn_handle handle, dnn_descriptor plan, dnn_descriptor pack)
{
    ARRIVE();
    (void)handle;
    const descriptor *config = part(plan, DNN_PLAN_CONFIG);
    const attribute *operations = config ? seek(config->graph, DNN_GRAPH_OPERATIONS) : NULL;
    if (!operations)
        return NOT_SUPPORTED;
    const descriptor *first = (descriptor *)(uintptr_t)operations->values[0];
    if (first->kind == DNN_CONVOLUTION_FORWARD)
        convolve(first, operations->count > 1 ? (descriptor *)(uintptr_t)operations->values[1] : NULL, pack);
    else
        attend(first, pack);
    return SUCCESS;
}

/* ---- the tables ----------------------------------------------------------------------------------------------------- */

static bool enabled;

calo_status __real_calo_blas_load(calo_blas_api *api, int newest, calo_fault *fault);
calo_status __wrap_calo_blas_load(calo_blas_api *api, int newest, calo_fault *fault);
calo_status __real_calo_dnn_load(calo_dnn_api *api, calo_fault *fault);
calo_status __wrap_calo_dnn_load(calo_dnn_api *api, calo_fault *fault);

calo_status __wrap_calo_blas_load(calo_blas_api *api, int newest, calo_fault *fault)
{
    if (!enabled)
        return __real_calo_blas_load(api, newest, fault);
    *api = (calo_blas_api){ blas_create,      blas_destroy,      product_create,    product_destroy,
                            product_set,      matrix_create,     matrix_destroy,    preference_create,
                            preference_destroy, preference_set,  heuristic,         matmul,
                            &enabled };
    return CALO_OK;
}

calo_status __wrap_calo_dnn_load(calo_dnn_api *api, calo_fault *fault)
{
    if (!enabled)
        return __real_calo_dnn_load(api, fault);
    *api = (calo_dnn_api){ dnn_create,        dnn_destroy,    dnn_set_stream, descriptor_create, descriptor_destroy,
                           descriptor_finish, descriptor_set, descriptor_get, execute,           &enabled };
    return CALO_OK;
}

void emulated_vendor_enable(bool on)
{
    enabled = on;
}
