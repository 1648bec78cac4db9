/* Forks of jobs through the public header alone: at every step with the job's own request, half-way with another one,
   to other solvers, at the ends of schedules. The job goes on as if nothing had been. */
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

/* At every step a fork with the job's own request; fork and job go on, a step each by turns, to the same bits. */
static void fork_everywhere(const char *name, int model, int refiner, const calo_request *request)
{
    calo_request r = *request;
    calo_job *job, *fork;
    int all;
    r.refiner = model_at(refiner);
    const unsigned long long hash = whole(model_at(model), &r);
    OK(calo_job_open(model_at(model), &r, &job));
    OK(calo_job_step(job, &all));
    calo_job_close(&job);
    for (int at = 0; at <= all + 1; at++) {
        OK(calo_job_open(model_at(model), &r, &job));
        advance(job, at);
        OK(calo_job_fork(job, calo_job_request(job), &fork));
        for (int left[2] = { 1, 1 }; left[0] || left[1];) {
            OK(calo_job_step(job, &left[0]));
            OK(calo_job_step(fork, &left[1]));
            assert_int_equal(left[0], left[1]);
        }
        const unsigned long long first = finish(&job), second = finish(&fork);
        if (first != hash || second != hash)
            print_message("%s forked at %d: the job is %s, the fork is %s\n", name, at,
                          first == hash ? "whole" : "another", second == hash ? "whole" : "another");
        assert_true(first == hash && second == hash);
    }
}

static void forks_of_itself(void **state)
{
    (void)state;
    for (int i = 0; i < SCHEDULERS; i += 2) {
        const calo_request r = small(schedulers[i], 4);
        fork_everywhere(schedulers[i], model_of(schedulers[i]), NONE, &r);
    }
    calo_request r = small("euler_a", 3);
    r.count = 2;
    fork_everywhere("count", DEMO, NONE, &r);
    r.hires = 1.5;
    fork_everywhere("hires", DEMO, NONE, &r);
    r.hires_pixels = 1;
    fork_everywhere("hires-pixel", DEMO, NONE, &r);
    r = small("ddim", 5);
    r.count = 2;
    r.refiner_start = 0.6;
    fork_everywhere("refiner", XL, REFINER, &r);
    r = small("ddpm", 4);
    r.init = house;
    r.mask = mask;
    r.inpaint = 1;
    r.count = 2;
    fork_everywhere("inpaint", DEMO, NONE, &r);
    fork_everywhere("inpaint-9", NINE, NONE, &r);
}

/* Half-way with another request: the job makes what it would have made, the fork something else, the same each time; of
 * two pictures the second is what the fork's request makes alone. Returns the fork's first picture. */
static calo_image *fork_half_way(const calo_request *one, const calo_request *other, bool differs)
{
    calo_model *model = model_at(DEMO);
    calo_image *images[2][2], *first = NULL;
    calo_job *job, *fork;
    unsigned long long hashes[2], second;
    const unsigned long long hash = whole(model, one);
    OK(calo_generate(model, other, images[0]));
    calo_free_image(&images[0][0]);
    second = hash_images(&images[0][1], 1);
    for (int i = 0; i < 2; i++) {
        OK(calo_job_open(model, one, &job));
        advance(job, one->steps / 2);
        OK(calo_job_fork(job, other, &fork));
        advance(fork, 1);
        assert_true(finish(&job) == hash);
        OK(calo_job_finish(fork, images[i]));
        calo_job_close(&fork);
        assert_true(hash_images(&images[i][1], 1) == second);
        if (i == 0)
            OK(calo_make_image(context, 64, 64, 3, calo_image_pixels(images[0][0]), &first));
        hashes[i] = hash_images(&images[i][0], 1);
    }
    assert_true(hashes[0] == hashes[1]);
    OK(calo_generate(model, one, images[0]));
    const bool same = memcmp(calo_image_pixels(images[0][0]), calo_image_pixels(first), 64 * 64 * 3) == 0;
    hash_images(images[0], 2);
    assert_true(same != differs);
    return first;
}

static void forks_of_another_mind(void **state)
{
    (void)state;
    calo_request one = small("euler_a", 8), other = one;
    calo_image *image;
    one.count = other.count = 2;
    other.prompt = "a boat on the sea at night";
    image = fork_half_way(&one, &other, true);
    calo_free_image(&image);
    other = one;
    other.seed = 1234; /* of the noise to come */
    image = fork_half_way(&one, &other, true);
    calo_free_image(&image);
    one.scheduler = other.scheduler = "ddim"; /* which draws none */
    image = fork_half_way(&one, &other, false);
    calo_free_image(&image);
    other = one;
    other.guidance = 1;
    image = fork_half_way(&one, &other, true);
    calo_free_image(&image);
}

static double psnr(const calo_image *a, const calo_image *b)
{
    double sum = 0;
    for (int i = 0; i < 64 * 64 * 3; i++) {
        const double difference = (double)calo_image_pixels(a)[i] - calo_image_pixels(b)[i];
        sum += difference * difference;
    }
    return 10 * log10(255 * 255.0 * 64 * 64 * 3 / (sum + 1e-9));
}

