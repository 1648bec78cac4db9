/* The schedulers unipc and unipc_karras. */
#ifndef CALO_UNIPC_H
#define CALO_UNIPC_H

#include "scheduler.h"

void calo_unipc_defaults(calo_schedule_config *config);
void calo_unipc_plain(calo_schedule_config *config);
void calo_unipc_karras(calo_schedule_config *config);
calo_status calo_unipc_compile(const calo_schedule_config *config, int steps, calo_program *program, calo_fault *fault);

#endif
