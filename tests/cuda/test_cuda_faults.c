/* The CUDA host code without a GPU: every call of the driver and of NVRTC fails once, and each time there is a status, a
   sentence, nothing left behind, and a next try that works. Then the cache of kernels, and a context that is lost. */
#include "../../engine/calotype.h"
#include "../../engine/cuda_api.h"
#include "../../engine/device.h"
#include "../../engine/kernel_cache.h"
#include "../../engine/shim.h"
#include "../../kernels/elementwise/elementwise.h"
#include "emulated_driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NUMBERS = 3000 };
static char home[] = "/tmp/calo-cuda-test-XXXXXX", folder[128]; /* the cache is in the folder */

/* A product by the vendor's library, where it opens; of zeros, so that only the calls are looked at. */
static void multiply(calo_run *run)
{
    const int64_t dims[] = { 32, 64 };
    calo_tensor x = calo_new(run, CALO_F16, 2, dims), w = calo_new(run, CALO_F16, 2, dims);
    calo_tensor y = calo_new(run, CALO_F32, 2, (int64_t[]){ 32, 32 }), workspace = calo_new(run, CALO_F32, 1, dims);
    if (run->device && !calo_failed(run) && run->device->info.vendor & CALO_VENDOR_BLAS)
        run->device->api->product(run->device, x, w, y, workspace, run->fault);
    calo_drop(run, &x);
    calo_drop(run, &w);
    calo_drop(run, &y);
    calo_drop(run, &workspace);
}

/* Opens the device, scales some numbers on it, multiplies, closes it. */
static calo_status use_device(calo_fault *fault)
{
    calo_device *device;
    calo_arena arena;
    float *values = calo_alloc(NUMBERS, sizeof *values);
    calo_status status = calo_device_open("cuda", NULL, &device, fault);
    if (status) {
        calo_free(values);
        return status;
    }
    device->api->open_vendor(device);
    calo_arena_init(&arena, device, &device->info);
    calo_run run = { .device = device, .info = device->info, .arena = &arena, .dtype = CALO_F32, .fault = fault };
    for (int pass = 0; pass < 2; pass++) {
        run.device = pass ? device : NULL;
        calo_tensor x = calo_new(&run, CALO_F32, 1, (int64_t[]){ NUMBERS });
        for (int i = 0; i < NUMBERS; i++)
            values[i] = (float)i;
        calo_upload(&run, x, values);
        calo_tensor y = calo_scale(&run, calo_take(&x), 2);
        calo_download(&run, y, values);
        calo_drop(&run, &y);
        multiply(&run);
        if (!pass && !calo_failed(&run))
            calo_arena_commit(&arena, fault);
    }
    for (int i = 0; i < NUMBERS && !calo_failed(&run); i++)
        assert_float_equal(values[i], 2.0f * (float)i, 0);
    calo_arena_free(&arena);
    device->api->close(device);
    calo_free(values);
    return fault->status;
}

/* Fails call n for n = 1, 2, … until a run has fewer. */
static void fail_every_call(bool cold)
{
    for (long n = 1;; n++) {
        calo_fault fault = { 0 };
        const long before = emulated_objects(), calls = emulated_calls();
        if (cold)
            calo_trim_folder(folder, 0);
        emulated_fail(n, n % 2 ? CU_OUT_OF_MEMORY : 999);
        const calo_status status = use_device(&fault);
        emulated_fail(0, 0);
        assert_int_equal(emulated_objects(), before);
        if (emulated_calls() - calls < n) {
            assert_int_equal(status, CALO_OK);
            assert_true(n > 20);
            break;
        }
        /* A release that fails and a description that stays vague do no harm; all else says what failed. */
        if (status) {
            assert_true(status == CALO_EDEVICE || status == CALO_EMEMORY);
            assert_true(strlen(fault.text) > 10);
        }
        calo_fault again = { 0 };
        assert_int_equal(use_device(&again), CALO_OK);
    }
}

static void every_call_fails_once_warm(void **state)
{
    (void)state;
    fail_every_call(false);
}

static void every_call_fails_once_cold(void **state)
{
    (void)state;
    fail_every_call(true);
}

/* Bytes in the cache are checked: spoilt ones are compiled again, and replaced. */
static void spoilt_cache_is_compiled_again(void **state)
{
    (void)state;
    const char *parts[] = { "a", "b" };
    size_t size;
    char path[512] = "", *text;
    calo_trim_folder(folder, 0);
    calo_kernel_cache_put(folder, parts, 2, "kernel", 6, 1 << 20);
    void *bytes = calo_kernel_cache_get(folder, parts, 2, &size);
    assert_non_null(bytes);
    assert_int_equal(size, 6);
    assert_memory_equal(bytes, "kernel", 6);
    calo_free(bytes);
    assert_null(calo_kernel_cache_get(folder, (const char *[]){ "ab", "" }, 2, &size));

    calo_fault fault = { 0 };
    calo_trim_folder(folder, 0);
    assert_int_equal(use_device(&fault), CALO_OK);
    DIR *list = opendir(folder);
    for (struct dirent *entry; list && (entry = readdir(list));)
        if (strstr(entry->d_name, ".bin"))
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    closedir(list);
    assert_int_equal(calo_read_file(path, 64 << 20, &text, &size, &fault), CALO_OK);
    text[size / 2] ^= 1;
    FILE *file = fopen(path, "wb");
    assert_int_equal(fwrite(text, 1, size, file), size);
    fclose(file);
    calo_free(text);
    assert_int_equal(use_device(&fault), CALO_OK);
    assert_int_equal(truncate(path, 10), 0);
    assert_int_equal(use_device(&fault), CALO_OK);
}

