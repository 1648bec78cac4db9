/* torch's random numbers. Source: ATen/core/MT19937RNGEngine.h, DistributionsHelper.h, native/cpu/DistributionTemplates.h
   and, for Philox, the counter layout of ATen's CUDA distributions. */
#include "rng.h"

#include <math.h>

enum { STATE = 624, SHIFT = 397, BLOCK = 16 };

static const double two_pi = 6.283185307179586476925;

void calo_rng_seed(calo_rng *rng, uint64_t seed)
{
    rng->state[0] = (uint32_t)seed;
    for (uint32_t i = 1; i < STATE; i++)
        rng->state[i] = 1812433253u * (rng->state[i - 1] ^ rng->state[i - 1] >> 30) + i;
    rng->next = STATE;
    rng->has_waiting = false;
    rng->waiting = 0;
}

static void refill(calo_rng *rng)
{
    uint32_t *s = rng->state;
    for (int i = 0; i < STATE; i++) {
        const uint32_t y = (s[i] & 0x80000000u) | (s[(i + 1) % STATE] & 0x7fffffffu);
        s[i] = s[(i + SHIFT) % STATE] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    rng->next = 0;
}

static uint32_t draw(calo_rng *rng)
{
    if (rng->next == STATE)
        refill(rng);
    uint32_t y = rng->state[rng->next++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

/* 53 bits, in [0, 1). */
static double uniform_double(calo_rng *rng)
{
    const uint64_t high = draw(rng), both = high << 32 | draw(rng);
    return (double)(both & ((UINT64_C(1) << 53) - 1)) * 0x1p-53;
}

static double normal_double(calo_rng *rng)
{
    if (rng->has_waiting) {
        rng->has_waiting = false;
        return rng->waiting;
    }
    const double u1 = uniform_double(rng), u2 = uniform_double(rng);
    const double radius = sqrt(-2 * log1p(-u2)), theta = two_pi * u1;
    rng->waiting = radius * sin(theta);
    rng->has_waiting = true;
    return radius * cos(theta);
}

static void fill_uniform(calo_rng *rng, float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(draw(rng) & 0xffffff) * 0x1p-24f;
}

/* 16 uniforms to 16 normals, in place. */
static void turn_block(float *d)
{
    for (int j = 0; j < BLOCK / 2; j++) {
        const float u1 = 1 - d[j], radius = sqrtf(-2 * logf(u1));
        const float theta = (float)(two_pi * (double)d[j + BLOCK / 2]);
        d[j] = radius * cosf(theta);
        d[j + BLOCK / 2] = radius * sinf(theta);
    }
}

void calo_rng_normal_f32(calo_rng *rng, float *values, size_t count)
{
    if (count < BLOCK) {
        for (size_t i = 0; i < count; i++)
            values[i] = (float)normal_double(rng);
        return;
    }
    fill_uniform(rng, values, count);
    for (size_t i = 0; i + BLOCK <= count; i += BLOCK)
        turn_block(values + i);
    if (count % BLOCK) {
        fill_uniform(rng, values + count - BLOCK, BLOCK);
        turn_block(values + count - BLOCK);
    }
}

/* ---- Philox ----------------------------------------------------------------------------------------------------- */

void calo_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c[4] = { counter[0], counter[1], counter[2], counter[3] }, k[2] = { key[0], key[1] };
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xd2511f53u * c[0], b = (uint64_t)0xcd9e8d57u * c[2];
        const uint32_t next[4] = { (uint32_t)(b >> 32) ^ c[1] ^ k[0], (uint32_t)b, (uint32_t)(a >> 32) ^ c[3] ^ k[1],
                                   (uint32_t)a };
        for (int i = 0; i < 4; i++)
            c[i] = next[i];
        k[0] += 0x9e3779b9u;
        k[1] += 0xbb67ae85u;
    }
    for (int i = 0; i < 4; i++)
        out[i] = c[i];
}

void calo_philox_normal_f32(uint64_t seed, uint64_t offset, size_t threads, float *values, size_t count)
{
    const uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
    const size_t blocks = (count + 255) / 256 * 256;
    const size_t grid = threads < blocks ? threads : blocks;
    for (size_t thread = 0; thread < grid; thread++)
        for (size_t round = 0; round * 4 * grid + thread < count; round++) {
            const uint64_t low = offset / 4 + round;
            const uint32_t counter[4] = { (uint32_t)low, (uint32_t)(low >> 32), (uint32_t)thread,
                                          (uint32_t)((uint64_t)thread >> 32) };
            uint32_t bits[4];
            float normals[4];
            calo_philox(counter, key, bits);
            for (int pair = 0; pair < 4; pair += 2) {
                const float u = (float)bits[pair] * 0x1p-32f + 0x1p-33f;
                const float v = (float)bits[pair + 1] * (float)(two_pi * 0x1p-32) + (float)(two_pi * 0x1p-33);
                const float radius = sqrtf(-2 * logf(u));
                normals[pair] = radius * sinf(v);
                normals[pair + 1] = radius * cosf(v);
            }
            for (size_t i = 0; i < 4 && round * 4 * grid + i * grid + thread < count; i++)
                values[round * 4 * grid + i * grid + thread] = normals[i];
        }
}
