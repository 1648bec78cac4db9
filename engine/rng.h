/* Normal numbers as torch draws them, so that a seed means the same picture here and there.

   calo_rng is torch.Generator("cpu"): its state after any sequence of draws is torch's. calo_philox is
   torch.Generator("cuda"), whose numbers depend on how large the GPU is. Both are plain values: copy one to keep a
   state. Sources: M. Matsumoto, T. Nishimura, "Mersenne Twister", 1998; J. Salmon et al., "Parallel random numbers: as
   easy as 1, 2, 3", 2011 (Philox); torch's behaviour as measured by tests/golden/rng/make_rng.py. */
#ifndef CALO_RNG_H
#define CALO_RNG_H

#include "calotype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CALO_TWISTER_WORDS = 624 };

typedef struct calo_rng {
    uint32_t state[CALO_TWISTER_WORDS];
    uint32_t next; /* first word of the state that was not yet given out */
    bool has_spare;
    double spare; /* second normal of the last pair, which the next draw of fewer than 16 begins with */
} calo_rng;

/* torch's manual_seed: only the low 32 bits count, as in torch. */
void calo_rng_seed(calo_rng *rng, uint64_t seed);

/* torch.randn(n, generator=rng), one call; within 5e-7 of torch's AVX2 code. Two calls with n and m draw other numbers
 * than one with n + m, as in torch. */
void calo_rng_normal_f32(calo_rng *rng, float *out, size_t n);

/* torch.randn(n, dtype=torch.float16 or bfloat16) before its rounding: the f32 draw, but that a tail of n mod 16 wastes
 * no words. So torch 2.15; torch 1.13 drew quite other numbers for the 16-bit types. */
void calo_rng_normal_half(calo_rng *rng, float *out, size_t n);

typedef struct calo_philox {
    uint64_t seed, offset;    /* `offset` counts words per thread, in fours */
    uint32_t multiprocessors; /* of the GPU that is imitated */
    uint32_t threads_per_multiprocessor;
} calo_philox;

/* The words of the counter enciphered by ten rounds. */
void calo_philox_4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* `threads_per_multiprocessor` is the device's limit of resident threads: 2048 on sm_80 and sm_90, 1536 on sm_86, 89. */
void calo_philox_seed(calo_philox *philox, uint64_t seed, uint32_t multiprocessors,
                      uint32_t threads_per_multiprocessor);

/* torch.randn(n, device="cuda", generator=philox), one call, f32. */
void calo_philox_normal_f32(calo_philox *philox, float *out, size_t n);

/* One or the other, as a request chooses. The CUDA generator is that of a GPU with a thread for every number, so that a
 * seed means one picture whatever the GPU's size; AUTOMATIC1111's webui imitates the same on the host. */
typedef struct calo_generator {
    calo_random kind;
    calo_rng cpu;
    calo_philox cuda;
} calo_generator;

void calo_generator_seed(calo_generator *generator, calo_random kind, uint64_t seed);
/* torch.randn(n, generator), f32, one call. */
void calo_generator_normal(calo_generator *generator, float *out, size_t n);

#endif
