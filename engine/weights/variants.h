/* The registry of Stable Diffusion's variants: one row each. */
#ifndef CALO_VARIANTS_H
#define CALO_VARIANTS_H

#include "checkpoint.h"

struct calo_model_variant {
    const char *name, *title; /* "sdxl-turbo", "Stable Diffusion XL Turbo" */
    const char *told_by;      /* what tells it from the others in a bare file */
    calo_pipeline pipeline;
    int sample_size;          /* latents' side at its own size */
    int steps;                /* what it is meant to be run with */
    double guidance;
    const char *scheduler_class, *scheduler_json; /* as published */
    /* Its architecture at full size. */
    void (*configure)(calo_checkpoint *checkpoint);
};

/* By name; NULL: none. Row i, NULL past the end. */
const calo_model_variant *calo_variant_find(const char *name);
const calo_model_variant *calo_variant_at(int i);

/* The row that a checkpoint's configurations and scheduler are nearest to. */
const calo_model_variant *calo_variant_of(const calo_checkpoint *checkpoint);

/* Whether a file of these shapes could be that variant: channels, parts and conditions are the same. */
bool calo_variant_fits(const calo_model_variant *variant, const calo_checkpoint *checkpoint);

void calo_variant_fill(const calo_model_variant *variant, calo_variant_record *record);

/* Numbers of an added condition's sizes: 6, or 5 for a refiner. */
int calo_size_count(const calo_checkpoint *checkpoint);

#endif
