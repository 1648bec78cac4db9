/* What schedulers share: ᾱ, timesteps, sigmas, and small moves on programs. All in double. */
#ifndef CALO_NOISE_SCHEDULE_H
#define CALO_NOISE_SCHEDULE_H

#include "scheduler.h"

/* ᾱ_t = Π (1 − β_s) for t = 0 … T−1; allocated. With zero-SNR rescaling (Lin et al. 2023, algorithm 1) the last is 0,
 * or `floor` if that is larger. */
calo_status calo_alphas(const calo_schedule_config *config, double floor, double **alphas, calo_fault *fault);

/* Timesteps of DDIM, DDPM and PNDM. CALO_EUSAGE when one is not in ᾱ's table. */
calo_status calo_table_timesteps(const calo_schedule_config *config, int steps, double *timesteps, calo_fault *fault);
/* Those of Euler, whose linspace is fractional. */
void calo_fractional_timesteps(const calo_schedule_config *config, int steps, double *timesteps);
/* Those of DPM++ and UniPC, where leading and linspace divide by N + 1, over the first `count` of the table. Returns how
 * many they are: trailing ones may be fewer when count is below num_train_timesteps. */
int calo_solver_timesteps(const calo_schedule_config *config, int count, int steps, double *timesteps);

/* √((1 − ᾱ)/ᾱ) */
double calo_sigma(double alpha);

/* The table's value at a fractional index. */
double calo_interpolate(const double *table, int count, double at);

/* The timestep whose log σ is log(sigma), between the table's entries: diffusers' _sigma_to_t. */
double calo_sigma_to_timestep(const double *alphas, int count, double sigma);

/* σ_i = (max^⅐ + i/(N−1) · (min^⅐ − max^⅐))⁷ (Karras et al. 2022, equation 5). */
void calo_karras_sigmas(double least, double largest, int steps, double *sigmas);

/* DPM++ and UniPC differ in little. */
typedef enum calo_solver { CALO_SOLVER_DPM, CALO_SOLVER_UNIPC } calo_solver;

/* Their timesteps and sigmas (one more). Returns how many steps they are, at most `steps`; 0 when lambda_min_clipped
 * leaves none. */
int calo_solver_sigmas(const calo_schedule_config *config, calo_solver solver, const double *alphas, int steps,
                       double *timesteps, double *sigmas);

/* α = 1/√(σ² + 1), and σα. */
typedef struct calo_alpha_sigma {
    double alpha, sigma, lambda; /* λ = ln α − ln σ, +∞ at σ = 0 */
} calo_alpha_sigma;
calo_alpha_sigma calo_alpha_sigma_of(double sigma);

/* The predicted clean latents for a point with signal `alpha` and noise `sigma` (α² + σ² = 1). */
calo_pair calo_clean(calo_prediction prediction, double alpha, double sigma);
/* The predicted noise, likewise. */
calo_pair calo_noise(calo_prediction prediction, double alpha, double sigma);

/* X is signal · x̂₀ + noise · ε here, with signal² + noise² = 1; `clean` follows. */
void calo_step_place(calo_step *step, calo_prediction prediction, double signal, double noise);
/* A new row of a step, all coefficients 0. */
calo_row *calo_row_add(calo_step *step, calo_register target);

/* History register k of the ring. */
static inline calo_register calo_history(int k)
{
    return (calo_register)(CALO_REGISTER_H0 + (k & 3));
}

#endif
