/* Jobs through the public header alone: step by step, peeked at, put aside at every step and taken up in another
   process, cancelled, failing, two at once, where the model's parts take turns. One picture, bit by bit, whichever way
   it was made. */
#include "command.h"
#include "jobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- put aside at every step, taken up in another process -------------------------------------------------------- */

static const char *self, *words_of_self[5];
static FILE *list; /* of what the other process is to take up: model, refiner, file, the whole run's hash */
static int listed;

static void suspend_everywhere(const char *name, int model, int refiner, const calo_request *request)
{
    calo_request r = *request;
    calo_job *job;
    char path[1200];
    int left = 1;
    r.refiner = model_at(refiner);
    const unsigned long long hash = whole(model_at(model), &r);
    OK(calo_job_open(model_at(model), &r, &job));
    for (int step = 0;; step++) {
        snprintf(path, sizeof path, "%s/%s-%03d.job", work_path, name, step);
        OK(calo_job_suspend(job, path));
        fprintf(list, "%d %d %016llx %s\n", model, refiner, hash, path);
        listed++;
        if (left == 0)
            break;
        OK(calo_job_step(job, &left));
    }
    const unsigned long long stepped = finish(&job);
    if (stepped != hash)
        print_message("%s: stepped and suspended, it is another picture\n", name);
    assert_true(stepped == hash);
}

/* What the other process does. Returns how many came out otherwise. */
static int resume_list(const char *list_path)
{
    FILE *file = fopen(list_path, "r");
    int model, refiner, wrong = 0;
    unsigned long long hash;
    char path[1200];
    assert_non_null(file);
    while (fscanf(file, "%d %d %llx %1199[^\n]", &model, &refiner, &hash, path) == 4) {
        calo_job *job = NULL;
        OK(calo_job_resume(model_at(model), model_at(refiner), path, &job));
        const unsigned long long found = finish(&job);
        if (found != hash)
            fprintf(stderr, "%s: resumed, it is another picture\n", path);
        wrong += found != hash;
        unlink(path);
    }
    fclose(file);
    return wrong;
}

static void begin_list(void)
{
    list = fopen(in_work("list.txt"), "w");
    assert_non_null(list);
    listed = 0;
}

static void resume_in_another_process(void)
{
    int status = -1;
    fclose(list);
    const pid_t child = fork();
    if (child == 0) {
        execl(self, self, words_of_self[0], words_of_self[1], words_of_self[2], words_of_self[3], words_of_self[4],
              "--resume", in_work("list.txt"), NULL);
        _exit(127);
    }
    waitpid(child, &status, 0);
    print_message("%d states taken up in another process\n", listed);
    assert_int_equal(status, 0);
}

static void every_scheduler(void **state)
{
    (void)state;
    begin_list();
    for (int i = 0; i < SCHEDULERS; i++) {
        calo_request r = small(schedulers[i], 5);
        r.eta = strcmp(schedulers[i], "ddim") == 0 ? 0.7 : 0; /* its draws of noise, too */
        suspend_everywhere(schedulers[i], model_of(schedulers[i]), NONE, &r);
    }
    resume_in_another_process();
}

static void every_flow(void **state)
{
    (void)state;
    const calo_region regions[] = { { 0, 0, 32, 64, "a blue house", NULL, 1 },
                                    { 24, 8, 40, 32, "a balloon", "night", 0.6 } };
    begin_list();
    calo_request r = small("euler_a", 3);
    r.count = 3;
    suspend_everywhere("count", DEMO, NONE, &r);

    r = small("dpmpp_2m_karras", 6);
    r.init = house;
    r.strength = 0.7;
    r.count = 2;
    suspend_everywhere("img2img", DEMO, NONE, &r);

    r = small("ddpm", 4);
    r.init = house;
    r.mask = mask;
    r.inpaint = 1;
    r.fill = CALO_FILL_NOISE;
    r.strength = 0.8;
    suspend_everywhere("inpaint", DEMO, NONE, &r);
    r.mask_blur = 2;
    r.mask_padding = 4;
    r.fill = CALO_FILL_BLANK;
    r.strength = 1;
    suspend_everywhere("inpaint-part", DEMO, NONE, &r);
    r = small("unipc", 3);
    r.init = house;
    r.inpaint = 1;
    r.extend[2] = 16;
    r.width = r.height = 0;
    suspend_everywhere("inpaint-extend", DEMO, NONE, &r);
    r.extend[2] = 0;
    r.mask = mask;
    r.count = 2;
    suspend_everywhere("inpaint-9", NINE, NONE, &r);

    r = small("euler_a", 4);
    r.hires = 1.5;
    r.count = 2;
    suspend_everywhere("hires-latent", DEMO, NONE, &r);
    r.hires_pixels = 1;
    r.scheduler = "dpmpp_2m";
    suspend_everywhere("hires-pixel", DEMO, NONE, &r);

    r = small("ddim", 5);
    r.refiner_start = 0.6;
    r.count = 2;
    suspend_everywhere("refiner", XL, REFINER, &r);

    r = small("dpmpp_2m", 6);
    r.prompt_style = CALO_PROMPT_A1111;
    r.prompt = "a [red:blue:0.5] house, [hill|sea] (night:1.3) AND a balloon :0.4";
    r.regions = regions;
    r.region_count = 2;
    r.guidance_rescale = 0.5;
    r.guidance_end = 0.8;
    suspend_everywhere("prompts", DEMO, NONE, &r);

    r = small("pndm", 4);
    r.random = CALO_RANDOM_PHILOX;
    r.variation_seed = 9;
    r.variation_strength = 0.3;
    r.count = 2;
    suspend_everywhere("variation", DEMO, NONE, &r);
    resume_in_another_process();
}

