/* Euler's method down to σ_down, then noise back up to σ' (k-diffusion's sample_euler_ancestral):

       σ_up² = σ'² (σ² − σ'²)/σ²,  σ_down² = σ'² − σ_up²,  X' = X + (σ_down − σ) · dx/dσ + σ_up · Z

   Noise is drawn at every step, the last one too, where σ_up is 0. Meaning as in diffusers'
   EulerAncestralDiscreteScheduler. */
#include "schedule.h"

#include <math.h>

static void fill_step(calo_prediction prediction, double from, double to, calo_step *step)
{
    const double up = sqrt(to * to * (from * from - to * to) / (from * from));
    const double rest = to * to - up * up, down = sqrt(rest < 0 ? 0 : rest);
    const double squares = from * from + 1;
    double *row = calo_step_row(step, CALO_REGISTER_X);
    row[CALO_REGISTER_X] = 1;
    if (prediction == CALO_PREDICT_V) {
        row[CALO_REGISTER_X] += (down - from) * from / squares;
        row[CALO_REGISTER_E] = (down - from) / sqrt(squares);
    } else {
        row[CALO_REGISTER_E] = down - from;
    }
    row[CALO_REGISTER_Z] = up;
    step->draws_noise = true;
    step->input_scale = 1 / sqrt(squares);
    step->sigma = from;
    step->image_scale = 1;
    step->noise_scale = from;
}

static calo_status compile(calo_schedule *schedule, calo_program **program)
{
    calo_ladder ladder;
    calo_status status = calo_ladder_make(schedule, CALO_LADDER_EULER_ANCESTRAL, &ladder);
    if (status)
        return status;
    status = calo_program_make(schedule, ladder.count, true, program);
    double max = 0;
    for (int i = 0; i < ladder.count && !status; i++) {
        fill_step(schedule->prediction, ladder.sigmas[i], ladder.sigmas[i + 1], &(*program)->steps[i]);
        (*program)->steps[i].timestep = ladder.timesteps[i];
        max = fmax(max, ladder.sigmas[i]);
    }
    if (!status)
        (*program)->initial_noise_scale = schedule->spacing == CALO_LEADING ? sqrt(max * max + 1) : max;
    calo_ladder_free(&ladder);
    return status ? status : calo_program_finish(schedule, program);
}

const calo_scheduler_class calo_class_euler_ancestral = {
    .name = "EulerAncestralDiscreteScheduler",
    .spacing = CALO_LINSPACE,
    .reads_zero_snr = true,
    .last_alpha_bar = 0x1p-24,
    .compile = compile,
};
