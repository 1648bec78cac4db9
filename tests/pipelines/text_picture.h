/* Pictures that carry any text whatever, for the tests of what reads it. */
#ifndef TEXT_PICTURE_H
#define TEXT_PICTURE_H

#include <stddef.h>

/* An 8 × 8 PNG with `size` bytes as its `parameters`, in UTF-8 or not: text.png in the scratch folder, whose path it
 * returns. */
const char *picture_of(const void *text, size_t size);

#endif
