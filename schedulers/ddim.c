/* DDIM (Song et al. 2021, equation 12):

       x' = √ᾱ' · x̂₀ + √(1 − ᾱ' − s²) · ε̂ + s · z,   s = η √((1 − ᾱ')/(1 − ᾱ) · (1 − ᾱ/ᾱ'))

   with ᾱ' that of t − T/N; before the first timestep it is 1 or ᾱ₀ (set_alpha_to_one). */
#include "ddim.h"
#include "../engine/shim.h"
#include "noise_schedule.h"

#include <math.h>

void calo_ddim_defaults(calo_schedule_config *config)
{
    config->clip_sample = true;
    config->set_alpha_to_one = true;
    config->timestep_spacing = CALO_LEADING;
}

static void compile_step(const calo_schedule_config *c, const double *alphas, int stride, calo_step *step)
{
    const int t = (int)step->timestep, before = t - stride;
    const double a = alphas[t];
    const double next = before >= 0 ? alphas[before] : c->set_alpha_to_one ? 1 : alphas[0];
    const double noise = c->eta > 0 ? c->eta * sqrt((1 - next) / (1 - a) * (1 - a / next)) : 0;
    const double rest = 1 - next - noise * noise; /* −1e-17 where all the direction is noise; NaN stays NaN */
    const double signal = sqrt(next), direction = sqrt(rest < 0 ? 0 : rest);
    calo_step_place(step, c->prediction_type, sqrt(a), sqrt(1 - a));
    const calo_pair clean = step->clean;
    const calo_pair eps = calo_noise(c->prediction_type, sqrt(a), sqrt(1 - a));
    if (c->clip_sample) {
        calo_row *row = calo_row_add(step, CALO_REGISTER_H0);
        row->coefficients[CALO_REGISTER_X] = clean.x;
        row->coefficients[CALO_REGISTER_E] = clean.e;
        row->clamp = c->clip_sample_range;
    }
    calo_row *row = calo_row_add(step, CALO_REGISTER_X);
    row->coefficients[CALO_REGISTER_X] = direction * eps.x + (c->clip_sample ? 0 : signal * clean.x);
    row->coefficients[CALO_REGISTER_E] = direction * eps.e + (c->clip_sample ? 0 : signal * clean.e);
    row->coefficients[CALO_REGISTER_H0] = c->clip_sample ? signal : 0;
    row->coefficients[CALO_REGISTER_Z] = noise;
    step->draws_noise = c->eta > 0;
}

calo_status calo_ddim_compile(const calo_schedule_config *config, int steps, calo_program *program, calo_fault *fault)
{
    double *alphas, timesteps[CALO_MAX_STEPS];
    calo_status status = calo_table_timesteps(config, steps, timesteps, fault);
    if (!status)
        status = calo_alphas(config, 0, &alphas, fault);
    if (status)
        return status;
    for (int i = 0; i < steps; i++) {
        program->steps[i].timestep = timesteps[i];
        compile_step(config, alphas, config->num_train_timesteps / steps, &program->steps[i]);
    }
    calo_free(alphas);
    return CALO_OK;
}
