/* The CUDA backend, over the driver API: the device's primary context and a stream, or the caller's own. Writes go through two pinned blocks, so that copying into one runs beside the transfer of the other.

   A fault of a kernel (a wrong address, say) leaves the context unusable: the driver then gives the same error to every
   call, and so does this device, with the sentence of the first one. */
#include "cuda_device.h"
#include "kernel_cache.h"
#include "shim.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { STAGE_BYTES = 4 << 20 };

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

calo_status calo_cuda_fail(calo_cuda_device *d, calo_fault *fault, cu_result code, const char *what)
{
    if (is_sticky(code) && !d->poison[0])
        snprintf(d->poison, sizeof d->poison, "%s failed with %s", what, error_name(&d->cu, code));
    return calo_fail(fault, code == CU_OUT_OF_MEMORY ? CALO_EMEMORY : CALO_EDEVICE, "CUDA: %s failed: %s (%d)", what,
                     error_name(&d->cu, code), code);
}

calo_status calo_cuda_enter(calo_cuda_device *d, calo_fault *fault)
{
    if (d->poison[0])
        return calo_fail(fault, CALO_EDEVICE, "CUDA: the context was lost when %s; close it and open another",
                         d->poison);
    const cu_result code = d->cu.cuCtxSetCurrent(d->context);
    return code ? calo_cuda_fail(d, fault, code, "taking the context") : CALO_OK;
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
    calo_cuda_device *d = (calo_cuda_device *)device;
    size_t available = 0, total = 0;
    *buffer = NULL;
    calo_status status = calo_cuda_enter(d, fault);
    if (status)
        return status;
    calo_buffer *made = calo_alloc(1, sizeof *made);
    if (!made)
        return calo_fail(fault, CALO_EMEMORY, "no host memory for a buffer's record");
    const cu_result code = d->cu.cuMemAlloc_v2(&made->memory, (size_t)bytes);
    if (code) {
        calo_free(made);
        if (code != CU_OUT_OF_MEMORY)
            return calo_cuda_fail(d, fault, code, "allocating memory");
        d->cu.cuMemGetInfo_v2(&available, &total);
        return calo_fail(fault, CALO_EMEMORY,
                         "%s: %" PRIu64 " bytes are needed in one piece; %zu of %zu are free, %" PRIu64 " are calotype's",
                         d->base.info.name, bytes, available, total, d->base.allocated);
    }
    made->bytes = bytes;
    made->adopted = false;
    d->base.allocated += bytes;
    if (d->base.allocated > d->base.peak_allocated)
        d->base.peak_allocated = d->base.allocated;
    *buffer = made;
    return CALO_OK;
}

static void cuda_release(calo_device *device, calo_buffer *buffer)
{
    calo_cuda_device *d = (calo_cuda_device *)device;
    if (buffer && !buffer->adopted) {
        d->base.allocated -= buffer->bytes;
        d->cu.cuCtxSetCurrent(d->context);
        d->cu.cuMemFree_v2(buffer->memory); /* waits for the kernels that use it */
    }
    calo_free(buffer);
}

static calo_status cuda_adopt(calo_device *device, uint64_t pointer, uint64_t bytes, calo_buffer **buffer,
                              calo_fault *fault)
{
    (void)device;
    *buffer = calo_alloc(1, sizeof **buffer);
    if (!*buffer)
        return calo_fail(fault, CALO_EMEMORY, "no host memory for a buffer's record");
    **buffer = (calo_buffer){ pointer, bytes, true };
    return CALO_OK;
}

static calo_status cuda_free_memory(calo_device *device, uint64_t *bytes, calo_fault *fault)
{
    calo_cuda_device *d = (calo_cuda_device *)device;
    size_t available = 0, total = 0;
    calo_status status = calo_cuda_enter(d, fault);
    if (status)
        return status;
    const cu_result code = d->cu.cuMemGetInfo_v2(&available, &total);
    *bytes = available;
    return code ? calo_cuda_fail(d, fault, code, "asking for its free memory") : CALO_OK;
}

/* The next pinned block, free to be written. */
static cu_result next_stage(calo_cuda_device *d, calo_cuda_stage **taken)
{
    calo_cuda_stage *s = &d->stages[d->next_stage];
    cu_result code = 0;
    if (!s->memory)
        code = d->cu.cuMemHostAlloc(&s->memory, STAGE_BYTES, 0);
    if (!code && !s->done)
        code = d->cu.cuEventCreate(&s->done, CU_EVENT_DISABLE_TIMING);
    if (!code && s->used)
        code = d->cu.cuEventSynchronize(s->done);
    d->next_stage = (d->next_stage + 1) % CALO_CUDA_STAGES;
    *taken = s;
    return code;
}

static calo_status cuda_write(calo_device *device, calo_buffer *buffer, uint64_t offset, const void *from,
                              uint64_t bytes, calo_fault *fault)
{
    calo_cuda_device *d = (calo_cuda_device *)device;
    const char *at = from;
    calo_status status = calo_cuda_enter(d, fault);
    cu_pointer to = buffer->memory + offset;
    for (uint64_t part; !status && bytes; bytes -= part, at += part, to += part) {
        calo_cuda_stage *s;
        part = bytes < STAGE_BYTES ? bytes : STAGE_BYTES;
        cu_result code = next_stage(d, &s);
        if (!code) {
            memcpy(s->memory, at, (size_t)part);
            code = d->cu.cuMemcpyHtoDAsync_v2(to, s->memory, (size_t)part, d->stream);
        }
        if (!code)
            code = d->cu.cuEventRecord(s->done, d->stream);
        if (code)
            status = calo_cuda_fail(d, fault, code, "a write to the device");
        s->used = !code;
    }
    return status;
}

