/* Models beside their pictures: memory, tiles, types, parts from elsewhere, what a file is taken for. */
#include "command.h"

#include "../../engine/png.h"
#include "../../engine/weights/safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *write_model, *golden;
static char xl[1100], two[1100]; /* a folder of SDXL's layout, a single file of SD2's */

#define RUN(...) run_command((const char *const[]){ __VA_ARGS__, NULL }, 0, 0)
#define XL "txt2img", "--model", xl, "--prompt", "a red house", "--quiet", "--steps", "2", "--seed", "7", "--dtype", "f32"
#define SMALL "--width", "64", "--height", "64"

static void make_model(const char *name, const char *form, const char *path)
{
    char configs[1100];
    snprintf(configs, sizeof configs, "%s/models/%s", golden, name);
    const pid_t child = fork();
    int status = -1;
    if (child == 0) {
        execl(write_model, write_model, configs, configs, path, form, NULL);
        _exit(127);
    }
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
}

static void expect_refusal(outcome o, int status, const char *word)
{
    if (o.status != status || !strstr(o.errors, word))
        print_message("status %d (expected %d), stderr: %s(expected to name: %s)\n", o.status, status, o.errors, word);
    assert_int_equal(o.status, status);
    assert_non_null(strstr(o.errors, word));
}

static double number_of(const char *json, const char *name)
{
    const char *at = strstr(json, name);
    assert_non_null(at);
    return strtod(strchr(at, ':') + 1, NULL);
}

/* Entries of a list. */
static int count_of(const char *json, const char *name)
{
    const char *at = strstr(json, name);
    assert_non_null(at);
    int count = 1;
    for (at = strchr(at, '['); *at != ']'; at++)
        count += *at == ',';
    return count;
}

/* Signal to noise of two pictures in dB, and the largest difference of two of their numbers. */
static double psnr(const char *a, const char *b, int *most)
{
    uint8_t *pixels[2] = { NULL, NULL };
    int width[2], height[2], channels[2];
    calo_fault fault = { 0 };
    double sum = 0;
    const char *paths[] = { a, b };
    for (int i = 0; i < 2; i++)
        assert_int_equal(calo_picture_read(paths[i], &pixels[i], &width[i], &height[i], &channels[i], &fault), CALO_OK);
    const int64_t count = (int64_t)width[0] * height[0] * channels[0];
    assert_int_equal(count, (int64_t)width[1] * height[1] * channels[1]);
    for (int64_t i = 0; i < count; i++) {
        const int difference = abs(pixels[0][i] - pixels[1][i]);
        sum += (double)difference * difference;
        *most = difference > *most ? difference : *most;
    }
    calo_free(pixels[0]);
    calo_free(pixels[1]);
    return sum > 0 ? 10 * log10(255.0 * 255.0 * (double)count / sum) : INFINITY;
}

static unsigned long long whole_run(void)
{
    assert_int_equal(RUN(XL, SMALL, "--count", "2", "--output", in_work("a.png"), "--dump", in_work("a.safetensors")).status, 0);
    return file_hash(in_work("a.safetensors"));
}

/* Parts take turns under a limit: the same bits, never more memory than the limit, and what was planned. */
static void turns(void **state)
{
    (void)state;
    const unsigned long long whole = whole_run();
    outcome limited = RUN(XL, SMALL, "--count", "2", "--memory-limit", "60MB", "--json", "--output", in_work("b.png"), "--dump",
                          in_work("b.safetensors"));
    assert_int_equal(limited.status, 0);
    assert_non_null(strstr(limited.errors, "take turns"));
    assert_true(whole == file_hash(in_work("b.safetensors")));
    assert_true(number_of(limited.output, "\"peak_device_bytes\"") <= 60e6);
    outcome plan = RUN("plan", "txt2img", "--model", xl, "--steps", "2", "--count", "2", "--dtype", "f32", "--json", "--memory-limit", "60MB",
                       SMALL);
    assert_int_equal(plan.status, 0);
    assert_non_null(strstr(plan.output, "\"takes_turns\":\ttrue"));
    assert_true(number_of(plan.output, "\"peak_device_bytes\"") == number_of(limited.output, "\"peak_device_bytes\""));
    expect_refusal(RUN(XL, SMALL, "--memory-limit", "30MB", "--output", in_work("b.png")), 4, "take turns");
    expect_refusal(RUN(XL, SMALL, "--memory-limit", "much", "--output", in_work("b.png")), 2, "--memory-limit");
}

