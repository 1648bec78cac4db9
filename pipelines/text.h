/* Texts to what the denoiser reads: tokens, context, and with Stable Diffusion XL the pooled text. Contexts are kept on
   the host, where weights are applied to them and from where a step's conditions are put together. */
#ifndef CALO_TEXT_H
#define CALO_TEXT_H

#include "../engine/text/prompt.h"
#include "dump.h"
#include "model.h"

/* One text, as one half of guidance reads it. */
typedef struct calo_passage {
    char *texts[2];               /* for each encoder; both NULL: zeros, which have no tokens */
    bool negative;
    calo_prompt_tokens tokens[2]; /* of each encoder that the model has */
    int64_t length;               /* T: tokens of all chunks */
    float *context;               /* [T, D], after calo_text_encode */
    float *pooled;                /* [P] where the denoiser takes it, else NULL */
} calo_passage;

typedef struct calo_text {
    const calo_model *model;
    calo_prompt_style style;
    int clip_skip;
    double negative_scale;
    int tokens;                 /* of a chunk */
    int64_t width, pooled;      /* D; P, 0 where there is no pooled text */
    calo_passage *passages;
    int count, capacity;
} calo_text;

calo_status calo_text_open(calo_text *text, const calo_model *model, const calo_request *request, calo_fault *fault);
void calo_text_close(calo_text *text);

/* The number of a passage with these texts, tokenized at its first use; both NULL: zeros. −1 on failure. */
int calo_text_passage(calo_text *text, const char *first, const char *second, bool negative, calo_fault *fault);

/* Fills every passage's context: needs the text encoders. */
void calo_text_encode(calo_run *run, calo_text *text);

/* Keeps a passage's tokens, context and pooled text under "….half": "cond" or "uncond". */
void calo_text_dump(const calo_text *text, int passage, const char *half, calo_dump *dump, calo_fault *fault);

#endif
