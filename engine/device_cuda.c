/* The CUDA backend, over the driver API: the device's primary context, one stream, cubins compiled once and kept by their
   text. Writes go through two pinned blocks, so that copying into one runs beside the transfer of the other.

   A fault of a kernel (a wrong address, say) leaves the context unusable: the driver then gives the same error to every
   call, and so does this device, with the sentence of the first one. */
#include "cuda_api.h"
#include "cuda_compile.h"
#include "device.h"
#include "kernel_cache.h"
#include "shim.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MAX_PARAMETERS = 64, MAX_MAPS = 4, STAGES = 2, STAGE_BYTES = 4 << 20, DIRECT_BYTES = 64 << 10 };

struct calo_buffer {
    cu_pointer memory;
    uint64_t bytes;
};

struct calo_kernel {
    calo_kernel *next;
    char *key; /* source name, options, entry */
    cu_module module;
    cu_function function;
    char *name;
    int dynamic_shared; /* bytes that the function was last allowed */
};

typedef struct stage {
    void *memory; /* pinned */
    cu_event done; /* the transfer that last read it */
    bool used;
} stage;

typedef struct cuda_device {
    calo_device base;
    calo_cuda_api cu;
    calo_cuda_compiler compiler;
    cu_device id;
    cu_context context;
    cu_stream stream;
    char architecture[16];
    calo_kernel *kernels;
    stage stages[STAGES];
    int next_stage;
    char poison[CALO_FAULT_TEXT]; /* what broke the context, "" while it is sound */
} cuda_device;

static const char *error_name(const calo_cuda_api *cu, cu_result code)
{
    const char *name = NULL;
    return cu->cuGetErrorName(code, &name) == 0 && name ? name : "an error without a name";
}

/* 700 to 720 but for 701 (too many resources for one launch): the context is lost. */
static bool is_sticky(cu_result code)
{
    return code >= 700 && code <= 720 && code != 701;
}

static calo_status cuda_fail(cuda_device *d, calo_fault *fault, cu_result code, const char *what)
{
    if (is_sticky(code) && !d->poison[0])
        snprintf(d->poison, sizeof d->poison, "%s failed with %s", what, error_name(&d->cu, code));
    return calo_fail(fault, code == CU_OUT_OF_MEMORY ? CALO_EMEMORY : CALO_EDEVICE, "CUDA: %s failed: %s (%d)", what,
                     error_name(&d->cu, code), code);
}

/* Every call begins here: the context is sound, and the calling thread's. */
static calo_status enter(cuda_device *d, calo_fault *fault)
{
    if (d->poison[0])
        return calo_fail(fault, CALO_EDEVICE, "CUDA: the context was lost when %s; close it and open another",
                         d->poison);
    const cu_result code = d->cu.cuCtxSetCurrent(d->context);
    return code ? cuda_fail(d, fault, code, "taking the context") : CALO_OK;
}

/* ---- finding devices -------------------------------------------------------------------------------------------- */

static int attribute(const calo_cuda_api *cu, cu_device id, int which)
{
    int value = 0;
    return cu->cuDeviceGetAttribute(&value, which, id) == 0 ? value : 0;
}

static void describe(const calo_cuda_api *cu, cu_device id, int index, calo_device_info *info)
{
    size_t memory = 0;
    int version = 0;
    memset(info, 0, sizeof *info);
    cu->cuDeviceTotalMem_v2(&memory, id);
    cu->cuDriverGetVersion(&version);
    info->backend = CALO_CUDA;
    info->class = CALO_GPU_CLASS;
    info->index = index;
    info->capability = 10 * attribute(cu, id, CU_ATTRIBUTE_MAJOR) + attribute(cu, id, CU_ATTRIBUTE_MINOR);
    info->compute_units = attribute(cu, id, CU_ATTRIBUTE_UNITS);
    info->memory = info->max_allocation = memory;
    info->local_memory = (uint64_t)attribute(cu, id, CU_ATTRIBUTE_SHARED_OPT_IN);
    info->max_work_group = attribute(cu, id, CU_ATTRIBUTE_BLOCK_THREADS);
    info->base_alignment = 256;
    if (cu->cuDeviceGetName(info->name, sizeof info->name, id))
        snprintf(info->name, sizeof info->name, "a CUDA device");
    snprintf(info->driver, sizeof info->driver, "CUDA %d.%d, sm_%d", version / 1000, version % 1000 / 10,
             info->capability);
}

