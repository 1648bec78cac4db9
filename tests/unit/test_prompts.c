/* Prompts in the grammars of A1111 and ComfyUI against what those programs make of them (tests/golden/prompts), and
   prompts that no one means well. */
#include "../../engine/text/prompt.h"
#include "../../engine/shim.h"
#include "allocations.h"
#include "vector_text.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GOLDEN CALO_TEST_DATA "/golden/prompts/"

static calo_tokenizer *clip, *open_clip;

/* ---- memory that runs out -----------------------------------------------------------------------------------------
 */

char *__real_calo_copy_string(const char *text);
char *__wrap_calo_copy_string(const char *text);

char *__wrap_calo_copy_string(const char *text)
{
    return fails_now() ? NULL : __real_calo_copy_string(text);
}

/* ---- files of vectors ---------------------------------------------------------------------------------------------
 */

/* Cuts the next field off a line; NULL behind the last. */
static char *field(char **line)
{
    char *from = *line, *tab = from ? strchr(from, '\t') : NULL;
    if (tab)
        *tab = 0;
    *line = tab ? tab + 1 : NULL;
    return from;
}

/* Calls check(state, line) for each line that is no comment. */
static void each_line(const char *name, void (*check)(void *state, char *line), void *state)
{
    char path[1024], *text;
    size_t size;
    snprintf(path, sizeof path, "%s%s", GOLDEN, name);
    assert_int_equal(calo_read_file(path, 1 << 24, &text, &size, NULL), CALO_OK);
    for (char *line = text, *next; *line; line = next) {
        next = strchr(line, '\n');
        *next++ = 0;
        if (*line != '#')
            check(state, line);
    }
    calo_free(text);
}

/* ---- ids and weights ----------------------------------------------------------------------------------------------
 */

struct group {
    calo_prompt_style style;
    const calo_tokenizer *tokenizer;
    int length, cases[3], wrong;
};

static bool same_ids(const calo_prompt_tokens *tokens, const char *shown, int32_t pad)
{
    if (*shown == '-')
        return true;
    char *end;
    for (int chunk = 0; chunk < tokens->chunks; chunk++) {
        for (int i = 0; i < tokens->length; i++) {
            long expected = *shown && *shown != '|' ? strtol(shown, &end, 10) : pad;
            if (*shown && *shown != '|')
                shown = end;
            if (tokens->ids[chunk * tokens->length + i] != expected)
                return false;
        }
        shown += *shown == '|';
    }
    return *shown == 0;
}

static uint64_t hash_ids(const calo_prompt_tokens *tokens)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (int i = 0; i < tokens->chunks * tokens->length; i++)
        for (int byte = 0; byte < 4; byte++)
            hash = (hash ^ ((uint32_t)tokens->ids[i] >> 8 * byte & 255)) * 0x100000001B3u;
    return hash;
}

static bool same_weights(const calo_prompt_tokens *tokens, const char *runs)
{
    const int count = tokens->chunks * tokens->length;
    bool weighted = false, same = true;
    int at = 0;
    while (*runs) {
        char *end;
        double expected = strtod(runs, &end);
        for (long times = strtol(end + 1, &end, 10); times && at < count; times--, at++)
            same = same && fabs(tokens->weights[at] - expected) <= 1e-6 * fabs(expected);
        weighted = weighted || expected != 1.0;
        runs = end + (*end == ' ');
    }
    return same && at == count && tokens->weighted == weighted;
}

