/* Runs calotype on every golden case and compares what each stage produced with diffusers:

       compare_goldens CALOTYPE WRITE_MODEL GOLDEN TOKENIZER WORK [--only PART | --share K/N]

   With a share, of N, only the models whose names fall into it: so that several may run beside each other.
   The cases are the rows of cases.tsv and of flows.tsv; options that begin with a word are another command's than
   txt2img. Files that they name are in pictures_in.
   Tokens must be equal, noise within 2e-6, everything else within the case's relative L2 tolerance; picture pixels
   equal but for 0.1 % that are off by one. Of an inpainted picture, those where the mask is black must be the
   original's own, those where it is white the decoded ones. Comparisons are written so that a NaN fails. Ends with "N
   passed, N failed, …". */
#include "../../engine/png.h"
#include "../../engine/weights/safetensors.h"

#include <errno.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { FIELDS = 7, WORDS = 64, PATH_SIZE = 4096 };
enum { NAME, MODEL, DTYPE, TOLERANCE, PROMPT, NEGATIVE, OPTIONS };

typedef struct setup {
    const char *calotype, *write_model, *golden, *tokenizer, *work;
} setup;

/* A case's command line. The paths and the options' own text live here; words points into them. */
typedef struct command {
    char model[PATH_SIZE], dump[PATH_SIZE], png[PATH_SIZE], refiner[PATH_SIZE], init[PATH_SIZE], mask[PATH_SIZE],
        options[1024];
    char *words[WORDS];
    int count;
} command;

static int run(char *const *words)
{
    pid_t child;
    int status;
    if (posix_spawn(&child, words[0], NULL, NULL, words, environ) != 0 || waitpid(child, &status, 0) < 0)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The model's folder, or in another form: "@single", "@ckpt", "@bin", "@f8", "@f8s", made at the first use. */
static int make_model(const setup *s, const char *model, char *path)
{
    char configs[PATH_SIZE];
    const char *at = strchr(model, '@');
    const int length = at ? (int)(at - model) : (int)strlen(model);
    snprintf(path, PATH_SIZE, "%s/%s%s", s->work, model,
             !at || strcmp(at, "@bin") == 0 ? ""
             : strcmp(at, "@ckpt") == 0     ? ".ckpt"
                                            : ".safetensors");
    snprintf(configs, sizeof configs, "%s/models/%.*s", s->golden, length, model);
    if (access(path, F_OK) == 0)
        return 0;
    /* What a published file of that kind says of itself. */
    char *mark = strncmp(model, "xl_v", 4) == 0 ? "mark:v_pred" : NULL;
    char *words[] = {
        (char *)s->write_model, configs, (char *)s->tokenizer, path, at ? (char *)at + 1 : NULL, mark, NULL
    };
    return run(words);
}

/* Two forms of the same weights give the same bits. */
static bool same_bytes(const char *name, const char *a, const char *b)
{
    calo_fault fault = { 0 };
    char *texts[2] = { NULL, NULL };
    size_t sizes[2] = { 0, 0 };
    bool same = !calo_read_file(a, 1 << 30, &texts[0], &sizes[0], &fault) &&
                !calo_read_file(b, 1 << 30, &texts[1], &sizes[1], &fault) && sizes[0] == sizes[1] &&
                memcmp(texts[0], texts[1], sizes[0]) == 0;
    if (!same)
        printf("FAIL %s: %s and %s are not the same, bit by bit (%s)\n", name, a, b, fault.text);
    calo_free(texts[0]);
    calo_free(texts[1]);
    return same;
}

/* Values of an entry as floats; NULL on failure. */
static float *values_of(const calo_entry *entry, calo_fault *fault)
{
    float *values = calloc((size_t)calo_entry_count(entry) + 1, sizeof *values);
    if (values && calo_entry_read(entry, 0, calo_entry_count(entry), values, fault)) {
        free(values);
        return NULL;
    }
    return values;
}

static double distance(const float *got, const float *expected, int64_t count)
{
    double difference = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        difference += ((double)got[i] - expected[i]) * ((double)got[i] - expected[i]);
        size += (double)expected[i] * expected[i];
    }
    return sqrt(difference) / (sqrt(size) > 1e-30 ? sqrt(size) : 1e-30);
}

static double largest_difference(const float *got, const float *expected, int64_t count)
{
    double most = 0;
    for (int64_t i = 0; i < count; i++) {
        const double d = fabs((double)got[i] - expected[i]);
        if (!(d <= most))
            most = d;
    }
    return most;
}

