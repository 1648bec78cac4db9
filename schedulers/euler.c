/* Euler's method on the probability-flow ODE (Karras et al. 2022, algorithm 1 without churn), and its ancestral form.

       x̂₀ from the input x/√(σ² + 1);  d = (x − x̂₀)/σ;  x' = x + d (σ' − σ)
       ancestral: x' = x + d (σ_down − σ) + σ_up z,  σ_up² = σ'² (σ² − σ'²)/σ²,  σ_down² = σ'² − σ_up² */
#include "euler.h"
#include "../engine/shim.h"
#include "noise_schedule.h"

#include <math.h>

void calo_euler_defaults(calo_schedule_config *config)
{
    config->timestep_spacing = CALO_LINSPACE;
}

/* Sigmas [steps + 1] and timesteps. Karras' ends are those of the spaced sigmas here. */
static void find_sigmas(const calo_schedule_config *c, const double *alphas, double *table, int steps,
                        double *timesteps, double *sigmas)
{
    const int count = c->num_train_timesteps;
    calo_fractional_timesteps(c, steps, timesteps);
    for (int i = 0; i < count; i++)
        table[i] = calo_sigma(alphas[i]);
    for (int i = 0; i < steps; i++)
        sigmas[i] = calo_interpolate(table, count, timesteps[i]);
    if (c->log_linear_interpolation) {
        const double from = log(table[count - 1]), to = log(table[0]);
        for (int i = 0; i <= steps; i++)
            sigmas[i] = exp(from + (to - from) * i / steps);
    }
    if (c->use_karras_sigmas) {
        const double least = sigmas[c->log_linear_interpolation ? steps : steps - 1];
        calo_karras_sigmas(c->sigma_min > 0 ? c->sigma_min : least, c->sigma_max > 0 ? c->sigma_max : sigmas[0], steps,
                           sigmas);
        for (int i = 0; i < steps; i++)
            timesteps[i] = (double)(float)calo_sigma_to_timestep(alphas, count, sigmas[i]);
    }
    if (c->use_karras_sigmas || !c->log_linear_interpolation) /* log_linear brings its own end */
        sigmas[steps] = c->final_sigmas_type == CALO_FINAL_ZERO ? 0 : table[0];
    for (int i = 0; i < steps && c->continuous_timesteps && c->prediction_type == CALO_PREDICTION_V; i++)
        timesteps[i] = (double)(float)(0.25 * log(sigmas[i]));
}

static void compile_step(const calo_schedule_config *c, double sigma, double next, bool ancestral, calo_step *step)
{
    const double up = ancestral ? sqrt(next * next * (sigma * sigma - next * next) / (sigma * sigma)) : 0;
    const double rest = next * next - up * up; /* σ_down², which rounding may take below 0 */
    const double to = ancestral ? sqrt(rest < 0 ? 0 : rest) : next;
    const double share = (to - sigma) / sigma, square = sigma * sigma + 1;
    /* x here is unscaled: α x_vp = x/(σ² + 1) for v, whose σ_vp is σ/√(σ² + 1). */
    const calo_pair clean = c->prediction_type == CALO_PREDICTION_EPSILON ? (calo_pair){ 1, -sigma }
                            : c->prediction_type == CALO_PREDICTION_V     ? (calo_pair){ 1 / square, -sigma / sqrt(square) }
                                                                          : (calo_pair){ 0, 1 };
    step->signal = 1;
    step->noise = sigma;
    step->clean = clean;
    calo_row *row = calo_row_add(step, CALO_REGISTER_X);
    row->coefficients[CALO_REGISTER_X] = 1 + share * (1 - clean.x);
    row->coefficients[CALO_REGISTER_E] = -share * clean.e;
    row->coefficients[CALO_REGISTER_Z] = up;
    step->input_scale = 1 / sqrt(square);
    step->sigma = sigma;
    step->draws_noise = ancestral;
}

static calo_status compile(const calo_schedule_config *config, int steps, bool ancestral, calo_program *program,
                           calo_fault *fault)
{
    double *alphas, timesteps[CALO_MAX_STEPS], sigmas[CALO_MAX_STEPS + 1], largest = 0;
    calo_status status = calo_alphas(config, 0x1p-24, &alphas, fault);
    double *table = status ? NULL : calo_alloc((size_t)config->num_train_timesteps, sizeof *table);
    if (!status && !table)
        status = calo_fail(fault, CALO_EMEMORY, "no host memory for a table of sigmas");
    if (!status) {
        find_sigmas(config, alphas, table, steps, timesteps, sigmas);
        for (int i = 0; i < steps; i++) {
            program->steps[i].timestep = timesteps[i];
            compile_step(config, sigmas[i], sigmas[i + 1], ancestral, &program->steps[i]);
            largest = sigmas[i] > largest ? sigmas[i] : largest;
        }
        const bool plain = config->timestep_spacing != CALO_LEADING;
        program->initial_noise_scale = plain ? largest : sqrt(largest * largest + 1);
        program->has_sigmas = true;
    }
    calo_free(table);
    calo_free(alphas);
    return status;
}

calo_status calo_euler_compile(const calo_schedule_config *config, int steps, calo_program *program, calo_fault *fault)
{
    return compile(config, steps, false, program, fault);
}

calo_status calo_euler_ancestral_compile(const calo_schedule_config *config, int steps, calo_program *program,
                                         calo_fault *fault)
{
    calo_schedule_config plain = *config;
    if (config->prediction_type == CALO_PREDICTION_SAMPLE)
        return calo_fail(fault, CALO_EUSAGE, "euler_a: the prediction 'sample' is not defined for this scheduler");
    plain.use_karras_sigmas = plain.log_linear_interpolation = plain.continuous_timesteps = false; /* unknown to it */
    plain.final_sigmas_type = CALO_FINAL_ZERO;
    return compile(&plain, steps, true, program, fault);
}