static void check_weights(void *state, char *line)
{
    struct group *group = state;
    char style[16], encoder[16];
    if (strncmp(line, "style", 5) == 0) {
        assert_int_equal(sscanf(line, "style %15s %15s %d", style, encoder, &group->length), 3);
        group->style = strcmp(style, "comfy") == 0 ? CALO_PROMPT_COMFY : CALO_PROMPT_A1111;
        group->tokenizer = encoder[4] ? open_clip : clip;
        return;
    }
    size_t repeat = strtoul(field(&line), NULL, 10);
    char *shown = field(&line), *prompt = vector_text(shown, repeat);
    int chunks = atoi(field(&line));
    char *ids = field(&line), *hash = field(&line), *weights = field(&line);
    calo_prompt_tokens tokens;
    calo_fault fault = { 0 };
    assert_int_equal(calo_prompt_tokenize(group->style, prompt, group->tokenizer, group->length, &tokens, &fault), 0);
    bool good = tokens.chunks == chunks && tokens.length == group->length &&
                same_ids(&tokens, ids, calo_tokenizer_pad(group->tokenizer)) &&
                hash_ids(&tokens) == strtoull(hash, NULL, 16) && same_weights(&tokens, weights);
    if (!good && group->wrong++ < 5) {
        print_message("style %d, length %d: %s\n  expected %s, %s\n  got     ", (int)group->style, group->length, shown,
                      ids, weights);
        for (int i = 0; i < tokens.chunks * tokens.length; i++)
            print_message(" %d*%g", tokens.ids[i], tokens.weights[i]);
        print_message("\n");
    }
    group->cases[group->style]++;
    calo_prompt_tokens_free(&tokens);
    free(prompt);
}

static void weight_vectors(void **state)
{
    (void)state;
    struct group group = { 0 };
    each_line("weights.txt", check_weights, &group);
    assert_int_equal(group.wrong, 0);
    assert_true(group.cases[CALO_PROMPT_A1111] >= 300 && group.cases[CALO_PROMPT_COMFY] >= 300);
}

/* ---- compositions and schedules -----------------------------------------------------------------------------------
 */

static void check_composition(void *state, char *line)
{
    int *cases = state, count, i = 0;
    char *prompt = vector_text(field(&line), 1), *part;
    calo_prompt_part *parts;
    assert_int_equal(calo_prompt_compose(CALO_PROMPT_A1111, prompt, &parts, &count, NULL), 0);
    for (; (part = field(&line)); i++) {
        char *end;
        double weight = strtod(part, &end);
        char *text = vector_text(end + 1, 1);
        assert_true(i < count);
        assert_string_equal(parts[i].text, text);
        assert_true(fabs(parts[i].weight - weight) <= 1e-6 * fabs(weight));
        free(text);
    }
    assert_int_equal(i, count);
    calo_prompt_parts_free(&parts, count);
    free(prompt);
    ++*cases;
}

static void check_schedule(void *state, char *line)
{
    int *cases = state, count, i = 0;
    int steps = atoi(field(&line));
    char *prompt = vector_text(field(&line), 1), *part;
    calo_prompt_span *spans;
    assert_int_equal(calo_prompt_schedule(CALO_PROMPT_A1111, prompt, steps, &spans, &count, NULL), 0);
    for (; (part = field(&line)); i++) {
        char *end;
        long step = strtol(part, &end, 10);
        char *text = vector_text(end + 1, 1);
        if (i >= count || spans[i].end_step != step || strcmp(spans[i].text, text))
            fail_msg("%s over %d steps: expected %ld:%s, got %d:%s", prompt, steps, step, text,
                     i < count ? spans[i].end_step : -1, i < count ? spans[i].text : "nothing");
        free(text);
    }
    assert_int_equal(i, count);
    calo_prompt_spans_free(&spans, count);
    free(prompt);
    ++*cases;
}

static void text_vectors(void **state)
{
    (void)state;
    int compositions = 0, schedules = 0;
    each_line("compositions.txt", check_composition, &compositions);
    each_line("schedules.txt", check_schedule, &schedules);
    assert_true(compositions >= 80 && schedules >= 300);
}

/* ---- weights on an encoder's output -------------------------------------------------------------------------------
 */

static int64_t read_numbers(const char *text, double *values)
{
    int64_t count = 0;
    for (char *end; *text; text = end + (*end == ' '))
        values[count++] = strtod(text, &end);
    return count;
}

