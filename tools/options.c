/* One table of options for all commands: their names, what they take, their help. */
#include "commands.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef enum kind { TEXT, INTEGER, NUMBER, BYTES, SEED, DTYPE, FLAG } kind;

static const struct option {
    const char *name, *takes;
    kind kind;
    int group;
    size_t field;
    const char *help;
} table[] = {
#define FIELD(name) offsetof(options, name)
    { "--model", "PATH", TEXT, OPTIONS_FLOW, FIELD(model), "diffusers folder, .safetensors or .ckpt file, or layout:NAME" },
    { "--prompt", "TEXT", TEXT, OPTIONS_FLOW, FIELD(prompt), "what to draw" },
    { "--negative", "TEXT", TEXT, OPTIONS_FLOW, FIELD(negative), "what to avoid" },
    { "--output", "FILE", TEXT, OPTIONS_FLOW, FIELD(output), "the picture (out.png; with --count out-1.png, …)" },
    { "--steps", "N", INTEGER, OPTIONS_FLOW, FIELD(steps), "denoising steps, 1 … 1000 (the model's, mostly 20)" },
    { "--guidance", "X", NUMBER, OPTIONS_FLOW, FIELD(guidance), "classifier-free guidance scale; ≤ 1: none (the model's, mostly 7.5)" },
    { "--scheduler", "NAME", TEXT, OPTIONS_FLOW, FIELD(scheduler),
      "ddim ddpm pndm euler euler_a dpmpp_2m dpmpp_2m_karras unipc unipc_karras lcm (the model's)" },
    { "--spacing", "NAME", TEXT, OPTIONS_FLOW, FIELD(spacing), "leading, linspace or trailing (the scheduler's)" },
    { "--eta", "X", NUMBER, OPTIONS_FLOW, FIELD(eta), "ddim's noise, 0 … 1 (0)" },
    { "--seed", "N", SEED, OPTIONS_FLOW, FIELD(seed), "0 … 2^64 − 1, or random (0)" },
    { "--width", "N", INTEGER, OPTIONS_FLOW, FIELD(width), "pixels, a multiple of 8 (the model's)" },
    { "--height", "N", INTEGER, OPTIONS_FLOW, FIELD(height), "pixels, a multiple of 8 (the model's)" },
    { "--count", "N", INTEGER, OPTIONS_FLOW, FIELD(count), "pictures, with seeds N, N + 1, … (1)" },
    { "--clip-skip", "N", INTEGER, OPTIONS_FLOW, FIELD(clip_skip), "text layers left out at the end (0)" },
    { "--prediction", "NAME", TEXT, OPTIONS_FLOW, FIELD(prediction), "epsilon, v or sample (the model's)" },
    { "--zsnr", NULL, FLAG, OPTIONS_FLOW, FIELD(zero_snr), "the model was trained with zero terminal SNR" },
    { "--variant", "NAME", TEXT, OPTIONS_FLOW, FIELD(variant), "what a single file is, when it cannot be told" },
    { "--vae", "PATH", TEXT, OPTIONS_FLOW, FIELD(vae), "another VAE: a file, or a folder with its config.json" },
    { "--text-encoder", "PATH", TEXT, OPTIONS_FLOW, FIELD(text_encoder), "another (first) text encoder, likewise" },
    { "--refiner", "PATH", TEXT, OPTIONS_FLOW, FIELD(refiner), "a second model for the end of the schedule" },
    { "--refiner-start", "X", NUMBER, OPTIONS_FLOW, FIELD(refiner_start), "where it takes over, between 0 and 1 (0.8)" },
    { "--tile", "N", INTEGER, OPTIONS_FLOW, FIELD(tile), "the VAE in tiles of N pixels, a multiple of 32 (only if it must)" },
    { "--dump", "FILE", TEXT, OPTIONS_FLOW, FIELD(dump), "a .safetensors file with what each stage produced" },
    { "--device", "NAME", TEXT, OPTIONS_COMMON, FIELD(device), "auto, cuda, cuda:N, opencl or opencl:N (auto)" },
    { "--dtype", "TYPE", DTYPE, OPTIONS_COMMON | OPTIONS_DTYPE, FIELD(dtype), "auto, f32, f16 or bf16 (auto)" },
    { "--threads", "N", INTEGER, OPTIONS_COMMON, FIELD(threads), "processor threads of a PoCL device (all)" },
    { "--memory-limit", "BYTES", BYTES, OPTIONS_COMMON, FIELD(memory_limit),
      "of device memory, also 9GB or 512MB; parts take turns (what there is)" },
    { "--quiet", NULL, FLAG, OPTIONS_COMMON, FIELD(quiet), "no progress" },
    { "--layouts", NULL, FLAG, OPTIONS_INFO, FIELD(layouts), "list the names that layout:NAME takes" },
    { "--variants", NULL, FLAG, OPTIONS_INFO, FIELD(variants), "list the kinds of model, and what tells each" },
    { "--json", NULL, FLAG, OPTIONS_COMMON | OPTIONS_INFO | OPTIONS_JSON, FIELD(json), "one JSON object on standard output" },
    { "--help", NULL, FLAG, ~0, FIELD(help), "this text" },
};
enum { OPTION_COUNT = sizeof table / sizeof *table };

