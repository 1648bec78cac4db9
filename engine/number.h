/* Host conversions between f32 and the 16-bit storage types, rounding to nearest even. */
#ifndef CALO_NUMBER_H
#define CALO_NUMBER_H

#include <stdint.h>
#include <string.h>

static inline uint32_t calo_float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float calo_bits_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float calo_from_bf16(uint16_t bits)
{
    return calo_bits_float((uint32_t)bits << 16);
}

static inline uint16_t calo_to_bf16(float value)
{
    uint32_t u = calo_float_bits(value);
    if ((u & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/* Subnormal halves are exact multiples of 2^-24, so a float subtraction normalises them. */
static inline float calo_from_f16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, magnitude = (uint32_t)(half & 0x7fff) << 13;
    if (magnitude >= 0x0f800000) /* infinity or NaN */
        return calo_bits_float(sign | 0x7f800000 | (magnitude & 0x007fffff));
    if (magnitude >= 0x00800000)
        return calo_bits_float(sign | (magnitude + 0x38000000));
    float value = calo_bits_float(magnitude | 0x38800000) - calo_bits_float(0x38800000);
    return magnitude ? (sign ? -value : value) : calo_bits_float(sign);
}

static inline uint16_t calo_to_f16(float value)
{
    uint32_t u = calo_float_bits(value), sign = u >> 16 & 0x8000;
    u &= 0x7fffffff;
    if (u > 0x7f800000)
        return (uint16_t)(sign | 0x7e00);
    if (u >= 0x477ff000) /* rounds to 65536 or more */
        return (uint16_t)(sign | 0x7c00);
    if (u < 0x38800000) { /* subnormal: adding 0.5 leaves the rounded multiple of 2^-24 in the low bits */
        uint32_t rounded = calo_float_bits(calo_bits_float(u) + 0.5f);
        return (uint16_t)(sign | (rounded - 0x3f000000));
    }
    return (uint16_t)(sign | ((u - 0x38000000 + 0xfff + (u >> 13 & 1)) >> 13));
}

#endif