static void check_output(void *state, char *line)
{
    int *cases = state;
    double values[256], empty[256], weights[256], expected[256];
    float z[256], base[256];
    bool comfy = strcmp(field(&line), "comfy") == 0;
    int64_t chunks = atoi(field(&line)), length = atoi(field(&line)), width = atoi(field(&line));
    int64_t count = chunks * length * width;
    assert_int_equal(read_numbers(field(&line), values), count);
    char *text = field(&line);
    int64_t bases = comfy ? read_numbers(text, empty) : 0;
    assert_int_equal(bases, comfy ? length * width : 0);
    assert_int_equal(read_numbers(field(&line), weights), chunks * length);
    assert_int_equal(read_numbers(field(&line), expected), count);
    for (int64_t i = 0; i < count; i++)
        z[i] = (float)values[i];
    for (int64_t i = 0; i < bases; i++)
        base[i] = (float)empty[i];
    if (comfy)
        calo_prompt_weigh_comfy(z, base, weights, chunks, length, width);
    else
        calo_prompt_weigh_a1111(z, weights, chunks * length, width, true);
    for (int64_t i = 0; i < count; i++)
        assert_true(fabs(z[i] - expected[i]) <= 1e-6 * (fabs(expected[i]) + 1.0));
    ++*cases;
}

static void output_vectors(void **state)
{
    (void)state;
    int cases = 0;
    each_line("outputs.txt", check_output, &cases);
    assert_true(cases == 8);
}

static void weighing(void **state)
{
    (void)state;
    const double weights[] = { 1.0, 2.0, 0.5 }, nothing[] = { 0.0, 0.0, 0.0 }, ones[] = { 1.0, 1.0, 1.0 };
    float z[] = { 1, 2, 3, 4, 5, 6 };
    calo_prompt_weigh_a1111(z, weights, 3, 2, false);
    static const float scaled[] = { 1, 2, 6, 8, 2.5f, 3 };
    assert_memory_equal(z, scaled, sizeof z);
    calo_prompt_weigh_a1111(z, ones, 3, 2, true);
    assert_memory_equal(z, scaled, sizeof z);
    calo_prompt_weigh_a1111(z, nothing, 3, 2, true); /* a mean of 0, which cannot be restored */
    for (int i = 0; i < 6; i++)
        assert_true(z[i] == 0.0f);
}

/* ---- what has no vectors ------------------------------------------------------------------------------------------
 */

/* Ids of the first chunk and the weight of each, as text: "id*weight …" up to the end token. */
static void shows(calo_prompt_style style, const char *prompt, const char *expected)
{
    calo_prompt_tokens tokens;
    char text[1024] = "";
    size_t size = 0;
    assert_int_equal(calo_prompt_tokenize(style, prompt, clip, 77, &tokens, NULL), 0);
    for (int i = 1; tokens.ids[i] != 49407; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%d*%g", i > 1 ? " " : "", tokens.ids[i],
                                 tokens.weights[i]);
    assert_string_equal(text, expected);
    calo_prompt_tokens_free(&tokens);
}

/* Where the originals end in an exception or in NaN. */
static void differences(void **state)
{
    (void)state;
    shows(CALO_PROMPT_A1111, "(cat:1.2.3) cat", "2368*1.1 281*1.1 272*1.1 269*1.1 273*1.1 269*1.1 274*1.1 2368*1");
    shows(CALO_PROMPT_A1111, "(cat:.)", "2368*1.1 25*1.1 269*1.1");
    shows(CALO_PROMPT_A1111, "(cat:nan)", "2368*1.1 281*1.1 7750*1.1");
    shows(CALO_PROMPT_COMFY, "(cat:nan)", "2368*1.1 281*1.1 7750*1.1");
    shows(CALO_PROMPT_COMFY, "(cat:1e2)", "2368*100");
    shows(CALO_PROMPT_COMFY, "(cat:1e999)", "2368*1.1 281*1.1 272*1.1 324*1.1 280*1.1 280*1.1 280*1.1");
    shows(CALO_PROMPT_COMFY, "(cat:-inf)", "2368*1.1 10323*1.1 35241*1.1");
    char line[] = "10\t[a:b:1e999]\t10:a", below[] = "10\t[a:b:-1.e999]\t10:b",
         ambiguous[] = "4\t[a:b:3])[\t3:a)[\t4:b)[";
    int cases = 0;
    check_schedule(&cases, line);
    check_schedule(&cases, below);
    check_schedule(&cases, ambiguous);
    char invalid[] = "a\xff[b:2]";
    calo_prompt_span *spans;
    assert_int_equal(calo_prompt_schedule(CALO_PROMPT_A1111, invalid, 4, &spans, &cases, NULL), 0);
    assert_int_equal(cases, 2);
    assert_string_equal(spans[1].text, "a\xef\xbf\xbd"
                                       "b");
    calo_prompt_spans_free(&spans, cases);
}

