/* Which timesteps a schedule visits, and the σ of each.

   N steps over T timesteps (arXiv 2305.08891, table 2), descending:
       leading   i · (T div N) + offset         linspace   i · (T − 1)/(N − 1)         trailing   T − i · T/N − 1
   DPM-Solver and UniPC space N + 1 points and leave out the lowest for leading and linspace.

   σ_t = √((1 − ᾱ_t)/ᾱ_t), linear between whole timesteps; or Karras' (arXiv 2206.00364, ρ = 7):
       σ_i = (σ_max^(1/ρ) + i/(N − 1) · (σ_min^(1/ρ) − σ_max^(1/ρ)))^ρ,  with the timestep where ln σ is that high.

   What numpy and torch round is rounded here: halves to even, and Euler's timesteps to float32. */
#include "schedule.h"
#include "../engine/shim.h"

#include <math.h>
#include <string.h>

/* Where numpy's arange(T, 0, −T/N) comes out one longer than N by a rounding error (N = 61, 103, … for T = 1000), the
 * extra timestep is −1; the model knows none such and the schedule is complete without it. */
static double trailing(double first, double train, int steps, int i)
{
    const double delta = (first - train / steps) - first; /* as numpy steps */
    return rint(first + i * delta) - 1;
}

static double linspace(double last, int count, int i)
{
    if (count == 1)
        return 0;
    return i == count - 1 ? last : i * (last / (count - 1));
}

calo_status calo_timesteps_integer(const calo_schedule *schedule, int **list)
{
    const int steps = schedule->steps, train = schedule->train;
    *list = calo_alloc((size_t)steps, sizeof **list);
    if (!*list)
        return calo_fail(schedule->fault, CALO_EMEMORY, "no memory for %d timesteps", steps);
    for (int i = 0; i < steps; i++) {
        const int up = steps - 1 - i;
        switch (schedule->spacing) {
        case CALO_LINSPACE:
            (*list)[i] = (int)rint(linspace(train - 1, steps, up));
            break;
        case CALO_LEADING:
            (*list)[i] = up * (train / steps) + schedule->offset;
            break;
        case CALO_TRAILING:
            (*list)[i] = (int)fmax(trailing(train, train, steps, i), 0);
            break;
        }
    }
    return CALO_OK;
}

/* ---- tables ----------------------------------------------------------------------------------------------------- */

static double sigma_at(const calo_schedule *schedule, int t)
{
    const double alpha_bar = schedule->alpha_bar[t];
    return sqrt((1 - alpha_bar) / alpha_bar);
}

/* numpy.interp over the table, ends held. */
static double sigma_between(const calo_schedule *schedule, double t)
{
    const int last = schedule->train - 1;
    if (!(t > 0))
        return sigma_at(schedule, 0);
    if (t >= last)
        return sigma_at(schedule, last);
    const int low = (int)t;
    const double from = sigma_at(schedule, low);
    return from + (sigma_at(schedule, low + 1) - from) * (t - low);
}

/* The timestep whose ln σ this is, linear between whole ones. `logs` [train]. */
static double timestep_of(const double *logs, int train, double sigma)
{
    const double log_sigma = log(fmax(sigma, 1e-10));
    int low = 0;
    for (int i = 0; i < train; i++)
        if (log_sigma >= logs[i])
            low = i;
    if (low > train - 2)
        low = train - 2;
    const double w = fmin(fmax((logs[low] - log_sigma) / (logs[low] - logs[low + 1]), 0), 1);
    return (1 - w) * low + w * (low + 1);
}

static double karras(double max, double min, int i, int count)
{
    const double rho = 7, top = pow(max, 1 / rho), bottom = pow(min, 1 / rho);
    const double ramp = count == 1 ? 0 : i == count - 1 ? 1 : i * (1.0 / (count - 1));
    return pow(top + ramp * (bottom - top), rho);
}

/* ---- the ladder ------------------------------------------------------------------------------------------------- */

