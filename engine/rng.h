/* Random numbers of other programs, reproduced: torch's CPU generator, so that the same seed gives the same picture. */
#ifndef CALO_RNG_H
#define CALO_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* torch.Generator("cpu"): mt19937 (Matsumoto & Nishimura 1998) and one normal that may wait for its turn. */
typedef struct calo_rng {
    uint32_t state[624];
    int next;
    bool has_waiting;
    double waiting;
} calo_rng;

/* torch uses the lower 32 bits of a seed. */
void calo_rng_seed(calo_rng *rng, uint64_t seed);

/* torch.randn(count, generator=…, dtype=float32), to 2e-6. From 16 numbers on: Box–Muller by blocks of 16 over 24-bit
 * uniforms, the last 16 drawn again when count is no multiple of 16. Below: one by one in double. */
void calo_rng_normal_f32(calo_rng *rng, float *values, size_t count);

/* Philox4x32-10 (Salmon et al. 2011): four 32-bit numbers for a counter and a key. */
void calo_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* torch.randn(count, device="cuda") for a generator with `seed` at `offset` (a multiple of 4) on a device that runs at
 * most `threads` threads (multiprocessors · threads of each, in blocks of 256): each thread turns its counter's four
 * numbers into four normals, which land `threads` apart. */
void calo_philox_normal_f32(uint64_t seed, uint64_t offset, size_t threads, float *values, size_t count);

#endif
