/* cuBLASLt and cuDNN of the emulated device: calo_blas_load and calo_dnn_load give these while a device is emulated. */
#ifndef EMULATED_VENDOR_H
#define EMULATED_VENDOR_H

#include <stdbool.h>

void emulated_vendor_enable(bool on);

#endif