static bool same_shape(const calo_entry *a, const calo_entry *b)
{
    bool same = a->rank == b->rank;
    for (int i = 0; same && i < a->rank; i++)
        same = a->dims[i] == b->dims[i];
    return same;
}

/* One stage; prints it when it fails. */
static bool stage_agrees(const char *name, const calo_entry *golden, const calo_tensor_file *goldens,
                         const calo_tensor_file *dump, double tolerance, double *worst)
{
    calo_fault fault = { 0 };
    char limit_name[64];
    const calo_entry *ours = calo_tensor_file_find(dump, golden->name);
    snprintf(limit_name, sizeof limit_name, "limit.%s", golden->name);
    const calo_entry *limit = calo_tensor_file_find(goldens, limit_name);
    if (!ours || !same_shape(ours, golden)) {
        printf("FAIL %s: %s is %s\n", name, golden->name, ours ? "of another shape" : "missing");
        return false;
    }
    float *got = values_of(ours, &fault), *expected = values_of(golden, &fault);
    float own_limit = 0;
    if (limit)
        calo_entry_read(limit, 0, 1, &own_limit, &fault);
    bool agrees = got && expected && !fault.status;
    const int64_t count = calo_entry_count(golden);
    if (agrees && strncmp(golden->name, "tokens", 6) == 0) {
        agrees = memcmp(got, expected, (size_t)count * sizeof *got) == 0;
        if (!agrees)
            printf("FAIL %s: %s differs\n", name, golden->name);
    } else if (agrees && strcmp(golden->name, "noise") == 0) {
        const double most = largest_difference(got, expected, count);
        agrees = most <= 2e-6;
        if (!agrees)
            printf("FAIL %s: noise differs by %.3g, allowed 2e-6\n", name, most);
    } else if (agrees) {
        const double d = distance(got, expected, count), allowed = limit ? own_limit : tolerance;
        agrees = d <= allowed;
        if (!(d / allowed <= *worst))
            *worst = d / allowed;
        if (!agrees)
            printf("FAIL %s: %s is off by %.3g (relative L2), allowed %.3g\n", name, golden->name, d, allowed);
    } else {
        printf("FAIL %s: %s cannot be read\n", name, golden->name);
    }
    free(got);
    free(expected);
    return agrees;
}

/* 8-bit pixels [height, width, channels] of the size of `like` [1, height, width, 3]; NULL where they cannot be read.
 */
static uint8_t *pixels_of(const char *path, const calo_entry *like, int *channels, calo_fault *fault)
{
    uint8_t *pixels = NULL;
    int width, height;
    if (calo_picture_read(path, &pixels, &width, &height, channels, fault))
        return NULL;
    if (like->rank == 4 && like->dims[1] == height && like->dims[2] == width && like->dims[3] == 3)
        return pixels;
    calo_fail(fault, CALO_EFILE, "%s is %d by %d", path, width, height);
    calo_free(pixels);
    return NULL;
}

/* How much of a picture is repainted: 255 × the mask, or × what is missing to opacity where there is no mask. */
static int repainted(const uint8_t *mask, int mask_channels, const uint8_t *init, int init_channels, int64_t pixel)
{
    if (mask)
        return mask[pixel * mask_channels];
    return init && (init_channels == 4 || init_channels == 2) ? 255 - init[pixel * init_channels + init_channels - 1]
                                                              : 255;
}

/* A colour of a pixel, over white where it is transparent. */
static long over_white(const uint8_t *pixel, int channels, int64_t colour)
{
    const long opacity = channels == 4 ? pixel[3] : 255;
    return (pixel[colour] * opacity + 255 * (255 - opacity) + 127) / 255;
}

/* Whether a number lies between two others, give or take two. */
static bool between(long number, long a, long b)
{
    return number >= (a < b ? a : b) - 2 && number <= (a < b ? b : a) + 2;
}

/* The PNG's pixels against the golden image: equal, but for 0.1 % off by one, or as many more as a tolerance above 1e-5
 * moves across a half. An inpainted picture must be the original where the mask is below a half. Where the golden is the
 * `pasted` picture, which diffusers mixes at the mask's grey edge, it is to lie there between the original and ours. */
