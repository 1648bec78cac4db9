/* Noise schedules, spacings, sigmas. Source: diffusers 0.42, schedulers/scheduling_*.py, where each rule stands in each
   class; here it stands once. */
#include "noise_schedule.h"
#include "../engine/shim.h"

#include <math.h>

/* ---- ᾱ ---------------------------------------------------------------------------------------------------------- */

static double cosine_bar(double t)
{
    const double c = cos((t + 0.008) / 1.008 * acos(-1.0) / 2);
    return c * c;
}

static double beta(const calo_schedule_config *c, int i)
{
    const int count = c->num_train_timesteps;
    const double at = count > 1 ? (double)i / (count - 1) : 0;
    if (c->trained_betas)
        return c->trained_betas[i];
    if (c->beta_schedule == CALO_BETA_LINEAR)
        return c->beta_start + at * (c->beta_end - c->beta_start);
    if (c->beta_schedule == CALO_BETA_SCALED_LINEAR) {
        const double root = sqrt(c->beta_start) + at * (sqrt(c->beta_end) - sqrt(c->beta_start));
        return root * root;
    }
    const double value = 1 - cosine_bar((i + 1.0) / count) / cosine_bar((double)i / count);
    return value < 0.999 ? value : 0.999;
}

calo_status calo_alphas(const calo_schedule_config *config, double floor, double **alphas, calo_fault *fault)
{
    const int count = config->num_train_timesteps;
    double *a = calo_alloc((size_t)count, sizeof *a), product = 1;
    *alphas = a;
    if (!a)
        return calo_fail(fault, CALO_EMEMORY, "no host memory for a schedule of %d timesteps", count);
    for (int i = 0; i < count; i++)
        a[i] = product *= 1 - beta(config, i);
    if (config->rescale_betas_zero_snr) {
        const double first = sqrt(a[0]), last = sqrt(a[count - 1]);
        for (int i = 0; i < count; i++) {
            const double root = (sqrt(a[i]) - last) * (first / (first - last));
            a[i] = root * root;
        }
        a[count - 1] = floor;
    }
    return CALO_OK;
}

/* ---- timesteps -------------------------------------------------------------------------------------------------- */

static void trailing(int count, int steps, double *timesteps)
{
    for (int i = 0; i < steps; i++)
        timesteps[i] = rint(count - i * ((double)count / steps)) - 1;
}

void calo_timesteps(const calo_schedule_config *config, int steps, bool rounded, double *timesteps)
{
    const int count = config->num_train_timesteps;
    for (int i = 0; i < steps; i++) {
        const int k = steps - 1 - i;
        const double line = steps > 1 ? (double)k * (count - 1) / (steps - 1) : 0;
        timesteps[i] = config->timestep_spacing == CALO_LEADING ? (double)k * (count / steps) + config->steps_offset
                       : rounded                                ? rint(line)
                                                                : (double)(float)line;
    }
    if (config->timestep_spacing == CALO_TRAILING)
        trailing(count, steps, timesteps);
}

void calo_solver_timesteps(const calo_schedule_config *config, int steps, double *timesteps)
{
    const int count = config->num_train_timesteps;
    for (int i = 0; i < steps; i++) {
        const int k = steps - i;
        timesteps[i] = config->timestep_spacing == CALO_LEADING ? (double)k * (count / (steps + 1)) + config->steps_offset
                                                                : rint((double)k * (count - 1) / steps);
    }
    if (config->timestep_spacing == CALO_TRAILING)
        trailing(count, steps, timesteps);
}

/* ---- sigmas ----------------------------------------------------------------------------------------------------- */

double calo_sigma(double alpha)
{
    return sqrt((1 - alpha) / alpha);
}

double calo_interpolate(const double *table, int count, double at)
{
    if (at <= 0)
        return table[0];
    if (at >= count - 1)
        return table[count - 1];
    const int low = (int)at;
    return table[low] + (at - low) * (table[low + 1] - table[low]);
}

double calo_sigma_to_timestep(const double *alphas, int count, double sigma)
{
    const double wanted = log(sigma > 1e-10 ? sigma : 1e-10);
    int low = 0;
    for (int i = 0; i < count; i++)
        if (wanted >= log(calo_sigma(alphas[i])))
            low = i;
    if (low > count - 2)
        low = count - 2;
    const double from = log(calo_sigma(alphas[low])), to = log(calo_sigma(alphas[low + 1]));
    double share = (from - wanted) / (from - to);
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    return (1 - share) * low + share * (low + 1);
}

void calo_karras_sigmas(double least, double largest, int steps, double *sigmas)
{
    const double rho = 7, a = pow(largest, 1 / rho), b = pow(least, 1 / rho);
    for (int i = 0; i < steps; i++)
        sigmas[i] = pow(a + (steps > 1 ? (double)i / (steps - 1) : 0) * (b - a), rho);
}

void calo_solver_sigmas(const calo_schedule_config *config, const double *alphas, int steps, bool karras_keeps_last,
                        double *timesteps, double *sigmas)
{
    const int count = config->num_train_timesteps;
    calo_solver_timesteps(config, steps, timesteps);
    if (config->use_karras_sigmas) {
        const double least = config->sigma_min > 0 ? config->sigma_min : calo_sigma(alphas[0]);
        const double largest = config->sigma_max > 0 ? config->sigma_max : calo_sigma(alphas[count - 1]);
        calo_karras_sigmas(least, largest, steps, sigmas);
        for (int i = 0; i < steps; i++)
            timesteps[i] = rint(calo_sigma_to_timestep(alphas, count, sigmas[i]));
    } else {
        for (int i = 0; i < steps; i++) {
            const double at = timesteps[i] < 0 ? 0 : timesteps[i] > count - 1 ? count - 1 : timesteps[i];
            sigmas[i] = calo_sigma(alphas[(int)at]);
        }
    }
    sigmas[steps] = config->final_sigmas_type == CALO_FINAL_ZERO                ? 0
                    : config->use_karras_sigmas && karras_keeps_last ? sigmas[steps - 1]
                                                                     : calo_sigma(alphas[0]);
}

calo_alpha_sigma calo_alpha_sigma_of(double sigma)
{
    const double alpha = 1 / sqrt(sigma * sigma + 1);
    return (calo_alpha_sigma){ alpha, sigma * alpha, sigma > 0 ? -log(sigma) : (double)INFINITY };
}

/* ---- predictions ------------------------------------------------------------------------------------------------ */

calo_pair calo_clean(calo_prediction prediction, double alpha, double sigma)
{
    switch (prediction) {
    case CALO_PREDICTION_EPSILON:
        return (calo_pair){ 1 / alpha, -sigma / alpha };
    case CALO_PREDICTION_V:
        return (calo_pair){ alpha, -sigma };
    case CALO_PREDICTION_SAMPLE:
        break;
    }
    return (calo_pair){ 0, 1 };
}

calo_pair calo_noise(calo_prediction prediction, double alpha, double sigma)
{
    switch (prediction) {
    case CALO_PREDICTION_EPSILON:
        return (calo_pair){ 0, 1 };
    case CALO_PREDICTION_V:
        return (calo_pair){ sigma, alpha };
    case CALO_PREDICTION_SAMPLE:
        break;
    }
    return (calo_pair){ 1 / sigma, -alpha / sigma };
}

calo_row *calo_row_add(calo_step *step, calo_register target)
{
    calo_row *row = &step->rows[step->row_count++];
    row->target = target;
    return row;
}
