/* Prompts to what the denoiser reads: tokens, context, and with Stable Diffusion XL the pooled text. */
#ifndef CALO_TEXT_H
#define CALO_TEXT_H

#include "dump.h"
#include "model.h"

typedef struct calo_text {
    const calo_model *model;
    bool guided;        /* there is an unconditional half */
    bool zero_negative; /* which is zeros, and has no tokens */
    int clip_skip;
    int tokens;         /* of a prompt, with padding */
    int32_t *ids[2];    /* of each encoder: [1 or 2, tokens], unconditional first; NULL: no such encoder */
} calo_text;

/* Tokenizes the request's prompts. Close it, whatever came of it. */
calo_status calo_text_open(calo_text *text, const calo_model *model, const calo_request *request, bool guided,
                           calo_fault *fault);
void calo_text_close(calo_text *text);

/* → context [1 or 2, T, D]; *pooled → [1 or 2, P] where the denoiser takes it. With `dump` they are kept there. */
calo_tensor calo_text_encode(calo_run *run, const calo_text *text, calo_tensor *pooled, calo_dump *dump);

#endif
