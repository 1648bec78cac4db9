/* Working pictures: memory, and the way from and to images. */
#include "picture.h"
#include "png.h"
#include "shim.h"

#include <string.h>

calo_status calo_picture_make(int width, int height, int channels, calo_picture *to, calo_fault *fault)
{
    *to = (calo_picture){ 0 };
    if (width < 1 || height < 1 || width > CALO_SIDE_LIMIT || height > CALO_SIDE_LIMIT)
        return calo_fail(fault, CALO_EUSAGE, "a picture of %d × %d pixels; a side is 1 … %d", width, height,
                         CALO_SIDE_LIMIT);
    if (channels != 1 && channels != 3)
        return calo_fail(fault, CALO_EUSAGE, "a picture of %d channels; 1 and 3 are known", channels);
    to->pixels = calo_alloc((size_t)width * (size_t)height, (size_t)channels);
    if (!to->pixels)
        return calo_fail(fault, CALO_EMEMORY, "no host memory for a picture of %d × %d", width, height);
    to->width = width;
    to->height = height;
    to->channels = channels;
    return CALO_OK;
}

void calo_picture_free(calo_picture *picture)
{
    calo_free(picture->pixels);
    *picture = (calo_picture){ 0 };
}

calo_status calo_picture_copy(const calo_picture *from, calo_picture *to, calo_fault *fault)
{
    calo_status status = calo_picture_make(from->width, from->height, from->channels, to, fault);
    if (!status)
        memcpy(to->pixels, from->pixels, (size_t)from->width * (size_t)from->height * (size_t)from->channels);
    return status;
}

/* Rounds x / 255 for x in 0 … 255², exactly. */
static uint8_t divide_255(unsigned x)
{
    return (uint8_t)((x + 127) / 255);
}

calo_status calo_picture_from_image(const calo_image *image, calo_picture *to, calo_fault *fault)
{
    calo_status status = calo_picture_make(image->width, image->height, 3, to, fault);
    if (status)
        return status;
    const size_t count = (size_t)image->width * (size_t)image->height * 3;
    memcpy(to->pixels, image->pixels, count);
    for (size_t i = 0; image->alpha && i < count; i++) {
        const unsigned opacity = image->alpha[i / 3];
        to->pixels[i] = divide_255(image->pixels[i] * opacity + 255 * (255 - opacity));
    }
    return CALO_OK;
}

calo_status calo_picture_from_opacity(const calo_image *image, calo_picture *to, calo_fault *fault)
{
    calo_status status = calo_picture_make(image->width, image->height, 1, to, fault);
    const size_t count = (size_t)image->width * (size_t)image->height;
    for (size_t i = 0; !status && image->alpha && i < count; i++)
        to->pixels[i] = (uint8_t)(255 - image->alpha[i]);
    return status;
}

/* ITU-R 601-2 luma in 16 bits of fraction, as PIL has it. */
static void to_grey(const uint8_t *rgb, size_t count, uint8_t *grey)
{
    for (size_t i = 0; i < count; i++)
        grey[i] = (uint8_t)((19595u * rgb[3 * i] + 38470u * rgb[3 * i + 1] + 7471u * rgb[3 * i + 2] + 0x8000) >> 16);
}

calo_status calo_picture_grey_from_image(const calo_image *image, calo_picture *to, calo_fault *fault)
{
    calo_status status = calo_picture_make(image->width, image->height, 1, to, fault);
    if (!status)
        to_grey(image->pixels, (size_t)image->width * (size_t)image->height, to->pixels);
    return status;
}

calo_status calo_picture_grey(const calo_picture *from, calo_picture *to, calo_fault *fault)
{
    if (from->channels == 1)
        return calo_picture_copy(from, to, fault);
    calo_status status = calo_picture_make(from->width, from->height, 1, to, fault);
    if (!status)
        to_grey(from->pixels, (size_t)from->width * (size_t)from->height, to->pixels);
    return status;
}

calo_status calo_picture_to_image(calo_context *context, const calo_picture *picture, const char *parameters,
                                  calo_image **image)
{
    calo_image view = { context, picture->width, picture->height, picture->pixels, NULL, (char *)parameters };
    *image = NULL;
    if (picture->channels != 3)
        return calo_fail(&context->fault, CALO_EUSAGE, "a picture of %d channels is no image", picture->channels);
    return calo_image_copy(context, &view, image); /* it reads the view alone */
}
