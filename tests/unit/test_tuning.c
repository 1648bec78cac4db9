/* Measured choices: what a file may say, that the door obeys it, and that a flow makes one. */
#include "../../engine/context.h"
#include "../../engine/shim.h"
#include "../../kernels/ledger.h"
#include "../../kernels/resample/resample.h"
#include "../../pipelines/tuning_file.h"
#include "allocations.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tuning_calls.h"

#define DEMO CALO_TEST_DATA "/../tools/demo/model"

static calo_device *device;
static char folder[] = "/tmp/calo_tuning_XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_text(const char *path, const char *text, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    fclose(file);
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

static const calo_variant *variant_of(const calo_op *op, const char *name)
{
    for (int i = 0; i < op->variant_count; i++)
        if (op->variants[i].backend == CALO_OPENCL && strcmp(op->variants[i].name, name) == 0)
            return &op->variants[i];
    fail_msg("%s has no variant %s", op->name, name);
    return NULL;
}

/* A file that chooses "tile" with ROWS 4 for products of 5 rows and "row" for those of 6. */
static void write_choices(const char *path)
{
    calo_tuning tuning = { 0 };
    const calo_peaks peaks = { { 1e9, 2e9 }, { 3e9, 4e9 } };
    calo_fault fault = { 0 };
    char key[CALO_KEY_TEXT];
    for (int i = 0; i < 2; i++) {
        const calo_learned learned = learned_product(6 - i, key);
        const calo_choice choice = { .key = learned.key,
                                     .variant = variant_of(&calo_op_linear, i ? "tile" : "row"),
                                     .values = { i ? 4 : 1 },
                                     .seconds = 1e-5,
                                     .standard_s = 2e-5 };
        assert_int_equal(calo_tuning_put(&tuning, &choice, &fault), CALO_OK);
        assert_int_equal(calo_tuning_put(&tuning, &choice, &fault), CALO_OK); /* the same again replaces it */
    }
    assert_int_equal(tuning.count, 2);
    assert_int_equal(calo_tuning_write(path, &device->info, &tuning, &peaks, &fault), CALO_OK);
    calo_tuning_free(&tuning);
}

static bool reads(const char *path)
{
    calo_tuning tuning = { 0 };
    calo_fault fault = { 0 };
    const calo_status status = calo_tuning_read(path, &device->info, &tuning, &fault);
    assert_true(status == CALO_OK ? tuning.count > 0 : tuning.count == 0 && !tuning.choices && *fault.text);
    assert_true(status == CALO_OK || status == CALO_EFILE);
    calo_tuning_free(&tuning);
    return status == CALO_OK;
}

static void files_say_what_was_measured(void **state)
{
    (void)state;
    calo_tuning tuning = { 0 };
    calo_fault fault = { 0 };
    char path[256], key[CALO_KEY_TEXT];
    snprintf(path, sizeof path, "%s/new/folders/choices.json", folder);
    write_choices(path);
    assert_int_equal(calo_tuning_read(path, &device->info, &tuning, &fault), CALO_OK);
    assert_int_equal(tuning.count, 2);
    const calo_learned five = learned_product(5, key), seven = learned_product(7, (char[CALO_KEY_TEXT]){ 0 });
    const calo_choice *choice = calo_tuning_find(&tuning, &five.call);
    assert_non_null(choice);
    assert_string_equal(choice->variant->name, "tile");
    assert_int_equal(choice->values[0], 4);
    assert_true(choice->seconds == 1e-5 && choice->standard_s == 2e-5);
    assert_null(calo_tuning_find(&tuning, &seven.call));
    calo_tuning_free(&tuning);

    calo_device_info other = device->info;
    other.compute_units++;
    assert_int_equal(calo_tuning_read(path, &other, &tuning, NULL), CALO_EFILE);
    other = device->info;
    strcat(other.driver, "+");
    assert_int_equal(calo_tuning_read(path, &other, &tuning, &fault), CALO_EFILE);
    assert_non_null(strstr(fault.text, "another device"));

    char a[256], b[256];
    calo_tuning_path(&device->info, a, sizeof a);
    calo_tuning_path(&other, b, sizeof b);
    assert_string_not_equal(a, b);
    assert_non_null(strstr(a, "/calotype/tuning/"));
    calo_tuning_path(&device->info, b, 20);
    assert_string_equal(b, "");
    fault = (calo_fault){ 0 };
    assert_int_equal(calo_tuning_expect(path, &fault), CALO_OK);
    assert_true(reads(path));
    strcat(path, "/choices.json"); /* below a file */
    assert_int_equal(calo_tuning_expect(path, &fault), CALO_EFILE);
}

