/* bench/end_to_end: how long a guided step and a decode take, against the device's measured peak.

       end_to_end [--model PATH] [--steps N] [--width N] [--height N] [--dtype TYPE] [--device NAME] [--output FILE.json]

   The peak is probed before and after, because a shared machine's speed drifts; the fraction is of the mean of both. The
   first step compiles kernels and is left out. Prints a table of the slowest ops and writes everything as JSON. */
#include "../engine/calotype.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

typedef struct settings {
    const char *model, *device, *output;
    int steps, width, height;
    calo_type dtype;
} settings;

static int parse(int count, char **words, settings *s)
{
    static const char *const types[] = { "auto", "f32", "f16", "bf16" };
    for (int i = 1; i + 1 < count; i += 2) {
        const char *value = words[i + 1];
        if (strcmp(words[i], "--model") == 0)
            s->model = value;
        else if (strcmp(words[i], "--device") == 0)
            s->device = value;
        else if (strcmp(words[i], "--output") == 0)
            s->output = value;
        else if (strcmp(words[i], "--steps") == 0)
            s->steps = atoi(value);
        else if (strcmp(words[i], "--width") == 0)
            s->width = atoi(value);
        else if (strcmp(words[i], "--height") == 0)
            s->height = atoi(value);
        else if (strcmp(words[i], "--dtype") == 0)
            for (int t = 0; t < 4; t++)
                s->dtype = strcmp(value, types[t]) == 0 ? (calo_type)t : s->dtype;
        else
            return fprintf(stderr, "end_to_end has no option %s\n", words[i]), 2;
    }
    return s->steps >= 1 && s->steps <= 100 ? 0 : 2;
}