static bool pixels_agree(const char *name, const calo_entry *image, const command *c, bool pasted, double tolerance)
{
    calo_fault fault = { 0 };
    int channels = 0, init_channels = 0, mask_channels = 0;
    float *expected = values_of(image, &fault);
    uint8_t *pixels = pixels_of(c->png, image, &channels, &fault), *init = NULL, *mask = NULL;
    if (strcmp(c->words[1], "inpaint") == 0)
        init = pixels_of(c->init, image, &init_channels, &fault);
    if (init && *c->mask)
        mask = pixels_of(c->mask, image, &mask_channels, &fault);
    const int64_t count = calo_entry_count(image);
    int64_t off = 0, wrong = 0, edge = 0, touched = 0;
    const bool readable = expected && !fault.status && channels == 3;
    for (int64_t i = 0; readable && i < count; i++) {
        const int share = repainted(mask, mask_channels, init, init_channels, i / 3);
        const long number = pixels[i], golden = lrintf(expected[i] * 255), difference = labs(golden - number);
        const long original = init ? over_white(&init[i / 3 * init_channels], init_channels, i % 3) : 0;
        const bool repaints = share >= 128, whole = repaints && (share == 255 || !pasted);
        off += whole && difference == 1;
        wrong += whole && difference > 1;
        touched += !repaints && number != original;
        edge += repaints && !whole && !between(golden, original, number);
    }
    const double allowed = fmax(0.001, 255 * (tolerance - 1e-5)) * (double)count;
    const bool agrees = readable && wrong == 0 && touched == 0 && edge == 0 && (double)off <= allowed;
    if (!agrees)
        printf(
            "FAIL %s: the picture: of %lld numbers %lld off by one, %lld by more, %lld wrong at the mask's edge, %lld "
            "changed outside it (%s)\n",
            name, (long long)count, (long long)off, (long long)wrong, (long long)edge, (long long)touched, fault.text);
    calo_free(pixels);
    calo_free(init);
    calo_free(mask);
    free(expected);
    return agrees;
}

static bool compare(const setup *s, char **field, const command *c)
{
    calo_fault fault = { 0 };
    calo_tensor_file golden = { 0 }, dump = { 0 };
    char path[PATH_SIZE];
    double worst = 0;
    const char *form = strchr(field[NAME], '@');
    const int length = form ? (int)(form - field[NAME]) : (int)strlen(field[NAME]);
    snprintf(path, sizeof path, "%s/cases/%.*s.safetensors", s->golden, length, field[NAME]);
    bool passed = !calo_tensor_file_open(path, &golden, &fault) && !calo_tensor_file_open(c->dump, &dump, &fault);
    if (!passed)
        printf("FAIL %s: %s\n", field[NAME], fault.text);
    int stages = 0;
    for (int64_t i = 0; passed && i < golden.count; i++) {
        if (strncmp(golden.entries[i].name, "limit.", 6) == 0 || strcmp(golden.entries[i].name, "picture") == 0)
            continue;
        passed = stage_agrees(field[NAME], &golden.entries[i], &golden, &dump, atof(field[TOLERANCE]), &worst);
        stages++;
    }
    /* What was made of a part of the picture is held to diffusers' pasted picture, otherwise to the decoded one. */
    const calo_entry *pasted = calo_tensor_file_find(&golden, "picture");
    const calo_entry *image = pasted ? pasted : calo_tensor_file_find(&golden, "image");
    if (passed && image && image->dims[0] == 1 && strcmp(field[DTYPE], "f32") == 0)
        passed = pixels_agree(field[NAME], image, c, pasted != NULL, atof(field[TOLERANCE]));
    snprintf(path, sizeof path, "%s/%.*s.safetensors", s->work, length, field[NAME]);
    if (passed && form && access(path, F_OK) == 0)
        passed = same_bytes(field[NAME], path, c->dump);
    if (passed)
        printf("ok   %-32s %3d stages, at most %.2f of the tolerance %s\n", field[NAME], stages, worst,
               strcmp(field[DTYPE], "f32") == 0 ? field[TOLERANCE] : "(twice torch's own error)");
    calo_tensor_file_close(&golden);
    calo_tensor_file_close(&dump);
    return passed;
}

/* Cuts the next word off *text: up to a space, or between double quotes. NULL at the end. */
static char *next_word(char **text)
{
    char *word = *text + strspn(*text, " ");
    if (!*word)
        return NULL;
    const char *end = *word == '"' ? "\"" : " ";
    word += *word == '"';
    *text = word + strcspn(word, end);
    if (**text)
        *(*text)++ = '\0';
    return word;
}

