/* Graphs for cuDNN: tensors, one or two operations on them, an engine from its heuristics, and a plan that is kept. */
#include "cuda_dnn.h"
#include "shim.h"

#include <string.h>

enum { X_ID = 1, W_ID, Y_ID, BIAS_ID, SUM_ID, SCALE_ID, MAX_PARTS = 24, MAX_CONFIGS = 8, MAX_IDS = 5, KEY = 24 };

struct calo_dnn_plan {
    calo_dnn_plan *next;
    int64_t key[KEY]; /* all numbers that make the graph */
    dnn_descriptor parts[MAX_PARTS];
    int part_count;
    dnn_descriptor plan;
    int64_t workspace;
};

/* A graph that is being made; the first failure is kept, and everything after it is a no-op. */
typedef struct maker {
    const calo_dnn_api *api;
    calo_dnn_plan *made;
    int code;
} maker;

static dnn_descriptor create(maker *m, int kind)
{
    dnn_descriptor part = NULL;
    if (m->code || m->made->part_count == MAX_PARTS)
        return NULL;
    m->code = m->api->cudnnBackendCreateDescriptor(kind, &part);
    if (!m->code)
        m->made->parts[m->made->part_count++] = part;
    return part;
}

static void set(maker *m, dnn_descriptor part, int attribute, int type, int64_t count, const void *values)
{
    if (!m->code)
        m->code = m->api->cudnnBackendSetAttribute(part, attribute, type, count, values);
}

static void set_number(maker *m, dnn_descriptor part, int attribute, int type, int value)
{
    set(m, part, attribute, type, 1, &value);
}

static void set_part(maker *m, dnn_descriptor part, int attribute, dnn_descriptor value)
{
    set(m, part, attribute, DNN_OF_DESCRIPTOR, 1, &value);
}

static dnn_descriptor finish(maker *m, dnn_descriptor part)
{
    if (!m->code)
        m->code = m->api->cudnnBackendFinalize(part);
    return part;
}

typedef enum standing { REAL, VIRTUAL, BY_VALUE } standing;

static dnn_descriptor tensor(maker *m, int64_t id, int type, const int64_t dims[4], const int64_t strides[4],
                             standing standing)
{
    const int64_t alignment = 16;
    const bool yes = true;
    dnn_descriptor t = create(m, DNN_TENSOR);
    set_number(m, t, DNN_TENSOR_TYPE, DNN_OF_DATA_TYPE, type);
    set(m, t, DNN_TENSOR_DIMS, DNN_OF_INT64, 4, dims);
    set(m, t, DNN_TENSOR_STRIDES, DNN_OF_INT64, 4, strides);
    set(m, t, DNN_TENSOR_ID, DNN_OF_INT64, 1, &id);
    set(m, t, DNN_TENSOR_ALIGNMENT, DNN_OF_INT64, 1, &alignment);
    if (standing == VIRTUAL)
        set(m, t, DNN_TENSOR_VIRTUAL, DNN_OF_BOOLEAN, 1, &yes);
    if (standing == BY_VALUE)
        set(m, t, DNN_TENSOR_BY_VALUE, DNN_OF_BOOLEAN, 1, &yes);
    return finish(m, t);
}

/* Dims [N, H, W, C] of dense channels-last memory, as cuDNN counts: N, C, H, W. */
static dnn_descriptor image(maker *m, int64_t id, int type, const int64_t d[4], standing standing)
{
    const int64_t dims[] = { d[0], d[3], d[1], d[2] }, strides[] = { d[1] * d[2] * d[3], 1, d[2] * d[3], d[3] };
    return tensor(m, id, type, dims, strides, standing);
}

static int data_type(calo_type type)
{
    return type == CALO_F16 ? DNN_HALF : type == CALO_BF16 ? DNN_BFLOAT16 : DNN_FLOAT;
}

/* ---- the two graphs: their operations ----------------------------------------------------------------------------- */

