/* What happens to pictures and masks on the host, before the first step and after the last.

   Everything is exact integer arithmetic on 8 bits (coefficients apart), equal bit by bit to the tool that is named at
   each function, and measured against it in tests/golden/pictures. Masks: 255 repaints, 0 keeps. */
#ifndef CALO_PICTURE_H
#define CALO_PICTURE_H

#include "image.h"

/* A working picture. All zero is none; calo_picture_free leaves it so. */
typedef struct calo_picture {
    uint8_t *pixels; /* [height, width, channels], rows from the top */
    int width, height;
    int channels; /* 1: grey, a mask; 3: RGB */
} calo_picture;

/* A part of a picture: columns [left, right), rows [top, bottom). */
typedef struct calo_box {
    int left, top, right, bottom;
} calo_box;

/* Every function that fills `to` leaves it none when it fails, and it may not be the picture that is read. */

/* All 0. CALO_EUSAGE: a side outside 1 … 16384 or other channels than 1 and 3; CALO_EMEMORY. */
calo_status calo_picture_make(int width, int height, int channels, calo_picture *to, calo_fault *fault);
void calo_picture_free(calo_picture *picture);
calo_status calo_picture_copy(const calo_picture *from, calo_picture *to, calo_fault *fault);

/* ---- from and to images (picture.c) ----------------------------------------------------------------------------- */

/* RGB; what is not opaque is laid on white, as PIL's paste(image, mask=alpha) rounds. */
calo_status calo_picture_from_image(const calo_image *image, calo_picture *to, calo_fault *fault);
/* A mask of what is transparent: 255 − opacity. */
calo_status calo_picture_from_opacity(const calo_image *image, calo_picture *to, calo_fault *fault);
/* Grey, as PIL's convert("L"), which does not look at opacity: (19595 R + 38470 G + 7471 B + 2^15) / 2^16. */
calo_status calo_picture_grey_from_image(const calo_image *image, calo_picture *to, calo_fault *fault);
calo_status calo_picture_grey(const calo_picture *from, calo_picture *to, calo_fault *fault);
/* The opaque image of an RGB picture, a deep copy. */
calo_status calo_picture_to_image(calo_context *context, const calo_picture *picture, const char *parameters,
                                  calo_image **image);

/* ---- size (picture_size.c) -------------------------------------------------------------------------------------- */

/* Pillow's Image.resize((width, height), LANCZOS). */
calo_status calo_picture_resize(const calo_picture *from, int width, int height, calo_picture *to, calo_fault *fault);
/* Brings a picture to width × height. CALO_FIT_NONE: another size is an error; STRETCH: calo_picture_resize; CROP and
 * PAD: diffusers' resize_mode "crop" and "fill". As there, the border that PAD continues is 1.125 of the edge less
 * 0.125 of the row within, and where both a picture's free room and an odd height (width) meet, the last row (column)
 * is black; even sizes have no such gap. CALO_EUSAGE: a picture so long that PAD would leave nothing of its short side.
 * `option`, such as "--init", begins the sentences. */
calo_status calo_picture_fit(const calo_picture *from, calo_fit fit, int width, int height, const char *option,
                             calo_picture *to, calo_fault *fault);
/* The part of a picture. CALO_EUSAGE: the box is empty or not inside. */
calo_status calo_picture_crop(const calo_picture *from, calo_box box, calo_picture *to, calo_fault *fault);
/* Adds extend[] = left, top, right, bottom pixels: the nearest edge pixel's colour where value < 0, else `value`.
 * CALO_EUSAGE names --extend. */
calo_status calo_picture_extend(const calo_picture *from, const int extend[4], int value, calo_picture *to,
                                calo_fault *fault);

/* ---- masks (picture_mask.c); a mask has 1 channel ---------------------------------------------------------------- */

/* 255 where ≥ ½ (128), else 0: diffusers' VaeImageProcessor(do_binarize). */
void calo_mask_binarise(calo_picture *mask);
/* How many pixels are not 0. */
int64_t calo_mask_area(const calo_picture *mask);
/* A1111's mask blur of `deviation` pixels: cv2.GaussianBlur on 8 bits, 2·int(2.5·deviation + 0.5) + 1 wide, along
 * x, then along y, borders mirrored. 0 leaves the mask. CALO_EUSAGE: not 0 … 256. */
calo_status calo_mask_blur(calo_picture *mask, double deviation, calo_fault *fault);
/* What to work on: the box around all that is not 0, `padding` pixels more on each side, widened to the aspect of
 * width × height where the picture has room: diffusers' VaeImageProcessor.get_crop_region. CALO_EUSAGE: nothing is to
 * be repainted, or padding is not 0 … 16384. */
calo_status calo_mask_region(const calo_picture *mask, int width, int height, int padding, calo_box *region,
                             calo_fault *fault);
/* Lays what was made over the init picture: to = round((init·(255 − m) + made·m) / 255) for mask values m, halves up.
 * So where the mask is 0 the init picture's bits are kept, and where it is 255 those of `made`. All three of one size,
 * or with `region` (else NULL) `made` is brought to it by CALO_FIT_CROP first, and outside of it the init picture is
 * kept. diffusers' apply_overlay, which rounds three times and so differs by at most 2 where 0 < m < 255. */
calo_status calo_picture_overlay(const calo_picture *mask, const calo_picture *init, const calo_picture *made,
                                 const calo_box *region, calo_picture *to, calo_fault *fault);

/* ---- numbers (picture_mask.c) ----------------------------------------------------------------------------------- */

/* values [height, width, channels]: 2·(v / 255) − 1 in f32, as VaeImageProcessor.preprocess. */
void calo_picture_values(const calo_picture *picture, float *values);
/* The same, and 0 where the mask (of the same size) is ≥ ½: the picture that 9-channel models are shown. */
void calo_picture_masked_values(const calo_picture *picture, const calo_picture *mask, float *values);
/* values [height, width] of another size: v / 255 of the nearest pixel, as
 * torch.nn.functional.interpolate(mode="nearest") chooses it (diffusers' prepare_mask_latents). */
void calo_mask_values(const calo_picture *mask, int width, int height, float *values);

#endif