/* The file's text with `from` (its first place) replaced by `to`. */
static void write_changed(const char *path, const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    char *changed = calloc(1, strlen(text) + strlen(to) + 1);
    if (!at)
        fail_msg("%s is not in the file", from);
    memcpy(changed, text, (size_t)(at - text));
    strcat(strcat(changed, to), at + strlen(from));
    write_text(path, changed, strlen(changed));
    free(changed);
}

static void damaged_files_are_as_none(void **state)
{
    (void)state;
    static const char *const changes[][2] = {
        { "\"calotype_tuning\":\t1", "\"calotype_tuning\":\t2" },
        { "\"calotype_tuning\":\t1", "\"calotype_tuning\":\t\"1\"" },
        { "\"variants\":\t\"", "\"variants\":\t\"0" },
        { "\"device\":\t\"", "\"device\":\t\"other " },
        { "\"driver\":\t\"", "\"driver\":\t\"other " },
        { "\"compute_units\":\t", "\"compute_units\":\t9" },
        { "\"choices\":\t[", "\"choices\":\t7, \"more\":\t[" },
        { "\"choices\":\t[", "\"choices\":\t[null, " },
        { "\"choices\":\t[", "\"choices\":\t[[[[]]], " },
        { "\"linear f32", "\"bilinear f32" },
        { "\"linear f32", "\"" },
        { "\"call\":\t\"linear", "\"call\":\t5, \"other\":\t\"linear" },
        { "linear f32:2x6x16 f16p:48x16 f32:48 > f32:2x6x48 : 0", /* twice the same call */
          "linear f32:2x5x16 f16p:48x16 f32:48 > f32:2x5x48 : 0" },
        { "\"variant\":\t\"tile\"", "\"variant\":\t\"wgmma\"" },
        { "\"variant\":\t\"tile\"", "\"variant\":\t\"tilee\"" },
        { "\"variant\":\t\"tile\"", "\"variant\":\t{}" },
        { "\"ROWS\":\t4", "\"ROWS\":\t5" },
        { "\"ROWS\":\t4", "\"ROWS\":\t0" },
        { "\"ROWS\":\t4", "\"ROWS\":\t-4" },
        { "\"ROWS\":\t4", "\"ROWS\":\t4e300" },
        { "\"ROWS\":\t4", "\"ROWS\":\t\"4\"" },
        { "\"ROWS\":\t4", "\"LINES\":\t4" },
        { "\"ROWS\":\t4", "\"ROWS\":\t4, \"MORE\":\t1" },
        { "\"tunables\":\t{", "\"tunables\":\t[], \"others\":\t{" },
        { "\"seconds\":\t", "\"seconds\":\t-" },
        { "\"seconds\":\t", "\"seconds\":\t1e999, \"others\":\t" },
        { "\"standard_s\":\t", "\"others\":\t" },
    };
    char path[256];
    snprintf(path, sizeof path, "%s", in_folder("damaged.json"));
    assert_false(reads(in_folder("missing.json")));
    assert_false(reads(folder));
    write_choices(path);
    assert_true(reads(path));
    char *text;
    size_t size;
    assert_int_equal(calo_read_file(path, 1 << 20, &text, &size, NULL), CALO_OK);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        write_changed(path, text, changes[i][0], changes[i][1]);
        if (reads(path))
            fail_msg("read with %s for %s", changes[i][1], changes[i][0]);
    }
    for (size_t i = 0; i + 2 < size; i++) { /* up to the last brace */
        write_text(path, text, i);
        if (reads(path))
            fail_msg("read after a cut at byte %zu of %zu", i, size);
    }
    text[size / 2] = '\0';
    write_text(path, text, size);
    assert_false(reads(path));
    calo_free(text);

    char *huge = calloc(1, 9 << 20); /* more than a file may have; and nested */
    memset(huge, ' ', 9 << 20);
    write_text(path, huge, 9 << 20);
    assert_false(reads(path));
    memset(huge, '[', 1 << 20);
    write_text(path, huge, 1 << 20);
    assert_false(reads(path));
    free(huge);
}

static void no_memory_is_no_crash(void **state)
{
    (void)state;
    const char *path = in_folder("memory.json");
    bool done = false;
    write_choices(path);
    for (int i = 0; !done; i++) {
        calo_tuning tuning = { 0 };
        calo_fault fault = { 0 };
        allocations_left = i;
        const calo_status status = calo_tuning_read(path, &device->info, &tuning, &fault);
        done = allocations_left >= 0;
        allocations_left = -1;
        assert_true(status == CALO_OK || (status == CALO_EMEMORY && !tuning.choices));
        assert_true(done == (status == CALO_OK));
        calo_tuning_free(&tuning);
    }
}

