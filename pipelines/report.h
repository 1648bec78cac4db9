/* A run's books as the public header hands them out. */
#ifndef CALO_REPORT_H
#define CALO_REPORT_H

#include "../kernels/ledger.h"
#include "model.h"

calo_status calo_report_make(const calo_ledger *ledger, const calo_model *model, uint64_t activation_bytes,
                             const calo_device_info *info, calo_report **report, calo_fault *fault);

#endif
