/* A picture file, PNG or JPEG, and the text in it; a small picture goes on through what is done to pictures and masks,
 * by the file's last bytes. PNG's check sums are made right first, for a fuzzer does not guess them. */
#include "../../engine/picture.h"
#include "../../engine/png.h"

#include <string.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void mend_check_sums(uint8_t *png, size_t size)
{
    for (size_t at = 8; size - at >= 12;) {
        const size_t length =
            (size_t)png[at] << 24 | (size_t)png[at + 1] << 16 | (size_t)png[at + 2] << 8 | png[at + 3];
        if (length > size - at - 12)
            return;
        const uLong crc = crc32(0, png + at + 4, (uInt)(length + 4));
        for (int i = 0; i < 4; i++)
            png[at + 8 + length + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
        at += 12 + length;
    }
}

static void work_on(calo_picture *picture, const uint8_t choice[4])
{
    calo_picture fitted, mask, extended, laid;
    calo_box box;
    const int width = 1 + choice[0] % 64, height = 1 + choice[1] % 64,
              extend[4] = { choice[2] % 9, 0, choice[3] % 9, 1 };
    if (calo_picture_fit(picture, (calo_fit)(choice[2] % 4), width, height, "input", &fitted, NULL))
        return;
    if (!calo_picture_extend(&fitted, extend, -1, &extended, NULL)) {
        calo_picture_free(&fitted);
        fitted = extended;
    }
    if (!calo_picture_grey(&fitted, &mask, NULL)) {
        calo_mask_blur(&mask, choice[3] / 16.0, NULL);
        if (!calo_mask_region(&mask, width, height, choice[2], &box, NULL) &&
            !calo_picture_overlay(&mask, &fitted, picture, &box, &laid, NULL))
            calo_picture_free(&laid);
        calo_picture_free(&mask);
    }
    calo_picture_free(&fitted);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    calo_fault fault = { 0 };
    calo_raster raster;
    char *text;
    uint8_t *file = calo_alloc(size + !size, 1);
    if (!file)
        return 0;
    if (size)
        memcpy(file, bytes, size);
    if (calo_png_is(file, size)) {
        mend_check_sums(file, size);
        calo_png_find_text(file, size, "input", "parameters", &text, &fault);
        calo_free(text);
    }
    if (!calo_picture_decode(file, size, "input", &raster, &fault)) {
        calo_picture picture = { raster.pixels, raster.width, raster.height, 3 };
        if (raster.channels == 3 && (int64_t)raster.width * raster.height < 4096)
            work_on(&picture, file + size - 4);
        calo_free(raster.pixels);
    }
    calo_free(file);
    return 0;
}
