/* scheduler_config.json to what a scheduler compiles from. */
#ifndef CALO_SCHEDULE_CONFIG_H
#define CALO_SCHEDULE_CONFIG_H

#include "../engine/weights/checkpoint.h"
#include "../schedulers/scheduler.h"

/* What the request says over the configuration; NULL: nothing. */
typedef struct calo_schedule_wish {
    const char *scheduler, *spacing, *prediction;
    double eta;
    bool zero_snr;          /* rescale_betas_zero_snr, whatever the configuration says */
    calo_pipeline pipeline; /* what runs it */
} calo_schedule_wish;

typedef struct calo_schedule_choice {
    const calo_scheduler *scheduler;
    calo_schedule_config config;
    double *trained_betas;        /* what config.trained_betas points to, or NULL */
    int disabled[CALO_MAX_STEPS]; /* what config.disable_corrector points to */
} calo_schedule_choice;

/* `class` and `json` are the model's own scheduler; `path` names the JSON in sentences. A field that the JSON lacks takes
 * the default of the class that runs (diffusers' from_config). The model's own scheduler gets what
 * the pipeline class forces on it: steps_offset 1 and clip_sample false (StableDiffusionPipeline), steps_offset 1 and
 * skip_prk_steps (its inpainting kin), nothing (the others). Free the choice. */
calo_status calo_schedule_choose(const char *class, const char *json, const char *path, const calo_schedule_wish *wish,
                                 calo_schedule_choice *choice, calo_fault *fault);
void calo_schedule_choice_free(calo_schedule_choice *choice);

#endif
