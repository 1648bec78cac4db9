/* The command line: what it refuses, what its help says, and that a picture can be made again from what it says about
   itself. The texts of AUTOMATIC1111's web UI follow its create_infotext (modules/processing.py) as pictures carry
   them. */
#include "command.h"
#include "text_picture.h"

#include "../../engine/calotype.h"
#include "../../engine/hash.h"
#include "../../schedulers/scheduler.h"
#include "../../tools/options.h"
#include "../../tools/sheet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUN(...) run_command((const char *const[]){ __VA_ARGS__, NULL }, 0, 0)
#define SMALL "--model", model_path, "--quiet", "--steps", "2", "--width", "64", "--height", "64"

static const struct {
    const char *name;
    unsigned bit;
} all_commands[] = { { "txt2img", TXT2IMG }, { "img2img", IMG2IMG },      { "inpaint", INPAINT },
                     { "resume", RESUME },   { "again", AGAIN },          { "grid", GRID },
                     { "plan", PLAN },       { "profile", PROFILE },      { "check", CHECK },
                     { "info", INFO },       { "devices", DEVICES },      { "make-random", MAKE_RANDOM },
                     { "manual", MANUAL },   { "completion", COMPLETION },
                     { "tune", TUNE } };
enum { COMMANDS = sizeof all_commands / sizeof *all_commands };

static void expect(outcome o, int status, const char *word)
{
    if (o.status != status || !strstr(o.errors, word))
        print_message("status %d (expected %d), stderr: %s(expected: %s)\n", o.status, status, o.errors, word);
    assert_int_equal(o.status, status);
    assert_non_null(strstr(o.errors, word));
}

/* One line on standard error, and no picture. */
static void expect_refusal(outcome o, int status, const char *word)
{
    expect(o, status, word);
    const char *end = strchr(o.errors, '\n');
    assert_true(end && end[1] == '\0');
    assert_int_not_equal(access(in_work("bad.png"), F_OK), 0);
}

/* The text of a whole file, to be freed. */
static char *read_text(const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = calloc(1, 1 << 18);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 18) - 1, file) > 0);
    fclose(file);
    return text;
}

/* ---- options ---------------------------------------------------------------------------------------------------- */

static void ranges(void **state)
{
    (void)state;
    static const char *const numbers[] = { "nan", "inf", "-inf", "1e308", "-1",
                                           "",    "1x",  "x",    "1,5",   "99999999999999999999" };
    for (int i = 0; option_at(i); i++) {
        const option *o = option_at(i);
        const bool picture = strcmp(o->heading, "Picture to begin with") == 0;
        const char *flow = o->commands & TXT2IMG ? "txt2img" : o->commands & IMG2IMG ? "img2img" : "inpaint";
        if (!(o->commands & FLOWS) || (o->kind != OPTION_INTEGER && o->kind != OPTION_NUMBER && o->kind != OPTION_SEED))
            continue;
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
            expect_refusal(RUN(flow, "--model", model_path, "--prompt", "x", picture ? "--init" : "--quiet",
                               picture ? "x.png" : "--quiet", o->name, numbers[k], "--output", in_work("bad.png")),
                           2, o->name);
        assert_true(o->kind == OPTION_SEED || (o->range && o->least < o->most));
    }
    for (int i = 0; option_at(i); i++) /* paths and names */
        if (option_at(i)->commands & INPAINT && (option_at(i)->kind == OPTION_PATH || option_at(i)->values))
            expect_refusal(RUN("inpaint", "--model", model_path, "--prompt", "x", "--init", "x.png", option_at(i)->name,
                               "", "--output", in_work("bad.png")),
                           2, option_at(i)->name);
}

#define REFUSE(word, ...)                                                                                              \
    expect_refusal(RUN(__VA_ARGS__, "--model", model_path, "--prompt", "x", "--output", in_work("bad.png")), 2, word)

