/* A model as it lies on disk: a diffusers folder or a single file, its configuration, and its tensors under one set of
   names (diffusers'), whatever they are called in the files. Or a layout: a configuration without tensors. */
#ifndef CALO_CHECKPOINT_H
#define CALO_CHECKPOINT_H

#include "config.h"
#include "tensor_file.h"

typedef enum calo_part { CALO_UNET, CALO_VAE, CALO_TEXT, CALO_TEXT_2, CALO_PARTS } calo_part;

typedef enum calo_form { CALO_FORM_FOLDER, CALO_FORM_SINGLE, CALO_FORM_LAYOUT } calo_form;

/* How a part's tensors are called: diffusers' and transformers' names; or those of the single files, which are CompVis'
 * for UNet and VAE and OpenCLIP's for a text encoder. */
typedef enum calo_naming { CALO_NAMES_DIFFUSERS, CALO_NAMES_ORIGINAL } calo_naming;

/* Where one part's tensors are. */
typedef struct calo_source {
    calo_tensor_file *files;
    int count;
    bool borrowed;     /* the files are another part's: a single file serves all parts */
    calo_naming naming;
    const char *prefix; /* before every name; a constant */
} calo_source;

/* The pipeline class that a model is made for: what it asks of schedulers and conditions. */
typedef enum calo_pipeline {
    CALO_PIPELINE_SD,
    CALO_PIPELINE_SD_INPAINT,
    CALO_PIPELINE_LCM,
    CALO_PIPELINE_XL,
    CALO_PIPELINE_XL_INPAINT,
    CALO_PIPELINE_XL_REFINER
} calo_pipeline;

typedef struct calo_model_variant calo_model_variant; /* variants.h */

typedef struct calo_checkpoint {
    calo_form form;
    calo_pipeline pipeline;
    const calo_model_variant *variant; /* the registry's row that it is */
    bool has[CALO_PARTS];
    calo_unet_config unet;
    calo_vae_config vae;
    calo_clip_config clip[2];          /* of text_encoder and text_encoder_2 */
    bool force_zeros_for_empty_prompt; /* XL: an absent negative prompt is zeros */
    bool undecided;                    /* nothing in the file says what the UNet predicts */
    bool requires_aesthetics_score;    /* the refiner's sizes end with a score */
    char *path, *name;         /* as given; for people: the last part of the path */
    char *scheduler_class;     /* a diffusers class name */
    char *scheduler_json;      /* the text of scheduler_config.json */
    char *scheduler_path;      /* for sentences about it */
    char *tokenizer[2];        /* folders, or NULL: the built-in CLIP vocabulary */
    char hash[12];             /* of the UNet's file, as A1111's older "model hash"; "" for a layout */
    char *reason;              /* how the architecture was recognised, one line per fact */
    size_t reason_used;
    calo_source parts[CALO_PARTS];
} calo_checkpoint;

/* What a caller knows better than the files; NULL fields: nothing. */
typedef struct calo_checkpoint_options {
    const char *variant;      /* a registry name, for a single file that cannot say it */
    const char *vae;          /* another VAE: a file, or a folder with config.json */
    const char *text_encoder; /* another (first) text encoder, likewise */
    const char *prediction;   /* what the UNet predicts, for a single file that cannot say it */
    bool decide;              /* the model is to be run: that nothing says what it predicts is an error */
} calo_checkpoint_options;

/* A folder, a single file, or "layout:NAME". `options` may be NULL. On failure *checkpoint is closed. */
calo_status calo_checkpoint_open(const char *path, const calo_checkpoint_options *options, calo_checkpoint *checkpoint,
                                 calo_fault *fault);
void calo_checkpoint_close(calo_checkpoint *checkpoint);
/* Closes the files alone; they may be opened again by calo_checkpoint_open only. */
void calo_checkpoint_close_files(calo_checkpoint *checkpoint);

/* The tensor that diffusers calls `name` in that part. CALO_EFILE says where it was looked for. */
calo_status calo_checkpoint_find(const calo_checkpoint *checkpoint, calo_part part, const char *name, calo_entry *entry,
                                 calo_fault *fault);

/* "unet", "vae", "text_encoder", "text_encoder_2"; "diffusion_pytorch_model" or "model". */
const char *calo_part_name(calo_part part);
const char *calo_part_file(calo_part part);

/* Adds a line to the checkpoint's reason. */
void calo_checkpoint_explain(calo_checkpoint *checkpoint, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* For the forms' own readers (folder.c, single.c): one file, or the files of a diffusers part in its folder. */
calo_status calo_source_open_file(calo_source *source, const char *path, calo_fault *fault);
calo_status calo_source_open_folder(calo_source *source, const char *folder, const char *name, calo_fault *fault);
calo_status calo_checkpoint_open_folder(calo_checkpoint *checkpoint, calo_fault *fault);
calo_status calo_checkpoint_open_single(calo_checkpoint *checkpoint, const calo_checkpoint_options *options,
                                        calo_fault *fault);
calo_status calo_checkpoint_open_layout(calo_checkpoint *checkpoint, const char *name, calo_fault *fault);
/* Another VAE or text encoder in the place of the model's own, or of one that its file lacks. */
calo_status calo_checkpoint_replace(calo_checkpoint *checkpoint, calo_part part, const char *path, calo_fault *fault);
/* The part's config.json in `folder`. */
calo_status calo_checkpoint_read_config(calo_checkpoint *checkpoint, calo_part part, const char *folder,
                                        calo_fault *fault);
/* Takes the variant's scheduler and what else its row says. */
calo_status calo_checkpoint_take_variant(calo_checkpoint *checkpoint, const calo_model_variant *variant, calo_fault *fault);

/* "A/B"; the caller frees it. NULL without memory. */
char *calo_path_join(const char *a, const char *b);

#endif
