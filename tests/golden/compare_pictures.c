/* How alike two pictures are: compare_pictures A.png B.png LEAST-PSNR. Ends with 0 when their PSNR is at least that. */
#include "../../engine/png.h"
#include "../../engine/shim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int main(int count, char **words)
{
    uint8_t *pixels[2] = { NULL, NULL };
    int width[2], height[2], channels[2], status = 1;
    calo_fault fault = { 0 };
    if (count < 4)
        return fprintf(stderr, "usage: compare_pictures A.png B.png LEAST-PSNR\n"), 2;
    for (int i = 0; i < 2 && !fault.status; i++)
        calo_picture_read(words[1 + i], &pixels[i], &width[i], &height[i], &channels[i], &fault);
    if (fault.status) {
        printf("%s\n", fault.text);
    } else if (width[0] != width[1] || height[0] != height[1] || channels[0] != channels[1]) {
        printf("the pictures are of different sizes\n");
    } else {
        const long numbers = (long)width[0] * height[0] * channels[0];
        double sum = 0;
        for (long i = 0; i < numbers; i++) {
            const double d = (double)pixels[0][i] - pixels[1][i];
            sum += d * d;
        }
        const double psnr = sum > 0 ? 10 * log10(255.0 * 255.0 * (double)numbers / sum) : INFINITY;
        printf("PSNR %.2f dB\n", psnr);
        status = !(psnr >= atof(words[3]));
    }
    for (int i = 0; i < 2; i++)
        calo_free(pixels[i]);
    return status;
}
