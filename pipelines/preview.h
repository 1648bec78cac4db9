/* Previews: latents to colours by a linear map, fitted on the model's own VAE, which shows a picture at the size of its
   latents without decoding it. */
#ifndef CALO_PREVIEW_H
#define CALO_PREVIEW_H

#include "job.h"

/* Decodes patches of constant random latents, whole, and fits the map of colours by least squares; the model keeps it.
 * Needs the VAE. */
void calo_preview_fit(calo_run *run, calo_model *model);

/* A picture [h, w] of what the job's present frame will be: of what the last call took the clean latents for. Fits the map
 * first where no job has. */
calo_status calo_preview_make(calo_job *job, calo_image **image);

#endif
