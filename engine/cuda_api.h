/* The CUDA driver's and NVRTC's functions that the engine calls, found at run time, so that one library runs on
   machines with and without them. No CUDA header is needed: the few types are declared here as the driver's ABI has
   them (CUDA 13.0's cuda.h; the sizes are checked below). */
#ifndef CALO_CUDA_API_H
#define CALO_CUDA_API_H

#include "fault.h"

#include <stddef.h>
#include <stdint.h>

typedef int cu_result; /* 0: success */
typedef int cu_device;
typedef uint64_t cu_pointer; /* device memory */
typedef struct cu_context_record *cu_context;
typedef struct cu_module_record *cu_module;
typedef struct cu_function_record *cu_function;
typedef struct cu_stream_record *cu_stream;
typedef struct cu_event_record *cu_event;
typedef struct cu_graph_record *cu_graph;
typedef struct cu_graph_exec_record *cu_graph_exec;
typedef struct nvrtc_program_record *nvrtc_program;

enum {
    CU_OUT_OF_MEMORY = 2,
    CU_NO_DEVICE = 100,
    CU_NO_BINARY = 209,     /* a cubin for another architecture */
    CU_INVALID_IMAGE = 200, /* no cubin at all */
    CU_NOT_FOUND = 500,

    CU_ATTRIBUTE_BLOCK_THREADS = 1,
    CU_ATTRIBUTE_UNITS = 16,
    CU_ATTRIBUTE_MAJOR = 75,
    CU_ATTRIBUTE_MINOR = 76,
    CU_ATTRIBUTE_SHARED_OPT_IN = 97,

    CU_FUNCTION_MAX_DYNAMIC_SHARED = 8,

    CU_MAP_F16 = 6,
    CU_MAP_BF16 = 9,
    CU_MAP_SWIZZLE_128 = 3,
    CU_MAP_L2_256 = 3,

    CU_STREAM_NON_BLOCKING = 1,
    CU_EVENT_DISABLE_TIMING = 2,
    CU_CAPTURE_THREAD_LOCAL = 1,
};

typedef struct cu_launch_attribute {
    int id;
    char padding[4];
    char value[64];
} cu_launch_attribute;

typedef struct cu_launch_config {
    unsigned grid[3], block[3];
    unsigned shared_bytes;
    cu_stream stream;
    cu_launch_attribute *attributes;
    unsigned attribute_count;
} cu_launch_config;

_Static_assert(sizeof(cu_launch_attribute) == 72 && sizeof(cu_launch_config) == 56, "the driver's ABI");

