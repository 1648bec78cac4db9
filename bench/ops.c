/* bench/ops: every variant of linear, conv2d and attention, ours and the vendor's, on the shapes of a UNet.

       bench_ops [--device NAME] [--dtype f32|f16|bf16] [--model sd15|sdxl] [--only OP] [--rounds N] [--output FILE.json]

   The variants of one shape take turns, so that a machine's drift meets all alike; a turn is as many launches as take
   some 5 ms, recorded once where the device can (CUDA), so that the host's part of a launch is in no figure, and the
   figure is the turns' median. Fractions are of the best square product that any variant reached
   before and after (mean of both). Numbers are random: zeros cost less power, and time less. */
#include "../engine/calotype.h"
#include "../kernels/attention/attention.h"
#include "../kernels/conv2d/conv2d.h"
#include "../kernels/linear/linear.h"
#include "../kernels/op.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_VARIANTS = 16, MAX_ROUNDS = 51 };
#define COUNT(list) ((int)(sizeof(list) / sizeof *(list)))

typedef enum kind { LINEAR, GATED, CONV, STRIDED, ATTENTION } kind;

/* Linear: rows × inputs → outputs. Convolution 3×3: images of side² × inputs → outputs. Attention: batch · heads of d. */
typedef struct shape {
    kind kind;
    int64_t batch, a, b, c, heads;
} shape;

/* The guided UNets at 512² (sd15) and 1024² (sdxl): each level's projections, feed-forward, convolutions, attention. */
static const shape sd15[] = {
    { LINEAR, 2, 4096, 320, 960, 0 },    { GATED, 2, 4096, 320, 2560, 0 },    { LINEAR, 2, 4096, 1280, 320, 0 },
    { LINEAR, 2, 1024, 640, 1920, 0 },   { GATED, 2, 1024, 640, 5120, 0 },    { LINEAR, 2, 1024, 2560, 640, 0 },
    { LINEAR, 2, 256, 1280, 3840, 0 },   { GATED, 2, 256, 1280, 10240, 0 },   { LINEAR, 2, 256, 5120, 1280, 0 },
    { LINEAR, 2, 64, 1280, 3840, 0 },    { CONV, 2, 64, 320, 320, 0 },        { CONV, 2, 64, 960, 320, 0 },
    { STRIDED, 2, 64, 320, 320, 0 },     { CONV, 2, 32, 640, 640, 0 },        { CONV, 2, 32, 1920, 640, 0 },
    { CONV, 2, 16, 1280, 1280, 0 },      { CONV, 2, 16, 2560, 1280, 0 },      { CONV, 2, 8, 1280, 1280, 0 },
    { ATTENTION, 2, 4096, 4096, 40, 8 }, { ATTENTION, 2, 4096, 77, 40, 8 },   { ATTENTION, 2, 1024, 1024, 80, 8 },
    { ATTENTION, 2, 256, 256, 160, 8 },
};
static const shape sdxl[] = {
    { LINEAR, 2, 4096, 640, 1920, 0 },    { GATED, 2, 4096, 640, 5120, 0 },     { LINEAR, 2, 4096, 2560, 640, 0 },
    { LINEAR, 2, 1024, 1280, 3840, 0 },   { GATED, 2, 1024, 1280, 10240, 0 },   { LINEAR, 2, 1024, 5120, 1280, 0 },
    { CONV, 2, 128, 320, 320, 0 },        { CONV, 2, 128, 640, 320, 0 },        { CONV, 2, 64, 640, 640, 0 },
    { CONV, 2, 64, 1280, 640, 0 },        { CONV, 2, 32, 1280, 1280, 0 },       { CONV, 2, 32, 2560, 1280, 0 },
    { ATTENTION, 2, 4096, 4096, 64, 10 }, { ATTENTION, 2, 4096, 77, 64, 10 },   { ATTENTION, 2, 1024, 1024, 64, 20 },
    { ATTENTION, 2, 1024, 77, 64, 20 },
};

typedef struct settings {
    const char *device, *output, *model, *only;
    calo_type dtype;
    int rounds;
} settings;

