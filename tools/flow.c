/* From options to pictures: what txt2img, plan, profile and check share. */
#include "commands.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int complain(int status, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fprintf(stderr, "calotype: ");
    vfprintf(stderr, format, list);
    fprintf(stderr, "\n");
    va_end(list);
    return status;
}

int session_fail(const session *s, calo_status status)
{
    progress_end();
    /* A driver's compiler may lose its temporary files to Ctrl-C: that failure is the interruption, too. */
    if (progress_cancelled() && status != CALO_ECANCELLED)
        return complain(130, "stopped");
    complain(0, "%s", calo_error(s->context));
    return status == CALO_ECANCELLED ? 130 : (int)status;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void print_log(void *user, calo_log_level level, const char *sentence)
{
    (void)user;
    if (level <= CALO_LOG_WARNING) {
        progress_end();
        complain(0, "%s", sentence);
    }
}

static int fill_request(session *s, const options *o)
{
    s->request = (calo_request)CALO_REQUEST_INIT;
    s->request.prompt = o->prompt;
    s->request.negative = o->negative;
    s->request.width = o->width;
    s->request.height = o->height;
    s->request.count = o->count;
    s->request.eta = o->eta;
    s->request.seed = o->seed;
    s->request.scheduler = o->scheduler;
    s->request.spacing = o->spacing;
    s->request.clip_skip = o->clip_skip;
    s->request.dump = o->dump;
    s->request.tile = o->tile;
    if (o->steps != OPTION_ABSENT && (o->steps < 1 || o->steps > 1000))
        return complain(2, "--steps must be 1 … 1000, not %d", o->steps);
    if (o->count < 1 || o->count > 1000)
        return complain(2, "--count must be 1 … 1000, not %d", o->count);
    if (o->width < 0 || o->width % 8 || o->height < 0 || o->height % 8)
        return complain(2, "--width and --height must be multiples of 8, not %d × %d", o->width, o->height);
    s->request.timing = &s->timing;
    s->request.on_step = progress_step;
    s->request.user = &s->request.count;
    return 0;
}

/* What the options leave open, the model says. */
static int complete_request(session *s, const options *o)
{
    calo_variant_record record;
    calo_model_describe(s->model, &record);
    s->request.steps = o->steps == OPTION_ABSENT ? record.steps : o->steps;
    s->request.guidance = isnan(o->guidance) ? record.guidance : o->guidance;
    s->timing.step_room = (s->request.steps + 16) * o->count; /* PNDM calls the denoiser more often than it has steps */
    s->timing.step_s = calloc((size_t)s->timing.step_room, sizeof *s->timing.step_s);
    return s->timing.step_s ? 0 : complain(4, "no memory for the times of %d steps", s->request.steps);
}

int session_open(session *s, const options *o, const char *device)
{
    memset(s, 0, sizeof *s);
    if (!o->model)
        return complain(2, "--model is missing: a diffusers folder, a .safetensors file, or layout:NAME");
    if (o->threads < 0 || o->threads > 4096)
        return complain(2, "--threads must be 1 … 4096, not %d", o->threads);
    int status = fill_request(s, o);
    if (status)
        return status;
    if (o->threads > 0) { /* PoCL reads it when its library is first opened */
        char text[16];
        snprintf(text, sizeof text, "%d", o->threads);
        setenv("POCL_MAX_PTHREAD_COUNT", text, 1);
    }
    calo_open_options open_options = CALO_OPEN_OPTIONS_INIT;
    open_options.device = device;
    open_options.on_log = print_log;
    calo_status opened = calo_open(&s->context, &open_options);
    if (opened)
        return session_fail(s, opened);

    calo_load_options load_options = CALO_LOAD_OPTIONS_INIT;
    load_options.dtype = o->dtype;
    load_options.prediction = o->prediction;
    load_options.variant = o->variant;
    load_options.vae = o->vae;
    load_options.memory_limit = o->memory_limit;
    load_options.zero_snr = o->zero_snr;
    load_options.text_encoder = o->text_encoder;
    load_options.on_load = progress_load;
    const double begin = now();
    calo_status loaded = calo_load(s->context, o->model, &load_options, &s->model);
    if (!loaded && o->refiner) {
        load_options.variant = load_options.vae = load_options.text_encoder = load_options.prediction = NULL;
        loaded = calo_load(s->context, o->refiner, &load_options, &s->refiner);
        s->request.refiner = s->refiner;
        s->request.refiner_start = o->refiner_start;
    }
    s->load_s = now() - begin;
    progress_end();
    return loaded ? session_fail(s, loaded) : complete_request(s, o);
}

void session_close(session *s)
{
    calo_unload(&s->refiner);
    calo_unload(&s->model);
    calo_close(&s->context);
    free(s->timing.step_s);
}

/* "out.png" → "out-3.png" for the third of several. */
static char *numbered(const char *output, int number, int count)
{
    const char *slash = strrchr(output, '/'), *dot = strrchr(output, '.');
    if (!dot || (slash && dot < slash))
        dot = output + strlen(output);
    size_t size = strlen(output) + 16;
    char *path = malloc(size);
    if (path && count == 1)
        snprintf(path, size, "%s", output);
    else if (path)
        snprintf(path, size, "%.*s-%d%s", (int)(dot - output), output, number + 1, dot);
    return path;
}

int session_generate(session *s, const options *o, char **paths)
{
    const int count = s->request.count;
    calo_image **images = calloc((size_t)count, sizeof *images);
    if (!images)
        return complain(4, "no memory for %d pictures", count);
    calo_status status = calo_generate(s->model, &s->request, images);
    progress_end();
    int exit_status = status ? session_fail(s, status) : 0;
    if (!exit_status && progress_cancelled())
        exit_status = complain(130, "stopped before the pictures were written");
    for (int i = 0; i < count && !exit_status; i++) {
        char *path = numbered(o->output, i, count);
        if (!path) {
            exit_status = complain(4, "no memory for the name of a picture");
            break;
        }
        status = calo_save_png(images[i], path);
        if (status)
            exit_status = session_fail(s, status);
        if (paths)
            paths[i] = path;
        else
            free(path);
    }
    for (int i = 0; i < count; i++)
        calo_free_image(&images[i]);
    free(images);
    return exit_status;
}
