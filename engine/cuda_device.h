/* The CUDA device, for the files that make it up: device_cuda.c (finding, memory, life), cuda_launch.c (kernels,
   launches, recordings) and cuda_vendor.c (NVIDIA's libraries). */
#ifndef CALO_CUDA_DEVICE_H
#define CALO_CUDA_DEVICE_H

#include "cuda_api.h"
#include "cuda_blas.h"
#include "cuda_compile.h"
#include "cuda_dnn.h"
#include "device.h"

#include <stdbool.h>

enum { CALO_CUDA_STAGES = 2 };

struct calo_buffer {
    cu_pointer memory;
    uint64_t bytes;
    bool adopted; /* the caller's: not freed, not counted */
};

/* One loaded cubin; kernels of one source with the same macros share it. */
typedef struct calo_cuda_module {
    struct calo_cuda_module *next;
    char *key; /* source name, options */
    cu_module module;
} calo_cuda_module;

struct calo_kernel {
    calo_kernel *next;
    char *key; /* entry, source name, options */
    cu_function function;
    char *name;
    int dynamic_shared; /* bytes that the function was last allowed */
};

typedef struct calo_cuda_stage {
    void *memory; /* pinned */
    cu_event done; /* the transfer that last read it */
    bool used;
} calo_cuda_stage;

typedef struct calo_cuda_device {
    calo_device base;
    calo_cuda_api cu;
    calo_cuda_compiler compiler;
    cu_device id;
    cu_context context;
    cu_stream stream;
    bool adopted_context, adopted_stream; /* the caller's */
    char architecture[16];
    calo_cuda_module *modules;
    calo_kernel *kernels;
    calo_cuda_stage stages[CALO_CUDA_STAGES];
    int next_stage;
    calo_blas blas; /* not open until open_vendor */
    calo_dnn dnn;
    char poison[CALO_FAULT_TEXT]; /* what broke the context, "" while it is sound */
} calo_cuda_device;

/* Every call begins here: the context is sound, and the calling thread's. */
calo_status calo_cuda_enter(calo_cuda_device *d, calo_fault *fault);
/* Says that `what` failed; remembers an error that the context does not survive. */
calo_status calo_cuda_fail(calo_cuda_device *d, calo_fault *fault, cu_result code, const char *what);

/* The device's functions of cuda_launch.c; the last releases all modules and kernels. */
calo_status calo_cuda_kernel(calo_device *device, const calo_kernel_key *key, calo_kernel **kernel, calo_fault *fault);
calo_status calo_cuda_launch(calo_device *device, calo_kernel *kernel, const calo_argument *arguments, int count,
                             const size_t global[3], const size_t local[3], calo_fault *fault);
calo_status calo_cuda_capture(calo_device *device, calo_fault *fault);
calo_status calo_cuda_end_capture(calo_device *device, calo_graph **graph, calo_fault *fault);
calo_status calo_cuda_replay(calo_device *device, calo_graph *graph, calo_fault *fault);
void calo_cuda_release_graph(calo_device *device, calo_graph *graph);
void calo_cuda_forget_kernels(calo_cuda_device *d);

/* Those of cuda_vendor.c. */
void calo_cuda_open_vendor(calo_device *device);
calo_status calo_cuda_product(calo_device *device, calo_tensor x, calo_tensor w, calo_tensor y, calo_tensor workspace,
                              calo_fault *fault);
calo_status calo_cuda_convolve(calo_device *device, calo_tensor x, calo_tensor w, calo_tensor bias, calo_tensor y,
                               const calo_padding *padding, calo_tensor workspace, calo_fault *fault);
calo_status calo_cuda_attend(calo_device *device, calo_tensor q, calo_tensor k, calo_tensor v, calo_tensor y, int heads,
                             double scale, calo_tensor workspace, calo_fault *fault);

#endif
