/* What a part is, from the names and shapes of its tensors alone. Each function is given a source whose files are open;
   it finds the naming and the prefix, fills the part's configuration, and explains itself in the checkpoint's reason.
   False: the source holds no such part. An error in `fault` names the tensor that is not as it should be.

   Shapes do not say how many heads and norm groups there are. As every tool does, these take 32 groups; heads that are 64
   wide where the projections around a transformer are linears (Stable Diffusion 2 and XL), 8 heads where they are
   convolutions (1); and text encoders' heads of 64. A width that these do not divide is an error. */
#ifndef CALO_DETECT_H
#define CALO_DETECT_H

#include "checkpoint.h"

bool calo_detect_unet(calo_checkpoint *checkpoint, calo_fault *fault);
bool calo_detect_vae(calo_checkpoint *checkpoint, calo_fault *fault);
/* `part` is CALO_TEXT or CALO_TEXT_2. Prefixes tell them apart in a single file; alone = any prefix will do. */
bool calo_detect_clip(calo_checkpoint *checkpoint, calo_part part, bool alone, calo_fault *fault);

#endif