static int convolution_graph(maker *m, const void *what, dnn_descriptor operations[2])
{
    const calo_dnn_convolution *c = what;
    const int type = data_type(c->type);
    const int64_t strides[] = { c->stride, c->stride }, ones[] = { 1, 1 }, spatial = 2, bias[] = { 1, 1, 1, c->y[3] };
    const float one = 1, zero = 0;
    const bool biased = c->bias_at != 0;
    dnn_descriptor shape = create(m, DNN_CONVOLUTION);
    set_number(m, shape, DNN_CONVOLUTION_TYPE, DNN_OF_DATA_TYPE, DNN_FLOAT);
    set_number(m, shape, DNN_CONVOLUTION_MODE, DNN_OF_CONVOLUTION_MODE, DNN_CROSS_CORRELATION);
    set(m, shape, DNN_CONVOLUTION_SPATIAL, DNN_OF_INT64, 1, &spatial);
    set(m, shape, DNN_CONVOLUTION_DILATIONS, DNN_OF_INT64, 2, ones);
    set(m, shape, DNN_CONVOLUTION_STRIDES, DNN_OF_INT64, 2, strides);
    set(m, shape, DNN_CONVOLUTION_BEFORE, DNN_OF_INT64, 2, c->before);
    set(m, shape, DNN_CONVOLUTION_AFTER, DNN_OF_INT64, 2, c->after);
    finish(m, shape);
    dnn_descriptor y = image(m, Y_ID, type, c->y, REAL);
    dnn_descriptor sum = biased ? image(m, SUM_ID, DNN_FLOAT, c->y, VIRTUAL) : y;
    dnn_descriptor x = image(m, X_ID, type, c->x, REAL), w = image(m, W_ID, type, c->w, REAL);
    operations[0] = create(m, DNN_CONVOLUTION_FORWARD);
    set_part(m, operations[0], DNN_FORWARD_CONVOLUTION, shape);
    set_part(m, operations[0], DNN_FORWARD_X, x);
    set_part(m, operations[0], DNN_FORWARD_W, w);
    set_part(m, operations[0], DNN_FORWARD_Y, sum);
    set(m, operations[0], DNN_FORWARD_ALPHA, DNN_OF_FLOAT, 1, &one);
    set(m, operations[0], DNN_FORWARD_BETA, DNN_OF_FLOAT, 1, &zero);
    finish(m, operations[0]);
    if (!biased)
        return 1;
    dnn_descriptor add = create(m, DNN_POINTWISE);
    set_number(m, add, DNN_POINTWISE_MODE, DNN_OF_POINTWISE_MODE, DNN_ADD);
    set_number(m, add, DNN_POINTWISE_PRECISION, DNN_OF_DATA_TYPE, DNN_FLOAT);
    finish(m, add);
    dnn_descriptor b = image(m, BIAS_ID, DNN_FLOAT, bias, REAL);
    operations[1] = create(m, DNN_POINTWISE_OPERATION);
    set_part(m, operations[1], DNN_OPERATION_POINTWISE, add);
    set_part(m, operations[1], DNN_OPERATION_X, sum);
    set_part(m, operations[1], DNN_OPERATION_B, b);
    set_part(m, operations[1], DNN_OPERATION_Y, y);
    finish(m, operations[1]);
    return 2;
}

static int attention_graph(maker *m, const void *what, dnn_descriptor operations[2])
{
    const calo_dnn_attention *a = what;
    const int type = data_type(a->type);
    const int64_t queries[] = { a->batch, a->heads, a->queries, a->dim }, keys[] = { a->batch, a->heads, a->keys, a->dim };
    const int64_t rows[] = { a->queries * a->q_stride, a->dim, a->q_stride, 1 };
    const int64_t k_rows[] = { a->keys * a->k_stride, a->dim, a->k_stride, 1 };
    const int64_t v_rows[] = { a->keys * a->v_stride, a->dim, a->v_stride, 1 };
    const int64_t width = a->heads * a->dim, y_rows[] = { a->queries * width, a->dim, width, 1 }, one[] = { 1, 1, 1, 1 };
    dnn_descriptor q = tensor(m, X_ID, type, queries, rows, REAL), k = tensor(m, W_ID, type, keys, k_rows, REAL);
    dnn_descriptor v = tensor(m, BIAS_ID, type, keys, v_rows, REAL), y = tensor(m, Y_ID, type, queries, y_rows, REAL);
    dnn_descriptor scale = tensor(m, SCALE_ID, DNN_FLOAT, one, one, BY_VALUE);
    operations[0] = create(m, DNN_ATTENTION_FORWARD);
    set_part(m, operations[0], DNN_ATTENTION_Q, q);
    set_part(m, operations[0], DNN_ATTENTION_K, k);
    set_part(m, operations[0], DNN_ATTENTION_V, v);
    set_part(m, operations[0], DNN_ATTENTION_Y, y);
    set_part(m, operations[0], DNN_ATTENTION_SCALE, scale);
    finish(m, operations[0]);
    return 1;
}

