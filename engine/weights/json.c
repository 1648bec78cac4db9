/* Typed access to JSON. */
#include "json.h"
#include "../shim.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FILE_LIMIT = 64 << 20, DEPTH_LIMIT = 64 };

/* cJSON recurses; the depth is bounded before it starts. */
static bool too_deep(const char *text, size_t size)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < size; i++) {
        if (quoted && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            quoted = !quoted;
        else if (!quoted && (text[i] == '{' || text[i] == '[') && ++depth > DEPTH_LIMIT)
            return true;
        else if (!quoted && (text[i] == '}' || text[i] == ']'))
            depth--;
    }
    return false;
}

/* Python writes −∞ as the bare word -Infinity, which is no JSON; diffusers' one such field means "no limit", as null
 * does. The text may change. */
static void replace_infinities(char *text)
{
    static const char word[] = "-Infinity";
    bool quoted = false;
    for (char *at = text; *at; at++) {
        if (quoted && *at == '\\' && at[1])
            at++;
        else if (*at == '"')
            quoted = !quoted;
        else if (!quoted && strncmp(at, word, sizeof word - 1) == 0)
            memcpy(at, "null     ", sizeof word - 1);
    }
}

calo_status calo_json_parse(const char *text, const char *path, calo_json *json, calo_fault *fault)
{
    const size_t size = strlen(text);
    *json = (calo_json){ .path = path, .fault = fault };
    if (too_deep(text, size))
        return calo_fail(fault, CALO_EFILE, "%s: JSON nested deeper than %d", path, DEPTH_LIMIT);
    char *copy = calo_copy_string(text);
    if (!copy)
        return calo_fail(fault, CALO_EMEMORY, "no host memory to read %s", path);
    replace_infinities(copy);
    json->root = cJSON_ParseWithOpts(copy, NULL, 1);
    calo_free(copy);
    if (!json->root)
        return calo_fail(fault, CALO_EFILE, "%s is not valid JSON", path);
    if (!cJSON_IsObject(json->root)) {
        calo_json_close(json);
        return calo_fail(fault, CALO_EFILE, "%s: the JSON is not an object", path);
    }
    return CALO_OK;
}

calo_status calo_json_open(const char *path, calo_json *json, calo_fault *fault)
{
    char *text;
    size_t size;
    *json = (calo_json){ .path = path, .fault = fault };
    calo_status status = calo_read_file(path, FILE_LIMIT, &text, &size, fault);
    if (status)
        return status;
    if (memchr(text, '\0', size))
        status = calo_fail(fault, CALO_EFILE, "%s is not valid JSON: it holds a zero byte", path);
    else
        status = calo_json_parse(text, path, json, fault);
    calo_free(text);
    return status;
}

void calo_json_close(calo_json *json)
{
    cJSON_Delete(json->root);
    json->root = NULL;
}

static const cJSON *find(const calo_json *json, const char *field)
{
    const cJSON *item = json->root ? cJSON_GetObjectItemCaseSensitive(json->root, field) : NULL;
    return item && !cJSON_IsNull(item) ? item : NULL;
}

static void bad(const calo_json *json, const char *field, const char *wanted)
{
    calo_fail(json->fault, CALO_EFILE, "%s: %s must be %s", json->path, field, wanted);
}

bool calo_json_has(const calo_json *json, const char *field)
{
    return find(json, field) != NULL;
}

static bool to_int(const calo_json *json, const char *field, const cJSON *item, int least, int most, int *value)
{
    if (!cJSON_IsNumber(item) || item->valuedouble != floor(item->valuedouble)) {
        bad(json, field, "a whole number");
        return false;
    }
    if (!(item->valuedouble >= least && item->valuedouble <= most)) {
        calo_fail(json->fault, CALO_EFILE, "%s: %s is %.17g, it must be %d … %d", json->path, field, item->valuedouble,
                  least, most);
        return false;
    }
    *value = (int)item->valuedouble;
    return true;
}

void calo_json_int(const calo_json *json, const char *field, int least, int most, int *value)
{
    const cJSON *item = find(json, field);
    if (item)
        to_int(json, field, item, least, most, value);
}

void calo_json_double(const calo_json *json, const char *field, double *value)
{
    const cJSON *item = find(json, field);
    if (!item)
        return;
    if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble))
        bad(json, field, "a finite number");
    else
        *value = item->valuedouble;
}

void calo_json_bool(const calo_json *json, const char *field, bool *value)
{
    const cJSON *item = find(json, field);
    if (!item)
        return;
    if (!cJSON_IsBool(item))
        bad(json, field, "true or false");
    else
        *value = cJSON_IsTrue(item);
}

void calo_json_string(const calo_json *json, const char *field, const char **value)
{
    const cJSON *item = find(json, field);
    if (!item)
        return;
    if (!cJSON_IsString(item))
        bad(json, field, "a text");
    else
        *value = item->valuestring;
}

void calo_json_list(const calo_json *json, const char *field, int limit, int least, int most, int *values, int *count)
{
    const cJSON *item = find(json, field);
    if (!item)
        return;
    const int size = cJSON_IsArray(item) ? cJSON_GetArraySize(item) : 0;
    if (size < 1 || size > limit) {
        calo_fail(json->fault, CALO_EFILE, "%s: %s must be a list of 1 … %d numbers", json->path, field, limit);
        return;
    }
    const cJSON *each = item->child;
    for (int i = 0; i < size && to_int(json, field, each, least, most, &values[i]); i++)
        each = each->next;
    *count = size;
}

void calo_json_ints(const calo_json *json, const char *field, int count, int least, int most, int *values)
{
    const cJSON *item = find(json, field);
    if (!item)
        return;
    if (cJSON_IsNumber(item)) {
        int value;
        if (to_int(json, field, item, least, most, &value))
            for (int i = 0; i < count; i++)
                values[i] = value;
        return;
    }
    if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) != count) {
        calo_fail(json->fault, CALO_EFILE, "%s: %s must be a whole number or a list of %d", json->path, field, count);
        return;
    }
    const cJSON *each = item->child;
    for (int i = 0; i < count && to_int(json, field, each, least, most, &values[i]); i++)
        each = each->next;
}

static void unsupported(const calo_json *json, const char *field, const char *only)
{
    calo_fail(json->fault, CALO_EFILE, "%s: this value of %s is not supported, only %s is", json->path, field, only);
}

void calo_json_expect_bool(const calo_json *json, const char *field, bool wanted)
{
    bool value = wanted;
    calo_json_bool(json, field, &value);
    if (value != wanted)
        unsupported(json, field, wanted ? "true" : "false");
}

void calo_json_expect_null(const calo_json *json, const char *field)
{
    if (find(json, field))
        unsupported(json, field, "null");
}

void calo_json_expect_string(const calo_json *json, const char *field, const char *wanted)
{
    const char *value = wanted;
    calo_json_string(json, field, &value);
    if (strcmp(value, wanted) != 0)
        unsupported(json, field, wanted);
}

void calo_json_expect_number(const calo_json *json, const char *field, double wanted)
{
    double value = wanted;
    char text[32];
    calo_json_double(json, field, &value);
    snprintf(text, sizeof text, "%g", wanted);
    if (value != wanted)
        unsupported(json, field, text);
}
