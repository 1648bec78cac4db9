/* A run's books as the public header hands them out. */
#ifndef CALO_REPORT_H
#define CALO_REPORT_H

#include "../kernels/ledger.h"
#include "model.h"

/* The bytes are those of the run at its fullest. */
calo_status calo_report_make(const calo_ledger *ledger, uint64_t weight_bytes, uint64_t activation_bytes, bool takes_turns,
                             const calo_device_info *info, calo_report **report, calo_fault *fault);

#endif
