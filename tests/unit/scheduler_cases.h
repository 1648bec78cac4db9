/* The cases of golden/schedulers, read, run and compared: what the tests of the programs and of the configuration's
   reader share. make_schedulers.py says what denoiser and noise the files were made with. */
#ifndef CALO_SCHEDULER_CASES_H
#define CALO_SCHEDULER_CASES_H

#include "../../engine/shim.h"
#include "../../schedulers/scheduler.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TOLERANCE 1e-8 /* asked for: 1e-6. Measured: 5e-10, which is the last of the files' ten digits */
#define WIDTH 2        /* latents */

typedef struct state {
    double x[CALO_REGISTERS][WIDTH];
    int draws;
} state;

static void denoise(const double *x, double scale, double timestep, double *out)
{
    for (int i = 0; i < WIDTH; i++)
        out[i] = sin(0.9 * scale * x[i] + 0.011 * timestep + 0.7 * i);
}

static void begin(state *s, const calo_program *program)
{
    static const double draw[WIDTH] = { 0.73, -1.21 };
    for (int r = 0; r < CALO_REGISTERS; r++)
        for (int i = 0; i < WIDTH; i++)
            s->x[r][i] = NAN; /* so that a register that is read before it is written shows */
    for (int i = 0; i < WIDTH; i++)
        s->x[CALO_REGISTER_X][i] = draw[i] * program->initial_noise_scale;
    s->draws = 0;
}

static void apply(state *s, const calo_row *row)
{
    double sum[WIDTH] = { 0 };
    for (int r = 0; r < CALO_REGISTERS; r++)
        for (int i = 0; i < WIDTH && row->coefficients[r] != 0; i++)
            sum[i] += row->coefficients[r] * s->x[r][i];
    for (int i = 0; i < WIDTH; i++)
        s->x[row->target][i] = row->clamp > 0 && fabs(sum[i]) > row->clamp ? copysign(row->clamp, sum[i]) : sum[i];
}

static void run_step(state *s, const calo_step *step)
{
    denoise(s->x[CALO_REGISTER_X], step->input_scale, step->timestep, s->x[CALO_REGISTER_E]);
    for (int i = 0; i < WIDTH; i++)
        s->x[CALO_REGISTER_Z][i] = step->draws_noise ? 1.2 * cos(1.3 * s->draws + 2.1 * i + 0.5) : NAN;
    s->draws += step->draws_noise;
    for (int i = 0; i < step->row_count; i++)
        apply(s, &step->rows[i]);
}

/* A case of a file, its lines still to be read. */
typedef struct golden {
    const char *line; /* the one that begins with "= " */
    char head[1024], name[40], class[64], spacing[16], prediction[16];
    const char *json;
    int steps;
    double eta;
} golden;

static const char *next_line(const char *at)
{
    const char *end = strchr(at, '\n');
    return end ? end + 1 : at + strlen(at);
}

static bool read_case(const char **at, golden *g)
{
    while (**at && strncmp(*at, "case ", 5))
        *at = next_line(*at);
    if (!**at)
        return false;
    g->line = next_line(*at);
    const size_t length = (size_t)(g->line - *at) - 1;
    assert_true(length < sizeof g->head);
    memcpy(g->head, *at, length);
    g->head[length] = 0;
    int json = 0;
    assert_int_equal(sscanf(g->head, "case %39s %63s %d %lf %15s %15s %n", g->name, g->class, &g->steps, &g->eta,
                            g->spacing, g->prediction, &json), 6);
    g->json = g->head + json;
    *at = g->line;
    return true;
}

static void expect_near(const golden *g, int call, const char *what, double got, double wanted, double size,
                        double *worst)
{
    const double error = fabs(got - wanted) / size;
    if (!(error <= TOLERANCE))
        fail_msg("%s\n  call %d: %s is %.12g, diffusers has %.12g", g->head, call, what, got, wanted);
    if (error > *worst)
        *worst = error;
}

