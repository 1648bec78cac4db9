/* Tuning on the emulated CUDA device: every variant of tiny calls, NVIDIA's libraries' too, is timed and can be chosen
   by a file, and a library is opened only where the file chose it. Times come from a clock of the test's own.

       test_cuda_tuning MODEL */
#include "../../engine/context.h"
#include "../../engine/shim.h"
#include "../../kernels/attention/attention.h"
#include "../../kernels/linear/linear.h"
#include "../../kernels/tuner.h"
#include "../../pipelines/tuning_file.h"
#include "emulated_driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *model_path;
static char path[] = "/tmp/calo_tuning_XXXXXX";
static const calo_activation plain = CALO_LINEAR;
static const calo_attention_args heads = { .heads = 1 };

static calo_learned learned_product(char *key)
{
    calo_learned learned = { .key = key, .call = { .op = &calo_op_linear, .args = &plain } };
    calo_call *call = &learned.call;
    calo_fault fault = { 0 };
    call->in[CALO_SLOT_X] = calo_shape(CALO_F16, 3, (int64_t[]){ 1, 16, 64 });
    call->in[CALO_SLOT_WEIGHT] = calo_shape(CALO_F16, 2, (int64_t[]){ 32, 64 });
    call->in[CALO_SLOT_WEIGHT].layout = CALO_PANELS;
    call->in[CALO_SLOT_WEIGHT].by_output = true;
    assert_int_equal(call->op->infer(call, &fault), CALO_OK);
    calo_call_key(call, key);
    return learned;
}

static calo_learned learned_attention(char *key)
{
    calo_learned learned = { .key = key, .call = { .op = &calo_op_attention, .args = &heads } };
    calo_fault fault = { 0 };
    for (int i = 0; i < 3; i++)
        learned.call.in[i] = calo_shape(CALO_F16, 3, (int64_t[]){ 1, 16, 64 });
    assert_int_equal(learned.call.op->infer(&learned.call, &fault), CALO_OK);
    calo_call_key(&learned.call, key);
    return learned;
}

static const char *fast; /* the variant that takes half as long as the others */
static int recorded, seen;

/* So long that a turn is one launch. */
static double scripted(void *user, const calo_candidate *running)
{
    static double time;
    (void)user;
    recorded += running->graph != NULL;
    seen++;
    return time += running->launches * (strcmp(running->variant->name, fast) == 0 ? 0.5 : 1);
}

static calo_device *open_device(void)
{
    calo_device *device;
    calo_fault fault = { 0 };
    if (calo_device_open("cuda", NULL, &device, &fault))
        fail_msg("%s", fault.text);
    return device;
}

static void each_variant_can_win(void **state)
{
    (void)state;
    static const char *const products[] = { "wgmma", "mma", "mma_small", "cublas", "floats" };
    static const char *const attentions[] = { "wgmma", "mma", "wide", "cudnn", "warp" };
    calo_device *device = open_device();
    const calo_device_api *whole = device->api;
    calo_device_api unrecorded = *whole;
    calo_fault fault = { 0 };
    calo_tuner tuner = { .device = device, .fault = &fault, .rounds = 1, .clock = scripted };
    char key[CALO_KEY_TEXT];
    unrecorded.capture = NULL;
    device->api->open_vendor(device);
    for (int k = 0; k < 2; k++) {
        const calo_learned learned = k ? learned_attention(key) : learned_product(key);
        const int count = 5;
        for (int i = 0; i < count; i++) {
            fast = k ? attentions[i] : products[i];
            /* The emulated cuBLASLt refuses to be recorded: it wins only where nothing is. */
            const bool refuses = strcmp(fast, "cublas") == 0;
            for (int records = 0; records < 2; records++) {
                device->api = records ? whole : &unrecorded;
                recorded = seen = 0;
                if (calo_tuner_measure(&tuner, &learned))
                    fail_msg("%s", fault.text);
                const calo_candidate *winner = &tuner.candidates[tuner.winner];
                const calo_run run = { .info = device->info };
                int values[CALO_MAX_TUNABLES] = { 0 };
                assert_ptr_equal(calo_choose(&run, &learned.call, values), tuner.candidates[0].variant);
                assert_memory_equal(values, tuner.candidates[0].values, sizeof values); /* what the table prefers */
                if ((strcmp(winner->variant->name, fast) == 0) != (!refuses || !records))
                    fail_msg("%s wins where %s is the fastest", winner->variant->name, fast);
                assert_true(records ? recorded > seen / 4 : !recorded); /* what is measured is recordings */
            }
        }
    }
    calo_tuner_end(&tuner);
    device->api->close(device);
    assert_int_equal(emulated_objects(), 0);
    assert_string_equal(emulated_report(), "");
}