typedef struct bench {
    calo_run run;
    calo_arena arena;
    calo_fault fault;
    settings settings;
    uint64_t random;
} bench;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A tensor of numbers between −1 and 1, or weights of them in panels. */
static calo_tensor numbers(bench *b, calo_layout layout, int rank, const int64_t *dims)
{
    calo_tensor t = calo_shape(b->run.dtype, rank, dims);
    t.layout = layout;
    const int64_t count = (int64_t)(calo_tensor_bytes(t) / calo_type_size(t.type));
    calo_tensor flat = calo_new(&b->run, t.type, 1, &count);
    float *values = b->run.device ? malloc((size_t)count * sizeof *values) : NULL;
    for (int64_t i = 0; values && i < count; i++) {
        b->random = b->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        values[i] = (float)(int32_t)(b->random >> 32) * 4.656613e-10f;
    }
    if (values)
        calo_upload(&b->run, flat, values);
    free(values);
    t.by_output = b->run.info.backend == CALO_CUDA;
    t.buffer = flat.buffer;
    t.offset = flat.offset;
    return t;
}

/* What a shape's call needs. */
typedef struct work {
    calo_call call;
    calo_activation activation;
    calo_conv2d_args convolution;
    calo_attention_args attention;
    double flops;
} work;

static void prepare(bench *b, const shape *s, work *w)
{
    const calo_type type = b->run.dtype;
    memset(w, 0, sizeof *w);
    w->activation = CALO_LINEAR;
    if (s->kind == ATTENTION) {
        const int64_t q[] = { s->batch, s->a, s->c * s->heads }, k[] = { s->batch, s->b, s->c * s->heads };
        w->attention = (calo_attention_args){ .heads = (int)s->heads };
        w->call = (calo_call){ .op = &calo_op_attention, .args = &w->attention };
        w->call.in[0] = numbers(b, CALO_ROWS, 3, q);
        w->call.in[1] = numbers(b, CALO_ROWS, 3, k);
        w->call.in[2] = numbers(b, CALO_ROWS, 3, k);
        w->call.out = calo_new(&b->run, type, 3, q);
    } else if (s->kind == CONV || s->kind == STRIDED) {
        const int step = s->kind == STRIDED ? 2 : 1;
        const int64_t side = s->a / step, x[] = { s->batch, s->a, s->a, s->b }, weight[] = { s->c, 3, 3, s->b };
        w->convolution = (calo_conv2d_args){ step, 1, 1, 1, 1, 1, CALO_LINEAR };
        w->call = (calo_call){ .op = &calo_op_conv2d, .args = &w->convolution };
        w->call.in[CALO_SLOT_X] = numbers(b, CALO_ROWS, 4, x);
        w->call.in[CALO_SLOT_WEIGHT] = numbers(b, CALO_PANELS, 4, weight);
        w->call.out = calo_new(&b->run, type, 4, (int64_t[]){ s->batch, side, side, s->c });
    } else {
        const int64_t x[] = { s->batch, s->a, s->b }, weight[] = { s->c, s->b };
        w->call = (calo_call){ .op = &calo_op_linear, .args = &w->activation };
        w->call.in[CALO_SLOT_X] = numbers(b, CALO_ROWS, 3, x);
        w->call.in[CALO_SLOT_WEIGHT] = numbers(b, s->kind == GATED ? CALO_PANELS_GATED : CALO_PANELS, 2, weight);
        w->call.out = calo_new(&b->run, type, 3, (int64_t[]){ s->batch, s->a, s->kind == GATED ? s->c / 2 : s->c });
    }
    w->flops = w->call.op->cost(&w->call).flops;
}

static void launch(bench *b, const work *w, int launches)
{
    for (int i = 0; i < launches; i++) {
        calo_call call = w->call;
        calo_perform(&b->run, &call);
    }
}

/* The launches as one recording, the caller's to release; NULL where the device or a vendor's library does not record. */
static calo_graph *record(bench *b, const work *w, int launches)
{
    const calo_device_api *api = b->run.device->api;
    calo_graph *graph = NULL;
    if (!api->capture || calo_failed(&b->run))
        return NULL;
    if (!api->capture(b->run.device, &b->fault)) {
        launch(b, w, launches);
        api->end_capture(b->run.device, &graph, &b->fault);
    }
    calo_fault_clear(&b->fault);
    return graph;
}

