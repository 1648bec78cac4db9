/* Files of suspended jobs that are damaged, cut, or not this model's: each is refused in a sentence that names it, and
   none crashes. Runs in the sanitizers' build, too. */
#include "command.h"

#include "../../engine/calotype.h"
#include "../../engine/shim.h"
#include "../../engine/weights/safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static calo_context *context;
static calo_model *model;

static calo_status resume(const char *path)
{
    calo_job *job = NULL;
    const calo_status status = calo_job_resume(model, NULL, path, &job);
    if (status) {
        assert_null(job);
        assert_true(*calo_error(context));
        return status;
    }
    int left; /* what was accepted can also be used, whatever comes of it */
    calo_job_step(job, &left);
    calo_job_close(&job);
    return CALO_OK;
}

static void expect(calo_status found, calo_status status, const char *word)
{
    if (found != status || !strstr(calo_error(context), word))
        print_message("status %d (expected %d), '%s' (expected to name %s)\n", found, status, calo_error(context),
                      word);
    assert_int_equal(found, status);
    assert_non_null(strstr(calo_error(context), word));
}

/* ---- a file with all that one can hold --------------------------------------------------------------------------- */

static const char *sound(void)
{
    static char path[1100];
    enum { SIDE = 32 };
    const calo_region region = { 0, 0, 16, 32, "a blue house", "trees", 0.5 };
    uint8_t pixels[SIDE * SIDE * 4], white[SIDE * SIDE];
    calo_image *init, *mask;
    calo_job *job;
    if (*path)
        return path;
    snprintf(path, sizeof path, "%s/sound.job", work_path);
    for (int i = 0; i < SIDE * SIDE; i++) {
        const uint8_t colour[] = { (uint8_t)(i * 3), (uint8_t)(i / 4), 90, (uint8_t)(255 - i % 7) };
        memcpy(pixels + 4 * i, colour, 4);
        white[i] = i % SIDE >= 8 && i / SIDE >= 8 ? 255 : 0;
    }
    assert_int_equal(calo_make_image(context, SIDE, SIDE, 4, pixels, &init), CALO_OK);
    assert_int_equal(calo_make_image(context, SIDE, SIDE, 1, white, &mask), CALO_OK);
    calo_request r = CALO_REQUEST_INIT;
    r.prompt = "a red house";
    r.negative = "night";
    r.prompt_2 = r.negative_2 = "x";
    r.scheduler = "dpmpp_2m";
    r.spacing = "linspace";
    r.steps = 4;
    r.count = 2;
    r.init = init;
    r.mask = mask;
    r.inpaint = 1;
    r.regions = &region;
    r.region_count = 1;
    assert_int_equal(calo_job_open(model, &r, &job), CALO_OK);
    for (int i = 0; i < 6; i++)
        assert_int_equal(calo_job_step(job, NULL), CALO_OK);
    assert_int_equal(calo_job_suspend(job, path), CALO_OK);
    calo_job_close(&job);
    calo_free_image(&init);
    calo_free_image(&mask);
    assert_int_equal(resume(path), CALO_OK);
    return path;
}

typedef struct change {
    const char *request; /* another text; NULL: the same */
    const char *drop;    /* a tensor that is left out */
    const char *flat;    /* one whose shape is one row */
    const char *retyped; /* one of another type */
} change;

