/* From options to a model on a device and a request: what all commands share that make or plan pictures. */
#include "commands.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

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

static void print_log(void *user, calo_log_level level, const char *sentence)
{
    (void)user;
    if (level <= CALO_LOG_WARNING) {
        progress_end();
        complain(0, "%s", sentence);
    }
}

int session_check(const options *o, const char *name)
{
    if (!o->model)
        return complain(2, "--model is missing: a diffusers folder, a .safetensors file, or layout:NAME");
    if (o->suspend_at && o->request.preview_every > o->suspend_at)
        return complain(2, "--preview-every %d never comes before --suspend-at %d", o->request.preview_every,
                        o->suspend_at);
    if (o->request.guidance_start > o->request.guidance_end)
        return complain(2, "--guidance-start %g lies behind --guidance-end %g", o->request.guidance_start,
                        o->request.guidance_end);
    if (strcmp(name, "txt2img") == 0)
        return 0;
    if (!o->init)
        return complain(2, "%s needs --init, the picture to begin with", name);
    return 0;
}

int session_open_device(session *s, const options *o, const char *device)
{
    memset(s, 0, sizeof *s);
    if (o->threads > 0) { /* PoCL reads it when its library is first opened */
        char text[16];
        snprintf(text, sizeof text, "%d", o->threads);
        setenv("POCL_MAX_PTHREAD_COUNT", text, 1);
    }
    calo_open_options open_options = CALO_OPEN_OPTIONS_INIT;
    open_options.device = device;
    open_options.on_log = print_log;
    open_options.tuning = o->tuning && strcmp(o->tuning, "none") == 0 ? "" : o->tuning;
    const calo_status opened = calo_open(&s->context, &open_options);
    return opened ? session_fail(s, opened) : 0;
}

/* What the options leave open, the model says. */
static int complete_request(session *s)
{
    calo_variant_record record;
    calo_model_describe(s->model, &record);
    if (!s->request.steps)
        s->request.steps = record.steps;
    if (isnan(s->request.guidance))
        s->request.guidance = record.guidance;
    /* PNDM calls the denoiser more often than it has steps; a second pass may take as many again. */
    s->timing.step_room = (s->request.steps + 16) * s->request.count * (s->request.hires > 1 ? 2 : 1);
    s->timing.step_s = calloc((size_t)s->timing.step_room, sizeof *s->timing.step_s);
    s->request.timing = &s->timing;
    return s->timing.step_s ? 0 : complain(4, "no memory for the times of %d steps", s->request.steps);
}

int session_load(session *s, const options *o)
{
    calo_load_options load_options = CALO_LOAD_OPTIONS_INIT;
    s->request = o->request;
    s->request.regions = o->request.region_count ? o->regions : NULL;
    calo_status status = o->init ? calo_load_image(s->context, o->init, &s->init) : CALO_OK;
    if (!status && o->mask)
        status = calo_load_image(s->context, o->mask, &s->mask);
    if (status)
        return session_fail(s, status);
    s->request.init = s->init;
    s->request.mask = s->mask;

    load_options.dtype = (calo_type)o->dtype;
    load_options.prediction = o->prediction;
    load_options.variant = o->variant;
    load_options.vae = o->vae;
    load_options.memory_limit = o->memory_limit;
    load_options.zero_snr = o->zero_snr;
    load_options.text_encoder = o->text_encoder;
    load_options.on_load = progress_load;
    const double begin = progress_now();
    status = calo_load(s->context, o->model, &load_options, &s->model);
    if (!status && o->refiner) {
        load_options.variant = load_options.vae = load_options.text_encoder = load_options.prediction = NULL;
        status = calo_load(s->context, o->refiner, &load_options, &s->refiner);
        s->request.refiner = s->refiner;
    }
    s->load_s = progress_now() - begin;
    progress_end();
    return status ? session_fail(s, status) : complete_request(s);
}

int session_open(session *s, const options *o, const char *device)
{
    const int status = session_open_device(s, o, device);
    return status ? status : session_load(s, o);
}

void session_close(session *s)
{
    calo_job_close(&s->job);
    calo_free_image(&s->init);
    calo_free_image(&s->mask);
    calo_unload(&s->refiner);
    calo_unload(&s->model);
    calo_close(&s->context);
    free(s->timing.step_s);
}