/* Where even that is too much, the VAE works in tiles. */
static void tiles_of_need(void **state)
{
    (void)state;
    outcome o = RUN(XL, "--width", "512", "--height", "512", "--memory-limit", "80MB", "--json", "--output", in_work("t.png"));
    assert_int_equal(o.status, 0);
    assert_non_null(strstr(o.errors, "tiles of 256"));
    assert_true(number_of(o.output, "\"peak_device_bytes\"") <= 80e6);
}

/* The trained demo model's picture in four tiles is the whole one's, but for what a norm sees of it: 30.3 dB were measured,
 * and no number off by more than 30 of 255. A seam would show as a jump of the range. */
static void tiles(void **state)
{
    (void)state;
#define DEMO "txt2img", "--model", model_path, "--prompt", "a red house on a green hill", "--quiet", "--seed", "2", "--steps", "8"
    assert_int_equal(RUN(DEMO, "--output", in_work("whole.png")).status, 0);
    assert_int_equal(RUN(DEMO, "--tile", "160", "--output", in_work("tiled.png")).status, 0);
    int most = 0;
    const double same = psnr(in_work("whole.png"), in_work("tiled.png"), &most);
    print_message("tiles of 160 in a picture of 256: %.2f dB, at most %d of 255 off\n", same, most);
    assert_true(same >= 28);
    assert_true(most <= 40);
    expect_refusal(RUN(DEMO, "--tile", "100", "--output", in_work("bad.png")), 2, "tile");
    expect_refusal(RUN(DEMO, "--tile", "-32", "--output", in_work("bad.png")), 2, "tile");
}

static void replace(const char *path, const char *from, const char *to)
{
    char text[8192], changed[8192 + 64];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    char *at = strstr(text, from);
    assert_non_null(at);
    snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    write_text(path, changed);
}

/* Latents that are far too large for f16: the VAE runs again in f32, says so, and draws what f32 draws. */
static void overflow(void **state)
{
    (void)state;
    char config[1200];
    const char *copy = copy_model("loud");
    snprintf(config, sizeof config, "%s/vae/config.json", copy);
    replace(config, "\"scaling_factor\":", "\"scaling_factor\": 1e-5, \"was\":");
#define LOUD "txt2img", "--model", in_work("loud"), "--prompt", "a red house", "--steps", "1", "--guidance", "1"
    outcome half = RUN(LOUD, "--quiet", "--dtype", "f16", "--output", in_work("half.png"));
    outcome single = RUN(LOUD, "--quiet", "--dtype", "f32", "--output", in_work("single.png"));
    assert_int_equal(half.status, 0);
    assert_int_equal(single.status, 0);
    assert_non_null(strstr(half.errors, "overflow in f16"));
    int most = 0;
    assert_true(psnr(in_work("half.png"), in_work("single.png"), &most) >= 20);
}

/* A part from elsewhere, as a folder and as a file: here its own, so nothing changes. */
static void other_parts(void **state)
{
    (void)state;
    static const char *const options[] = { "--vae", "--text-encoder" };
    static const char *const paths[][2] = { { "vae", "vae/diffusion_pytorch_model.safetensors" },
                                            { "text_encoder", "text_encoder/model.safetensors" } };
    assert_int_equal(RUN(XL, SMALL, "--output", in_work("c.png"), "--dump", in_work("c.safetensors")).status, 0);
    const unsigned long long own = file_hash(in_work("c.safetensors"));
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++) {
            char path[1300];
            snprintf(path, sizeof path, "%s/%s", xl, paths[i][k]);
            outcome o = RUN(XL, SMALL, options[i], path, "--output", in_work("c.png"), "--dump", in_work("d.safetensors"));
            if (o.status)
                print_message("%s", o.errors);
            assert_int_equal(o.status, 0);
            assert_true(own == file_hash(in_work("d.safetensors")));
        }
    expect_refusal(RUN(XL, SMALL, "--vae", "/nowhere", "--output", in_work("bad.png")), 3, "/nowhere");
    char unet[1300];
    snprintf(unet, sizeof unet, "%s/unet/diffusion_pytorch_model.safetensors", xl);
    expect_refusal(RUN(XL, SMALL, "--vae", unet, "--output", in_work("bad.png")), 3, "holds no vae");
    snprintf(unet, sizeof unet, "%s/text_encoder_2", xl);
    expect_refusal(RUN(XL, SMALL, "--text-encoder", unet, "--output", in_work("bad.png")), 3, "cross_attention_dim");
}

