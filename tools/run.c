/* Running a request to its pictures, in one go or step by step, with previews and a state file on the way. */
#include "commands.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

char *session_path(const char *output, int number, int count)
{
    const char *slash = strrchr(output, '/'), *dot = strrchr(output, '.');
    if (!dot || (slash && dot < slash))
        dot = output + strlen(output);
    const size_t size = strlen(output) + 16;
    char *path = malloc(size);
    if (path && count == 1)
        snprintf(path, size, "%s", output);
    else if (path)
        snprintf(path, size, "%.*s-%d%s", (int)(dot - output), output, number + 1, dot);
    return path;
}

/* Of picture i: pictures of a variation share one. */
static unsigned long long seed_of(const session *s, int i)
{
    return s->request.seed + (s->request.variation_strength > 0 ? 0 : (unsigned)i);
}

/* ---- on the way ------------------------------------------------------------------------------------------------- */

typedef struct watch {
    session *s;
    const options *o;
    int status; /* of a preview that could not be written */
} watch;

/* "out.png", step 5 → "out-preview-005.png". */
static int save_preview(watch *w, const calo_image *preview, int number, int step)
{
    const int count = w->s->request.count;
    char *path = session_path(w->o->output, number, count), *preview_path = NULL;
    const size_t size = path ? strlen(path) + 32 : 0;
    if (path)
        preview_path = malloc(size);
    if (!preview_path) {
        free(path);
        return complain(4, "no memory for the name of a preview");
    }
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    if (!dot || (slash && dot < slash))
        dot = path + strlen(path);
    snprintf(preview_path, size, "%.*s-preview-%03d.png", (int)(dot - path), path, step);
    const calo_status status = calo_save_png(preview, preview_path);
    free(path);
    free(preview_path);
    return status ? session_fail(w->s, status) : 0;
}

static int on_step(void *user, const calo_progress *p)
{
    watch *w = user;
    progress_step(p, w->s->request.count);
    if (p->preview)
        w->status = save_preview(w, p->preview, p->image, p->step);
    /* A run that can be suspended is stopped between its steps, not in them. */
    return w->status || (progress_cancelled() && !w->o->suspend);
}

/* ---- step by step ----------------------------------------------------------------------------------------------- */

/* Steps until none is left, or until the run is to be suspended, which *suspended says. */
static int step(watch *w, bool *suspended)
{
    session *s = w->s;
    for (int done = 1, left = 1; left > 0; done++) {
        calo_status status = calo_job_step(s->job, &left);
        if (w->status)
            return w->status;
        if (status)
            return session_fail(s, status);
        if (w->o->suspend && (done == w->o->suspend_at || progress_cancelled())) {
            progress_end();
            status = calo_job_suspend(s->job, w->o->suspend);
            if (status)
                return session_fail(s, status);
            *suspended = true;
            if (!w->o->quiet)
                fprintf(stderr, "%s  after step %d, %d left; calotype resume goes on\n", w->o->suspend, done, left);
            return progress_cancelled() ? 130 : 0;
        }
        if (progress_cancelled())
            return complain(130, "stopped");
    }
    progress_end();
    if (w->o->suspend_at)
        complain(0, "the run was over before step %d; no state was written", w->o->suspend_at);
    return 0;
}

/* ---- the run ---------------------------------------------------------------------------------------------------- */

static int make(watch *w, calo_image **images, bool *suspended)
{
    session *s = w->s;
    calo_status status = CALO_OK;
    const bool resumed = s->job != NULL;
    if (!resumed && !w->o->suspend) {
        status = calo_generate(s->model, &s->request, images);
    } else {
        if (resumed) {
            s->request.preview_every = w->o->request.preview_every ? w->o->request.preview_every
                                                                   : calo_job_request(s->job)->preview_every;
            calo_job_watch(s->job, &s->request);
        } else {
            status = calo_job_open(s->model, &s->request, &s->job);
        }
        const int exit_status = status ? 0 : step(w, suspended);
        if (exit_status || *suspended)
            return exit_status;
        if (!status)
            status = calo_job_finish(s->job, images);
    }
    progress_end();
    return w->status ? w->status : status ? session_fail(s, status) : 0;
}

