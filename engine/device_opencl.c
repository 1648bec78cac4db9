/* The OpenCL backend: one context and one in-order queue per device, programs compiled once and kept by their text. */
#include "device.h"
#include "opencl_api.h"
#include "shim.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAX_DEVICES 32

struct calo_buffer {
    cl_mem memory;
    uint64_t bytes;
};

struct calo_kernel {
    calo_kernel *next;
    char *key; /* source name, options, entry */
    cl_kernel kernel;
    char *name;
};

/* A compiled source; its kernels share it. */
typedef struct program {
    struct program *next;
    char *key; /* source name, options */
    cl_program program;
} program;

typedef struct opencl_device {
    calo_device base;
    calo_opencl_api cl;
    cl_device_id id;
    cl_context context;
    cl_command_queue queue;
    program *programs;
    calo_kernel *kernels;
} opencl_device;

static calo_status opencl_fail(calo_fault *fault, cl_int code, const char *what)
{
    calo_status status = code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_HOST_MEMORY ? CALO_EMEMORY
                                                                                                  : CALO_EDEVICE;
    return calo_fail(fault, status, "OpenCL: %s failed: %s (%d)", what, calo_opencl_error(code), (int)code);
}

/* ---- finding devices -------------------------------------------------------------------------------------------- */

static void get_text(const calo_opencl_api *cl, cl_device_id id, cl_device_info what, char *text, size_t size)
{
    char full[1024] = "";
    cl->clGetDeviceInfo(id, what, sizeof full - 1, full, NULL);
    snprintf(text, size, "%.*s", (int)size - 1, full);
}

static void describe(const calo_opencl_api *cl, cl_device_id id, int index, calo_device_info *info)
{
    cl_ulong memory = 0, allocation = 0, local = 0;
    cl_uint units = 0, align_bits = 0;
    cl_device_type type = 0;
    size_t group = 0;
    cl->clGetDeviceInfo(id, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof memory, &memory, NULL);
    cl->clGetDeviceInfo(id, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof allocation, &allocation, NULL);
    cl->clGetDeviceInfo(id, CL_DEVICE_LOCAL_MEM_SIZE, sizeof local, &local, NULL);
    cl->clGetDeviceInfo(id, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units, NULL);
    cl->clGetDeviceInfo(id, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof align_bits, &align_bits, NULL);
    cl->clGetDeviceInfo(id, CL_DEVICE_TYPE, sizeof type, &type, NULL);
    cl->clGetDeviceInfo(id, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof group, &group, NULL);
    memset(info, 0, sizeof *info);
    info->backend = CALO_OPENCL;
    info->class = type & CL_DEVICE_TYPE_CPU ? CALO_CPU_CLASS : CALO_GPU_CLASS;
    info->index = index;
    info->compute_units = (int)units;
    info->memory = memory;
    info->max_allocation = allocation;
    info->local_memory = local;
    info->max_work_group = (int)group;
    info->base_alignment = align_bits >= 512 ? (int)(align_bits / 8) : 64;
    get_text(cl, id, CL_DEVICE_NAME, info->name, sizeof info->name);
    get_text(cl, id, CL_DRIVER_VERSION, info->driver, sizeof info->driver);
}

static int find_devices(const calo_opencl_api *cl, cl_device_id *ids)
{
    cl_platform_id platforms[16];
    cl_uint platform_count = 0;
    int count = 0;
    if (cl->clGetPlatformIDs(16, platforms, &platform_count) != CL_SUCCESS)
        return 0;
    for (cl_uint i = 0; i < platform_count && i < 16; i++) {
        cl_uint found = 0;
        cl_uint room = (cl_uint)(MAX_DEVICES - count);
        if (room && cl->clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, room, ids + count, &found) == CL_SUCCESS)
            count += (int)(found < room ? found : room);
    }
    return count;
}