/* Loads the driver and counts its devices. */
static calo_status find(calo_cuda_api *cu, int *count, calo_fault *fault)
{
    calo_status status = calo_cuda_load(cu, fault);
    if (status)
        return status;
    cu_result code = cu->cuInit(0);
    if (!code)
        code = cu->cuDeviceGetCount(count);
    if (code == CU_NO_DEVICE || (!code && *count == 0))
        return calo_fail(fault, CALO_EDEVICE, "CUDA is installed but finds no device");
    if (code)
        return calo_fail(fault, CALO_EDEVICE, "CUDA does not start: %s (%d)", error_name(cu, code), code);
    return CALO_OK;
}

calo_status calo_cuda_list(calo_device_info *list, int capacity, int *count, calo_fault *fault)
{
    calo_cuda_api cu;
    *count = 0;
    calo_status status = find(&cu, count, fault);
    if (status)
        *count = 0;
    for (int i = 0; i < *count && i < capacity; i++) {
        cu_device id;
        if (cu.cuDeviceGet(&id, i))
            memset(&list[i], 0, sizeof list[i]);
        else
            describe(&cu, id, i, &list[i]);
    }
    return status;
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

static calo_status cuda_allocate(calo_device *device, uint64_t bytes, calo_buffer **buffer, calo_fault *fault)
{
    cuda_device *d = (cuda_device *)device;
    size_t available = 0, total = 0;
    *buffer = NULL;
    calo_status status = enter(d, fault);
    if (status)
        return status;
    calo_buffer *made = calo_alloc(1, sizeof *made);
    if (!made)
        return calo_fail(fault, CALO_EMEMORY, "no host memory for a buffer's record");
    const cu_result code = d->cu.cuMemAlloc_v2(&made->memory, (size_t)bytes);
    if (code) {
        calo_free(made);
        if (code != CU_OUT_OF_MEMORY)
            return cuda_fail(d, fault, code, "allocating memory");
        d->cu.cuMemGetInfo_v2(&available, &total);
        return calo_fail(fault, CALO_EMEMORY,
                         "%s: %" PRIu64 " bytes are needed in one piece; %zu of %zu are free, %" PRIu64 " are calotype's",
                         d->base.info.name, bytes, available, total, d->base.allocated);
    }
    made->bytes = bytes;
    d->base.allocated += bytes;
    if (d->base.allocated > d->base.peak_allocated)
        d->base.peak_allocated = d->base.allocated;
    *buffer = made;
    return CALO_OK;
}

static void cuda_release(calo_device *device, calo_buffer *buffer)
{
    cuda_device *d = (cuda_device *)device;
    if (!buffer)
        return;
    d->base.allocated -= buffer->bytes;
    d->cu.cuCtxSetCurrent(d->context);
    d->cu.cuMemFree_v2(buffer->memory); /* waits for the kernels that use it */
    calo_free(buffer);
}

/* The next pinned block, free to be written. */
static cu_result next_stage(cuda_device *d, stage **taken)
{
    stage *s = &d->stages[d->next_stage];
    cu_result code = 0;
    if (!s->memory)
        code = d->cu.cuMemHostAlloc(&s->memory, STAGE_BYTES, 0);
    if (!code && !s->done)
        code = d->cu.cuEventCreate(&s->done, CU_EVENT_DISABLE_TIMING);
    if (!code && s->used)
        code = d->cu.cuEventSynchronize(s->done);
    d->next_stage = (d->next_stage + 1) % STAGES;
    *taken = s;
    return code;
}

static calo_status cuda_write(calo_device *device, calo_buffer *buffer, uint64_t offset, const void *from,
                              uint64_t bytes, calo_fault *fault)
{
    cuda_device *d = (cuda_device *)device;
    const char *at = from;
    calo_status status = enter(d, fault);
    cu_pointer to = buffer->memory + offset;
    for (uint64_t part; !status && bytes; bytes -= part, at += part, to += part) {
        stage *s;
        part = bytes < STAGE_BYTES ? bytes : STAGE_BYTES;
        cu_result code = next_stage(d, &s);
        if (!code) {
            memcpy(s->memory, at, (size_t)part);
            code = d->cu.cuMemcpyHtoDAsync_v2(to, s->memory, (size_t)part, d->stream);
        }
        if (!code)
            code = d->cu.cuEventRecord(s->done, d->stream);
        if (code)
            status = cuda_fail(d, fault, code, "a write to the device");
        s->used = !code;
    }
    return status;
}

static calo_status cuda_read(calo_device *device, const calo_buffer *buffer, uint64_t offset, void *to, uint64_t bytes,
                             calo_fault *fault)
{
    cuda_device *d = (cuda_device *)device;
    calo_status status = enter(d, fault);
    if (status)
        return status;
    cu_result code = d->cu.cuMemcpyDtoHAsync_v2(to, buffer->memory + offset, (size_t)bytes, d->stream);
    if (!code)
        code = d->cu.cuStreamSynchronize(d->stream);
    return code ? cuda_fail(d, fault, code, "a read from the device") : CALO_OK;
}

static calo_status cuda_map(calo_device *device, calo_buffer *buffer, void **pointer, calo_fault *fault)
{
    (void)buffer;
    *pointer = NULL;
    return enter((cuda_device *)device, fault);
}

static calo_status cuda_unmap(calo_device *device, calo_buffer *buffer, void *pointer, calo_fault *fault)
{
    (void)buffer;
    (void)pointer;
    return enter((cuda_device *)device, fault);
}

/* ---- kernels ---------------------------------------------------------------------------------------------------- */

/* Whether `key` is source name, options and entry, a line each. Looked up on every launch, so nothing is allocated. */
static bool key_is(const char *key, const calo_kernel_key *wanted)
{
    const char *parts[] = { wanted->entry, wanted->source_name, wanted->options };
    for (int i = 0; i < 3; i++) {
        const size_t length = strlen(parts[i]);
        if (strncmp(key, parts[i], length) != 0 || key[length] != (i < 2 ? '\n' : '\0'))
            return false;
        key += length + 1;
    }
    return true;
}

/* Compiles, or finds in the cache, and loads; a cached cubin that the driver refuses is compiled again. */
static calo_status load_module(cuda_device *d, const calo_kernel_key *key, cu_module *module, calo_fault *fault)
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
    return cuda_fail(d, fault, code, key->source_name);
}