int session_generate(session *s, const options *o, char **paths)
{
    const int count = s->request.count;
    watch w = { s, o, 0 };
    bool suspended = false;
    calo_image **images = calloc((size_t)count, sizeof *images);
    if (!images)
        return complain(4, "no memory for %d pictures", count);
    s->request.on_step = on_step;
    s->request.should_stop = o->suspend ? NULL : progress_stops;
    s->request.user = &w;
    int exit_status = make(&w, images, &suspended);
    if (!exit_status && !suspended && progress_cancelled())
        exit_status = complain(130, "stopped before the pictures were written");
    for (int i = 0; i < count && !exit_status && !suspended; i++) {
        char *path = session_path(o->output, i, count);
        if (!path) {
            exit_status = complain(4, "no memory for the name of a picture");
            break;
        }
        const calo_status status = calo_save_png(images[i], path);
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

/* ---- what it says ----------------------------------------------------------------------------------------------- */

static void print_json(const session *s, const options *o, char *const *paths)
{
    calo_device_record record = { 0 };
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    calo_context_device(s->context, &record);
    cJSON *object = cJSON_CreateObject(), *images = cJSON_AddArrayToObject(object, "images");
    cJSON *seeds, *steps;
    for (int i = 0; i < s->request.count; i++)
        if (paths[i])
            cJSON_AddItemToArray(images, cJSON_CreateString(paths[i]));
    if (!paths[0])
        cJSON_AddStringToObject(object, "state", o->suspend);
    cJSON_AddNumberToObject(object, "load_s", s->load_s);
    cJSON_AddNumberToObject(object, "encode_s", s->timing.encode_s);
    steps = cJSON_AddArrayToObject(object, "step_s");
    for (int i = 0; i < s->timing.step_count; i++)
        cJSON_AddItemToArray(steps, cJSON_CreateNumber(s->timing.step_s[i]));
    cJSON_AddNumberToObject(object, "decode_s", s->timing.decode_s);
    cJSON_AddNumberToObject(object, "total_s", s->timing.total_s);
    cJSON_AddNumberToObject(object, "peak_device_bytes", (double)calo_peak_device_bytes(s->context));
    cJSON_AddNumberToObject(object, "peak_host_bytes", 1024.0 * (double)usage.ru_maxrss);
    cJSON_AddStringToObject(object, "device", record.id);
    cJSON_AddStringToObject(object, "dtype", calo_model_dtype(s->model));
    seeds = cJSON_AddArrayToObject(object, "seeds");
    for (int i = 0; i < s->request.count; i++) { /* beyond 2^53 a double would round */
        char text[24];
        snprintf(text, sizeof text, "%llu", seed_of(s, i));
        cJSON_AddItemToArray(seeds, cJSON_CreateRaw(text));
    }
    char *text = cJSON_Print(object);
    if (text)
        puts(text);
    cJSON_free(text);
    cJSON_Delete(object);
}

int session_finish(session *s, const options *o, int status)
{
    char **paths = NULL;
    const int count = status ? 0 : s->request.count;
    if (!status) {
        paths = calloc((size_t)count, sizeof *paths);
        status = paths ? session_generate(s, o, paths) : complain(4, "no memory for %d names", count);
    }
    if (!status && o->json)
        print_json(s, o, paths);
    else if (!status && !o->quiet)
        for (int i = 0; i < count && paths[i]; i++)
            fprintf(stderr, "%s  seed %llu\n", paths[i], seed_of(s, i));
    if (!status && o->random_seed && !o->json)
        printf("%llu\n", (unsigned long long)s->request.seed);
    for (int i = 0; paths && i < count; i++)
        free(paths[i]);
    free(paths);
    session_close(s);
    return status;
}
