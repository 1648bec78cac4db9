/* Finds the OpenCL loader and its functions. */
#include "opencl_api.h"
#include "topology.h"

#include <dlfcn.h>
#include <string.h>

calo_status calo_opencl_load(calo_opencl_api *api, calo_fault *fault)
{
    static const char *const names[] = { "libOpenCL.so.1", "libOpenCL.so" };
    memset(api, 0, sizeof *api);
    calo_topology_provide();
    for (size_t i = 0; !api->library && i < sizeof names / sizeof *names; i++)
        api->library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!api->library)
        return calo_fail(fault, CALO_EDEVICE,
                         "no OpenCL on this machine (libOpenCL.so.1 was not found); on Debian: apt-get install "
                         "ocl-icd-libopencl1 pocl-opencl-icd");
#define CALO_FIND(name)                                                                                                \
    *(void **)&api->name = dlsym(api->library, #name);                                                                 \
    if (!api->name)                                                                                                    \
        return calo_fail(fault, CALO_EDEVICE, "the OpenCL library of this machine lacks " #name);
    CALO_OPENCL_FUNCTIONS(CALO_FIND)
#undef CALO_FIND
    return CALO_OK;
}

const char *calo_opencl_error(cl_int code)
{
    static const struct {
        cl_int code;
        const char *name;
    } names[] = {
        { CL_DEVICE_NOT_FOUND, "CL_DEVICE_NOT_FOUND" },
        { CL_DEVICE_NOT_AVAILABLE, "CL_DEVICE_NOT_AVAILABLE" },
        { CL_COMPILER_NOT_AVAILABLE, "CL_COMPILER_NOT_AVAILABLE" },
        { CL_MEM_OBJECT_ALLOCATION_FAILURE, "CL_MEM_OBJECT_ALLOCATION_FAILURE" },
        { CL_OUT_OF_RESOURCES, "CL_OUT_OF_RESOURCES" },
        { CL_OUT_OF_HOST_MEMORY, "CL_OUT_OF_HOST_MEMORY" },
        { CL_BUILD_PROGRAM_FAILURE, "CL_BUILD_PROGRAM_FAILURE" },
        { CL_INVALID_VALUE, "CL_INVALID_VALUE" },
        { CL_INVALID_BUFFER_SIZE, "CL_INVALID_BUFFER_SIZE" },
        { CL_INVALID_MEM_OBJECT, "CL_INVALID_MEM_OBJECT" },
        { CL_INVALID_KERNEL_NAME, "CL_INVALID_KERNEL_NAME" },
        { CL_INVALID_ARG_INDEX, "CL_INVALID_ARG_INDEX" },
        { CL_INVALID_ARG_SIZE, "CL_INVALID_ARG_SIZE" },
        { CL_INVALID_KERNEL_ARGS, "CL_INVALID_KERNEL_ARGS" },
        { CL_INVALID_WORK_GROUP_SIZE, "CL_INVALID_WORK_GROUP_SIZE" },
        { CL_INVALID_WORK_ITEM_SIZE, "CL_INVALID_WORK_ITEM_SIZE" },
        { -1001, "CL_PLATFORM_NOT_FOUND_KHR" },
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].code == code)
            return names[i].name;
    return "an OpenCL error";
}