static void plain(void **state)
{
    (void)state;
    static const char text[] = "(cat:2) AND [dog|bird] BREAK [a:b:2]";
    static const calo_prompt_style styles[] = { CALO_PROMPT_PLAIN, CALO_PROMPT_COMFY };
    calo_prompt_part *parts;
    calo_prompt_span *spans;
    calo_prompt_tokens tokens;
    int32_t ids[77];
    int count;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(calo_prompt_compose(styles[i], text, &parts, &count, NULL), 0);
        assert_true(count == 1 && parts[0].weight == 1.0 && strcmp(parts[0].text, text) == 0);
        calo_prompt_parts_free(&parts, count);
        assert_int_equal(calo_prompt_schedule(styles[i], text, 20, &spans, &count, NULL), 0);
        assert_true(count == 1 && spans[0].end_step == 20 && strcmp(spans[0].text, text) == 0);
        calo_prompt_spans_free(&spans, count);
    }
    assert_int_equal(calo_prompt_tokenize(CALO_PROMPT_PLAIN, text, open_clip, 77, &tokens, NULL), 0);
    assert_int_equal(calo_tokenizer_encode(open_clip, text, ids, 77, NULL, NULL), 0);
    assert_true(tokens.chunks == 1 && tokens.length == 77 && !tokens.weighted);
    assert_memory_equal(tokens.ids, ids, sizeof ids);
    for (int i = 0; i < 77; i++)
        assert_true(tokens.weights[i] == 1.0);
    calo_prompt_tokens_free(&tokens);
    assert_null(tokens.ids);
    calo_prompt_tokens_free(&tokens);
}

/* "!" is OpenCLIP's padding in plain text, and a word for those who weigh. */
static void padding_word(void **state)
{
    (void)state;
    calo_prompt_tokens tokens;
    assert_int_equal(calo_prompt_tokenize(CALO_PROMPT_PLAIN, "cat!", open_clip, 77, &tokens, NULL), 0);
    assert_int_equal(tokens.ids[2], 0);
    calo_prompt_tokens_free(&tokens);
    assert_int_equal(calo_prompt_tokenize(CALO_PROMPT_A1111, "cat!", open_clip, 77, &tokens, NULL), 0);
    assert_int_equal(tokens.ids[2], 256);
    calo_prompt_tokens_free(&tokens);
}

