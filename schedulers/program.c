/* Building a program: rows are added as a class's formula says them, then what nothing reads is dropped, what is not
 * finite refused, and the tables for --dump filled. */
#include "schedule.h"
#include "../engine/shim.h"

#include <math.h>

calo_status calo_program_make(const calo_schedule *schedule, int calls, bool has_sigmas, calo_program **program)
{
    calo_program *p = *program = calo_alloc(1, sizeof *p);
    if (p) {
        p->initial_noise_scale = 1;
        p->step_count = calls;
        p->steps = calo_alloc((size_t)calls, sizeof *p->steps);
        p->timesteps = calo_alloc((size_t)calls, sizeof *p->timesteps);
        p->sigmas = has_sigmas ? calo_alloc((size_t)calls, sizeof *p->sigmas) : NULL;
    }
    if (!p || !p->steps || !p->timesteps || (has_sigmas && !p->sigmas)) {
        calo_program_free(program);
        return calo_fail(schedule->fault, CALO_EMEMORY, "no memory for a schedule of %d calls", calls);
    }
    for (int i = 0; i < calls; i++)
        p->steps[i].input_scale = 1;
    return CALO_OK;
}

void calo_program_free(calo_program **program)
{
    if (!program || !*program)
        return;
    calo_free((*program)->steps);
    calo_free((*program)->timesteps);
    calo_free((*program)->sigmas);
    calo_free(*program);
    *program = NULL;
}

double *calo_step_row(calo_step *step, calo_register target)
{
    calo_row *row = &step->rows[step->row_count++];
    row->target = target;
    return row->coefficients;
}

void calo_row_add_form(double *coefficients, calo_form form, double scale)
{
    coefficients[CALO_REGISTER_X] += scale * form.x;
    coefficients[CALO_REGISTER_E] += scale * form.e;
}

static uint32_t sources(const calo_row *row)
{
    uint32_t set = 0;
    for (int r = 0; r < CALO_REGISTERS; r++)
        if (row->coefficients[r] != 0)
            set |= 1u << r;
    return set;
}

/* From the end backwards: a row whose target is overwritten or forgotten before it is read did nothing. Before a row
 * of a step runs, X was read by the denoiser, and E and Z were written. */
static void drop_dead_rows(calo_program *program)
{
    uint32_t live = 1u << CALO_REGISTER_X;
    for (int i = program->step_count - 1; i >= 0; i--) {
        calo_step *step = &program->steps[i];
        int kept = CALO_STEP_ROWS;
        for (int r = step->row_count - 1; r >= 0; r--) {
            const calo_row row = step->rows[r];
            if (!(live >> row.target & 1))
                continue;
            live = (live & ~(1u << row.target)) | sources(&row);
            step->rows[--kept] = row;
        }
        step->row_count = CALO_STEP_ROWS - kept;
        for (int r = 0; r < step->row_count; r++)
            step->rows[r] = step->rows[kept + r];
        live |= 1u << CALO_REGISTER_X;
    }
}

static bool is_finite(const calo_step *step)
{
    double sum = step->timestep + step->input_scale + step->sigma + step->image_scale + step->noise_scale;
    bool fits = true;
    for (int r = 0; r < step->row_count; r++)
        for (int k = 0; k < CALO_REGISTERS; k++) {
            sum += step->rows[r].coefficients[k];
            fits = fits && fabs(step->rows[r].coefficients[k]) <= 1e30; /* room in the device's float32 */
        }
    return isfinite(sum) && fits;
}

calo_status calo_program_finish(const calo_schedule *schedule, calo_program **program)
{
    calo_program *p = *program;
    calo_status status = schedule->status;
    for (int i = 0; i < p->step_count && !status; i++)
        if (!is_finite(&p->steps[i]))
            status = calo_fail(schedule->fault, CALO_ENONFINITE,
                               "scheduler %s: step %d of %d, at timestep %g, divides by zero with these settings",
                               schedule->name, i + 1, p->step_count, p->steps[i].timestep);
    if (!status && !isfinite(p->initial_noise_scale))
        status = calo_fail(schedule->fault, CALO_ENONFINITE, "scheduler %s: the first sigma is not finite",
                           schedule->name);
    if (status) {
        calo_program_free(program);
        return status;
    }
    drop_dead_rows(p);
    p->registers_used = 1u << CALO_REGISTER_X | 1u << CALO_REGISTER_E;
    for (int i = 0; i < p->step_count; i++) {
        const calo_step *step = &p->steps[i];
        p->timesteps[i] = step->timestep;
        if (p->sigmas)
            p->sigmas[i] = step->sigma;
        if (step->draws_noise)
            p->registers_used |= 1u << CALO_REGISTER_Z;
        for (int r = 0; r < step->row_count; r++)
            p->registers_used |= 1u << step->rows[r].target | sources(&step->rows[r]);
    }
    return CALO_OK;
}
