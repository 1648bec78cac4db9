/* calotype devices: what there is, and how fast it is. */
#include "commands.h"

#include <cjson/cJSON.h>

enum { LIMIT = 32 };

static void print_row(const calo_device_record *d)
{
    printf("%-10s %s (%s)\n", d->id, d->name, d->driver);
    printf("           %s, %d compute units, %.1f GB memory, %.1f GB at most in one buffer, %.0f kB local memory\n",
           d->is_cpu ? "CPU" : "GPU", d->compute_units, (double)d->memory / 1e9, (double)d->max_allocation / 1e9,
           (double)d->local_memory / 1e3);
    if (d->peak_flops > 0)
        printf("           measured: %.0f GFLOP/s f32, %.1f GB/s\n", d->peak_flops / 1e9, d->peak_bandwidth / 1e9);
}

static cJSON *to_json(const calo_device_record *d)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "id", d->id);
    cJSON_AddStringToObject(object, "name", d->name);
    cJSON_AddStringToObject(object, "driver", d->driver);
    cJSON_AddStringToObject(object, "class", d->is_cpu ? "cpu" : "gpu");
    cJSON_AddNumberToObject(object, "compute_units", d->compute_units);
    cJSON_AddNumberToObject(object, "memory", (double)d->memory);
    cJSON_AddNumberToObject(object, "max_allocation", (double)d->max_allocation);
    cJSON_AddNumberToObject(object, "local_memory", (double)d->local_memory);
    cJSON_AddNumberToObject(object, "max_work_group", d->max_work_group);
    cJSON_AddNumberToObject(object, "peak_flops", d->peak_flops);
    cJSON_AddNumberToObject(object, "peak_bandwidth", d->peak_bandwidth);
    return object;
}

/* Opens the device to measure it; one that does not open keeps its peaks at 0 and says why on stderr. */
static void measure(calo_device_record *d)
{
    calo_context *context = NULL;
    calo_open_options options = CALO_OPEN_OPTIONS_INIT;
    calo_device_record measured;
    options.device = d->id;
    if (calo_open(&context, &options) || calo_probe(context, &measured))
        complain(0, "%s: %s", d->id, calo_error(context));
    else
        *d = measured;
    calo_close(&context);
}

/* Why a backend has no device. */
static void print_absent(void *user, calo_log_level level, const char *sentence)
{
    (void)level;
    if (!((const options *)user)->json)
        printf("-          %s\n", sentence);
}

int command_devices(options *o)
{
    session s = { 0 };
    calo_device_record list[LIMIT];
    calo_open_options none = CALO_OPEN_OPTIONS_INIT;
    int found = 0;
    none.device = "none";
    none.on_log = print_absent;
    none.user = o;
    calo_status status = calo_open(&s.context, &none);
    if (!status)
        status = calo_devices(s.context, list, LIMIT, &found);
    int exit_status = status ? session_fail(&s, status) : 0;
    cJSON *array = cJSON_CreateArray();
    for (int i = 0; i < found && i < LIMIT && !exit_status; i++) {
        measure(&list[i]);
        if (o->json)
            cJSON_AddItemToArray(array, to_json(&list[i]));
        else
            print_row(&list[i]);
    }
    char *text = o->json && !exit_status ? cJSON_Print(array) : NULL;
    if (text)
        puts(text);
    cJSON_free(text);
    cJSON_Delete(array);
    session_close(&s);
    return exit_status;
}