/* One row per function: the symbol, which is also the field's name, and its parameters. Every one returns a result. */
#define CALO_CUDA_FUNCTIONS(X)                                                                                         \
    X(cuInit, (unsigned flags))                                                                                        \
    X(cuDriverGetVersion, (int *version))                                                                              \
    X(cuDeviceGetCount, (int *count))                                                                                  \
    X(cuDeviceGet, (cu_device * device, int ordinal))                                                                  \
    X(cuDeviceGetName, (char *name, int size, cu_device device))                                                       \
    X(cuDeviceGetAttribute, (int *value, int attribute, cu_device device))                                             \
    X(cuDeviceTotalMem_v2, (size_t * bytes, cu_device device))                                                         \
    X(cuDevicePrimaryCtxRetain, (cu_context * context, cu_device device))                                              \
    X(cuDevicePrimaryCtxRelease_v2, (cu_device device))                                                                \
    X(cuCtxSetCurrent, (cu_context context))                                                                           \
    X(cuCtxGetDevice, (cu_device * device))                                                                            \
    X(cuModuleLoadData, (cu_module * module, const void *image))                                                       \
    X(cuModuleUnload, (cu_module module))                                                                              \
    X(cuModuleGetFunction, (cu_function * function, cu_module module, const char *name))                               \
    X(cuFuncSetAttribute, (cu_function function, int attribute, int value))                                            \
    X(cuMemAlloc_v2, (cu_pointer * pointer, size_t bytes))                                                             \
    X(cuMemFree_v2, (cu_pointer pointer))                                                                              \
    X(cuMemGetInfo_v2, (size_t * available, size_t *total))                                                            \
    X(cuMemHostAlloc, (void **pointer, size_t bytes, unsigned flags))                                                  \
    X(cuMemFreeHost, (void *pointer))                                                                                  \
    X(cuMemcpyHtoDAsync_v2, (cu_pointer to, const void *from, size_t bytes, cu_stream stream))                         \
    X(cuMemcpyDtoHAsync_v2, (void *to, cu_pointer from, size_t bytes, cu_stream stream))                               \
    X(cuStreamCreate, (cu_stream * stream, unsigned flags))                                                            \
    X(cuStreamDestroy_v2, (cu_stream stream))                                                                          \
    X(cuStreamSynchronize, (cu_stream stream))                                                                         \
    X(cuEventCreate, (cu_event * event, unsigned flags))                                                               \
    X(cuEventRecord, (cu_event event, cu_stream stream))                                                               \
    X(cuEventSynchronize, (cu_event event))                                                                            \
    X(cuEventDestroy_v2, (cu_event event))                                                                             \
    X(cuTensorMapEncodeTiled,                                                                                          \
      (void *map, int type, unsigned rank, cu_pointer base, const uint64_t *dims, const uint64_t *strides,             \
       const unsigned *box, const unsigned *steps, int interleave, int swizzle, int l2, int outside))                  \
    X(cuTensorMapEncodeIm2col,                                                                                         \
      (void *map, int type, unsigned rank, cu_pointer base, const uint64_t *dims, const uint64_t *strides,             \
       const int *lower, const int *upper, unsigned channels, unsigned pixels, const unsigned *steps, int interleave,  \
       int swizzle, int l2, int outside))                                                                              \
    X(cuLaunchKernelEx, (const cu_launch_config *config, cu_function function, void **parameters, void **extra))       \
    X(cuStreamBeginCapture_v2, (cu_stream stream, int mode))                                                           \
    X(cuStreamEndCapture, (cu_stream stream, cu_graph *graph))                                                         \
    X(cuGraphInstantiateWithFlags, (cu_graph_exec * exec, cu_graph graph, unsigned long long flags))                   \
    X(cuGraphLaunch, (cu_graph_exec exec, cu_stream stream))                                                           \
    X(cuGraphExecDestroy, (cu_graph_exec exec))                                                                        \
    X(cuGraphDestroy, (cu_graph graph))                                                                                \
    X(cuGetErrorName, (cu_result code, const char **name))

#define CALO_NVRTC_FUNCTIONS(X)                                                                                        \
    X(nvrtcVersion, (int *major, int *minor))                                                                          \
    X(nvrtcCreateProgram, (nvrtc_program * program, const char *source, const char *name, int header_count,            \
                           const char *const *headers, const char *const *include_names))                              \
    X(nvrtcDestroyProgram, (nvrtc_program * program))                                                                  \
    X(nvrtcCompileProgram, (nvrtc_program program, int option_count, const char *const *options))                      \
    X(nvrtcGetProgramLogSize, (nvrtc_program program, size_t *size))                                                   \
    X(nvrtcGetProgramLog, (nvrtc_program program, char *log))                                                          \
    X(nvrtcGetCUBINSize, (nvrtc_program program, size_t *size))                                                        \
    X(nvrtcGetCUBIN, (nvrtc_program program, char *cubin))

#define CALO_FIELD(name, parameters) cu_result(*name) parameters;
typedef struct calo_cuda_api {
    CALO_CUDA_FUNCTIONS(CALO_FIELD)
    void *library; /* from dlopen; stays open for the life of the process, as the driver expects */
} calo_cuda_api;

typedef struct calo_nvrtc_api {
    CALO_NVRTC_FUNCTIONS(CALO_FIELD)
    void *library; /* likewise */
} calo_nvrtc_api;
#undef CALO_FIELD

/* Each: CALO_EDEVICE with a sentence that says what is missing and where it comes from. NVRTC's kernels load only where
 * the driver is of its major version or newer: `newest` is the driver's. */
calo_status calo_cuda_load(calo_cuda_api *api, calo_fault *fault);
calo_status calo_nvrtc_load(calo_nvrtc_api *api, int newest, calo_fault *fault);

#endif