/* The sound file's copy with a change, its bytes otherwise the same. */
static const char *changed(const change *c)
{
    static char path[1100];
    calo_tensor_file file;
    calo_writer *writer;
    calo_fault fault = { 0 };
    calo_tensor_record records[32];
    int64_t count = 0;
    snprintf(path, sizeof path, "%s/changed.job", work_path);
    assert_int_equal(calo_tensor_file_open(sound(), &file, &fault), CALO_OK);
    assert_true(file.count <= 32);
    for (int pass = 0; pass < 2; pass++) {
        if (pass)
            assert_int_equal(calo_safetensors_begin(path, records, count, &writer, &fault), CALO_OK);
        for (int64_t i = 0; i < file.count; i++) {
            const calo_entry *e = &file.entries[i];
            const bool is_request = c->request && strcmp(e->name, "request") == 0;
            if (c->drop && strcmp(e->name, c->drop) == 0)
                continue;
            if (!pass) {
                calo_tensor_record *r = &records[count++];
                *r = (calo_tensor_record){ .name = e->name, .type = e->type, .rank = e->rank };
                memcpy(r->dims, e->dims, sizeof r->dims);
                if (is_request)
                    r->dims[0] = (int64_t)strlen(c->request);
                if (c->flat && strcmp(e->name, c->flat) == 0)
                    r->rank = 1, r->dims[0] = (int64_t)(e->size / calo_stored_size(e->type));
                if (c->retyped && strcmp(e->name, c->retyped) == 0)
                    r->rank = 1, r->type = CALO_STORED_I8, r->dims[0] = (int64_t)e->size;
                continue;
            }
            char *bytes = malloc((size_t)e->size + 1);
            assert_int_equal(calo_file_read(e->file, e->begin, bytes, (size_t)e->size, &fault), CALO_OK);
            assert_int_equal(calo_writer_put(writer, is_request ? c->request : bytes,
                                             is_request ? strlen(c->request) : (size_t)e->size, &fault),
                             CALO_OK);
            free(bytes);
        }
    }
    assert_int_equal(calo_writer_commit(&writer, &fault), CALO_OK);
    calo_tensor_file_close(&file);
    return path;
}

static cJSON *read_request(void)
{
    calo_tensor_file file;
    calo_fault fault = { 0 };
    assert_int_equal(calo_tensor_file_open(sound(), &file, &fault), CALO_OK);
    const calo_entry *e = calo_tensor_file_find(&file, "request");
    char *text = calloc(1, (size_t)e->size + 1);
    assert_int_equal(calo_file_read(e->file, e->begin, text, (size_t)e->size, &fault), CALO_OK);
    cJSON *root = cJSON_Parse(text);
    assert_non_null(root);
    free(text);
    calo_tensor_file_close(&file);
    return root;
}

static calo_status resume_text(const char *text)
{
    return resume(changed(&(change){ .request = text }));
}

/* ---- tests ------------------------------------------------------------------------------------------------------ */

static void cut_short(void **state)
{
    (void)state;
    struct stat about;
    const char *path = in_work("cut.job");
    assert_int_equal(stat(sound(), &about), 0);
    char *bytes = malloc((size_t)about.st_size);
    FILE *file = fopen(sound(), "rb");
    assert_non_null(file);
    assert_int_equal(fread(bytes, 1, (size_t)about.st_size, file), about.st_size);
    fclose(file);
    int cuts = 0;
    for (long size = 0; size < about.st_size; size += 97, cuts++) {
        file = fopen(path, "wb");
        assert_non_null(file);
        fwrite(bytes, 1, (size_t)size, file);
        fclose(file);
        expect(resume(path), CALO_EFILE, "cut.job");
    }
    free(bytes);
    print_message("%d cuts of %ld bytes\n", cuts, (long)about.st_size);
    expect(resume(in_work("nowhere.job")), CALO_EFILE, "nowhere.job");
    expect(resume(work_path), CALO_EFILE, work_path);
}

typedef enum place { ROOT, REQUEST, REGION } place;

static cJSON *object_at(cJSON *root, place where)
{
    cJSON *request = cJSON_GetObjectItem(root, "request");
    return where == ROOT      ? root
           : where == REQUEST ? request
                              : cJSON_GetArrayItem(cJSON_GetObjectItem(request, "regions"), 0);
}

/* Resumes with the field `name` holding `value`, a JSON text, or without it (NULL). */
static calo_status with(place where, const char *name, const char *value)
{
    cJSON *root = read_request(), *object = object_at(root, where);
    if (value)
        cJSON_ReplaceItemInObjectCaseSensitive(object, name, cJSON_Parse(value));
    else
        cJSON_DeleteItemFromObjectCaseSensitive(object, name);
    char *text = cJSON_PrintUnformatted(root);
    const calo_status status = resume(changed(&(change){ .request = text }));
    cJSON_free(text);
    cJSON_Delete(root);
    return status;
}

