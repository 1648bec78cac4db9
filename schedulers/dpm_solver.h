/* The schedulers dpmpp_2m and dpmpp_2m_karras. */
#ifndef CALO_DPM_SOLVER_H
#define CALO_DPM_SOLVER_H

#include "noise_schedule.h"

void calo_dpm_solver_defaults(calo_schedule_config *config);
void calo_dpm_solver_plain(calo_schedule_config *config);
void calo_dpm_solver_karras(calo_schedule_config *config);
calo_status calo_dpm_solver_compile(const calo_schedule_config *config, int steps, calo_program *program,
                                    calo_fault *fault);

/* Fills step `number` of `steps` from the points in time (steps + 1 of them) and what the denoiser's output means there,
 * as clean latents (++) or noise. */
void calo_dpm_solver_step(const calo_schedule_config *config, const calo_alpha_sigma *points, calo_pair output, int steps,
                          int number, calo_step *step);

#endif
