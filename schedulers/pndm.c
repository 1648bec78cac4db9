/* PNDM's linear multistep part (Liu et al. 2022, "PLMS"; skip_prk_steps). The second timestep is visited twice, so there
   is one call more than steps: the first pair is a Heun-like start, then Adams–Bashforth of rising order:

       (3, −1)/2,  (23, −16, 5)/12,  (55, −59, 37, −9)/24     of the latest outputs

   and each step is equation 9: x' = √(ᾱ'/ᾱ) x − (ᾱ' − ᾱ) e / (ᾱ √(1 − ᾱ') + √(ᾱ (1 − ᾱ) ᾱ')). */
#include "pndm.h"
#include "../engine/shim.h"
#include "noise_schedule.h"

#include <math.h>

void calo_pndm_defaults(calo_schedule_config *config)
{
    config->timestep_spacing = CALO_LEADING;
}

static double alpha_at(const calo_schedule_config *c, const double *alphas, int t)
{
    if (t < 0)
        return c->set_alpha_to_one ? 1 : alphas[0];
    return alphas[t < c->num_train_timesteps ? t : c->num_train_timesteps - 1];
}

/* X ← equation 9 from `base` and Σ weight_k · register_k. */
static void add_transfer(const calo_schedule_config *c, const double *alphas, int from, int to, calo_step *step,
                         calo_register base, const double *weights)
{
    const double a = alpha_at(c, alphas, from), next = alpha_at(c, alphas, to);
    const double factor = -(next - a) / (a * sqrt(1 - next) + sqrt(a * (1 - a) * next));
    calo_row *row = calo_row_add(step, CALO_REGISTER_X);
    const bool v = c->prediction_type == CALO_PREDICTION_V;
    row->coefficients[base] = sqrt(next / a) + (v ? factor * sqrt(1 - a) : 0);
    for (int r = 0; r < CALO_REGISTERS; r++)
        row->coefficients[r] += factor * (v ? sqrt(a) : 1) * weights[r];
}

static void add_copy(calo_step *step, calo_register target, calo_register from)
{
    calo_row_add(step, target)->coefficients[from] = 1;
}

static void compile_step(const calo_schedule_config *c, const double *alphas, int stride, int number, calo_step *step)
{
    static const double adams[4][4] = { { 1 }, { 3 / 2., -1 / 2. }, { 23 / 12., -16 / 12., 5 / 12. },
                                        { 55 / 24., -59 / 24., 37 / 24., -9 / 24. } };
    const int t = (int)step->timestep;
    double weights[CALO_REGISTERS] = { 0 };
    if (number == 1) { /* the same step again, with the mean of both outputs */
        weights[CALO_REGISTER_E] = weights[calo_history(0)] = 0.5;
        add_transfer(c, alphas, t + stride, t, step, CALO_REGISTER_S, weights);
        return;
    }
    /* Output number 0 is the first; the repeated call's is not kept, so call n ≥ 2 is output n − 1. */
    const int latest = number ? number - 1 : 0, order = latest < 3 ? latest : 3;
    add_copy(step, calo_history(latest), CALO_REGISTER_E);
    if (number == 0)
        add_copy(step, CALO_REGISTER_S, CALO_REGISTER_X);
    for (int k = 0; k <= order; k++)
        weights[calo_history(latest - k)] = adams[order][k];
    add_transfer(c, alphas, t, t - stride, step, CALO_REGISTER_X, weights);
}

calo_status calo_pndm_compile(const calo_schedule_config *config, int steps, calo_program *program, calo_fault *fault)
{
    double *alphas, timesteps[CALO_MAX_STEPS];
    if (config->prediction_type == CALO_PREDICTION_SAMPLE)
        return calo_fail(fault, CALO_EUSAGE, "pndm: the prediction 'sample' is not defined for this scheduler");
    calo_status status = calo_alphas(config, 0, &alphas, fault);
    if (status)
        return status;
    calo_timesteps(config, steps, true, timesteps);
    program->step_count = steps > 1 ? steps + 1 : 1;
    for (int i = 0; i < program->step_count; i++) {
        program->steps[i].timestep = timesteps[i < 2 ? i : i - 1];
        compile_step(config, alphas, config->num_train_timesteps / steps, i, &program->steps[i]);
    }
    calo_free(alphas);
    return CALO_OK;
}