/* The command's own way. */
static void by_command(void **state)
{
    (void)state;
#define RUN(...) run_command((const char *const[]){ __VA_ARGS__, NULL }, 0, 0)
#define LINE                                                                                                           \
    "txt2img", "--model", model_path, "--prompt", "a boat on the sea", "--quiet", "--steps", "4", "--width", "64",     \
        "--height", "64", "--seed", "3", "--scheduler", "euler_a"
    assert_int_equal(RUN(LINE, "--output", in_work("whole.png")).status, 0);
    static const char *const at[] = { "1", "2", "4" };
    for (int i = 0; i < 3; i++) {
        assert_int_equal(
            RUN(LINE, "--suspend", in_work("c.job"), "--suspend-at", at[i], "--output", in_work("none.png")).status, 0);
        assert_int_not_equal(access(in_work("none.png"), F_OK), 0);
        assert_int_equal(
            RUN("resume", in_work("c.job"), "--model", model_path, "--quiet", "--output", in_work("c.png")).status, 0);
        assert_true(file_hash(in_work("c.png")) == file_hash(in_work("whole.png")));
    }
}

/* ---- peeking ---------------------------------------------------------------------------------------------------- */

/* Signal to noise in dB of a preview against the picture's means over 8 × 8 pixels. */
static double preview_psnr(const calo_image *preview, const calo_image *image)
{
    const int width = calo_image_width(preview), height = calo_image_height(preview);
    const uint8_t *small_pixels = calo_image_pixels(preview), *pixels = calo_image_pixels(image);
    double sum = 0;
    assert_int_equal(width * 8, calo_image_width(image));
    assert_int_equal(height * 8, calo_image_height(image));
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++) {
                double mean = 0;
                for (int i = 0; i < 64; i++)
                    mean += pixels[((y * 8 + i / 8) * width * 8 + x * 8 + i % 8) * 3 + c] / 64.0;
                const double difference = mean - small_pixels[(y * width + x) * 3 + c];
                sum += difference * difference;
            }
    return 10 * log10(255 * 255.0 * width * height * 3 / sum);
}

typedef struct album {
    calo_image *previews[MOST];
    int steps[MOST], count, stop_at;
} album;

static int keep_preview(void *user, const calo_progress *progress)
{
    album *a = user;
    if (progress->preview && a->count < MOST) {
        OK(calo_make_image(context, calo_image_width(progress->preview), calo_image_height(progress->preview), 3,
                           calo_image_pixels(progress->preview), &a->previews[a->count]));
        a->steps[a->count++] = progress->step;
    }
    return progress->step == a->stop_at;
}

