/* One denoiser at work: a model, its prompt, its schedule, and what every step of it uses. Text to image is one stage; a
   refiner after the base model is a second. */
#ifndef CALO_STAGE_H
#define CALO_STAGE_H

#include "denoise.h"
#include "schedule_config.h"
#include "text.h"

typedef struct calo_stage {
    calo_model *model;
    bool guided;            /* two halves a call; a model that embeds the guidance scale has one */
    double guidance;
    calo_text text;
    calo_tensor context, pooled; /* between encode and prepare */
    calo_schedule_choice schedule;
    calo_program *program;
    calo_unet_cache cache;
    calo_tensor beside;     /* of the picture that is made: what calo_stage_mask_all gave for it; the caller's */
} calo_stage;

/* Tokens and program, of which the stage runs the share from `begin` to `end` (0 … 1), as diffusers' denoising_start and
 * denoising_end divide a schedule. Close it, whatever came of it. */
calo_status calo_stage_open(calo_stage *stage, calo_model *model, const calo_request *request, double begin, double end,
                            calo_fault *fault);
void calo_stage_close(calo_stage *stage);

/* Encodes the prompt: needs the text encoders. `dump` may be NULL. */
void calo_stage_encode(calo_run *run, calo_stage *stage, calo_dump *dump);

/* Computes what all steps share, for pictures of width × height: needs the UNet. */
void calo_stage_prepare(calo_run *run, calo_stage *stage, int width, int height);
void calo_stage_release(calo_run *run, calo_stage *stage);

/* What an inpainting model that is given no picture sees beside the latents: it repaints all of an empty one. Needs the
 * VAE. `rng` goes on from the latents' draw. `tile` is calo_encode_picture's. No tensor for other models. */
calo_tensor calo_stage_mask_all(calo_run *run, const calo_stage *stage, calo_rng *rng, int width, int height,
                                int tile);

/* For calo_denoise: these take the stage as `user`. */
void calo_stage_begin_step(const calo_stage *stage, calo_run *run, int call);
calo_tensor calo_stage_predict(const calo_stage *stage, calo_run *run, calo_tensor x);

#endif