static calo_status cuda_read(calo_device *device, const calo_buffer *buffer, uint64_t offset, void *to, uint64_t bytes,
                             calo_fault *fault)
{
    calo_cuda_device *d = (calo_cuda_device *)device;
    calo_status status = calo_cuda_enter(d, fault);
    if (status)
        return status;
    cu_result code = d->cu.cuMemcpyDtoHAsync_v2(to, buffer->memory + offset, (size_t)bytes, d->stream);
    if (!code)
        code = d->cu.cuStreamSynchronize(d->stream);
    return code ? calo_cuda_fail(d, fault, code, "a read from the device") : CALO_OK;
}

static calo_status cuda_map(calo_device *device, calo_buffer *buffer, void **pointer, calo_fault *fault)
{
    (void)buffer;
    *pointer = NULL;
    return calo_cuda_enter((calo_cuda_device *)device, fault);
}

static calo_status cuda_unmap(calo_device *device, calo_buffer *buffer, void *pointer, calo_fault *fault)
{
    (void)buffer;
    (void)pointer;
    return calo_cuda_enter((calo_cuda_device *)device, fault);
}

static calo_status cuda_finish(calo_device *device, calo_fault *fault)
{
    calo_cuda_device *d = (calo_cuda_device *)device;
    calo_status status = calo_cuda_enter(d, fault);
    if (status)
        return status;
    const cu_result code = d->cu.cuStreamSynchronize(d->stream);
    return code ? calo_cuda_fail(d, fault, code, "the work on the device") : CALO_OK;
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static void cuda_close(calo_device *device)
{
    calo_cuda_device *d = (calo_cuda_device *)device;
    if (d->context) {
        d->cu.cuCtxSetCurrent(d->context);
        if (d->stream)
            d->cu.cuStreamSynchronize(d->stream);
    }
    calo_cuda_forget_kernels(d);
    calo_dnn_close(&d->dnn);
    calo_blas_close(&d->blas);
    for (int i = 0; i < CALO_CUDA_STAGES; i++) {
        if (d->stages[i].done)
            d->cu.cuEventDestroy_v2(d->stages[i].done);
        if (d->stages[i].memory)
            d->cu.cuMemFreeHost(d->stages[i].memory);
    }
    if (d->stream && !d->adopted_stream)
        d->cu.cuStreamDestroy_v2(d->stream);
    if (d->context && !d->adopted_context)
        d->cu.cuDevicePrimaryCtxRelease_v2(d->id);
    calo_free(d);
}

static const calo_device_api cuda_functions = {
    .close = cuda_close,
    .allocate = cuda_allocate,
    .release = cuda_release,
    .adopt = cuda_adopt,
    .free_memory = cuda_free_memory,
    .write = cuda_write,
    .read = cuda_read,
    .map = cuda_map,
    .unmap = cuda_unmap,
    .kernel = calo_cuda_kernel,
    .launch = calo_cuda_launch,
    .finish = cuda_finish,
    .open_vendor = calo_cuda_open_vendor,
    .product = calo_cuda_product,
    .convolve = calo_cuda_convolve,
    .attend = calo_cuda_attend,
    .capture = calo_cuda_capture,
    .end_capture = calo_cuda_end_capture,
    .replay = calo_cuda_replay,
    .release_graph = calo_cuda_release_graph,
};

/* The context and the stream: the caller's where there are any. A context brings its own device. */
static cu_result take_context(calo_cuda_device *d, const calo_adopted *adopted)
{
    cu_result code = 0;
    if (adopted->context) {
        d->context = adopted->context;
        d->adopted_context = true;
    } else {
        code = d->cu.cuDevicePrimaryCtxRetain(&d->context, d->id);
    }
    if (!code)
        code = d->cu.cuCtxSetCurrent(d->context);
    if (code)
        return code;
    if (adopted->stream) {
        d->stream = adopted->stream;
        d->adopted_stream = true;
        return 0;
    }
    return d->cu.cuStreamCreate(&d->stream, CU_STREAM_NON_BLOCKING);
}

/* The device of the caller's context, which has to be `index` where that is given. */
static calo_status device_of_context(calo_cuda_device *d, const calo_adopted *adopted, int *index, calo_fault *fault)
{
    cu_device id = -1;
    cu_result code = d->cu.cuCtxSetCurrent(adopted->context);
    if (!code)
        code = d->cu.cuCtxGetDevice(&id);
    if (code)
        return calo_cuda_fail(d, fault, code, "taking the caller's context");
    if (*index >= 0 && *index != id)
        return calo_fail(fault, CALO_EUSAGE, "the caller's CUDA context belongs to cuda:%d, not to cuda:%d", id, *index);
    *index = id;
    return CALO_OK;
}

calo_status calo_cuda_open(int index, const calo_adopted *adopted, calo_device **device, calo_fault *fault)
{
    int count = 0, version = 0;
    *device = NULL;
    calo_cuda_device *d = calo_alloc(1, sizeof *d);
    if (!d)
        return calo_fail(fault, CALO_EMEMORY, "no host memory to open a device");
    d->base.api = &cuda_functions;
    calo_status status = find(&d->cu, &count, fault);
    if (status)
        goto failed;
    if (adopted->context && device_of_context(d, adopted, &index, fault)) {
        status = fault->status;
        goto failed;
    }
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
        code = take_context(d, adopted);
    }
    if (code) {
        status = calo_cuda_fail(d, fault, code, "opening the device");
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
