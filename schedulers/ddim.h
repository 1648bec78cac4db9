/* The scheduler ddim. */
#ifndef CALO_DDIM_H
#define CALO_DDIM_H

#include "scheduler.h"

void calo_ddim_defaults(calo_schedule_config *config);
calo_status calo_ddim_compile(const calo_schedule_config *config, int steps, calo_program *program, calo_fault *fault);

#endif