/* ---- plans ---------------------------------------------------------------------------------------------------------- */

static void free_plan(const calo_dnn_api *api, calo_dnn_plan *plan)
{
    while (plan->part_count > 0)
        api->cudnnBackendDestroyDescriptor(plan->parts[--plan->part_count]);
    calo_free(plan);
}

/* The first of the heuristics' engines that makes a plan for the workspace. */
static void choose_engine(maker *m, dnn_handle handle, dnn_descriptor graph, int64_t workspace)
{
    dnn_descriptor heuristics = create(m, DNN_HEURISTICS), configs[MAX_CONFIGS];
    int64_t found = 0;
    set_number(m, heuristics, DNN_HEURISTICS_MODE, DNN_OF_HEURISTICS_MODE, DNN_HEURISTICS_A);
    set_part(m, heuristics, DNN_HEURISTICS_GRAPH, graph);
    finish(m, heuristics);
    for (int i = 0; i < MAX_CONFIGS; i++)
        configs[i] = create(m, DNN_ENGINE_CONFIG);
    if (!m->code)
        m->code = m->api->cudnnBackendGetAttribute(heuristics, DNN_HEURISTICS_RESULTS, DNN_OF_DESCRIPTOR, MAX_CONFIGS,
                                                   &found, configs);
    for (int i = 0; i < found && !m->code && !m->made->plan; i++) {
        dnn_descriptor plan = create(m, DNN_PLAN);
        int64_t count;
        set(m, plan, DNN_PLAN_HANDLE, DNN_OF_HANDLE, 1, &handle);
        set_part(m, plan, DNN_PLAN_CONFIG, configs[i]);
        finish(m, plan);
        if (!m->code)
            m->code = m->api->cudnnBackendGetAttribute(plan, DNN_PLAN_WORKSPACE, DNN_OF_INT64, 1, &count,
                                                       &m->made->workspace);
        if (!m->code && m->made->workspace <= workspace)
            m->made->plan = plan;
        else if (i + 1 < found)
            m->code = 0; /* the next may do */
    }
}

/* A plan for these numbers, known or new. `graph` makes its operations. */
static calo_dnn_plan *find_plan(calo_dnn *dnn, const int64_t key[KEY], int64_t workspace, const void *what,
                                int (*graph)(maker *m, const void *what, dnn_descriptor operations[2]), int *code)
{
    for (calo_dnn_plan *p = dnn->plans; p; p = p->next)
        if (memcmp(p->key, key, sizeof p->key) == 0)
            return p;
    calo_dnn_plan *made = calo_alloc(1, sizeof *made);
    maker m = { &dnn->api, made, 0 };
    dnn_descriptor operations[2];
    *code = -1;
    if (!made)
        return NULL;
    memcpy(made->key, key, sizeof made->key);
    const int count = graph(&m, what, operations);
    dnn_descriptor whole = create(&m, DNN_GRAPH);
    set(&m, whole, DNN_GRAPH_HANDLE, DNN_OF_HANDLE, 1, &dnn->handle);
    set(&m, whole, DNN_GRAPH_OPERATIONS, DNN_OF_DESCRIPTOR, count, operations);
    finish(&m, whole);
    choose_engine(&m, dnn->handle, whole, workspace);
    if (m.code || !made->plan) {
        *code = m.code;
        free_plan(&dnn->api, made);
        return NULL;
    }
    made->next = dnn->plans;
    return dnn->plans = made;
}