static void combinations(void **state)
{
    (void)state;
    REFUSE("--region", "txt2img", "--region", "0,0,64");
    REFUSE("--region", "txt2img", "--region", "0,0,64,64");
    REFUSE("--region", "txt2img", "--region", "0,0,0,64:x");
    REFUSE("--region", "txt2img", "--region", "-8,0,64,64:x");
    REFUSE("strength", "txt2img", "--region", "0,0,64,64:x:1.5");
    REFUSE("strength", "txt2img", "--region", "0,0,64,64:x:-1");
    REFUSE("9", "txt2img", "--region", "0,0,64,64:a:9e9");
    REFUSE("--region", "txt2img", "--region-negative", "x");
    REFUSE("8 times", "txt2img", "--region=0,0,8,8:a", "--region=0,0,8,8:a", "--region=0,0,8,8:a", "--region=0,0,8,8:a",
           "--region=0,0,8,8:a", "--region=0,0,8,8:a", "--region=0,0,8,8:a", "--region=0,0,8,8:a",
           "--region=0,0,8,8:a");
    REFUSE("--init", "txt2img", "--init", "x.png");
    REFUSE("--extend", "img2img", "--init", "x.png", "--extend", "8,8,8,8");
    REFUSE("--extend", "inpaint", "--init", "x.png", "--extend", "8,8,8,9");
    REFUSE("--extend", "inpaint", "--init", "x.png", "--extend", "8,8,8");
    REFUSE("--extend", "inpaint", "--init", "x.png", "--extend", "-8,8,8,8");
    REFUSE("--init", "img2img");
    REFUSE("--init", "inpaint");
    REFUSE("--strength", "plan", "txt2img", "--strength", "0.5");
    REFUSE("--suspend", "txt2img", "--suspend-at", "3");
    REFUSE("--hires", "txt2img", "--hires-strength", "0.5");
    REFUSE("--variation-strength", "txt2img", "--variation-seed", "5");
    REFUSE("--refiner", "txt2img", "--refiner-start", "0.5");
    REFUSE("--guidance-end", "txt2img", "--guidance-start", "0.8", "--guidance-end", "0.2");
    REFUSE("--count", "grid", "--x", "steps=1", "--count", "2");
    REFUSE("--x", "grid");
    REFUSE("--x", "grid", "--x", "colour=red");
    REFUSE("--steps", "grid", "--x", "steps=1,0");
    REFUSE("--x", "grid", "--y", "steps=1");
    REFUSE("same", "grid", "--x", "steps=1", "--y", "steps=2");
    REFUSE("--init", "grid", "--x", "strength=0.5");
    REFUSE("random", "grid", "--x", "seed=random,x");
    expect_refusal(RUN("resume", "x"), 2, "--model");
    expect_refusal(RUN("resume", "--model", model_path), 2, "resume");
    expect_refusal(RUN("again"), 2, "again");
    expect_refusal(RUN("again", "/nowhere/x.png"), 3, "/nowhere/x.png");
    expect_refusal(RUN("plan", "--model", model_path), 2, "txt2img");
    expect_refusal(RUN("plan", "resume", "--model", model_path), 2, "txt2img");
    expect_refusal(RUN("tune", "--model", model_path), 2, "txt2img");
    expect_refusal(RUN("tune", "txt2img"), 2, "--model");
    expect_refusal(RUN("help", "paint"), 2, "paint");
}

/* Every scheduler of the library can be named. */
static void schedulers(void **state)
{
    (void)state;
    const char *values = option_find("--scheduler", 11)->values;
    for (int i = 0; calo_scheduler_at(i); i++) {
        const char *at = strstr(values, calo_scheduler_at(i)->name);
        assert_non_null(at);
    }
}

/* ---- help, manual, completion ----------------------------------------------------------------------------------- */

