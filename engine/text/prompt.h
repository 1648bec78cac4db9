/* Prompts as people write them, on the host: what is composed, which words hold when, what weighs how much.

       text ── AND ──→ parts ── [a:b:0.5], [a|b] ──→ spans of steps ── (a:1.3) [a] BREAK ──→ ids and weights, chunk by
   chunk

   Plain text is diffusers': every character is text, one chunk, what is too long is cut. The grammars are those of two
   programs, and equality with them is what they are for:

   - AUTOMATIC1111's stable-diffusion-webui 1.7: modules/prompt_parser.py, sd_hijack_clip.py, sd_hijack_open_clip.py
   - ComfyUI of October 2025: comfy/sd1_clip.py

   Whatever is malformed is text, as it is there. Three things differ, all where the originals end in an exception or a
   black picture: a weight that is no finite number, (a:1.2.3) in the first and (a:nan) in the second, is text; a step
   too large for a float is the last one; nesting has no limit. Names of textual inversions and of LoRAs are text.

   A1111's own answer is not always one: what its grammar of schedules leaves ambiguous (a schedule before a stray
   bracket, "[a:3])") lark 1.1.2 decides by Python's seed for hashes. Here brackets that can be a schedule are one.

   Texts are UTF-8, NULL is ""; what is not UTF-8 becomes U+FFFD. With a grammar a prompt has at most
   CALO_PROMPT_LONGEST bytes. Time is linear in them but for text at thousands of depths. Every failure is CALO_EUSAGE
   or CALO_EMEMORY, and leaves nothing to free. */
#ifndef CALO_PROMPT_H
#define CALO_PROMPT_H

#include "tokenizer.h"

enum { CALO_PROMPT_LONGEST = 262144 };

/* A part of a composition: eps = eps_negative + guidance · Σ weight · (eps_part − eps_negative). */
typedef struct calo_prompt_part {
    char *text;
    double weight;
} calo_prompt_part;

/* Splits at the word AND; a part's weight stands at its end, "a AND b :0.8". One part of weight 1 for the other styles
 * (A1111 does not split negative prompts either). */
calo_status calo_prompt_compose(calo_prompt_style style, const char *text, calo_prompt_part **parts, int *count,
                                calo_fault *fault);
void calo_prompt_parts_free(calo_prompt_part **parts, int count);

/* `text` holds for the steps up to end_step, counted from 1. */
typedef struct calo_prompt_span {
    int end_step;
    char *text;
} calo_prompt_span;

/* The texts of a part over 1 … steps: [a:b:0.5] and [a:b:10] change once, [b:10] begins, [a::10] ends, [a|b]
 * alternates. A number with a point is a share of the steps. Spans are in order, at least one, the last ends at
 * `steps`; neighbours may have the same text. One span for the other styles. */
calo_status calo_prompt_schedule(calo_prompt_style style, const char *text, int steps, calo_prompt_span **spans,
                                 int *count, calo_fault *fault);
void calo_prompt_spans_free(calo_prompt_span **spans, int count);

typedef struct calo_prompt_tokens {
    int chunks;      /* 1 and more */
    int length;      /* of a chunk, start and end included */
    int32_t *ids;    /* [chunks, length] */
    double *weights; /* [chunks, length]; 1 at start, end and padding */
    bool weighted;   /* a weight is not 1 */
} calo_prompt_tokens;

/* What one encoder reads. `length` is its token count, at least 3 with a grammar. Chunks are encoded each alone and
 * their outputs joined along the tokens; the pooled output is the first one's. With a grammar a padding token that is
 * not the end token, OpenCLIP's "!", is a word in the prompt, and A1111 pads after the first end token of a chunk. */
calo_status calo_prompt_tokenize(calo_prompt_style style, const char *text, const calo_tokenizer *tokenizer, int length,
                                 calo_prompt_tokens *tokens, calo_fault *fault);
void calo_prompt_tokens_free(calo_prompt_tokens *tokens);

/* A1111's weights on an encoder's output: z [rows, width] is multiplied by weights [rows], and with `restore` scaled so
 * that its mean is what it was ("Original"; not for XL: "No norm"). Call it for each chunk; A1111 takes one mean for
 * the same chunk of all the texts of a schedule, so that rows may be several texts' one chunk. A mean that became 0
 * cannot be restored and is left. */
void calo_prompt_weigh_a1111(float *z, const double *weights, int64_t rows, int64_t width, bool restore);

/* ComfyUI's: z = empty + (z − empty)·w, z [chunks, length, width], weights [chunks, length], empty [length, width] the
 * output for the prompt "". Where nothing is weighted `empty` is not needed: do not call. */
void calo_prompt_weigh_comfy(float *z, const float *empty, const double *weights, int64_t chunks, int64_t length,
                             int64_t width);

#endif
