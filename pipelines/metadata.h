/* The `parameters` text of a picture, as AUTOMATIC1111's web UI writes it. */
#ifndef CALO_METADATA_H
#define CALO_METADATA_H

#include "../engine/calotype.h"
#include "model.h"
#include "../schedulers/scheduler.h"

/* "prompt\nNegative prompt: …\nSteps: 20, Sampler: …, CFG scale: …, Seed: …, Size: …, Model hash: …, Model: …,
 * Version: …". Allocated; NULL when there is no memory. */
char *calo_parameters_text(const calo_request *request, const calo_model *model,
                           const calo_scheduler *scheduler, int width, int height, uint64_t seed);

#endif