/* Appends the row's options; those that name a picture or a model get its path. */
static bool add_options(const setup *s, command *c, char *text)
{
    for (char *word; (word = next_word(&text)) && c->count + 1 < WORDS; c->count++) {
        const char *option = c->words[c->count - 1];
        char *path = strcmp(option, "--refiner") == 0 ? c->refiner
                     : strcmp(option, "--init") == 0  ? c->init
                     : strcmp(option, "--mask") == 0  ? c->mask
                                                      : NULL;
        if (path && path != c->refiner)
            snprintf(path, PATH_SIZE, "%s/pictures_in/%s", s->golden, word);
        else if (path && make_model(s, word, path) != 0)
            return false;
        c->words[c->count] = path ? path : word;
    }
    return true;
}

static bool run_case(const setup *s, char **field)
{
    command c = { .count = 0 };
    snprintf(c.options, sizeof c.options, "%s", field[OPTIONS]);
    char *text = c.options, *flow = *text == '-' ? "txt2img" : next_word(&text);
    char *words[] = { (char *)s->calotype, flow,     "--model", c.model,    "--prompt", field[PROMPT], "--dtype",
                      field[DTYPE],        "--dump", c.dump,    "--output", c.png,      "--quiet", "--tuning=none" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        c.words[c.count++] = words[i];
    snprintf(c.dump, sizeof c.dump, "%s/%s.safetensors", s->work, field[NAME]);
    snprintf(c.png, sizeof c.png, "%s/%s.png", s->work, field[NAME]);
    if (strcmp(field[NEGATIVE], "-") != 0) {
        c.words[c.count++] = "--negative";
        c.words[c.count++] = strcmp(field[NEGATIVE], "\"\"") == 0 ? "" : field[NEGATIVE];
    }
    if (!strstr(field[OPTIONS], "--width") && !strstr(field[OPTIONS], "--init")) {
        c.words[c.count++] = "--width=64";
        c.words[c.count++] = "--height=64";
    }
    if (!flow || !add_options(s, &c, text) || make_model(s, field[MODEL], c.model) != 0) {
        printf("FAIL %s: the model %s cannot be made\n", field[NAME], field[MODEL]);
        return false;
    }
    const int status = run(c.words);
    if (status != 0) {
        printf("FAIL %s: calotype ended with %d\n", field[NAME], status);
        return false;
    }
    return compare(s, field, &c);
}

/* All forms of a model fall into the same share. */
static unsigned hash_of_model(const char *model)
{
    unsigned hash = 5;
    for (; *model && *model != '@'; model++)
        hash = hash * 31 + (unsigned char)*model;
    return hash >> 2;
}

/* The cases of a table whose names hold `only`, and whose models are of the share. False where it cannot be read. */
static bool run_table(const setup *s, const char *table, const char *only, unsigned share, unsigned shares, int *passed,
                      int *failed)
{
    char path[PATH_SIZE], *text, *line;
    size_t size;
    calo_fault fault = { 0 };
    snprintf(path, sizeof path, "%s/%s", s->golden, table);
    if (calo_read_file(path, 1 << 20, &text, &size, &fault)) {
        fprintf(stderr, "%s\n", fault.text);
        return false;
    }
    for (char *next = text; (line = next) && *line;) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        char *field[FIELDS] = { line };
        int fields = 1;
        for (char *c = line; *c && fields < FIELDS; c++)
            if (*c == '\t') {
                *c = '\0';
                field[fields++] = c + 1;
            }
        if (*line == '#' || fields < FIELDS || !strstr(field[NAME], only) ||
            hash_of_model(field[MODEL]) % shares != share)
            continue;
        ++*(run_case(s, field) ? passed : failed);
        fflush(stdout);
    }
    calo_free(text);
    return true;
}

int main(int count, char **words)
{
    if (count < 6)
        return fprintf(
                   stderr,
                   "usage: compare_goldens CALOTYPE WRITE_MODEL GOLDEN TOKENIZER WORK [--only PART | --share K/N]\n"),
               2;
    const setup s = { words[1], words[2], words[3], words[4], words[5] };
    const char *only = count > 7 && strcmp(words[6], "--only") == 0 ? words[7] : "";
    unsigned share = 0, shares = 1;
    if (count > 7 && strcmp(words[6], "--share") == 0 &&
        (sscanf(words[7], "%u/%u", &share, &shares) != 2 || shares == 0))
        return 2;
    int passed = 0, failed = 0;
    mkdir(s.work, 0777);
    if (!run_table(&s, "cases.tsv", only, share, shares, &passed, &failed) ||
        !run_table(&s, "flows.tsv", only, share, shares, &passed, &failed))
        return 1;
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed || (!passed && shares == 1); /* no model may fall into a share */
}