static calo_status cuda_kernel(calo_device *device, const calo_kernel_key *key, calo_kernel **kernel, calo_fault *fault)
{
    cuda_device *d = (cuda_device *)device;
    *kernel = NULL;
    for (calo_kernel *k = d->kernels; k; k = k->next)
        if (key_is(k->key, key)) {
            *kernel = k;
            return CALO_OK;
        }
    calo_status status = enter(d, fault);
    if (status)
        return status;
    const size_t length = strlen(key->entry) + strlen(key->source_name) + strlen(key->options) + 3;
    calo_kernel *made = calo_alloc(1, sizeof *made);
    char *name = calo_alloc(length, 1), *entry = calo_copy_string(key->entry);
    if (!made || !name || !entry) {
        status = calo_fail(fault, CALO_EMEMORY, "no host memory for kernel %s", key->entry);
        goto failed;
    }
    snprintf(name, length, "%s\n%s\n%s", key->entry, key->source_name, key->options);
    status = load_module(d, key, &made->module, fault);
    if (status)
        goto failed;
    const cu_result code = d->cu.cuModuleGetFunction(&made->function, made->module, key->entry);
    if (code) {
        status = cuda_fail(d, fault, code, key->entry);
        goto failed;
    }
    made->key = name;
    made->name = entry;
    made->next = d->kernels;
    d->kernels = made;
    *kernel = made;
    return CALO_OK;

failed:
    if (made && made->module)
        d->cu.cuModuleUnload(made->module);
    calo_free(made);
    calo_free(name);
    calo_free(entry);
    return status;
}