/* A field of every kind of value that it is not: types must be what they were, numbers may be others in their range. */
static int spoil(place where)
{
    static char huge[100003];
    static const char *const wrongs[] = { "null",   "true",
                                          "[]",     "{}",
                                          "[[[]]]", "-7",
                                          "0.5",    "1e300",
                                          "1e15",   "\"word\"",
                                          "\"\"",   "-0.5",
                                          huge,     "18446744073709551616",
                                          "\"-1\"", "\"18446744073709551616\"",
                                          NULL };
    memset(huge, 'a', sizeof huge - 1);
    huge[0] = huge[sizeof huge - 2] = '"';
    cJSON *root = read_request();
    int count = 0;
    for (const cJSON *item = object_at(root, where)->child; item; item = item->next)
        for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++, count++) {
            const char *wrong = wrongs[i], *name = item->string;
            const bool none = !wrong || strcmp(wrong, "null") == 0, scalar = wrong && strchr("-0123456789", *wrong);
            const bool is_long = strstr(name, "seed"), is_text = cJSON_IsString(item) && !is_long;
            const bool fits = (is_text && (none || *wrong == '"')) || (cJSON_IsNumber(item) && scalar) ||
                              (!cJSON_IsString(item) && !cJSON_IsNumber(item) && wrong && *wrong == '[');
            const calo_status status = with(where, name, wrong);
            const bool known =
                status == CALO_OK || status == CALO_EFILE || status == CALO_EUSAGE || status == CALO_EMEMORY;
            const bool huge_number = wrong && strcmp(wrong, "1e300") == 0 && strcmp(name, "refiner_start") != 0;
            if (!known || (!fits && status != CALO_EFILE) || (huge_number && status == CALO_OK))
                print_message("%s: %.30s gives %d, %s\n", name, wrong ? wrong : "its absence", status,
                              calo_error(context));
            assert_true(known);
            assert_true(fits || status == CALO_EFILE);
            assert_false(huge_number && status == CALO_OK);
        }
    cJSON_Delete(root);
    return count;
}

static void every_field(void **state)
{
    (void)state;
    const int count = spoil(ROOT) + spoil(REQUEST) + spoil(REGION);
    print_message("%d damaged fields\n", count);
    assert_int_equal(with(ROOT, "frame", "1"), CALO_OK); /* the test's own way of writing is right */
}

/* Positions that no job has. The sound one is at call 2 of picture 1, counted from 0. */
static void positions(void **state)
{
    (void)state;
    assert_int_equal(with(ROOT, "calls", "2"), CALO_OK);
    expect(with(ROOT, "calls", "4"), CALO_EFILE, "call 4");
    expect(with(ROOT, "calls", "1000000"), CALO_EFILE, "call");
    expect(with(ROOT, "frame", "2"), CALO_EFILE, "picture 2");
    expect(with(ROOT, "stage", "1"), CALO_EFILE, "stage 1");
    expect(with(ROOT, "stage", "2"), CALO_EFILE, "stage 2");
    expect(with(ROOT, "begun", "3"), CALO_EFILE, "schedule");
    assert_int_equal(with(ROOT, "calls", "-1"), CALO_OK);
    expect(with(ROOT, "version", "7"), CALO_EFILE, "version");
}