/* Measured on seeds 4 … 6: 22.7 … 24.8 dB after the last step, 10.5 … 14.0 after the first. */
static void previews(void **state)
{
    (void)state;
    calo_request r = small("dpmpp_2m_karras", 10);
    calo_job *job;
    calo_image *image, *peeks[MOST];
    album a = { .stop_at = -1 };
    int left, count = 0;
    r.width = r.height = 128;
    const unsigned long long hash = whole(model_at(DEMO), &r);
    r.preview_every = 3;
    r.on_step = keep_preview;
    r.user = &a;
    OK(calo_job_open(model_at(DEMO), &r, &job));
    do {
        OK(calo_job_step(job, &left));
        OK(calo_job_peek(job, &peeks[count++]));
    } while (left);
    OK(calo_job_finish(job, &image));
    REFUSED(calo_job_peek(job, &peeks[count]), CALO_EUSAGE, "over");
    assert_null(peeks[count]);
    calo_job_close(&job);
    for (int i = 0; i < a.count; i++) { /* those that on_step saw are those that were peeked at */
        assert_int_equal(a.steps[i], 3 * (i + 1));
        assert_memory_equal(calo_image_pixels(a.previews[i]), calo_image_pixels(peeks[a.steps[i] - 1]), 16 * 16 * 3);
        calo_free_image(&a.previews[i]);
    }
    assert_int_equal(a.count, 3);
    const double first = preview_psnr(peeks[0], image), last = preview_psnr(peeks[count - 1], image);
    print_message("a preview after the first step: %.1f dB, after the last: %.1f dB\n", first, last);
    assert_true(last >= 20);
    assert_true(last > first);
    for (int i = 0; i < count; i++)
        calo_free_image(&peeks[i]);
    assert_true(hash_images(&image, 1) == hash); /* being watched changes nothing */
}

/* ---- stopping, failing, sharing --------------------------------------------------------------------------------- */

static void cancelled(void **state)
{
    (void)state;
    calo_request r = small("dpmpp_2m_karras", 5);
    r.count = 2;
    const unsigned long long hash = whole(model_at(DEMO), &r);
    for (int at = 1; at <= 5; at++) {
        album a = { .stop_at = at };
        calo_image *images[2];
        calo_job *job;
        calo_request stopping = r;
        int left = 0;
        stopping.on_step = keep_preview;
        stopping.user = &a;
        REFUSED(calo_generate(model_at(DEMO), &stopping, images), CALO_ECANCELLED, "stopped");
        assert_null(images[0]);
        OK(calo_job_open(model_at(DEMO), &stopping, &job));
        REFUSED(calo_job_finish(job, images), CALO_ECANCELLED, "stopped"); /* the first picture */
        OK(calo_job_suspend(job, in_work("stopped.job")));
        REFUSED(calo_job_finish(job, images), CALO_ECANCELLED, "stopped"); /* the second */
        a.stop_at = -1;
        OK(calo_job_step(job, &left));
        assert_true(finish(&job) == hash);
        OK(calo_job_resume(model_at(DEMO), NULL, in_work("stopped.job"), &job));
        assert_true(finish(&job) == hash);
    }
}

typedef struct listener {
    int asked, stop_at; /* −1: never */
} listener;

static int listen(void *user)
{
    listener *l = user;
    return ++l->asked == l->stop_at;
}

/* Before any op, of the texts, the steps or the decoding: the job is over, and the model is as good as before. */
static void stopped_half_way(void **state)
{
    (void)state;
    calo_request r = small("euler", 2);
    const unsigned long long hash = whole(model_at(DEMO), &r);
    listener l = { .stop_at = -1 };
    calo_image *image;
    calo_job *job;
    calo_request stopping = r;
    stopping.should_stop = listen;
    stopping.user = &l;
    assert_true(whole(model_at(DEMO), &stopping) == hash);
    const int all = l.asked;
    assert_true(all > 300);
    for (int at = 1; at <= all; at += at < 3 || at > all - 3 ? 1 : all / 9) {
        l = (listener){ .stop_at = at };
        REFUSED(calo_generate(model_at(DEMO), &stopping, &image), CALO_ECANCELLED, "stopped in ");
        assert_null(image);
        assert_int_equal(l.asked, at); /* and nobody is asked again */
    }
    l = (listener){ .stop_at = all / 2 };
    if (calo_job_open(model_at(DEMO), &stopping, &job) == CALO_OK) {
        REFUSED(calo_job_finish(job, &image), CALO_ECANCELLED, "stopped in ");
        REFUSED(calo_job_step(job, NULL), CALO_EUSAGE, "cannot go on");
        calo_job_close(&job);
    }
    assert_true(whole(model_at(DEMO), &r) == hash);
}

