/* DDPM (Ho et al. 2020, equations 6 and 7), between the schedule's own neighbours t and t':

       x' = √ᾱ' β / (1 − ᾱ) · x̂₀ + √α (1 − ᾱ') / (1 − ᾱ) · x + √variance · z,   α = ᾱ/ᾱ', β = 1 − α

   The variance is (1 − ᾱ')/(1 − ᾱ) · β, at least 1e-20 (fixed_small), or β (fixed_large); no noise at t = 0. */
#include "ddpm.h"
#include "../engine/shim.h"
#include "noise_schedule.h"

#include <math.h>

void calo_ddpm_defaults(calo_schedule_config *config)
{
    config->clip_sample = true;
    config->timestep_spacing = CALO_LEADING;
}

static void compile_step(const calo_schedule_config *c, const double *alphas, int before, calo_step *step)
{
    const double a = alphas[(int)step->timestep], next = before >= 0 ? alphas[before] : 1;
    const double alpha = a / next, beta = 1 - alpha;
    const double small = (1 - next) / (1 - a) * beta;
    const double variance = c->variance_type == CALO_FIXED_LARGE ? beta : small < 1e-20 ? 1e-20 : small;
    const double to_clean = sqrt(next) * beta / (1 - a), to_x = sqrt(alpha) * (1 - next) / (1 - a);
    calo_step_place(step, c->prediction_type, sqrt(a), sqrt(1 - a));
    const calo_pair clean = step->clean;
    if (c->clip_sample) {
        calo_row *row = calo_row_add(step, CALO_REGISTER_H0);
        row->coefficients[CALO_REGISTER_X] = clean.x;
        row->coefficients[CALO_REGISTER_E] = clean.e;
        row->clamp = c->clip_sample_range;
    }
    calo_row *row = calo_row_add(step, CALO_REGISTER_X);
    row->coefficients[CALO_REGISTER_X] = to_x + (c->clip_sample ? 0 : to_clean * clean.x);
    row->coefficients[CALO_REGISTER_E] = c->clip_sample ? 0 : to_clean * clean.e;
    row->coefficients[CALO_REGISTER_H0] = c->clip_sample ? to_clean : 0;
    step->draws_noise = step->timestep > 0;
    row->coefficients[CALO_REGISTER_Z] = step->draws_noise ? sqrt(variance) : 0;
}

calo_status calo_ddpm_compile(const calo_schedule_config *config, int steps, calo_program *program, calo_fault *fault)
{
    double *alphas, timesteps[CALO_MAX_STEPS];
    calo_status status = calo_table_timesteps(config, steps, timesteps, fault);
    if (!status)
        status = calo_alphas(config, 0, &alphas, fault);
    if (status)
        return status;
    for (int i = 0; i < steps; i++) {
        program->steps[i].timestep = timesteps[i];
        compile_step(config, alphas, i + 1 < steps ? (int)timesteps[i + 1] : -1, &program->steps[i]);
    }
    calo_free(alphas);
    return CALO_OK;
}
