/* Requests: what may be asked for. */
#include "request.h"
#include "../engine/image.h"
#include "../engine/png.h"
#include "../engine/shim.h"
#include "../schedulers/scheduler.h"
#include "conditions.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { COUNT_LIMIT = 1000 };

int calo_request_scale(const calo_model *model)
{
    return 1 << (model->checkpoint.vae.levels - 1);
}

/* ---- copying ---------------------------------------------------------------------------------------------------- */

static void copy_text(const char **field, calo_fault *fault)
{
    if (!*field)
        return;
    *field = calo_copy_string(*field);
    if (!*field)
        calo_fail(fault, CALO_EMEMORY, "no host memory for a request");
}

static void copy_image(calo_context *context, const calo_image **field)
{
    calo_image *copy = NULL;
    if (*field)
        calo_image_copy(context, *field, &copy);
    *field = copy;
}

static void copy_regions(calo_request *r, calo_fault *fault)
{
    const calo_region *from = r->regions;
    calo_region *to = calo_alloc((size_t)r->region_count, sizeof *to);
    r->regions = to;
    if (!to) {
        calo_fail(fault, CALO_EMEMORY, "no host memory for a request");
        r->region_count = 0;
        return;
    }
    for (int i = 0; i < r->region_count; i++) {
        to[i] = from[i];
        copy_text(&to[i].prompt, fault);
        copy_text(&to[i].negative, fault);
    }
}

void calo_request_free(calo_request *r)
{
    for (int i = 0; i < r->region_count; i++) {
        calo_free((char *)r->regions[i].prompt);
        calo_free((char *)r->regions[i].negative);
    }
    calo_free((calo_region *)r->regions);
    const char *const texts[] = { r->prompt, r->negative, r->prompt_2, r->negative_2, r->scheduler, r->spacing, r->dump };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        calo_free((char *)texts[i]);
    calo_image *images[] = { (calo_image *)r->init, (calo_image *)r->mask };
    calo_free_image(&images[0]);
    calo_free_image(&images[1]);
    *r = (calo_request){ 0 };
}

/* ---- checking --------------------------------------------------------------------------------------------------- */

typedef struct range {
    const char *name;
    double value, least, most;
} range;

