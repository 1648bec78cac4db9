/* Every code point against the package tokenizers (tests/golden/tokenizer/unicode.txt), and decoding against Python. */
#include "../../engine/text/unicode.h"
#include "../../engine/shim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t mix(uint64_t hash, uint32_t number)
{
    for (int byte = 0; byte < 4; byte++)
        hash = (hash ^ (number >> 8 * byte & 255)) * 0x100000001B3u;
    return hash;
}

static uint64_t mix_text(uint64_t hash, const uint32_t *codes, size_t count)
{
    hash = mix(hash, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        hash = mix(hash, codes[i]);
    return hash;
}

static void every_code_point(void **state)
{
    (void)state;
    FILE *file = fopen(CALO_TEST_DATA "/golden/tokenizer/unicode.txt", "r");
    assert_non_null(file);
    char line[128];
    unsigned blocks = 0, wrong = 0;
    calo_codes composed = { 0 };
    while (fgets(line, sizeof line, file)) {
        unsigned long first;
        unsigned long long expected;
        if (*line == '#')
            continue;
        assert_int_equal(sscanf(line, "%lx %llx", &first, &expected), 2);
        uint64_t hash = 0xCBF29CE484222325u;
        for (uint32_t code = (uint32_t)first; code < first + 1024; code++) {
            if (code == 0 || (code >= 0xD800 && code <= 0xDFFF))
                continue;
            const uint32_t texts[][5] = {
                { code }, { 'e', code }, { code, 0x301 }, { 'a', 0x330, code, 0x301, 0x334 }
            };
            static const size_t counts[] = { 1, 2, 2, 5 };
            uint32_t lower[2];
            int made = calo_unicode_lower(code, lower);
            hash = mix(hash, calo_unicode_class(code));
            hash = mix_text(hash, lower, (size_t)made);
            for (int i = 0; i < 4; i++) {
                assert_int_equal(calo_unicode_compose(texts[i], counts[i], &composed, NULL), CALO_OK);
                hash = mix_text(hash, composed.at, composed.count);
            }
        }
        blocks++;
        if (hash != expected && wrong++ < 10)
            print_message("U+%04lX … U+%04lX differ\n", first, first + 1023);
    }
    calo_codes_free(&composed);
    fclose(file);
    assert_int_equal(blocks, 1088);
    assert_int_equal(wrong, 0);
}

/* What bytes.decode("utf-8", errors="replace") gives; 0 ends a list. */
static void decoding(void **state)
{
    (void)state;
    enum { R = 0xFFFD };
    static const struct {
        const char *bytes;
        uint32_t codes[8];
    } cases[] = {
        { "", { 0 } },
        { "az", { 'a', 'z' } },
        { "\xc2\xa9", { 0xA9 } },
        { "\xe2\x82\xac", { 0x20AC } },
        { "\xf0\x9f\x98\x80", { 0x1F600 } },
        { "\xf4\x8f\xbf\xbf", { 0x10FFFF } },
        { "\x80\xbf", { R, R } },
        { "\xc0\x80", { R, R } },
        { "\xc1\xbf", { R, R } },
        { "\xc2", { R } },
        { "\xc2z", { R, 'z' } },
        { "\xe0\x9f\x80", { R, R, R } },
        { "\xe0\xa0", { R } },
        { "\xe2\x82z", { R, 'z' } },
        { "\xed\xa0\x80", { R, R, R } },
        { "\xed\x9f\xbf", { 0xD7FF } },
        { "\xf0\x8f\xbf\xbf", { R, R, R, R } },
        { "\xf0\x90\x80", { R } },
        { "\xf0\x90\x80z", { R, 'z' } },
        { "\xf1\x80\x80\xe2\x82\xac", { R, 0x20AC } },
        { "\xf4\x90\x80\x80", { R, R, R, R } },
        { "\xf5\xfe\xff", { R, R, R } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        calo_codes codes = { 0 };
        size_t count = 0;
        while (cases[i].codes[count])
            count++;
        assert_int_equal(calo_unicode_decode(cases[i].bytes, strlen(cases[i].bytes), &codes, NULL), CALO_OK);
        assert_int_equal(codes.count, count);
        if (count)
            assert_memory_equal(codes.at, cases[i].codes, count * sizeof(uint32_t));
        calo_codes_free(&codes);
    }
}

static void encoding(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 0x110000; code++) {
        uint8_t bytes[4];
        calo_codes codes = { 0 };
        if (code >= 0xD800 && code <= 0xDFFF)
            continue;
        size_t size = (size_t)calo_unicode_encode(code, bytes);
        assert_int_equal(calo_unicode_decode((const char *)bytes, size, &codes, NULL), CALO_OK);
        assert_true(codes.count == 1 && codes.at[0] == code);
        calo_codes_free(&codes);
    }
}

/* Long runs of marks take another path than short ones; both must sort stably. */
static void long_runs(void **state)
{
    (void)state;
    enum { COUNT = 9 * 333 };
    static const uint32_t marks[] = { 0x345, 0x301, 0x323, 0x334, 0x315, 0x5B0, 0x94D, 0x308, 0x316 };
    /* The same marks by combining class (1, 9, 10, 220 twice, 230 twice, 232, 240). */
    static const uint32_t by_class[] = { 0x334, 0x94D, 0x5B0, 0x323, 0x316, 0x301, 0x308, 0x315, 0x345 };
    static const size_t alike[] = { 1, 1, 1, 2, 0, 2, 0, 1, 1 };
    uint32_t *text = calloc(COUNT + 1, sizeof *text);
    calo_codes composed = { 0 };
    text[0] = 'x'; /* joins only 308, which 301 blocks */
    for (size_t i = 0; i < COUNT; i++)
        text[i + 1] = marks[i % 9];
    assert_int_equal(calo_unicode_compose(text, COUNT + 1, &composed, NULL), CALO_OK);
    assert_int_equal(composed.count, COUNT + 1);
    size_t at = 1, each = COUNT / 9;
    for (size_t i = 0; i < 9; i++)
        for (size_t j = 0; j < each * alike[i]; j++, at++)
            if (alike[i] == 1)
                assert_int_equal(composed.at[at], by_class[i]);
            else /* equals keep the order in which they stood */
                assert_int_equal(composed.at[at], by_class[i + j % 2]);
    calo_codes_free(&composed);
    free(text);
}

static void normal_form(void **state)
{
    (void)state;
    static const char text[] = " \t\n A\xcc\x8a\xe3\x80\x80\xc2\xa0\xc4\xb0\xce\xa3 ";
    static const uint32_t expected[] = { ' ', 0xE5, ' ', 'i', 0x307, 0x3C3, ' ' };
    calo_codes codes = { 0 }, normal = { 0 };
    assert_int_equal(calo_unicode_decode(text, strlen(text), &codes, NULL), CALO_OK);
    assert_int_equal(calo_unicode_normalize(codes.at, codes.count, &normal, NULL), CALO_OK);
    assert_int_equal(normal.count, sizeof expected / sizeof *expected);
    assert_memory_equal(normal.at, expected, sizeof expected);
    calo_codes_free(&codes);
    calo_codes_free(&normal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point), cmocka_unit_test(decoding),    cmocka_unit_test(encoding),
        cmocka_unit_test(long_runs),        cmocka_unit_test(normal_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
