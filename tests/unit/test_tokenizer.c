/* The tokenizer against transformers' ids (tests/golden/tokenizer), and against files that are not what they should be.
 */
#include "../../engine/text/tokenizer.h"
#include "../../engine/shim.h"
#include "vector_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define GOLDEN CALO_TEST_DATA "/golden/tokenizer"

static char *slurp(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(*size + 1);
    assert_int_equal(fread(text, 1, *size, file), *size);
    text[*size] = 0;
    fclose(file);
    return text;
}

/* ---- vectors ---------------------------------------------------------------------------------------------------- */

struct group {
    calo_tokenizer *tokenizer;
    int length;
    int cases, wrong;
    const char *name;
};

static void open_group(struct group *group, const char *line)
{
    char name[64];
    int pad;
    unsigned long size;
    calo_fault fault = { 0 };
    calo_tokenizer_close(&group->tokenizer);
    assert_int_equal(sscanf(line, "folder %63s %d %d %lu", name, &group->length, &pad, &size), 4);
    if (strncmp(name, "clip", 4) == 0) {
        calo_tokenizer_open_builtin(name[4] ? "!" : NULL, &group->tokenizer, &fault);
    } else {
        char path[1024];
        snprintf(path, sizeof path, GOLDEN "/%s", name);
        calo_tokenizer_open_folder(path, &group->tokenizer, &fault);
    }
    assert_string_equal(fault.text, "");
    assert_int_equal(calo_tokenizer_pad(group->tokenizer), pad);
    assert_int_equal(calo_tokenizer_size(group->tokenizer), size);
    int stated = calo_tokenizer_max_length(group->tokenizer);
    assert_true(stated == 0 || stated == group->length);
}

static void check_case(struct group *group, char *line)
{
    char *fields[5];
    for (int i = 0; i < 5; i++) {
        fields[i] = line;
        char *tab = strchr(line, '\t');
        assert_true(tab || i == 4);
        if (tab) {
            *tab = 0;
            line = tab + 1;
        }
    }
    char *prompt = vector_text(fields[1], strtoul(fields[0], NULL, 10));
    int32_t ids[77], *all;
    int used = 0;
    size_t count;
    assert_true(group->length <= 77);
    memset(ids, 0x55, sizeof ids);
    assert_int_equal(calo_tokenizer_encode(group->tokenizer, prompt, ids, group->length, &used, NULL), CALO_OK);
    bool good = true;
    char *at = fields[2], *end;
    for (int i = 0; i < group->length; i++) {
        long expected = strtol(at, &end, 10);
        if (end == at)
            expected = calo_tokenizer_pad(group->tokenizer);
        good = good && ids[i] == expected;
        at = end;
    }
    assert_int_equal(calo_tokenizer_split(group->tokenizer, prompt, &all, &count, NULL), CALO_OK);
    uint64_t hash = 0xCBF29CE484222325u;
    for (size_t i = 0; i < count; i++)
        for (int byte = 0; byte < 4; byte++)
            hash = (hash ^ ((uint32_t)all[i] >> 8 * byte & 255)) * 0x100000001B3u;
    good = good && count == strtoul(fields[3], NULL, 10) && hash == strtoull(fields[4], NULL, 16);
    good = good && (size_t)used == (count + 2 < (size_t)group->length ? count + 2 : (size_t)group->length);
    if (!good && group->wrong++ < 5) {
        print_message("%s x%s\n  expected %s (%s)\n  got     ", fields[1], fields[0], fields[2], fields[3]);
        for (int i = 0; i < group->length; i++)
            print_message(" %d", ids[i]);
        print_message(" (%zu)\n", count);
    }
    group->cases++;
    calo_free(all);
    free(prompt);
}

