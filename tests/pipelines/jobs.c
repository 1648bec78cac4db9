/* What the tests of jobs share. */
#include "jobs.h"
#include "command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

calo_context *context;
calo_image *house, *mask;
char model_paths[MODELS][1100];

static const char *write_model, *golden;
static calo_model *models[MODELS];

const char *const schedulers[] = {
    "ddim",  "ddpm",         "pndm", "euler",     "euler_a",     "dpmpp_2m", "dpmpp_2m_karras",
    "unipc", "unipc_karras", "lcm",  "edm_euler", "edm_dpmpp_2m"
};
_Static_assert(sizeof schedulers / sizeof *schedulers == SCHEDULERS, "all of them");

void expect_ok(calo_status status, const char *call, int line)
{
    if (status)
        print_message("line %d, %s: status %d, %s\n", line, call, status, calo_error(context));
    assert_int_equal(status, CALO_OK);
}

void expect_refused(calo_status found, calo_status status, const char *word, int line)
{
    if (found != status || !strstr(calo_error(context), word))
        print_message("line %d: status %d (expected %d), '%s' (expected to name %s)\n", line, found, status,
                      calo_error(context), word);
    assert_int_equal(found, status);
    assert_non_null(strstr(calo_error(context), word));
}

/* ---- models and pictures ---------------------------------------------------------------------------------------- */

static void make_model(int number, const char *name)
{
    char configs[1100];
    int status = -1;
    snprintf(configs, sizeof configs, "%s/models/%s", golden, name);
    snprintf(model_paths[number], sizeof model_paths[0], "%s/%s", work_path, name);
    const pid_t child = fork();
    if (child == 0) {
        execl(write_model, write_model, configs, configs, model_paths[number], NULL);
        _exit(127);
    }
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
}

calo_model *model_at(int number)
{
    if (number != NONE && !models[number]) {
        calo_load_options options = CALO_LOAD_OPTIONS_INIT;
        options.dtype = CALO_F32;
        OK(calo_load(context, model_paths[number], &options, &models[number]));
    }
    return number == NONE ? NULL : models[number];
}

static void make_pictures(void)
{
    uint8_t pixels[64 * 64 * 3], white[64 * 64];
    for (int i = 0; i < 64 * 64; i++) {
        const int x = i % 64, y = i / 64;
        const bool wall = x >= 20 && x < 44 && y >= 24 && y < 48;
        const uint8_t colour[] = { wall     ? 216
                                   : y < 40 ? 120
                                            : 74,
                                   wall     ? 44
                                   : y < 40 ? 190
                                            : 144,
                                   wall     ? 40
                                   : y < 40 ? 240
                                            : 62 };
        memcpy(pixels + 3 * i, colour, 3);
        white[i] = x >= 16 && x < 48 && y >= 20 && y < 52 ? 255 : 0;
    }
    OK(calo_make_image(context, 64, 64, 3, pixels, &house));
    OK(calo_make_image(context, 64, 64, 1, white, &mask));
}

calo_request small(const char *scheduler, int steps)
{
    calo_request r = CALO_REQUEST_INIT;
    r.prompt = "a red house on a green hill";
    r.negative = "trees";
    r.width = r.height = 64;
    r.steps = steps;
    r.seed = 7;
    r.guidance = 5;
    r.scheduler = scheduler;
    return r;
}

unsigned long long hash_images(calo_image **images, int count)
{
    unsigned long long h = 14695981039346656037u;
    for (int i = 0; i < count; i++) {
        const uint8_t *pixels = calo_image_pixels(images[i]);
        const size_t size = (size_t)calo_image_width(images[i]) * (size_t)calo_image_height(images[i]) * 3;
        for (size_t k = 0; k < size; k++)
            h = (h ^ pixels[k]) * 1099511628211u;
        for (const char *c = calo_image_parameters(images[i]); *c; c++)
            h = (h ^ (unsigned char)*c) * 1099511628211u;
        calo_free_image(&images[i]);
    }
    return h;
}

unsigned long long finish(calo_job **job)
{
    calo_image *images[MOST];
    const int count = calo_job_request(*job)->count;
    OK(calo_job_finish(*job, images));
    calo_job_close(job);
    return hash_images(images, count);
}

unsigned long long whole(calo_model *model, const calo_request *r)
{
    calo_image *images[MOST];
    OK(calo_generate(model, r, images));
    return hash_images(images, r->count);
}

int advance(calo_job *job, int steps)
{
    int left = 0;
    for (int i = 0; i < steps; i++)
        OK(calo_job_step(job, &left));
    return left;
}

int model_of(const char *scheduler)
{
    return strncmp(scheduler, "edm", 3) == 0 ? EDM : DEMO;
}

int jobs_open(char **words, int makes)
{
    static const char *const names[] = {
        [XL] = "xl", [REFINER] = "xl_refiner", [NINE] = "one_inpaint", [EDM] = "xl_edm"
    };
    calotype_path = words[0];
    model_path = words[1];
    work_path = words[2];
    write_model = words[3];
    golden = words[4];
    mkdir(work_path, 0777);
    snprintf(model_paths[DEMO], sizeof model_paths[0], "%s", model_path);
    for (int i = XL; i < MODELS; i++)
        if (makes)
            make_model(i, names[i]);
        else
            snprintf(model_paths[i], sizeof model_paths[0], "%s/%s", work_path, names[i]);
    if (calo_open(&context, NULL))
        return fprintf(stderr, "%s\n", calo_error(context)), 1;
    if (makes)
        make_pictures();
    return 0;
}

void jobs_close(void)
{
    calo_free_image(&house);
    calo_free_image(&mask);
    for (int i = 0; i < MODELS; i++)
        calo_unload(&models[i]);
    calo_close(&context);
}
