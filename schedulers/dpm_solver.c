/* DPM-Solver (Lu et al. 2022a) and DPM-Solver++ (Lu et al. 2022b, algorithm 2) multistep, orders 1 to 3, on predicted
   noise or clean latents m, and their stochastic forms. With h = λ' − λ, h₀ and h₁ those of the steps before:

       ++     x' = (σ'/σ) x + α' Σ φ_k D_k    φ = 1 − e^−h,   (e^−h − 1)/h + 1,   ½ − (e^−h − 1 + h)/h²
       noise  x' = (α'/α) x − σ' Σ φ_k D_k    φ = e^h − 1,    (e^h − 1)/h − 1,    (e^h − 1 − h)/h² − ½
       sde    ++ with 2h for h in φ, e^−h · x and σ' √(1 − e^−2h) z; noise with φ doubled and σ' √(e^2h − 1) z

       D₀ = m₀;  order 2: D₁ = (m₀ − m₁) h/h₀, with half of D₀'s φ (midpoint) or its own (heun);
       order 3: a = (m₀ − m₁) h/h₀, b = (m₁ − m₂) h/h₁, D₁ = a + h₀/(h₀ + h₁) (a − b), D₂ = h/(h₀ + h₁) (a − b)

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
    config->lambda_min_clipped = -(double)INFINITY;
}

void calo_dpm_solver_plain(calo_schedule_config *config)
{
    config->algorithm_type = CALO_DPMSOLVER_PLUS;
    config->solver_order = 2;
    config->use_karras_sigmas = false;
}

void calo_dpm_solver_karras(calo_schedule_config *config)
{
    config->algorithm_type = CALO_DPMSOLVER_PLUS;
    config->solver_order = 2;
    config->use_karras_sigmas = true;
}

static bool is_stochastic(const calo_schedule_config *c)
{
    return c->algorithm_type == CALO_SDE_DPMSOLVER_PLUS || c->algorithm_type == CALO_SDE_DPMSOLVER;
}

static int order_of(const calo_schedule_config *c, int steps, int number)
{
    const bool final = number == steps - 1 && (c->euler_at_final || (c->lower_order_final && steps < 15) ||
                                               c->final_sigmas_type == CALO_FINAL_ZERO);
    const bool second = number == steps - 2 && c->lower_order_final && steps < 15;
    const int known = number - c->begin + 1;
    int order = c->solver_order < known ? c->solver_order : known > 1 ? known : 1;
    if (final)
        return 1;
    return second && order > 2 ? 2 : order;
}

/* What x, D₀, D₁, D₂ and z are multiplied by. */
typedef struct factors {
    double x, d[3], noise;
} factors;

static factors find_factors(const calo_schedule_config *c, calo_alpha_sigma here, calo_alpha_sigma there, int order)
{
    const bool plus = c->algorithm_type == CALO_DPMSOLVER_PLUS || c->algorithm_type == CALO_SDE_DPMSOLVER_PLUS;
    const bool sde = is_stochastic(c);
    const double h = there.lambda - here.lambda, z = !plus ? h : sde ? -2 * h : -h, e = expm1(z);
    const double twice = sde && !plus ? 2 : 1, scale = plus ? there.alpha : -there.sigma, sign = plus ? -1 : 1;
    const double second = z != 0 ? e / z - 1 : 0, third = z != 0 ? (e - z) / (z * z) - 0.5 : 0;
    factors f = { .x = !plus ? there.alpha / here.alpha : there.sigma / here.sigma * (sde ? exp(-h) : 1) };
    f.d[0] = scale * sign * twice * e;
    if (order == 2 && !c->heun)
        f.d[1] = 0.5 * f.d[0];
    else if (order > 1)
        f.d[1] = scale * sign * twice * second;
    if (order == 3) /* the stochastic form has −½ in diffusers where the expansion has +½; here that is the definition */
        f.d[2] = scale * (sign * third - (sde ? 1 : 0));
    if (sde)
        f.noise = there.sigma * sqrt(plus ? -expm1(-2 * h) : expm1(2 * h));
    return f;
}

