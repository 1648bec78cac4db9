/* How a picture was made, as a command line that makes it again, and what stands in the way. */
#ifndef RECIPE_H
#define RECIPE_H

#include "parameters.h"

enum { RECIPE_WORDS = 160, RECIPE_NOTES = 400 };

typedef struct recipe {
    parameters text;
    bool ours;                     /* calotype made it */
    const char *flow;              /* "txt2img", "img2img" or "inpaint" */
    char *words[RECIPE_WORDS + 1]; /* options and their values, NULL at the end */
    int word_count;
    char *notes[RECIPE_NOTES]; /* sentences, without a full stop */
    bool shapes[RECIPE_NOTES]; /* it shapes the picture */
    int note_count;
    bool no_memory;
    /* what the model is known by; NULL where the text does not say */
    const char *model, *hash, *refiner, *refiner_hash, *refiner_start, *vae, *text_encoder, *variant, *dtype;
    int clip_skip;           /* A1111's count, which only models of the first generation obey; 0: none */
    const char *init, *mask; /* "512x512 0123456789abcdef" of the pictures that it began with; "" where they are not
                                told apart; NULL: none */
} recipe;

/* Reads a text. 0; 3: it is not such a text; 4: no memory. Free it always. */
int recipe_read(const char *text, recipe *r);
void recipe_free(recipe *r);

/* Adds an option and its value (NULL: a flag) to the command line, a sentence to the notes. */
void recipe_add(recipe *r, const char *option, const char *value);
void recipe_note(recipe *r, bool shapes, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
