/* The command as a user meets it: what it refuses, how it stops, that it repeats itself, and that its pictures show what
   their prompts say. */
#include "command.h"

#include "../../engine/png.h"
#include "../../engine/weights/safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUN(...) run_command((const char *const[]){ __VA_ARGS__, NULL }, 0, 0)
#define DRAW "txt2img", "--model", model_path, "--prompt", "a red house", "--quiet"

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* Status, one line on stderr that holds `word`, and no picture left. */
static void expect_refusal(outcome o, int status, const char *word)
{
    if (o.status != status || !strstr(o.errors, word))
        print_message("status %d (expected %d), stderr: %s(expected to name: %s)\n", o.status, status, o.errors, word);
    assert_int_equal(o.status, status);
    assert_non_null(strstr(o.errors, word));
    const char *end = strchr(o.errors, '\n');
    assert_true(end && end[1] == '\0');
    assert_false(exists(in_work("bad.png")));
    assert_false(exists(in_work("bad.png.part")));
}

#define REFUSE(status, word, ...) expect_refusal(RUN(DRAW, "--output", in_work("bad.png"), __VA_ARGS__), status, word)

static void wrong_use(void **state)
{
    (void)state;
    REFUSE(2, "--steps", "--steps", "0");
    REFUSE(2, "--steps", "--steps", "1001");
    REFUSE(2, "--steps", "--steps", "many");
    REFUSE(2, "--seed", "--seed", "-1");
    REFUSE(2, "--seed", "--seed", "18446744073709551616");
    REFUSE(2, "--width", "--width", "100");
    REFUSE(2, "width", "--width", "1000000");
    REFUSE(2, "--height", "--height", "-8");
    REFUSE(2, "--scheduler", "--scheduler", "dpm_sde");
    REFUSE(2, "--spacing", "--spacing", "cubic");
    REFUSE(2, "--prediction", "--prediction", "x");
    REFUSE(2, "--guidance", "--guidance", "nan");
    REFUSE(2, "eta", "--eta", "2", "--scheduler", "ddim");
    REFUSE(2, "--count", "--count", "0");
    REFUSE(2, "clip-skip", "--clip-skip", "99");
    REFUSE(2, "--dtype", "--dtype", "f64");
    REFUSE(2, "--variant", "--variant"); /* no value */
    REFUSE(2, "variant", "--variant", "sd9");
    REFUSE(2, "--nonsense", "--nonsense", "1");
    REFUSE(2, "word", "word");
    REFUSE(2, "device", "--device", "toaster");
    REFUSE(5, "opencl:77", "--device", "opencl:77");
    expect_refusal(RUN("txt2img", "--model", model_path), 2, "--prompt");
    expect_refusal(RUN("txt2img", "--prompt", "x"), 2, "--model");
    expect_refusal(RUN("paint"), 2, "paint");
    expect_refusal(RUN("info"), 2, "info");
    expect_refusal(RUN("make-random", "sd99", in_work("nowhere")), 2, "sd99");
    assert_int_equal(RUN("--help").status, 0);
    assert_int_equal(RUN("txt2img", "--help").status, 0);
}

static void missing_files(void **state)
{
    (void)state;
    const char *bad = in_work("bad.png");
    expect_refusal(RUN("txt2img", "--quiet", "--model", "/nowhere", "--prompt", "x", "--output", bad), 3, "/nowhere");
    expect_refusal(RUN("txt2img", "--quiet", "--model", calotype_path, "--prompt", "x", "--output", bad), 3, calotype_path);
    expect_refusal(RUN("txt2img", "--quiet", "--model", "layout:none", "--prompt", "x", "--output", bad), 2, "none");
    expect_refusal(RUN(DRAW, "--steps", "1", "--output", "/nowhere/x.png"), 3, "/nowhere/x.png");
    expect_refusal(RUN(DRAW, "--steps", "1", "--output", work_path), 3, work_path);
    expect_refusal(RUN(DRAW, "--steps", "1", "--dump", "/nowhere/x", "--output", bad), 3, "/nowhere/x");
}

