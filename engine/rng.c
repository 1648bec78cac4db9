/* torch's two generators.

   CPU, n ≥ 16: n uniforms u = (word mod 2^24) · 2^-24 are drawn first; then, in each block of 16 and for j < 8,
       r = √(−2 ln(1 − u[j])),  θ = 2π u[j+8],  out[j] = r cos θ,  out[j+8] = r sin θ;
   when 16 does not divide n, the last 16 places are drawn anew and transformed again. (16-bit types draw only the
   uniforms of whole blocks first.)
   CPU, n < 16: pairs in double, from 53-bit uniforms: r = √(−2 ln(1 − u2)), θ = 2π u1; the sine is kept for later.
   CUDA: thread t of a grid enciphers the counter (offset, t), four words a round, two Box–Muller pairs. */
#include "rng.h"

#include <math.h>

static const double PI = 3.14159265358979323846;

/* ---- Mersenne Twister ------------------------------------------------------------------------------------------- */

enum { WORDS = CALO_TWISTER_WORDS, SHIFT = 397, BLOCK = 16 };

void calo_rng_seed(calo_rng *rng, uint64_t seed)
{
    *rng = (calo_rng){ .next = WORDS };
    rng->state[0] = (uint32_t)seed;
    for (uint32_t i = 1; i < WORDS; i++)
        rng->state[i] = 1812433253u * (rng->state[i - 1] ^ rng->state[i - 1] >> 30) + i;
}

static uint32_t twisted(uint32_t high, uint32_t low, uint32_t far)
{
    uint32_t y = (high & 0x80000000u) | (low & 0x7fffffffu);
    return far ^ y >> 1 ^ (0x9908b0dfu & (0u - (low & 1u)));
}

static void twist(calo_rng *rng)
{
    uint32_t *s = rng->state;
    for (int i = 0; i < WORDS - SHIFT; i++)
        s[i] = twisted(s[i], s[i + 1], s[i + SHIFT]);
    for (int i = WORDS - SHIFT; i < WORDS - 1; i++)
        s[i] = twisted(s[i], s[i + 1], s[i + SHIFT - WORDS]);
    s[WORDS - 1] = twisted(s[WORDS - 1], s[0], s[SHIFT - 1]);
    rng->next = 0;
}

