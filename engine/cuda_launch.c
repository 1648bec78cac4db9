/* Kernels on CUDA: cubins compiled once and loaded, functions found by their text, launches, and recordings of them. */
#include "cuda_device.h"
#include "shim.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MAX_PARAMETERS = 64, MAX_MAPS = 4 };

/* ---- kernels ---------------------------------------------------------------------------------------------------- */

/* Whether `key` is these parts, a line each. Looked up on every launch, so nothing is allocated. */
static bool key_is(const char *key, const char *const *parts, int count)
{
    for (int i = 0; i < count; i++) {
        const size_t length = strlen(parts[i]);
        if (strncmp(key, parts[i], length) != 0 || key[length] != (i + 1 < count ? '\n' : '\0'))
            return false;
        key += length + 1;
    }
    return true;
}

static char *make_key(const char *const *parts, int count)
{
    size_t length = 0, used = 0;
    for (int i = 0; i < count; i++)
        length += strlen(parts[i]) + 1;
    char *key = calo_alloc(length, 1);
    for (int i = 0; key && i < count; i++)
        used += (size_t)snprintf(key + used, length - used, "%s%s", i ? "\n" : "", parts[i]);
    return key;
}

/* Compiles, or finds in the cache, and loads; a cached cubin that the driver refuses is compiled again. */
static calo_status load(calo_cuda_device *d, const calo_kernel_key *key, cu_module *module, calo_fault *fault)
{
    cu_result code = 0;
    for (int fresh = 0; fresh < 2; fresh++) {
        void *cubin;
        size_t size;
        calo_status status = calo_cuda_compile(&d->compiler, key, d->architecture, fresh, &cubin, &size, NULL, fault);
        if (status)
            return status;
        code = d->cu.cuModuleLoadData(module, cubin);
        calo_free(cubin);
        if (!code)
            return CALO_OK;
        if (code != CU_INVALID_IMAGE && code != CU_NO_BINARY)
            break;
    }
    return calo_cuda_fail(d, fault, code, key->source_name);
}

static calo_status find_module(calo_cuda_device *d, const calo_kernel_key *key, cu_module *module, calo_fault *fault)
{
    const char *parts[] = { key->source_name, key->options };
    for (calo_cuda_module *m = d->modules; m; m = m->next)
        if (key_is(m->key, parts, 2)) {
            *module = m->module;
            return CALO_OK;
        }
    calo_cuda_module *made = calo_alloc(1, sizeof *made);
    char *name = make_key(parts, 2);
    calo_status status = made && name ? load(d, key, &made->module, fault)
                                      : calo_fail(fault, CALO_EMEMORY, "no host memory for kernel %s", key->entry);
    if (status) {
        calo_free(made);
        calo_free(name);
        return status;
    }
    made->key = name;
    made->next = d->modules;
    d->modules = made;
    *module = made->module;
    return CALO_OK;
}

calo_status calo_cuda_kernel(calo_device *device, const calo_kernel_key *key, calo_kernel **kernel, calo_fault *fault)
{
    calo_cuda_device *d = (calo_cuda_device *)device;
    const char *parts[] = { key->entry, key->source_name, key->options };
    cu_module module;
    *kernel = NULL;
    for (calo_kernel *k = d->kernels; k; k = k->next)
        if (key_is(k->key, parts, 3)) {
            *kernel = k;
            return CALO_OK;
        }
    calo_status status = calo_cuda_enter(d, fault);
    if (!status)
        status = find_module(d, key, &module, fault);
    if (status)
        return status;
    calo_kernel *made = calo_alloc(1, sizeof *made);
    char *name = make_key(parts, 3), *entry = calo_copy_string(key->entry);
    if (made && name && entry) {
        const cu_result code = d->cu.cuModuleGetFunction(&made->function, module, key->entry);
        status = code ? calo_cuda_fail(d, fault, code, key->entry) : CALO_OK;
    } else {
        status = calo_fail(fault, CALO_EMEMORY, "no host memory for kernel %s", key->entry);
    }
    if (status) {
        calo_free(made);
        calo_free(name);
        calo_free(entry);
        return status;
    }
    made->key = name;
    made->name = entry;
    made->next = d->kernels;
    d->kernels = made;
    *kernel = made;
    return CALO_OK;
}

void calo_cuda_forget_kernels(calo_cuda_device *d)
{
    for (calo_kernel *kernel = d->kernels, *next; kernel; kernel = next) {
        next = kernel->next;
        calo_free(kernel->key);
        calo_free(kernel->name);
        calo_free(kernel);
    }
    for (calo_cuda_module *module = d->modules, *next; module; module = next) {
        next = module->next;
        d->cu.cuModuleUnload(module->module);
        calo_free(module->key);
        calo_free(module);
    }
}

/* Memory of a block beyond 48 KiB has to be asked for. */
static cu_result allow_shared(calo_cuda_device *d, calo_kernel *kernel, size_t bytes)
{
    if ((int)bytes <= kernel->dynamic_shared || bytes <= 48 << 10)
        return 0;
    kernel->dynamic_shared = (int)bytes;
    return d->cu.cuFuncSetAttribute(kernel->function, CU_FUNCTION_MAX_DYNAMIC_SHARED, (int)bytes);
}

