/* The records of vectors.bin, which make_pictures.py writes, and the pictures that went in. */
#ifndef CALO_TEST_PICTURE_VECTORS_H
#define CALO_TEST_PICTURE_VECTORS_H

#include "../../../engine/shim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum kind {
    RESIZE,
    CROP,
    PAD,
    GREY,
    FLATTEN,
    BINARISE,
    BLUR,
    REGION,
    OVERLAY,
    EXTEND,
    VALUES,
    MASKED,
    NEAREST,
    PNG,
    JPEG
};

typedef struct record {
    int32_t kind, a[14], size;
    const uint8_t *data;
} record;

static char *vectors;
static size_t vectors_size;

static inline int open_vectors(void **state)
{
    (void)state;
    return calo_read_file(CALO_TEST_DATA "/golden/pictures/vectors.bin", 1 << 20, &vectors, &vectors_size, NULL) != 0;
}

static inline int close_vectors(void **state)
{
    (void)state;
    calo_free(vectors);
    return 0;
}

/* The next record of a kind behind *at, or false. */
static inline bool next_record(enum kind kind, size_t *at, record *r)
{
    while (*at < vectors_size) {
        assert_true(vectors_size - *at >= 64);
        memcpy(r, vectors + *at, 64);
        r->data = (const uint8_t *)vectors + *at + 64;
        *at += 64 + (size_t)r->size;
        assert_true(*at <= vectors_size);
        if (r->kind == (int32_t)kind)
            return true;
    }
    return false;
}

/* make_pictures.py's `numbers`. */
static inline void fill(int seed, uint8_t *to, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint32_t place = (uint32_t)(seed % 4 == 3 ? i / 7 : i);
        uint32_t x = place * 2654435761u + (uint32_t)seed * 2246822519u;
        x ^= x >> 15;
        x *= 2246822519u;
        x ^= x >> 13;
        switch (seed % 4) {
        case 1:
            to[i] = x >> 8 & 1 ? 255 : 0;
            break;
        case 2:
            to[i] = (uint8_t)(i * (size_t)(seed + 5) / 16 + (x & 15));
            break;
        case 3:
            to[i] = x >> 9 & 1 ? 0 : (uint8_t)x;
            break;
        default:
            to[i] = (uint8_t)x;
        }
    }
}

#endif
