/* A request that a job can keep: checked, complete, and its own. */
#ifndef CALO_REQUEST_H
#define CALO_REQUEST_H

#include "model.h"

/* Copies what the request points to (pictures become the context's), and checks it against the model: ranges, names, what
 * excludes what. Sizes that are left open are filled in. Free the copy, whatever came of it. */
calo_status calo_request_take(calo_request *copy, const calo_request *request, const calo_model *model, calo_fault *fault);
void calo_request_free(calo_request *copy);

/* Pixels a latent. */
int calo_request_scale(const calo_model *model);

#endif
