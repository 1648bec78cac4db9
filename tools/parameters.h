/* A picture's `parameters` text, taken apart: prompts and settings. */
#ifndef PARAMETERS_H
#define PARAMETERS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct setting {
    char *key, *value; /* quotes taken off */
    bool used;         /* somebody asked for it */
} setting;

typedef struct parameters {
    char *prompt, *negative; /* negative: NULL where the text has none */
    char *rest;              /* what follows the settings, or NULL */
    int count;
    setting *settings;
} parameters;

/* AUTOMATIC1111's reading: the last line that holds three settings or more has the settings, the lines before it are
 * the prompt and, from "Negative prompt:" on, the negative one. 0; 3: there are no settings; 4: no memory. Free it
 * always. */
int parameters_parse(const char *text, parameters *p);
void parameters_free(parameters *p);

/* The value of a setting, which counts as used from then on; NULL: there is none. */
const char *parameters_take(parameters *p, const char *key);

#endif
