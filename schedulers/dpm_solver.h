/* The schedulers dpmpp_2m and dpmpp_2m_karras. */
#ifndef CALO_DPM_SOLVER_H
#define CALO_DPM_SOLVER_H

#include "scheduler.h"

void calo_dpm_solver_defaults(calo_schedule_config *config);
void calo_dpm_solver_plain(calo_schedule_config *config);
void calo_dpm_solver_karras(calo_schedule_config *config);
calo_status calo_dpm_solver_compile(const calo_schedule_config *config, int steps, calo_program *program,
                                    calo_fault *fault);

#endif