void options_help(const char *usage, const char *what, int groups)
{
    printf("usage: calotype %s\n\n%s\n\n", usage, what);
    for (int i = 0; i < OPTION_COUNT; i++)
        if (table[i].group & groups) {
            char left[40];
            snprintf(left, sizeof left, "%s %s", table[i].name, table[i].takes ? table[i].takes : "");
            printf("  %-20s %s\n", left, table[i].help);
        }
}

static int parse_integer(const struct option *option, const char *word, int *value)
{
    char *end;
    errno = 0;
    long parsed = strtol(word, &end, 10);
    if (end == word || *end || errno || parsed < -1000000000 || parsed > 1000000000)
        return complain(2, "%s takes a whole number, not '%s'", option->name, word);
    *value = (int)parsed;
    return 0;
}

static int parse_number(const struct option *option, const char *word, double *value)
{
    char *end;
    *value = strtod(word, &end);
    if (end == word || *end || !isfinite(*value))
        return complain(2, "%s takes a finite number, not '%s'", option->name, word);
    return 0;
}

/* A number of bytes, or of kB, MB and GB (10^3, 10^6, 10^9). */
static int parse_bytes(const struct option *option, const char *word, uint64_t *value)
{
    static const struct {
        const char *unit;
        double factor;
    } units[] = { { "", 1 }, { "kB", 1e3 }, { "MB", 1e6 }, { "GB", 1e9 } };
    char *end;
    const double parsed = strtod(word, &end);
    for (size_t i = 0; end != word && i < sizeof units / sizeof *units; i++)
        if (strcmp(end, units[i].unit) == 0 && parsed * units[i].factor >= 1 && parsed * units[i].factor < 1e18) {
            *value = (uint64_t)(parsed * units[i].factor);
            return 0;
        }
    return complain(2, "%s takes a number of bytes, as 9000000000 or 9GB, not '%s'", option->name, word);
}

/* Not a secret: it only has to differ from one run to the next. */
static uint64_t any_seed(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t x = (uint64_t)now.tv_sec * 1000000007u + (uint64_t)now.tv_nsec + ((uint64_t)getpid() << 20);
    x = (x ^ x >> 31) * UINT64_C(0x7fb5d329728ea185);
    return (x ^ x >> 27) >> 32;
}

static int parse_seed(const struct option *option, const char *word, options *o)
{
    char *end;
    o->random_seed = strcmp(word, "random") == 0;
    if (o->random_seed) {
        o->seed = any_seed();
        return 0;
    }
    errno = 0;
    unsigned long long parsed = strtoull(word, &end, 10);
    if (*word < '0' || *word > '9' || *end || errno)
        return complain(2, "%s takes 0 … 18446744073709551615 or random, not '%s'", option->name, word);
    o->seed = parsed;
    return 0;
}

static int parse_dtype(const struct option *option, const char *word, options *o)
{
    static const struct {
        const char *name;
        calo_type type;
    } types[] = { { "auto", CALO_AUTO }, { "f32", CALO_F32 }, { "f16", CALO_F16 }, { "bf16", CALO_BF16 } };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(word, types[i].name) == 0) {
            o->dtype = types[i].type;
            o->dtype_name = word;
            return 0;
        }
    return complain(2, "%s takes auto, f32, f16 or bf16, not '%s'", option->name, word);
}

static int set(options *o, const struct option *option, const char *word)
{
    void *field = (char *)o + option->field;
    switch (option->kind) {
    case TEXT:
        *(const char **)field = word;
        return 0;
    case INTEGER:
        return parse_integer(option, word, field);
    case NUMBER:
        return parse_number(option, word, field);
    case BYTES:
        return parse_bytes(option, word, field);
    case SEED:
        return parse_seed(option, word, o);
    case DTYPE:
        return parse_dtype(option, word, o);
    case FLAG:
        *(bool *)field = true;
        return 0;
    }
    return 2;
}

int options_parse(options *o, const char *command, int groups, int words, int count, char **arguments)
{
    *o = (options){ .output = "out.png", .steps = OPTION_ABSENT, .count = 1, .guidance = NAN, .refiner_start = 0.8 };
    int alone = 0;
    for (int i = 0; i < count; i++) {
        const char *word = arguments[i];
        if (strncmp(word, "--", 2) != 0) {
            if (alone == words)
                return complain(2, "%s: '%s' is one word too many", command, word);
            o->words[alone++] = word;
            continue;
        }
        /* --name=value and --name value are the same. */
        const char *equals = strchr(word, '=');
        size_t length = equals ? (size_t)(equals - word) : strlen(word);
        const struct option *option = NULL;
        for (int k = 0; k < OPTION_COUNT && !option; k++)
            if (strlen(table[k].name) == length && strncmp(table[k].name, word, length) == 0 &&
                (table[k].group & groups))
                option = &table[k];
        if (!option)
            return complain(2, "%s has no option '%.*s'; calotype %s --help lists them", command, (int)length, word,
                            command);
        if (option->kind == FLAG && equals)
            return complain(2, "%s takes no value", option->name);
        const char *value = equals ? equals + 1 : NULL;
        if (option->kind != FLAG && !value) {
            if (i + 1 == count)
                return complain(2, "%s needs a value: %s", option->name, option->takes);
            value = arguments[++i];
        }
        if (set(o, option, value))
            return 2;
    }
    return 0;
}
