/* Reading and writing measured choices. */
#include "tuning_file.h"
#include "../engine/hash.h"
#include "../engine/shim.h"
#include "../engine/weights/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORMAT = 1, FILE_LIMIT = 8 << 20, CHOICE_LIMIT = 20000, DIGITS = 17 };

/* ---- names ------------------------------------------------------------------------------------------------------ */

static uint64_t hash_text(uint64_t hash, const char *text)
{
    return calo_digest(hash, (const uint8_t *)text, strlen(text) + 1);
}

static uint64_t hash_number(uint64_t hash, int64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)number);
    return hash_text(hash, text);
}

/* Of all that a choice can name: ops, their variants, their tunables and values, in order. */
static void hash_variants(char text[DIGITS])
{
    uint64_t hash = 0;
    for (int i = 0; i < calo_op_count; i++) {
        hash = hash_text(hash, calo_ops[i]->name);
        for (int v = 0; v < calo_ops[i]->variant_count; v++) {
            const calo_variant *variant = &calo_ops[i]->variants[v];
            hash = hash_number(hash_text(hash, variant->name), variant->backend);
            hash = hash_number(hash, variant->capability);
            for (int t = 0; t < CALO_MAX_TUNABLES && variant->tunables[t].name; t++) {
                hash = hash_text(hash, variant->tunables[t].name);
                for (int k = 0; k < 6 && variant->tunables[t].values[k]; k++)
                    hash = hash_number(hash, variant->tunables[t].values[k]);
            }
        }
    }
    snprintf(text, DIGITS, "%016llx", (unsigned long long)hash);
}

void calo_tuning_path(const calo_device_info *info, char *path, size_t size)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    uint64_t hash = hash_text(hash_text(0, info->name), info->driver);
    hash = hash_number(hash_number(hash, info->compute_units), info->backend);
    int length = 0;
    if (cache && *cache == '/')
        length = snprintf(path, size, "%s/calotype/tuning/%016llx.json", cache, (unsigned long long)hash);
    else if (home && *home == '/')
        length = snprintf(path, size, "%s/.cache/calotype/tuning/%016llx.json", home, (unsigned long long)hash);
    if (length <= 0 || (size_t)length >= size)
        path[0] = '\0';
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

/* NULL when the object has no such text. */
static const char *text_of(const cJSON *object, const char *field)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, field));
}

/* NaN when the object has no such number. */
static double number_of(const cJSON *object, const char *field)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, field);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static bool is(const cJSON *object, const char *field, const char *wanted)
{
    const char *text = text_of(object, field);
    return text && strcmp(text, wanted) == 0;
}

static const calo_variant *find_variant(const calo_op *op, const char *name, const calo_device_info *info)
{
    for (int i = 0; i < op->variant_count; i++) {
        const calo_variant *v = &op->variants[i];
        if (strcmp(v->name, name) == 0 && v->backend == info->backend &&
            (!v->capability || v->capability == info->capability))
            return v;
    }
    return NULL;
}

/* Each of the variant's tunables, with one of its values, and nothing else. */
static bool read_tunables(const cJSON *object, const calo_variant *variant, int values[CALO_MAX_TUNABLES])
{
    int count = 0;
    for (; count < CALO_MAX_TUNABLES && variant->tunables[count].name; count++) {
        const calo_tunable *tunable = &variant->tunables[count];
        const double value = number_of(object, tunable->name);
        bool known = false;
        for (int k = 0; k < 6 && tunable->values[k] && !known; k++) {
            known = value == tunable->values[k];
            values[count] = tunable->values[k];
        }
        if (!known)
            return false;
    }
    return cJSON_IsObject(object) && cJSON_GetArraySize(object) == count;
}

/* NULL, or what is wrong with it. */
static const char *read_choice(const cJSON *item, const calo_device_info *info, calo_choice *choice)
{
    const char *key = text_of(item, "call"), *variant = text_of(item, "variant");
    const calo_op *op = key && strlen(key) < CALO_KEY_TEXT ? calo_key_op(key) : NULL;
    *choice = (calo_choice){ .key = (char *)key,
                             .seconds = number_of(item, "seconds"),
                             .standard_s = number_of(item, "standard_s") };
    if (!op)
        return "it names no op";
    choice->variant = variant ? find_variant(op, variant, info) : NULL;
    if (!choice->variant)
        return "its op has no such variant";
    if (!read_tunables(cJSON_GetObjectItemCaseSensitive(item, "tunables"), choice->variant, choice->values))
        return "its variant has other tunables or values";
    if (!(choice->seconds > 0 && choice->standard_s > 0 && isfinite(choice->seconds) && isfinite(choice->standard_s)))
        return "its times are no seconds";
    return NULL;
}

static calo_status read_choices(const calo_json *json, const calo_device_info *info, calo_tuning *tuning,
                                calo_fault *fault)
{
    const cJSON *choices = cJSON_GetObjectItemCaseSensitive(json->root, "choices"), *item;
    int number = 0;
    if (!cJSON_IsArray(choices))
        return calo_fail(fault, CALO_EFILE, "%s has no list of choices", json->path);
    cJSON_ArrayForEach (item, choices) {
        calo_choice choice;
        const char *wrong = number == CHOICE_LIMIT ? "there are too many" : read_choice(item, info, &choice);
        const int before = tuning->count;
        if (wrong)
            return calo_fail(fault, CALO_EFILE, "%s: choice %d: %s", json->path, number, wrong);
        if (calo_tuning_put(tuning, &choice, fault))
            return fault->status;
        if (tuning->count == before)
            return calo_fail(fault, CALO_EFILE, "%s: choice %d: its call has another already", json->path, number);
        number++;
    }
    return CALO_OK;
}

