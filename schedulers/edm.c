/* EDM's preconditioning (Karras et al. 2022, table 1), around Euler's method or DPM-Solver++:

       input c_in x, timestep ¼ ln σ;  x̂₀ = c_skip x + c_out F
       c_in = 1/√(σ² + σ_data²),  c_skip = σ_data²/(σ² + σ_data²),  c_out = ±σ σ_data/√(σ² + σ_data²)

   with − for the prediction v. σ runs from sigma_max to sigma_min, by Karras' powers or evenly in ln σ; it has no table of
   ᾱ, and its latents are never scaled down (α = 1). */
#include "edm.h"
#include "dpm_solver.h"

#include <math.h>

void calo_edm_defaults(calo_schedule_config *config)
{
    config->sigma_min = 0.002;
    config->sigma_max = 80;
    config->sigma_data = 0.5;
    config->rho = 7;
    config->solver_order = 2;
    config->lower_order_final = true;
}

static calo_pair clean(const calo_schedule_config *c, double sigma)
{
    const double d = c->sigma_data, square = sigma * sigma + d * d;
    const double sign = c->prediction_type == CALO_PREDICTION_V ? -1 : 1;
    return (calo_pair){ d * d / square, sign * sigma * d / sqrt(square) };
}

/* Sigmas [steps + 1]; timesteps and what the denoiser sees. `last` is the sigma after the last step. */
static calo_status begin(const calo_schedule_config *c, int steps, double last, double *sigmas, calo_program *program,
                         calo_fault *fault)
{
    if (c->prediction_type == CALO_PREDICTION_SAMPLE)
        return calo_fail(fault, CALO_EUSAGE, "edm: the prediction 'sample' is not defined for this scheduler");
    if (!(c->sigma_min > 0 && c->sigma_max >= c->sigma_min && c->sigma_data > 0 && c->rho > 0))
        return calo_fail(fault, CALO_EUSAGE, "edm: sigma_min, sigma_max, sigma_data and rho must be positive, in order");
    const double most = pow(c->sigma_max, 1 / c->rho), least = pow(c->sigma_min, 1 / c->rho);
    for (int i = 0; i < steps; i++) {
        const double ramp = steps > 1 ? (double)i / (steps - 1) : 0;
        /* The exponential schedule is made upwards and turned, so one step is the least sigma in diffusers. */
        sigmas[i] = !c->exponential_sigmas ? pow(most + ramp * (least - most), c->rho)
                    : steps == 1           ? c->sigma_min
                                           : exp(log(c->sigma_max) + ramp * (log(c->sigma_min) - log(c->sigma_max)));
        calo_step *step = &program->steps[i];
        step->timestep = (double)(float)(0.25 * log(sigmas[i]));
        step->sigma = sigmas[i];
        step->input_scale = 1 / sqrt(sigmas[i] * sigmas[i] + c->sigma_data * c->sigma_data);
        step->signal = 1;
        step->noise = sigmas[i];
        step->clean = clean(c, sigmas[i]);
    }
    sigmas[steps] = last < 0 ? sigmas[steps - 1] : last;
    program->initial_noise_scale = sqrt(c->sigma_max * c->sigma_max + 1);
    program->has_sigmas = true;
    return CALO_OK;
}

calo_status calo_edm_euler_compile(const calo_schedule_config *config, int steps, calo_program *program,
                                   calo_fault *fault)
{
    double sigmas[CALO_MAX_STEPS + 1];
    if (begin(config, steps, config->final_sigmas_type == CALO_FINAL_ZERO ? 0 : -1, sigmas, program, fault))
        return fault->status;
    for (int i = 0; i < steps; i++) {
        const calo_pair x0 = program->steps[i].clean;
        const double share = (sigmas[i + 1] - sigmas[i]) / sigmas[i];
        calo_row *row = calo_row_add(&program->steps[i], CALO_REGISTER_X);
        row->coefficients[CALO_REGISTER_X] = 1 + share * (1 - x0.x);
        row->coefficients[CALO_REGISTER_E] = -share * x0.e;
    }
    return CALO_OK;
}

calo_status calo_edm_solver_compile(const calo_schedule_config *config, int steps, calo_program *program,
                                    calo_fault *fault)
{
    double sigmas[CALO_MAX_STEPS + 1];
    calo_alpha_sigma points[CALO_MAX_STEPS + 1];
    if (config->algorithm_type != CALO_DPMSOLVER_PLUS && config->algorithm_type != CALO_SDE_DPMSOLVER_PLUS)
        return calo_fail(fault, CALO_EUSAGE, "edm: the algorithm_type must be dpmsolver++ or sde-dpmsolver++");
    if (config->algorithm_type == CALO_SDE_DPMSOLVER_PLUS && config->solver_order > 2)
        return calo_fail(fault, CALO_EUSAGE, "edm: sde-dpmsolver++ has solver_order 1 and 2, not %d", config->solver_order);
    const double last = config->final_sigmas_type == CALO_FINAL_ZERO ? 0 : config->sigma_min;
    if (begin(config, steps, last, sigmas, program, fault))
        return fault->status;
    for (int i = 0; i <= steps; i++)
        points[i] = (calo_alpha_sigma){ 1, sigmas[i], -log(sigmas[i]) };
    for (int i = 0; i < steps; i++)
        calo_dpm_solver_step(config, points, program->steps[i].clean, steps, i, &program->steps[i]);
    return CALO_OK;
}
