/* DPM-Solver++ multistep (Lu et al. 2022b, algorithm 2 and its third-order form), on predicted clean latents m:

       x' = (σ'/σ) x − α' (e^−h − 1) D₀ + second · D₁ − third · D₂,   h = λ' − λ

   The first step and, by rule, the last are of lower order. */
#include "dpm_solver.h"
#include "../engine/shim.h"
#include "noise_schedule.h"

#include <math.h>

void calo_dpm_solver_defaults(calo_schedule_config *config)
{
    config->timestep_spacing = CALO_LINSPACE;
    config->solver_order = 2;
    config->lower_order_final = true;
}

void calo_dpm_solver_plain(calo_schedule_config *config)
{
    config->solver_order = 2;
    config->use_karras_sigmas = false;
}

void calo_dpm_solver_karras(calo_schedule_config *config)
{
    config->solver_order = 2;
    config->use_karras_sigmas = true;
}

static int order_of(const calo_schedule_config *c, int steps, int number)
{
    const bool final = number == steps - 1 && (c->euler_at_final || (c->lower_order_final && steps < 15) ||
                                               c->final_sigmas_type == CALO_FINAL_ZERO);
    const bool second = number == steps - 2 && c->lower_order_final && steps < 15;
    int order = c->solver_order < number + 1 ? c->solver_order : number + 1;
    if (final)
        return 1;
    return second && order > 2 ? 2 : order;
}

static void compile_step(const calo_schedule_config *c, const double *sigmas, int steps, int number, calo_step *step)
{
    const calo_alpha_sigma here = calo_alpha_sigma_of(sigmas[number]), there = calo_alpha_sigma_of(sigmas[number + 1]);
    const calo_pair clean = calo_clean(c->prediction_type, here.alpha, here.sigma);
    const int order = order_of(c, steps, number);
    const double h = there.lambda - here.lambda, decay = exp(-h) - 1;
    const calo_register m0 = calo_history(number), m1 = calo_history(number + 3), m2 = calo_history(number + 2);

    calo_row *keep = calo_row_add(step, m0);
    keep->coefficients[CALO_REGISTER_X] = clean.x;
    keep->coefficients[CALO_REGISTER_E] = clean.e;

    calo_row *row = calo_row_add(step, CALO_REGISTER_X);
    row->coefficients[CALO_REGISTER_X] = there.sigma / here.sigma;
    row->coefficients[m0] = -there.alpha * decay;
    if (order == 1)
        return;
    const double r0 = (here.lambda - calo_alpha_sigma_of(sigmas[number - 1]).lambda) / h;
    const double heun = there.alpha * (decay / h + 1);
    if (order == 2) {
        const double second = (c->heun ? heun : -0.5 * there.alpha * decay) / r0;
        row->coefficients[m0] += second;
        row->coefficients[m1] -= second;
        return;
    }
    const double r1 = (calo_alpha_sigma_of(sigmas[number - 1]).lambda - calo_alpha_sigma_of(sigmas[number - 2]).lambda) / h;
    const double third = -there.alpha * ((decay + h) / (h * h) - 0.5);
    /* D₁₀ = (m0 − m1)/r0, D₁₁ = (m1 − m2)/r1, D₁ = D₁₀ + r0/(r0 + r1) (D₁₀ − D₁₁), D₂ = (D₁₀ − D₁₁)/(r0 + r1) */
    const double near = heun * (1 + r0 / (r0 + r1)) + third / (r0 + r1);
    const double far = -heun * r0 / (r0 + r1) - third / (r0 + r1);
    row->coefficients[m0] += near / r0;
    row->coefficients[m1] += far / r1 - near / r0;
    row->coefficients[m2] -= far / r1;
}

calo_status calo_dpm_solver_compile(const calo_schedule_config *config, int steps, calo_program *program,
                                    calo_fault *fault)
{
    double *alphas, timesteps[CALO_MAX_STEPS], sigmas[CALO_MAX_STEPS + 1];
    calo_status status = calo_alphas(config, 0x1p-24, &alphas, fault);
    if (status)
        return status;
    calo_solver_sigmas(config, alphas, steps, false, timesteps, sigmas);
    for (int i = 0; i < steps; i++) {
        program->steps[i].timestep = timesteps[i];
        program->steps[i].sigma = sigmas[i];
        compile_step(config, sigmas, steps, i, &program->steps[i]);
    }
    program->has_sigmas = true;
    calo_free(alphas);
    return CALO_OK;
}