static calo_status check_ranges(const calo_request *r, calo_fault *fault)
{
    const range ranges[] = {
        { "guidance", r->guidance, -1e6, 1e6 },
        { "guidance-rescale", r->guidance_rescale, 0, 1 },
        { "guidance-start", r->guidance_start, 0, 1 },
        { "guidance-end", r->guidance_end, 0, 1 },
        { "negative-scale", r->negative_scale, -100, 100 },
        { "variation-strength", r->variation_strength, 0, 1 },
        { "mask-blur", r->mask_blur, 0, 512 },
        { "hires", r->hires, 0, 16 },
        { "hires-strength", r->hires_strength, 0, 1 },
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (!(ranges[i].value >= ranges[i].least && ranges[i].value <= ranges[i].most))
            return calo_fail(fault, CALO_EUSAGE, "%s must be a number from %g to %g, not %g", ranges[i].name,
                             ranges[i].least, ranges[i].most, ranges[i].value);
    if (r->steps < 1 || r->steps > CALO_MAX_STEPS)
        return calo_fail(fault, CALO_EUSAGE, "steps must be 1 … %d, not %d", CALO_MAX_STEPS, r->steps);
    if (r->count < 1 || r->count > COUNT_LIMIT)
        return calo_fail(fault, CALO_EUSAGE, "count must be 1 … %d, not %d", COUNT_LIMIT, r->count);
    if (r->mask_padding > CALO_SIDE_LIMIT)
        return calo_fail(fault, CALO_EUSAGE, "mask-padding must be at most %d, not %d", CALO_SIDE_LIMIT, r->mask_padding);
    if (r->preview_every < 0)
        return calo_fail(fault, CALO_EUSAGE, "preview-every must be 0 or more, not %d", r->preview_every);
    const uint64_t last = r->variation_strength > 0 ? r->variation_seed : r->seed;
    if (UINT64_MAX - last < (uint64_t)r->count - 1)
        return calo_fail(fault, CALO_EUSAGE, "seed %" PRIu64 " and %d images pass 2^64 − 1", last, r->count);
    if (r->prompt_style > CALO_PROMPT_COMFY || r->fit > CALO_FIT_STRETCH || r->fill > CALO_FILL_BLANK ||
        r->random > CALO_RANDOM_PHILOX)
        return calo_fail(fault, CALO_EUSAGE, "the request's prompt_style, fit, fill or random is none of its values");
    return CALO_OK;
}

static calo_status check_regions(const calo_request *r, calo_fault *fault)
{
    for (int i = 0; i < r->region_count; i++) {
        const calo_region *region = &r->regions[i];
        if (!region->prompt)
            return calo_fail(fault, CALO_EUSAGE, "region %d has no prompt", i + 1);
        if (!(region->strength >= 0 && region->strength <= 1))
            return calo_fail(fault, CALO_EUSAGE, "region %d: strength must be a number from 0 to 1, not %g", i + 1,
                             region->strength);
        if (region->width < 1 || region->height < 1 || region->x < 0 || region->y < 0 || region->x > r->width - region->width ||
            region->y > r->height - region->height)
            return calo_fail(fault, CALO_EUSAGE, "region %d, %d,%d,%d,%d, does not lie in the picture of %d × %d", i + 1,
                             region->x, region->y, region->width, region->height, r->width, r->height);
    }
    return CALO_OK;
}

static calo_status check_tile(const calo_request *r, int scale, calo_fault *fault)
{
    const int unit = 4 * scale > 32 ? 4 * scale : 32;
    if (r->tile && (r->tile < 64 || r->tile > CALO_SIDE_LIMIT || r->tile % unit))
        return calo_fail(fault, CALO_EUSAGE, "tile must be a multiple of %d from 64 on, not %d", unit, r->tile);
    return CALO_OK;
}

/* What goes with pictures, and what does not. */
static calo_status check_pictures(const calo_request *r, const calo_model *model, calo_fault *fault)
{
    const int *e = r->extend;
    const bool extends = e[0] || e[1] || e[2] || e[3];
    for (int i = 0; i < 4; i++)
        if (e[i] < 0 || e[i] > CALO_SIDE_LIMIT || e[i] % 8)
            return calo_fail(fault, CALO_EUSAGE, "extend takes multiples of 8 up to %d, not %d", CALO_SIDE_LIMIT, e[i]);
    if (!r->init && (r->mask || r->inpaint || extends))
        return calo_fail(fault, CALO_EUSAGE, "a mask needs a picture (init) to repaint");
    if (!r->inpaint && (r->mask || extends || r->mask_padding >= 0 || r->mask_blur > 0 || r->fill != CALO_FILL_ORIGINAL))
        return calo_fail(fault, CALO_EUSAGE, "mask, mask-blur, mask-padding, fill and extend belong to inpainting");
    if (r->inpaint && !r->mask && !extends && !calo_image_alpha(r->init))
        return calo_fail(fault, CALO_EUSAGE, "inpainting needs a mask, a picture with transparent parts, or borders to extend");
    if (r->init && !(r->strength > 0 && r->strength <= 1))
        return calo_fail(fault, CALO_EUSAGE, "strength must be above 0 and at most 1, not %g", r->strength);
    if (r->init && r->hires > 1)
        return calo_fail(fault, CALO_EUSAGE, "hires makes a second pass of a prompt's picture; it does not go with init");
    if (r->hires > 1 && r->refiner)
        return calo_fail(fault, CALO_EUSAGE, "hires and a refiner exclude each other");
    if (r->hires > 1 && !(r->hires_strength > 0))
        return calo_fail(fault, CALO_EUSAGE, "hires-strength must be above 0, not %g", r->hires_strength);
    if (r->init && !r->inpaint && model->checkpoint.unet.in_channels != model->checkpoint.vae.latent_channels)
        return calo_fail(fault, CALO_EUSAGE, "%s is an inpainting model: image to image needs a mask with it",
                         model->checkpoint.path);
    if (r->init && model->checkpoint.vae.in_channels != 3)
        return calo_fail(fault, CALO_EUSAGE, "%s: its VAE takes %d channels, pictures have 3", model->checkpoint.path,
                         model->checkpoint.vae.in_channels);
    return CALO_OK;
}

/* The size of the picture that the denoiser works on. */
static calo_status find_size(calo_request *r, const calo_model *model, calo_fault *fault)
{
    const int scale = calo_request_scale(model), own = model->checkpoint.unet.sample_size * scale;
    const int unit = scale > 8 ? scale : 8, *e = r->extend;
    const bool part = r->init && r->mask_padding >= 0;
    const int width = r->init && !part ? calo_image_width(r->init) + e[0] + e[2] : own;
    const int height = r->init && !part ? calo_image_height(r->init) + e[1] + e[3] : own;
    const bool open = !r->width && !r->height;
    r->width = r->width ? r->width : width;
    r->height = r->height ? r->height : height;
    if (r->init && !part && open && (width % unit || height % unit) && width <= CALO_SIDE_LIMIT && height <= CALO_SIDE_LIMIT)
        return calo_fail(fault, CALO_EUSAGE, "the picture's %d × %d are no multiples of %d: say a width, a height and a fit "
                         "(crop, pad or stretch)", width, height, unit);
    if (r->width < unit || r->height < unit || r->width > CALO_SIDE_LIMIT || r->height > CALO_SIDE_LIMIT || r->width % unit ||
        r->height % unit)
        return calo_fail(fault, CALO_EUSAGE, "width and height must be multiples of %d up to %d, not %d × %d", unit,
                         CALO_SIDE_LIMIT, r->width, r->height);
    if (r->init && !part && (r->width != width || r->height != height) && r->fit == CALO_FIT_NONE)
        return calo_fail(fault, CALO_EUSAGE, "the picture is %d × %d, asked for are %d × %d: say a fit (crop, pad or stretch)",
                         width, height, r->width, r->height);
    if (r->hires > 1 && (r->width * r->hires > CALO_SIDE_LIMIT || r->height * r->hires > CALO_SIDE_LIMIT))
        return calo_fail(fault, CALO_EUSAGE, "hires %g makes %d × %d larger than %d", r->hires, r->width, r->height,
                         CALO_SIDE_LIMIT);
    return CALO_OK;
}

calo_status calo_request_take(calo_request *copy, const calo_request *request, const calo_model *model, calo_fault *fault)
{
    *copy = (calo_request){ 0 };
    if (request->size != sizeof *request)
        return calo_fail(fault, CALO_EUSAGE, "the request's size is %zu, this library expects %zu; use CALO_REQUEST_INIT",
                         request->size, sizeof *request);
    if (request->region_count < 0 || request->region_count > CALO_MAX_REGIONS || (request->region_count && !request->regions))
        return calo_fail(fault, CALO_EUSAGE, "there may be 0 … %d regions, not %d", CALO_MAX_REGIONS, request->region_count);
    *copy = *request;
    const char **texts[] = { &copy->prompt, &copy->negative, &copy->prompt_2, &copy->negative_2, &copy->scheduler,
                             &copy->spacing, &copy->dump };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        copy_text(texts[i], fault);
    copy_image(model->context, &copy->init);
    copy_image(model->context, &copy->mask);
    copy_regions(copy, fault);
    if (copy->strength < 0)
        copy->strength = copy->inpaint ? 1 : 0.8;
    if (!fault->status && !check_ranges(copy, fault) && !check_tile(copy, calo_request_scale(model), fault) &&
        !check_pictures(copy, model, fault) && !find_size(copy, model, fault))
        check_regions(copy, fault);
    return fault->status;
}
