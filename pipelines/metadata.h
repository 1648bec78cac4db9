/* The `parameters` text of a picture, as AUTOMATIC1111's web UI writes it. */
#ifndef CALO_METADATA_H
#define CALO_METADATA_H

#include "../schedulers/scheduler.h"
#include "model.h"

/* "prompt\nNegative prompt: …\nSteps: 20, Sampler: …, CFG scale: …, Seed: …, Size: …, …, Version: calotype …": all of the
 * request and of how the model was loaded that shapes the picture, so that `calotype again` makes the same one. `width`
 * and `height` are those of the first pass. Allocated; NULL when there is no memory. */
char *calo_parameters_text(const calo_request *request, const calo_model *model, const calo_scheduler *scheduler, int width,
                           int height, uint64_t seed);

#endif
