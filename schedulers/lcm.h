/* LCMScheduler: latent consistency models. */
#ifndef CALO_LCM_H
#define CALO_LCM_H

#include "scheduler.h"

void calo_lcm_defaults(calo_schedule_config *config);
calo_status calo_lcm_compile(const calo_schedule_config *config, int steps, calo_program *program, calo_fault *fault);

#endif