static void help(void **state)
{
    (void)state;
    outcome top = RUN("--help");
    for (int c = 0; c < COMMANDS; c++) {
        assert_non_null(strstr(top.output, all_commands[c].name));
        assert_int_equal(RUN(all_commands[c].name, "--help").status, 0);
        char *text = read_text(in_work("stdout.txt"));
        assert_non_null(strstr(text, "example: calotype "));
        for (int i = 0; option_at(i); i++) {
            char line[64];
            snprintf(line, sizeof line, "\n  %s", option_at(i)->name);
            const char *at = strstr(text, line);
            while (at && at[strlen(line)] != ' ' && at[strlen(line)] != '\n') /* a longer name */
                at = strstr(at + 1, line);
            if (!at != !(option_at(i)->commands & all_commands[c].bit))
                print_message("%s --help and %s\n", all_commands[c].name, option_at(i)->name);
            assert_true(!at == !(option_at(i)->commands & all_commands[c].bit));
            assert_true(!(option_at(i)->commands & all_commands[c].bit) || strstr(text, option_at(i)->heading));
        }
        free(text);
    }
}

/* A name as roff's source has it. */
static const char *roff(const char *name)
{
    static char escaped[64];
    char *to = escaped;
    for (; *name; name++) {
        if (*name == '-')
            *to++ = '\\';
        *to++ = *name;
    }
    *to = '\0';
    return escaped;
}

static void manual(void **state)
{
    (void)state;
    char command[2048];
    assert_int_equal(RUN("manual").status, 0);
    char *text = read_text(in_work("stdout.txt"));
    for (int i = 0; option_at(i); i++)
        assert_non_null(strstr(text, roff(option_at(i)->name)));
    for (int c = 0; c < COMMANDS; c++)
        assert_non_null(strstr(text, roff(all_commands[c].name)));
    write_text(in_work("calotype.1"), text);
    free(text);
    /* Whoever renders manual pages here finds nothing to complain about. */
    snprintf(command, sizeof command,
             "if command -v groff >/dev/null; then groff -man -Tutf8 -ww -z '%s' 2>'%s' && ! test -s '%s'; fi",
             in_work("calotype.1"), in_work("lint.txt"), in_work("lint.txt"));
    assert_int_equal(system(command), 0);
    snprintf(command, sizeof command, "if command -v mandoc >/dev/null; then mandoc -Tlint '%s'; fi",
             in_work("calotype.1"));
    assert_int_equal(system(command), 0);
}

/* What bash offers for a line that ends in its last word. */
static const char *complete(const char *words)
{
    static char offered[8192];
    char command[4096];
    snprintf(command, sizeof command,
             "bash -c 'source \"%s\"; COMP_WORDS=(%s \"\"); unset \"COMP_WORDS[-1]\"; COMP_CWORD=$((${#COMP_WORDS[@]} "
             "- 1)); "
             "_calotype; printf \"%%s\\n\" \"${COMPREPLY[@]}\"' >'%s'",
             in_work("completion.bash"), words, in_work("offered.txt"));
    assert_int_equal(system(command), 0);
    FILE *file = fopen(in_work("offered.txt"), "rb");
    assert_non_null(file);
    offered[fread(offered, 1, sizeof offered - 1, file)] = '\0';
    fclose(file);
    return offered;
}

static void completion(void **state)
{
    (void)state;
    assert_int_equal(RUN("completion").status, 0);
    char *text = read_text(in_work("stdout.txt"));
    write_text(in_work("completion.bash"), text);
    free(text);
    assert_string_equal(complete("calotype in"), "inpaint\ninfo\n");
    assert_string_equal(complete("calotype txt2img --sc"), "--scheduler\n");
    assert_string_equal(complete("calotype txt2img --scheduler dpm"), "dpmpp_2m\ndpmpp_2m_karras\n");
    assert_string_equal(complete("calotype txt2img --scheduler = eul"),
                        "euler\neuler_a\n"); /* as bash splits --scheduler=eul */
    assert_string_equal(complete("calotype img2img --fit ="), "none\ncrop\npad\nstretch\n");
    assert_string_equal(complete("calotype txt2img --mask-"), "\n");
    assert_string_equal(complete("calotype inpaint --mask-"), "--mask-blur\n--mask-padding\n");
    assert_string_equal(complete("calotype plan i"), "img2img\ninpaint\n");
    assert_string_equal(complete("calotype txt2img --steps 1"), "\n");
    write_text(in_work("a file.png"), "x");
    char words[1200], expected[1200];
    snprintf(words, sizeof words, "calotype img2img --init %s/a\\ fi", work_path);
    snprintf(expected, sizeof expected, "%s/a file.png\n", work_path);
    assert_string_equal(complete(words), expected);
}

