/* The commands of `calotype`, and what they share. Each returns the process's exit status. */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "options.h"

#include <stdio.h>

int command_draw(options *o); /* txt2img, img2img, inpaint */
int command_resume(options *o);
int command_again(options *o);
int command_grid(options *o);
int command_plan(options *o);
int command_profile(options *o);
int command_check(options *o);
int command_tune(options *o);
int command_info(options *o);
int command_devices(options *o);
int command_make_random(options *o);

/* ---- a flow, from options to pictures (session.c) --------------------------------------------------------------- */

typedef struct session {
    calo_context *context;
    calo_model *model, *refiner; /* refiner: or NULL */
    calo_image *init, *mask;     /* or NULL */
    calo_job *job;               /* one that goes on, or NULL */
    calo_request request;
    calo_timing timing;
    double load_s;
} session;

/* Opens the device ("none": plans only), loads pictures and model, fills the request. Returns the exit status. */
int session_open(session *s, const options *o, const char *device);
/* The parts of it: the device, and the rest. `flow` says what is to be done, or 0. */
int session_open_device(session *s, const options *o, const char *device);
int session_load(session *s, const options *o);
void session_close(session *s);

/* Prints calo_error on stderr and returns the exit status that belongs to it. */
int session_fail(const session *s, calo_status status);

/* What a flow needs and the options lack: 2, after one line. `name`: of the flow. */
int session_check(const options *o, const char *name);

/* ---- running it (run.c) ----------------------------------------------------------------------------------------- */

/* Runs the request, or goes on with the job, and saves the pictures. `paths`, when not NULL, receives request.count
 * strings to be freed, or NULLs when the run was suspended. */
int session_generate(session *s, const options *o, char **paths);

/* "out.png" → "out-3.png" for number 2 of several; a new string, or NULL. */
char *session_path(const char *output, int number, int count);

/* The same with paths and report: prints what txt2img prints. */
int session_finish(session *s, const options *o, int status);

/* One line on stderr, "calotype: …"; returns `status`. */
int complain(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- progress (progress.c) -------------------------------------------------------------------------------------- */

void progress_begin(bool quiet); /* also catches Ctrl-C */
bool progress_cancelled(void);
int progress_stops(void *user); /* the same for a request's should_stop; `user` is not read */
int progress_load(void *user, uint64_t done, uint64_t total);
int progress_read(void *user, uint64_t done, uint64_t total); /* a file that is hashed; its name is `user` */
void progress_step(const calo_progress *progress, int pictures);
int progress_call(void *user, int done, int total, const char *call); /* of calls that are timed; `user` is not read */
void progress_cell(int done, int of); /* the cell of a grid that the steps belong to */
void progress_end(void);              /* clears the bar */
double progress_now(void);            /* seconds */

/* ---- tables of ops (report.c) ----------------------------------------------------------------------------------- */

void report_print(const calo_report *report, bool measured);
void report_print_json(const calo_report *report, bool measured);

#endif