static void check_file(const char *path, int least)
{
    size_t size;
    char *text = slurp(path, &size);
    struct group group = { 0 };
    for (char *line = text, *next; line < text + size; line = next) {
        next = strchr(line, '\n');
        *next++ = 0;
        if (*line == '#')
            continue;
        if (strncmp(line, "folder", 6) == 0)
            open_group(&group, line);
        else
            check_case(&group, line);
    }
    calo_tokenizer_close(&group.tokenizer);
    free(text);
    assert_int_equal(group.wrong, 0);
    assert_true(group.cases >= least);
}

static void demo_vectors(void **state)
{
    (void)state;
    check_file(GOLDEN "/demo.txt", 500);
}

static void clip_vectors(void **state)
{
    (void)state;
    check_file(GOLDEN "/clip.txt", 500);
}

static void small_vectors(void **state)
{
    (void)state;
    check_file(GOLDEN "/small.txt", 700);
}

/* ---- the built-in vocabulary and the rest of the interface --------------------------------------------------------
 */

static void builtin_facts(void **state)
{
    (void)state;
    calo_fault fault = { 0 };
    calo_tokenizer *tokenizer;
    int32_t ids[77];
    static const int32_t cat[] = { 49406, 320, 1125, 539, 320, 2368, 49407 };
    int used;
    assert_int_equal(calo_tokenizer_open_builtin(NULL, &tokenizer, &fault), CALO_OK);
    assert_int_equal(calo_tokenizer_size(tokenizer), 49408);
    assert_int_equal(calo_tokenizer_rows(tokenizer), 49408);
    assert_int_equal(calo_tokenizer_bos(tokenizer), 49406);
    assert_int_equal(calo_tokenizer_eos(tokenizer), 49407);
    assert_int_equal(calo_tokenizer_max_length(tokenizer), 77);
    assert_int_equal(calo_tokenizer_find(tokenizer, "cat</w>"), 2368);
    assert_int_equal(calo_tokenizer_find(tokenizer, "no such word"), -1);
    calo_tokenizer_set_pad(tokenizer, 0);
    assert_int_equal(calo_tokenizer_encode(tokenizer, "a photo of a cat", ids, 77, &used, &fault), CALO_OK);
    assert_int_equal(used, 7);
    assert_memory_equal(ids, cat, sizeof cat);
    for (int i = 7; i < 77; i++)
        assert_int_equal(ids[i], 0);
    assert_int_equal(calo_tokenizer_encode(tokenizer, NULL, ids, 2, &used, &fault), CALO_OK);
    assert_true(used == 2 && ids[0] == 49406 && ids[1] == 49407);
    assert_int_equal(calo_tokenizer_encode(tokenizer, "a", ids, 1, NULL, &fault), CALO_EUSAGE);
    calo_tokenizer_close(&tokenizer);
    assert_null(tokenizer);
    calo_tokenizer_close(&tokenizer);
}

/* 10 MB each: one word, many words, no word, marks of descending class, starts of an added token. */
static void long_prompts(void **state)
{
    (void)state;
    static const char *const units[] = {
        "abcdefghij", "a cat, ",          " \t\n",       "\xcd\x85\xcc\x81\xcc\xa3\xcc\xb4", "<|endoftext",
        "\xff",       "\xf0\x9f\x98\x80", "\xea\xb0\x80"
    };
    enum { SIZE = 10000000 };
    calo_fault fault = { 0 };
    calo_tokenizer *tokenizer;
    char *text = malloc(SIZE + 1);
    double start = calo_seconds();
    assert_int_equal(calo_tokenizer_open_builtin(NULL, &tokenizer, &fault), CALO_OK);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        int32_t ids[77];
        int used;
        size_t unit = strlen(units[i]);
        for (size_t j = 0; j < SIZE; j++)
            text[j] = units[i][j % unit];
        text[SIZE] = 0;
        assert_int_equal(calo_tokenizer_encode(tokenizer, text, ids, 77, &used, &fault), CALO_OK);
        assert_int_equal(used, i == 2 ? 2 : 77);
        print_message("%zu: %.1f s\n", i, calo_seconds() - start);
    }
    assert_true(calo_seconds() - start < 400); /* quadratic work would take days */
    calo_tokenizer_close(&tokenizer);
    free(text);
}

