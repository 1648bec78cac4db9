/* The nth OpenCL call fails: every call site returns a status and a sentence, releases what it made, and the next try
   works. The loader's table of functions is replaced by one that counts (the linker's --wrap). */
#include "../../engine/calotype.h"
#include "../../engine/opencl_api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#define DEMO CALO_TEST_DATA "/../tools/demo/model"

static calo_opencl_api real;
static long calls, fails_at; /* 0: none fails */
static long objects;         /* created and not yet released */

static bool fails(void)
{
    return ++calls == fails_at;
}

/* A creator gives NULL and a code; anything else gives a code. */
#define CREATE(call)                                                                                                   \
    if (fails()) {                                                                                                     \
        if (error)                                                                                                     \
            *error = CL_OUT_OF_RESOURCES;                                                                              \
        return NULL;                                                                                                   \
    }                                                                                                                  \
    void *made = real.call;                                                                                            \
    objects += made != NULL;                                                                                           \
    return made
#define RUN(call) return fails() ? CL_OUT_OF_RESOURCES : real.call
#define RELEASE(call)                                                                                                  \
    objects--;                                                                                                         \
    return real.call

static cl_context create_context(const cl_context_properties *p, cl_uint n, const cl_device_id *d,
                                 void(CL_CALLBACK *f)(const char *, const void *, size_t, void *), void *u, cl_int *error)
{
    CREATE(clCreateContext(p, n, d, f, u, error));
}
static cl_command_queue create_queue(cl_context c, cl_device_id d, cl_command_queue_properties p, cl_int *error)
{
    CREATE(clCreateCommandQueue(c, d, p, error));
}
static cl_mem create_buffer(cl_context c, cl_mem_flags f, size_t s, void *p, cl_int *error)
{
    CREATE(clCreateBuffer(c, f, s, p, error));
}
static cl_program create_program(cl_context c, cl_uint n, const char **t, const size_t *s, cl_int *error)
{
    CREATE(clCreateProgramWithSource(c, n, t, s, error));
}
static cl_kernel create_kernel(cl_program p, const char *n, cl_int *error)
{
    CREATE(clCreateKernel(p, n, error));
}
static void *map_buffer(cl_command_queue q, cl_mem m, cl_bool b, cl_map_flags f, size_t o, size_t s, cl_uint n,
                        const cl_event *w, cl_event *e, cl_int *error)
{
    CREATE(clEnqueueMapBuffer(q, m, b, f, o, s, n, w, e, error));
}
static cl_int unmap(cl_command_queue q, cl_mem m, void *p, cl_uint n, const cl_event *w, cl_event *e)
{
    RELEASE(clEnqueueUnmapMemObject(q, m, p, n, w, e));
}
static cl_int release_context(cl_context x)
{
    RELEASE(clReleaseContext(x));
}
static cl_int release_queue(cl_command_queue x)
{
    RELEASE(clReleaseCommandQueue(x));
}
static cl_int release_buffer(cl_mem x)
{
    RELEASE(clReleaseMemObject(x));
}
static cl_int release_program(cl_program x)
{
    RELEASE(clReleaseProgram(x));
}
static cl_int release_kernel(cl_kernel x)
{
    RELEASE(clReleaseKernel(x));
}
static cl_int build(cl_program p, cl_uint n, const cl_device_id *d, const char *o,
                    void(CL_CALLBACK *f)(cl_program, void *), void *u)
{
    RUN(clBuildProgram(p, n, d, o, f, u));
}
static cl_int set_argument(cl_kernel k, cl_uint i, size_t s, const void *v)
{
    RUN(clSetKernelArg(k, i, s, v));
}
static cl_int launch(cl_command_queue q, cl_kernel k, cl_uint d, const size_t *o, const size_t *g, const size_t *l,
                     cl_uint n, const cl_event *w, cl_event *e)
{
    RUN(clEnqueueNDRangeKernel(q, k, d, o, g, l, n, w, e));
}
static cl_int read_buffer(cl_command_queue q, cl_mem m, cl_bool b, size_t o, size_t s, void *p, cl_uint n,
                          const cl_event *w, cl_event *e)
{
    RUN(clEnqueueReadBuffer(q, m, b, o, s, p, n, w, e));
}
static cl_int write_buffer(cl_command_queue q, cl_mem m, cl_bool b, size_t o, size_t s, const void *p, cl_uint n,
                           const cl_event *w, cl_event *e)
{
    RUN(clEnqueueWriteBuffer(q, m, b, o, s, p, n, w, e));
}
static cl_int finish(cl_command_queue q)
{
    RUN(clFinish(q));
}
static cl_int platforms(cl_uint n, cl_platform_id *p, cl_uint *c)
{
    RUN(clGetPlatformIDs(n, p, c));
}
static cl_int devices(cl_platform_id p, cl_device_type t, cl_uint n, cl_device_id *d, cl_uint *c)
{
    RUN(clGetDeviceIDs(p, t, n, d, c));
}

