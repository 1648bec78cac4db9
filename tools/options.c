/* A command line to `options`, every value checked against the table. */
#include "commands.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int row_of(const option *option)
{
    int i = 0;
    while (option_at(i) != option)
        i++;
    return i;
}

bool option_given(const options *o, const char *name)
{
    const int i = row_of(option_find(name, strlen(name)));
    return o->seen[i / 64] >> i % 64 & 1;
}

/* ---- one value -------------------------------------------------------------------------------------------------- */

/* The sentence that says what is wrong with an option; 2, the exit status that goes with it. */
static int refuse(char *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int refuse(char *why, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(why, OPTION_SENTENCE, format, list);
    va_end(list);
    return 2;
}

static int parse_integer(const option *option, const char *word, int *value, char *why)
{
    char *end;
    errno = 0;
    const long parsed = strtol(word, &end, 10);
    if (end == word || *end)
        return refuse(why, "%s takes a whole number, %s, not '%s'", option->name, option->range, word);
    if (errno || parsed < option->least || parsed > option->most)
        return refuse(why, "%s must be %s, not %s", option->name, option->range, word);
    if (option->multiple && parsed % option->multiple)
        return refuse(why, "%s must be a multiple of %d, not %s", option->name, option->multiple, word);
    *value = (int)parsed;
    return 0;
}

static int parse_number(const option *option, const char *word, double *value, char *why)
{
    char *end;
    const double parsed = strtod(word, &end);
    if (end == word || *end || !isfinite(parsed))
        return refuse(why, "%s takes a number, %s, not '%s'", option->name, option->range, word);
    if (parsed < option->least || parsed > option->most)
        return refuse(why, "%s must be %s, not %s", option->name, option->range, word);
    *value = parsed;
    return 0;
}

/* A number of bytes, or of kB, MB and GB (10^3, 10^6, 10^9). */
static int parse_bytes(const option *option, const char *word, uint64_t *value, char *why)
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
    return refuse(why, "%s takes a number of bytes, as 9000000000 or 9GB, not '%s'", option->name, word);
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

static int parse_seed(options *o, const option *option, const char *word, uint64_t *value, char *why)
{
    char *end;
    const bool main_seed = value == &o->request.seed;
    if (main_seed)
        o->random_seed = strcmp(word, "random") == 0;
    if (main_seed && o->random_seed) {
        *value = any_seed();
        return 0;
    }
    errno = 0;
    const unsigned long long parsed = strtoull(word, &end, 10);
    if (*word < '0' || *word > '9' || *end || errno)
        return refuse(why, "%s takes 0 … 18446744073709551615%s, not '%s'", option->name, main_seed ? " or random" : "",
                      word);
    *value = parsed;
    return 0;
}

/* Up to `count` whole numbers between commas; returns what follows them, or NULL. */
static const char *parse_list(const char *word, int *values, int count)
{
    for (int i = 0; i < count; i++) {
        char *end;
        errno = 0;
        const long parsed = strtol(word, &end, 10);
        if (end == word || errno || parsed < -1000000000 || parsed > 1000000000 || (i + 1 < count && *end != ','))
            return NULL;
        values[i] = (int)parsed;
        word = i + 1 < count ? end + 1 : end;
    }
    return word;
}

static int parse_borders(const option *option, const char *word, int *values, char *why)
{
    const char *end = parse_list(word, values, 4);
    if (!end || *end)
        return refuse(why, "%s takes four whole numbers as 64,0,64,0, not '%s'", option->name, word);
    for (int i = 0; i < 4; i++)
        if (values[i] < option->least || values[i] > option->most || values[i] % option->multiple)
            return refuse(why, "%s takes multiples of %d, %s, not %d", option->name, option->multiple, option->range,
                          values[i]);
    return 0;
}

/* "x,y,w,h:prompt[:strength]": the strength is what follows the last colon, where that reads as a number. */
static int parse_region(options *o, const option *option, char *word, char *why)
{
    int box[4];
    const char *end = parse_list(word, box, 4);
    if (!end || *end != ':')
        return refuse(why, "%s takes x,y,width,height:prompt, as 0,0,256,512:a red house, not '%s'", option->name,
                      word);
    if (box[0] < 0 || box[1] < 0 || box[2] < 1 || box[3] < 1 || box[0] > 16384 || box[1] > 16384 || box[2] > 16384 ||
        box[3] > 16384)
        return refuse(why, "%s must lie in the picture, not at %d,%d with %d × %d", option->name, box[0], box[1],
                      box[2], box[3]);
    if (o->request.region_count == REGION_LIMIT)
        return refuse(why, "%s may be given %d times", option->name, REGION_LIMIT);
    calo_region region = { box[0], box[1], box[2], box[3], end + 1, NULL, 1.0 };
    char *colon = strrchr(word, ':');
    if (colon > end && strspn(colon + 1, "+-.0123456789eE") == strlen(colon + 1) && strpbrk(colon + 1, "0123456789")) {
        char *stop;
        region.strength = strtod(colon + 1, &stop);
        if (*stop || !(region.strength >= 0 && region.strength <= 1))
            return refuse(why, "%s: the strength must be 0 … 1, not %s", option->name, colon + 1);
        *colon = '\0';
    }
    o->regions[o->request.region_count++] = region;
    return 0;
}

/* The number of `word` among the names of `values`; −1: it is none. */
static int place_of(const char *values, const char *word)
{
    const size_t length = strlen(word);
    for (int i = 0; *values; i++) {
        const size_t size = strcspn(values, " ");
        if (size == length && strncmp(values, word, size) == 0)
            return i;
        values += size + (values[size] == ' ');
    }
    return -1;
}

int option_set(options *o, const option *option, char *word, char *why)
{
    void *field = (char *)o + option->field;
    int place;
    switch (option->kind) {
    case OPTION_PATH:
    case OPTION_FOLDER:
        if (!*word)
            return refuse(why, "%s must not be empty", option->name);
        if (option->kind == OPTION_FOLDER && o->folder_count == FOLDER_LIMIT)
            return refuse(why, "%s may be given %d times", option->name, FOLDER_LIMIT);
        if (option->kind == OPTION_FOLDER)
            o->folders[o->folder_count++] = word;
        else
            *(const char **)field = word;
        return 0;
    case OPTION_TEXT:
        *(const char **)field = word;
        return 0;
    case OPTION_NAME:
    case OPTION_CHOICE:
        place = place_of(option->values, word);
        if (place < 0)
            return refuse(why, "%s takes one of %s, not '%s'", option->name, option->values, word);
        if (option->kind == OPTION_NAME)
            *(const char **)field = word;
        else
            *(int *)field = place;
        return 0;
    case OPTION_INTEGER:
        return parse_integer(option, word, field, why);
    case OPTION_NUMBER:
        return parse_number(option, word, field, why);
    case OPTION_BYTES:
        return parse_bytes(option, word, field, why);
    case OPTION_SEED:
        return parse_seed(o, option, word, field, why);
    case OPTION_BORDERS:
        return parse_borders(option, word, field, why);
    case OPTION_REGION:
        return parse_region(o, option, word, why);
    case OPTION_REGION_NEGATIVE:
        if (!o->request.region_count)
            return refuse(why, "%s belongs to the --region before it, and there is none", option->name);
        o->regions[o->request.region_count - 1].negative = word;
        return 0;
    case OPTION_FLAG:
        *(bool *)field = true;
        return 0;
    }
    return 2;
}

/* ---- all of them ------------------------------------------------------------------------------------------------ */

void options_default(options *o)
{
    *o = (options){ .output = "out.png", .request = CALO_REQUEST_INIT };
    o->request.steps = 0;
    o->request.guidance = NAN;
}

bool command_takes(const command *c, const command *flow, const option *option)
{
    const unsigned all = option->commands;
    return (all & c->bit) && (!(c->bit & STUDIES) || !flow || !(all & FLOWS) || (all & flow->bit));
}

/* Each option that was given does something: its command takes it, and what it works on is there. */
static int check(options *o, const command *c, char *why)
{
    const command *flow = c->bit & FLOWS ? c : NULL;
    if (c->bit & STUDIES) {
        flow = o->words[0] ? command_find(o->words[0]) : NULL;
        if (!flow || !(flow->bit & FLOWS))
            return refuse(why, "%s needs a flow: txt2img, img2img or inpaint", c->name);
    }
    o->flow = flow;
    o->request.inpaint = flow && flow->bit == INPAINT;
    for (int i = 0; option_at(i); i++) {
        const option *option = option_at(i);
        if (!(o->seen[i / 64] >> i % 64 & 1))
            continue;
        if (!command_takes(c, flow, option))
            return refuse(why, "%s has no option '%s'", flow ? flow->name : c->name, option->name);
        if (option->needs && c->bit != AGAIN && !option_given(o, option->needs))
            return refuse(why, "%s does nothing without %s", option->name, option->needs);
    }
    return 0;
}

int options_parse(options *o, const command *c, int count, char **arguments, char *why)
{
    int alone = 0;
    options_default(o);
    for (int i = 0; i < count; i++) {
        char *word = arguments[i];
        if (strncmp(word, "--", 2) != 0) {
            if (alone == c->words)
                return refuse(why, "%s: '%s' is one word too many", c->name, word);
            o->words[alone++] = word;
            continue;
        }
        /* --name=value and --name value are the same. */
        char *equals = strchr(word, '=');
        const size_t length = equals ? (size_t)(equals - word) : strlen(word);
        const option *option = option_find(word, length);
        if (!option || !command_takes(c, NULL, option))
            return refuse(why, "%s has no option '%.*s'; calotype %s --help lists them", c->name, (int)length, word,
                          c->name);
        if (option->kind == OPTION_FLAG && equals)
            return refuse(why, "%s takes no value", option->name);
        char *value = equals ? equals + 1 : NULL;
        if (option->kind != OPTION_FLAG && !value) {
            if (i + 1 == count)
                return refuse(why, "%s needs a value: %s", option->name, option->takes);
            value = arguments[++i];
        }
        if (option_set(o, option, value, why))
            return 2;
        const int row = row_of(option);
        o->seen[row / 64] |= UINT64_C(1) << row % 64;
    }
    return o->help ? 0 : check(o, c, why);
}
