/* A loaded model: its configuration, tokenizer, parameters on the device, and what it runs in. */
#ifndef CALO_MODEL_H
#define CALO_MODEL_H

#include "../engine/context.h"
#include "../engine/models/clip.h"
#include "../engine/models/unet.h"
#include "../engine/models/vae.h"
#include "../engine/text/tokenizer.h"

struct calo_model {
    calo_context *context;
    calo_checkpoint checkpoint; /* its files are closed after loading */
    calo_tokenizer *tokenizer;
    calo_arena weights;
    calo_clip clip;
    calo_unet unet;
    calo_vae vae;
    calo_type dtype;
    char *prediction; /* over the configuration's, or NULL */
};

/* What plans and runs are made for: the context's device, or the nominal one. */
calo_device_info calo_model_device(const calo_model *model);

/* Visits or loads every parameter, in one order: what calo_load and calo_make_random share. */
void calo_model_parameters(calo_parameters *p, calo_model *model, bool with_encoder);

#endif
