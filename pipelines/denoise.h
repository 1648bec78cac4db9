/* The one loop: a scheduler's program, a denoiser, and the latents between them, all on the device. It goes step by step,
   so that a picture can be looked at, put aside and taken up again between any two. */
#ifndef CALO_DENOISE_H
#define CALO_DENOISE_H

#include "../engine/rng.h"
#include "../kernels/op.h"
#include "../schedulers/scheduler.h"

typedef struct calo_denoise {
    const calo_program *program;
    calo_generator *generator; /* gives what the steps draw */

    /* registers[E] ← the guided prediction for scale · registers[X], at the program's call number `call`. */
    void (*predict)(void *user, calo_run *run, const calo_tensor *registers, double scale, int call);

    /* After the rows of call `call`, or NULL: may change registers[X]. */
    void (*after)(void *user, calo_run *run, const calo_tensor *registers, int call);

    /* For --dump, or NULL: "latents", number, and the tensor on the device. */
    void (*on_tensor)(void *user, calo_run *run, const char *key, int number, calo_tensor t);

    void *user;

    /* the loop's own */
    calo_tensor registers[CALO_REGISTERS]; /* f32 [B, h, w, C]; those that the program uses */
    calo_tensor clean; /* f32: what the last call took the clean latents for */
    int done;          /* calls */
} calo_denoise;

/* Takes `latents` (f32 [B, h, w, C], as they are before the first call). */
void calo_denoise_begin(calo_run *run, calo_denoise *denoise, calo_tensor latents);
/* One call, unless all are done. Waits for it. */
void calo_denoise_step(calo_run *run, calo_denoise *denoise);
/* Gives the latents back and forgets the rest. */
calo_tensor calo_denoise_end(calo_run *run, calo_denoise *denoise);

/* Waits for t, and fails with CALO_ENONFINITE, naming `what`, when it holds a NaN or an infinity. */
void calo_expect_finite(calo_run *run, calo_tensor t, const char *what);

#endif
