/* Configurations as the files of a diffusers folder: the inverse of engine/weights/config.h and folder.c. */
#ifndef CALO_CONFIG_JSON_H
#define CALO_CONFIG_JSON_H

#include "../engine/weights/checkpoint.h"

/* The text of PART/config.json, and of model_index.json. Free it with calo_free; NULL without memory. */
char *calo_part_json(const calo_checkpoint *checkpoint, calo_part part);
char *calo_index_json(const calo_checkpoint *checkpoint);
/* The text of tokenizer_config.json: CLIP's own vocabulary, padded with its end token or with "!". */
char *calo_tokenizer_json(bool pads_with_mark);

#endif