calo_status calo_opencl_list(calo_device_info *list, int capacity, int *count, calo_fault *fault)
{
    calo_opencl_api cl;
    *count = 0;
    if (calo_opencl_load(&cl, fault))
        return CALO_EDEVICE;
    cl_device_id ids[MAX_DEVICES];
    *count = find_devices(&cl, ids);
    if (*count == 0)
        return calo_fail(fault, CALO_EDEVICE,
                         "OpenCL is installed but offers no device; on Debian: apt-get install pocl-opencl-icd");
    for (int i = 0; i < *count && i < capacity; i++)
        describe(&cl, ids[i], i, &list[i]);
    return CALO_OK;
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static void opencl_close(calo_device *device)
{
    opencl_device *d = (opencl_device *)device;
    if (d->queue)
        d->cl.clFinish(d->queue);
    for (calo_kernel *kernel = d->kernels, *next; kernel; kernel = next) {
        next = kernel->next;
        d->cl.clReleaseKernel(kernel->kernel);
        calo_free(kernel->key);
        calo_free(kernel->name);
        calo_free(kernel);
    }
    for (program *p = d->programs, *next; p; p = next) {
        next = p->next;
        d->cl.clReleaseProgram(p->program);
        calo_free(p->key);
        calo_free(p);
    }
    if (d->queue)
        d->cl.clReleaseCommandQueue(d->queue);
    if (d->context)
        d->cl.clReleaseContext(d->context);
    calo_free(d);
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

static calo_status opencl_allocate(calo_device *device, uint64_t bytes, calo_buffer **buffer, calo_fault *fault)
{
    opencl_device *d = (opencl_device *)device;
    cl_int code;
    calo_buffer *made = calo_alloc(1, sizeof *made);
    *buffer = NULL;
    if (!made)
        return calo_fail(fault, CALO_EMEMORY, "no host memory for a buffer's record");
    made->bytes = bytes;
    made->memory = d->cl.clCreateBuffer(d->context, CL_MEM_READ_WRITE, (size_t)bytes, NULL, &code);
    if (!made->memory) {
        calo_free(made);
        return calo_fail(fault, CALO_EMEMORY,
                         "%s: cannot allocate %" PRIu64 " bytes (%" PRIu64 " in use, %" PRIu64 " in all): %s",
                         d->base.info.name, bytes, d->base.allocated, d->base.info.memory, calo_opencl_error(code));
    }
    d->base.allocated += bytes;
    if (d->base.allocated > d->base.peak_allocated)
        d->base.peak_allocated = d->base.allocated;
    *buffer = made;
    return CALO_OK;
}

static void opencl_release(calo_device *device, calo_buffer *buffer)
{
    opencl_device *d = (opencl_device *)device;
    if (!buffer)
        return;
    d->base.allocated -= buffer->bytes;
    d->cl.clReleaseMemObject(buffer->memory);
    calo_free(buffer);
}

static calo_status opencl_write(calo_device *device, calo_buffer *buffer, uint64_t offset, const void *from,
                                uint64_t bytes, calo_fault *fault)
{
    opencl_device *d = (opencl_device *)device;
    cl_int code = d->cl.clEnqueueWriteBuffer(d->queue, buffer->memory, CL_TRUE, (size_t)offset, (size_t)bytes, from, 0,
                                             NULL, NULL);
    return code ? opencl_fail(fault, code, "a write to the device") : CALO_OK;
}

static calo_status opencl_read(calo_device *device, const calo_buffer *buffer, uint64_t offset, void *to,
                               uint64_t bytes, calo_fault *fault)
{
    opencl_device *d = (opencl_device *)device;
    cl_int code = d->cl.clEnqueueReadBuffer(d->queue, buffer->memory, CL_TRUE, (size_t)offset, (size_t)bytes, to, 0,
                                            NULL, NULL);
    return code ? opencl_fail(fault, code, "a read from the device") : CALO_OK;
}

static calo_status opencl_map(calo_device *device, calo_buffer *buffer, void **pointer, calo_fault *fault)
{
    opencl_device *d = (opencl_device *)device;
    cl_int code = CL_SUCCESS;
    *pointer = NULL;
    if (d->base.info.class != CALO_CPU_CLASS)
        return CALO_OK;
    *pointer = d->cl.clEnqueueMapBuffer(d->queue, buffer->memory, CL_TRUE, CL_MAP_WRITE, 0, (size_t)buffer->bytes, 0,
                                        NULL, NULL, &code);
    return code ? opencl_fail(fault, code, "mapping a buffer") : CALO_OK;
}

static calo_status opencl_unmap(calo_device *device, calo_buffer *buffer, void *pointer, calo_fault *fault)
{
    opencl_device *d = (opencl_device *)device;
    cl_int code = d->cl.clEnqueueUnmapMemObject(d->queue, buffer->memory, pointer, 0, NULL, NULL);
    return code ? opencl_fail(fault, code, "unmapping a buffer") : CALO_OK;
}

/* ---- kernels ---------------------------------------------------------------------------------------------------- */

/* The compiler's first line that says "error", for the sentence; the rest is of no use without the source. */
static void build_error(opencl_device *d, cl_program compiled, const calo_kernel_key *key, calo_fault *fault)
{
    size_t size = 0;
    d->cl.clGetProgramBuildInfo(compiled, d->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size);
    char *log = size ? calo_alloc(size + 1, 1) : NULL;
    const char *line = "no log";
    if (log) {
        d->cl.clGetProgramBuildInfo(compiled, d->id, CL_PROGRAM_BUILD_LOG, size, log, NULL);
        const char *found = strstr(log, "error");
        line = found ? found : log;
    }
    calo_fail(fault, CALO_EDEVICE, "%s does not compile on %s with %s: %.*s", key->source_name, d->base.info.name,
              key->options, (int)strcspn(line, "\n"), line);
    calo_free(log);
}

/* Whether `key` is what join_key made of a, b and c. Looked up on every launch, so nothing is allocated. */
static bool key_is(const char *key, const char *a, const char *b, const char *c)
{
    const char *parts[] = { a, b, c };
    for (int i = 0; i < 3; i++) {
        size_t length = strlen(parts[i]);
        if (strncmp(key, parts[i], length) != 0 || key[length] != (i < 2 ? '\n' : '\0'))
            return false;
        key += length + 1;
    }
    return true;
}

static char *join_key(const char *a, const char *b, const char *c)
{
    size_t size = strlen(a) + strlen(b) + strlen(c) + 3;
    char *key = calo_alloc(size, 1);
    if (key)
        snprintf(key, size, "%s\n%s\n%s", a, b, c);
    return key;
}

static program *find_program(opencl_device *d, const calo_kernel_key *key, calo_fault *fault)
{
    for (program *p = d->programs; p; p = p->next)
        if (key_is(p->key, key->source_name, key->options, ""))
            return p;

    char *name = join_key(key->source_name, key->options, "");
    if (!name) {
        calo_fail(fault, CALO_EMEMORY, "no host memory to compile %s", key->source_name);
        return NULL;
    }
    program *made = calo_alloc(1, sizeof *made);
    cl_int code = CL_OUT_OF_HOST_MEMORY;
    if (made)
        made->program = d->cl.clCreateProgramWithSource(d->context, 1, (const char **)&key->source, NULL, &code);
    if (!made || !made->program) {
        opencl_fail(fault, code, "clCreateProgramWithSource");
        goto failed;
    }
    char options[640];
    snprintf(options, sizeof options, "-cl-std=CL1.2 -w%s", key->options); /* PoCL would count warnings on our standard error */
    code = d->cl.clBuildProgram(made->program, 1, &d->id, options, NULL, NULL);
    if (code) {
        build_error(d, made->program, key, fault);
        d->cl.clReleaseProgram(made->program);
        goto failed;
    }
    made->key = name;
    made->next = d->programs;
    d->programs = made;
    return made;

failed:
    calo_free(made);
    calo_free(name);
    return NULL;
}

static calo_status opencl_kernel(calo_device *device, const calo_kernel_key *key, calo_kernel **kernel,
                                 calo_fault *fault)
{
    opencl_device *d = (opencl_device *)device;
    *kernel = NULL;
    for (calo_kernel *k = d->kernels; k; k = k->next)
        if (key_is(k->key, key->source_name, key->options, key->entry)) {
            *kernel = k;
            return CALO_OK;
        }

    program *p = find_program(d, key, fault);
    if (!p)
        return fault && fault->status ? fault->status : CALO_EDEVICE;
    calo_kernel *made = calo_alloc(1, sizeof *made);
    char *name = join_key(key->source_name, key->options, key->entry);
    char *entry = calo_copy_string(key->entry);
    if (!made || !name || !entry) {
        calo_fail(fault, CALO_EMEMORY, "no host memory for kernel %s", key->entry);
        goto failed;
    }
    cl_int code;
    made->kernel = d->cl.clCreateKernel(p->program, key->entry, &code);
    if (!made->kernel) {
        calo_fail(fault, CALO_EDEVICE, "%s has no usable kernel %s: %s", key->source_name, key->entry,
                  calo_opencl_error(code));
        goto failed;
    }
    made->key = name;
    made->name = entry;
    made->next = d->kernels;
    d->kernels = made;
    *kernel = made;
    return CALO_OK;

failed:
    calo_free(made);
    calo_free(entry);
    calo_free(name);
    return fault && fault->status ? fault->status : CALO_EDEVICE;
}

static cl_int set_argument(opencl_device *d, cl_kernel kernel, cl_uint index, const calo_argument *argument)
{
    switch (argument->kind) {
    case CALO_ARG_BUFFER:
        return d->cl.clSetKernelArg(kernel, index, sizeof(cl_mem),
                                    argument->buffer ? &argument->buffer->memory : NULL);
    case CALO_ARG_VALUE:
        return d->cl.clSetKernelArg(kernel, index, argument->size, &argument->value);
    case CALO_ARG_LOCAL:
        return d->cl.clSetKernelArg(kernel, index, argument->size, NULL);
    case CALO_ARG_MAP: /* CUDA's own */
        break;
    }
    return CL_INVALID_ARG_INDEX;
}

static calo_status opencl_launch(calo_device *device, calo_kernel *kernel, const calo_argument *arguments, int count,
                                 const size_t global[3], const size_t local[3], calo_fault *fault)
{
    opencl_device *d = (opencl_device *)device;
    for (int i = 0; i < count; i++) {
        cl_int code = set_argument(d, kernel->kernel, (cl_uint)i, &arguments[i]);
        if (code)
            return calo_fail(fault, CALO_EDEVICE, "OpenCL: argument %d of %s was refused: %s", i, kernel->name,
                             calo_opencl_error(code));
    }
    cl_int code = d->cl.clEnqueueNDRangeKernel(d->queue, kernel->kernel, 3, NULL, global, local[0] ? local : NULL, 0,
                                               NULL, NULL);
    return code ? opencl_fail(fault, code, kernel->name) : CALO_OK;
}

static calo_status opencl_finish(calo_device *device, calo_fault *fault)
{
    opencl_device *d = (opencl_device *)device;
    cl_int code = d->cl.clFinish(d->queue);
    return code ? opencl_fail(fault, code, "waiting for the device") : CALO_OK;
}

static const calo_device_api opencl_functions = {
    .close = opencl_close,
    .allocate = opencl_allocate,
    .release = opencl_release,
    .write = opencl_write,
    .read = opencl_read,
    .map = opencl_map,
    .unmap = opencl_unmap,
    .kernel = opencl_kernel,
    .launch = opencl_launch,
    .finish = opencl_finish,
};

/* ---- opening ---------------------------------------------------------------------------------------------------- */

/* The first GPU, else the first device. */
static int preferred(const calo_opencl_api *cl, const cl_device_id *ids, int count)
{
    for (int i = 0; i < count; i++) {
        cl_device_type type = 0;
        cl->clGetDeviceInfo(ids[i], CL_DEVICE_TYPE, sizeof type, &type, NULL);
        if (type & CL_DEVICE_TYPE_GPU)
            return i;
    }
    return 0;
}

calo_status calo_opencl_open(int index, calo_device **device, calo_fault *fault)
{
    *device = NULL;
    opencl_device *d = calo_alloc(1, sizeof *d);
    if (!d)
        return calo_fail(fault, CALO_EMEMORY, "no host memory to open a device");
    d->base.api = &opencl_functions;

    calo_status status = calo_opencl_load(&d->cl, fault);
    if (status)
        goto failed;
    cl_device_id ids[MAX_DEVICES];
    int count = find_devices(&d->cl, ids);
    int chosen = index < 0 ? preferred(&d->cl, ids, count) : index;
    if (chosen >= count) {
        status = calo_fail(fault, CALO_EDEVICE, "there is no device opencl:%d: OpenCL offers %d device%s here", chosen,
                           count, count == 1 ? "" : "s");
        goto failed;
    }
    d->id = ids[chosen];
    describe(&d->cl, d->id, chosen, &d->base.info);

    cl_int code;
    d->context = d->cl.clCreateContext(NULL, 1, &d->id, NULL, NULL, &code);
    if (d->context)
        d->queue = d->cl.clCreateCommandQueue(d->context, d->id, 0, &code);
    if (!d->queue) {
        status = opencl_fail(fault, code, "opening the device");
        goto failed;
    }
    *device = &d->base;
    return CALO_OK;

failed:
    opencl_close(&d->base);
    return status;
}
