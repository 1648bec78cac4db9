/* The emulated driver API. */
#define _GNU_SOURCE
#include "emulated_compiler.h"
#include "emulated_state.h"
#include "emulated_vendor.h"
#include "fibers.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LAUNCH_RESOURCES = 701, LAUNCH_FAILED = 719, MAX_PARAMETERS = 64 };

struct cu_module_record {
    void *library;
    emulated_program program;
};
struct cu_function_record {
    const emulated_entry *entry;
    const emulated_program *program;
    struct cu_function_record *next; /* of all, for the life of the process */
};
struct cu_event_record {
    int unused;
};

typedef struct launch {
    cu_function function;
    emulated_index grid, block;
    size_t dynamic_shared;
    void *parameters[MAX_PARAMETERS];
    int count;
    struct launch *next;
} launch;

struct cu_graph_record {
    launch *first, *last;
};
struct cu_graph_exec_record {
    launch *first;
};

emulator_state emulator = { .total = (size_t)8 << 30 };

cu_result arrive(void)
{
    if (++emulator.calls == emulator.fails_at)
        return emulator.fails_with;
    return emulator.sticky;
}

void *make(size_t size)
{
    void *made = calloc(1, size);
    emulator.objects += made != NULL;
    return made;
}

void unmake(void *object)
{
    emulator.objects -= object != NULL;
    free(object);
}

/* ---- devices ---------------------------------------------------------------------------------------------------- */

static cu_result init(unsigned flags)
{
    ARRIVE();
    return flags ? INVALID_VALUE : SUCCESS;
}

static cu_result driver_version(int *version)
{
    ARRIVE();
    *version = 13000;
    return SUCCESS;
}

static cu_result device_count(int *count)
{
    ARRIVE();
    *count = 1;
    return SUCCESS;
}

static cu_result device_get(cu_device *device, int ordinal)
{
    ARRIVE();
    *device = ordinal;
    return ordinal ? 101 : SUCCESS;
}

static cu_result device_name(char *name, int size, cu_device device)
{
    ARRIVE();
    (void)device;
    snprintf(name, (size_t)size, "emulated");
    return SUCCESS;
}

static cu_result device_attribute(int *value, int attribute, cu_device device)
{
    ARRIVE();
    (void)device;
    const int capability = emulator.capability;
    switch (attribute) {
    case CU_ATTRIBUTE_BLOCK_THREADS: *value = 1024; return SUCCESS;
    case CU_ATTRIBUTE_UNITS: *value = 4; return SUCCESS;
    case CU_ATTRIBUTE_MAJOR: *value = capability / 10; return SUCCESS;
    case CU_ATTRIBUTE_MINOR: *value = capability % 10; return SUCCESS;
    case CU_ATTRIBUTE_SHARED_OPT_IN:
        *value = capability == 80 ? 163 << 10 : capability == 90 || capability == 100 ? 227 << 10 : 99 << 10;
        return SUCCESS;
    default: return INVALID_VALUE;
    }
}

static cu_result total_memory(size_t *bytes, cu_device device)
{
    ARRIVE();
    (void)device;
    *bytes = emulator.total;
    return SUCCESS;
}

static cu_result retain(cu_context *context, cu_device device)
{
    ARRIVE();
    (void)device;
    emulator.objects++;
    emulator.retained++;
    *context = &emulator.context;
    return SUCCESS;
}

static cu_result release(cu_device device)
{
    ARRIVE_RELEASING();
    (void)device;
    emulator.objects--;
    if (--emulator.retained == 0)
        emulator.sticky = SUCCESS; /* the primary context starts anew */
    return early;
}

static cu_result current_device(cu_device *device)
{
    ARRIVE();
    *device = 0;
    return SUCCESS;
}

static cu_result set_current(cu_context context)
{
    ARRIVE();
    (void)context;
    return SUCCESS;
}

/* ---- modules ---------------------------------------------------------------------------------------------------- */

/* A library from memory, through a file that is gone when it is open. Its name has to be new every time: dlopen takes an
   open library's name for that library. */
static void *open_library(const void *bytes, size_t size)
{
    char path[] = "/tmp/calo-emulated-XXXXXX";
    const int file = mkstemp(path);
    void *library = NULL;
    if (file >= 0 && write(file, bytes, size) == (ssize_t)size)
        library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (file >= 0) {
        close(file);
        unlink(path);
    }
    return library;
}

static cu_result module_load(cu_module *module, const void *image)
{
    emulated_image header;
    ARRIVE();
    memcpy(&header, image, sizeof header);
    if (memcmp(header.magic, EMULATED_MAGIC, sizeof header.magic) != 0)
        return CU_INVALID_IMAGE;
    cu_module made = make(sizeof *made);
    if (!made)
        return CU_OUT_OF_MEMORY;
    made->library = open_library((const char *)image + sizeof header, header.size);
    if (!made->library) {
        fprintf(stderr, "emulator: %s\n", dlerror());
        unmake(made);
        return CU_INVALID_IMAGE;
    }
    emulated_program *p = &made->program;
    p->entries = dlsym(made->library, "emulated_entries");
    *(void **)&p->prepare = dlsym(made->library, "emulated_prepare");
    p->services = dlsym(made->library, "emulated_by");
    p->thread = dlsym(made->library, "emulated_thread");
    p->block = dlsym(made->library, "emulated_block");
    p->block_size = dlsym(made->library, "emulated_block_size");
    p->grid = dlsym(made->library, "emulated_grid");
    *module = made;
    return SUCCESS;
}

