/* The commands of `calotype`, one file each, and what they share. Each returns the process's exit status. */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "../engine/calotype.h"

#include <stdbool.h>
#include <stdio.h>

int command_txt2img(int count, char **words);
int command_devices(int count, char **words);
int command_info(int count, char **words);
int command_plan(int count, char **words);
int command_profile(int count, char **words);
int command_check(int count, char **words);
int command_make_random(int count, char **words);

/* ---- options (options.c) ---------------------------------------------------------------------------------------- */

/* Steps that are not given; a guidance scale that is not given is NaN. */
enum { OPTION_ABSENT = -2147483647 };

typedef struct options {
    const char *words[2];      /* what stands without an option's name: a flow, MODEL of info, NAME and DIR of make-random */
    const char *model, *prompt, *negative, *output, *device, *scheduler, *spacing, *prediction, *variant, *dump, *vae, *text_encoder, *refiner;
    const char *dtype_name;
    calo_type dtype;
    int width, height, steps, count, clip_skip, threads, tile;
    double guidance, eta, refiner_start;
    uint64_t seed, memory_limit;
    bool random_seed, quiet, json, zero_snr, layouts, variants, help;
} options;

/* Which groups of options a command takes. */
enum { OPTIONS_COMMON = 1, OPTIONS_FLOW = 2, OPTIONS_INFO = 4, OPTIONS_DTYPE = 8, OPTIONS_JSON = 16 };

/* Fills *o from the words after the command's name, of which at most `words` may stand alone. Returns 0, or 2 after
 * printing one line that names the option. */
int options_parse(options *o, const char *command, int groups, int words, int count, char **arguments);

/* Prints the usage line, what the command does, and the options of its groups. */
void options_help(const char *usage, const char *what, int groups);

/* ---- a flow, from options to pictures (flow.c) ------------------------------------------------------------------ */

typedef struct session {
    calo_context *context;
    calo_model *model, *refiner; /* refiner: or NULL */
    calo_request request;
    calo_timing timing;
    double load_s;
} session;

/* Opens the device ("none": plans only), loads the model, fills the request. Returns the exit status. */
int session_open(session *s, const options *o, const char *device);
void session_close(session *s);

/* Runs the request and saves the pictures. `paths`, when not NULL, receives request.count strings to be freed. */
int session_generate(session *s, const options *o, char **paths);

/* Prints calo_error on stderr and returns the exit status that belongs to it. */
int session_fail(const session *s, calo_status status);

/* One line on stderr, "calotype: …"; returns `status`. */
int complain(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- progress (progress.c) -------------------------------------------------------------------------------------- */

void progress_begin(bool quiet);   /* also catches Ctrl-C */
bool progress_cancelled(void);
int progress_load(void *user, uint64_t done, uint64_t total);
int progress_step(void *user, const calo_progress *progress);
void progress_end(void);           /* clears the bar */

/* ---- tables of ops (report.c) ----------------------------------------------------------------------------------- */

void report_print(const calo_report *report, bool measured);
void report_print_json(const calo_report *report, bool measured);

#endif
