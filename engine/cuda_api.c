/* Finds the CUDA driver, NVRTC, cuBLASLt and cuDNN, and their functions. */
#include "cuda_api.h"
#include "cuda_blas.h"
#include "cuda_dnn.h"

#include <dlfcn.h>
#include <string.h>

static void *open_first(const char *const *names, int count)
{
    void *library = NULL;
    for (int i = 0; !library && i < count; i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    return library;
}

/* The loader's tables are rows of functions: each is looked up by its field's name. */
#define CALO_FIND(name, parameters)                                                                                    \
    *(void **)&api->name = dlsym(api->library, #name);                                                                 \
    if (!api->name)                                                                                                    \
        return calo_fail(fault, CALO_EDEVICE, LACKS #name);

calo_status calo_cuda_load(calo_cuda_api *api, calo_fault *fault)
{
#define LACKS "the CUDA driver of this machine is too old: it lacks "
    static const char *const names[] = { "libcuda.so.1", "libcuda.so" };
    memset(api, 0, sizeof *api);
    api->library = open_first(names, 2);
    if (!api->library)
        return calo_fail(fault, CALO_EDEVICE,
                         "no CUDA on this machine (libcuda.so.1 was not found); it comes with NVIDIA's driver");
    CALO_CUDA_FUNCTIONS(CALO_FIND)
#undef LACKS
    return CALO_OK;
}

calo_status calo_nvrtc_load(calo_nvrtc_api *api, int newest, calo_fault *fault)
{
#define LACKS "the NVRTC library of this machine is too old: it lacks "
    static const char *const names[] = { "libnvrtc.so.13", "/usr/local/cuda/lib64/libnvrtc.so.13", "libnvrtc.so.12",
                                         "/usr/local/cuda/lib64/libnvrtc.so.12" };
    memset(api, 0, sizeof *api);
    api->library = newest >= 13 ? open_first(names, 4) : open_first(names + 2, 2);
    if (!api->library)
        return calo_fail(fault, CALO_EDEVICE,
                         "CUDA's run-time compiler was not found (libnvrtc.so.%s12); it comes with the CUDA toolkit, or "
                         "with: pip install nvidia-cuda-nvrtc%s, and its folder in LD_LIBRARY_PATH",
                         newest >= 13 ? "13 or ." : "", newest >= 13 ? "" : "-cu12");
    CALO_NVRTC_FUNCTIONS(CALO_FIND)
#undef LACKS
    return CALO_OK;
}

calo_status calo_blas_load(calo_blas_api *api, int newest, calo_fault *fault)
{
#define LACKS "the cuBLASLt library of this machine is too old: it lacks "
    static const char *const names[] = { "libcublasLt.so.13", "/usr/local/cuda/lib64/libcublasLt.so.13",
                                         "libcublasLt.so.12", "/usr/local/cuda/lib64/libcublasLt.so.12" };
    memset(api, 0, sizeof *api);
    api->library = newest >= 13 ? open_first(names, 4) : open_first(names + 2, 2);
    if (!api->library)
        return calo_fail(fault, CALO_EDEVICE, "cuBLASLt was not found (libcublasLt.so.%s12)", newest >= 13 ? "13 or ." : "");
    CALO_BLAS_FUNCTIONS(CALO_FIND)
#undef LACKS
    return CALO_OK;
}

calo_status calo_dnn_load(calo_dnn_api *api, calo_fault *fault)
{
#define LACKS "the cuDNN library of this machine is too old: it lacks "
    static const char *const names[] = { "libcudnn.so.9", "/usr/local/cuda/lib64/libcudnn.so.9" };
    memset(api, 0, sizeof *api);
    api->library = open_first(names, 2);
    if (!api->library)
        return calo_fail(fault, CALO_EDEVICE, "cuDNN was not found (libcudnn.so.9)");
    CALO_DNN_FUNCTIONS(CALO_FIND)
#undef LACKS
    return CALO_OK;
}
