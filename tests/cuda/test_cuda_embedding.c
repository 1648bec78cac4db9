/* What a program that brings its own CUDA context sees, on the emulated device: work in its stream, images that stay on
   the device, and a sentence before anything runs when memory will not suffice.

       test_cuda_embedding WRITE_MODEL CONFIGS TOKENIZER MODEL */
#include "../../engine/calotype.h"
#include "../../engine/cuda_api.h"
#include "../../engine/image.h"
#include "emulated_driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 32, COUNT = 2, NUMBERS = COUNT * SIZE * SIZE * 3, CONTEXT = 77 * 64 };
static const char *model_path;

static calo_request small_request(void)
{
    calo_request request = CALO_REQUEST_INIT;
    request.prompt = "a red house";
    request.width = request.height = SIZE;
    request.steps = 1;
    request.count = COUNT;
    request.guidance = 1;
    request.seed = 5;
    return request;
}

/* Context, stream and memory are the caller's; the images are those that the host would get. */
static void results_stay_on_the_device(void **state)
{
    (void)state;
    calo_cuda_api cu;
    calo_fault fault = { 0 };
    cu_context own;
    cu_stream stream;
    cu_pointer memory;
    assert_int_equal(calo_cuda_load(&cu, &fault), CALO_OK);
    assert_int_equal(cu.cuDevicePrimaryCtxRetain(&own, 0), 0);
    assert_int_equal(cu.cuStreamCreate(&stream, 0), 0);
    assert_int_equal(cu.cuMemAlloc_v2(&memory, NUMBERS * sizeof(float)), 0);
    const long objects = emulated_objects();

    calo_context *context = NULL;
    calo_model *model = NULL;
    calo_image *images[COUNT];
    calo_open_options options = CALO_OPEN_OPTIONS_INIT;
    options.tuning = "";
    options.cuda_context = own;
    options.cuda_stream = stream;
    assert_int_equal(calo_open(&context, &options), CALO_OK);
    assert_int_equal(calo_load(context, model_path, NULL, &model), CALO_OK);
    calo_request request = small_request();
    assert_int_equal(calo_generate(model, &request, images), CALO_OK);
    request.device_output = memory;
    const long copies = emulated_copies_out();
    assert_int_equal(calo_generate(model, &request, NULL), CALO_OK);
    /* The prompt's context, which is kept on the host, and bytes an image: whether it is finite. */
    assert_true(emulated_copies_out() - copies < (long)(CONTEXT * sizeof(float)) + 100);

    float *values = calloc(NUMBERS, sizeof *values);
    cu.cuMemcpyDtoHAsync_v2(values, memory, NUMBERS * sizeof(float), stream);
    int wrong = 0;
    for (int i = 0; i < NUMBERS; i++) {
        const uint8_t expected = calo_image_pixels(images[i / (NUMBERS / COUNT)])[i % (NUMBERS / COUNT)];
        const float v = values[i] * 0.5f + 0.5f;
        wrong += !(lrintf((v < 0 ? 0 : v > 1 ? 1 : v) * 255) == expected);
    }
    assert_int_equal(wrong, 0);
    free(values);
    for (int i = 0; i < COUNT; i++)
        calo_free_image(&images[i]);

    assert_int_equal(calo_generate(model, &(calo_request){ .size = sizeof request }, NULL), CALO_EUSAGE);
    request.device_output = 0;
    assert_int_equal(calo_generate(model, &request, NULL), CALO_EUSAGE);
    assert_non_null(strstr(calo_error(context), "neither images nor a device_output"));
    calo_unload(&model);
    calo_close(&context);
    assert_int_equal(emulated_objects(), objects); /* what is the caller's is still there */

    options.device = "opencl";
    assert_int_equal(calo_open(&context, &options), CALO_EUSAGE);
    assert_non_null(strstr(calo_error(context), "a CUDA context or stream was given for the device 'opencl'"));
    calo_close(&context);
    options.device = "cuda:3";
    assert_int_equal(calo_open(&context, &options), CALO_EUSAGE);
    assert_non_null(strstr(calo_error(context), "belongs to cuda:0, not to cuda:3"));
    calo_close(&context);
    cu.cuMemFree_v2(memory);
    cu.cuStreamDestroy_v2(stream);
    cu.cuDevicePrimaryCtxRelease_v2(0);
    assert_int_equal(emulated_objects(), 0);
}

static void memory_is_asked_for_first(void **state)
{
    (void)state;
    calo_context *context = NULL;
    calo_model *model = NULL;
    calo_image *images[COUNT], *turns[COUNT];
    calo_request request = small_request();
    calo_open_options options = CALO_OPEN_OPTIONS_INIT;
    options.tuning = "";
    assert_int_equal(calo_open(&context, &options), CALO_OK);
    emulated_memory(1 << 16); /* others have the rest; weights stay on the host until their turn */
    assert_int_equal(calo_load(context, model_path, NULL, &model), CALO_OK);
    assert_int_equal(calo_peak_device_bytes(context), 0);
    const long launches = emulated_launches();
    assert_int_equal(calo_generate(model, &request, images), CALO_EMEMORY);
    assert_non_null(strstr(calo_error(context), "32 × 32: "));
    assert_non_null(strstr(calo_error(context), "are needed even when the model's parts take turns"));
    assert_int_equal(emulated_launches(), launches);
    emulated_memory((size_t)1 << 30);
    assert_int_equal(calo_generate(model, &request, images), CALO_OK);
    const uint64_t whole = calo_peak_device_bytes(context);
    emulated_memory(whole - 1000); /* not for all at once: the parts take turns, to the same pictures */
    assert_int_equal(calo_generate(model, &request, turns), CALO_OK);
    assert_int_equal(calo_peak_device_bytes(context), whole);
    for (int i = 0; i < COUNT; i++) {
        assert_memory_equal(turns[i]->pixels, images[i]->pixels, (size_t)(3 * images[i]->width * images[i]->height));
        calo_free_image(&images[i]);
        calo_free_image(&turns[i]);
    }
    calo_unload(&model);
    calo_close(&context);
    assert_int_equal(emulated_objects(), 0);
}

int main(int count, char **words)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(results_stay_on_the_device),
                                        cmocka_unit_test(memory_is_asked_for_first) };
    char command[4096];
    if (count < 5)
        return 2;
    snprintf(command, sizeof command, "'%s' '%s' '%s' '%s'", words[1], words[2], words[3], words[4]);
    if (system(command) != 0)
        return 1;
    model_path = words[4];
    emulate(90);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