/* ---- files that are not what they should be ---------------------------------------------------------------------- */

static char folder[] = "/tmp/calo-tokenizer-XXXXXX";
static const char *const files[] = {
    "vocab.json",       "merges.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json"
};
enum { FILES = sizeof files / sizeof *files };

static void put(const char *file, const void *bytes, size_t size)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, size, out), size);
    assert_int_equal(fclose(out), 0);
}

static void empty_folder(void)
{
    for (int i = 0; i < FILES; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    empty_folder();
    return rmdir(folder);
}

/* Opens the folder. What opens must also encode; what does not must say why, naming the folder. */
static calo_status try_open(calo_fault *fault)
{
    calo_tokenizer *tokenizer = NULL;
    int32_t ids[20];
    *fault = (calo_fault){ 0 };
    calo_status status = calo_tokenizer_open_folder(folder, &tokenizer, fault);
    if (status) {
        assert_null(tokenizer);
        assert_int_equal(status, CALO_EFILE);
        assert_int_equal(fault->status, CALO_EFILE);
        assert_non_null(strstr(fault->text, folder));
        return status;
    }
    calo_fault told = { 0 };
    status = calo_tokenizer_encode(tokenizer, "a cat's red house <|endoftext|> \xf0\x9f\x98\x80 <cat-toy>  gap", ids,
                                   20, NULL, &told);
    assert_true(status == CALO_OK || (status == CALO_EFILE && told.text[0]));
    calo_tokenizer_close(&tokenizer);
    return CALO_OK;
}

static void expect(const char *part)
{
    calo_fault fault;
    calo_status status = try_open(&fault);
    if (status != CALO_EFILE || !strstr(fault.text, part))
        fail_msg("expected \"%s\", got %d \"%s\"", part, status, fault.text);
}

static void put_text(const char *file, const char *text)
{
    put(file, text, strlen(text));
}

static void wrong_files(void **state)
{
    (void)state;
    static const char ends[] = "\"<|startoftext|>\":2,\"<|endoftext|>\":3}";
    char vocab[256];
    calo_fault fault;
    empty_folder();
    expect("neither vocab.json nor tokenizer.json");
    snprintf(vocab, sizeof vocab, "{\"a\":0,\"a</w>\":1,%s", ends);
    put_text("vocab.json", vocab);
    expect("merges.txt");
    put_text("merges.txt", "#version: 0.2\n");
    assert_int_equal(try_open(&fault), CALO_OK);
    put_text("merges.txt", "#version: 0.2\na a</w>\n");
    expect("merge 1 makes \"aa</w>\"");
    put_text("merges.txt", "#version: 0.2\na b\n");
    expect("merge 1 joins \"b\"");
    put_text("merges.txt", "#version: 0.2\na a a\n");
    expect("merges.txt: line 2");
    put_text("merges.txt", "a\n");
    expect("merges.txt: line 1");
    put_text("merges.txt", "\n");
    expect("merges.txt: line 1");
    put("merges.txt", "a\0 a", 4);
    expect("merges.txt");
    put_text("merges.txt", "");
    static const char *const vocabularies[][2] = {
        { "", "not valid JSON" },
        { "[]", "expected an object" },
        { "{\"a\":0} x", "not valid JSON" },
        { "{\"a\":-1}", "vocab.json: the id of \"a\"" },
        { "{\"a\":0.5}", "the id of \"a\"" },
        { "{\"a\":4294967296}", "the id of \"a\"" },
        { "{\"a\":1e300}", "the id of \"a\"" },
        { "{\"a\":\"0\"}", "the id of \"a\"" },
        { "{\"a\":null}", "the id of \"a\"" },
        { "{\"a\\u0000b\":1}", "not valid JSON" },
        { "{\"\\ud800\":1}", "not valid JSON" },
    };
    for (size_t i = 0; i < sizeof vocabularies / sizeof *vocabularies; i++) {
        put_text("vocab.json", vocabularies[i][0]);
        expect(vocabularies[i][1]);
    }
    put_text("vocab.json", vocab);
    static const char *const configs[][2] = {
        { "{\"bos_token\":null}", "\"bos_token\" is null" },
        { "{\"pad_token\":null}", "\"pad_token\" is null" },
        { "{\"eos_token\":3}", "\"eos_token\" is not a token" },
        { "{\"eos_token\":{\"content\":\"a\"}}", "\"eos_token\" is not a token" },
        { "{\"eos_token\":{\"__type\":\"AddedToken\",\"content\":1}}", "\"eos_token\" is not a token" },
        { "{\"eos_token\":{\"__type\":\"AddedToken\",\"content\":\"e\",\"lstrip\":1}}",
          "\"eos_token\" is not a token" },
        { "{\"bos_token\":\"\"}", "is empty" },
        { "{\"added_tokens_decoder\":[]}", "added_tokens_decoder" },
        { "{\"added_tokens_decoder\":{\"x\":{\"content\":\"a\"}}}", "\"x\" is not a token" },
        { "{\"added_tokens_decoder\":{\"-1\":{\"content\":\"a\"}}}", "\"-1\" is not a token" },
        { "{\"added_tokens_decoder\":{\"1\":\"a\"}}", "\"1\" is not a token" },
        { "{\"extra_special_tokens\":[1]}", "extra_special_tokens" },
        { "{\"extra_special_tokens\":7}", "extra_special_tokens" },
        { "{\"model_max_length\":\"77\"}", "model_max_length" },
        { "{\"model_max_length\":1}", "model_max_length" },
        { "{\"padding_side\":\"up\"}", "padding_side" },
        { "{\"truncation_side\":1}", "truncation_side" },
        { "[]", "tokenizer_config.json: expected an object" },
        { "{\"added_tokens_decoder\":{\"9\":{\"content\":\"Ab\"},\"10\":{\"content\":\"aB\"}}}", "sought alike" },
    };
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        put_text("tokenizer_config.json", configs[i][0]);
        expect(configs[i][1]);
    }
    put_text("tokenizer_config.json", "{}");
    put_text("added_tokens.json", "{\"x\":\"y\"}");
    expect("added_tokens.json");
    put_text("added_tokens.json", "{}");
    static const char *const wholes[][2] = {
        { "{}", "tokenizer.json: the vocabulary is not an object" },
        { "{\"model\":{\"vocab\":[]}}", "tokenizer.json: the vocabulary is not an object" },
        { "{\"model\":{\"vocab\":{},\"merges\":{}}}", "\"merges\" is not a list" },
        { "{\"model\":{\"vocab\":{},\"merges\":[1]}}", "merge 1 is not two words" },
        { "{\"model\":{\"vocab\":{},\"merges\":[\"a b c\"]}}", "merge 1 is not two words" },
        { "{\"model\":{\"vocab\":{},\"merges\":[[\"a\"]]}}", "merge 1 is not two words" },
        { "{\"model\":{\"vocab\":{},\"merges\":[[\"a\",\"b\",\"c\"]]}}", "merge 1 is not two words" },
        { "{\"model\":{\"vocab\":{},\"merges\":[[]]}}", "merge 1 is not two words" },
        { "{\"model\":{\"vocab\":{}},\"added_tokens\":{}}", "added_tokens" },
        { "{\"model\":{\"vocab\":{}},\"added_tokens\":[{\"content\":\"a\"}]}", "added_tokens" },
    };
    for (size_t i = 0; i < sizeof wholes / sizeof *wholes; i++) {
        put_text("tokenizer.json", wholes[i][0]);
        expect(wholes[i][1]);
    }
    /* A vocabulary of nothing opens, but has no words for a prompt. */
    put_text("tokenizer.json", "{\"model\":{\"vocab\":{}}}");
    assert_int_equal(try_open(&fault), CALO_OK);
    /* Deep nesting must not exhaust the stack. */
    static char deep[200000];
    memset(deep, '[', sizeof deep);
    put("tokenizer.json", deep, sizeof deep);
    expect("tokenizer.json: not valid JSON");
}