/* ---- again ------------------------------------------------------------------------------------------------------ */

/* Makes a picture, makes it again, and compares the files: the pixels, and what is said about them. */
static void round_trip(const char *const *extra)
{
    const char *words[48] = { "txt2img", SMALL, "--output", in_work("first.png") };
    int count = 0;
    while (words[count])
        count++;
    while (*extra)
        words[count++] = *extra++;
    outcome o = run_command(words, 0, 0);
    if (o.status)
        print_message("%s", o.errors);
    assert_int_equal(o.status, 0);
    o = RUN("again", in_work("first.png"), "--models", model_path, "--quiet", "--output", in_work("second.png"));
    if (o.status || *o.errors)
        print_message("%s", o.errors);
    assert_int_equal(o.status, 0);
    assert_string_equal(o.errors, "");
    assert_true(file_hash(in_work("first.png")) == file_hash(in_work("second.png")));
}

#define ROUND(...) round_trip((const char *const[]){ __VA_ARGS__, NULL })

static void round_trips(void **state)
{
    (void)state;
    ROUND("--prompt", "a red house", "--seed", "18446744073709551615");
    ROUND("--prompt", "a boat, at sea: \"quoted\" \\ and 'more'", "--negative", "trees, night", "--scheduler",
          "euler_a");
    ROUND("--prompt", "two lines\nSteps: 9, Sampler: x, Seed: 3\n  and spaces ", "--negative", "");
    ROUND("--prompt", "a space \nat a line's end", "--negative", "and\n before one");
    ROUND("--prompt", "Negative prompt: not one", "--negative", "one\nNegative prompt: two", "--guidance", "0.1");
    ROUND("--prompt", " ", "--negative", "ночь (ночь:1.2)", "--scheduler", "dpmpp_2m_karras", "--spacing", "trailing");
    ROUND("--prompt", "", "--eta", "0.30000000000000004", "--scheduler", "ddim", "--clip-skip", "1", "--guidance",
          "3.3");
    ROUND("--prompt", "a house", "--hires", "1.5", "--hires-strength", "0.7", "--hires-mode", "pixel", "--negative",
          "a tree", "--negative-scale", "1.5");
    ROUND("--prompt", "\n\n", "--prompt-style", "a1111", "--tile", "64", "--rng", "philox");
    ROUND("--prompt", "--steps 5", "--prompt-style", "comfy", "--variation-seed", "7", "--variation-strength", "0.1");
    ROUND("--prompt", "<lora:x:1> [a|b]", "--region", "0,0,32,64:one: two, three:0.5", "--region-negative",
          "ugly, \"x\"", "--region", "32,0,32,64:\n:1", "--guidance-rescale", "0.7", "--guidance-start", "0.1",
          "--guidance-end", "0.9");
}

