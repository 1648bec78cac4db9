/* Reads scheduler_config.json. One table says which keys there are, of what type, and within which bounds; what a value
   means is the business of the class that reads it. Format: diffusers' SchedulerMixin.save_config. */
#include "schedule.h"
#include "../engine/shim.h"

#include <cjson/cJSON.h>

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A scheduler's settings with a thousand trained betas are 25 kB. cJSON spends up to 64 bytes on 2 bytes of text. */
#define TEXT_LIMIT (4u << 20)

typedef enum type { FLAG, INTEGER, REAL, TEXT, ANY } type;

typedef struct key {
    const char *name;
    size_t offset;
    type type;
    double min, max;
    bool may_be_null; /* flags always may: Python takes null for false */
} key;

#define AT(field) #field, offsetof(calo_schedule_config, field)

static const key keys[] = {
    { AT(num_train_timesteps), INTEGER, 1, CALO_TRAIN_LIMIT, false },
    { AT(prediction_type), TEXT, 0, 0, false },
    { AT(beta_start), REAL, 0, 1, false },
    { AT(beta_end), REAL, 0, 1, false },
    { AT(beta_schedule), TEXT, 0, 0, false },
    { AT(rescale_betas_zero_snr), FLAG, 0, 0, true },
    { AT(timestep_spacing), TEXT, 0, 0, false },
    { AT(timestep_type), TEXT, 0, 0, false },
    { AT(steps_offset), INTEGER, 0, CALO_TRAIN_LIMIT, false },
    { AT(set_alpha_to_one), FLAG, 0, 0, true },
    { AT(clip_sample), FLAG, 0, 0, true },
    { AT(clip_sample_range), REAL, 1e-6, 1e6, false },
    { AT(thresholding), FLAG, 0, 0, true },
    { AT(variance_type), TEXT, 0, 0, true },
    { AT(skip_prk_steps), FLAG, 0, 0, true },
    { AT(interpolation_type), TEXT, 0, 0, false },
    { AT(final_sigmas_type), TEXT, 0, 0, false },
    { AT(sigma_min), REAL, 1e-12, 1e12, true },
    { AT(sigma_max), REAL, 1e-12, 1e12, true },
    { AT(use_karras_sigmas), FLAG, 0, 0, true },
    { AT(use_exponential_sigmas), FLAG, 0, 0, true },
    { AT(use_beta_sigmas), FLAG, 0, 0, true },
    { AT(use_lu_lambdas), FLAG, 0, 0, true },
    { AT(use_flow_sigmas), FLAG, 0, 0, true },
    { AT(use_dynamic_shifting), FLAG, 0, 0, true },
    { AT(shift_terminal), ANY, 0, 0, true },
    { AT(solver_order), INTEGER, 1, 1000, false },
    { AT(solver_type), TEXT, 0, 0, false },
    { AT(algorithm_type), TEXT, 0, 0, false },
    { AT(lower_order_final), FLAG, 0, 0, true },
    { AT(euler_at_final), FLAG, 0, 0, true },
    { AT(lambda_min_clipped), REAL, -INFINITY, INFINITY, false },
    { AT(predict_x0), FLAG, 0, 0, true },
    { AT(solver_p), ANY, 0, 0, true },
};

#define KEY_COUNT ((int)(sizeof keys / sizeof *keys))

static calo_setting *setting_of(calo_schedule_config *config, const key *k)
{
    return (calo_setting *)(void *)((char *)config + k->offset);
}

const char *calo_setting_name(size_t offset)
{
    for (int i = 0; i < KEY_COUNT; i++)
        if (keys[i].offset == offset)
            return keys[i].name;
    return "";
}

bool calo_setting_is_on(const calo_setting *setting, bool absent)
{
    switch (setting->kind) {
    case CALO_SETTING_ABSENT:
        return absent;
    case CALO_SETTING_NULL:
        return false;
    case CALO_SETTING_FLAG:
        return setting->flag;
    default:
        return true;
    }
}

double calo_setting_number(const calo_setting *setting, double absent)
{
    return setting->kind == CALO_SETTING_NUMBER ? setting->number : absent;
}