static void copy(const char *from, const char *file)
{
    char path[1024];
    size_t size;
    snprintf(path, sizeof path, GOLDEN "/%s/%s", from, file);
    if (access(path, R_OK) != 0)
        return;
    char *text = slurp(path, &size);
    put(file, text, size);
    free(text);
}

static uint32_t seed = 12345;

static uint32_t roll(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)(seed >> 4) * below >> 28);
}

/* Changes one place of a text: a byte, a cut, a doubled or a moved piece, or a value that parsers dislike. */
static size_t mutate(char *text, size_t size, size_t capacity)
{
    static const char *const evil[] = { "-1",         "1e999",   "null",     "{}",   "[]", "\"\"",
                                        "4294967295", "\\u0000", "\xff\xfe", "true", "," };
    size_t at = roll((uint32_t)size), length = 1 + roll(40);
    if (length > size - at)
        length = size - at;
    const char *value = evil[roll(sizeof evil / sizeof *evil)];
    switch (roll(5)) {
    case 0:
        text[at] = (char)roll(256);
        return size;
    case 1:
        return at;
    case 2:
        memmove(text + at, text + at + length, size - at - length);
        return size - length;
    case 3:
        if (size + length > capacity)
            return size;
        memmove(text + at + length, text + at, size - at);
        return size + length;
    default:
        length = strlen(value);
        if (at + length > capacity)
            return size;
        memcpy(text + at, value, length);
        return at + length > size ? at + length : size;
    }
}