/* ---- the door --------------------------------------------------------------------------------------------------- */

/* The macros of the last kernel that was asked for. */
static char macros[512];
static const calo_device_api *real;

static calo_status spying_kernel(calo_device *d, const calo_kernel_key *key, calo_kernel **kernel, calo_fault *fault)
{
    snprintf(macros, sizeof macros, "%s", key->options);
    return real->kernel(d, key, kernel, fault);
}

/* The choice for a product of so many rows, and that its numbers are right. */
static const char *door_takes(const calo_device_info *info, int64_t rows, char *text)
{
    calo_device_api spying = *(real = device->api);
    spying.kernel = spying_kernel;
    device->api = &spying;
    calo_fault fault = { 0 };
    calo_arena arena;
    calo_ledger ledger = { 0 };
    char key[CALO_KEY_TEXT];
    const calo_learned learned = learned_product(rows, key);
    calo_arena_init(&arena, device, &device->info);
    calo_run run = { .info = *info, .arena = &arena, .dtype = CALO_F32, .fault = &fault, .ledger = &ledger };
    for (int pass = 0; pass < 2; pass++) {
        calo_call call = learned.call;
        run.device = pass ? device : NULL;
        run.check = pass;
        for (int i = 0; i < 3; i++) {
            const calo_tensor t = call.in[i];
            const int64_t count = (int64_t)(calo_tensor_bytes(t) / calo_type_size(t.type));
            calo_tensor flat = calo_new(&run, t.type, 1, &count);
            float values[4096] = { 0 };
            assert_true(count <= 4096);
            for (int64_t k = 0; k < count; k++)
                values[k] = (float)(k * 37 % 101) / 50 - 1;
            calo_upload(&run, flat, values);
            call.in[i].buffer = flat.buffer;
            call.in[i].offset = flat.offset;
        }
        call.out = (calo_tensor){ 0 };
        calo_perform(&run, &call);
        if (!pass)
            assert_int_equal(calo_arena_commit(&arena, &fault), CALO_OK);
    }
    assert_string_equal(fault.text, "");
    snprintf(text, CALO_VARIANT_TEXT, "%s", ledger.entries[0].variant);
    assert_int_equal(ledger.count, 1); /* the plan and the run took the same */
    assert_string_equal(calo_choose(&run, &learned.call, NULL)->name, text);
    calo_ledger_free(&ledger);
    calo_arena_free(&arena);
    device->api = real;
    return text;
}

static int informed;
static void on_log(void *user, calo_log_level level, const char *sentence)
{
    (void)user;
    informed += level == CALO_LOG_INFO && strstr(sentence, "measured choices") != NULL;
    assert_true(level >= CALO_LOG_INFO);
}

static calo_context *open_with(const char *path)
{
    calo_open_options options = CALO_OPEN_OPTIONS_INIT;
    calo_context *context = NULL;
    options.device = "opencl";
    options.tuning = path;
    options.on_log = on_log;
    informed = 0;
    assert_int_equal(calo_open(&context, &options), CALO_OK);
    return context;
}

static void the_door_obeys_a_file(void **state)
{
    (void)state;
    char text[CALO_VARIANT_TEXT];
    const char *path = in_folder("door.json");
    write_choices(path);
    calo_context *context = open_with(path);
    assert_int_equal(informed, 1);
    assert_non_null(context->device->info.tuning);
    assert_string_equal(door_takes(&context->device->info, 5, text), "tile");
    assert_non_null(strstr(macros, "-DROWS=4"));
    assert_string_equal(door_takes(&context->device->info, 6, text), "row");
    assert_string_equal(door_takes(&context->device->info, 7, text), "tile"); /* the table's own */
    assert_non_null(strstr(macros, "-DROWS=12"));
    calo_close(&context);

    write_text(path, "{}", 2);
    context = open_with(path);
    assert_int_equal(informed, 1);
    assert_null(context->device->info.tuning);
    assert_string_equal(door_takes(&context->device->info, 6, text), "tile");
    calo_close(&context);
    context = open_with("");
    assert_int_equal(informed, 0);
    assert_null(context->device->info.tuning);
    calo_close(&context);
    char long_path[2000] = { 0 };
    memset(long_path, 'x', sizeof long_path - 1);
    calo_open_options options = { .size = sizeof options, .device = "opencl", .tuning = long_path };
    assert_int_equal(calo_open(&context, &options), CALO_EUSAGE);
    calo_close(&context);
}

