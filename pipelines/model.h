/* A loaded model: its configuration, tokenizer, parameters on the device, and what it runs in. */
#ifndef CALO_MODEL_H
#define CALO_MODEL_H

#include "../engine/context.h"
#include "../engine/models/clip.h"
#include "../engine/models/unet.h"
#include "../engine/models/vae.h"
#include "../engine/text/tokenizer.h"

enum { CALO_PREVIEW_CHANNELS = 16 };

/* Latents to colours: rgb = Σ_c latent_c · terms[c] + terms[channels], 0 … 1. */
typedef struct calo_preview_map {
    bool known;
    int channels;
    double terms[CALO_PREVIEW_CHANNELS + 1][3];
} calo_preview_map;

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
    bool with_encoder; /* the VAE's encoder is among its parameters */
    uint64_t loads;    /* how often a part was loaded: its parameters may lie elsewhere since */
    calo_preview_map preview;
    char digest[20];   /* calo_model_digest's, "": not found yet */
};

/* What plans and runs are made for: the context's device, or the nominal one. */
calo_device_info calo_model_device(const calo_model *model);

/* Visits or loads the parameters of one part that the model has. */
void calo_model_part(calo_parameters *p, calo_model *model, calo_part part);

/* 16 hexadecimal digits that tell the weights of one model from those of another: of every byte of its files, or of a
 * layout's name and type, of its scheduler's configuration and what was said over it. Against mistakes, not against forgery. Found once. */
calo_status calo_model_digest(calo_model *model, char text[20], calo_fault *fault);

#endif
