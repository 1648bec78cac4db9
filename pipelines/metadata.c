/* The `parameters` text. */
#include "metadata.h"
#include "../engine/shim.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

char *calo_parameters_text(const calo_request *request, const calo_model *model,
                           const calo_scheduler *scheduler, int width, int height, uint64_t seed)
{
    const calo_checkpoint *checkpoint = &model->checkpoint;
    const char *prompt = request->prompt ? request->prompt : "", *negative = request->negative;
    const size_t size = strlen(prompt) + (negative ? strlen(negative) : 0) + strlen(checkpoint->name) + 512;
    char *text = calo_alloc(size, 1);
    if (!text)
        return NULL;
    size_t used = (size_t)snprintf(text, size, "%s\n", prompt);
    if (negative && *negative)
        used += (size_t)snprintf(text + used, size - used, "Negative prompt: %s\n", negative);
    used += (size_t)snprintf(text + used, size - used,
                             "Steps: %d, Sampler: %s, CFG scale: %.10g, Seed: %" PRIu64 ", Size: %dx%d", request->steps,
                             scheduler->label, request->guidance, seed, width, height);
    if (checkpoint->hash[0])
        used += (size_t)snprintf(text + used, size - used, ", Model hash: %s", checkpoint->hash);
    used += (size_t)snprintf(text + used, size - used, ", Model: %s", checkpoint->name);
    if (request->clip_skip)
        used += (size_t)snprintf(text + used, size - used, ", Clip skip: %d", request->clip_skip + 1);
    snprintf(text + used, size - used, ", Version: calotype %s", CALO_VERSION);
    return text;
}