static int by_number(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static int by_seconds(const void *a, const void *b)
{
    const calo_report_row *x = a, *y = b;
    return x->seconds < y->seconds ? 1 : x->seconds > y->seconds ? -1 : 0;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double part_flops(const calo_report *report, const char *part)
{
    double flops = 0;
    for (int i = 0; i < report->row_count; i++)
        if (strcmp(report->rows[i].part, part) == 0)
            flops += report->rows[i].flops;
    return flops;
}

static void add_rows(cJSON *object, const calo_report *report, double peak)
{
    cJSON *rows = cJSON_AddArrayToObject(object, "ops");
    qsort(report->rows, (size_t)report->row_count, sizeof *report->rows, by_seconds);
    printf("\n%-6s %-11s %-9s %5s %9s %9s %7s  shape (each op waited for)\n", "part", "op", "variant", "calls", "GFLOP",
           "ms", "of peak");
    for (int i = 0; i < report->row_count; i++) {
        const calo_report_row *r = &report->rows[i];
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "part", r->part);
        cJSON_AddStringToObject(row, "op", r->op);
        cJSON_AddStringToObject(row, "variant", r->variant);
        cJSON_AddStringToObject(row, "shape", r->shape);
        cJSON_AddNumberToObject(row, "calls", (double)r->calls);
        cJSON_AddNumberToObject(row, "flops", r->flops);
        cJSON_AddNumberToObject(row, "seconds", r->seconds);
        cJSON_AddItemToArray(rows, row);
        if (i < 20)
            printf("%-6s %-11s %-9s %5lld %9.2f %9.2f %6.1f%%  %s\n", r->part, r->op, r->variant, (long long)r->calls,
                   r->flops / 1e9, r->seconds * 1e3, 100 * r->flops / r->seconds / peak, r->shape);
    }
}

int main(int count, char **words)
{
    settings s = { .model = "layout:sd15", .steps = 4, .dtype = CALO_F32 };
    calo_context *context = NULL;
    calo_model *model = NULL;
    calo_image *image = NULL;
    calo_report *plan = NULL, *profile = NULL;
    calo_device_record before, after;
    double step_s[128];
    calo_timing timing = { .step_s = step_s, .step_room = 128 }, profiled = { 0 };
    calo_open_options open_options = CALO_OPEN_OPTIONS_INIT;
    calo_load_options load_options = CALO_LOAD_OPTIONS_INIT;
    calo_request request = CALO_REQUEST_INIT;
    struct rusage usage;
    if (parse(count, words, &s))
        return 2;
    open_options.device = s.device;
    load_options.dtype = s.dtype;
    request.prompt = "a photograph of an astronaut riding a horse";
    request.scheduler = "ddim";
    request.steps = s.steps + 1; /* the first one compiles */
    request.width = s.width;
    request.height = s.height;
    request.timing = &timing;

    int failed = calo_open(&context, &open_options);
    double load_s = now();
    failed = failed || calo_load(context, s.model, &load_options, &model);
    load_s = now() - load_s;
    failed = failed || calo_plan(model, &request, &plan) || calo_generate(model, &request, &image); /* compiles all */
    calo_free_image(&image);
    failed = failed || calo_probe(context, &before) || calo_generate(model, &request, &image) || calo_probe(context, &after);
    calo_free_image(&image);
    calo_request again = request;
    again.steps = 1;
    again.profile = 1;
    again.report = &profile;
    again.timing = &profiled;
    failed = failed || calo_generate(model, &again, &image);
    if (failed) {
        fprintf(stderr, "%s\n", calo_error(context));
    } else {
        const int steps = timing.step_count - 1;
        const double peak = (before.peak_flops + after.peak_flops) / 2;
        qsort(step_s + 1, (size_t)steps, sizeof *step_s, by_number);
        const double median = step_s[1 + steps / 2], step_flops = part_flops(profile, "unet");
        const double decode_flops = part_flops(profile, "vae");
        getrusage(RUSAGE_SELF, &usage);
        printf("%s, %s, %s\n", before.id, before.name, calo_model_dtype(model));
        printf("peak    %.0f GFLOP/s before, %.0f after\n", before.peak_flops / 1e9, after.peak_flops / 1e9);
        printf("load    %.2f s\nstep    %.4f s median of %d (%.4f … %.4f), %.1f%% of the f32 peak\n", load_s, median, steps,
               step_s[1], step_s[steps], 100 * step_flops / median / peak);
        printf("decode  %.3f s, %.1f%% of the f32 peak\n", timing.decode_s, 100 * decode_flops / timing.decode_s / peak);
        printf("memory  device %.3f GB (plan %.3f), process %.3f GB\n", (double)calo_peak_device_bytes(context) / 1e9,
               (double)(plan->weight_bytes + plan->activation_bytes) / 1e9, 1024.0 * (double)usage.ru_maxrss / 1e9);
        cJSON *object = cJSON_CreateObject();
        cJSON_AddStringToObject(object, "model", s.model);
        cJSON_AddStringToObject(object, "device", before.name);
        cJSON_AddStringToObject(object, "driver", before.driver);
        cJSON_AddStringToObject(object, "dtype", calo_model_dtype(model));
        cJSON_AddNumberToObject(object, "compute_units", before.compute_units);
        cJSON_AddNumberToObject(object, "peak_flops_before", before.peak_flops);
        cJSON_AddNumberToObject(object, "peak_flops_after", after.peak_flops);
        cJSON_AddNumberToObject(object, "load_s", load_s);
        cJSON_AddItemToObject(object, "step_s", cJSON_CreateDoubleArray(step_s + 1, steps));
        cJSON_AddNumberToObject(object, "step_fraction_of_peak", step_flops / median / peak);
        cJSON_AddNumberToObject(object, "decode_s", timing.decode_s);
        cJSON_AddNumberToObject(object, "decode_fraction_of_peak", decode_flops / timing.decode_s / peak);
        cJSON_AddNumberToObject(object, "peak_device_bytes", (double)calo_peak_device_bytes(context));
        cJSON_AddNumberToObject(object, "planned_device_bytes", (double)(plan->weight_bytes + plan->activation_bytes));
        cJSON_AddNumberToObject(object, "peak_process_bytes", 1024.0 * (double)usage.ru_maxrss);
        add_rows(object, profile, peak);
        char *text = s.output ? cJSON_Print(object) : NULL;
        FILE *file = text ? fopen(s.output, "w") : NULL;
        if (file) {
            fprintf(file, "%s\n", text);
            fclose(file);
        }
        cJSON_free(text);
        cJSON_Delete(object);
    }
    calo_free_image(&image);
    calo_free_report(&plan);
    calo_free_report(&profile);
    calo_unload(&model);
    calo_close(&context);
    return failed ? 1 : 0;
}