static bool is_euler(calo_ladder_rule rule)
{
    return rule == CALO_LADDER_EULER || rule == CALO_LADDER_EULER_ANCESTRAL;
}

/* DPM-Solver may leave out the timesteps whose λ = −ln σ is below lambda_min_clipped, where a cosine schedule has next
 * to no signal. Returns how many remain. */
static int unclipped(const calo_schedule *schedule, calo_ladder_rule rule)
{
    const double floor = calo_setting_number(&schedule->config->lambda_min_clipped, -INFINITY);
    int count = schedule->train;
    if (rule == CALO_LADDER_DPMSOLVER)
        while (count > 0 && -log(sigma_at(schedule, count - 1)) < floor)
            count--;
    return count;
}

static void space(const calo_schedule *schedule, calo_ladder_rule rule, int train, calo_ladder *ladder)
{
    const int steps = schedule->steps, points = is_euler(rule) ? steps : steps + 1;
    int count = 0;
    for (int i = 0; i < steps; i++) {
        const int up = points - 1 - i;
        double t = 0;
        switch (schedule->spacing) {
        case CALO_LINSPACE:
            t = linspace(train - 1, points, up);
            t = is_euler(rule) ? (double)(float)t : rint(t);
            break;
        case CALO_LEADING:
            t = (double)up * (train / points) + schedule->offset;
            break;
        case CALO_TRAILING:
            /* Over a clipped table the spacing still is T/N, so that fewer than N steps may fit. */
            if (train - i * ((double)schedule->train / steps) <= 0)
                continue;
            t = fmax(trailing(train, schedule->train, steps, i), 0);
            break;
        }
        ladder->timesteps[count++] = t;
    }
    ladder->count = count;
}

static calo_status use_karras(const calo_schedule *schedule, calo_ladder_rule rule, calo_ladder *ladder)
{
    const int train = schedule->train, count = schedule->steps;
    if (train < 2)
        return calo_schedule_fail(schedule, "Karras sigmas need at least 2 timesteps of training");
    const bool spaced = is_euler(rule);
    const double max = calo_setting_number(&schedule->config->sigma_max,
                                           spaced ? ladder->sigmas[0] : sigma_at(schedule, train - 1));
    const double min = calo_setting_number(&schedule->config->sigma_min,
                                           spaced ? ladder->sigmas[count - 1] : sigma_at(schedule, 0));
    /* Only here are timesteps cut to integers rather than rounded, and the highest may be 999 or 998 by the last bit of
     * a float32: so the table of logarithms has to have float32's bits. */
    const bool cut = rule == CALO_LADDER_DPMSOLVER &&
                     strcmp(calo_setting_text(&schedule->config->beta_schedule, ""), "squaredcos_cap_v2") == 0;
    double *logs = calo_alloc((size_t)train, sizeof *logs);
    if (!logs)
        return calo_fail(schedule->fault, CALO_EMEMORY, "no memory for a schedule of %d timesteps", train);
    for (int i = 0; i < train; i++)
        logs[i] = cut ? (double)logf((float)sigma_at(schedule, i)) : log(sigma_at(schedule, i));
    for (int i = 0; i < count; i++) {
        const double sigma = karras(max, min, i, count);
        const double t = timestep_of(logs, train, cut ? karras((double)(float)max, (double)(float)min, i, count) : sigma);
        ladder->sigmas[i] = sigma;
        ladder->timesteps[i] = spaced ? (double)(float)t : cut ? trunc(t) : rint(t);
    }
    ladder->count = count;
    calo_free(logs);
    return CALO_OK;
}

