/* From a kernel's text to a cubin for one architecture: NVRTC, opened only when the disk's cache has no such cubin. */
#ifndef CALO_CUDA_COMPILE_H
#define CALO_CUDA_COMPILE_H

#include "cuda_api.h"
#include "device.h"

typedef struct calo_cuda_compiler {
    calo_nvrtc_api nvrtc; /* loaded by the first compilation */
    int driver_major;     /* the newest NVRTC whose cubins the driver loads */
    char version[16];     /* of NVRTC, "13.0" */
    char folder[512];     /* of the cache; "" for none */
} calo_cuda_compiler;

/* "sm_80", and "sm_90a" where an architecture has instructions of its own (9.0 and newer). */
void calo_cuda_architecture(int capability, char text[16]);

/* The cubin of key->source with key->options for the architecture; free it. `fresh`: do not look into the cache.
 * `log`, if not NULL, takes the compiler's words (free them). A text that does not compile is CALO_EDEVICE with the
 * first error's line. */
calo_status calo_cuda_compile(calo_cuda_compiler *compiler, const calo_kernel_key *key, const char *architecture,
                              bool fresh, void **cubin, size_t *size, char **log, calo_fault *fault);

#endif
