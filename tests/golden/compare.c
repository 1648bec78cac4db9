/* Runs calotype on every golden case and compares what each stage produced with diffusers:

       compare_goldens CALOTYPE WRITE_MODEL GOLDEN TOKENIZER WORK [--only PART | --share K/N]

   With a share, of N, only the models whose names fall into it: so that several may run beside each other.
   Tokens must be equal, noise within 2e-6, everything else within the case's relative L2 tolerance; picture pixels equal
   but for 0.1 % that are off by one. Comparisons are written so that a NaN fails. Ends with "N passed, N failed, …". */
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
    snprintf(path, PATH_SIZE, "%s/%s%s", s->work, model, !at || strcmp(at, "@bin") == 0 ? "" : strcmp(at, "@ckpt") == 0 ? ".ckpt" : ".safetensors");
    snprintf(configs, sizeof configs, "%s/models/%.*s", s->golden, length, model);
    if (access(path, F_OK) == 0)
        return 0;
    /* What a published file of that kind says of itself. */
    char *mark = strncmp(model, "xl_v", 4) == 0 ? "mark:v_pred" : NULL;
    char *words[] = { (char *)s->write_model, configs, (char *)s->tokenizer, path, at ? (char *)at + 1 : NULL, mark, NULL };
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

/* The PNG's pixels against the golden image: equal, but for 0.1 % off by one, or as many more as a tolerance above 1e-5
 * moves across a half. */
static bool pixels_agree(const char *name, const calo_entry *image, const char *png, double tolerance)
{
    calo_fault fault = { 0 };
    uint8_t *pixels = NULL;
    int width, height, channels;
    float *expected = values_of(image, &fault);
    const int64_t count = calo_entry_count(image);
    bool agrees = expected && !calo_picture_read(png, &pixels, &width, &height, &channels, &fault) && channels == 3 &&
                  (int64_t)width * height * 3 == count;
    int64_t off = 0, wrong = 0;
    for (int64_t i = 0; agrees && i < count; i++) {
        const long difference = labs(lrintf(expected[i] * 255) - pixels[i]);
        off += difference == 1;
        wrong += difference > 1;
    }
    agrees = agrees && wrong == 0 && (double)off <= fmax(0.001, 255 * (tolerance - 1e-5)) * (double)count;
    if (!agrees)
        printf("FAIL %s: the picture: %lld pixels off by one, %lld by more, of %lld (%s)\n", name, (long long)off,
               (long long)wrong, (long long)count, fault.text);
    calo_free(pixels);
    free(expected);
    return agrees;
}

static bool compare(const setup *s, char **field, const char *dump_path, const char *png)
{
    calo_fault fault = { 0 };
    calo_tensor_file golden = { 0 }, dump = { 0 };
    char path[PATH_SIZE];
    double worst = 0;
    const char *form = strchr(field[NAME], '@');
    const int length = form ? (int)(form - field[NAME]) : (int)strlen(field[NAME]);
    snprintf(path, sizeof path, "%s/cases/%.*s.safetensors", s->golden, length, field[NAME]);
    bool passed = !calo_tensor_file_open(path, &golden, &fault) && !calo_tensor_file_open(dump_path, &dump, &fault);
    if (!passed)
        printf("FAIL %s: %s\n", field[NAME], fault.text);
    int stages = 0;
    for (int64_t i = 0; passed && i < golden.count; i++) {
        if (strncmp(golden.entries[i].name, "limit.", 6) == 0)
            continue;
        passed = stage_agrees(field[NAME], &golden.entries[i], &golden, &dump, atof(field[TOLERANCE]), &worst);
        stages++;
    }
    const calo_entry *image = calo_tensor_file_find(&golden, "image");
    if (passed && image && image->dims[0] == 1 && strcmp(field[DTYPE], "f32") == 0)
        passed = pixels_agree(field[NAME], image, png, atof(field[TOLERANCE]));
    snprintf(path, sizeof path, "%s/%.*s.safetensors", s->work, length, field[NAME]);
    if (passed && form && access(path, F_OK) == 0)
        passed = same_bytes(field[NAME], path, dump_path);
    if (passed)
        printf("ok   %-32s %3d stages, at most %.2f of the tolerance %s\n", field[NAME], stages, worst,
               strcmp(field[DTYPE], "f32") == 0 ? field[TOLERANCE] : "(twice torch's own error)");
    calo_tensor_file_close(&golden);
    calo_tensor_file_close(&dump);
    return passed;
}