static void cache_is_capped(void **state)
{
    (void)state;
    char bytes[1000] = { 0 }, name[16];
    size_t size;
    calo_trim_folder(folder, 0);
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "%d", i);
        calo_kernel_cache_put(folder, (const char *[]){ name }, 1, bytes, sizeof bytes, 4000);
    }
    int kept = 0;
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "%d", i);
        void *found = calo_kernel_cache_get(folder, (const char *[]){ name }, 1, &size);
        kept += found != NULL;
        calo_free(found);
    }
    assert_int_equal(kept, 3);
}

/* After a kernel's fault every call says so, and a new context works. */
static void lost_context_says_so(void **state)
{
    (void)state;
    static const char source[] = "KERNEL(32) wild(float *x, ulong x_at) { x[x_at + threadIdx.x - 64] = 1.0f; }";
    calo_fault fault = { 0 };
    calo_device *device;
    calo_kernel *kernel;
    calo_buffer *buffer;
    float value;
    char text[256];
    snprintf(text, sizeof text, "typedef unsigned long ulong;\n%s", source);
    const calo_kernel_key key = { "wild.cu", text, "", "wild" };
    assert_int_equal(calo_device_open("cuda:0", NULL, &device, &fault), CALO_OK);
    assert_int_equal(device->api->allocate(device, 4, &buffer, &fault), CALO_OK);
    assert_int_equal(device->api->kernel(device, &key, &kernel, &fault), CALO_OK);
    const calo_argument arguments[] = { { .kind = CALO_ARG_BUFFER, .buffer = buffer },
                                        { .kind = CALO_ARG_VALUE, .size = 8 } };
    assert_int_equal(device->api->launch(device, kernel, arguments, 2, (size_t[]){ 32, 1, 1 }, (size_t[]){ 32, 1, 1 },
                                         &fault), CALO_OK);
    assert_int_equal(device->api->finish(device, &fault), CALO_EDEVICE);
    assert_non_null(strstr(fault.text, "CUDA_ERROR_ILLEGAL_ADDRESS"));
    calo_fault_clear(&fault);
    assert_int_equal(device->api->read(device, buffer, 0, &value, 4, &fault), CALO_EDEVICE);
    assert_non_null(strstr(fault.text, "the context was lost"));
    device->api->release(device, buffer);
    device->api->close(device);
    calo_fault_clear(&fault);
    assert_int_equal(use_device(&fault), CALO_OK);
    assert_int_equal(emulated_objects(), 0);
}

static void refusals_are_sentences(void **state)
{
    (void)state;
    static const struct {
        const char *name, *says;
        calo_status status;
    } rows[] = { { "cuda:1", "there is no device cuda:1: CUDA offers 1 device here", CALO_EDEVICE },
                 { "cuda:x", "device 'cuda:x' is not known", CALO_EUSAGE },
                 { "cuda:", "device 'cuda:' is not known", CALO_EUSAGE },
                 { "cudax", "device 'cudax' is not known", CALO_EUSAGE } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        calo_fault fault = { 0 };
        calo_device *device;
        assert_int_equal(calo_device_open(rows[i].name, NULL, &device, &fault), rows[i].status);
        assert_non_null(strstr(fault.text, rows[i].says));
    }
    calo_fault fault = { 0 };
    calo_device *device;
    calo_buffer *buffer;
    emulate(75);
    assert_int_equal(calo_device_open("cuda", NULL, &device, &fault), CALO_EDEVICE);
    assert_non_null(strstr(fault.text, "sm_75; calotype's kernels need sm_80"));
    emulate(90);
    calo_fault_clear(&fault);
    assert_int_equal(calo_device_open("cuda", NULL, &device, &fault), CALO_OK);
    assert_int_equal(device->api->allocate(device, UINT64_C(9) << 30, &buffer, &fault), CALO_EMEMORY);
    assert_non_null(strstr(fault.text, "9663676416 bytes are needed in one piece; 8589934592 of 8589934592 are free"));
    device->api->close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_fails_once_warm), cmocka_unit_test(every_call_fails_once_cold),
        cmocka_unit_test(spoilt_cache_is_compiled_again), cmocka_unit_test(cache_is_capped),
        cmocka_unit_test(lost_context_says_so), cmocka_unit_test(refusals_are_sentences),
    };
    if (!mkdtemp(home) || setenv("XDG_CACHE_HOME", home, 1))
        return 1;
    calo_kernel_cache_folder(folder, sizeof folder);
    emulate(90);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    calo_trim_folder(folder, 0);
    for (int depth = 0; depth < 3; depth++) {
        rmdir(folder);
        *strrchr(folder, '/') = '\0';
    }
    return failed;
}