calo_status __real_calo_opencl_load(calo_opencl_api *api, calo_fault *fault);
calo_status __wrap_calo_opencl_load(calo_opencl_api *api, calo_fault *fault);

calo_status __wrap_calo_opencl_load(calo_opencl_api *api, calo_fault *fault)
{
    calo_status status = __real_calo_opencl_load(api, fault);
    if (status)
        return status;
    real = *api;
    api->clCreateContext = create_context;
    api->clCreateCommandQueue = create_queue;
    api->clCreateBuffer = create_buffer;
    api->clCreateProgramWithSource = create_program;
    api->clCreateKernel = create_kernel;
    api->clEnqueueMapBuffer = map_buffer;
    api->clEnqueueUnmapMemObject = unmap;
    api->clReleaseContext = release_context;
    api->clReleaseCommandQueue = release_queue;
    api->clReleaseMemObject = release_buffer;
    api->clReleaseProgram = release_program;
    api->clReleaseKernel = release_kernel;
    api->clBuildProgram = build;
    api->clSetKernelArg = set_argument;
    api->clEnqueueNDRangeKernel = launch;
    api->clEnqueueReadBuffer = read_buffer;
    api->clEnqueueWriteBuffer = write_buffer;
    api->clFinish = finish;
    api->clGetPlatformIDs = platforms;
    api->clGetDeviceIDs = devices;
    return CALO_OK;
}

/* Opens, loads, draws the smallest picture, closes. The nth call fails, 0: none. Returns the status. */
static calo_status draw(long n)
{
    calo_context *context = NULL;
    calo_model *model = NULL;
    calo_image *image = NULL;
    calo_request request = CALO_REQUEST_INIT;
    calo_open_options options = CALO_OPEN_OPTIONS_INIT;
    options.tuning = "";
    request.prompt = "a red house";
    request.steps = 1;
    request.width = request.height = 16;
    calls = 0;
    fails_at = n;
    calo_status status = calo_open(&context, &options);
    if (!status)
        status = calo_load(context, DEMO, NULL, &model);
    if (!status)
        status = calo_generate(model, &request, &image);
    assert_true(status == CALO_OK ? image != NULL : image == NULL && *calo_error(context));
    calo_free_image(&image);
    calo_unload(&model);
    calo_close(&context);
    assert_int_equal(objects, 0);
    return status;
}

static void nth_call_fails(void **state)
{
    (void)state;
    assert_int_equal(draw(0), CALO_OK);
    const long all = calls;
    long tried = 0;
    assert_true(all > 500);
    /* Every early call, where the sites differ, then a spread over the many alike. */
    for (long n = 1; n <= all; n += n < 60 ? 1 : 97, tried++) {
        const calo_status status = draw(n);
        /* The last wait, on closing, has nobody to tell. */
        if (status != CALO_EDEVICE && status != CALO_EMEMORY && n < all - 3)
            fail_msg("call %ld of %ld failed and the status was %d", n, all, status);
    }
    print_message("%ld of %ld calls failed one by one\n", tried, all);
    assert_int_equal(draw(0), CALO_OK);
}

int main(void)
{
    static const struct CMUnitTest tests[] = { cmocka_unit_test(nth_call_fails) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