/* A picture that began with another needs that one, and knows it. */
static void round_trips_from_pictures(void **state)
{
    (void)state;
    char init[1100], other[1100], again[1100], out[1100];
    snprintf(init, sizeof init, "%s/init.png", work_path);
    snprintf(other, sizeof other, "%s/other.png", work_path);
    snprintf(again, sizeof again, "%s/again.png", work_path);
    snprintf(out, sizeof out, "%s/from.png", work_path);
    assert_int_equal(RUN("txt2img", SMALL, "--prompt", "a red house", "--output", init).status, 0);
    assert_int_equal(RUN("txt2img", SMALL, "--prompt", "a red house", "--seed", "1", "--output", other).status, 0);
    static const char *const flows[] = { "img2img", "inpaint" };
    for (int i = 0; i < 2; i++) {
        outcome o =
            RUN(flows[i], SMALL, "--prompt", "a boat", "--init", init, "--strength", "0.5", "--fit", "crop", "--output",
                out, i ? "--mask" : NULL, other, "--mask-blur", "1.5", "--mask-padding", "8", "--fill", "noise");
        if (o.status)
            print_message("%s", o.errors);
        assert_int_equal(o.status, 0);
        expect(RUN("again", out, "--models", model_path, "--quiet", "--output", in_work("bad.png")), 3, "--init");
        expect(RUN("again", out, "--models", model_path, "--quiet", "--output", in_work("bad.png"), "--init", other,
                   i ? "--mask" : NULL, other),
               3, "is another picture");
        o = RUN("again", out, "--models", model_path, "--quiet", "--output", again, "--init", init, i ? "--mask" : NULL,
                other);
        if (o.status || *o.errors)
            print_message("%s", o.errors);
        assert_int_equal(o.status, 0);
        assert_true(file_hash(out) == file_hash(again));
    }
    expect_refusal(RUN("again", init, "--models", model_path, "--init", other), 2, "--init");
}

static void models(void **state)
{
    (void)state;
    char text[512];
    char out[1100];
    snprintf(out, sizeof out, "%s/bad.png", work_path);
    outcome o = RUN("txt2img", SMALL, "--prompt", "x", "--output", in_work("m.png"));
    assert_int_equal(o.status, 0);
    mkdir(in_work("shelf"), 0777);
    copy_model("shelf/renamed");
    o = RUN("again", in_work("m.png"), "--models", in_work("shelf"), "--quiet", "--output", in_work("m2.png"),
            "--show");
    assert_int_equal(o.status, 0);
    assert_non_null(strstr(o.output, "shelf/renamed")); /* by its hash */
    expect(RUN("again", in_work("m.png"), "--models", in_work("nothing"), "--quiet", "--output", out), 3, "--models");
    static const char settings[] =
        "x\nSteps: 2, Sampler: DDIM, CFG scale: 5, Seed: 1, Size: 64x64, Model hash: %s, Model: renamed, "
        "RNG: CPU, Version: calotype 0.1.0";
    snprintf(text, sizeof text, settings, "deadbeef");
    o = RUN("again", picture_of(text, strlen(text)), "--models", in_work("shelf"), "--output", out);
    expect(o, 3, "not deadbeef");
    o = RUN("again", in_work("text.png"), "--models", in_work("shelf"), "--force", "--quiet", "--output",
            in_work("m2.png"));
    assert_int_equal(o.status, 0);
    snprintf(text, sizeof text, settings, "0123456789"); /* ten digits: whole files are hashed */
    expect(RUN("again", picture_of(text, strlen(text)), "--models", in_work("shelf"), "--output", out), 3,
           "not 0123456789");
    char digits[65];
    calo_context *context = NULL;
    calo_open_options none = CALO_OPEN_OPTIONS_INIT;
    none.device = "none";
    assert_int_equal(calo_open(&context, &none), CALO_OK);
    assert_int_equal(calo_hash_model(context, in_work("shelf/renamed"), 1, NULL, NULL, digits), CALO_OK);
    calo_close(&context);
    char *bytes, whole[65]; /* read in pieces, and at once */
    size_t size;
    uint8_t digest[32];
    assert_int_equal(
        calo_read_file(in_work("shelf/renamed/unet/diffusion_pytorch_model.safetensors"), 1 << 28, &bytes, &size, NULL),
        CALO_OK);
    calo_sha256((const uint8_t *)bytes, size, digest);
    calo_free(bytes);
    for (int i = 0; i < 32; i++)
        snprintf(whole + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(digits, whole);
    digits[10] = '\0';
    digits[9] ^= 1; /* near is not enough */
    snprintf(text, sizeof text, settings, digits);
    expect(RUN("again", picture_of(text, strlen(text)), "--models", in_work("shelf"), "--output", out), 3, digits);
    digits[9] ^= 1;
    snprintf(text, sizeof text, settings, digits);
    o = RUN("again", picture_of(text, strlen(text)), "--models", in_work("shelf"), "--show");
    assert_int_equal(o.status, 0);
    assert_string_equal(o.errors, "");
}

#include "infotexts.inc"

static void infotexts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        outcome o = RUN("again", picture_of(texts[i].text, strlen(texts[i].text)), "--model", "layout:sd15", "--models",
                        in_work("nothing"), "--show");
        const char *const *word = texts[i].shows;
        if (o.status != texts[i].status)
            print_message("text %zu: status %d\n%s", i, o.status, o.errors);
        assert_int_equal(o.status, texts[i].status);
        for (; *word; word++) {
            const bool absent = **word == '!', there = strstr(o.output, *word + absent) != NULL;
            if (there == absent)
                print_message("text %zu: '%s' in\n%s", i, *word, o.output);
            assert_true(there != absent);
        }
        for (word = texts[i].says; *word; word++) {
            if (!strstr(o.errors, *word))
                print_message("text %zu: '%s' in\n%s", i, *word, o.errors);
            assert_non_null(strstr(o.errors, *word));
        }
        if (!*texts[i].says)
            assert_string_equal(o.errors, "");
    }
}

