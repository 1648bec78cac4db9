/* calotype info: what a model is, and why it was taken for that. */
#include "commands.h"

#include <cjson/cJSON.h>

static double number(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static const char *string(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(item) ? item->valuestring : "";
}

static void print_text(const cJSON *info)
{
    const cJSON *part;
    printf("%s: %s, %s, scheduler %s, native size %.0f × %.0f\n", string(info, "name"), string(info, "architecture"),
           string(info, "form"), string(info, "scheduler"), number(info, "width"), number(info, "height"));
    cJSON_ArrayForEach(part, cJSON_GetObjectItemCaseSensitive(info, "parts"))
    {
        char *types = cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(part, "types"));
        printf("  %-13s %8.2f M parameters  %s\n", part->string, number(part, "parameters") / 1e6, types ? types : "");
        cJSON_free(types);
    }
    printf("why:\n%s", string(info, "reason"));
}

int command_info(options *o)
{
    session s = { 0 };
    calo_open_options none = CALO_OPEN_OPTIONS_INIT;
    char *json = NULL;
    calo_variant_record record;
    for (int i = 0; o->layouts && calo_variant_list(i, &record); i++)
        puts(record.name);
    for (int i = 0; o->variants && calo_variant_list(i, &record); i++)
        printf("%-14s %s\n%-14s told by: %s\n", record.name, record.title, "", record.told_by);
    if (o->layouts || o->variants)
        return 0;
    if (!o->words[0])
        return complain(2, "info needs a model: a diffusers folder, a .safetensors file, or layout:NAME");
    none.device = "none";
    calo_status status = calo_open(&s.context, &none);
    if (!status)
        status = calo_inspect(s.context, o->words[0], &json);
    int exit_status = status ? session_fail(&s, status) : 0;
    if (json && o->json)
        puts(json);
    cJSON *parsed = json && !o->json ? cJSON_Parse(json) : NULL;
    if (parsed)
        print_text(parsed);
    cJSON_Delete(parsed);
    calo_free_text(&json);
    session_close(&s);
    return exit_status;
}