static void write_choice(const calo_device_info *info, const char *variant)
{
    calo_tuning tuning = { 0 };
    const calo_peaks peaks = { { 1, 1 }, { 1, 1 } };
    calo_fault fault = { 0 };
    char key[CALO_KEY_TEXT];
    const calo_learned learned = learned_product(key);
    calo_choice choice = { .key = learned.key, .seconds = 1, .standard_s = 2 };
    for (int i = 0; i < calo_op_linear.variant_count; i++)
        if (strcmp(calo_op_linear.variants[i].name, variant) == 0)
            choice.variant = &calo_op_linear.variants[i];
    for (int i = 0; i < CALO_MAX_TUNABLES && choice.variant->tunables[i].name; i++)
        choice.values[i] = choice.variant->tunables[i].values[0];
    assert_int_equal(calo_tuning_put(&tuning, &choice, &fault), CALO_OK);
    assert_int_equal(calo_tuning_write(path, info, &tuning, &peaks, &fault), CALO_OK);
    calo_tuning_free(&tuning);
}

static void a_library_is_opened_where_it_was_chosen(void **state)
{
    (void)state;
    calo_open_options options = CALO_OPEN_OPTIONS_INIT;
    calo_context *context = NULL;
    char key[CALO_KEY_TEXT];
    calo_learned learned = learned_product(key);
    calo_device *device = open_device();
    const calo_device_info info = device->info;
    device->api->close(device);
    options.device = "cuda";
    options.tuning = path;
    static const char *const variants[] = { "mma", "cublas" };
    for (int i = 0; i < 2; i++) {
        write_choice(&info, variants[i]);
        assert_int_equal(calo_open(&context, &options), CALO_OK);
        assert_non_null(context->device->info.tuning);
        assert_int_equal(context->device->info.vendor & CALO_VENDOR_BLAS, i ? CALO_VENDOR_BLAS : 0);
        assert_true(i || !context->device->info.vendor);
        calo_run run = { .info = context->device->info };
        assert_string_equal(calo_choose(&run, &learned.call, NULL)->name, variants[i]);
        run.info.vendor = 0; /* as where the library is gone */
        assert_string_equal(calo_choose(&run, &learned.call, NULL)->name, i ? "wgmma" : "mma");
        calo_close(&context);
    }
    assert_int_equal(emulated_objects(), 0);
}

/* The peaks of an emulated device say nothing and take minutes (the linker's --wrap). */
calo_status __wrap_calo_device_probe(calo_device *device, calo_fault *fault);
calo_status __wrap_calo_device_probe(calo_device *device, calo_fault *fault)
{
    device->info.peak_flops = device->info.peak_bandwidth = 1e9;
    return fault->status;
}

static int stop_after(void *user, int done, int total, const char *call)
{
    (void)user, (void)total, (void)call;
    return done == 3;
}

/* The first calls of a whole flow, by the machine's clock. */
static void a_flow_is_tuned(void **state)
{
    (void)state;
    calo_open_options options = CALO_OPEN_OPTIONS_INIT;
    calo_load_options types = CALO_LOAD_OPTIONS_INIT;
    calo_tune_options tune = CALO_TUNE_OPTIONS_INIT;
    calo_request request = CALO_REQUEST_INIT;
    calo_context *context = NULL;
    calo_model *model = NULL;
    calo_tune_report *report;
    calo_tuning tuning = { 0 };
    options.device = "cuda";
    options.tuning = path;
    unlink(path);
    types.dtype = CALO_F16;
    request.prompt = "x";
    request.steps = 1;
    request.width = request.height = 16;
    tune.rounds = 1;
    tune.on_call = stop_after;
    assert_int_equal(calo_open(&context, &options), CALO_OK);
    assert_int_equal(calo_load(context, model_path, &types, &model), CALO_OK);
    assert_int_equal(calo_tune(model, &request, &tune, &report), CALO_ECANCELLED);
    assert_int_equal(calo_tuning_read(path, &context->device->info, &tuning, NULL), CALO_OK);
    assert_int_equal(tuning.count, 3);
    calo_tuning_free(&tuning);
    calo_unload(&model);
    calo_close(&context);
    assert_int_equal(emulated_objects(), 0);
    assert_string_equal(emulated_report(), "");
}

int main(int count, char **words)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_variant_can_win),
        cmocka_unit_test(a_library_is_opened_where_it_was_chosen),
        cmocka_unit_test(a_flow_is_tuned),
    };
    const int descriptor = mkstemp(path);
    if (descriptor < 0 || count < 2)
        return 2;
    model_path = words[1];
    close(descriptor);
    emulate(90);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