static void refuses(void **state)
{
    (void)state;
    calo_prompt_tokens tokens;
    calo_prompt_part *parts;
    calo_prompt_span *spans;
    calo_fault fault = { 0 };
    int count;
    char *text = malloc(CALO_PROMPT_LONGEST + 2);
    memset(text, 'a', CALO_PROMPT_LONGEST + 1);
    text[CALO_PROMPT_LONGEST + 1] = 0;
    assert_int_equal(calo_prompt_tokenize(CALO_PROMPT_A1111, text, clip, 77, &tokens, &fault), CALO_EUSAGE);
    assert_non_null(strstr(fault.text, "262145 bytes"));
    assert_int_equal(calo_prompt_tokenize(CALO_PROMPT_COMFY, text, clip, 77, &tokens, NULL), CALO_EUSAGE);
    assert_int_equal(calo_prompt_compose(CALO_PROMPT_A1111, text, &parts, &count, NULL), CALO_EUSAGE);
    assert_null(parts);
    assert_int_equal(calo_prompt_schedule(CALO_PROMPT_A1111, text, 4, &spans, &count, NULL), CALO_EUSAGE);
    assert_null(spans);
    text[CALO_PROMPT_LONGEST] = 0;
    assert_int_equal(calo_prompt_tokenize(CALO_PROMPT_A1111, text, clip, 77, &tokens, NULL), CALO_OK);
    calo_prompt_tokens_free(&tokens);
    assert_int_equal(calo_prompt_tokenize(CALO_PROMPT_A1111, "a", clip, 2, &tokens, NULL), CALO_EUSAGE);
    assert_int_equal(calo_prompt_tokenize(CALO_PROMPT_COMFY, "a", clip, 2, &tokens, NULL), CALO_EUSAGE);
    assert_int_equal(calo_prompt_tokenize(CALO_PROMPT_PLAIN, "a", clip, 1, &tokens, NULL), CALO_EUSAGE);
    assert_int_equal(calo_prompt_schedule(CALO_PROMPT_PLAIN, "a", 0, &spans, &count, NULL), CALO_EUSAGE);
    free(text);
}

/* ---- hostile ones -------------------------------------------------------------------------------------------------
 */

/* Through everything, in every style; what comes out is in bounds. The first failure's status. */
static calo_status read_prompt(const char *prompt, int length, int steps)
{
    for (int style = CALO_PROMPT_PLAIN; style <= CALO_PROMPT_COMFY; style++) {
        calo_prompt_part *parts;
        calo_prompt_span *spans = NULL;
        calo_prompt_tokens tokens = { 0 };
        int part_count, span_count = 0;
        calo_status status = calo_prompt_compose((calo_prompt_style)style, prompt, &parts, &part_count, NULL);
        if (!status)
            status = calo_prompt_schedule((calo_prompt_style)style, parts[part_count - 1].text, steps, &spans,
                                          &span_count, NULL);
        if (!status)
            status =
                calo_prompt_tokenize((calo_prompt_style)style, prompt, style ? open_clip : clip, length, &tokens, NULL);
        if (status) {
            assert_true(!tokens.ids && !tokens.weights);
        } else {
            assert_int_equal(spans[span_count - 1].end_step, steps);
            for (int i = 1; i < span_count; i++)
                assert_true(spans[i - 1].end_step >= 1 && spans[i - 1].end_step < spans[i].end_step);
            for (int i = 0; i < tokens.chunks * length; i++)
                assert_true(tokens.ids[i] >= 0 && tokens.ids[i] < 49408);
            for (int i = 0; i < tokens.chunks; i++)
                assert_true(tokens.ids[i * length] == 49406 && tokens.weights[i * length] == 1.0);
        }
        calo_prompt_parts_free(&parts, part_count);
        calo_prompt_spans_free(&spans, span_count);
        calo_prompt_tokens_free(&tokens);
        if (status)
            return status;
    }
    return CALO_OK;
}

/* `left`, `middle`, `right`: the outer ones so many times. */
static void nest(const char *left, const char *middle, const char *right, int times)
{
    const size_t size = (strlen(left) + strlen(right)) * (size_t)times + strlen(middle);
    char *text = malloc(size + 1), *at = text;
    assert_true(size <= CALO_PROMPT_LONGEST);
    for (int i = 0; i < times; i++)
        at += sprintf(at, "%s", left);
    at += sprintf(at, "%s", middle);
    for (int i = 0; i < times; i++)
        at += sprintf(at, "%s", right);
    double start = calo_seconds();
    assert_int_equal(read_prompt(text, 77, 5), CALO_OK);
    double taken = calo_seconds() - start;
    print_message("%s…%s…%s: %.2f s\n", left, middle, right, taken);
    assert_true(taken < 120);
    free(text);
}