/* Replaces `from` by `to` in a file of a copy of the model, tries it, and puts the file back. */
static void spoil(const char *file, const char *from, const char *to, const char *word)
{
    char path[1200], text[65536], spoilt[65536 + 64];
    snprintf(path, sizeof path, "%s/%s", in_work("spoilt"), file);
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    text[fread(text, 1, sizeof text - 1, in)] = '\0';
    fclose(in);
    char *at = strstr(text, from);
    assert_non_null(at);
    snprintf(spoilt, sizeof spoilt, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    write_text(path, spoilt);
    expect_refusal(RUN("txt2img", "--quiet", "--model", in_work("spoilt"), "--prompt", "x", "--steps", "1", "--output",
                       in_work("bad.png")),
                   3, word);
    write_text(path, text);
}

static void spoilt_configuration(void **state)
{
    (void)state;
    copy_model("spoilt");
    spoil("unet/config.json", "\"block_out_channels\": [", "\"block_out_channels\": [64,", "unet/config.json");
    spoil("unet/config.json", "\"norm_num_groups\": 16", "\"norm_num_groups\": \"16\"", "norm_num_groups");
    spoil("unet/config.json", "\"norm_num_groups\": 16", "\"norm_num_groups\": 7", "norm_num_groups");
    spoil("unet/config.json", "\"norm_eps\": 1e-05", "\"norm_eps\": true", "norm_eps");
    spoil("unet/config.json", "\"act_fn\": \"silu\"", "\"act_fn\": \"snake\"", "act_fn");
    spoil("unet/config.json", "\"cross_attention_dim\": 128", "\"cross_attention_dim\": 129", "129");
    spoil("unet/config.json", "\"layers_per_block\": 1", "\"layers_per_block\": 2", "resnets.1");
    spoil("unet/config.json", "\"in_channels\": 4", "\"in_channels\": -4", "in_channels");
    spoil("unet/config.json", "\"center_input_sample\": false", "\"center_input_sample\": true", "center_input_sample");
    spoil("unet/config.json", "{", "", "unet/config.json");
    spoil("vae/config.json", "\"latent_channels\": 4", "\"latent_channels\": 1e9", "latent_channels");
    spoil("vae/config.json", "\"scaling_factor\": 0.18215", "\"scaling_factor\": 0", "scaling_factor");
    spoil("text_encoder/config.json", "\"num_attention_heads\": 4", "\"num_attention_heads\": 3", "num_attention_heads");
    spoil("text_encoder/config.json", "\"vocab_size\": 792", "\"vocab_size\": 791", "vocab_size");
    spoil("text_encoder/config.json", "\"hidden_act\": \"quick_gelu\"", "\"hidden_act\": \"relu9\"", "hidden_act");
    spoil("scheduler/scheduler_config.json", "\"beta_start\": 0.00085", "\"beta_start\": []", "beta_start");
    spoil("scheduler/scheduler_config.json", "\"thresholding\": false", "\"thresholding\": true", "thresholding");
    spoil("scheduler/scheduler_config.json", "\"epsilon\"", "\"magic\"", "prediction_type");
    spoil("model_index.json", "StableDiffusionPipeline", "StableCascadePipeline", "StableCascadePipeline");
    spoil("model_index.json", "DDIMScheduler", "HeunScheduler", "HeunScheduler");
    unlink(in_work("spoilt/vae/config.json"));
    expect_refusal(RUN("txt2img", "--quiet", "--model", in_work("spoilt"), "--prompt", "x", "--output", in_work("bad.png")),
                   3, "vae/config.json");
}

static void truncated_weights(void **state)
{
    (void)state;
    const char *model = copy_model("cut");
    char path[1200];
    struct stat about;
    snprintf(path, sizeof path, "%s/unet/diffusion_pytorch_model.safetensors", model);
    assert_int_equal(stat(path, &about), 0);
    const long sizes[] = { about.st_size - 1, about.st_size / 2, 4096, 8, 7, 0 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(truncate(path, sizes[i]), 0);
        expect_refusal(RUN("txt2img", "--quiet", "--model", in_work("cut"), "--prompt", "x", "--output",
                           in_work("bad.png")),
                       3, "diffusion_pytorch_model.safetensors");
    }
}

static void interrupted(void **state)
{
    (void)state;
    /* The first run compiles, so that the interrupted one is among its steps. */
    assert_int_equal(RUN(DRAW, "--steps", "2", "--output", in_work("warm.png")).status, 0);
    const char *const words[] = { DRAW, "--steps", "999", "--count", "20", "--output", in_work("bad.png"), NULL };
    for (double after = 0.05; after < 1.3; after += 0.3) {
        outcome o = run_command(words, after, 0);
        if (o.status != -1) /* before the handler is set, the signal itself ends the process */
            assert_int_equal(o.status, 130);
        assert_false(exists(in_work("bad-1.png")));
        assert_false(exists(in_work("bad-1.png.part")));
    }
}

static void repeats(void **state)
{
    (void)state;
    const char *const words[] = { DRAW, "--steps", "3", "--seed", "5", "--output", in_work("a.png"), "--dump",
                                  in_work("a.safetensors"), NULL };
    unsigned long long picture = 0, dump = 0;
    static const int threads[] = { 0, 0, 1, 2 };
    for (int i = 0; i < 4; i++) {
        assert_int_equal(run_command(words, 0, threads[i]).status, 0);
        const unsigned long long p = file_hash(in_work("a.png")), d = file_hash(in_work("a.safetensors"));
        assert_true(p && d && (i == 0 || (p == picture && d == dump)));
        picture = p;
        dump = d;
    }
}

static void count_equals_single(void **state)
{
    (void)state;
    assert_int_equal(RUN(DRAW, "--steps", "3", "--seed", "40", "--count", "3", "--scheduler", "euler_a", "--output",
                         in_work("many.png")).status, 0);
    for (int i = 0; i < 3; i++) {
        char seed[8], name[32];
        snprintf(seed, sizeof seed, "%d", 40 + i);
        snprintf(name, sizeof name, "many-%d.png", i + 1);
        assert_int_equal(RUN(DRAW, "--steps", "3", "--seed", seed, "--scheduler", "euler_a", "--output",
                             in_work("one.png")).status, 0);
        assert_true(file_hash(in_work(name)) == file_hash(in_work("one.png")));
    }
}

/* Every second tensor of `from` in a file of its own, and a line of the index for each. */
static void write_shard(const calo_tensor_file *from, int which, const char *folder, const char *name, FILE *index)
{
    char path[1200];
    calo_fault fault = { 0 };
    calo_writer *writer = NULL;
    calo_tensor_record *records = calloc((size_t)from->count, sizeof *records);
    int64_t count = 0;
    assert_non_null(records);
    for (int64_t i = which; i < from->count; i += 2) {
        const calo_entry *e = &from->entries[i];
        records[count] = (calo_tensor_record){ .name = e->name, .type = e->type, .rank = e->rank };
        memcpy(records[count++].dims, e->dims, sizeof e->dims);
        fprintf(index, "%s\n\"%s\": \"%s\"", i ? "," : "", e->name, name);
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(calo_safetensors_begin(path, records, count, &writer, &fault), CALO_OK);
    for (int64_t i = which; i < from->count; i += 2) {
        const calo_entry *e = &from->entries[i];
        char *bytes = malloc((size_t)e->size + 1);
        assert_int_equal(calo_file_read(e->file, e->begin, bytes, (size_t)e->size, &fault), CALO_OK);
        assert_int_equal(calo_writer_put(writer, bytes, (size_t)e->size, &fault), CALO_OK);
        free(bytes);
    }
    assert_int_equal(calo_writer_commit(&writer, &fault), CALO_OK);
    free(records);
}

/* The same numbers in shards, under the fp16 variant's names, make the same run; a shard outside the folder is refused. */
static void shards(void **state)
{
    (void)state;
    calo_tensor_file unet;
    calo_fault fault = { 0 };
    char folder[1100], path[1200];
    snprintf(folder, sizeof folder, "%s/unet", copy_model("shards"));
    snprintf(path, sizeof path, "%s/diffusion_pytorch_model.safetensors", folder);
    assert_int_equal(calo_tensor_file_open(path, &unet, &fault), CALO_OK);
    snprintf(path, sizeof path, "%s/diffusion_pytorch_model.safetensors.index.fp16.json", folder);
    FILE *index = fopen(path, "w");
    assert_non_null(index);
    fputs("{\"weight_map\": {", index);
    write_shard(&unet, 0, folder, "part-1.safetensors", index);
    write_shard(&unet, 1, folder, "part-2.safetensors", index);
    fputs("}}\n", index);
    fclose(index);
    calo_tensor_file_close(&unet);
    unlink(in_work("shards/unet/diffusion_pytorch_model.safetensors"));

    const char *models[] = { model_path, in_work("shards") };
    unsigned long long hashes[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(RUN("txt2img", "--model", models[i], "--prompt", "a boat", "--quiet", "--steps", "2", "--output",
                             in_work("s.png"), "--dump", in_work("s.safetensors")).status, 0);
        hashes[i] = file_hash(in_work("s.safetensors"));
    }
    assert_true(hashes[0] && hashes[0] == hashes[1]);
    write_text(path, "{\"weight_map\": {\"conv_in.weight\": \"../vae/diffusion_pytorch_model.safetensors\"}}");
    expect_refusal(RUN("txt2img", "--quiet", "--model", in_work("shards"), "--prompt", "x", "--output", in_work("bad.png")),
                   3, "conv_in.weight");
}

static void parameters_chunk(void **state)
{
    (void)state;
    char *text = NULL;
    calo_fault fault = { 0 };
    assert_int_equal(RUN(DRAW, "--negative", "ночь", "--steps", "1", "--seed", "12345678901234567890", "--output",
                         in_work("text.png")).status, 0);
    assert_int_equal(calo_png_read_text(in_work("text.png"), "parameters", &text, &fault), CALO_OK);
    assert_non_null(text);
    assert_non_null(strstr(text, "a red house\nNegative prompt: ночь\nSteps: 1, Sampler: DDIM, CFG scale: 7.5, "
                                 "Seed: 12345678901234567890, Size: 256x256"));
    calo_free(text);
}

static void other_commands(void **state)
{
    (void)state;
    assert_int_equal(RUN("devices").status, 0);
    outcome info = RUN("info", model_path, "--json");
    assert_int_equal(info.status, 0);
    assert_non_null(strstr(info.output, "\"block_out_channels\""));
    outcome plan = RUN("plan", "txt2img", "--model", "layout:sd15", "--steps", "20", "--json");
    assert_int_equal(plan.status, 0);
    assert_non_null(strstr(plan.output, "\"peak_device_bytes\""));
    outcome check = RUN("check", "txt2img", "--model", model_path, "--prompt", "a", "--steps", "1", "--width", "64",
                        "--height", "64", "--quiet", "--output", in_work("check.png"));
    if (check.status)
        print_message("%s", check.errors);
    assert_int_equal(check.status, 0);
    outcome tune = RUN("tune", "txt2img", "--model", model_path, "--prompt", "a", "--tuning", "/dev/null/x.json");
    assert_int_equal(tune.status, 3); /* said before anything is measured */
    assert_non_null(strstr(tune.errors, "/dev/null"));
}

/* ---- meaning ---------------------------------------------------------------------------------------------------- */

typedef struct pixels {
    double luminance;          /* mean of the picture, 0 … 255 */
    double red, blue, yellow;  /* share of pixels that are clearly so */
    double low_blue;           /* of the lower third: sea */
} pixels;

static pixels look(const char *path)
{
    uint8_t *p = NULL;
    int width = 0, height = 0, channels = 0;
    calo_fault fault = { 0 };
    pixels seen = { 0 };
    assert_int_equal(calo_picture_read(path, &p, &width, &height, &channels, &fault), CALO_OK);
    assert_int_equal(channels, 3);
    const int count = width * height;
    for (int i = 0; i < count; i++) {
        const int r = p[3 * i], g = p[3 * i + 1], b = p[3 * i + 2];
        seen.luminance += (0.299 * r + 0.587 * g + 0.114 * b) / count;
        seen.red += (double)(r > 150 && g < 80 && b < 80) / count;
        seen.blue += (double)(b > 120 && r < 70 && g < 110) / count;
        seen.yellow += (double)(r > 180 && g > 150 && b < 90) / count;
        if (i >= count / 3 * 2)
            seen.low_blue += (double)(b > r + 30) / (count / 3.0);
    }
    calo_free(p);
    return seen;
}

/* Thresholds lie half-way between what diffusers draws with the same weights, seeds and settings for the prompt and for
 * its opposite; make_meaning.py measured them. */
static void meaning(void **state)
{
    (void)state;
    static const struct {
        const char *prompt;
        double least_red, least_blue, least_yellow, least_low_blue, least_luminance, most_luminance;
    } cases[] = {
#include "meaning.inc"
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int seed = 0; seed < 2; seed++) {
            char number[4];
            snprintf(number, sizeof number, "%d", seed);
            outcome o = RUN("txt2img", "--model", model_path, "--prompt", cases[i].prompt, "--quiet", "--scheduler",
                            "dpmpp_2m_karras", "--guidance", "5", "--steps", "20", "--seed", number, "--output",
                            in_work("meaning.png"));
            assert_int_equal(o.status, 0);
            const pixels seen = look(in_work("meaning.png"));
            const bool right = seen.red >= cases[i].least_red && seen.blue >= cases[i].least_blue &&
                               seen.yellow >= cases[i].least_yellow && seen.low_blue >= cases[i].least_low_blue &&
                               seen.luminance >= cases[i].least_luminance && seen.luminance <= cases[i].most_luminance;
            if (!right)
                print_message("'%s', seed %d: red %.4f blue %.4f yellow %.4f low blue %.3f luminance %.1f\n",
                              cases[i].prompt, seed, seen.red, seen.blue, seen.yellow, seen.low_blue, seen.luminance);
            assert_true(right);
        }
}

int main(int count, char **words)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_use),         cmocka_unit_test(missing_files),
        cmocka_unit_test(spoilt_configuration), cmocka_unit_test(truncated_weights),
        cmocka_unit_test(interrupted),       cmocka_unit_test(repeats),
        cmocka_unit_test(count_equals_single), cmocka_unit_test(shards),
        cmocka_unit_test(parameters_chunk),
        cmocka_unit_test(other_commands),    cmocka_unit_test(meaning),
    };
    if (count != 4)
        return fprintf(stderr, "usage: test_pipelines CALOTYPE MODEL WORK\n"), 2;
    calotype_path = words[1];
    model_path = words[2];
    work_path = words[3];
    mkdir(work_path, 0777);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