/* Guidance that overflows once it sets in, half-way: the job is over, the model is as good as before. */
static void failing(void **state)
{
    (void)state;
    calo_request r = small("euler", 4), wild = small("euler", 8);
    const unsigned long long hash = whole(model_at(DEMO), &r);
    calo_image *image;
    calo_job *job, *fork;
    wild.prompt_style = CALO_PROMPT_A1111;
    wild.prompt = "a house AND a boat :100000000000000000000000000000000000000";
    wild.guidance = 1e6;
    wild.guidance_start = 0.5;
    OK(calo_job_open(model_at(DEMO), &wild, &job));
    calo_status status = CALO_OK;
    int left = 8;
    while (left && !status)
        status = calo_job_step(job, &left);
    assert_int_equal(left, 4);
    assert_int_equal(status, CALO_ENONFINITE);
    assert_non_null(strstr(calo_error(context), "finite"));
    REFUSED(calo_job_step(job, &left), CALO_EUSAGE, "failed");
    REFUSED(calo_job_suspend(job, in_work("failed.job")), CALO_EUSAGE, "failed");
    REFUSED(calo_job_peek(job, &image), CALO_EUSAGE, "failed");
    REFUSED(calo_job_fork(job, &r, &fork), CALO_EUSAGE, "failed");
    REFUSED(calo_job_finish(job, &image), CALO_EUSAGE, "failed");
    assert_true(whole(model_at(DEMO), &r) == hash);
    calo_job_close(&job);
    assert_true(whole(model_at(DEMO), &r) == hash);
}

/* Two jobs, a step each by turns; with `peeks` a preview between them. */
static void interleave(calo_model *model, const calo_request *requests, const unsigned long long *hashes, bool peeks)
{
    calo_job *jobs[2], *resumed;
    for (int i = 0; i < 2; i++)
        OK(calo_job_open(model, &requests[i], &jobs[i]));
    for (int left[2] = { 1, 1 }; left[0] || left[1];)
        for (int i = 0; i < 2; i++) {
            OK(calo_job_step(jobs[i], &left[i]));
            if (peeks && left[i] == 1) {
                calo_image *image;
                OK(calo_job_peek(jobs[i], &image));
                calo_free_image(&image);
                OK(calo_job_suspend(jobs[i], in_work("turn.job")));
                OK(calo_job_resume(model, NULL, in_work("turn.job"), &resumed));
                assert_true(finish(&resumed) == hashes[i]);
            }
        }
    for (int i = 1; i >= 0; i--)
        assert_true(finish(&jobs[i]) == hashes[i]);
}

static void two_at_once(void **state)
{
    (void)state;
    calo_request requests[] = { small("euler_a", 4), small("dpmpp_2m", 3) };
    unsigned long long hashes[2];
    requests[0].prompt_style = CALO_PROMPT_A1111;
    requests[0].prompt = "a [red:blue:0.5] house";
    requests[0].count = 2;
    requests[1].width = requests[1].height = 96;
    requests[1].prompt = "the sea at night";
    for (int i = 0; i < 2; i++)
        hashes[i] = whole(model_at(DEMO), &requests[i]);
    interleave(model_at(DEMO), requests, hashes, false);
    interleave(model_at(DEMO), requests, hashes, true);

    /* Memory for one of them alone with all parts at once: the other's parts take turns. Then for neither. */
    calo_report *report;
    for (int i = 0; i < 2; i++) {
        calo_load_options options = CALO_LOAD_OPTIONS_INIT;
        calo_model *limited;
        options.dtype = CALO_F32;
        OK(calo_load(context, model_paths[DEMO], &options,
                     &limited)); /* the other may have taken its VAE's encoder in */
        OK(calo_plan(limited, &requests[0], &report));
        calo_unload(&limited);
        options.memory_limit = report->weight_bytes + report->activation_bytes - (uint64_t)i;
        calo_free_report(&report);
        OK(calo_load(context, model_paths[DEMO], &options, &limited));
        for (int k = 0; k < 2; k++) {
            OK(calo_plan(limited, &requests[k], &report));
            assert_int_equal(report->takes_turns, i || k);
            calo_free_report(&report);
        }
        interleave(limited, requests, hashes, true);
        calo_unload(&limited);
    }
}

int main(int count, char **words)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scheduler), cmocka_unit_test(every_flow), cmocka_unit_test(by_command),
        cmocka_unit_test(previews),        cmocka_unit_test(cancelled),  cmocka_unit_test(stopped_half_way),
        cmocka_unit_test(failing),         cmocka_unit_test(two_at_once),
    };
    if (count != 6 && count != 8)
        return fprintf(stderr, "usage: test_jobs CALOTYPE MODEL WORK WRITE_MODEL GOLDEN [--resume LIST]\n"), 2;
    self = words[0];
    memcpy(words_of_self, words + 1, sizeof words_of_self);
    int failed = jobs_open(words + 1, count == 6);
    if (!failed)
        failed = count == 8 ? resume_list(words[7]) > 0 : cmocka_run_group_tests(tests, NULL, NULL);
    jobs_close();
    return failed;
}