static cu_result module_unload(cu_module module)
{
    ARRIVE_RELEASING();
    for (cu_function *f = &emulator.functions; *f;) {
        cu_function function = *f;
        if (function->program == &module->program) {
            *f = function->next;
            free(function);
        } else
            f = &function->next;
    }
    dlclose(module->library);
    unmake(module);
    return early;
}

static cu_result get_function(cu_function *function, cu_module module, const char *name)
{
    ARRIVE();
    for (const emulated_entry *e = module->program.entries; e->name; e++)
        if (strcmp(e->name, name) == 0) {
            cu_function made = calloc(1, sizeof *made);
            if (!made)
                return CU_OUT_OF_MEMORY;
            *made = (struct cu_function_record){ e, &module->program, emulator.functions };
            *function = emulator.functions = made;
            return SUCCESS;
        }
    return CU_NOT_FOUND;
}

static cu_result set_function_attribute(cu_function function, int attribute, int value)
{
    ARRIVE();
    (void)function;
    return attribute == CU_FUNCTION_MAX_DYNAMIC_SHARED && value <= 227 << 10 ? SUCCESS : INVALID_VALUE;
}

/* ---- streams, events, launches ---------------------------------------------------------------------------------- */

static cu_result make_stream(cu_stream *stream, unsigned flags)
{
    ARRIVE();
    (void)flags;
    *stream = make(sizeof **stream);
    return *stream ? SUCCESS : CU_OUT_OF_MEMORY;
}

static cu_result release_stream(cu_stream stream)
{
    ARRIVE_RELEASING();
    unmake(stream);
    return early;
}

static cu_result synchronize(cu_stream stream)
{
    ARRIVE();
    if (stream->capture)
        return CAPTURE_UNSUPPORTED;
    check_bands();
    return emulator.sticky;
}

static cu_result make_event(cu_event *event, unsigned flags)
{
    ARRIVE();
    (void)flags;
    *event = make(sizeof **event);
    return *event ? SUCCESS : CU_OUT_OF_MEMORY;
}

static cu_result record_event(cu_event event, cu_stream stream)
{
    ARRIVE();
    (void)event;
    return stream->capture ? CAPTURE_UNSUPPORTED : SUCCESS;
}

static cu_result wait_event(cu_event event)
{
    ARRIVE();
    (void)event;
    return SUCCESS;
}

static cu_result release_event(cu_event event)
{
    ARRIVE_RELEASING();
    unmake(event);
    return early;
}

static void run_launch(const launch *l)
{
    emulator.launches++;
    const char *report = fibers_run(l->function->program, l->function->entry, l->grid, l->block,
                                    l->dynamic_shared, (void **)l->parameters);
    if (!report)
        return;
    snprintf(emulator.report, sizeof emulator.report, "%s", report);
    fprintf(stderr, "emulator: %s\n", report);
    emulator.sticky = LAUNCH_FAILED;
}

static cu_result launch_kernel(const cu_launch_config *config, cu_function function, void **parameters, void **extra)
{
    ARRIVE();
    (void)extra;
    launch l = { .function = function,
                 .grid = { config->grid[0], config->grid[1], config->grid[2] },
                 .block = { config->block[0], config->block[1], config->block[2] },
                 .dynamic_shared = config->shared_bytes };
    if (config->block[0] * config->block[1] * config->block[2] > (unsigned)function->entry->threads)
        return LAUNCH_RESOURCES;
    if (config->grid[1] > 65535 || config->grid[2] > 65535 || !config->grid[0] || !config->grid[1] || !config->grid[2])
        return INVALID_VALUE;
    l.count = function->entry->parameters;
    memcpy(l.parameters, parameters, (size_t)l.count * sizeof *parameters);
    cu_graph graph = config->stream->capture;
    if (!graph) {
        run_launch(&l);
        return SUCCESS; /* a kernel's fault is seen by the next call */
    }
    launch *kept = make(sizeof *kept);
    if (!kept)
        return CU_OUT_OF_MEMORY;
    *kept = l;
    for (int i = 0; i < l.count; i++) {
        kept->parameters[i] = aligned_alloc(64, ((size_t)function->entry->sizes[i] + 63) / 64 * 64);
        memcpy(kept->parameters[i], parameters[i], (size_t)function->entry->sizes[i]);
    }
    if (graph->last)
        graph->last->next = kept;
    else
        graph->first = kept;
    graph->last = kept;
    return SUCCESS;
}

/* ---- graphs ----------------------------------------------------------------------------------------------------- */

static cu_result begin_capture(cu_stream stream, int mode)
{
    ARRIVE();
    (void)mode;
    stream->capture = make(sizeof *stream->capture);
    return stream->capture ? SUCCESS : CU_OUT_OF_MEMORY;
}

