/* A device: memory, compiled kernels and one ordered stream of work, on OpenCL or CUDA.

   All work on a device is ordered: a kernel sees what earlier launches and writes did. `read` and `finish` wait. */
#ifndef CALO_DEVICE_H
#define CALO_DEVICE_H

#include "fault.h"
#include "tensor.h"

typedef enum calo_backend { CALO_OPENCL = 1, CALO_CUDA = 2 } calo_backend;
typedef enum calo_device_class { CALO_CPU_CLASS, CALO_GPU_CLASS } calo_device_class;

enum { CALO_CUDA_GRID = 65535 }; /* blocks along a grid's second and third axis, at most */
enum { CALO_VENDOR_BLAS = 1, CALO_VENDOR_DNN = 2 }; /* cuBLASLt, cuDNN */

typedef struct calo_device_info {
    calo_backend backend;
    calo_device_class class;
    int index;                 /* of its backend: "opencl:1" */
    unsigned vendor;           /* libraries of the device's maker that are open: CALO_VENDOR_… */
    int capability;            /* CUDA: 10 major + minor, 90 for sm_90; else 0 */
    char name[128], driver[128];
    int compute_units;
    uint64_t memory;           /* bytes in all */
    uint64_t max_allocation;   /* bytes of one buffer */
    uint64_t local_memory;     /* bytes of one work-group */
    int max_work_group;        /* work-items */
    int base_alignment;        /* bytes to which a tensor's offset is rounded */
    double peak_flops;         /* f32 multiply-adds count two; 0 until probed (kernels/probe) */
    double peak_bandwidth;     /* bytes/s; 0 until probed */
    const struct calo_tuning *tuning; /* which kernels were measured to be the fastest (kernels/tuning.h); NULL: unknown */
} calo_device_info;

/* How the loads of CUDA's tensor memory accelerator (sm_90) see a 16-bit tensor: dimensions from the innermost, dense one
   outwards, and the box that one load brings; what of it lies outside of the tensor arrives as zeros. In shared memory
   its rows of 64 numbers are swizzled by 128 bytes. Convolution's map (im2col) is of [B, H, W, C]: a load brings box[0]
   channels of box[1] pixels, taken `step` apart from corner `lower` up to `upper` beyond the image's last (x, then y). */
typedef struct calo_map {
    calo_type type;
    uint64_t offset; /* bytes from the start of the buffer */
    int rank;
    uint64_t dims[4], strides[4]; /* elements; bytes from one to the next, strides[0] is not looked at */
    unsigned box[4];
    bool im2col;
    int lower[2], upper[2];
    unsigned step;
} calo_map;

/* One kernel argument. A tensor is passed as two: its buffer and its offset in elements. */
typedef struct calo_argument {
    enum { CALO_ARG_BUFFER, CALO_ARG_VALUE, CALO_ARG_LOCAL, CALO_ARG_MAP } kind;
    calo_buffer *buffer; /* also the map's */
    size_t size; /* bytes of the value, or of the local memory */
    union {
        int32_t i;
        uint64_t u;
        float f;
        float f8[8];
        calo_map map;
    } value;
} calo_argument;

/* What identifies a compiled kernel: source text, macros ("-DACT=1 -DROWS=8"), entry point. */
typedef struct calo_kernel_key {
    const char *source_name; /* for messages: "linear/linear.cl" */
    const char *source;
    const char *options;
    const char *entry;
} calo_kernel_key;

/* A convolution's pixels between outputs, and zeros around the image. */
typedef struct calo_padding {
    int stride, top, left, bottom, right;
} calo_padding;

typedef struct calo_kernel calo_kernel; /* owned by the device */
typedef struct calo_graph calo_graph;   /* recorded launches */
typedef struct calo_device calo_device;