/* Seconds a launch; of the recording, if there is one. */
static double turn(bench *b, const work *w, int launches, calo_graph *graph)
{
    const double begin = now();
    if (graph)
        b->run.device->api->replay(b->run.device, graph, &b->fault);
    else
        launch(b, w, launches);
    if (!calo_failed(&b->run))
        b->run.device->api->finish(b->run.device, &b->fault);
    return (now() - begin) / launches;
}

static int by_number(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* The median seconds of each variant that takes the shape; 0 of the others. */
static bool measure(bench *b, const shape *s, double *seconds, double *flops)
{
    static double turns[MAX_VARIANTS][MAX_ROUNDS];
    int launches[MAX_VARIANTS] = { 0 };
    calo_graph *graphs[MAX_VARIANTS] = { NULL };
    calo_device *device = b->run.device;
    work w;
    calo_arena_init(&b->arena, device, &device->info);
    for (int pass = 0; pass < 2; pass++) { /* the first finds how much memory it takes */
        b->run.device = pass ? device : NULL;
        prepare(b, s, &w);
        const calo_op *op = w.call.op;
        for (int v = 0; v < op->variant_count && v < MAX_VARIANTS; v++) {
            b->run.forced_op = op;
            b->run.forced = &op->variants[v];
            seconds[v] = 0;
            if (!calo_choose(&b->run, &w.call, NULL))
                continue;
            if (pass) {
                turn(b, &w, 1, NULL);
                launches[v] = 1 + (int)(5e-3 / (turn(b, &w, 1, NULL) + 1e-7));
                graphs[v] = record(b, &w, launches[v]);
                turn(b, &w, launches[v], graphs[v]);
            } else {
                calo_call call = w.call;
                calo_perform(&b->run, &call);
            }
        }
        if (!pass && !calo_failed(&b->run))
            calo_arena_commit(&b->arena, &b->fault);
    }
    const calo_op *op = w.call.op;
    for (int round = 0; round < b->settings.rounds && !calo_failed(&b->run); round++)
        for (int v = 0; v < op->variant_count && v < MAX_VARIANTS; v++) {
            b->run.forced = &op->variants[v];
            if (launches[v])
                turns[v][round] = turn(b, &w, launches[v], graphs[v]);
        }
    for (int v = 0; v < op->variant_count && v < MAX_VARIANTS; v++)
        if (launches[v]) {
            qsort(turns[v], (size_t)b->settings.rounds, sizeof **turns, by_number);
            seconds[v] = turns[v][b->settings.rounds / 2];
        }
    for (int v = 0; v < MAX_VARIANTS; v++)
        if (graphs[v])
            device->api->release_graph(device, graphs[v]);
    *flops = w.flops;
    b->run.forced_op = NULL;
    calo_arena_free(&b->arena);
    return !calo_failed(&b->run);
}

static const calo_op *op_of(const shape *s)
{
    return s->kind == ATTENTION ? &calo_op_attention : s->kind == CONV || s->kind == STRIDED ? &calo_op_conv2d : &calo_op_linear;
}

/* The best that any variant makes of a square product. */
static double peak(bench *b)
{
    const int64_t side = b->run.info.class == CALO_CPU_CLASS ? 1024 : 8192;
    const shape square = { LINEAR, 1, side, side, side, 0 };
    double seconds[MAX_VARIANTS], flops, best = 0;
    if (!measure(b, &square, seconds, &flops))
        return 0;
    for (int v = 0; v < calo_op_linear.variant_count && v < MAX_VARIANTS; v++)
        if (seconds[v] > 0 && flops / seconds[v] > best)
            best = flops / seconds[v];
    return best;
}

static void name_of(const shape *s, char *text, size_t size)
{
    const long long batch = s->batch, a = s->a, b = s->b, c = s->c;
    if (s->kind == ATTENTION)
        snprintf(text, size, "%lld x %lld heads, %lld x %lld, d %lld", batch, (long long)s->heads, a, b, c);
    else if (s->kind == CONV || s->kind == STRIDED)
        snprintf(text, size, "%lld x %lld^2, %lld to %lld, 3x3%s", batch, a, b, c, s->kind == STRIDED ? " / 2" : "");
    else
        snprintf(text, size, "%lld x %lld, %lld to %lld%s", batch, a, b, c, s->kind == GATED ? " gated" : "");
}

static int bench_all(bench *b, cJSON *object)
{
    const bool large = strcmp(b->settings.model, "sdxl") == 0;
    const shape *shapes = large ? sdxl : sd15;
    const int count = large ? COUNT(sdxl) : COUNT(sd15);
    cJSON *rows = cJSON_AddArrayToObject(object, "shapes");
    const double before = peak(b);
    printf("%-10s %-36s %-12s %10s %9s %8s\n", "op", "shape", "variant", "us", "TFLOP/s", "of peak");
    for (int i = 0; i < count && !calo_failed(&b->run); i++) {
        const calo_op *op = op_of(&shapes[i]);
        double seconds[MAX_VARIANTS], flops;
        char text[96];
        name_of(&shapes[i], text, sizeof text);
        if ((*b->settings.only && strcmp(b->settings.only, op->name) != 0) || !measure(b, &shapes[i], seconds, &flops))
            continue;
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "op", op->name);
        cJSON_AddStringToObject(row, "shape", text);
        cJSON_AddNumberToObject(row, "flops", flops);
        cJSON *times = cJSON_AddObjectToObject(row, "seconds");
        for (int v = 0; v < op->variant_count && v < MAX_VARIANTS; v++)
            if (seconds[v] > 0) {
                printf("%-10s %-36s %-12s %10.1f %9.2f %7.1f%%\n", op->name, text, op->variants[v].name, seconds[v] * 1e6,
                       flops / seconds[v] / 1e12, 100 * flops / seconds[v] / before);
                cJSON_AddNumberToObject(times, op->variants[v].name, seconds[v]);
            }
        fflush(stdout);
        cJSON_AddItemToArray(rows, row);
    }
    const double after = calo_failed(&b->run) ? 0 : peak(b);
    cJSON_AddNumberToObject(object, "peak_before", before);
    cJSON_AddNumberToObject(object, "peak_after", after);
    printf("best square product: %.2f TFLOP/s before, %.2f after\n", before / 1e12, after / 1e12);
    return calo_failed(&b->run);
}