static cu_result end_capture(cu_stream stream, cu_graph *graph)
{
    ARRIVE_RELEASING();
    *graph = stream->capture;
    stream->capture = NULL;
    return early;
}

/* The executable takes the graph's launches over. */
static cu_result instantiate(cu_graph_exec *exec, cu_graph graph, unsigned long long flags)
{
    ARRIVE();
    (void)flags;
    *exec = make(sizeof **exec);
    if (!*exec)
        return CU_OUT_OF_MEMORY;
    (*exec)->first = graph->first;
    graph->first = graph->last = NULL;
    return SUCCESS;
}

static cu_result launch_graph(cu_graph_exec exec, cu_stream stream)
{
    ARRIVE();
    if (stream->capture)
        return CAPTURE_UNSUPPORTED;
    for (const launch *l = exec->first; l && !emulator.sticky; l = l->next)
        run_launch(l);
    return SUCCESS;
}

static void free_launches(launch *l)
{
    for (launch *next; l; l = next) {
        next = l->next;
        for (int i = 0; i < l->count; i++)
            free(l->parameters[i]);
        unmake(l);
    }
}

static cu_result release_exec(cu_graph_exec exec)
{
    ARRIVE_RELEASING();
    free_launches(exec->first);
    unmake(exec);
    return early;
}

static cu_result release_graph(cu_graph graph)
{
    ARRIVE_RELEASING();
    free_launches(graph->first);
    unmake(graph);
    return early;
}

static cu_result error_name(cu_result code, const char **name)
{
    static const struct {
        cu_result code;
        const char *name;
    } names[] = { { INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE" },
                  { CU_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY" },
                  { ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS" },
                  { LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED" } };
    *name = "CUDA_ERROR_OF_THE_EMULATOR";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].code == code)
            *name = names[i].name;
    return SUCCESS;
}

/* ---- the tables ------------------------------------------------------------------------------------------------- */

static const calo_cuda_api driver = {
    .cuInit = init,
    .cuDriverGetVersion = driver_version,
    .cuDeviceGetCount = device_count,
    .cuDeviceGet = device_get,
    .cuDeviceGetName = device_name,
    .cuDeviceGetAttribute = device_attribute,
    .cuDeviceTotalMem_v2 = total_memory,
    .cuDevicePrimaryCtxRetain = retain,
    .cuDevicePrimaryCtxRelease_v2 = release,
    .cuCtxSetCurrent = set_current,
    .cuCtxGetDevice = current_device,
    .cuModuleLoadData = module_load,
    .cuModuleUnload = module_unload,
    .cuModuleGetFunction = get_function,
    .cuFuncSetAttribute = set_function_attribute,
    .cuMemAlloc_v2 = allocate,
    .cuMemFree_v2 = release_memory,
    .cuMemGetInfo_v2 = memory_info,
    .cuMemHostAlloc = allocate_host,
    .cuMemFreeHost = release_host,
    .cuMemcpyHtoDAsync_v2 = copy_in,
    .cuMemcpyDtoHAsync_v2 = copy_out,
    .cuStreamCreate = make_stream,
    .cuStreamDestroy_v2 = release_stream,
    .cuStreamSynchronize = synchronize,
    .cuEventCreate = make_event,
    .cuEventRecord = record_event,
    .cuEventSynchronize = wait_event,
    .cuEventDestroy_v2 = release_event,
    .cuTensorMapEncodeTiled = encode_tiled,
    .cuTensorMapEncodeIm2col = encode_im2col,
    .cuLaunchKernelEx = launch_kernel,
    .cuStreamBeginCapture_v2 = begin_capture,
    .cuStreamEndCapture = end_capture,
    .cuGraphInstantiateWithFlags = instantiate,
    .cuGraphLaunch = launch_graph,
    .cuGraphExecDestroy = release_exec,
    .cuGraphDestroy = release_graph,
    .cuGetErrorName = error_name,
};

calo_status __real_calo_cuda_load(calo_cuda_api *api, calo_fault *fault);
calo_status __wrap_calo_cuda_load(calo_cuda_api *api, calo_fault *fault);

calo_status __wrap_calo_cuda_load(calo_cuda_api *api, calo_fault *fault)
{
    if (!emulator.capability)
        return __real_calo_cuda_load(api, fault);
    *api = driver;
    api->library = &emulator;
    return CALO_OK;
}

void emulate(int capability)
{
    emulator.capability = capability;
    emulated_vendor_enable(capability != 0);
    emulated_compiler_enable(capability != 0, &emulator.objects, arrive);
}

long emulated_calls(void)
{
    return emulator.calls;
}

void emulated_fail(long nth, cu_result code)
{
    emulator.fails_at = nth ? emulator.calls + nth : 0;
    emulator.fails_with = code;
}

long emulated_objects(void)
{
    return emulator.objects;
}

void emulated_memory(size_t bytes)
{
    emulator.total = bytes;
}

long emulated_launches(void)
{
    return emulator.launches;
}

long emulated_copies_out(void)
{
    return emulator.copied_out;
}

const char *emulated_report(void)
{
    return emulator.report;
}