static void deep(void **state)
{
    (void)state;
    nest("(", "a", ")", 100000);
    nest("[", "a", "]", 100000);
    nest("([", "a", "", 100000);
    nest("", "a", ")", 100000);
    nest("|", "[", "|", 100000);
    nest("[(", "a", "])", 60000);
    nest(":", "1", "", 100000);
    nest("\\", "(", "\\", 100000);
    nest("(", "1111111111:", "1)", 80000);
    nest("(a", "b", "", 20000);
    nest("(a", "b", ")c", 20000);
    nest("[a", "b", "]c", 20000);
    nest("(a", "b", ":1.01)", 20000);
    nest("(a", "b:1:2:3", ")", 20000);
    nest("[", "a", ":b:2]", 20000);
    nest("[a:", "b", ":2]", 20000);
    nest("[a|", "b", "]", 20000);
    nest("BREAK ", "a", "", 20000);
    nest("a AND ", "b", ":2", 20000);
    nest(" embedding:", "a", "", 20000);
}

static void memory_fails(void **state)
{
    (void)state;
    static const char prompt[] = "(a [b:c:2] (d:1.2) [e|f] \xff BREAK g) AND h :2 AND i embedding:j (((k)";
    for (long i = 0;; i++) {
        allocations_left = i;
        calo_status status = read_prompt(prompt, 5, 4);
        bool reached = allocations_left < 0;
        allocations_left = -1;
        assert_int_equal(status, reached ? CALO_EMEMORY : CALO_OK);
        if (!reached) {
            assert_true(i > 60);
            break;
        }
    }
}

/* xorshift64*, so that a failure can be repeated. */
static uint64_t seed = 0x9E3779B97F4A7C15u;

static uint32_t draw(uint32_t below)
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (uint32_t)((seed * 0x2545F4914F6CDD1Du) >> 33) % below;
}

static void random_prompts(void **state)
{
    (void)state;
    static const char *const pieces[] = { "(",          ")",
                                          "[",          "]",
                                          ":",          "|",
                                          "\\",         "a",
                                          "cat ",       ",",
                                          " ",          "\n",
                                          "1.2",        ":1.2)",
                                          "BREAK",      " AND ",
                                          "embedding:", "1e999",
                                          "nan",        "\xf0\x9f\x98",
                                          "-",          "_",
                                          ":.5]",       "[a:b",
                                          "\xcc\x81",   "<|endoftext|>",
                                          "!",          "99999999999999999999999999999999999999",
                                          "\xd9\xa3",   "\x85" };
    char text[512];
    for (int i = 0; i < 20000; i++) {
        size_t size = 0;
        for (uint32_t left = draw(24); left; left--) {
            const char *piece = pieces[draw(sizeof pieces / sizeof *pieces)];
            char byte[2] = { (char)(1 + draw(255)), 0 };
            size += (size_t)sprintf(text + size, "%s", draw(5) ? piece : byte);
            assert_true(size < sizeof text - 64);
        }
        text[size] = 0;
        assert_int_equal(read_prompt(text, 3 + (int)draw(20), 1 + (int)draw(6)), CALO_OK);
    }
}

static int open_tokenizers(void **state)
{
    (void)state;
    return calo_tokenizer_open_builtin(NULL, &clip, NULL) || calo_tokenizer_open_builtin("!", &open_clip, NULL);
}

static int close_tokenizers(void **state)
{
    (void)state;
    calo_tokenizer_close(&clip);
    calo_tokenizer_close(&open_clip);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weight_vectors),

        cmocka_unit_test(text_vectors),   cmocka_unit_test(output_vectors), cmocka_unit_test(weighing),
        cmocka_unit_test(differences),    cmocka_unit_test(plain),          cmocka_unit_test(padding_word),
        cmocka_unit_test(refuses),        cmocka_unit_test(deep),           cmocka_unit_test(memory_fails),
        cmocka_unit_test(random_prompts),
    };
    return cmocka_run_group_tests(tests, open_tokenizers, close_tokenizers);
}
