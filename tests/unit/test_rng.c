/* calo_rng against torch's own draws (tests/golden/rng), calo_philox against the published answers. */
#include "../../engine/number.h"
#include "../../engine/rng.h"
#include "../../engine/shim.h"
#include "../../pipelines/noise.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* For the CPU generator 5e-7 was measured over 1.3 million elements. A GPU's own sine is good to 2e-6. */
static const float TOLERANCE = 7e-7f, GPU_TOLERANCE = 2e-6f;

struct cursor {
    const char *at;
    size_t left;
};

static void take(struct cursor *c, void *to, size_t size)
{
    assert_true(c->left >= size);
    memcpy(to, c->at, size);
    c->at += size;
    c->left -= size;
}

/* The next stored element of a type as float. */
static float stored_element(struct cursor *c, uint32_t type)
{
    uint32_t bits = 0;
    take(c, &bits, type == CALO_F32 ? 4 : 2);
    return type == CALO_F32   ? calo_bits_float(bits)
           : type == CALO_F16 ? calo_from_f16((uint16_t)bits)
                              : calo_from_bf16((uint16_t)bits);
}

/* Largest distance of a draw's kept elements from torch's, beyond what rounding to the stored type explains; NaN
 * counts as infinite. */
static double worst_error(struct cursor *c, uint32_t type, const float *drawn, size_t n, size_t stored)
{
    const double rounding = type == CALO_F32 ? 0 : type == CALO_F16 ? 0x1p-11 : 0x1p-8;
    double worst = 0;
    for (size_t end = 0; end < (n > stored ? 2u : 1u); end++)
        for (size_t i = 0; i < stored; i++) {
            double value = drawn[end ? n - stored + i : i], expected = stored_element(c, type);
            double error = fabs(value - expected) - rounding * fabs(expected);
            worst = error <= worst ? worst : error == error ? error : INFINITY;
        }
    return worst;
}

static void draws_equal_torchs(void **state)
{
    (void)state;
    char *text;
    size_t size;
    calo_fault fault = { 0 };
    calo_rng rng = { 0 };
    int records = 0;
    assert_int_equal(calo_read_file(CALO_TEST_DATA "/golden/rng/rng.bin", 4 << 20, &text, &size, &fault), CALO_OK);
    assert_true(size > 8);
    assert_memory_equal(text, "CALORNG1", 8);
    struct cursor c = { text + 8, size - 8 };
    for (; c.left; records++) {
        uint64_t seed, n;
        uint32_t fresh, type, stored;
        take(&c, &seed, 8);
        take(&c, &fresh, 4);
        take(&c, &type, 4);
        take(&c, &n, 8);
        take(&c, &stored, 4);
        if (fresh)
            calo_rng_seed(&rng, seed);
        float *drawn = calo_alloc(n, sizeof *drawn);
        (type == CALO_F32 ? calo_rng_normal_f32 : calo_rng_normal_half)(&rng, drawn, n);
        double worst = worst_error(&c, type, drawn, n, stored);
        if (!(worst <= TOLERANCE))
            fail_msg("record %d, type %u, seed %llu, n %llu: %g from torch", records, type, (unsigned long long)seed,
                     (unsigned long long)n, worst);
        calo_free(drawn);
    }
    calo_free(text);
    assert_int_equal(records, 6 * (8 + 17) + 2 * 3 * 9 + 6);
}

/* A seed counts modulo 2^32, and a copy goes on as its original does. */
static void state_is_a_value(void **state)
{
    (void)state;
    calo_rng a, b;
    float x[40], y[40];
    calo_rng_seed(&a, 5);
    calo_rng_seed(&b, ((uint64_t)1 << 32) + 5);
    calo_rng_normal_f32(&a, x, 40);
    calo_rng_normal_f32(&b, y, 40);
    assert_memory_equal(x, y, sizeof x);
    calo_rng_normal_f32(&a, x, 3); /* leaves a spare */
    b = a;
    calo_rng_normal_f32(&a, x, 5);
    calo_rng_normal_f32(&b, y, 5);
    assert_memory_equal(x, y, 5 * sizeof *x);
    calo_rng_normal_f32(&a, x, 0);
    assert_memory_equal(&a.state, &b.state, sizeof a.state);
}

static void normals_are_normal(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    calo_rng rng;
    float *x = calo_alloc(N, sizeof *x);
    double sum = 0, squares = 0;
    calo_rng_seed(&rng, 99);
    calo_rng_normal_f32(&rng, x, N);
    for (int i = 0; i < N; i++) {
        assert_true(isfinite(x[i]));
        sum += x[i];
        squares += (double)x[i] * x[i];
    }
    assert_true(fabs(sum / N) < 5e-3);
    assert_true(fabs(squares / N - 1) < 1e-2);
    calo_free(x);
}

