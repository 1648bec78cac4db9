/* The data behind unicode.c, made by data/make_tables.py.

   A table of changes holds, at each code point where a value changes, the code point and the new value in one number;
   the value of a code point is that of the last change at or before it. */
#ifndef CALO_UNICODE_TABLES_H
#define CALO_UNICODE_TABLES_H

#include <stddef.h>
#include <stdint.h>

extern const uint32_t calo_unicode_classes[]; /* code << 4 | CALO_LETTER | CALO_NUMBER | CALO_SPACE | CALO_WORD */
extern const size_t calo_unicode_class_count;

/* code << 8 | rank. Ranks 1 … 54 order the marks as canonical combining classes do; 0 is a starter. */
extern const uint32_t calo_unicode_marks[];
extern const size_t calo_unicode_mark_count;

/* first, first + step, … (count of them) become lower case by adding offset. U+0130, which becomes two, is not here. */
struct calo_unicode_lower {
    uint32_t first;
    uint16_t count;
    uint16_t step;
    int32_t offset;
};
extern const struct calo_unicode_lower calo_unicode_lowers[];
extern const size_t calo_unicode_lower_count;

/* code = first + second, by code; second is 0 where code is another name of first. Hangul is computed. */
struct calo_unicode_pair {
    uint32_t code;
    uint32_t first;
    uint32_t second;
};
extern const struct calo_unicode_pair calo_unicode_pairs[];
extern const size_t calo_unicode_pair_count;

/* Indices of the pairs that NFC joins again, by (first, second). */
extern const uint16_t calo_unicode_composed[];
extern const size_t calo_unicode_composed_count;

#endif