static bool run_case(const setup *s, char **field)
{
    char model[PATH_SIZE], dump[PATH_SIZE], png[PATH_SIZE], refiner[PATH_SIZE], options[1024];
    char *words[WORDS] = { (char *)s->calotype, "txt2img", "--model", model, "--prompt", field[PROMPT], "--dtype",
                           field[DTYPE], "--dump", dump, "--output", png, "--quiet", "--tuning=none" };
    int count = 14;
    snprintf(dump, sizeof dump, "%s/%s.safetensors", s->work, field[NAME]);
    snprintf(png, sizeof png, "%s/%s.png", s->work, field[NAME]);
    if (strcmp(field[NEGATIVE], "-") != 0) {
        words[count++] = "--negative";
        words[count++] = strcmp(field[NEGATIVE], "\"\"") == 0 ? "" : field[NEGATIVE];
    }
    if (!strstr(field[OPTIONS], "--width")) {
        words[count++] = "--width=64";
        words[count++] = "--height=64";
    }
    snprintf(options, sizeof options, "%s", field[OPTIONS]);
    for (char *word = strtok(options, " "); word && count + 1 < WORDS; word = strtok(NULL, " ")) {
        const bool names_refiner = strcmp(words[count - 1], "--refiner") == 0;
        words[count++] = names_refiner ? refiner : word;
        if (names_refiner && make_model(s, word, refiner) != 0)
            return false;
    }
    if (make_model(s, field[MODEL], model) != 0) {
        printf("FAIL %s: the model %s cannot be made\n", field[NAME], field[MODEL]);
        return false;
    }
    const int status = run(words);
    if (status != 0) {
        printf("FAIL %s: calotype ended with %d\n", field[NAME], status);
        return false;
    }
    return compare(s, field, dump, png);
}

/* All forms of a model fall into the same share. */
static unsigned hash_of_model(const char *model)
{
    unsigned hash = 5;
    for (; *model && *model != '@'; model++)
        hash = hash * 31 + (unsigned char)*model;
    return hash >> 2;
}

int main(int count, char **words)
{
    if (count < 6)
        return fprintf(stderr, "usage: compare_goldens CALOTYPE WRITE_MODEL GOLDEN TOKENIZER WORK [--only PART | --share K/N]\n"), 2;
    const setup s = { words[1], words[2], words[3], words[4], words[5] };
    const char *only = count > 7 && strcmp(words[6], "--only") == 0 ? words[7] : "";
    unsigned share = 0, shares = 1;
    if (count > 7 && strcmp(words[6], "--share") == 0 && (sscanf(words[7], "%u/%u", &share, &shares) != 2 || shares == 0))
        return 2;
    char path[PATH_SIZE], *text, *line;
    size_t size;
    int passed = 0, failed = 0;
    calo_fault fault = { 0 };
    mkdir(s.work, 0777);
    snprintf(path, sizeof path, "%s/cases.tsv", s.golden);
    if (calo_read_file(path, 1 << 20, &text, &size, &fault))
        return fprintf(stderr, "%s\n", fault.text), 1;
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
        if (*line == '#' || fields < FIELDS || !strstr(field[NAME], only) || hash_of_model(field[MODEL]) % shares != share)
            continue;
        if (run_case(&s, field))
            passed++;
        else
            failed++;
        fflush(stdout);
    }
    calo_free(text);
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed || !passed;
}