/* Where the last step ends. */
static calo_status end_ladder(const calo_schedule *schedule, calo_ladder_rule rule, bool is_karras, calo_ladder *ladder)
{
    const char *kind = calo_setting_text(&schedule->config->final_sigmas_type, "zero");
    double *end = &ladder->sigmas[ladder->count];
    if (rule == CALO_LADDER_EULER_ANCESTRAL || strcmp(kind, "zero") == 0)
        *end = 0;
    else if (strcmp(kind, "sigma_min") == 0)
        *end = rule == CALO_LADDER_UNIPC && is_karras ? end[-1] : sigma_at(schedule, 0);
    else
        return calo_schedule_fail(schedule, "final_sigmas_type \"%s\" is neither \"zero\" nor \"sigma_min\"", kind);
    return CALO_OK;
}

/* Euler's log_linear: N + 1 values between the table's ends, the last of which ends the last step. */
static void interpolate_logs(const calo_schedule *schedule, calo_ladder *ladder)
{
    const double first = log(sigma_at(schedule, schedule->train - 1)), last = log(sigma_at(schedule, 0));
    for (int i = 0; i <= ladder->count; i++)
        ladder->sigmas[i] = exp(first + (last - first) * ((double)i / ladder->count));
}

static calo_status fill(calo_schedule *schedule, calo_ladder_rule rule, calo_ladder *ladder)
{
    const calo_schedule_config *config = schedule->config;
    const int train = unclipped(schedule, rule);
    space(schedule, rule, train, ladder);
    if (ladder->count == 0 || train == 0)
        return calo_schedule_fail(schedule, "lambda_min_clipped %g leaves no timestep",
                                  calo_setting_number(&config->lambda_min_clipped, 0));
    const char *interpolation = calo_setting_text(&config->interpolation_type, "linear");
    const bool log_linear = rule == CALO_LADDER_EULER && strcmp(interpolation, "log_linear") == 0;
    if (rule == CALO_LADDER_EULER && !log_linear && strcmp(interpolation, "linear") != 0)
        return calo_schedule_fail(schedule, "interpolation_type \"%s\" is neither \"linear\" nor \"log_linear\"",
                                  interpolation);
    const bool is_karras = rule != CALO_LADDER_EULER_ANCESTRAL && calo_setting_is_on(&config->use_karras_sigmas, false);
    if (log_linear)
        interpolate_logs(schedule, ladder);
    else
        for (int i = 0; i < ladder->count; i++)
            ladder->sigmas[i] = sigma_between(schedule, ladder->timesteps[i]);
    if (is_karras && log_linear)
        ladder->sigmas[ladder->count - 1] = ladder->sigmas[ladder->count]; /* the lowest of the N + 1 */
    calo_status status = is_karras ? use_karras(schedule, rule, ladder) : CALO_OK;
    if (!status && (is_karras || !log_linear))
        status = end_ladder(schedule, rule, is_karras, ladder);
    /* EDM's models are told ¼ ln σ. */
    if (!status && rule == CALO_LADDER_EULER && schedule->prediction == CALO_PREDICT_V &&
        strcmp(calo_setting_text(&config->timestep_type, "discrete"), "continuous") == 0)
        for (int i = 0; i < ladder->count; i++)
            ladder->timesteps[i] = (double)(float)(0.25 * log(ladder->sigmas[i]));
    return status;
}

calo_status calo_ladder_make(calo_schedule *schedule, calo_ladder_rule rule, calo_ladder *ladder)
{
    *ladder = (calo_ladder){ 0 };
    ladder->timesteps = calo_alloc((size_t)schedule->steps, sizeof *ladder->timesteps);
    ladder->sigmas = calo_alloc((size_t)schedule->steps + 1, sizeof *ladder->sigmas);
    calo_status status = CALO_OK;
    if (ladder->timesteps && ladder->sigmas)
        status = fill(schedule, rule, ladder);
    else
        status = calo_fail(schedule->fault, CALO_EMEMORY, "no memory for %d timesteps", schedule->steps);
    if (status)
        calo_ladder_free(ladder);
    return status;
}

void calo_ladder_free(calo_ladder *ladder)
{
    calo_free(ladder->timesteps);
    calo_free(ladder->sigmas);
    *ladder = (calo_ladder){ 0 };
}
