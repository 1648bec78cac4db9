/* The scheduler ddpm. */
#ifndef CALO_DDPM_H
#define CALO_DDPM_H

#include "scheduler.h"

void calo_ddpm_defaults(calo_schedule_config *config);
calo_status calo_ddpm_compile(const calo_schedule_config *config, int steps, calo_program *program, calo_fault *fault);

#endif
