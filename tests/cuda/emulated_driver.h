/* A GPU that is not there, the host's side: calo_cuda_load and calo_nvrtc_load give these tables while it is switched on
   (the linker's --wrap). NVRTC is the C++ compiler, a cubin is a shared library, device memory is host memory between
   guard bands, work is done when it is launched. */
#ifndef EMULATED_DRIVER_H
#define EMULATED_DRIVER_H

#include "../../engine/cuda_api.h"

/* One device of this capability (90: sm_90), or none again: 0. */
void emulate(int capability);

/* Of all calls of both tables so far; the nth from now on that gives `code` instead of being done (0: none); and the
 * driver's objects that were made and not released: contexts, modules, memory, streams, events, graphs, programs. */
long emulated_calls(void);
void emulated_fail(long nth, cu_result code);
long emulated_objects(void);

/* How much memory the device has (8 GiB at first); kernels launched, and bytes read back so far. */
void emulated_memory(size_t bytes);
long emulated_launches(void);
long emulated_copies_out(void);

/* What the last faulty kernel did, "" when none was. */
const char *emulated_report(void);

#endif
