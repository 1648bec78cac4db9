/* calotype txt2img: pictures from a prompt. */
#include "commands.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static void print_json(const session *s, const options *o, char *const *paths)
{
    calo_device_record record = { 0 };
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    calo_context_device(s->context, &record);
    cJSON *object = cJSON_CreateObject(), *images = cJSON_AddArrayToObject(object, "images");
    cJSON *seeds, *steps;
    for (int i = 0; i < s->request.count; i++)
        cJSON_AddItemToArray(images, cJSON_CreateString(paths[i]));
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
        snprintf(text, sizeof text, "%llu", (unsigned long long)(o->seed + (uint64_t)i));
        cJSON_AddItemToArray(seeds, cJSON_CreateRaw(text));
    }
    char *text = cJSON_Print(object);
    if (text)
        puts(text);
    cJSON_free(text);
    cJSON_Delete(object);
}

int command_txt2img(int count, char **words)
{
    enum { GROUPS = OPTIONS_FLOW | OPTIONS_COMMON };
    options o;
    session s = { 0 };
    if (options_parse(&o, "txt2img", GROUPS, 0, count, words))
        return 2;
    if (o.help) {
        options_help("txt2img --model PATH --prompt TEXT [options]", "Makes pictures from a prompt.", GROUPS);
        return 0;
    }
    if (!o.prompt)
        return complain(2, "--prompt is missing");
    progress_begin(o.quiet);
    char **paths = NULL;
    int status = session_open(&s, &o, o.device);
    if (!status) {
        paths = calloc((size_t)o.count, sizeof *paths);
        status = paths ? session_generate(&s, &o, paths) : complain(4, "no memory for %d names", o.count);
    }
    if (!status && o.json)
        print_json(&s, &o, paths);
    else if (!status && !o.quiet)
        for (int i = 0; i < o.count; i++)
            fprintf(stderr, "%s  seed %llu\n", paths[i], (unsigned long long)(o.seed + (uint64_t)i));
    if (!status && o.random_seed && !o.json)
        printf("%llu\n", (unsigned long long)o.seed);
    for (int i = 0; paths && i < o.count; i++)
        free(paths[i]);
    free(paths);
    session_close(&s);
    return status;
}
