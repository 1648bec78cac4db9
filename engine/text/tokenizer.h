/* CLIP's tokenizer: a prompt becomes ids, exactly those of transformers' CLIPTokenizer.

       text → added tokens cut out → NFC, white space folded, lower case → words by class → bytes → byte pairs → ids

   framed as [start, ids cut to max_length − 2, end, padding …]. A word is one of <|startoftext|>, <|endoftext|>, a
   contraction ('s 't 're 've 'm 'll 'd), a run of letters, one number character, or a run of anything else but space.
   Source: Radford et al. 2021 (CLIP); transformers 5.23 tokenization_clip.py over tokenizers 0.23.3.
   A tokenizer is not changed by encoding: one may serve several threads. */
#ifndef CALO_TOKENIZER_H
#define CALO_TOKENIZER_H

#include "../fault.h"

#include <stddef.h>
#include <stdint.h>

typedef struct calo_tokenizer calo_tokenizer;

/* Opens a folder with tokenizer.json (which counts first, as in transformers) or vocab.json and merges.txt, and
 * whatever it has of tokenizer_config.json, special_tokens_map.json and added_tokens.json. On failure *tokenizer is
 * NULL. */
calo_status calo_tokenizer_open_folder(const char *path, calo_tokenizer **tokenizer, calo_fault *fault);

/* Opens CLIP's own vocabulary of 49408 words, with max_length 77. `pad` is the padding token: NULL for the end token
 * (Stable Diffusion 1, XL's first), "!" for OpenCLIP's models (Stable Diffusion 2, XL's second). As with the folders of
 * those models the padding token is also cut out of prompts: there "!" is id 0 and not the word "!". */
calo_status calo_tokenizer_open_builtin(const char *pad, calo_tokenizer **tokenizer, calo_fault *fault);

/* Writes the built-in vocabulary as vocab.json and merges.txt into a folder that exists. */
calo_status calo_tokenizer_write_builtin(const char *folder, calo_fault *fault);

/* Takes NULL and *tokenizer == NULL; leaves NULL. */
void calo_tokenizer_close(calo_tokenizer **tokenizer);

/* Fills ids[max_length]. `text` is UTF-8 (NULL: empty); what is not is replaced as Python's errors="replace" does.
 * max_length ≥ 2. `used`, unless NULL, gets how many ids are not padding, start and end included. */
calo_status calo_tokenizer_encode(const calo_tokenizer *tokenizer, const char *text, int32_t *ids, int max_length,
                                  int *used, calo_fault *fault);

/* All ids of the text, without frame, cut or padding; *ids is NULL when there are none. Free it with calo_free. */
calo_status calo_tokenizer_split(const calo_tokenizer *tokenizer, const char *text, int32_t **ids, size_t *count,
                                 calo_fault *fault);

/* The same, but the padding token is sought only where it is the end token too: OpenCLIP's "!" is a word here, as it is
 * for the programs that read prompts with weights. */
calo_status calo_tokenizer_split_words(const calo_tokenizer *tokenizer, const char *text, int32_t **ids, size_t *count,
                                       calo_fault *fault);

int32_t calo_tokenizer_bos(const calo_tokenizer *tokenizer);
int32_t calo_tokenizer_eos(const calo_tokenizer *tokenizer);
int32_t calo_tokenizer_pad(const calo_tokenizer *tokenizer);
/* Another id to pad with, and nothing else: prompts are cut as before. */
void calo_tokenizer_set_pad(calo_tokenizer *tokenizer, int32_t id);
/* model_max_length; 0 where the folder does not state it. */
int calo_tokenizer_max_length(const calo_tokenizer *tokenizer);
/* Distinct words, added tokens included. */
size_t calo_tokenizer_size(const calo_tokenizer *tokenizer);
/* One more than the largest id that encoding can give: an embedding needs that many rows. */
int32_t calo_tokenizer_rows(const calo_tokenizer *tokenizer);
/* The id of a word of the vocabulary as it stands there ("cat</w>"), or of an added token; −1: there is none. */
int32_t calo_tokenizer_find(const calo_tokenizer *tokenizer, const char *word);

#endif
