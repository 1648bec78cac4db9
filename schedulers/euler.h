/* The schedulers euler and euler_a. */
#ifndef CALO_EULER_H
#define CALO_EULER_H

#include "scheduler.h"

void calo_euler_defaults(calo_schedule_config *config);
calo_status calo_euler_compile(const calo_schedule_config *config, int steps, calo_program *program, calo_fault *fault);
calo_status calo_euler_ancestral_compile(const calo_schedule_config *config, int steps, calo_program *program,
                                         calo_fault *fault);

#endif