static void every_tensor(void **state)
{
    (void)state;
    static const char *const names[] = { "request",    "generators", "latents.000", "latents.001",
                                         "register.4", "clean",      "init.alpha" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], "init.alpha") != 0) /* without it the picture is opaque */
            expect(resume(changed(&(change){ .drop = names[i] })), CALO_EFILE, names[i]);
        if (strcmp(names[i], "request") != 0) /* which is one row */
            expect(resume(changed(&(change){ .flat = names[i] })), CALO_EFILE, names[i]);
        expect(resume(changed(&(change){ .retyped = names[i] })), CALO_EFILE, names[i]);
    }
    static const char *const pictures[] = { "init", "mask" };
    for (int i = 0; i < 2; i++) {
        expect(resume(changed(&(change){ .flat = pictures[i] })), CALO_EFILE, pictures[i]);
        assert_int_equal(resume(changed(&(change){ .drop = pictures[i] })), CALO_EFILE);
    }
    static const char *const texts[] = { "",
                                         "{",
                                         "[]",
                                         "null",
                                         "{}",
                                         "{\"version\":1}",
                                         "{\"version\":1,\"request\":[]}",
                                         "{\"version\":1,\"request\":{}}" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect(resume_text(texts[i]), CALO_EFILE, "changed.job");
    char *deep = malloc(200001);
    memset(deep, '[', 200000);
    deep[200000] = '\0';
    expect(resume_text(deep), CALO_EFILE, "nested");
    free(deep);
}

/* One byte is another: refused, or another picture, or numbers that are not finite. */
static void flipped(void **state)
{
    (void)state;
    struct stat about;
    assert_int_equal(stat(sound(), &about), 0);
    char *bytes = malloc((size_t)about.st_size);
    FILE *file = fopen(sound(), "rb");
    assert_int_equal(fread(bytes, 1, (size_t)about.st_size, file), about.st_size);
    fclose(file);
    srand(11);
    for (int i = 0; i < 300; i++) {
        const long at = i < 200 ? rand() % 3000 : rand() % about.st_size;
        const char before = bytes[at];
        bytes[at] = (char)(i % 3 ? before ^ (1 << rand() % 8) : rand());
        file = fopen(in_work("flipped.job"), "wb");
        fwrite(bytes, 1, (size_t)about.st_size, file);
        fclose(file);
        bytes[at] = before;
        resume(in_work("flipped.job"));
    }
    free(bytes);
}

static void other_models(void **state)
{
    (void)state;
    calo_load_options options = CALO_LOAD_OPTIONS_INIT;
    calo_model *own = model;
    char weights[1200];
    options.dtype = CALO_F16;
    assert_int_equal(calo_load(context, model_path, &options, &model), CALO_OK);
    expect(resume(sound()), CALO_EFILE, "f16");
    calo_unload(&model);
    /* The same model but for one number of its UNet. */
    copy_model("other");
    snprintf(weights, sizeof weights, "%s/unet/diffusion_pytorch_model.safetensors", in_work("other"));
    FILE *file = fopen(weights, "r+b");
    assert_non_null(file);
    fseek(file, -2, SEEK_END);
    const int low = fgetc(file);
    fseek(file, -2, SEEK_END);
    fputc(low ^ 1, file);
    fclose(file);
    options.dtype = CALO_F32;
    assert_int_equal(calo_load(context, in_work("other"), &options, &model), CALO_OK);
    expect(resume(sound()), CALO_EFILE, "other weights");
    /* A refiner where there was none. */
    calo_job *job;
    expect(calo_job_resume(own, own, sound(), &job), CALO_EUSAGE, "refiner");
    calo_unload(&model);
    model = own;
    assert_int_equal(resume(sound()), CALO_OK);
}

int main(int count, char **words)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_short),    cmocka_unit_test(every_field), cmocka_unit_test(positions),
        cmocka_unit_test(every_tensor), cmocka_unit_test(flipped),     cmocka_unit_test(other_models),
    };
    calo_load_options options = CALO_LOAD_OPTIONS_INIT;
    if (count != 4)
        return fprintf(stderr, "usage: test_states CALOTYPE MODEL WORK\n"), 2;
    calotype_path = words[1];
    model_path = words[2];
    work_path = words[3];
    mkdir(work_path, 0777);
    options.dtype = CALO_F32;
    if (calo_open(&context, NULL) || calo_load(context, model_path, &options, &model))
        return fprintf(stderr, "%s\n", calo_error(context)), 1;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    calo_unload(&model);
    calo_close(&context);
    return failed;
}