/* Solvers of one equation: half-way from one to the other the picture stays what it was. Measured on seeds 4 … 6: 30.2 …
 * 49.1 dB; two seeds are 17.2 … 26.9 dB apart. */
static void forks_to_other_solvers(void **state)
{
    (void)state;
    static const char *const others[] = { "euler", "dpmpp_2m", "dpmpp_2m_karras", "unipc", "pndm" };
    calo_request one = small("ddim", 12), other = one;
    calo_image *images[2];
    one.count = other.count = 2;
    OK(calo_generate(model_at(DEMO), &one, images));
    print_message("two seeds: %.1f dB\n", psnr(images[0], images[1]));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        for (int steps = 12; steps <= 20; steps += 8) {
            other.scheduler = others[i];
            other.steps = steps;
            calo_image *image = fork_half_way(&one, &other, true);
            print_message("from ddim to %s of %d steps: %.1f dB\n", others[i], steps, psnr(image, images[0]));
            assert_true(psnr(image, images[0]) >= 28);
            calo_free_image(&image);
        }
    hash_images(images, 2);
}

/* Where the other schedule has its first call, in every stage; and a fork of a fork, put aside and taken up. */
static void forks_at_ends(void **state)
{
    (void)state;
    calo_request one = small("ddim", 12), other = small("dpmpp_2m", 2);
    calo_job *job, *forked, *again, *resumed;
    for (int stage = 0; stage < 2; stage++)
        for (int at = 1; at <= 2; at++) {
            one.hires = other.hires = stage ? 1.5 : 0;
            OK(calo_job_open(model_at(DEMO), &one, &job));
            advance(job, (stage ? one.steps : 0) + at);
            OK(calo_job_fork(job, &other, &forked));
            calo_job_close(&job);
            OK(calo_job_suspend(forked, in_work("fork.job")));
            OK(calo_job_resume(model_at(DEMO), NULL, in_work("fork.job"), &resumed));
            const unsigned long long hash = finish(&forked);
            assert_true(finish(&resumed) == hash);
        }
    one = small("ddim", 8);
    other = small("dpmpp_2m_karras", 10);
    calo_request third = small("euler_a", 6);
    OK(calo_job_open(model_at(DEMO), &one, &job));
    advance(job, 3);
    OK(calo_job_fork(job, &other, &forked));
    calo_job_close(&job);
    for (int left = 1; left;) { /* at every step of a run that began in the middle of its schedule, and at its end */
        OK(calo_job_suspend(forked, in_work("fork.job")));
        OK(calo_job_fork(forked, &third, &again));
        OK(calo_job_suspend(again, in_work("again.job")));
        OK(calo_job_resume(model_at(DEMO), NULL, in_work("again.job"), &resumed));
        const unsigned long long hash = finish(&again);
        assert_true(finish(&resumed) == hash);
        OK(calo_job_step(forked, &left));
    }
    OK(calo_job_resume(model_at(DEMO), NULL, in_work("fork.job"), &resumed));
    OK(calo_job_suspend(forked, in_work("fork.job")));
    OK(calo_job_resume(model_at(DEMO), NULL, in_work("fork.job"), &again));
    const unsigned long long hash = finish(&forked);
    assert_true(finish(&resumed) == hash);
    assert_true(finish(&again) == hash);
}

static void forks_refused(void **state)
{
    (void)state;
    calo_request r = small("ddim", 3);
    calo_job *job, *fork;
    calo_image *image;
    OK(calo_job_open(model_at(DEMO), &r, &job));
    advance(job, 1);
    r.dump = in_work("fork.safetensors");
    REFUSED(calo_job_fork(job, &r, &fork), CALO_EUSAGE, "dump");
    r.dump = NULL;
    r.steps = 0;
    REFUSED(calo_job_fork(job, &r, &fork), CALO_EUSAGE, "steps");
    r.steps = 3;
    r.scheduler = "magic";
    REFUSED(calo_job_fork(job, &r, &fork), CALO_EUSAGE, "magic");
    r.size = 8;
    REFUSED(calo_job_fork(job, &r, &fork), CALO_EUSAGE, "size");
    assert_null(fork);
    OK(calo_job_finish(job, &image)); /* and the job goes on */
    r = small("ddim", 3);
    REFUSED(calo_job_fork(job, &r, &fork), CALO_EUSAGE, "over");
    calo_job_close(&job);
    assert_true(hash_images(&image, 1) == whole(model_at(DEMO), &r));
}
int main(int count, char **words)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forks_of_itself),        cmocka_unit_test(forks_of_another_mind),
        cmocka_unit_test(forks_to_other_solvers), cmocka_unit_test(forks_at_ends),
        cmocka_unit_test(forks_refused),
    };
    if (count != 6)
        return fprintf(stderr, "usage: test_forks CALOTYPE MODEL WORK WRITE_MODEL GOLDEN\n"), 2;
    int failed = jobs_open(words + 1, 1);
    if (!failed)
        failed = cmocka_run_group_tests(tests, NULL, NULL);
    jobs_close();
    return failed;
}
