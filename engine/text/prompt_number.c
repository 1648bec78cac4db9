/* Characters and numbers as Python sees them. */
#include "prompt_parts.h"

#include <stdlib.h>

bool calo_prompt_space(uint32_t code)
{
    return (code >= 0x1C && code <= 0x1F) || calo_unicode_class(code) & CALO_SPACE;
}

bool calo_prompt_word(uint32_t code)
{
    return code == '_' || calo_unicode_class(code) & (CALO_LETTER | CALO_NUMBER);
}

/* The zeros of the scripts that have digits, each followed by its 1 … 9: category Nd of Unicode 14, as in Python 3.11.
 */
static const uint32_t zeros[] = { 0x30,    0x660,   0x6F0,   0x7C0,   0x966,   0x9E6,   0xA66,   0xAE6,   0xB66,
                                  0xBE6,   0xC66,   0xCE6,   0xD66,   0xDE6,   0xE50,   0xED0,   0xF20,   0x1040,
                                  0x1090,  0x17E0,  0x1810,  0x1946,  0x19D0,  0x1A80,  0x1A90,  0x1B50,  0x1BB0,
                                  0x1C40,  0x1C50,  0xA620,  0xA8D0,  0xA900,  0xA9D0,  0xA9F0,  0xAA50,  0xABF0,
                                  0xFF10,  0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450,
                                  0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0,
                                  0x16A60, 0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140,
                                  0x1E2F0, 0x1E950, 0x1FBF0 };

/* 0 … 9, or −1. */
static int digit(uint32_t code)
{
    size_t low = 0, high = sizeof zeros / sizeof *zeros;
    if (code < '0')
        return -1;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (zeros[middle] <= code)
            low = middle;
        else
            high = middle;
    }
    return code - zeros[low] < 10 ? (int)(code - zeros[low]) : -1;
}

bool calo_prompt_digit(uint32_t code)
{
    return digit(code) >= 0;
}

/* Digits that are read, without the point: value = digits · 10^exponent. A double is exact by its first 767 significant
 * digits and whether any follows. */
struct decimal {
    char digits[800];
    int count;
    bool more; /* a digit that is not 0 was left out */
    int64_t exponent;
};

static void put_digit(struct decimal *decimal, int value, bool fraction)
{
    bool kept = decimal->count < 780;
    if (kept && (value || decimal->count))
        decimal->digits[decimal->count++] = (char)('0' + value);
    decimal->more = decimal->more || (!kept && value);
    decimal->exponent += (kept ? 0 : 1) - (fraction ? 1 : 0);
}

/* A run of digits with single "_" between them, from *at on; false where there is none. */
static bool read_digits(const uint32_t *codes, size_t count, size_t *at, struct decimal *decimal, bool fraction)
{
    size_t i = *at;
    if (i >= count || digit(codes[i]) < 0)
        return false;
    while (i < count && (digit(codes[i]) >= 0 || (codes[i] == '_' && i + 1 < count && digit(codes[i + 1]) >= 0))) {
        if (codes[i] != '_')
            put_digit(decimal, digit(codes[i]), fraction);
        i++;
    }
    *at = i;
    return true;
}

/* Without a point, so that strtod does not depend on the locale. */
static double value_of(struct decimal *decimal, int64_t exponent)
{
    int size = decimal->count;
    if (decimal->more)
        decimal->digits[size++] = '1';
    exponent += decimal->exponent - decimal->more;
    if (!size)
        return 0.0;
    exponent = exponent > 99999 ? 99999 : exponent < -99999 ? -99999 : exponent;
    char *at = decimal->digits + size;
    *at++ = 'e';
    *at++ = exponent < 0 ? '-' : '+';
    exponent = exponent < 0 ? -exponent : exponent;
    for (int64_t unit = 10000; unit; unit /= 10)
        *at++ = (char)('0' + exponent / unit % 10);
    *at = 0;
    return strtod(decimal->digits, NULL);
}

/* U+001C … U+001F are white space to float() only beside characters that are not ASCII. */
static bool is_margin(uint32_t code, bool ascii)
{
    return calo_prompt_space(code) && !(ascii && code >= 0x1C && code <= 0x1F);
}

bool calo_prompt_number(const uint32_t *codes, size_t count, double *value)
{
    bool ascii = true;
    for (size_t i = 0; i < count; i++)
        ascii = ascii && codes[i] < 0x80;
    struct decimal decimal = { .count = 0 }, power = { .count = 0 };
    size_t at = 0;
    while (at < count && is_margin(codes[at], ascii))
        at++;
    while (count > at && is_margin(codes[count - 1], ascii))
        count--;
    bool negative = at < count && codes[at] == '-';
    at += at < count && (codes[at] == '-' || codes[at] == '+');
    bool whole = read_digits(codes, count, &at, &decimal, false);
    if (at < count && codes[at] == '.') {
        at++;
        if (!read_digits(codes, count, &at, &decimal, true) && !whole)
            return false;
    } else if (!whole) {
        return false;
    }
    int64_t exponent = 0;
    if (at < count && (codes[at] == 'e' || codes[at] == 'E')) {
        at++;
        bool down = at < count && codes[at] == '-';
        at += at < count && (codes[at] == '-' || codes[at] == '+');
        if (!read_digits(codes, count, &at, &power, false))
            return false;
        if (power.count > 9) /* beyond what any prompt's digits make up for */
            exponent = 1000000000;
        for (int i = 0; i < power.count && power.count <= 9; i++)
            exponent = exponent * 10 + (power.digits[i] - '0');
        exponent = down ? -exponent : exponent;
    }
    if (at != count)
        return false;
    *value = value_of(&decimal, exponent);
    if (negative)
        *value = -*value;
    return true;
}