/* The user's own file is found where no path is given. The last test: the environment stays changed. */
static void the_users_own_file(void **state)
{
    (void)state;
    char path[256];
    setenv("XDG_CACHE_HOME", folder, 1);
    calo_tuning_path(&device->info, path, sizeof path);
    write_choices(path);
    calo_context *context = open_with(NULL);
    assert_non_null(context->device->info.tuning);
    calo_close(&context);
    unlink(path);
    context = open_with(NULL);
    assert_null(context->device->info.tuning);
    calo_close(&context);
}

/* A choice for a call that its variant cannot do is no choice. */
static void what_cannot_do_it_is_not_taken(void **state)
{
    (void)state;
    const calo_resample_args nearest = { 8, 8, false };
    calo_call call = { .op = &calo_op_resample, .args = &nearest };
    calo_tuning tuning = { 0 };
    calo_fault fault = { 0 };
    char key[CALO_KEY_TEXT];
    call.in[0] = calo_shape(CALO_F32, 4, (int64_t[]){ 1, 4, 4, 8 });
    assert_int_equal(call.op->infer(&call, &fault), CALO_OK);
    calo_run run = { .info = device->info, .dtype = CALO_F32, .fault = &fault };
    const calo_variant *standard = calo_choose(&run, &call, NULL);
    const calo_choice choice = { .key = calo_call_key(&call, key),
                                 .variant = variant_of(call.op, "bilinear_number"),
                                 .seconds = 1,
                                 .standard_s = 2 };
    assert_int_equal(calo_tuning_put(&tuning, &choice, &fault), CALO_OK);
    assert_non_null(calo_tuning_find(&tuning, &call));
    run.info.tuning = &tuning;
    assert_non_null(standard);
    assert_ptr_equal(calo_choose(&run, &call, NULL), standard);
    calo_tuning_free(&tuning);
}

/* ---- a flow ----------------------------------------------------------------------------------------------------- */

static int stop_after(void *user, int done, int total, const char *call)
{
    assert_true(done < total && *call);
    return done == *(int *)user;
}

/* Stopped after two calls, which are kept beside what the file held. */
static void a_flow_is_tuned(void **state)
{
    (void)state;
    const char *path = in_folder("flow.json");
    calo_model *model = NULL;
    calo_request request = CALO_REQUEST_INIT;
    calo_tune_options options = CALO_TUNE_OPTIONS_INIT;
    calo_tune_report *report;
    calo_tuning tuning = { 0 };
    int last = 2;
    write_choices(path);
    calo_context *context = open_with(path);
    assert_int_equal(calo_load(context, DEMO, NULL, &model), CALO_OK);
    request.prompt = "a red house";
    request.steps = 1;
    request.width = request.height = 16;
    options.rounds = 1;
    options.on_call = stop_after;
    options.user = &last;
    assert_int_equal(calo_tune(model, &request, &options, &report), CALO_ECANCELLED);
    assert_null(report);
    assert_int_equal(calo_tuning_read(path, &device->info, &tuning, NULL), CALO_OK);
    assert_int_equal(tuning.count, 4);
    calo_tuning_free(&tuning);

    options.rounds = 0;
    assert_int_equal(calo_tune(model, &request, &options, &report), CALO_EUSAGE);
    options.rounds = 1;
    options.size = 1;
    assert_int_equal(calo_tune(model, &request, &options, &report), CALO_EUSAGE);
    request.steps = 0;
    assert_int_equal(calo_tune(model, &request, NULL, &report), CALO_EUSAGE);
    assert_null(report);

    /* The weights come back by themselves. */
    calo_image *image = NULL;
    request.steps = 1;
    assert_int_equal(calo_generate(model, &request, &image), CALO_OK);
    calo_free_image(&image);
    calo_unload(&model);
    calo_close(&context);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_say_what_was_measured),
        cmocka_unit_test(damaged_files_are_as_none),
        cmocka_unit_test(no_memory_is_no_crash),
        cmocka_unit_test(the_door_obeys_a_file),
        cmocka_unit_test(what_cannot_do_it_is_not_taken),
        cmocka_unit_test(a_flow_is_tuned),
        cmocka_unit_test(the_users_own_file),
    };
    calo_fault fault = { 0 };
    if (!mkdtemp(folder) || calo_device_open("opencl", NULL, &device, &fault)) {
        printf("%s\n", fault.text);
        return 1;
    }
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    device->api->close(device);
    char remove[64];
    snprintf(remove, sizeof remove, "rm -r %s", folder);
    if (system(remove) != 0)
        printf("%s is left behind\n", folder);
    return failed;
}