/* A copy of a single file without the tensors whose names begin so. */
static void leave_out(const char *from, const char *to, const char *prefix)
{
    calo_tensor_file file;
    calo_writer *writer;
    calo_fault fault = { 0 };
    assert_int_equal(calo_tensor_file_open(from, &file, &fault), CALO_OK);
    calo_tensor_record *records = calloc((size_t)file.count, sizeof *records);
    int64_t count = 0;
    for (int pass = 0; pass < 2; pass++) {
        if (pass)
            assert_int_equal(calo_safetensors_begin(to, records, count, &writer, &fault), CALO_OK);
        for (int64_t i = 0; i < file.count; i++) {
            const calo_entry *e = &file.entries[i];
            if (strncmp(e->name, prefix, strlen(prefix)) == 0)
                continue;
            if (!pass) {
                calo_tensor_record *r = &records[count++];
                *r = (calo_tensor_record){ .name = e->name, .type = e->type, .rank = e->rank };
                memcpy(r->dims, e->dims, sizeof r->dims);
                continue;
            }
            char *bytes = malloc((size_t)e->size + 1);
            assert_int_equal(calo_file_read(e->file, e->begin, bytes, (size_t)e->size, &fault), CALO_OK);
            assert_int_equal(calo_writer_put(writer, bytes, (size_t)e->size, &fault), CALO_OK);
            free(bytes);
        }
    }
    assert_int_equal(calo_writer_commit(&writer, &fault), CALO_OK);
    calo_tensor_file_close(&file);
    free(records);
}

/* A single file without its VAE, or without its text encoder: an error that says which option brings it, and then the
 * same run. */
static void lacking_parts(void **state)
{
    (void)state;
    static const struct {
        const char *prefix, *option, *part;
    } rows[] = { { "first_stage_model.", "--vae", "vae" }, { "cond_stage_model.", "--text-encoder", "text_encoder" } };
    char folder[1100], part[1200];
    snprintf(folder, sizeof folder, "%s/two", work_path);
    make_model("two", NULL, folder);
#define TWO(model) "txt2img", "--model", model, "--prompt", "x", "--quiet", "--steps", "2", "--variant", "sd21-base", SMALL, \
                   "--output", in_work("l.png"), "--dump", in_work("l.safetensors")
    assert_int_equal(RUN(TWO(two)).status, 0);
    const unsigned long long whole = file_hash(in_work("l.safetensors"));
    for (int i = 0; i < 2; i++) {
        leave_out(two, in_work("less.safetensors"), rows[i].prefix);
        snprintf(part, sizeof part, "%s/%s", folder, rows[i].part);
        expect_refusal(RUN(TWO(in_work("less.safetensors"))), 3, rows[i].option);
        outcome o = RUN(TWO(in_work("less.safetensors")), rows[i].option, part);
        if (o.status)
            print_message("%s", o.errors);
        assert_int_equal(o.status, 0);
        assert_true(whole == file_hash(in_work("l.safetensors")));
    }
}

static unsigned long long two_run(const char *option, const char *value)
{
    assert_int_equal(RUN("txt2img", "--model", two, "--prompt", "x", "--quiet", "--steps", "2", SMALL, "--output", in_work("e.png"),
                         "--dump", in_work("e.safetensors"), option, value).status, 0);
    return file_hash(in_work("e.safetensors"));
}

