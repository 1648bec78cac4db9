/* Schedulers of models that are preconditioned as in Karras et al. 2022: EDMEulerScheduler, EDMDPMSolverMultistepScheduler. */
#ifndef CALO_EDM_H
#define CALO_EDM_H

#include "scheduler.h"

void calo_edm_defaults(calo_schedule_config *config);
calo_status calo_edm_euler_compile(const calo_schedule_config *config, int steps, calo_program *program,
                                   calo_fault *fault);
calo_status calo_edm_solver_compile(const calo_schedule_config *config, int steps, calo_program *program,
                                    calo_fault *fault);

#endif
