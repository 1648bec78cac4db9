/* The one loop: a scheduler's program, a denoiser, and the latents between them, all on the device. */
#ifndef CALO_DENOISE_H
#define CALO_DENOISE_H

#include "../engine/rng.h"
#include "../kernels/op.h"
#include "../schedulers/scheduler.h"

typedef struct calo_denoise {
    const calo_program *program;
    double guidance; /* > 1: `predict` sees the latents twice, unconditional half first, and is guided */

    /* Sees to all in which the program's call number `call` differs from the others. */
    void (*begin_step)(void *user, calo_run *run, int call);

    /* x [B or 2B, h, w, C], in the run's type → the prediction, same shape. The same launches in every step: where the
     * device can record them, it is called for the first two only. */
    calo_tensor (*predict)(void *user, calo_run *run, calo_tensor x);

    /* After every step: how many are done, in how many seconds. Non-zero stops with CALO_ECANCELLED. */
    int (*on_step)(void *user, int done, double seconds);

    /* For --dump, or NULL: "latents" and "output", number, and the tensor on the device. */
    void (*on_tensor)(void *user, calo_run *run, const char *key, int number, calo_tensor t);

    void *user;
} calo_denoise;

/* Takes `latents` (f32 [B, h, w, C], the generator's unscaled draw) to the program's end and returns them. `rng` goes
 * on from that draw and gives what noise the steps ask for. */
calo_tensor calo_denoise_run(calo_run *run, const calo_denoise *denoise, calo_tensor latents, calo_rng *rng);

/* Waits for t, and fails with CALO_ENONFINITE, naming `what`, when it holds a NaN or an infinity. */
void calo_expect_finite(calo_run *run, calo_tensor t, const char *what);

/* Draws f32 normals for t in torch's order (channels first) into channels-last memory. */
void calo_draw_latents(calo_run *run, calo_rng *rng, calo_tensor t);

#endif
