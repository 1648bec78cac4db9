/* The denoising loop.

       for each call c of the program:   E = the guided prediction for scale_c · X
                                         clean = a_c X + b_c E
                                         each row: target = Σ coefficient · register

   A step's only contact with the host is 16 bytes: whether the latents are still finite. */
#include "denoise.h"
#include "../kernels/elementwise/elementwise.h"
#include "../kernels/reduce/reduce.h"
#include "noise.h"

#include <stdio.h>

static void apply_row(calo_run *run, const calo_denoise *d, const calo_row *row)
{
    calo_tensor in[CALO_REGISTERS];
    double coefficients[CALO_REGISTERS];
    int count = 0;
    for (int r = 0; r < CALO_REGISTERS; r++)
        if (row->coefficients[r] != 0) {
            in[count] = d->registers[r];
            coefficients[count++] = row->coefficients[r];
        }
    if (count == 0) { /* a row of zeros still has to write zeros */
        in[count] = d->registers[CALO_REGISTER_X];
        coefficients[count++] = 0;
    }
    calo_combine_into(run, d->registers[row->target], in, coefficients, count, row->clamp);
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

static void tell(calo_run *run, const calo_denoise *d)
{
    if (d->on_tensor && !calo_failed(run))
        d->on_tensor(d->user, run, "latents", d->done, d->registers[CALO_REGISTER_X]);
}

void calo_denoise_begin(calo_run *run, calo_denoise *d, calo_tensor latents)
{
    run->label = "scheduler";
    d->done = 0;
    for (int r = 0; r < CALO_REGISTERS; r++)
        if (r != CALO_REGISTER_X && (d->program->registers_used >> r & 1))
            d->registers[r] = calo_new(run, CALO_F32, 4, latents.dims);
    d->clean = calo_new(run, CALO_F32, 4, latents.dims);
    d->registers[CALO_REGISTER_X] = latents;
    tell(run, d);
}

void calo_denoise_step(calo_run *run, calo_denoise *d)
{
    const calo_tensor *registers = d->registers;
    char what[48];
    if (calo_failed(run) || d->done >= d->program->step_count)
        return;
    const calo_step *step = &d->program->steps[d->done];
    const calo_tensor seen[] = { registers[CALO_REGISTER_X], registers[CALO_REGISTER_E] };
    d->predict(d->user, run, registers, step->input_scale, d->done);
    run->label = "scheduler";
    calo_combine_into(run, d->clean, seen, (double[]){ step->clean.x, step->clean.e }, 2, 0);
    if (step->draws_noise)
        calo_draw_noise(run, d->generator, NULL, 0, registers[CALO_REGISTER_Z]);
    for (int i = 0; i < step->row_count; i++)
        apply_row(run, d, &step->rows[i]);
    if (d->after)
        d->after(d->user, run, registers, d->done);
    snprintf(what, sizeof what, "the latents after step %d", d->done + 1);
    calo_expect_finite(run, registers[CALO_REGISTER_X], what); /* waits for the step, too */
    if (calo_failed(run))
        return;
    d->done++;
    tell(run, d);
}

calo_tensor calo_denoise_end(calo_run *run, calo_denoise *d)
{
    calo_tensor latents = d->registers[CALO_REGISTER_X];
    for (int r = 0; r < CALO_REGISTERS; r++)
        if (r != CALO_REGISTER_X)
            calo_drop(run, &d->registers[r]);
    calo_drop(run, &d->clean);
    d->registers[CALO_REGISTER_X] = (calo_tensor){ 0 };
    return latents;
}