static void mutated_files(void **state)
{
    (void)state;
    static const char *const sources[] = { "small_bang",  "small_decoder", "small_extra",
                                           "small_alone", "small_both",    "demo" };
    int opened = 0, refused = 0;
    calo_fault fault;
    for (size_t source = 0; source < sizeof sources / sizeof *sources; source++)
        for (int file = 0; file < FILES; file++) {
            char path[1024];
            snprintf(path, sizeof path, GOLDEN "/%s/%s", sources[source], files[file]);
            if (access(path, R_OK) != 0)
                continue;
            empty_folder();
            for (int i = 0; i < FILES; i++)
                copy(sources[source], files[i]);
            assert_int_equal(try_open(&fault), CALO_OK);
            size_t size, rounds = strcmp(sources[source], "demo") == 0 ? 60 : 250;
            char *text = slurp(path, &size), *changed = malloc(size + 64);
            for (size_t round = 0; round < rounds; round++) {
                size_t now = size;
                memcpy(changed, text, size);
                for (uint32_t times = 1 + roll(3); times && now; times--)
                    now = mutate(changed, now, size + 64);
                put(files[file], changed, now);
                *(try_open(&fault) ? &refused : &opened) += 1;
            }
            /* And cut at every byte, where the file is small. */
            for (size_t cut = 0; cut < size && size < 3000; cut++) {
                put(files[file], text, cut);
                *(try_open(&fault) ? &refused : &opened) += 1;
            }
            free(changed);
            free(text);
        }
    print_message("%d damaged folders were refused, %d still opened\n", refused, opened);
    assert_true(refused > 1000 && opened > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(demo_vectors),  cmocka_unit_test(clip_vectors), cmocka_unit_test(small_vectors),
        cmocka_unit_test(builtin_facts), cmocka_unit_test(long_prompts), cmocka_unit_test(wrong_files),
        cmocka_unit_test(mutated_files),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
