/* What a single file is, from the names and shapes of its tensors alone. */
#ifndef CALO_DETECT_H
#define CALO_DETECT_H

#include "checkpoint.h"

/* Fills the configurations and `reason` of a checkpoint whose file is open. Shapes do not say how many heads and norm
 * groups there are: SD1's 8 and 32 are taken, as every tool does. CALO_EFILE names the tensor when the file is of a
 * family that is not supported, or holds no model at all. */
calo_status calo_detect(calo_checkpoint *checkpoint, calo_fault *fault);

#endif
