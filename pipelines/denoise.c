/* The denoising loop.

       for each call c of the program:   input = scale_c · X, twice when guided
                                         E = uncond + guidance · (cond − uncond)
                                         each row: target = Σ coefficient · register

   A step's only contact with the host is 16 bytes: whether the latents are still finite. */
#include "denoise.h"
#include "../engine/shim.h"
#include "../kernels/elementwise/elementwise.h"
#include "../kernels/reduce/reduce.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct loop {
    calo_run *run;
    const calo_denoise *denoise;
    calo_tensor registers[CALO_REGISTERS];
    calo_tensor input; /* of the denoiser: [B or 2B, h, w, C], in the run's type */
    calo_graph *graph; /* of a recorded prediction, or NULL */
    calo_rng *rng;
} loop;

void calo_draw_latents(calo_run *run, calo_rng *rng, calo_tensor t)
{
    if (calo_failed(run) || !run->device || !calo_present(t))
        return;
    const int64_t batch = t.dims[0], pixels = t.dims[1] * t.dims[2], channels = t.dims[3];
    const int64_t count = batch * pixels * channels;
    float *drawn = calo_alloc((size_t)count, sizeof *drawn), *turned = calo_alloc((size_t)count, sizeof *turned);
    if (drawn && turned) {
        calo_rng_normal_f32(rng, drawn, (size_t)count);
        for (int64_t b = 0; b < batch; b++)
            for (int64_t c = 0; c < channels; c++)
                for (int64_t i = 0; i < pixels; i++)
                    turned[(b * pixels + i) * channels + c] = drawn[(b * channels + c) * pixels + i];
        calo_upload(run, t, turned);
    } else {
        calo_fail(run->fault, CALO_EMEMORY, "no host memory to draw %" PRId64 " numbers of noise", count);
    }
    calo_free(drawn);
    calo_free(turned);
}

static bool is_guided(const loop *l)
{
    return l->denoise->guidance > 1;
}

/* input ← scale · X; twice, one batch after the other, when guided. */
static void fill_input(const loop *l, double scale)
{
    const calo_tensor x = l->registers[CALO_REGISTER_X];
    for (int half = 0; half <= is_guided(l) && !calo_failed(l->run); half++)
        calo_combine_into(l->run, calo_batches(l->input, half * x.dims[0], x.dims[0]), &x, &scale, 1, 0);
}

/* E ← the prediction, guided. */
static void guide(const loop *l, calo_tensor output)
{
    const calo_tensor e = l->registers[CALO_REGISTER_E];
    if (is_guided(l)) {
        const double g = l->denoise->guidance, coefficients[] = { 1 - g, g };
        const calo_tensor halves[] = { calo_batches(output, 0, e.dims[0]), calo_batches(output, e.dims[0], e.dims[0]) };
        calo_combine_into(l->run, e, halves, coefficients, 2, 0);
    } else {
        const double one = 1;
        calo_combine_into(l->run, e, &output, &one, 1, 0);
    }
}

static void apply_row(const loop *l, const calo_row *row)
{
    calo_tensor in[CALO_REGISTERS];
    double coefficients[CALO_REGISTERS];
    int count = 0;
    for (int r = 0; r < CALO_REGISTERS; r++)
        if (row->coefficients[r] != 0) {
            in[count] = l->registers[r];
            coefficients[count++] = row->coefficients[r];
        }
    if (count == 0) { /* a row of zeros still has to write zeros */
        in[count] = l->registers[CALO_REGISTER_X];
        coefficients[count++] = 0;
    }
    calo_combine_into(l->run, l->registers[row->target], in, coefficients, count, row->clamp);
}

void calo_expect_finite(calo_run *run, calo_tensor t, const char *what)
{
    float found[4] = { 0 };
    calo_tensor count = calo_reduce_finite(run, t);
    calo_download(run, count, found);
    calo_drop(run, &count);
    if (!calo_failed(run) && !(found[0] == 0))
        calo_fail(run->fault, CALO_ENONFINITE, "%s: %.0f numbers are not finite", what, (double)found[0]);
}

static void tell(const loop *l, const char *key, int number, calo_tensor t)
{
    if (l->denoise->on_tensor && !calo_failed(l->run))
        l->denoise->on_tensor(l->denoise->user, l->run, key, number, t);
}

/* E ← the guided prediction for the input. */
static void predict(const loop *l, int number)
{
    calo_tensor output = l->denoise->predict(l->denoise->user, l->run, l->input);
    tell(l, "output", number, output);
    guide(l, output);
    calo_drop(l->run, &output);
}

/* The same with one launch: the first step compiles and loads what it needs, the second is recorded. */
static void predict_recorded(loop *l, int number)
{
    calo_run *run = l->run;
    if (!l->graph) {
        if (run->device->api->capture(run->device, run->fault))
            return;
        predict(l, number);
        run->device->api->end_capture(run->device, &l->graph, run->fault);
    }
    if (!calo_failed(run))
        run->device->api->replay(run->device, l->graph, run->fault);
}

static void one_step(loop *l, int number)
{
    const calo_step *step = &l->denoise->program->steps[number];
    calo_run *run = l->run;
    char what[48];
    const bool records = run->device && run->device->api->capture && !run->profile && !run->check && !l->denoise->on_tensor;
    fill_input(l, step->input_scale);
    l->denoise->begin_step(l->denoise->user, run, number);
    if (records && number > 0 && !calo_failed(run))
        predict_recorded(l, number);
    else
        predict(l, number);
    run->label = "scheduler";
    if (step->draws_noise)
        calo_draw_latents(run, l->rng, l->registers[CALO_REGISTER_Z]);
    for (int i = 0; i < step->row_count; i++)
        apply_row(l, &step->rows[i]);
    snprintf(what, sizeof what, "the latents after step %d", number + 1);
    calo_expect_finite(run, l->registers[CALO_REGISTER_X], what); /* waits for the step, too */
    tell(l, "latents", number + 1, l->registers[CALO_REGISTER_X]);
}

calo_tensor calo_denoise_run(calo_run *run, const calo_denoise *denoise, calo_tensor latents, calo_rng *rng)
{
    const calo_program *program = denoise->program;
    loop l = { .run = run, .denoise = denoise, .rng = rng };
    run->label = "scheduler";
    for (int r = 0; r < CALO_REGISTERS; r++)
        if (r != CALO_REGISTER_X && (program->registers_used >> r & 1))
            l.registers[r] = calo_new(run, CALO_F32, 4, latents.dims);
    l.registers[CALO_REGISTER_X] = latents;
    l.input = calo_new(run, run->dtype, 4,
                       (int64_t[]){ (1 + is_guided(&l)) * latents.dims[0], latents.dims[1], latents.dims[2],
                                    latents.dims[3] });
    calo_combine_into(run, latents, &latents, &program->initial_noise_scale, 1, 0);
    tell(&l, "latents", 0, latents);

    for (int i = 0; i < program->step_count && !calo_failed(run); i++) {
        const double begin = calo_seconds();
        one_step(&l, i);
        if (!calo_failed(run) && run->device && denoise->on_step &&
            denoise->on_step(denoise->user, i + 1, calo_seconds() - begin))
            calo_fail(run->fault, CALO_ECANCELLED, "stopped after step %d of %d", i + 1, program->step_count);
    }
    if (l.graph)
        run->device->api->release_graph(run->device, l.graph);
    calo_drop(run, &l.input);
    for (int r = 0; r < CALO_REGISTERS; r++)
        if (r != CALO_REGISTER_X)
            calo_drop(run, &l.registers[r]);
    return latents;
}
