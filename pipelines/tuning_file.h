/* Measured choices on disk: one small JSON file for each device, driver and number of compute units.

       { "calotype_tuning": 1, "variants": "<hash>", "device": "…", "driver": "…", "compute_units": 132,
         "peak_flops": [before, after], "peak_bandwidth": [before, after],
         "choices": [ { "call": "linear f16:2x4096x320 …", "variant": "mma", "tunables": { "TILE_M": 128, … },
                        "seconds": 2.1e-5, "standard_s": 2.4e-5 }, … ] }

   `variants` is a hash of the ops' tables of variants and tunables: after a change to them a file says nothing any
   more. All of a file is believed, or none. */
#ifndef CALO_TUNING_FILE_H
#define CALO_TUNING_FILE_H

#include "../engine/context.h"
#include "../kernels/tuning.h"

/* What the device's peaks were found to be before and after the measurements. */
typedef struct calo_peaks {
    double flops[2], bandwidth[2];
} calo_peaks;

/* $XDG_CACHE_HOME/calotype/tuning/<hash of the device>.json or ~/.cache/…; "" where there is neither. */
void calo_tuning_path(const calo_device_info *info, char *path, size_t size);

/* Fills *tuning, which is empty. CALO_EFILE when the file is missing, damaged, of another device, or of other tables of
 * variants; *tuning is then still empty. */
calo_status calo_tuning_read(const char *path, const calo_device_info *info, calo_tuning *tuning, calo_fault *fault);

/* Before long measurements: CALO_EFILE when the file could not be written. */
calo_status calo_tuning_expect(const char *path, calo_fault *fault);

/* The file appears whole or not at all, with the folders above it. */
calo_status calo_tuning_write(const char *path, const calo_device_info *info, const calo_tuning *tuning,
                              const calo_peaks *peaks, calo_fault *fault);

/* The device is to choose by the file of its context. A file that says nothing is told to on_log. */
calo_status calo_tuning_open(calo_context *context, calo_fault *fault);

#endif
