/* A model as it lies on disk: a diffusers folder or a single file, its configuration, and its tensors under one set of
   names (diffusers'), whatever they are called in the files. Or a layout: a configuration without tensors. */
#ifndef CALO_CHECKPOINT_H
#define CALO_CHECKPOINT_H

#include "config.h"
#include "safetensors.h"

typedef enum calo_part { CALO_UNET, CALO_VAE, CALO_TEXT, CALO_PARTS } calo_part;

typedef enum calo_form { CALO_FORM_FOLDER, CALO_FORM_SINGLE, CALO_FORM_LAYOUT } calo_form;

/* The files of one part; a single file serves all parts. */
typedef struct calo_source {
    calo_safetensors *files;
    int count;
} calo_source;

typedef struct calo_checkpoint {
    calo_form form;
    calo_unet_config unet;
    calo_vae_config vae;
    calo_clip_config clip;
    char *path, *name;         /* as given; for people: the last part of the path */
    char *scheduler_class;     /* a diffusers class name */
    char *scheduler_json;      /* the text of scheduler_config.json */
    char *scheduler_path;      /* for sentences about it */
    char *tokenizer;           /* folder, or NULL: the built-in CLIP vocabulary */
    char hash[12];             /* of the UNet's file, as A1111's older "model hash"; "" for a layout */
    char *reason;              /* how the architecture was recognised, one line per fact */
    calo_source parts[CALO_PARTS];
} calo_checkpoint;

/* A folder, a .safetensors file, or "layout:NAME". On failure *checkpoint is closed. */
calo_status calo_checkpoint_open(const char *path, calo_checkpoint *checkpoint, calo_fault *fault);
void calo_checkpoint_close(calo_checkpoint *checkpoint);

/* The tensor that diffusers calls `name` in that part; NULL after CALO_EFILE that says where it was looked for. */
const calo_entry *calo_checkpoint_find(const calo_checkpoint *checkpoint, calo_part part, const char *name,
                                       calo_fault *fault);

/* "unet", "vae", "text_encoder". */
const char *calo_part_name(calo_part part);

#endif
