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

static double laplace_bar(double t)
{
    const double snr = exp(-0.5 * copysign(1, 0.5 - t) * log(1 - 2 * fabs(0.5 - t) + 1e-6));
    return sqrt(snr / (1 + snr));
}

static double beta(const calo_schedule_config *c, int i)
{
    const int count = c->num_train_timesteps;
    const double at = count > 1 ? (double)i / (count - 1) : 0;
    double (*bar)(double) = c->beta_schedule == CALO_BETA_LAPLACE ? laplace_bar : cosine_bar;
    if (c->trained_betas)
        return c->trained_betas[i];
    if (c->beta_schedule == CALO_BETA_LINEAR)
        return c->beta_start + at * (c->beta_end - c->beta_start);
    if (c->beta_schedule == CALO_BETA_SCALED_LINEAR) {
        const double root = sqrt(c->beta_start) + at * (sqrt(c->beta_end) - sqrt(c->beta_start));
        return root * root;
    }
    if (c->beta_schedule == CALO_BETA_SIGMOID)
        return (c->beta_end - c->beta_start) / (1 + exp(6 - 12 * at)) + c->beta_start;
    const double value = 1 - bar((i + 1.0) / count) / bar((double)i / count);
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

/* What is rounded, and how, decides between two timesteps wherever a spacing falls on a half: so these follow numpy's
 * linspace and arange operation by operation. */
static double linspace(int count, int points, int k)
{
    const double last = count - 1;
    return points == 1 ? 0 : k == points - 1 ? last : k * (last / (points - 1));
}

/* Where numpy's arange comes out one longer than N by a rounding error (N = 61, 103, … of 1000), diffusers takes a step
 * at timestep −1. It is left out. */
static double trailing(double first, double count, int steps, int i)
{
    const double delta = (first - count / steps) - first, t = rint(first + i * delta) - 1;
    return t > 0 ? t : 0;
}

calo_status calo_table_timesteps(const calo_schedule_config *config, int steps, double *timesteps, calo_fault *fault)
{
    const int count = config->num_train_timesteps;
    for (int i = 0; i < steps; i++) {
        const int k = steps - 1 - i;
        timesteps[i] = config->timestep_spacing == CALO_LEADING    ? (double)k * (count / steps) + config->steps_offset
                       : config->timestep_spacing == CALO_LINSPACE ? rint(linspace(count, steps, k))
                                                                   : trailing(count, count, steps, i);
    }
    if (timesteps[0] > count - 1)
        return calo_fail(fault, CALO_EUSAGE, "%d steps with steps_offset %d reach timestep %.0f; the model knows 0 … %d",
                         steps, config->steps_offset, timesteps[0], count - 1);
    return CALO_OK;
}

void calo_fractional_timesteps(const calo_schedule_config *config, int steps, double *timesteps)
{
    const int count = config->num_train_timesteps;
    for (int i = 0; i < steps; i++) {
        const int k = steps - 1 - i;
        timesteps[i] = config->timestep_spacing == CALO_LEADING    ? (double)k * (count / steps) + config->steps_offset
                       : config->timestep_spacing == CALO_LINSPACE ? (double)(float)linspace(count, steps, k)
                                                                   : trailing(count, count, steps, i);
    }
}

int calo_solver_timesteps(const calo_schedule_config *config, int count, int steps, double *timesteps)
{
    const double stride = (double)config->num_train_timesteps / steps;
    int made = 0;
    for (int i = 0; i < steps; i++) {
        const int k = steps - i;
        if (config->timestep_spacing == CALO_LEADING)
            timesteps[made++] = (double)k * (count / (steps + 1)) + config->steps_offset;
        else if (config->timestep_spacing == CALO_LINSPACE)
            timesteps[made++] = rint(linspace(count, steps + 1, k));
        else if (count - i * stride > 0)
            timesteps[made++] = trailing(count, config->num_train_timesteps, steps, i);
    }
    return made;
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
    if (count < 2)
        return 0;
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

int calo_solver_sigmas(const calo_schedule_config *config, calo_solver solver, const double *alphas, int steps,
                       double *timesteps, double *sigmas)
{
    const int count = config->num_train_timesteps;
    int known = count, made;
    if (solver == CALO_SOLVER_DPM)
        while (known > 0 && -log(calo_sigma(alphas[known - 1])) < config->lambda_min_clipped)
            known--;
    if (known == 0)
        return 0;
    if (config->use_karras_sigmas) {
        const double least = config->sigma_min > 0 ? config->sigma_min : calo_sigma(alphas[0]);
        const double largest = config->sigma_max > 0 ? config->sigma_max : calo_sigma(alphas[count - 1]);
        calo_karras_sigmas(least, largest, steps, sigmas);
        made = steps;
        for (int i = 0; i < steps; i++) {
            const double t = calo_sigma_to_timestep(alphas, count, sigmas[i]);
            /* DPM++ cuts those of a cosine schedule. Its largest σ lands within float32's error of the last timestep,
             * and on the lower side: diffusers says 998. */
            const bool cuts = solver == CALO_SOLVER_DPM && config->beta_schedule == CALO_BETA_COSINE;
            timesteps[i] = cuts ? floor(t > 1e-4 ? t - 1e-4 : 0) : rint(t);
        }
    } else {
        made = calo_solver_timesteps(config, known, steps, timesteps);
        for (int i = 0; i < made; i++)
            sigmas[i] = calo_sigma(alphas[timesteps[i] > count - 1 ? count - 1 : (int)timesteps[i]]);
    }
    sigmas[made] = config->final_sigmas_type == CALO_FINAL_ZERO                          ? 0
                   : config->use_karras_sigmas && solver == CALO_SOLVER_UNIPC ? sigmas[made - 1]
                                                                                   : calo_sigma(alphas[0]);
    return made;
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

void calo_step_place(calo_step *step, calo_prediction prediction, double signal, double noise)
{
    step->signal = signal;
    step->noise = noise;
    step->clean = calo_clean(prediction, signal, noise);
}

calo_row *calo_row_add(calo_step *step, calo_register target)
{
    calo_row *row = &step->rows[step->row_count++];
    row->target = target;
    return row;
}
