/* Canvas: extend, fit, blur, crop; and back. */
#include "canvas.h"

/* The mask at the picture's own size: given, or where the picture is transparent, or nothing yet. */
static calo_status read_mask(const calo_request *r, calo_picture *mask, calo_fault *fault)
{
    const int width = calo_image_width(r->init), height = calo_image_height(r->init);
    if (r->mask && (calo_image_width(r->mask) != width || calo_image_height(r->mask) != height))
        return calo_fail(fault, CALO_EUSAGE, "the mask is %d × %d, the picture %d × %d; they must agree",
                         calo_image_width(r->mask), calo_image_height(r->mask), width, height);
    if (r->mask)
        return calo_picture_grey_from_image(r->mask, mask, fault);
    if (calo_image_alpha(r->init))
        return calo_picture_from_opacity(r->init, mask, fault);
    return calo_picture_make(width, height, 1, mask, fault);
}

/* *picture ← itself with borders of `value` (−1: its own edges), of the request's size where all of it is worked on. */
static calo_status place(const calo_request *r, int value, const char *option, calo_picture *picture, calo_fault *fault)
{
    calo_picture wide = { 0 };
    calo_status status = calo_picture_extend(picture, r->extend, value, &wide, fault);
    calo_picture_free(picture);
    if (!status && r->mask_padding >= 0)
        status = calo_picture_copy(&wide, picture, fault);
    else if (!status)
        status = calo_picture_fit(&wide, r->fit, r->width, r->height, option, picture, fault);
    calo_picture_free(&wide);
    return status;
}

/* What is worked on, at width × height. */
static calo_status cut(const calo_canvas *c, const calo_request *r, const calo_picture *from, const char *option,
                       calo_picture *to, calo_fault *fault)
{
    calo_picture part = { 0 };
    if (!c->is_part)
        return calo_picture_copy(from, to, fault);
    calo_status status = calo_picture_crop(from, c->region, &part, fault);
    if (!status)
        status = calo_picture_fit(&part, CALO_FIT_PAD, r->width, r->height, option, to, fault);
    calo_picture_free(&part);
    return status;
}

/* From the grey mask and its binary form. Where a mask is ≥ ½ it repaints; a blur spreads that edge. The denoiser's mask
 * and the part that is worked on come from the grey one, as in diffusers. */
static calo_status open_mask(calo_canvas *c, const calo_request *r, calo_picture *grey, calo_fault *fault)
{
    if (calo_mask_blur(&c->soft, r->mask_blur, fault) || calo_mask_blur(grey, r->mask_blur, fault))
        return fault->status;
    if (c->is_part && calo_mask_region(grey, r->width, r->height, r->mask_padding, &c->region, fault))
        return fault->status;
    if (cut(c, r, &c->base, "--init", &c->work, fault) || cut(c, r, grey, "--mask", &c->mask, fault))
        return fault->status;
    calo_mask_binarise(&c->mask);
    if (calo_mask_area(&c->mask) == 0)
        return calo_fail(fault, CALO_EUSAGE, "the mask repaints nothing: no pixel of it is white (≥ ½)%s",
                         r->mask_blur > 0 ? " once it is blurred" : "");
    return CALO_OK;
}

calo_status calo_canvas_open(calo_canvas *c, const calo_request *r, calo_fault *fault)
{
    *c = (calo_canvas){ .is_part = r->inpaint && r->mask_padding >= 0 };
    if (calo_picture_from_image(r->init, &c->base, fault) || place(r, -1, "--init", &c->base, fault))
        return fault->status;
    if (!r->inpaint)
        return calo_picture_copy(&c->base, &c->work, fault);
    calo_picture grey = { 0 };
    if (!read_mask(r, &c->soft, fault) && !place(r, 255, "--mask", &c->soft, fault))
        calo_picture_copy(&c->soft, &grey, fault);
    if (!fault->status) {
        calo_mask_binarise(&c->soft);
        open_mask(c, r, &grey, fault);
    }
    calo_picture_free(&grey);
    return fault->status;
}

void calo_canvas_close(calo_canvas *c)
{
    calo_picture_free(&c->base);
    calo_picture_free(&c->soft);
    calo_picture_free(&c->work);
    calo_picture_free(&c->mask);
}

calo_status calo_canvas_finish(const calo_canvas *c, calo_context *context, calo_image **image, calo_fault *fault)
{
    calo_picture made = { 0 }, laid = { 0 };
    calo_image *whole = NULL;
    if (!c->soft.pixels)
        return CALO_OK;
    calo_status status = calo_picture_from_image(*image, &made, fault);
    if (!status)
        status = calo_picture_overlay(&c->soft, &c->base, &made, c->is_part ? &c->region : NULL, &laid, fault);
    if (!status)
        status = calo_picture_to_image(context, &laid, calo_image_parameters(*image), &whole);
    if (!status) {
        calo_free_image(image);
        *image = whole;
    }
    calo_picture_free(&made);
    calo_picture_free(&laid);
    return status;
}