/* The known answers that the Random123 paper's library ships for philox4x32-10. */
static void philox_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } known[] = {
        { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
          { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
          { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t out[4];
        calo_philox_4x32(known[i].counter, known[i].key, out);
        assert_memory_equal(out, known[i].out, sizeof out);
    }
}

static float philox_normal(uint64_t seed, uint64_t position, uint64_t thread, int lane)
{
    const uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
    const uint32_t counter[4] = { (uint32_t)position, (uint32_t)(position >> 32), (uint32_t)thread,
                                  (uint32_t)(thread >> 32) };
    uint32_t w[4];
    calo_philox_4x32(counter, key, w);
    double u = (w[lane / 2 * 2] + 0.5) * 0x1p-32, v = (w[lane / 2 * 2 + 1] + 0.5) * 0x1p-32 * 6.283185307179586;
    return (float)(sqrt(-2 * log(u)) * (lane % 2 ? cos(v) : sin(v)));
}

/* Element e of a draw belongs to round e / (4·threads), lane e / threads mod 4, thread e mod threads. */
static void philox_layout(void **state)
{
    (void)state;
    static const size_t sizes[] = { 1, 255, 257, 1000, 16384, 100003 };
    calo_philox philox;
    uint64_t position = 0;
    const uint64_t seed = ((uint64_t)3 << 40) + 17;
    calo_philox_seed(&philox, seed, 4, 1024); /* 4·(1024/256) = 16 blocks at most: 4096 threads */
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const size_t n = sizes[s];
        const uint64_t threads = n >= 4096 ? 4096 : (n + 255) / 256 * 256;
        float *x = calo_alloc(n, sizeof *x);
        calo_philox_normal_f32(&philox, x, n);
        for (size_t e = 0; e < n; e++) {
            float expected = philox_normal(seed, position + e / (4 * threads), e % threads, (int)(e / threads % 4));
            assert_true(fabsf(x[e] - expected) <= GPU_TOLERANCE);
        }
        position += (n - 1) / (threads * 4) + 1;
        calo_free(x);
    }
    assert_true(philox.offset == 4 * position);
}

/* The noise of a variation is what the webui makes of the same two draws (tests/golden/rng/make_variation.py). */
static void variations_are_the_webuis(void **state)
{
    enum { COUNT = 4 * 6 * 5, KEPT = (COUNT + 6) / 7 };
    static const struct {
        double strength;
        float numbers[KEPT];
    } known[] = {
#include "../golden/rng/variation.inc"
    };
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        float noise[COUNT], other[COUNT];
        calo_generator generator;
        calo_generator_seed(&generator, CALO_RANDOM_CPU, 3);
        calo_generator_normal(&generator, noise, COUNT);
        calo_generator_seed(&generator, CALO_RANDOM_CPU, 7);
        calo_generator_normal(&generator, other, COUNT);
        calo_turn_noise(noise, other, 4, 6, 5, known[i].strength);
        for (int k = 0; k < KEPT; k++)
            assert_float_equal(noise[7 * k], known[i].numbers[k], 3e-6f);
    }
}

/* What a GPU draws for seed 0, as the webui's modules/rng_philox.py has it; a second call goes on behind the first. */
static void philox_is_a_gpus(void **state)
{
    static const float known[] = { -0.92466259f, -0.42534415f, -2.6438457f, 0.14518388f,  -0.12086647f, -0.57972564f,
                                   -0.62285122f, -0.32838709f, -1.07454231f, -0.36314407f, -1.67105067f, 2.26550497f };
    enum { COUNT = sizeof known / sizeof *known };
    (void)state;
    calo_generator generator;
    float drawn[COUNT], next[COUNT];
    calo_generator_seed(&generator, CALO_RANDOM_PHILOX, 0);
    calo_generator_normal(&generator, drawn, COUNT);
    calo_generator_normal(&generator, next, COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_float_equal(drawn[i], known[i], GPU_TOLERANCE);
        assert_true(next[i] != drawn[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_equal_torchs), cmocka_unit_test(state_is_a_value), cmocka_unit_test(normals_are_normal),
        cmocka_unit_test(philox_known_answers), cmocka_unit_test(philox_layout),
        cmocka_unit_test(variations_are_the_webuis), cmocka_unit_test(philox_is_a_gpus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