void calo_dpm_solver_step(const calo_schedule_config *c, const calo_alpha_sigma *points, calo_pair output, int steps,
                          int number, calo_step *step)
{
    const calo_alpha_sigma here = points[number], there = points[number + 1];
    const int order = order_of(c, steps, number);
    const factors f = find_factors(c, here, there, order);
    const calo_register m0 = calo_history(number), m1 = calo_history(number + 3), m2 = calo_history(number + 2);
    step->draws_noise = is_stochastic(c);

    calo_row *keep = calo_row_add(step, m0);
    keep->coefficients[CALO_REGISTER_X] = output.x;
    keep->coefficients[CALO_REGISTER_E] = output.e;

    calo_row *row = calo_row_add(step, CALO_REGISTER_X);
    row->coefficients[CALO_REGISTER_X] = f.x;
    row->coefficients[CALO_REGISTER_Z] = f.noise;
    row->coefficients[m0] = f.d[0];
    if (order == 1)
        return;
    const double h = there.lambda - here.lambda, h0 = here.lambda - points[number - 1].lambda;
    if (order == 2) {
        row->coefficients[m0] += f.d[1] * h / h0;
        row->coefficients[m1] -= f.d[1] * h / h0;
        return;
    }
    const double h1 = points[number - 1].lambda - points[number - 2].lambda;
    const double a = f.d[1] * (1 + h0 / (h0 + h1)) + f.d[2] * h / (h0 + h1);
    const double b = -f.d[1] * h0 / (h0 + h1) - f.d[2] * h / (h0 + h1);
    row->coefficients[m0] += a * h / h0;
    row->coefficients[m1] += b * h / h1 - a * h / h0;
    row->coefficients[m2] -= b * h / h1;
}

calo_status calo_dpm_solver_compile(const calo_schedule_config *config, int steps, calo_program *program,
                                    calo_fault *fault)
{
    double *alphas, timesteps[CALO_MAX_STEPS], sigmas[CALO_MAX_STEPS + 1];
    calo_alpha_sigma points[CALO_MAX_STEPS + 1];
    const bool plus =
        config->algorithm_type == CALO_DPMSOLVER_PLUS || config->algorithm_type == CALO_SDE_DPMSOLVER_PLUS;
    if (!plus && config->final_sigmas_type == CALO_FINAL_ZERO)
        return calo_fail(fault, CALO_EUSAGE, "dpmsolver: without ++ it needs final_sigmas_type 'sigma_min'");
    if (config->algorithm_type == CALO_SDE_DPMSOLVER && config->solver_order > 2)
        return calo_fail(fault, CALO_EUSAGE, "sde-dpmsolver: solver_order %d; there may be 1 or 2", config->solver_order);
    calo_status status = calo_alphas(config, 0x1p-24, &alphas, fault);
    if (status)
        return status;
    const int count = calo_solver_sigmas(config, CALO_SOLVER_DPM, alphas, steps, timesteps, sigmas);
    if (count == 0)
        status = calo_fail(fault, CALO_EUSAGE, "dpmsolver: lambda_min_clipped %g leaves no timestep",
                           config->lambda_min_clipped);
    for (int i = 0; i <= count; i++)
        points[i] = calo_alpha_sigma_of(sigmas[i]);
    for (int i = 0; i < count; i++) {
        calo_step_place(&program->steps[i], config->prediction_type, points[i].alpha, points[i].sigma);
        const calo_pair output = plus ? program->steps[i].clean
                                      : calo_noise(config->prediction_type, points[i].alpha, points[i].sigma);
        program->steps[i].timestep = timesteps[i];
        program->steps[i].sigma = sigmas[i];
        calo_dpm_solver_step(config, points, output, count, i, &program->steps[i]);
    }
    program->step_count = count;
    program->has_sigmas = true;
    calo_free(alphas);
    return status;
}
