/* Running the `calotype` command from a test. */
#ifndef COMMAND_H
#define COMMAND_H

#include <stddef.h>

typedef struct outcome {
    int status;        /* exit status, −1: ended by a signal */
    char errors[4096]; /* what stderr held */
    char output[65536];
} outcome;

/* Runs `calotype` with words up to a NULL. `interrupt_after_s` > 0 sends SIGINT then; `threads` > 0 limits PoCL's. */
outcome run_command(const char *const *words, double interrupt_after_s, int threads);

/* FNV-1a of a file's bytes; 0 when it cannot be read. */
unsigned long long file_hash(const char *path);

/* Set by main from its arguments: the binary, the demo model, and a scratch folder of this test. */
extern const char *calotype_path, *model_path, *work_path;

/* work_path/name, in one of eight rotating buffers. */
const char *in_work(const char *name);

/* Copies the demo model to work_path/name, and gives that path. */
const char *copy_model(const char *name);
void write_text(const char *path, const char *text);

#endif
