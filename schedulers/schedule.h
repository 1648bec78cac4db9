/* Inside this folder: a schedule while it is being compiled, and what the classes share. */
#ifndef CALO_SCHEDULE_H
#define CALO_SCHEDULE_H

#include "scheduler.h"

#define CALO_TRAIN_LIMIT 1000000 /* timesteps of training; real models have 1000 to 4000 */
#define CALO_STEP_LIMIT 1000

typedef enum calo_prediction { CALO_PREDICT_EPSILON, CALO_PREDICT_V, CALO_PREDICT_SAMPLE } calo_prediction;
typedef enum calo_spacing { CALO_LEADING, CALO_LINSPACE, CALO_TRAILING } calo_spacing;

typedef struct calo_schedule calo_schedule;

/* What sets one diffusers class apart before its first step. */
typedef struct calo_scheduler_class {
    const char *name;
    calo_spacing spacing;             /* when the file says none */
    bool reads_zero_snr;              /* has rescale_betas_zero_snr */
    double last_alpha_bar;            /* what ᾱ's last entry becomes under zero SNR; 0: stays */
    bool predicts_samples;            /* takes prediction_type "sample" */
    bool reads_clip_sample;
    bool bounded;                     /* refuses more steps than timesteps of training */
    const char *extra_beta_schedules; /* beyond linear, scaled_linear and squaredcos_cap_v2: " laplace sigmoid " */
    const size_t *refused;            /* offsets of settings that must not be on, −1 ends */
    calo_status (*compile)(calo_schedule *schedule, calo_program **program);
} calo_scheduler_class;

extern const calo_scheduler_class calo_class_ddim, calo_class_ddpm, calo_class_pndm, calo_class_euler,
    calo_class_euler_ancestral, calo_class_dpmsolver, calo_class_unipc;

#define CALO_REFUSED_END ((size_t)-1)

struct calo_schedule {
    const calo_scheduler_class *class;
    const char *name;               /* as asked for */
    const calo_schedule_config *config; /* with overrides and what the name fixes */
    calo_status blame;              /* for settings that do not fit: CALO_EFILE where the file chose the class */
    int steps, train, offset;
    double eta;
    calo_prediction prediction;
    calo_spacing spacing;
    double *alpha_bar;   /* [train], ᾱ_t = Π (1 − β) */
    calo_status status;  /* of calo_alpha_bar */
    calo_fault *fault;
};

/* ---- config.c --------------------------------------------------------------------------------------------------- */

/* A setting's value, or `absent`. */
bool calo_setting_is_on(const calo_setting *setting, bool absent);
double calo_setting_number(const calo_setting *setting, double absent);
const char *calo_setting_text(const calo_setting *setting, const char *absent);
/* The key of the setting at this offset in calo_schedule_config. */
const char *calo_setting_name(size_t offset);

/* "unet/scheduler_config.json: thresholding is not supported", or "scheduler ddim: …". Returns schedule->blame. */
calo_status calo_schedule_fail(const calo_schedule *schedule, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- noise_schedule.c ------------------------------------------------------------------------------------------- */

/* Fills schedule->alpha_bar. */
calo_status calo_schedule_noise(calo_schedule *schedule);

/* ᾱ_t; `before` for t < 0. A t past the end is CALO_EUSAGE, kept in schedule->status. */
double calo_alpha_bar(calo_schedule *schedule, int t, double before);

/* x0 and ε as the denoiser's output says them: x·X + e·E, where X = alpha·x0 + sigma·ε. */
typedef struct calo_form {
    double x, e;
} calo_form;
calo_form calo_form_x0(calo_prediction prediction, double alpha, double sigma);
calo_form calo_form_epsilon(calo_prediction prediction, double alpha, double sigma);

/* ---- timesteps.c ------------------------------------------------------------------------------------------------ */

/* Descending integer timesteps as DDIM, DDPM and PNDM space them; *list [schedule->steps] is the caller's. */
calo_status calo_timesteps_integer(const calo_schedule *schedule, int **list);

/* The steps of the classes that go by σ = √((1 − ᾱ)/ᾱ). */
typedef struct calo_ladder {
    int count;
    double *timesteps; /* [count] */
    double *sigmas;    /* [count + 1], the last is where the last step ends */
} calo_ladder;

typedef enum calo_ladder_rule {
    CALO_LADDER_EULER,           /* float timesteps; Karras between the first and last spaced σ */
    CALO_LADDER_EULER_ANCESTRAL, /* the same without Karras; ends at 0 */
    CALO_LADDER_DPMSOLVER,       /* one point more is spaced and dropped; Karras over the whole table; integers */
    CALO_LADDER_UNIPC            /* as DPMSOLVER, without lambda_min_clipped, and Karras may end on itself */
} calo_ladder_rule;

calo_status calo_ladder_make(calo_schedule *schedule, calo_ladder_rule rule, calo_ladder *ladder);
void calo_ladder_free(calo_ladder *ladder);

/* ---- program.c -------------------------------------------------------------------------------------------------- */

calo_status calo_program_make(const calo_schedule *schedule, int calls, bool has_sigmas, calo_program **program);

/* Adds a row to a step and returns its coefficients, all 0. */
double *calo_step_row(calo_step *step, calo_register target);
/* target = x·X + e·E, both times scale, added to what is there. */
void calo_row_add_form(double *coefficients, calo_form form, double scale);

/* Drops rows that nothing reads, fills what derives from the steps, and refuses what is not finite; then *program is
 * NULL. */
calo_status calo_program_finish(const calo_schedule *schedule, calo_program **program);

#endif
