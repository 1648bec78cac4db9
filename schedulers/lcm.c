/* Multistep consistency sampling (Luo et al. 2023, algorithm 3): each step jumps to a clean prediction and adds new noise.

       x̂ = c_out x̂₀ + c_skip x;   x' = √ᾱ' x̂ + √(1 − ᾱ') z, the last step x' = x̂
       c_skip = σ²/(s² + σ²),  c_out = s/√(s² + σ²),  s = timestep_scaling · t,  σ = ½

   Timesteps are taken evenly out of the original_inference_steps that the model was distilled on. */
#include "lcm.h"
#include "../engine/shim.h"
#include "noise_schedule.h"

#include <math.h>

void calo_lcm_defaults(calo_schedule_config *config)
{
    config->beta_start = 0.00085;
    config->beta_end = 0.012;
    config->beta_schedule = CALO_BETA_SCALED_LINEAR;
    config->set_alpha_to_one = true;
    config->original_inference_steps = 50;
    config->timestep_scaling = 10;
}

static void compile_step(const calo_schedule_config *c, const double *alphas, int next, bool last, calo_step *step)
{
    const int t = (int)step->timestep;
    const double a = alphas[t], after = next >= 0 ? alphas[next] : c->set_alpha_to_one ? 1 : alphas[0];
    const double scaled = t * c->timestep_scaling, data = 0.5, square = scaled * scaled + data * data;
    const double skip = data * data / square, out = scaled / sqrt(square), signal = last ? 1 : sqrt(after);
    calo_step_place(step, c->prediction_type, sqrt(a), sqrt(1 - a));
    const calo_pair clean = step->clean;
    if (c->clip_sample) {
        calo_row *row = calo_row_add(step, CALO_REGISTER_H0);
        row->coefficients[CALO_REGISTER_X] = clean.x;
        row->coefficients[CALO_REGISTER_E] = clean.e;
        row->clamp = c->clip_sample_range;
    }
    calo_row *row = calo_row_add(step, CALO_REGISTER_X);
    row->coefficients[CALO_REGISTER_X] = signal * (skip + (c->clip_sample ? 0 : out * clean.x));
    row->coefficients[CALO_REGISTER_E] = c->clip_sample ? 0 : signal * out * clean.e;
    row->coefficients[CALO_REGISTER_H0] = c->clip_sample ? signal * out : 0;
    row->coefficients[CALO_REGISTER_Z] = last ? 0 : sqrt(1 - after);
    step->draws_noise = !last;
}

calo_status calo_lcm_compile(const calo_schedule_config *config, int steps, calo_program *program, calo_fault *fault)
{
    const int original = config->original_inference_steps;
    const int used = config->strength > 0 ? (int)(original * config->strength) : original;
    double *alphas;
    if (original < 1 || original > config->num_train_timesteps || steps > original)
        return calo_fail(fault, CALO_EUSAGE, "lcm: %d steps; there may be 1 … original_inference_steps, which is %d of %d",
                         steps, original, config->num_train_timesteps);
    if (used < steps)
        return calo_fail(fault, CALO_EUSAGE, "lcm: strength %g leaves %d of original_inference_steps, too few for %d steps",
                         config->strength, used, steps);
    if (calo_alphas(config, 0, &alphas, fault))
        return fault->status;
    const int stride = config->num_train_timesteps / original;
    for (int i = 0; i < steps; i++) { /* the product is rounded as numpy's linspace rounds it */
        const int index = (int)floor(i * ((double)used / steps));
        program->steps[i].timestep = (used - index) * stride - 1;
    }
    for (int i = 0; i < steps; i++)
        compile_step(config, alphas, (int)program->steps[i + 1 < steps ? i + 1 : i].timestep, i + 1 == steps,
                     &program->steps[i]);
    calo_free(alphas);
    return CALO_OK;
}