/* A tensor map as the kernel takes it, 128 bytes. */
static cu_result encode_map(const calo_cuda_device *d, const calo_argument *a, void *to)
{
    const calo_map *m = &a->value.map;
    const int type = m->type == CALO_F16 ? CU_MAP_F16 : CU_MAP_BF16;
    const cu_pointer base = a->buffer->memory + m->offset;
    const unsigned rank = (unsigned)m->rank, steps[] = { 1, m->step, m->step, 1 }, ones[] = { 1, 1, 1, 1 };
    return m->im2col
               ? d->cu.cuTensorMapEncodeIm2col(to, type, rank, base, m->dims, m->strides + 1, m->lower, m->upper,
                                               m->box[0], m->box[1], steps, 0, CU_MAP_SWIZZLE_128, CU_MAP_L2_256, 0)
               : d->cu.cuTensorMapEncodeTiled(to, type, rank, base, m->dims, m->strides + 1, m->box, ones, 0,
                                              CU_MAP_SWIZZLE_128, CU_MAP_L2_256, 0);
}

calo_status calo_cuda_launch(calo_device *device, calo_kernel *kernel, const calo_argument *arguments, int count,
                               const size_t global[3], const size_t local[3], calo_fault *fault)
{
    calo_cuda_device *d = (calo_cuda_device *)device;
    void *parameters[MAX_PARAMETERS];
    cu_pointer addresses[MAX_PARAMETERS];
    _Alignas(64) unsigned char maps[MAX_MAPS][128];
    size_t shared = 0;
    int used = 0, mapped = 0;
    calo_status status = calo_cuda_enter(d, fault);
    if (status)
        return status;
    for (int i = 0; i < count && used < MAX_PARAMETERS; i++) {
        const calo_argument *a = &arguments[i];
        if (a->kind == CALO_ARG_LOCAL) {
            shared += a->size;
            continue;
        }
        if (a->kind == CALO_ARG_MAP && mapped < MAX_MAPS) {
            const cu_result code = encode_map(d, a, maps[mapped]);
            if (code)
                return calo_cuda_fail(d, fault, code, "describing a tensor");
            parameters[used++] = maps[mapped++];
            continue;
        }
        addresses[used] = a->kind == CALO_ARG_BUFFER && a->buffer ? a->buffer->memory : 0;
        parameters[used] = a->kind == CALO_ARG_BUFFER ? (void *)&addresses[used] : (void *)&a->value;
        used++;
    }
    cu_launch_config config = { .shared_bytes = (unsigned)shared, .stream = d->stream };
    for (int i = 0; i < 3; i++) {
        if (!local[i] || global[i] % local[i] || global[i] / local[i] > (i ? CALO_CUDA_GRID : INT32_MAX))
            return calo_fail(fault, CALO_EUSAGE, "CUDA: %s: %zu threads in blocks of %zu along axis %d", kernel->name,
                             global[i], local[i], i);
        config.block[i] = (unsigned)local[i];
        config.grid[i] = (unsigned)(global[i] / local[i]);
    }
    cu_result code = allow_shared(d, kernel, shared);
    if (!code)
        code = d->cu.cuLaunchKernelEx(&config, kernel->function, parameters, NULL);
    return code ? calo_cuda_fail(d, fault, code, kernel->name) : CALO_OK;
}

/* ---- recording -------------------------------------------------------------------------------------------------- */

struct calo_graph {
    cu_graph_exec exec;
};

calo_status calo_cuda_capture(calo_device *device, calo_fault *fault)
{
    calo_cuda_device *d = (calo_cuda_device *)device;
    calo_status status = calo_cuda_enter(d, fault);
    if (status)
        return status;
    const cu_result code = d->cu.cuStreamBeginCapture_v2(d->stream, CU_CAPTURE_THREAD_LOCAL);
    return code ? calo_cuda_fail(d, fault, code, "recording a step") : CALO_OK;
}

calo_status calo_cuda_end_capture(calo_device *device, calo_graph **graph, calo_fault *fault)
{
    calo_cuda_device *d = (calo_cuda_device *)device;
    cu_graph recorded = NULL;
    calo_graph *made = calo_alloc(1, sizeof *made);
    *graph = NULL;
    d->cu.cuCtxSetCurrent(d->context); /* whatever happened, the recording has to end */
    cu_result code = d->cu.cuStreamEndCapture(d->stream, &recorded);
    if (!made)
        calo_fail(fault, CALO_EMEMORY, "no host memory for a recorded step");
    else if (!code && !fault->status)
        code = d->cu.cuGraphInstantiateWithFlags(&made->exec, recorded, 0);
    if (recorded)
        d->cu.cuGraphDestroy(recorded);
    if (code)
        calo_cuda_fail(d, fault, code, "recording a step");
    if (fault->status)
        calo_free(made);
    else
        *graph = made;
    return fault->status;
}

calo_status calo_cuda_replay(calo_device *device, calo_graph *graph, calo_fault *fault)
{
    calo_cuda_device *d = (calo_cuda_device *)device;
    calo_status status = calo_cuda_enter(d, fault);
    if (status)
        return status;
    const cu_result code = d->cu.cuGraphLaunch(graph->exec, d->stream);
    return code ? calo_cuda_fail(d, fault, code, "a recorded step") : CALO_OK;
}

void calo_cuda_release_graph(calo_device *device, calo_graph *graph)
{
    calo_cuda_device *d = (calo_cuda_device *)device;
    d->cu.cuCtxSetCurrent(d->context);
    d->cu.cuStreamSynchronize(d->stream);
    d->cu.cuGraphExecDestroy(graph->exec);
    calo_free(graph);
}
