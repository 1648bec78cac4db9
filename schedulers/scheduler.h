/* Schedulers as programs. Every scheduler here is linear in the latents, the denoiser's outputs and the noise, so it is
   compiled before the first step, in double, to a list of steps: what the denoiser is told, and rows

       register[target] = Σ_r coefficient_r · register[r], then clamped to ±clamp if clamp > 0

   The semantics are those of diffusers 0.42's classes of the same names, read from their sources. A scheduler knows no
   device, no tensor and no file. */
#ifndef CALO_SCHEDULER_H
#define CALO_SCHEDULER_H

#include "../engine/fault.h"

#include <stdbool.h>

typedef enum calo_register {
    CALO_REGISTER_X,  /* the latents */
    CALO_REGISTER_E,  /* the denoiser's output, guided */
    CALO_REGISTER_Z,  /* this step's draw of noise */
    CALO_REGISTER_S,  /* latents saved from an earlier step */
    CALO_REGISTER_H0, /* history: outputs, or predicted clean latents; a ring of four */
    CALO_REGISTER_H1,
    CALO_REGISTER_H2,
    CALO_REGISTER_H3,
    CALO_REGISTERS
} calo_register;

typedef struct calo_row {
    int target;
    double coefficients[CALO_REGISTERS];
    double clamp; /* 0: none */
} calo_row;

enum { CALO_MAX_ROWS = 5, CALO_MAX_STEPS = 1000 };

/* x · X + e · E */
typedef struct calo_pair {
    double x, e;
} calo_pair;

typedef struct calo_step {
    double timestep;    /* what the denoiser is told */
    double input_scale; /* it sees input_scale · X */
    double sigma;       /* where the class has sigmas */
    double signal, noise; /* X is signal · the clean latents + noise · normal numbers here: the class's add_noise */
    calo_pair clean;    /* what the call takes the clean latents for */
    bool draws_noise;   /* Z is drawn before the rows */
    int row_count;
    calo_row rows[CALO_MAX_ROWS];
} calo_step;

/* One step for each call of the denoiser, of which PNDM makes more than steps are asked for, and DPM++ with
 * lambda_min_clipped may make fewer. The result is X. */
typedef struct calo_program {
    int step_count;
    calo_step *steps;
    double initial_noise_scale; /* X starts as this times the draw */
    bool has_sigmas;
    unsigned registers_used;    /* bit r: register r is read or written */
} calo_program;

typedef enum calo_prediction { CALO_PREDICTION_EPSILON, CALO_PREDICTION_V, CALO_PREDICTION_SAMPLE } calo_prediction;
typedef enum calo_spacing { CALO_LEADING, CALO_LINSPACE, CALO_TRAILING } calo_spacing;
typedef enum calo_beta_schedule {
    CALO_BETA_LINEAR,
    CALO_BETA_SCALED_LINEAR,
    CALO_BETA_COSINE,  /* squaredcos_cap_v2 */
    CALO_BETA_LAPLACE, /* these two are DDPMScheduler's alone */
    CALO_BETA_SIGMOID
} calo_beta_schedule;
typedef enum calo_final_sigma { CALO_FINAL_ZERO, CALO_FINAL_SIGMA_MIN } calo_final_sigma;
typedef enum calo_variance { CALO_FIXED_SMALL, CALO_FIXED_LARGE } calo_variance; /* fixed_small_log: fixed_small */
/* DPM-Solver's algorithm_type: on clean latents (++) or on noise, deterministic or stochastic (sde). */
typedef enum calo_algorithm {
    CALO_DPMSOLVER_PLUS,
    CALO_DPMSOLVER,
    CALO_SDE_DPMSOLVER_PLUS,
    CALO_SDE_DPMSOLVER
} calo_algorithm;

/* scheduler_config.json's fields, under their names there. */
typedef struct calo_schedule_config {
    int num_train_timesteps, steps_offset, solver_order;
    double beta_start, beta_end;
    calo_beta_schedule beta_schedule;
    const double *trained_betas; /* [num_train_timesteps], the caller's; or NULL */
    calo_prediction prediction_type;
    calo_spacing timestep_spacing;
    calo_final_sigma final_sigmas_type;
    calo_variance variance_type;
    double clip_sample_range, eta, sigma_min, sigma_max; /* sigmas 0: not given */
    bool clip_sample, set_alpha_to_one, rescale_betas_zero_snr, use_karras_sigmas, log_linear_interpolation;
    bool lower_order_final, euler_at_final, heun; /* heun: DPM++'s solver_type, otherwise midpoint */
    calo_algorithm algorithm_type;
    double lambda_min_clipped; /* DPM++: timesteps with less ln α/σ are left out; −∞ for none */
    bool bh1;                  /* UniPC's solver_type, otherwise bh2 */
    bool predict_noise;        /* UniPC's predict_x0, negated */
    const int *disable_corrector; /* [disable_corrector_count], UniPC's steps that the next one does not correct */
    int disable_corrector_count;
    int begin;                 /* the step that is the first to run: solvers of higher order know nothing before it */
    bool prk_steps;            /* PNDM's skip_prk_steps, negated */
    int original_inference_steps;             /* LCM */
    double strength;                          /* LCM: the share of them that is used; 0: all */
    double timestep_scaling, sigma_data, rho; /* LCM; EDM, which also has: */
    bool exponential_sigmas;                  /* sigma_schedule, otherwise karras */
    bool continuous_timesteps; /* Euler's timestep_type: with prediction v the denoiser is told ¼ ln σ */
} calo_schedule_config;

typedef struct calo_scheduler {
    const char *name;  /* "dpmpp_2m_karras" */
    const char *class; /* "DPMSolverMultistepScheduler" */
    const char *label; /* "DPM++ 2M Karras", as people know it */
    /* What the class takes for a field that the configuration lacks. */
    void (*defaults)(calo_schedule_config *config);
    /* What the name itself says, whatever the configuration; NULL: nothing. */
    void (*overrides)(calo_schedule_config *config);
    /* Fills step_count steps, which are allocated and zero, and initial_noise_scale. */
    calo_status (*compile)(const calo_schedule_config *config, int steps, calo_program *program, calo_fault *fault);
} calo_scheduler;

/* By tool name; by diffusers class, the plainest of its names. NULL: none. */
const calo_scheduler *calo_scheduler_find(const char *name);
const calo_scheduler *calo_scheduler_of_class(const char *class);
/* Row i of the registry; NULL past its end. */
const calo_scheduler *calo_scheduler_at(int i);

/* CALO_EUSAGE: steps outside 1 … 1000 or more than num_train_timesteps, or which reach a timestep that the model does
 * not know; settings that do not go together, as a prediction that the class does not know; coefficients that are not
 * finite. Free the program. */
calo_status calo_scheduler_compile(const calo_scheduler *scheduler, const calo_schedule_config *config, int steps,
                                   calo_program **program, calo_fault *fault);
void calo_program_free(calo_program **program);

/* Leaves the calls [begin, end) of a program. Latents that come from elsewhere are not scaled as noise is. */
void calo_program_cut(calo_program *program, int begin, int end);

#endif