static int execute(calo_dnn *dnn, const calo_dnn_plan *plan, int count, const int64_t *ids, void *const *pointers,
                   cu_pointer workspace, cu_stream stream)
{
    calo_dnn_plan bundle = { 0 };
    maker m = { &dnn->api, &bundle, 0 };
    void *space = (void *)(uintptr_t)workspace;
    dnn_descriptor pack = create(&m, DNN_PACK);
    set(&m, pack, DNN_PACK_IDS, DNN_OF_INT64, count, ids);
    set(&m, pack, DNN_PACK_POINTERS, DNN_OF_POINTER, count, pointers);
    set(&m, pack, DNN_PACK_WORKSPACE, DNN_OF_POINTER, 1, &space);
    finish(&m, pack);
    if (!m.code)
        m.code = dnn->api.cudnnSetStream(dnn->handle, stream);
    if (!m.code)
        m.code = dnn->api.cudnnBackendExecute(dnn->handle, plan->plan, pack);
    if (pack)
        dnn->api.cudnnBackendDestroyDescriptor(pack);
    return m.code;
}

calo_status calo_dnn_convolve(calo_dnn *dnn, const calo_dnn_convolution *c, cu_pointer workspace, size_t bytes,
                              cu_stream stream, calo_fault *fault)
{
    int64_t key[KEY] = { 1, c->type, c->stride, c->before[0], c->before[1], c->after[0], c->after[1], c->bias_at != 0 };
    int code = 0;
    memcpy(key + 8, c->x, sizeof c->x);
    memcpy(key + 12, c->w, sizeof c->w);
    memcpy(key + 16, c->y, sizeof c->y);
    const calo_dnn_plan *plan = find_plan(dnn, key, (int64_t)bytes, c, convolution_graph, &code);
    const int64_t ids[] = { X_ID, W_ID, Y_ID, BIAS_ID };
    void *const pointers[] = { (void *)(uintptr_t)c->x_at, (void *)(uintptr_t)c->w_at, (void *)(uintptr_t)c->y_at,
                               (void *)(uintptr_t)c->bias_at };
    if (plan)
        code = execute(dnn, plan, c->bias_at ? 4 : 3, ids, pointers, workspace, stream);
    return plan && !code ? CALO_OK
                         : calo_fail(fault, CALO_EDEVICE, "cuDNN has no convolution of [%lld,%lld,%lld,%lld] to %lld "
                                     "channels (%d)", (long long)c->x[0], (long long)c->x[1], (long long)c->x[2],
                                     (long long)c->x[3], (long long)c->y[3], code);
}

calo_status calo_dnn_attend(calo_dnn *dnn, const calo_dnn_attention *a, cu_pointer workspace, size_t bytes,
                            cu_stream stream, calo_fault *fault)
{
    const int64_t key[KEY] = { 2, a->type, a->batch, a->queries, a->keys, a->heads, a->dim, a->q_stride, a->k_stride,
                               a->v_stride };
    int code = 0;
    const calo_dnn_plan *plan = find_plan(dnn, key, (int64_t)bytes, a, attention_graph, &code);
    const int64_t ids[] = { X_ID, W_ID, BIAS_ID, Y_ID, SCALE_ID };
    float scale = a->scale;
    void *const pointers[] = { (void *)(uintptr_t)a->q_at, (void *)(uintptr_t)a->k_at, (void *)(uintptr_t)a->v_at,
                               (void *)(uintptr_t)a->y_at, &scale };
    if (plan)
        code = execute(dnn, plan, 5, ids, pointers, workspace, stream);
    return plan && !code ? CALO_OK
                         : calo_fail(fault, CALO_EDEVICE, "cuDNN has no attention of %lld × %lld, %lld heads of %lld (%d)",
                                     (long long)a->queries, (long long)a->keys, (long long)a->heads, (long long)a->dim,
                                     code);
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

calo_status calo_dnn_open(calo_dnn *dnn, calo_fault *fault)
{
    calo_status status = calo_dnn_load(&dnn->api, fault);
    if (status)
        return status;
    const int code = dnn->api.cudnnCreate(&dnn->handle);
    if (!code)
        return CALO_OK;
    dnn->handle = NULL;
    return calo_fail(fault, CALO_EDEVICE, "cuDNN does not start (%d)", code);
}

void calo_dnn_close(calo_dnn *dnn)
{
    for (calo_dnn_plan *plan = dnn->plans, *next; plan; plan = next) {
        next = plan->next;
        free_plan(&dnn->api, plan);
    }
    if (dnn->handle)
        dnn->api.cudnnDestroy(dnn->handle);
    dnn->handle = NULL;
    dnn->plans = NULL;
}