static int parse(int count, char **words, settings *s)
{
    static const char *const types[] = { "", "f32", "f16", "bf16" };
    for (int i = 1; i + 1 < count; i += 2) {
        const char *value = words[i + 1];
        if (strcmp(words[i], "--device") == 0)
            s->device = value;
        else if (strcmp(words[i], "--output") == 0)
            s->output = value;
        else if (strcmp(words[i], "--model") == 0)
            s->model = value;
        else if (strcmp(words[i], "--only") == 0)
            s->only = value;
        else if (strcmp(words[i], "--rounds") == 0)
            s->rounds = atoi(value);
        else if (strcmp(words[i], "--dtype") == 0)
            for (int t = 1; t < 4; t++)
                s->dtype = strcmp(value, types[t]) == 0 ? (calo_type)t : s->dtype;
        else
            return fprintf(stderr, "bench_ops has no option %s\n", words[i]), 2;
    }
    return s->rounds >= 1 && s->rounds <= MAX_ROUNDS ? 0 : 2;
}

int main(int count, char **words)
{
    static bench b = { .settings = { "auto", NULL, "sd15", "", CALO_F32, 7 }, .random = 1 };
    calo_device *device;
    if (parse(count, words, &b.settings))
        return 2;
    if (calo_device_open(b.settings.device, NULL, &device, &b.fault))
        return fprintf(stderr, "bench_ops: %s\n", b.fault.text), 5;
    if (device->api->open_vendor)
        device->api->open_vendor(device);
    b.run = (calo_run){ .device = device, .info = device->info, .arena = &b.arena, .dtype = b.settings.dtype,
                        .fault = &b.fault };
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "device", device->info.name);
    cJSON_AddStringToObject(object, "driver", device->info.driver);
    cJSON_AddStringToObject(object, "dtype", calo_type_name(b.settings.dtype));
    cJSON_AddStringToObject(object, "model", b.settings.model);
    printf("%s, %s, %s\n", device->info.name, device->info.driver, calo_type_name(b.settings.dtype));
    const int status = bench_all(&b, object);
    if (status)
        fprintf(stderr, "bench_ops: %s\n", b.fault.text);
    FILE *file = b.settings.output ? fopen(b.settings.output, "w") : NULL;
    char *text = cJSON_Print(object);
    if (file && text)
        fprintf(file, "%s\n", text);
    if (file)
        fclose(file);
    free(text);
    cJSON_Delete(object);
    device->api->close(device);
    return status;
}
