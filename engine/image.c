/* Pictures. */
#include "image.h"
#include "png.h"
#include "shim.h"

#include <math.h>

calo_status calo_image_make(calo_context *context, int width, int height, const float *values, const char *parameters,
                            calo_image **image)
{
    const size_t count = (size_t)width * (size_t)height * 3;
    calo_image *made = calo_alloc(1, sizeof *made);
    *image = NULL;
    if (made) {
        made->pixels = calo_alloc(count, 1);
        made->parameters = calo_copy_string(parameters);
    }
    if (!made || !made->pixels || !made->parameters) {
        calo_free_image(&made);
        return calo_fail(&context->fault, CALO_EMEMORY, "no host memory for a picture of %d × %d", width, height);
    }
    made->context = context;
    made->width = width;
    made->height = height;
    for (size_t i = 0; i < count; i++)
        made->pixels[i] = (uint8_t)lrintf(values[i] * 255.0f);
    *image = made;
    return CALO_OK;
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
    return calo_png_write(path, image->pixels, image->width, image->height, &text, 1, &image->context->fault);
}

void calo_free_image(calo_image **image)
{
    if (!image || !*image)
        return;
    calo_free((*image)->pixels);
    calo_free((*image)->parameters);
    calo_free(*image);
    *image = NULL;
}