typedef struct calo_device_api {
    void (*close)(calo_device *device);
    calo_status (*allocate)(calo_device *device, uint64_t bytes, calo_buffer **buffer, calo_fault *fault);
    void (*release)(calo_device *device, calo_buffer *buffer);
    /* The caller's device memory as a buffer, which release forgets; NULL where a backend has no addresses. */
    calo_status (*adopt)(calo_device *device, uint64_t pointer, uint64_t bytes, calo_buffer **buffer, calo_fault *fault);
    /* What is free now, for all programs; NULL where only the device's whole memory is known. */
    calo_status (*free_memory)(calo_device *device, uint64_t *bytes, calo_fault *fault);
    calo_status (*write)(calo_device *device, calo_buffer *buffer, uint64_t offset, const void *from, uint64_t bytes,
                         calo_fault *fault); /* `from` may be reused on return */
    calo_status (*read)(calo_device *device, const calo_buffer *buffer, uint64_t offset, void *to, uint64_t bytes,
                        calo_fault *fault);
    /* Where the device's memory is the host's, *pointer is the buffer itself until `unmap`, and no kernel may use it
     * meanwhile; elsewhere *pointer is NULL and there is nothing to unmap. */
    calo_status (*map)(calo_device *device, calo_buffer *buffer, void **pointer, calo_fault *fault);
    calo_status (*unmap)(calo_device *device, calo_buffer *buffer, void *pointer, calo_fault *fault);
    calo_status (*kernel)(calo_device *device, const calo_kernel_key *key, calo_kernel **kernel, calo_fault *fault);
    calo_status (*launch)(calo_device *device, calo_kernel *kernel, const calo_argument *arguments, int count,
                          const size_t global[3], const size_t local[3], calo_fault *fault);
    calo_status (*finish)(calo_device *device, calo_fault *fault);

    /* Libraries of the device's maker, NULL where a backend has none: to compare with, so they are opened only when asked
     * for; info.vendor says which are there. They put work into the same order as launches. y = x · wᵀ, y in x's type
     * or f32; y = x ∗ w + bias (or none), channels-last; attention as the op's, not causal, of equal batches. */
    void (*open_vendor)(calo_device *device);
    calo_status (*product)(calo_device *device, calo_tensor x, calo_tensor w, calo_tensor y, calo_tensor workspace,
                           calo_fault *fault);
    calo_status (*convolve)(calo_device *device, calo_tensor x, calo_tensor w, calo_tensor bias, calo_tensor y,
                            const calo_padding *padding, calo_tensor workspace, calo_fault *fault);
    calo_status (*attend)(calo_device *device, calo_tensor q, calo_tensor k, calo_tensor v, calo_tensor y, int heads,
                          double scale, calo_tensor workspace, calo_fault *fault);

    /* Recording, NULL where the backend has none. After `capture` launches are kept, not run, with the addresses and
     * values that they have now, and there may be nothing but launches of kernels that were launched before. The graph
     * is `end_capture`'s, which also ends a recording that failed. `replay` runs it as often as one likes. */
    calo_status (*capture)(calo_device *device, calo_fault *fault);
    calo_status (*end_capture)(calo_device *device, calo_graph **graph, calo_fault *fault);
    calo_status (*replay)(calo_device *device, calo_graph *graph, calo_fault *fault);
    void (*release_graph)(calo_device *device, calo_graph *graph); /* waits for it */
} calo_device_api;

struct calo_device {
    const calo_device_api *api;
    calo_device_info info;
    uint64_t allocated, peak_allocated; /* bytes, kept by the backend */
};

/* What the caller of the library brings: CUcontext, CUstream; NULL: none. */
typedef struct calo_adopted {
    void *context, *stream;
} calo_adopted;

/* A device by its name: "auto" (also NULL), "cuda", "cuda:1", "opencl", "opencl:1". Auto is the first CUDA device that
 * opens, then an OpenCL GPU, then any OpenCL device. CALO_EDEVICE with the reason when there is none, CALO_EUSAGE for
 * another name. `adopted` may be NULL; with something in it only CUDA will do. Close with device->api->close. */
calo_status calo_device_open(const char *name, const calo_adopted *adopted, calo_device **device, calo_fault *fault);

/* Bytes that the device can still give; 2^64 − 1 where it cannot say. */
uint64_t calo_device_room(calo_device *device);

/* CALO_EMEMORY when `need` bytes more are not there, `largest` of them in one piece: the sentence says for what, how many
 * and what is free. */
calo_status calo_device_expect(calo_device *device, const char *what, uint64_t need, uint64_t largest, calo_fault *fault);

/* What there is, without opening it for work: CUDA's devices, then OpenCL's. `list` holds up to `capacity` entries,
 * *count is how many there are. `absent`, if not NULL, takes a line for each backend that has none, with the reason.
 * CALO_EDEVICE when there is no device at all; the sentence says what to install. */
calo_status calo_device_list(calo_device_info *list, int capacity, int *count, char *absent, size_t size,
                             calo_fault *fault);

/* "opencl:0", "cuda:1"; `text` holds at least 16 bytes. Returns text. */
char *calo_device_id(const calo_device_info *info, char *text);

/* The backends' own: device `index`, −1 for the one that auto would take; what there is. */
calo_status calo_opencl_open(int index, calo_device **device, calo_fault *fault);
calo_status calo_opencl_list(calo_device_info *list, int capacity, int *count, calo_fault *fault);
calo_status calo_cuda_open(int index, const calo_adopted *adopted, calo_device **device, calo_fault *fault);
calo_status calo_cuda_list(calo_device_info *list, int capacity, int *count, calo_fault *fault);

/* A device that only plans: no memory, nothing can be launched. `info` describes a CPU of this machine's core count. */
void calo_device_nominal(calo_device_info *info);

#endif
