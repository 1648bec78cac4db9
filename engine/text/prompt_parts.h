/* What the grammars of prompts share. */
#ifndef CALO_PROMPT_PARTS_H
#define CALO_PROMPT_PARTS_H

#include "prompt.h"
#include "unicode.h"

/* Python's str.isspace, re's \s. */
bool calo_prompt_space(uint32_t code);
/* re's \w. */
bool calo_prompt_word(uint32_t code);
/* The number in codes[0 … count) as Python's float() reads it: white space around it, digits of any script, "_" between
 * digits; infinite where it is too large. False where it is none; the words for infinity and NaN are none. */
bool calo_prompt_number(const uint32_t *codes, size_t count, double *value);
/* re's \d. */
bool calo_prompt_digit(uint32_t code);

/* Appends a prompt's code points: CALO_EUSAGE when it has more than CALO_PROMPT_LONGEST bytes. */
calo_status calo_prompt_decode(const char *text, calo_codes *codes, calo_fault *fault);
/* A new string, NULL without memory. */
char *calo_prompt_string(const uint32_t *codes, size_t count);

/* Chunks that grow. Fill `tokens.length`; free with calo_prompt_tokens_free. */
typedef struct calo_prompt_chunks {
    calo_prompt_tokens tokens;
    int capacity;
} calo_prompt_chunks;

/* Appends [start, ids, end, pad …]; count ≤ length − 2. */
calo_status calo_prompt_chunks_put(calo_prompt_chunks *chunks, const calo_tokenizer *tokenizer, const int32_t *ids,
                                   const double *weights, int count, calo_fault *fault);

calo_status calo_prompt_tokenize_a1111(const calo_codes *text, const calo_tokenizer *tokenizer,
                                       calo_prompt_chunks *chunks, calo_fault *fault);
calo_status calo_prompt_tokenize_comfy(calo_codes *text, const calo_tokenizer *tokenizer, calo_prompt_chunks *chunks,
                                       calo_fault *fault);

#endif
