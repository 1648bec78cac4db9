/* UniPC (Zhao et al. 2023, algorithms 5 to 8), predicting clean latents m, with B(h) = h or e^h − 1 at −h (bh1, bh2),
   φ₁ = e^−h − 1, h = λ' − λ, r_k = (λ_k − λ)/h:

       correct  x = (σ/σ₋) S − α φ₁ m₋ − α B (Σ ρ_k D_k + ρ_last (m − m₋)),   S the latents before the last prediction
       predict  x' = (σ'/σ) x − α' φ₁ m − α' B Σ ρ_k D_k,                     D_k = (m_k − m)/r_k

   The predictor's ρ at order 2 is ½ and the corrector's at order 1 is ½, as in the authors' code; the others solve the
   order conditions. The corrector runs on every step but the first and those after disable_corrector's. Without
   predict_x0, m is the noise, α and σ change places, and B and φ₁ are those of +h. */
#include "unipc.h"
#include "../engine/shim.h"
#include "noise_schedule.h"

#include <math.h>

enum { MAX_ORDER = 3 };

void calo_unipc_defaults(calo_schedule_config *config)
{
    config->timestep_spacing = CALO_LINSPACE;
    config->solver_order = 2;
    config->lower_order_final = true;
}

void calo_unipc_plain(calo_schedule_config *config)
{
    config->use_karras_sigmas = false;
}

void calo_unipc_karras(calo_schedule_config *config)
{
    config->use_karras_sigmas = true;
}

/* Solves Σ_j r_j^(i−1) ρ_j = b_i for i = 1 … n: elimination with pivots, n ≤ 3. */
static void solve(int n, const double *r, const double *b, double *rho)
{
    double m[MAX_ORDER][MAX_ORDER + 1];
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++)
            m[i][j] = pow(r[j], i);
        m[i][n] = b[i];
    }
    for (int k = 0; k < n; k++) {
        int best = k;
        for (int i = k + 1; i < n; i++)
            if (fabs(m[i][k]) > fabs(m[best][k]))
                best = i;
        for (int j = 0; j <= n; j++) {
            double kept = m[k][j];
            m[k][j] = m[best][j];
            m[best][j] = kept;
        }
        for (int i = k + 1; i < n; i++)
            for (int j = n; j >= k; j--)
                m[i][j] -= m[i][k] / m[k][k] * m[k][j];
    }
    for (int i = n - 1; i >= 0; i--) {
        rho[i] = m[i][n];
        for (int j = i + 1; j < n; j++)
            rho[i] -= m[i][j] * rho[j];
        rho[i] /= m[i][i];
    }
}

/* The row that goes from sigmas[from] to sigmas[from + 1]: `base` holds the latents at `from`, m_k are the clean latents
 * at from, from − 1, …; `corrected` adds the term of the clean latents at from + 1. */
static void add_row(const calo_schedule_config *c, const double *sigmas, int from, int order, calo_register base,
                    bool corrected, calo_step *step)
{
    const calo_alpha_sigma here = calo_alpha_sigma_of(sigmas[from]), there = calo_alpha_sigma_of(sigmas[from + 1]);
    const double h = there.lambda - here.lambda, hh = c->predict_noise ? h : -h, phi1 = expm1(hh);
    const double scale = c->bh1 ? hh : phi1, lead = c->predict_noise ? there.sigma : there.alpha;
    calo_row *row = calo_row_add(step, CALO_REGISTER_X);
    if (h == 0) { /* final_sigmas_type sigma_min after Karras: the last step stays where it is */
        row->coefficients[base] = 1;
        return;
    }
    double r[MAX_ORDER], b[MAX_ORDER], rho[MAX_ORDER] = { 0 }, phi = phi1 / hh - 1, factorial = 1;
    for (int i = 1; i <= order; i++) {
        r[i - 1] = i < order ? (calo_alpha_sigma_of(sigmas[from - i]).lambda - here.lambda) / h : 1;
        b[i - 1] = phi * factorial / scale;
        factorial *= i + 1;
        phi = phi / hh - 1 / factorial;
    }
    if (corrected && order == 1)
        rho[0] = 0.5;
    else if (corrected)
        solve(order, r, b, rho);
    else if (order == 2)
        rho[0] = 0.5;
    else if (order > 2)
        solve(order - 1, r, b, rho);

    const calo_register m0 = calo_history(from);
    row->coefficients[base] = c->predict_noise ? there.alpha / here.alpha : there.sigma / here.sigma;
    /* σ' (e^h − 1) in a form that has its limit at σ' = 0 */
    row->coefficients[m0] -=
        c->predict_noise ? there.alpha * here.sigma / here.alpha - there.sigma : there.alpha * phi1;
    for (int k = 1; k < order; k++) {
        const double weight = -lead * scale * rho[k - 1] / r[k - 1];
        row->coefficients[calo_history(from + 4 - k)] += weight;
        row->coefficients[m0] -= weight;
    }
    if (corrected) {
        const double weight = -lead * scale * rho[order - 1];
        row->coefficients[calo_history(from + 1)] += weight;
        row->coefficients[m0] -= weight;
    }
}

static bool is_disabled(const calo_schedule_config *c, int number)
{
    for (int i = 0; i < c->disable_corrector_count; i++)
        if (c->disable_corrector[i] == number)
            return true;
    return false;
}

static void compile_step(const calo_schedule_config *c, const double *sigmas, int steps, int number, int order_before,
                         int order, calo_step *step)
{
    const calo_alpha_sigma here = calo_alpha_sigma_of(sigmas[number]);
    calo_step_place(step, c->prediction_type, here.alpha, here.sigma);
    const calo_pair output = c->predict_noise ? calo_noise(c->prediction_type, here.alpha, here.sigma) : step->clean;
    calo_row *keep = calo_row_add(step, calo_history(number));
    keep->coefficients[CALO_REGISTER_X] = output.x;
    keep->coefficients[CALO_REGISTER_E] = output.e;
    if (number > c->begin && !is_disabled(c, number - 1))
        add_row(c, sigmas, number - 1, order_before, CALO_REGISTER_S, true, step);
    if (number + 1 < steps) /* the next correction starts here */
        calo_row_add(step, CALO_REGISTER_S)->coefficients[CALO_REGISTER_X] = 1;
    add_row(c, sigmas, number, order, CALO_REGISTER_X, false, step);
}

calo_status calo_unipc_compile(const calo_schedule_config *config, int steps, calo_program *program, calo_fault *fault)
{
    double *alphas, timesteps[CALO_MAX_STEPS], sigmas[CALO_MAX_STEPS + 1];
    calo_status status = calo_alphas(config, 0x1p-24, &alphas, fault);
    if (status)
        return status;
    calo_solver_sigmas(config, CALO_SOLVER_UNIPC, alphas, steps, timesteps, sigmas);
    for (int i = 0, before = 0; i < steps; i++) {
        int order = config->solver_order;
        if (config->lower_order_final && order > steps - i)
            order = steps - i;
        const int known = i - config->begin + 1;
        if (order > known)
            order = known > 1 ? known : 1;
        program->steps[i].timestep = timesteps[i];
        program->steps[i].sigma = sigmas[i];
        compile_step(config, sigmas, steps, i, before, order, &program->steps[i]);
        before = order;
    }
    program->has_sigmas = true;
    calo_free(alphas);
    return CALO_OK;
}
