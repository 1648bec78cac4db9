/* Measures what a device can do, for rooflines: every figure of a benchmark is read against these. */
#ifndef CALO_PROBE_H
#define CALO_PROBE_H

#include "../../engine/device.h"

/* Fills info.peak_flops (independent f32 multiply-adds, two operations each) and info.peak_bandwidth (bytes read plus
 * bytes written by a copy), each the best of a few rounds. About half a second. */
calo_status calo_device_probe(calo_device *device, calo_fault *fault);

#endif
