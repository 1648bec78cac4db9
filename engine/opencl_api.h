/* The OpenCL functions that the engine calls, found at run time, so that the library loads on a machine without OpenCL
   and can say so. */
#ifndef CALO_OPENCL_API_H
#define CALO_OPENCL_API_H

#include "fault.h"

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

/* One row per function: the field's name and the symbol it comes from. */
#define CALO_OPENCL_FUNCTIONS(X)                                                                                       \
    X(clGetPlatformIDs)                                                                                                \
    X(clGetDeviceIDs)                                                                                                  \
    X(clGetDeviceInfo)                                                                                                 \
    X(clCreateContext)                                                                                                 \
    X(clReleaseContext)                                                                                                \
    X(clCreateCommandQueue)                                                                                            \
    X(clReleaseCommandQueue)                                                                                           \
    X(clCreateBuffer)                                                                                                  \
    X(clReleaseMemObject)                                                                                              \
    X(clCreateProgramWithSource)                                                                                       \
    X(clBuildProgram)                                                                                                  \
    X(clGetProgramBuildInfo)                                                                                           \
    X(clReleaseProgram)                                                                                                \
    X(clCreateKernel)                                                                                                  \
    X(clReleaseKernel)                                                                                                 \
    X(clSetKernelArg)                                                                                                  \
    X(clEnqueueNDRangeKernel)                                                                                          \
    X(clEnqueueReadBuffer)                                                                                             \
    X(clEnqueueWriteBuffer)                                                                                            \
    X(clEnqueueMapBuffer)                                                                                              \
    X(clEnqueueUnmapMemObject)                                                                                         \
    X(clFlush)                                                                                                         \
    X(clFinish)

typedef struct calo_opencl_api {
#define CALO_FIELD(name) __typeof__(&name) name;
    CALO_OPENCL_FUNCTIONS(CALO_FIELD)
#undef CALO_FIELD
    void *library; /* from dlopen; stays open for the life of the process, as OpenCL drivers expect */
} calo_opencl_api;

/* CALO_EDEVICE with a sentence that says what to install. */
calo_status calo_opencl_load(calo_opencl_api *api, calo_fault *fault);

/* "CL_OUT_OF_RESOURCES" for -5. */
const char *calo_opencl_error(cl_int code);

#endif