static void hostile(void **state)
{
    (void)state;
    static const char *const texts_of_bad[][2] = {
        { "x\nSteps: 0, Sampler: DDIM, CFG scale: 5, Seed: 1, Size: 64x64", "--steps" },
        { "x\nSteps: 99999999999, Sampler: DDIM, CFG scale: 5, Seed: 1, Size: 64x64", "--steps" },
        { "x\nSteps: 2, Sampler: DDIM, CFG scale: nan, Seed: 1, Size: 64x64", "--guidance" },
        { "x\nSteps: 2, Sampler: DDIM, CFG scale: 5, Seed: -1, Size: 64x64", "--seed" },
        { "x\nSteps: 2, Sampler: DDIM, CFG scale: 5, Seed: 18446744073709551616, Size: 64x64", "--seed" },
        { "x\nSteps: 2, Sampler: DDIM, CFG scale: 5, Seed: 1, Size: 0x0", "--width" },
        { "x\nSteps: 2, Sampler: DDIM, CFG scale: 5, Seed: 1, Size: 1000000000x1000000000", "--width" },
        { "x\nSteps: 2, Sampler: DDIM, CFG scale: 5, Seed: 1, Size: 64", "--height" },
        { "x\nSteps: 2, Sampler: DDIM, CFG scale: 5, Seed: 1, Size: 64x64, Variation seed: -5, Variation seed "
          "strength: 2",
          "--variation" },
        { "x\nSteps: 2, Sampler: DDIM, CFG scale: 5, Seed: 1, Size: 64x64, Region 1: 8x8 at 0 0, Region 1 prompt: x, "
          "Region 1 strength: 7, "
          "Version: calotype 1",
          "--region" },
        { "", "parameters" },
        { "no settings at all", "line of settings" },
        { "\n\n\n\n", "line of settings" },
        { ",,,,::::,,,: , : ,", "line of settings" },
        { "a: b, c: d", "line of settings" },
    };
    for (size_t i = 0; i < sizeof texts_of_bad / sizeof *texts_of_bad; i++)
        expect(RUN("again", picture_of(texts_of_bad[i][0], strlen(texts_of_bad[i][0])), "--model", "layout:sd15",
                   "--force", "--output", in_work("bad.png")),
               3, texts_of_bad[i][1]);
    /* A million of each of these, alone and after something that begins well. */
    static const char *const fillers[] = { "a",    "\n",     "\"",    "{", "\\", ": ", "Steps: 1, ", "Seed: {\"a\", ",
                                           "\xff", "<lora:", "a: \"," };
    enum { SIZE = 1000000 };
    char *text = malloc(SIZE);
    assert_non_null(text);
    for (size_t i = 0; i < sizeof fillers / sizeof *fillers; i++)
        for (int begins = 0; begins < 2; begins++) {
            size_t used =
                begins ? (size_t)snprintf(text, SIZE, "x\nSteps: 2, Sampler: DDIM, Seed: 1, Size: 64x64, Key: ") : 0;
            for (const size_t size = strlen(fillers[i]); used + size <= SIZE; used += size)
                memcpy(text + used, fillers[i], size);
            const outcome o = RUN("again", picture_of(text, used), "--model", "layout:sd15", "--models",
                                  in_work("nothing"), "--show");
            if (o.status != 3)
                print_message("filler %zu: status %d\n%.300s\n", i, o.status, o.errors);
            assert_int_equal(o.status, 3);
        }
    srand(7);
    for (int i = 0; i < 40; i++) { /* binary */
        const int size = rand() % 4000;
        for (int k = 0; k < size; k++)
            text[k] = (char)(rand() % 3 ? rand() % 256 : "\n,:\"{} "[rand() % 7]);
        const outcome o = RUN("again", picture_of(text, (size_t)size), "--model", "layout:sd15", "--models",
                              in_work("nothing"), "--show");
        assert_int_equal(o.status, 3);
    }
    free(text);
}