/* Memory of a block beyond 48 KiB has to be asked for. */
static cu_result allow_shared(cuda_device *d, calo_kernel *kernel, size_t bytes)
{
    if ((int)bytes <= kernel->dynamic_shared || bytes <= 48 << 10)
        return 0;
    kernel->dynamic_shared = (int)bytes;
    return d->cu.cuFuncSetAttribute(kernel->function, CU_FUNCTION_MAX_DYNAMIC_SHARED, (int)bytes);
}

/* A tensor map as the kernel takes it, 128 bytes. */
static cu_result encode_map(const cuda_device *d, const calo_argument *a, void *to)
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

static calo_status cuda_launch(calo_device *device, calo_kernel *kernel, const calo_argument *arguments, int count,
                               const size_t global[3], const size_t local[3], calo_fault *fault)
{
    cuda_device *d = (cuda_device *)device;
    void *parameters[MAX_PARAMETERS];
    cu_pointer addresses[MAX_PARAMETERS];
    _Alignas(64) unsigned char maps[MAX_MAPS][128];
    size_t shared = 0;
    int used = 0, mapped = 0;
    calo_status status = enter(d, fault);
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
                return cuda_fail(d, fault, code, "describing a tensor");
            parameters[used++] = maps[mapped++];
            continue;
        }
        addresses[used] = a->kind == CALO_ARG_BUFFER && a->buffer ? a->buffer->memory : 0;
        parameters[used] = a->kind == CALO_ARG_BUFFER ? (void *)&addresses[used] : (void *)&a->value;
        used++;
    }
    cu_launch_config config = { .shared_bytes = (unsigned)shared, .stream = d->stream };
    for (int i = 0; i < 3; i++) {
        if (!local[i] || global[i] % local[i] || global[i] / local[i] > (i ? 65535 : INT32_MAX))
            return calo_fail(fault, CALO_EUSAGE, "CUDA: %s: %zu threads in blocks of %zu along axis %d", kernel->name,
                             global[i], local[i], i);
        config.block[i] = (unsigned)local[i];
        config.grid[i] = (unsigned)(global[i] / local[i]);
    }
    cu_result code = allow_shared(d, kernel, shared);
    if (!code)
        code = d->cu.cuLaunchKernelEx(&config, kernel->function, parameters, NULL);
    return code ? cuda_fail(d, fault, code, kernel->name) : CALO_OK;
}

static calo_status cuda_finish(calo_device *device, calo_fault *fault)
{
    cuda_device *d = (cuda_device *)device;
    calo_status status = enter(d, fault);
    if (status)
        return status;
    const cu_result code = d->cu.cuStreamSynchronize(d->stream);
    return code ? cuda_fail(d, fault, code, "the work on the device") : CALO_OK;
}

/* ---- recording -------------------------------------------------------------------------------------------------- */

struct calo_graph {
    cu_graph_exec exec;
};

static calo_status cuda_capture(calo_device *device, calo_fault *fault)
{
    cuda_device *d = (cuda_device *)device;
    calo_status status = enter(d, fault);
    if (status)
        return status;
    const cu_result code = d->cu.cuStreamBeginCapture_v2(d->stream, CU_CAPTURE_THREAD_LOCAL);
    return code ? cuda_fail(d, fault, code, "recording a step") : CALO_OK;
}

static calo_status cuda_end_capture(calo_device *device, calo_graph **graph, calo_fault *fault)
{
    cuda_device *d = (cuda_device *)device;
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
        cuda_fail(d, fault, code, "recording a step");
    if (fault->status)
        calo_free(made);
    else
        *graph = made;
    return fault->status;
}

