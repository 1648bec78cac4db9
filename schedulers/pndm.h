/* The scheduler pndm. */
#ifndef CALO_PNDM_H
#define CALO_PNDM_H

#include "scheduler.h"

void calo_pndm_defaults(calo_schedule_config *config);
void calo_pndm_plain(calo_schedule_config *config);
calo_status calo_pndm_compile(const calo_schedule_config *config, int steps, calo_program *program, calo_fault *fault);

#endif