calo_status calo_tuning_read(const char *path, const calo_device_info *info, calo_tuning *tuning, calo_fault *fault)
{
    calo_fault own = { 0 };
    calo_json json = { .root = NULL };
    char *text = NULL, variants[DIGITS];
    size_t size;
    hash_variants(variants);
    if (calo_read_file(path, FILE_LIMIT, &text, &size, &own))
        goto done;
    if (memchr(text, '\0', size)) {
        calo_fail(&own, CALO_EFILE, "%s is not valid JSON: it holds a zero byte", path);
        goto done;
    }
    if (calo_json_parse(text, path, &json, &own))
        goto done;
    if (number_of(json.root, "calotype_tuning") != FORMAT)
        calo_fail(&own, CALO_EFILE, "%s is not a file of measured choices, format %d", path, FORMAT);
    else if (!is(json.root, "variants", variants))
        calo_fail(&own, CALO_EFILE, "%s was measured with other kernels", path);
    else if (!is(json.root, "device", info->name) || !is(json.root, "driver", info->driver) ||
             number_of(json.root, "compute_units") != info->compute_units)
        calo_fail(&own, CALO_EFILE, "%s was measured on another device or driver than %s, %s, %d compute units", path,
                  info->name, info->driver, info->compute_units);
    else
        read_choices(&json, info, tuning, &own);
done:
    calo_json_close(&json);
    calo_free(text);
    if (!own.status)
        return CALO_OK;
    calo_tuning_free(tuning);
    return calo_fail(fault, own.status, "%s", own.text);
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static cJSON *choice_json(const calo_choice *choice)
{
    cJSON *object = cJSON_CreateObject(), *tunables;
    cJSON_AddStringToObject(object, "call", choice->key);
    cJSON_AddStringToObject(object, "variant", choice->variant->name);
    tunables = cJSON_AddObjectToObject(object, "tunables");
    for (int i = 0; i < CALO_MAX_TUNABLES && choice->variant->tunables[i].name; i++)
        cJSON_AddNumberToObject(tunables, choice->variant->tunables[i].name, choice->values[i]);
    cJSON_AddNumberToObject(object, "seconds", choice->seconds);
    cJSON_AddNumberToObject(object, "standard_s", choice->standard_s);
    return object;
}

static calo_status open_writer(const char *path, calo_writer **writer, calo_fault *fault)
{
    char folder[1024];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 0, path);
    return *folder && calo_make_path(folder, fault) ? CALO_EFILE : calo_writer_open(path, writer, fault);
}

calo_status calo_tuning_expect(const char *path, calo_fault *fault)
{
    calo_writer *writer;
    const calo_status status = open_writer(path, &writer, fault);
    if (!status)
        calo_writer_abandon(&writer);
    return status;
}

calo_status calo_tuning_write(const char *path, const calo_device_info *info, const calo_tuning *tuning,
                              const calo_peaks *peaks, calo_fault *fault)
{
    char variants[DIGITS];
    calo_writer *writer = NULL;
    hash_variants(variants);
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "calotype_tuning", FORMAT);
    cJSON_AddStringToObject(object, "variants", variants);
    cJSON_AddStringToObject(object, "device", info->name);
    cJSON_AddStringToObject(object, "driver", info->driver);
    cJSON_AddNumberToObject(object, "compute_units", info->compute_units);
    cJSON_AddItemToObject(object, "peak_flops", cJSON_CreateDoubleArray(peaks->flops, 2));
    cJSON_AddItemToObject(object, "peak_bandwidth", cJSON_CreateDoubleArray(peaks->bandwidth, 2));
    cJSON *choices = cJSON_AddArrayToObject(object, "choices");
    for (int i = 0; i < tuning->count; i++)
        cJSON_AddItemToArray(choices, choice_json(&tuning->choices[i]));
    char *text = cJSON_Print(object);
    cJSON_Delete(object);
    if (!text)
        return calo_fail(fault, CALO_EMEMORY, "no host memory to write %s", path);
    calo_status status = open_writer(path, &writer, fault);
    if (!status && (calo_writer_put(writer, text, strlen(text), fault) || calo_writer_put(writer, "\n", 1, fault))) {
        calo_writer_abandon(&writer);
        status = CALO_EFILE;
    } else if (!status) {
        status = calo_writer_commit(&writer, fault);
    }
    cJSON_free(text);
    return status;
}

/* ---- the context's ---------------------------------------------------------------------------------------------- */

calo_status calo_tuning_open(calo_context *context, calo_fault *fault)
{
    calo_device *device = context->device;
    calo_fault why = { 0 };
    if (!*context->tuning_path)
        return CALO_OK;
    calo_tuning *tuning = calo_alloc(1, sizeof *tuning);
    if (!tuning)
        return calo_fail(fault, CALO_EMEMORY, "no host memory for a device's measured choices");
    if (calo_tuning_read(context->tuning_path, &device->info, tuning, &why)) {
        calo_log(context, CALO_LOG_INFO, "no measured choices: %s", why.text);
        calo_free(tuning);
        return CALO_OK;
    }
    unsigned vendor = 0;
    for (int i = 0; i < tuning->count; i++)
        vendor |= tuning->choices[i].variant->vendor;
    if (vendor && device->api->open_vendor)
        device->api->open_vendor(device);
    calo_log(context, CALO_LOG_INFO, "%d measured choices from %s", tuning->count, context->tuning_path);
    context->tuning = tuning;
    device->info.tuning = tuning;
    return CALO_OK;
}
