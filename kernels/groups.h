/* Work-groups of a fixed size. Kernels state theirs (reqd_work_group_size), which PoCL needs so as not to compile a
   kernel again for each size that it would choose itself, and other devices so that odd sizes do not make small groups.
 */
#ifndef CALO_GROUPS_H
#define CALO_GROUPS_H

#include "op.h"

/* Dimension 0 runs over `items` work-items in groups of `group`; the last group's surplus is the kernel's to leave. */
static inline void calo_groups(calo_launch *launch, int64_t items, int group)
{
    launch->global[0] = (size_t)(calo_ceil_div(items, group) * group);
    launch->local[0] = (size_t)group;
    launch->local[1] = launch->local[2] = 1;
}

/* What kernels of one number a work-item have in a group. */
static inline int calo_group_size(const calo_variant *variant)
{
    return variant->backend == CALO_CUDA ? 256 : 64;
}

/* Every work-item is a group of its own: kernels that need no neighbours, on CPUs. */
static inline void calo_alone(calo_launch *launch)
{
    launch->local[0] = launch->local[1] = launch->local[2] = 1;
}

/* Whether the result and the first inputs, where given, begin at multiples of 16 bytes. */
static inline bool calo_aligned(const calo_call *call, int inputs)
{
    bool aligned = call->out.offset % 16 == 0;
    for (int i = 0; i < inputs; i++)
        aligned = aligned && (!calo_present(call->in[i]) || call->in[i].offset % 16 == 0);
    return aligned;
}

#endif