/* ---- grid ------------------------------------------------------------------------------------------------------- */

/* Whether the picture holds the text, drawn as the sheet draws it, anywhere. */
static bool holds(const calo_image *image, const char *text, uint32_t colour, int scale)
{
    const int width = calo_image_width(image), height = calo_image_height(image);
    sheet s;
    assert_true(sheet_open(&s, sheet_text_width(text, scale), FONT_HEIGHT * scale, 0xf4efe6));
    sheet_text(&s, 0, 0, s.width, 1, scale, SHEET_LEFT, colour, text);
    bool found = false;
    for (int y = 0; y + s.height <= height && !found; y++)
        for (int x = 0; x + s.width <= width && !found; x++) {
            int row = 0;
            while (row < s.height &&
                   memcmp(calo_image_pixels(image) + 3 * ((size_t)(y + row) * (size_t)width + (size_t)x),
                          s.pixels + 3 * (size_t)row * (size_t)s.width, 3 * (size_t)s.width) == 0)
                row++;
            found = row == s.height;
        }
    sheet_close(&s);
    return found;
}

static void grid(void **state)
{
    (void)state;
    calo_context *context = NULL;
    calo_image *image = NULL, *cell = NULL;
    calo_open_options none = CALO_OPEN_OPTIONS_INIT;
    none.device = "none";
    outcome o =
        RUN("grid", "--model", model_path, "--quiet", "--width", "64", "--height", "64", "--prompt", "a red house",
            "--x", "scheduler=ddim,euler", "--y", "steps=1,2,3", "--json", "--output", in_work("grid.png"));
    if (o.status)
        print_message("%s", o.errors);
    assert_int_equal(o.status, 0);
    int cells = 0;
    for (const char *at = o.output; (at = strstr(at, "\"total_s\"")); at++)
        cells++;
    assert_int_equal(cells, 6);
    assert_int_equal(calo_open(&context, &none), CALO_OK);
    assert_int_equal(calo_load_image(context, in_work("grid.png"), &image), CALO_OK);
    /* Cells of 64 pixels are shown at 192. Margins 28, gaps 14, row labels 7 letters of 12 pixels, lines of 22. */
    assert_int_equal(calo_image_width(image), 28 + 84 + 14 + 2 * 192 + 14 + 28);
    assert_int_equal(calo_image_height(image), 28 + 33 + 7 + 22 + 14 + 29 + 3 * (192 + 29 + 14) + 22 + 28);
    static const char *const labels[] = { "ddim", "euler", "steps 1", "steps 2", "steps 3" };
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++)
        assert_true(holds(image, labels[i], 0x2e2620, 2));
    assert_true(holds(image, "a red house", 0x2e2620, 3));
    assert_true(holds(image, "model, guidance 7.5, seed 0", 0x85776a, 2));
    assert_false(holds(image, "steps 4", 0x2e2620, 2));
    /* The last picture is the one that txt2img makes of its settings, each pixel three times. */
    o = RUN("txt2img", "--model", model_path, "--quiet", "--width", "64", "--height", "64", "--prompt", "a red house",
            "--scheduler", "euler", "--steps", "3", "--output", in_work("cell.png"));
    assert_int_equal(o.status, 0);
    assert_int_equal(calo_load_image(context, in_work("cell.png"), &cell), CALO_OK);
    const int left = 28 + 84 + 14 + 192 + 14, top = 28 + 33 + 7 + 22 + 14 + 29 + 2 * (192 + 29 + 14);
    for (int i = 0; i < 192 * 192; i++)
        assert_memory_equal(calo_image_pixels(image) + 3 * ((top + i / 192) * calo_image_width(image) + left + i % 192),
                            calo_image_pixels(cell) + 3 * (i / 192 / 3 * 64 + i % 192 / 3), 3);
    calo_free_image(&cell);
    calo_free_image(&image);
    calo_close(&context);
    /* One axis: a table of times on standard output. */
    o = RUN("grid", "--model", model_path, "--quiet", "--width", "64", "--height", "64", "--steps", "1", "--x",
            "prompt=a red house | a boat, at sea", "--output", in_work("grid.png"));
    assert_int_equal(o.status, 0);
    assert_non_null(strstr(o.output, "a red house  "));
    assert_non_null(strstr(o.output, "a boat, at sea  "));
}