/* The rows say nothing that a device could not do. */
static void expect_sound(const golden *g, const calo_program *program)
{
    for (int i = 0; i < program->step_count; i++) {
        const calo_step *step = &program->steps[i];
        if (step->row_count < 1 || step->row_count > CALO_MAX_ROWS)
            fail_msg("%s\n  call %d has %d rows", g->head, i, step->row_count);
        for (int k = 0; k < step->row_count; k++) {
            const int target = step->rows[k].target;
            for (int r = 0; r < CALO_REGISTERS; r++)
                if (!(fabs(step->rows[k].coefficients[r]) <= 1e30))
                    fail_msg("%s\n  call %d: a coefficient is %g", g->head, i, step->rows[k].coefficients[r]);
            if (target == CALO_REGISTER_E || target == CALO_REGISTER_Z)
                fail_msg("%s\n  call %d writes register %d", g->head, i, target);
            if (!(program->registers_used >> target & 1))
                fail_msg("%s\n  call %d: register %d is not in registers_used", g->head, i, target);
        }
        if (step->draws_noise && !(program->registers_used >> CALO_REGISTER_Z & 1))
            fail_msg("%s\n  noise is not in registers_used", g->head);
    }
}

static void compare(const golden *g, const calo_program *program, double *worst)
{
    double scale, size = 1; /* errors are relative to the largest latent so far: zero SNR begins at 4096 */
    int calls, draws;
    assert_int_equal(sscanf(g->line, "= %lf %d %d", &scale, &calls, &draws), 3);
    if (program->step_count != calls)
        fail_msg("%s\n  %d calls, diffusers makes %d", g->head, program->step_count, calls);
    expect_near(g, -1, "initial_noise_scale", program->initial_noise_scale, scale, scale, worst);
    expect_sound(g, program);

    state s;
    begin(&s, program);
    const char *at = g->line;
    for (int call = 0; call < calls; call++) {
        double timestep, sigma = 0, x[WIDTH];
        char text[32];
        at = next_line(at);
        assert_int_equal(sscanf(at, "%lf %31s %lf %lf", &timestep, text, &x[0], &x[1]), 4);
        const calo_step *step = &program->steps[call];
        const bool has_sigma = sscanf(text, "%lf", &sigma) == 1;
        assert_int_equal(program->has_sigmas, has_sigma);
        expect_near(g, call, "timestep", step->timestep, timestep, fmax(timestep, 1), worst);
        expect_near(g, call, "sigma", step->sigma, sigma, fmax(sigma, 1e-2), worst);
        run_step(&s, step);
        for (int i = 0; i < WIDTH; i++)
            size = fmax(size, fabs(x[i]));
        for (int i = 0; i < WIDTH; i++)
            expect_near(g, call, "x", s.x[CALO_REGISTER_X][i], x[i], size, worst);
    }
    if (s.draws != draws)
        fail_msg("%s\n  %d draws of noise, diffusers makes %d", g->head, s.draws, draws);
}

/* Runs every case of golden/schedulers/NAME.txt. `compile` gives the case's program, or a status and sentence. */
static void run_file(const char *name, calo_status (*compile)(const golden *g, calo_program **program, calo_fault *fault))
{
    char path[1024], *text;
    size_t size;
    calo_fault fault = { 0 };
    snprintf(path, sizeof path, "%s/golden/schedulers/%s.txt", CALO_TEST_DATA, name);
    if (calo_read_file(path, 1 << 20, &text, &size, &fault))
        fail_msg("%s", fault.text);
    int compared = 0, refused = 0, undefined = 0;
    double worst = 0;
    golden g;
    for (const char *at = text; read_case(&at, &g);) {
        calo_program *program;
        calo_fault why = { 0 };
        const calo_status status = compile(&g, &program, &why);
        assert_int_equal(status, why.status);
        assert_true((status == CALO_OK) == (program != NULL));
        if (status && status != CALO_EUSAGE && status != CALO_EFILE)
            fail_msg("%s\n  status %d: %s", g.head, status, why.text);
        if (!strncmp(g.line, "= error", 7)) {
            if (!status)
                fail_msg("%s\n  compiled, diffusers refuses", g.head);
            refused++;
        } else if (!strncmp(g.line, "= nonfinite", 11)) {
            /* diffusers divides 0 by 0. Refusing is right, and so is the limit where there is one. */
            if (program)
                expect_sound(&g, program);
            undefined++;
        } else if (status) {
            fail_msg("%s\n  %s", g.head, why.text);
        } else {
            compare(&g, program, &worst);
            compared++;
        }
        calo_program_free(&program);
    }
    calo_free(text);
    print_message("%s: %d equal to %.1e, %d refused, %d without an answer\n", name, compared, worst, refused, undefined);
    assert_true(compared > 0);
}

#endif
