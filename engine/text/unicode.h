/* Text as code points: decoding, canonical composition, lower case and classes, as CLIPTokenizer has them.

   The tables behind these functions were measured on the package `tokenizers` (data/make_tables.py): they are not those
   of one version of Unicode, and equality with the package is what they are for. */
#ifndef CALO_UNICODE_H
#define CALO_UNICODE_H

#include "../fault.h"

#include <stddef.h>
#include <stdint.h>

enum { CALO_LETTER = 1, CALO_NUMBER = 2, CALO_SPACE = 4, CALO_WORD = 8 }; /* \p{L}, \p{N}, \s, \w */

/* Code points that grow. All zero is empty; calo_codes_free leaves it so. */
typedef struct calo_codes {
    uint32_t *at;
    size_t count;
    size_t capacity;
} calo_codes;

calo_status calo_codes_reserve(calo_codes *codes, size_t more, calo_fault *fault);
void calo_codes_free(calo_codes *codes);

/* Appends the UTF-8 text. Bytes that are not UTF-8 become U+FFFD by the rule of Python's errors="replace" and of the
 * Unicode standard's table 3-7: one for each longest part that begins a sequence, one for any other byte. */
calo_status calo_unicode_decode(const char *text, size_t size, calo_codes *codes, calo_fault *fault);

/* Writes 1 … 4 bytes. */
int calo_unicode_encode(uint32_t code, uint8_t bytes[4]);

unsigned calo_unicode_class(uint32_t code);

/* Writes 1 or 2 code points. One at a time, without context: Σ is always σ. */
int calo_unicode_lower(uint32_t code, uint32_t lower[2]);

/* Replaces `composed` by the canonical composition (NFC) of count code points. O(count). */
calo_status calo_unicode_compose(const uint32_t *codes, size_t count, calo_codes *composed, calo_fault *fault);

/* Replaces `normal` by CLIPTokenizer's normal form: composed, each run of \s made one space, lower case (not composed
 * again). */
calo_status calo_unicode_normalize(const uint32_t *codes, size_t count, calo_codes *normal, calo_fault *fault);

#endif
