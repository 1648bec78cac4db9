/* Pictures. */
#include "image.h"
#include "png.h"
#include "shim.h"

#include <math.h>
#include <string.h>

/* An empty picture with room for its pixels and, where there is to be some, its opacity. */
static calo_status new_image(calo_context *context, int width, int height, bool alpha, const char *parameters,
                             calo_image **image)
{
    const size_t count = (size_t)width * (size_t)height;
    calo_image *made = calo_alloc(1, sizeof *made);
    *image = NULL;
    if (made) {
        made->pixels = calo_alloc(count, 3);
        made->alpha = alpha ? calo_alloc(count, 1) : NULL;
        made->parameters = calo_copy_string(parameters);
    }
    if (!made || !made->pixels || (alpha && !made->alpha) || !made->parameters) {
        calo_free_image(&made);
        return calo_fail(&context->fault, CALO_EMEMORY, "no host memory for a picture of %d × %d", width, height);
    }
    made->context = context;
    made->width = width;
    made->height = height;
    *image = made;
    return CALO_OK;
}

calo_status calo_image_make(calo_context *context, int width, int height, const float *values, const char *parameters,
                            calo_image **image)
{
    const size_t count = (size_t)width * (size_t)height * 3;
    calo_status status = new_image(context, width, height, false, parameters, image);
    for (size_t i = 0; !status && i < count; i++)
        (*image)->pixels[i] = (uint8_t)lrintf(values[i] * 255.0f);
    return status;
}

calo_status calo_image_copy(calo_context *context, const calo_image *image, calo_image **copy)
{
    const size_t count = (size_t)image->width * (size_t)image->height;
    calo_status status = new_image(context, image->width, image->height, image->alpha, image->parameters, copy);
    if (status)
        return status;
    memcpy((*copy)->pixels, image->pixels, count * 3);
    if (image->alpha)
        memcpy((*copy)->alpha, image->alpha, count);
    return CALO_OK;
}

/* From pixels [height, width, channels], 1, 3 or 4 of them; opacity is kept where some pixel is not opaque. */
static calo_status from_pixels(calo_context *context, int width, int height, int channels, const uint8_t *pixels,
                               const char *parameters, calo_image **image)
{
    const size_t count = (size_t)width * (size_t)height;
    bool opaque = true;
    for (size_t i = 0; channels == 4 && opaque && i < count; i++)
        opaque = pixels[4 * i + 3] == 255;
    calo_status status = new_image(context, width, height, !opaque, parameters, image);
    for (size_t i = 0; !status && i < count; i++) {
        const uint8_t *from = pixels + i * (size_t)channels;
        for (int c = 0; c < 3; c++)
            (*image)->pixels[3 * i + (size_t)c] = from[channels == 1 ? 0 : c];
        if (!opaque)
            (*image)->alpha[i] = from[3];
    }
    return status;
}

calo_status calo_make_image(calo_context *context, int width, int height, int channels, const uint8_t *pixels,
                            calo_image **image)
{
    if (image)
        *image = NULL;
    if (!context)
        return CALO_EUSAGE;
    calo_fault_clear(&context->fault);
    if (!pixels || !image)
        return calo_fail(&context->fault, CALO_EUSAGE, "calo_make_image: pixels and image are needed");
    if (channels != 1 && channels != 3 && channels != 4)
        return calo_fail(&context->fault, CALO_EUSAGE, "calo_make_image: %d channels; 1, 3 and 4 are known", channels);
    if (width < 1 || height < 1 || width > CALO_SIDE_LIMIT || height > CALO_SIDE_LIMIT)
        return calo_fail(&context->fault, CALO_EUSAGE, "calo_make_image: %d × %d pixels; a side is 1 … %d", width,
                         height, CALO_SIDE_LIMIT);
    return from_pixels(context, width, height, channels, pixels, "", image);
}

calo_status calo_load_image(calo_context *context, const char *path, calo_image **image)
{
    if (image)
        *image = NULL;
    if (!context)
        return CALO_EUSAGE;
    calo_fault *fault = &context->fault;
    calo_fault_clear(fault);
    if (!path || !image)
        return calo_fail(fault, CALO_EUSAGE, "calo_load_image: a path and image are needed");
    char *bytes, *parameters = NULL;
    size_t size;
    calo_raster raster;
    calo_status status = calo_picture_bytes(path, &bytes, &size, fault);
    if (status)
        return status;
    const uint8_t *file = (const uint8_t *)bytes;
    status = calo_picture_decode(file, size, path, &raster, fault);
    if (!status && calo_png_is(file, size))
        status = calo_png_find_text(file, size, path, "parameters", &parameters, fault);
    calo_free(bytes);
    if (!status)
        status = from_pixels(context, raster.width, raster.height, raster.channels, raster.pixels,
                             parameters ? parameters : "", image);
    calo_free(parameters);
    calo_free(raster.pixels);
    return status;
}

int calo_image_width(const calo_image *image)
{
    return image ? image->width : 0;
}

int calo_image_height(const calo_image *image)
{
    return image ? image->height : 0;
}

const uint8_t *calo_image_pixels(const calo_image *image)
{
    return image ? image->pixels : NULL;
}

const uint8_t *calo_image_alpha(const calo_image *image)
{
    return image ? image->alpha : NULL;
}

const char *calo_image_parameters(const calo_image *image)
{
    return image ? image->parameters : "";
}

calo_status calo_save_png(const calo_image *image, const char *path)
{
    if (!image || !path)
        return CALO_EUSAGE;
    calo_fault_clear(&image->context->fault);
    const calo_png_text text = { "parameters", image->parameters };
    return calo_png_write(path, image->pixels, image->alpha, image->width, image->height, &text, 1,
                          &image->context->fault);
}

void calo_free_image(calo_image **image)
{
    if (!image || !*image)
        return;
    calo_free((*image)->pixels);
    calo_free((*image)->alpha);
    calo_free((*image)->parameters);
    calo_free(*image);
    *image = NULL;
}
