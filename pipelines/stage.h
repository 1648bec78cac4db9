/* One denoiser at work: a model, its prompts, its schedule, its size, and what every call uses. Text to image is one
   stage; a refiner after the base model, or a second pass at a larger size, is a second. */
#ifndef CALO_STAGE_H
#define CALO_STAGE_H

#include "conditions.h"
#include "denoise.h"
#include "schedule_config.h"

/* The share of the schedule that a stage runs. */
typedef struct calo_share {
    double begin, end; /* of the training timesteps, as diffusers' denoising_start and denoising_end divide them */
    double strength;   /* of the calls, the last ones, as diffusers' image to image counts them; 1: all */
    bool lcm;          /* strength shortens LCM's original steps instead, as its own image to image does */
} calo_share;

typedef struct calo_stage {
    calo_model *model;
    const calo_request *request;
    int width, height;      /* pixels */
    bool guided;            /* there is an unconditional half; a model that embeds the guidance scale has none */
    double guidance;
    calo_text text;
    calo_conditions conditions;
    calo_schedule_choice schedule;
    calo_program *program;
    int first, last;        /* the program's calls in the whole schedule: [first, last) */
    int begun;              /* the call that is the solver's first: it knows nothing before */

    /* while it runs */
    int phase;              /* whose conditions are prepared; −1: none */
    int calls;              /* of the denoiser in this phase, for this picture */
    calo_unet_cache cache;
    calo_tensor input;      /* of the denoiser: [rows, h, w, C], in the run's type */
    calo_tensor masks[CALO_MAX_REGIONS]; /* f32 [1, h, w, 1]: of the regions */
    calo_graph *graph;      /* of the recorded prediction, or NULL */
    uint64_t loads;         /* the model's when it was recorded */
    calo_tensor beside;     /* of the picture that is made: what an inpainting model sees beside its latents [1, h, w, 1 + C];
                               the caller's */
    void (*on_output)(void *user, calo_run *run, int call, calo_tensor output); /* for --dump, or NULL */
    void *user;
} calo_stage;

/* Passages and program. Close it, whatever came of it. */
calo_status calo_stage_open(calo_stage *stage, calo_model *model, const calo_request *request, int width, int height,
                            const calo_share *share, calo_fault *fault);
void calo_stage_close(calo_stage *stage);
/* Compiles the program again so that its solver begins at call number `call`. */
calo_status calo_stage_begin_at(calo_stage *stage, int call, calo_fault *fault);

/* Before the first picture's first call: needs the UNet. */
void calo_stage_enter(calo_run *run, calo_stage *stage);
/* Before and after a picture: what was recorded for another one is forgotten. */
void calo_stage_rewind(calo_run *run, calo_stage *stage);
void calo_stage_leave(calo_run *run, calo_stage *stage);

/* registers[E] ← the guided prediction for scale · registers[X] at the program's call number `call`. */
void calo_stage_predict(calo_run *run, calo_stage *stage, const calo_tensor *registers, double scale, int call);

#endif