static uint32_t tempered(uint32_t y)
{
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

static uint32_t draw(calo_rng *rng)
{
    if (rng->next == WORDS)
        twist(rng);
    return tempered(rng->state[rng->next++]);
}

static void fill_uniform(calo_rng *rng, float *out, size_t n)
{
    while (n) {
        if (rng->next == WORDS)
            twist(rng);
        size_t run = WORDS - rng->next < n ? WORDS - rng->next : n;
        const uint32_t *state = rng->state + rng->next;
        for (size_t i = 0; i < run; i++)
            out[i] = (float)(int32_t)(tempered(state[i]) & 0xffffffu) * 0x1p-24f; /* signed converts in vectors */
        rng->next += (uint32_t)run;
        out += run;
        n -= run;
    }
}

/* ---- the CPU generator ------------------------------------------------------------------------------------------ */

static double uniform_double(calo_rng *rng)
{
    uint64_t high = draw(rng), low = draw(rng);
    return (double)((high << 32 | low) & 0x1fffffffffffffu) * 0x1p-53;
}

static double normal_double(calo_rng *rng)
{
    if (rng->has_spare) {
        rng->has_spare = false;
        return rng->spare;
    }
    double u1 = uniform_double(rng), u2 = uniform_double(rng);
    double radius = sqrt(-2.0 * log1p(-u2)), angle = 2.0 * PI * u1;
    rng->spare = radius * sin(angle);
    rng->has_spare = true;
    return radius * cos(angle);
}

/* The angle is a product of floats, as in torch's AVX2 code. Its scalar code multiplies in double, which at radius 5
 * and angle 6 is 2e-6 away; nearly every machine runs the AVX2 code. */
static void transform_block(float *d)
{
    const float turn = (float)(2.0 * PI);
    for (int j = 0; j < BLOCK / 2; j++) {
        float radius = sqrtf(-2.0f * logf(1.0f - d[j])), angle = turn * d[j + BLOCK / 2];
        d[j] = radius * cosf(angle);
        d[j + BLOCK / 2] = radius * sinf(angle);
    }
}

static void normal(calo_rng *rng, float *out, size_t n, size_t uniforms)
{
    if (n < BLOCK) {
        for (size_t i = 0; i < n; i++)
            out[i] = (float)normal_double(rng);
        return;
    }
    fill_uniform(rng, out, uniforms);
    for (size_t i = 0; i + BLOCK <= n; i += BLOCK)
        transform_block(out + i);
    if (n % BLOCK) {
        fill_uniform(rng, out + n - BLOCK, BLOCK);
        transform_block(out + n - BLOCK);
    }
}

void calo_rng_normal_f32(calo_rng *rng, float *out, size_t n)
{
    normal(rng, out, n, n);
}

void calo_rng_normal_half(calo_rng *rng, float *out, size_t n)
{
    normal(rng, out, n, n - n % BLOCK);
}

/* ---- the CUDA generator ----------------------------------------------------------------------------------------- */

enum { ROUNDS = 10, GPU_BLOCK = 256, LANES = 4 };

void calo_philox_4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t p0 = (uint64_t)0xd2511f53u * c0, p1 = (uint64_t)0xcd9e8d57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void calo_philox_seed(calo_philox *philox, uint64_t seed, uint32_t multiprocessors,
                      uint32_t threads_per_multiprocessor)
{
    *philox = (calo_philox){ .seed = seed,
                             .multiprocessors = multiprocessors,
                             .threads_per_multiprocessor = threads_per_multiprocessor };
}

static void normal_pair(uint32_t x, uint32_t y, float *first, float *second)
{
    const float turn = (float)(0x1p-32 * 2.0 * PI);
    float u = (float)x * 0x1p-32f + 0x1p-33f, v = (float)y * turn + turn / 2;
    float s = sqrtf(-2.0f * logf(u));
    *first = s * sinf(v);
    *second = s * cosf(v);
}

void calo_philox_normal_f32(calo_philox *philox, float *out, size_t n)
{
    if (n == 0)
        return;
    const uint32_t key[2] = { (uint32_t)philox->seed, (uint32_t)(philox->seed >> 32) };
    uint64_t blocks = ((uint64_t)n + GPU_BLOCK - 1) / GPU_BLOCK;
    const uint64_t most = (uint64_t)philox->multiprocessors * (philox->threads_per_multiprocessor / GPU_BLOCK);
    if (blocks > most && most > 0)
        blocks = most;
    const uint64_t threads = blocks * GPU_BLOCK, rounds = ((uint64_t)n - 1) / (threads * LANES) + 1;
    for (uint64_t round = 0; round < rounds; round++) {
        const uint64_t position = philox->offset / LANES + round;
        for (uint64_t t = 0; t < threads; t++) {
            const uint64_t first = round * threads * LANES + t;
            const uint32_t counter[4] = { (uint32_t)position, (uint32_t)(position >> 32), (uint32_t)t,
                                          (uint32_t)(t >> 32) };
            uint32_t words[4];
            float lanes[LANES];
            if (first >= n)
                break;
            calo_philox_4x32(counter, key, words);
            normal_pair(words[0], words[1], &lanes[0], &lanes[1]);
            normal_pair(words[2], words[3], &lanes[2], &lanes[3]);
            for (uint64_t i = 0; i < LANES && first + i * threads < n; i++)
                out[first + i * threads] = lanes[i];
        }
    }
    philox->offset += rounds * LANES;
}

/* ---- either ----------------------------------------------------------------------------------------------------- */

void calo_generator_seed(calo_generator *generator, calo_random kind, uint64_t seed)
{
    enum { MULTIPROCESSORS = 1 << 20, THREADS = 2048 }; /* 2^31 numbers at once: more than any picture's noise */
    *generator = (calo_generator){ .kind = kind };
    if (kind == CALO_RANDOM_PHILOX)
        calo_philox_seed(&generator->cuda, seed, MULTIPROCESSORS, THREADS);
    else
        calo_rng_seed(&generator->cpu, seed);
}

void calo_generator_normal(calo_generator *generator, float *out, size_t n)
{
    if (generator->kind == CALO_RANDOM_PHILOX)
        calo_philox_normal_f32(&generator->cuda, out, n);
    else
        calo_rng_normal_f32(&generator->cpu, out, n);
}
