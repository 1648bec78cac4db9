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
    calo_checkpoint checkpoint; /* its files stay open: parts may be loaded again */
    calo_tokenizer *tokenizer[2]; /* of text_encoder and text_encoder_2; NULL: no such encoder */
    calo_arena weights[CALO_PARTS];
    unsigned held;              /* which parts lie on the device: residency.h */
    uint64_t memory_limit;      /* bytes on the device; 0: what it has */
    calo_clip clip[2];
    calo_unet unet;
    calo_vae vae;
    calo_type dtype;
    char *prediction; /* over the configuration's, or NULL */
    bool zero_snr;    /* likewise; false: what the configuration says */
};

/* What plans and runs are made for: the context's device, or the nominal one. */
calo_device_info calo_model_device(const calo_model *model);

/* Visits or loads the parameters of one part that the model has; the VAE's encoder only when it is asked for. */
void calo_model_part(calo_parameters *p, calo_model *model, calo_part part, bool with_encoder);

#endif
