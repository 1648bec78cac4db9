/* A stand-in for /sys, in hwloc's synthetic notation: "numa:1(memory=BYTES) core:N pu:1" (hwloc manual, "Synthetic
   topologies"). */
#include "topology.h"
#include "shim.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void calo_topology_provide(void)
{
    char text[96];
    const long cores = sysconf(_SC_NPROCESSORS_ONLN), pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (cores < 1 || pages < 1 || page < 1 || calo_is_directory("/sys/devices/system/cpu"))
        return;
    snprintf(text, sizeof text, "numa:1(memory=%lld) core:%ld pu:1", (long long)pages * page, cores);
    setenv("HWLOC_SYNTHETIC", text, 0);
}
