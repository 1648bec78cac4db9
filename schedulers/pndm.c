/* PNDM (Liu et al. 2022): a linear multistep method on the predicted noise e, each step by equation 9,

       x' = √(ᾱ'/ᾱ) x − (ᾱ' − ᾱ) e / (ᾱ √(1 − ᾱ') + √(ᾱ (1 − ᾱ) ᾱ'))

   with e by Adams–Bashforth of rising order from the latest outputs: (3, −1)/2, (23, −16, 5)/12, (55, −59, 37, −9)/24.

   With skip_prk_steps ("PLMS") the second timestep is visited twice, so there is one call more than steps: the first pair
   is a Heun-like start. Otherwise the first three steps are Runge–Kutta's, of four calls each, two of them half a stride
   on; those calls all start from S, and H3 holds the sum of their outputs until a fourth output takes its place. */
#include "pndm.h"
#include "../engine/shim.h"
#include "noise_schedule.h"

#include <math.h>

enum { PRK_CALLS = 12 };

void calo_pndm_defaults(calo_schedule_config *config)
{
    config->timestep_spacing = CALO_LEADING;
}

void calo_pndm_plain(calo_schedule_config *config)
{
    config->prk_steps = false;
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

/* `number` counts the calls that are made, from 0: a schedule that begins in its middle starts as any other. */
static void compile_step(const calo_schedule_config *c, const double *alphas, int stride, int number, calo_step *step)
{
    static const double adams[4][4] = { { 1 }, { 3 / 2., -1 / 2. }, { 23 / 12., -16 / 12., 5 / 12. },
                                        { 55 / 24., -59 / 24., 37 / 24., -9 / 24. } };
    const int t = (int)step->timestep;
    double weights[CALO_REGISTERS] = { 0 };
    if (number == 1 && !c->prk_steps) { /* the same step again, with the mean of both outputs */
        weights[CALO_REGISTER_E] = weights[calo_history(0)] = 0.5;
        add_transfer(c, alphas, t + stride, t, step, CALO_REGISTER_S, weights);
        return;
    }
    /* Output number 0 is the first; the repeated call's is not kept, so call n ≥ 2 is output n − 1. Of twelve Runge–Kutta
     * calls three are kept. */
    const int latest = c->prk_steps ? number - PRK_CALLS + 3 : number ? number - 1 : 0, order = latest < 3 ? latest : 3;
    add_copy(step, calo_history(latest), CALO_REGISTER_E);
    if (number == 0)
        add_copy(step, CALO_REGISTER_S, CALO_REGISTER_X);
    for (int k = 0; k <= order; k++)
        weights[calo_history(latest - k)] = adams[order][k];
    add_transfer(c, alphas, t, t - stride, step, CALO_REGISTER_X, weights);
}

/* One of the four calls of a Runge–Kutta step that begins at timestep `begin`. */
static void compile_prk_step(const calo_schedule_config *c, const double *alphas, int stride, int number, int begin,
                             calo_step *step)
{
    static const double shares[] = { 1 / 6., 1 / 3., 1 / 3., 1 / 6. };
    const calo_register sum = calo_history(3);
    const int phase = number % 4, t = (int)step->timestep;
    double weights[CALO_REGISTERS] = { 0 };
    if (phase == 0) {
        add_copy(step, calo_history(number / 4), CALO_REGISTER_E);
        add_copy(step, CALO_REGISTER_S, CALO_REGISTER_X);
    }
    if (phase < 3) {
        calo_row *row = calo_row_add(step, sum);
        row->coefficients[CALO_REGISTER_E] = shares[phase];
        row->coefficients[sum] = phase > 0;
        weights[CALO_REGISTER_E] = 1;
    } else {
        weights[CALO_REGISTER_E] = shares[phase];
        weights[sum] = 1;
    }
    add_transfer(c, alphas, begin, number % 2 ? t : t - stride / 2, step, CALO_REGISTER_S, weights);
}

static double timestep_of_call(const calo_schedule_config *c, int stride, const double *timesteps, int number)
{
    if (!c->prk_steps)
        return timesteps[number < 2 ? number : number - 1];
    if (number >= PRK_CALLS)
        return timesteps[number - PRK_CALLS + 3];
    const int phase = number % 4;
    return timesteps[number / 4 + (phase > 0)] + (phase == 1 || phase == 2 ? stride / 2 : 0);
}

calo_status calo_pndm_compile(const calo_schedule_config *config, int steps, calo_program *program, calo_fault *fault)
{
    const int stride = config->num_train_timesteps / steps;
    double *alphas, timesteps[CALO_MAX_STEPS];
    calo_schedule_config plain = *config;
    plain.rescale_betas_zero_snr = false; /* unknown to this class */
    if (config->prediction_type == CALO_PREDICTION_SAMPLE)
        return calo_fail(fault, CALO_EUSAGE, "pndm: the prediction 'sample' is not defined for this scheduler");
    if (config->prk_steps && steps < 4)
        return calo_fail(fault, CALO_EUSAGE, "pndm: %d steps; without skip_prk_steps it takes at least 4", steps);
    calo_status status = calo_table_timesteps(config, steps, timesteps, fault);
    if (!status)
        status = calo_alphas(&plain, 0, &alphas, fault);
    if (status)
        return status;
    program->step_count = config->prk_steps ? steps + PRK_CALLS - 3 : steps > 1 ? steps + 1 : 1;
    for (int i = 0; i < program->step_count; i++) {
        calo_step *step = &program->steps[i];
        step->timestep = timestep_of_call(config, stride, timesteps, i);
        const double here = alpha_at(config, alphas, (int)step->timestep);
        calo_step_place(step, config->prediction_type, sqrt(here), sqrt(1 - here));
        if (config->prk_steps && i < PRK_CALLS)
            compile_prk_step(config, alphas, stride, i, (int)timesteps[i / 4], step);
        else
            compile_step(config, alphas, stride, i > config->begin ? i - config->begin : 0, step);
    }
    calo_free(alphas);
    return CALO_OK;
}
