/* Prompts as the files of vectors spell them. */
#ifndef CALO_TEST_VECTOR_TEXT_H
#define CALO_TEST_VECTOR_TEXT_H

#include <stdlib.h>
#include <string.h>

static inline int hexadecimal_digit(char c)
{
    return c <= '9' ? c - '0' : c - 'A' + 10;
}

/* `text` without its %XX, `repeat` times; to be freed. */
static inline char *vector_text(const char *text, size_t repeat)
{
    size_t unit = 0;
    char *out = malloc(strlen(text) * repeat + 1);
    for (const char *at = text; *at; at++)
        if (*at == '%') {
            out[unit++] = (char)(hexadecimal_digit(at[1]) << 4 | hexadecimal_digit(at[2]));
            at += 2;
        } else {
            out[unit++] = *at;
        }
    for (size_t i = 1; i < repeat; i++)
        memcpy(out + i * unit, out, unit);
    out[unit * repeat] = 0;
    return out;
}

#endif
