/* A job: one request, step by step. job.c has the public calls, flow.c what happens in which order, memory.c where it
   fits, suspend.c files and forks. */
#ifndef CALO_JOB_H
#define CALO_JOB_H

#include "../kernels/ledger.h"
#include "start.h"

struct calo_job {
    calo_model *model;
    calo_request request;   /* its own copy, sizes filled in */
    calo_run run;
    calo_arena arena;
    calo_ledger ledger;
    calo_stage stages[2];   /* the model's own, and a refiner's or a second pass */
    int stage_count;
    calo_canvas canvas;     /* where there is an init picture */
    calo_start start;
    calo_frame *frames;     /* [request.count] */
    calo_dump dump;
    int tile;               /* of the VAE, pixels; 0: pictures are coded whole */
    bool takes_turns;       /* the models' parts do not fit on the device at once */
    bool fits_preview;      /* this job finds the model's latent-to-RGB map */
    bool broken;            /* a call failed half-way: it cannot go on */

    int stage, frame;       /* what comes next: `frame` of `stage`; stage == stage_count: nothing */
    bool entered;           /* the stage's conditions are prepared */
    bool looping;           /* the frame's loop has begun */
    calo_denoise loop;

    double begin;           /* seconds, when it was opened */
    calo_timing timing;     /* what was measured so far; handed out at the end */
    calo_buffer *output;    /* the caller's memory for the images, or NULL */
};

/* ---- flow.c ----------------------------------------------------------------------------------------------------- */

/* Request, stages, canvas, arena: nothing runs. */
calo_status calo_flow_open(calo_job *job, calo_model *model, const calo_request *request);
void calo_flow_close(calo_job *job);

/* The three acts. All of them also run without a device, which finds how much memory they take. */
void calo_flow_begin(calo_job *job);
void calo_flow_step(calo_job *job);
void calo_flow_end(calo_job *job, calo_image **images); /* images may be NULL */

/* Calls of the denoiser in stages before number `stages`, of one picture; that are left, of all. */
int calo_flow_calls(const calo_job *job, int stages);
int calo_flow_left(const calo_job *job);

/* Takes a job that has made no step to call number `calls` of `frame` in `stage`, without running one; calls −1: the
 * frame's loop has not begun. Then latents, registers and generators may be put in place. */
void calo_flow_seek(calo_job *job, int stage, int frame, int calls);

/* ---- memory.c --------------------------------------------------------------------------------------------------- */

/* Plans, and decides from the plan whether parts take turns, and whether the VAE works in tiles. With a ledger the plan's
 * ops are booked. CALO_EMEMORY when even that is too much. */
calo_status calo_memory_decide(calo_job *job, calo_ledger *ledger);
/* Makes room, and takes it. */
calo_status calo_memory_take(calo_job *job);
/* The parts of stage `number`'s model are to be on the device now; where parts take turns, no others. */
void calo_memory_turn(calo_job *job, int number, unsigned parts);
/* Weights on the device at the job's fullest. */
uint64_t calo_memory_weights(const calo_job *job, bool takes_turns);

#endif
