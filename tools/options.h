/* The one table of options: what a command takes, what a value may be, how it reads in help, manual and completion. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "../engine/calotype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* One bit a command; an option says which of them take it. */
enum {
    TXT2IMG = 1 << 0,
    IMG2IMG = 1 << 1,
    INPAINT = 1 << 2,
    RESUME = 1 << 3,
    AGAIN = 1 << 4,
    GRID = 1 << 5,
    PLAN = 1 << 6,
    PROFILE = 1 << 7,
    CHECK = 1 << 8,
    INFO = 1 << 9,
    DEVICES = 1 << 10,
    MAKE_RANDOM = 1 << 11,
    MANUAL = 1 << 12,
    COMPLETION = 1 << 13,
    TUNE = 1 << 14,
    FLOWS = TXT2IMG | IMG2IMG | INPAINT,
    STUDIES = PLAN | PROFILE | CHECK | TUNE, /* these run or plan a flow, whose name they take, and most of its options */
    ALL_COMMANDS = (1 << 15) - 1
};

enum { REGION_LIMIT = 8, FOLDER_LIMIT = 64, WORD_LIMIT = 2, OPTION_SENTENCE = 512 };

/* What the words of a command line say. Strings are the command line's. */
typedef struct command command;

typedef struct options {
    const command *flow; /* txt2img, img2img or inpaint: the command, or the first word of a study */
    const char *words[WORD_LIMIT]; /* what stands without an option's name: a flow, MODEL, IMAGE, STATE */
    const char *model, *refiner, *vae, *text_encoder, *prediction, *variant;
    const char *init, *mask, *output, *suspend, *device, *tuning;
    char *axes[2];                     /* of a grid: "scheduler=ddim,euler"; NULL: none */
    const char *folders[FOLDER_LIMIT]; /* where `again` looks for models */
    int folder_count, threads, suspend_at, dtype;
    uint64_t memory_limit;
    bool random_seed, quiet, json, zero_snr, layouts, variants, force, show, help;
    calo_request request; /* steps 0 and guidance NaN: the model's; regions are those below */
    calo_region regions[REGION_LIMIT];
    uint64_t seen[2]; /* a bit for each row of the table that was given */
} options;

typedef enum option_kind {
    OPTION_TEXT,   /* any text, "" too */
    OPTION_PATH,   /* a file or folder; not "" */
    OPTION_NAME,   /* one of `values`, kept as text */
    OPTION_CHOICE, /* one of `values`, kept as its number among them */
    OPTION_INTEGER,
    OPTION_NUMBER,
    OPTION_BYTES,
    OPTION_SEED,    /* 0 … 2^64 − 1; --seed also takes "random" */
    OPTION_BORDERS, /* l,t,r,b */
    OPTION_REGION,
    OPTION_REGION_NEGATIVE,
    OPTION_FOLDER, /* may be given several times */
    OPTION_FLAG
} option_kind;

typedef struct option {
    const char *name, *takes; /* "--steps", "N"; a flag takes nothing: NULL */
    option_kind kind;
    const char *heading; /* the group under which help lists it */
    unsigned commands;
    size_t field;         /* in `options` */
    double least, most;   /* of a number */
    int multiple;         /* of which a whole number must be one; 0: any */
    const char *range;    /* how `least` and `most` read, "1 … 1000"; or NULL */
    const char *values;   /* what a NAME or CHOICE may be, separated by spaces; NULL: the library knows */
    const char *needs;    /* an option without which this one does nothing; or NULL */
    const char *what;     /* the help */
    const char *standard; /* what holds when it is not given; or NULL */
} option;

/* Row i; NULL past the end. Rows of one heading stand together. */
const option *option_at(int i);
/* NULL: there is no such option. `length` characters of `name`, "--steps". */
const option *option_find(const char *name, size_t length);

struct command {
    const char *name;
    unsigned bit;
    const char *synopsis; /* what follows the name on its usage line */
    const char *what;     /* one line, for the list */
    const char *about;    /* what to know, for help and manual */
    const char *example;  /* what follows "calotype " in an example */
    int words;            /* how many words may stand without an option's name */
    int (*run)(options *o);
};

/* Row i of the commands; NULL past the end. */
const command *command_at(int i);
const command *command_find(const char *name);
/* Whether the command takes the option: with a flow that is its first word, as in `plan img2img`. */
bool command_takes(const command *c, const command *flow, const option *option);

/* Fills *o from the words after the command's name. Returns 0, or 2 with one sentence in `why`, of OPTION_SENTENCE
 * bytes, that names the option. A region's word is taken apart in place. */
int options_parse(options *o, const command *c, int count, char **arguments, char *why);
void options_default(options *o);
/* Sets one option to a value, checked. Returns 0, or 2 with a sentence. */
int option_set(options *o, const option *option, char *value, char *why);
bool option_given(const options *o, const char *name);

/* What an option takes, "N" or "crop|pad", and what it does, with its range and standard; for help and manual. */
void option_takes(const option *option, char *text, size_t size);
void option_explain(const option *option, char *text, size_t size);

/* Text for people (help.c), for man (manual.c), and for bash (completion.c), all from the tables, on standard output.
 */
void help_all(FILE *out);
void help_command(const command *c);
int command_manual(options *o);
int command_completion(options *o);

#endif
