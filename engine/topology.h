/* The shape of a machine that does not tell it. */
#ifndef CALO_TOPOLOGY_H
#define CALO_TOPOLOGY_H

/* PoCL asks hwloc for processors and memory, hwloc asks /sys; in a chroot or a sandbox without /sys PoCL then ends the
 * process. Where, and only where, /sys is missing, this tells hwloc what the system calls know, by the variable that
 * hwloc has for it (HWLOC_SYNTHETIC), unless the user set one. Call it before OpenCL is loaded. */
void calo_topology_provide(void);

#endif