static void letters(void **state)
{
    (void)state;
    for (int a = 33; a < 128; a++) /* no two alike, none without ink */
        for (int b = 32; b < a; b++) {
            int same = 1;
            for (int i = 0; i < FONT_WIDTH * FONT_HEIGHT; i++)
                same &= font_dot(a, i % FONT_WIDTH, i / FONT_WIDTH) == font_dot(b, i % FONT_WIDTH, i / FONT_WIDTH);
            if (same)
                print_message("'%c' looks like '%c'\n", a, b);
            assert_false(same);
        }
    assert_int_equal(sheet_text(NULL, 0, 0, 60, 9, 1, SHEET_LEFT, 0, "ten letter words are broken"), 3);
    assert_int_equal(sheet_text(NULL, 0, 0, 60, 2, 1, SHEET_LEFT, 0, "ten letter words are broken"), 2);
    assert_int_equal(sheet_text(NULL, 0, 0, 60, 9, 1, SHEET_LEFT, 0, "onewordthatisverylong"), 3);
    assert_int_equal(sheet_text(NULL, 0, 0, 0, 9, 1, SHEET_LEFT, 0, "x"), 1);
    assert_int_equal(sheet_text(NULL, 0, 0, 60, 9, 1, SHEET_LEFT, 0, ""), 0);
    assert_int_equal(sheet_text_width("\xc3\xa9\xe2\x80\xa6\xff\xc3", 2),
                     4 * FONT_ADVANCE * 2); /* broken UTF-8 ends, too */
}

int main(int count, char **words)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges),  cmocka_unit_test(combinations), cmocka_unit_test(schedulers),
        cmocka_unit_test(help),    cmocka_unit_test(manual),       cmocka_unit_test(completion),
        cmocka_unit_test(letters), cmocka_unit_test(infotexts),    cmocka_unit_test(hostile),
        cmocka_unit_test(models),  cmocka_unit_test(round_trips),  cmocka_unit_test(round_trips_from_pictures),
        cmocka_unit_test(grid),
    };
    if (count < 4)
        return fprintf(stderr, "usage: test_command CALOTYPE MODEL WORK\n"), 2;
    calotype_path = words[1];
    model_path = words[2];
    work_path = words[3];
    mkdir(work_path, 0777);
    if (count > 4) /* one of them */
        cmocka_set_test_filter(words[4]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