const char *calo_setting_text(const calo_setting *setting, const char *absent)
{
    return setting->kind == CALO_SETTING_TEXT ? setting->text : absent;
}

calo_status calo_schedule_fail(const calo_schedule *schedule, const char *format, ...)
{
    char sentence[CALO_FAULT_TEXT];
    va_list list;
    va_start(list, format);
    vsnprintf(sentence, sizeof sentence, format, list);
    va_end(list);
    const char *file = schedule->config->file;
    if (schedule->blame == CALO_EFILE && file && *file)
        return calo_fail(schedule->fault, CALO_EFILE, "%s: %s", file, sentence);
    return calo_fail(schedule->fault, schedule->blame, "scheduler %s: %s", schedule->name, sentence);
}

/* Python writes infinities and NaN as bare words, which JSON does not have. They are replaced where they stand, outside
 * strings: infinities by a number that overflows to one, NaN by a value that no number's key accepts. */
static void replace_python_numbers(char *text, size_t size)
{
    static const struct {
        const char *word, *json;
    } words[] = { { "Infinity", "1e99999 " }, { "NaN", "[] " } };
    bool quoted = false;
    for (size_t i = 0; i < size; i++) {
        if (quoted && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            quoted = !quoted;
        else if (!quoted)
            for (int w = 0; w < 2; w++) {
                const size_t length = strlen(words[w].word);
                if (size - i >= length && memcmp(text + i, words[w].word, length) == 0)
                    memcpy(text + i, words[w].json, length);
            }
    }
}

static calo_status read_setting(const key *k, const cJSON *item, calo_setting *setting, const char *file,
                                calo_fault *fault)
{
    *setting = (calo_setting){ 0 };
    if (cJSON_IsNull(item) && (k->may_be_null || k->type == FLAG)) {
        setting->kind = CALO_SETTING_NULL;
        return CALO_OK;
    }
    switch (k->type) {
    case FLAG:
        if (!cJSON_IsBool(item))
            return calo_fail(fault, CALO_EFILE, "%s: %s must be true or false", file, k->name);
        setting->kind = CALO_SETTING_FLAG;
        setting->flag = cJSON_IsTrue(item);
        return CALO_OK;
    case INTEGER:
    case REAL:
        if (!cJSON_IsNumber(item))
            return calo_fail(fault, CALO_EFILE, "%s: %s must be a number", file, k->name);
        if (!(item->valuedouble >= k->min && item->valuedouble <= k->max))
            return calo_fail(fault, CALO_EFILE, "%s: %s is %g, outside %g … %g", file, k->name, item->valuedouble,
                             k->min, k->max);
        if (k->type == INTEGER && item->valuedouble != floor(item->valuedouble))
            return calo_fail(fault, CALO_EFILE, "%s: %s is %g, not a whole number", file, k->name, item->valuedouble);
        setting->kind = CALO_SETTING_NUMBER;
        setting->number = item->valuedouble;
        return CALO_OK;
    case TEXT:
        if (!cJSON_IsString(item))
            return calo_fail(fault, CALO_EFILE, "%s: %s must be a text", file, k->name);
        if (strlen(item->valuestring) >= sizeof setting->text)
            return calo_fail(fault, CALO_EFILE, "%s: %s is longer than %zu bytes", file, k->name,
                             sizeof setting->text - 1);
        setting->kind = CALO_SETTING_TEXT;
        memcpy(setting->text, item->valuestring, strlen(item->valuestring) + 1);
        return CALO_OK;
    case ANY:
        setting->kind = CALO_SETTING_OTHER;
        return CALO_OK;
    }
    return CALO_OK;
}

/* A list of numbers within [min, max], or null, which is an empty one. Replaces an earlier list of the same key. */
static calo_status read_list(const cJSON *item, const char *name, double min, double max, const char *file,
                             double **list, int *count, calo_fault *fault)
{
    calo_free(*list);
    *list = NULL;
    *count = 0;
    if (cJSON_IsNull(item))
        return CALO_OK;
    if (!cJSON_IsArray(item))
        return calo_fail(fault, CALO_EFILE, "%s: %s must be a list of numbers", file, name);
    const int length = cJSON_GetArraySize(item);
    if (length == 0)
        return CALO_OK;
    *list = calo_alloc((size_t)length, sizeof **list);
    if (!*list)
        return calo_fail(fault, CALO_EMEMORY, "%s: no memory for the %d numbers of %s", file, length, name);
    const cJSON *entry;
    cJSON_ArrayForEach(entry, item) {
        if (!cJSON_IsNumber(entry) || !(entry->valuedouble >= min && entry->valuedouble <= max))
            return calo_fail(fault, CALO_EFILE, "%s: entry %d of %s is not a number in %g … %g", file, *count, name,
                             min, max);
        (*list)[(*count)++] = entry->valuedouble;
    }
    return CALO_OK;
}

static calo_status read_disabled(const cJSON *item, calo_schedule_config *config, calo_fault *fault)
{
    double *list = NULL;
    int count = 0;
    calo_status status =
        read_list(item, "disable_corrector", -CALO_TRAIN_LIMIT, CALO_TRAIN_LIMIT, config->file, &list, &count, fault);
    calo_free(config->disable_corrector);
    config->disable_corrector = NULL;
    config->disable_corrector_count = 0;
    if (!status && count > 0) {
        config->disable_corrector = calo_alloc((size_t)count, sizeof *config->disable_corrector);
        if (!config->disable_corrector)
            status = calo_fail(fault, CALO_EMEMORY, "%s: no memory for disable_corrector", config->file);
        for (int i = 0; !status && i < count; i++)
            config->disable_corrector[config->disable_corrector_count++] = (int)list[i];
    }
    calo_free(list);
    return status;
}

static calo_status read_item(const cJSON *item, calo_schedule_config *config, calo_fault *fault)
{
    if (strcmp(item->string, "trained_betas") == 0)
        return read_list(item, "trained_betas", 0, 1, config->file, &config->trained_betas, &config->trained_beta_count,
                         fault);
    if (strcmp(item->string, "disable_corrector") == 0)
        return read_disabled(item, config, fault);
    for (int i = 0; i < KEY_COUNT; i++)
        if (strcmp(item->string, keys[i].name) == 0)
            return read_setting(&keys[i], item, setting_of(config, &keys[i]), config->file, fault);
    return CALO_OK;
}

static calo_status read_text(char *text, size_t size, calo_schedule_config *config, calo_fault *fault)
{
    replace_python_numbers(text, size);
    const char *end = NULL;
    cJSON *root = cJSON_ParseWithLengthOpts(text, size, &end, 0);
    calo_status status = CALO_OK;
    while (root && end < text + size && strchr(" \t\r\n", *end) && *end)
        end++;
    if (!root || end != text + size)
        status = calo_fail(fault, CALO_EFILE, "%s: not JSON, at byte %zu", config->file,
                           end ? (size_t)(end - text) : (size_t)0);
    else if (!cJSON_IsObject(root))
        status = calo_fail(fault, CALO_EFILE, "%s: not a JSON object", config->file);
    else
        for (const cJSON *item = root->child; item && !status; item = item->next) /* of twins the last one holds */
            status = read_item(item, config, fault);
    cJSON_Delete(root);
    return status;
}

calo_status calo_schedule_config_parse(const char *text, size_t size, const char *file, calo_schedule_config *config,
                                       calo_fault *fault)
{
    *config = (calo_schedule_config){ 0 };
    if (size > TEXT_LIMIT)
        return calo_fail(fault, CALO_EFILE, "%s: %zu bytes are too many for a scheduler's configuration", file, size);
    char *copy = calo_alloc(size + 1, 1);
    config->file = calo_copy_string(file ? file : "");
    calo_status status = CALO_OK;
    if (copy && config->file) {
        memcpy(copy, text, size);
        status = read_text(copy, size, config, fault);
    } else {
        status = calo_fail(fault, CALO_EMEMORY, "%s: no memory to read it", file);
    }
    calo_free(copy);
    if (status)
        calo_schedule_config_free(config);
    return status;
}

void calo_schedule_config_free(calo_schedule_config *config)
{
    if (!config)
        return;
    calo_free(config->file);
    calo_free(config->trained_betas);
    calo_free(config->disable_corrector);
    *config = (calo_schedule_config){ 0 };
}