/* What shapes cannot say is said by options; what they do say is not overruled. */
static void overrides(void **state)
{
    (void)state;
    expect_refusal(RUN("txt2img", "--model", two, "--prompt", "x", "--quiet", "--output", in_work("e.png")), 2, "--variant sd21-base");
    const unsigned long long plain = two_run("--variant", "sd21-base"), v = two_run("--prediction", "v");
    assert_true(plain == two_run("--prediction", "epsilon"));
    assert_true(plain != v);
    assert_true(two_run("--variant", "sd21") != plain);
    unsigned long long spread[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(RUN("txt2img", "--model", two, "--prompt", "x", "--quiet", "--steps", "2", SMALL, "--prediction", "v",
                             "--scheduler", "ddim", "--output", in_work("e.png"), "--dump", in_work("e.safetensors"),
                             i ? "--zsnr" : NULL).status, 0);
        spread[i] = file_hash(in_work("e.safetensors"));
    }
    assert_true(spread[0] != spread[1]);
    expect_refusal(RUN("txt2img", "--model", two, "--prompt", "x", "--quiet", "--variant", "sdxl"), 2, "is no sdxl");
    outcome turbo = RUN("txt2img", "--model", two, "--prompt", "x", "--quiet", "--variant", "sd-turbo", SMALL, "--json", "--output",
                        in_work("e.png"));
    assert_int_equal(turbo.status, 0);
    assert_int_equal(count_of(turbo.output, "step_s"), 1); /* its own number of steps */
    outcome info = RUN("info", two, "--json");
    assert_int_equal(info.status, 0);
    assert_non_null(strstr(info.output, "\"sd21-base\""));
    assert_non_null(strstr(info.output, "attn2.to_k"));
    assert_non_null(strstr(info.output, "--variant or --prediction has to"));
    assert_non_null(strstr(info.output, "shapes do not tell it from sd21, sd-turbo"));
    expect_refusal(RUN("txt2img", "--model", xl, "--prompt", "x", "--quiet", "--variant", "sdxl-turbo"), 2, "is for single files");
}

/* Files of other families are named, not guessed at. */
static void other_families(void **state)
{
    (void)state;
    static const struct {
        const char *tensor, *word;
    } cases[] = { { "double_blocks.0.img_attn.norm.key_norm.scale", "FLUX" },
                  { "joint_blocks.0.context_block.adaLN_modulation.1.bias", "Stable Diffusion 3" },
                  { "control_model.input_blocks.0.0.weight", "ControlNet" },
                  { "lora_unet_down_blocks_0.lora_up.weight", "no Stable Diffusion model" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        calo_writer *writer;
        calo_fault fault = { 0 };
        const calo_tensor_record record = { .name = cases[i].tensor, .type = CALO_STORED_F32, .rank = 1, .dims = { 1 } };
        assert_int_equal(calo_safetensors_begin(in_work("other.safetensors"), &record, 1, &writer, &fault), CALO_OK);
        assert_int_equal(calo_writer_put(writer, "\0\0\0\0", 4, &fault), CALO_OK);
        assert_int_equal(calo_writer_commit(&writer, &fault), CALO_OK);
        expect_refusal(RUN("info", in_work("other.safetensors")), 3, cases[i].word);
    }
}

int main(int count, char **words)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns),          cmocka_unit_test(tiles_of_need), cmocka_unit_test(tiles),
        cmocka_unit_test(overflow),       cmocka_unit_test(other_parts),   cmocka_unit_test(lacking_parts),
        cmocka_unit_test(overrides),
        cmocka_unit_test(other_families),
    };
    if (count != 6)
        return fprintf(stderr, "usage: test_models CALOTYPE MODEL WORK WRITE_MODEL GOLDEN\n"), 2;
    calotype_path = words[1];
    model_path = words[2];
    work_path = words[3];
    write_model = words[4];
    golden = words[5];
    calo_fault fault = { 0 };
    calo_make_path(work_path, &fault);
    snprintf(xl, sizeof xl, "%s/xl", work_path);
    snprintf(two, sizeof two, "%s/two.safetensors", work_path);
    make_model("xl", NULL, xl);
    make_model("two", "single", two);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