static calo_status cuda_replay(calo_device *device, calo_graph *graph, calo_fault *fault)
{
    cuda_device *d = (cuda_device *)device;
    calo_status status = enter(d, fault);
    if (status)
        return status;
    const cu_result code = d->cu.cuGraphLaunch(graph->exec, d->stream);
    return code ? cuda_fail(d, fault, code, "a recorded step") : CALO_OK;
}

static void cuda_release_graph(calo_device *device, calo_graph *graph)
{
    cuda_device *d = (cuda_device *)device;
    d->cu.cuCtxSetCurrent(d->context);
    d->cu.cuStreamSynchronize(d->stream);
    d->cu.cuGraphExecDestroy(graph->exec);
    calo_free(graph);
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static void cuda_close(calo_device *device)
{
    cuda_device *d = (cuda_device *)device;
    if (d->context) {
        d->cu.cuCtxSetCurrent(d->context);
        if (d->stream)
            d->cu.cuStreamSynchronize(d->stream);
    }
    for (calo_kernel *kernel = d->kernels, *next; kernel; kernel = next) {
        next = kernel->next;
        d->cu.cuModuleUnload(kernel->module);
        calo_free(kernel->key);
        calo_free(kernel->name);
        calo_free(kernel);
    }
    for (int i = 0; i < STAGES; i++) {
        if (d->stages[i].done)
            d->cu.cuEventDestroy_v2(d->stages[i].done);
        if (d->stages[i].memory)
            d->cu.cuMemFreeHost(d->stages[i].memory);
    }
    if (d->stream)
        d->cu.cuStreamDestroy_v2(d->stream);
    if (d->context)
        d->cu.cuDevicePrimaryCtxRelease_v2(d->id);
    calo_free(d);
}

static const calo_device_api cuda_functions = {
    .close = cuda_close,
    .allocate = cuda_allocate,
    .release = cuda_release,
    .write = cuda_write,
    .read = cuda_read,
    .map = cuda_map,
    .unmap = cuda_unmap,
    .kernel = cuda_kernel,
    .launch = cuda_launch,
    .finish = cuda_finish,
    .capture = cuda_capture,
    .end_capture = cuda_end_capture,
    .replay = cuda_replay,
    .release_graph = cuda_release_graph,
};

calo_status calo_cuda_open(int index, calo_device **device, calo_fault *fault)
{
    int count = 0, version = 0;
    *device = NULL;
    cuda_device *d = calo_alloc(1, sizeof *d);
    if (!d)
        return calo_fail(fault, CALO_EMEMORY, "no host memory to open a device");
    d->base.api = &cuda_functions;
    calo_status status = find(&d->cu, &count, fault);
    if (status)
        goto failed;
    const int chosen = index < 0 ? 0 : index;
    if (chosen >= count) {
        status = calo_fail(fault, CALO_EDEVICE, "there is no device cuda:%d: CUDA offers %d device%s here", chosen, count,
                           count == 1 ? "" : "s");
        goto failed;
    }
    cu_result code = d->cu.cuDeviceGet(&d->id, chosen);
    if (!code)
        code = d->cu.cuDriverGetVersion(&version);
    if (!code) {
        describe(&d->cu, d->id, chosen, &d->base.info);
        code = d->cu.cuDevicePrimaryCtxRetain(&d->context, d->id);
    }
    if (!code)
        code = d->cu.cuCtxSetCurrent(d->context);
    if (!code)
        code = d->cu.cuStreamCreate(&d->stream, CU_STREAM_NON_BLOCKING);
    if (code) {
        status = cuda_fail(d, fault, code, "opening the device");
        goto failed;
    }
    if (d->base.info.capability < 80) {
        status = calo_fail(fault, CALO_EDEVICE, "%s is sm_%d; calotype's kernels need sm_80 (Ampere) or newer",
                           d->base.info.name, d->base.info.capability);
        goto failed;
    }
    calo_cuda_architecture(d->base.info.capability, d->architecture);
    d->compiler.driver_major = version / 1000;
    calo_kernel_cache_folder(d->compiler.folder, sizeof d->compiler.folder);
    *device = &d->base;
    return CALO_OK;

failed:
    cuda_close(&d->base);
    return status;
}
