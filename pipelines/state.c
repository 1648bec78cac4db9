/* One table of a request's fields, to write and to read. Numbers beyond 2^53 are texts. */
#include "state.h"
#include "../engine/shim.h"
#include "../engine/weights/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1 };

typedef enum kind { TEXT, INTEGER, NUMBER, LONG } kind;

typedef struct field {
    const char *name;
    kind kind;
    size_t offset;
} field;

#define FIELD(kind, name) { #name, kind, offsetof(calo_request, name) }
static const field fields[] = {
    FIELD(TEXT, prompt), FIELD(TEXT, negative), FIELD(INTEGER, width), FIELD(INTEGER, height), FIELD(INTEGER, steps),
    FIELD(INTEGER, count), FIELD(NUMBER, guidance), FIELD(NUMBER, eta), FIELD(LONG, seed), FIELD(TEXT, scheduler),
    FIELD(TEXT, spacing), FIELD(INTEGER, clip_skip), FIELD(NUMBER, refiner_start), FIELD(INTEGER, tile),
    FIELD(INTEGER, prompt_style), FIELD(TEXT, prompt_2), FIELD(TEXT, negative_2), FIELD(NUMBER, negative_scale),
    FIELD(NUMBER, guidance_rescale), FIELD(NUMBER, guidance_start), FIELD(NUMBER, guidance_end), FIELD(INTEGER, inpaint),
    FIELD(NUMBER, strength), FIELD(INTEGER, fit), FIELD(NUMBER, mask_blur), FIELD(INTEGER, mask_padding),
    FIELD(INTEGER, fill), FIELD(INTEGER, random), FIELD(LONG, variation_seed), FIELD(NUMBER, variation_strength),
    FIELD(NUMBER, hires), FIELD(NUMBER, hires_strength), FIELD(INTEGER, hires_pixels), FIELD(INTEGER, preview_every),
};
enum { FIELDS = sizeof fields / sizeof *fields };
_Static_assert(sizeof(calo_prompt_style) == sizeof(int) && sizeof(calo_fit) == sizeof(int) &&
                   sizeof(calo_fill) == sizeof(int) && sizeof(calo_random) == sizeof(int),
               "the table reads enumerations as int");

/* ---- writing ---------------------------------------------------------------------------------------------------- */

/* With the digits that read back as the same double; cJSON's own may be one less. */
static void add_number(cJSON *object, const char *name, double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.17g", value);
    for (char *c = text; *c; c++)
        *c = *c == ',' ? '.' : *c; /* whatever the locale's point is */
    cJSON_AddRawToObject(object, name, text);
}

static void write_field(cJSON *object, const field *f, const calo_request *r)
{
    const void *at = (const char *)r + f->offset;
    char text[24];
    switch (f->kind) {
    case TEXT:
        if (*(const char *const *)at)
            cJSON_AddStringToObject(object, f->name, *(const char *const *)at);
        return;
    case INTEGER:
        cJSON_AddNumberToObject(object, f->name, *(const int *)at);
        return;
    case NUMBER:
        add_number(object, f->name, *(const double *)at);
        return;
    case LONG:
        snprintf(text, sizeof text, "%" PRIu64, *(const uint64_t *)at);
        cJSON_AddStringToObject(object, f->name, text);
        return;
    }
}

static void write_regions(cJSON *object, const calo_request *r)
{
    cJSON *list = cJSON_AddArrayToObject(object, "regions");
    for (int i = 0; i < r->region_count; i++) {
        const calo_region *region = &r->regions[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddItemToArray(list, item);
        cJSON_AddItemToObject(item, "box", cJSON_CreateIntArray((const int[]){ region->x, region->y, region->width,
                                                                               region->height }, 4));
        cJSON_AddStringToObject(item, "prompt", region->prompt);
        if (region->negative)
            cJSON_AddStringToObject(item, "negative", region->negative);
        add_number(item, "strength", region->strength);
    }
}

char *calo_state_write(const calo_request *request, const calo_position *position)
{
    cJSON *root = cJSON_CreateObject(), *object = cJSON_AddObjectToObject(root, "request");
    cJSON_AddNumberToObject(root, "version", VERSION);
    cJSON_AddNumberToObject(root, "stage", position->stage);
    cJSON_AddNumberToObject(root, "frame", position->frame);
    cJSON_AddNumberToObject(root, "calls", position->calls);
    cJSON_AddNumberToObject(root, "begun", position->begun);
    cJSON_AddStringToObject(root, "weights", position->weights[0]);
    cJSON_AddStringToObject(root, "refiner", position->weights[1]);
    cJSON_AddStringToObject(root, "dtype", position->dtype);
    for (int i = 0; i < FIELDS; i++)
        write_field(object, &fields[i], request);
    cJSON_AddItemToObject(object, "extend", cJSON_CreateIntArray(request->extend, 4));
    write_regions(object, request);
    char *printed = cJSON_PrintUnformatted(root), *text = printed ? calo_copy_string(printed) : NULL;
    cJSON_free(printed);
    cJSON_Delete(root);
    return text;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

enum { MOST = 1 << 30 };

/* All that a job wrote must be there: no default stands in for it. */
static bool expect(const calo_json *json, const char *name)
{
    const bool there = calo_json_has(json, name);
    if (!there)
        calo_fail(json->fault, CALO_EFILE, "%s: %s is missing", json->path, name);
    return there;
}

static void read_text(const calo_json *json, const char *name, const char **text)
{
    const char *found = NULL;
    calo_json_string(json, name, &found);
    *text = found ? calo_copy_string(found) : NULL;
    if (found && !*text)
        calo_fail(json->fault, CALO_EMEMORY, "%s: no host memory for a request", json->path);
}

static void read_long(const calo_json *json, const char *name, uint64_t *value)
{
    const char *text = "";
    char *end;
    calo_json_string(json, name, &text);
    errno = 0;
    const unsigned long long parsed = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno)
        calo_fail(json->fault, CALO_EFILE, "%s: %s is no whole number from 0 to 2^64 − 1", json->path, name);
    *value = parsed;
}

static void read_field(const calo_json *json, const field *f, calo_request *r)
{
    void *at = (char *)r + f->offset;
    if (f->kind != TEXT && !expect(json, f->name))
        return;
    switch (f->kind) {
    case TEXT:
        read_text(json, f->name, at);
        return;
    case INTEGER:
        calo_json_int(json, f->name, -1, MOST, at);
        return;
    case NUMBER:
        calo_json_double(json, f->name, at);
        return;
    case LONG:
        read_long(json, f->name, at);
        return;
    }
}

static void read_regions(const calo_json *json, calo_request *r)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(json->root, "regions");
    const int count = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : -1;
    if (count < 0 || count > CALO_MAX_REGIONS) {
        calo_fail(json->fault, CALO_EFILE, "%s: regions is no list of at most %d", json->path, CALO_MAX_REGIONS);
        return;
    }
    calo_region *regions = calo_alloc((size_t)count, sizeof *regions);
    r->regions = regions;
    if (!regions) {
        calo_fail(json->fault, CALO_EMEMORY, "%s: no host memory for a request", json->path);
        return;
    }
    r->region_count = count;
    for (int i = 0; i < count; i++) {
        const calo_json item = { cJSON_GetArrayItem(list, i), json->path, json->fault };
        int box[4] = { 0 };
        if (!cJSON_IsObject(item.root)) {
            calo_fail(json->fault, CALO_EFILE, "%s: region %d is no object", json->path, i + 1);
            return;
        }
        if (!expect(&item, "box") || !expect(&item, "prompt") || !expect(&item, "strength"))
            return;
        calo_json_ints(&item, "box", 4, 0, MOST, box);
        regions[i] = (calo_region){ .x = box[0], .y = box[1], .width = box[2], .height = box[3] };
        read_text(&item, "prompt", &regions[i].prompt);
        read_text(&item, "negative", &regions[i].negative);
        calo_json_double(&item, "strength", &regions[i].strength);
    }
}

static void read_short(const calo_json *json, const char *name, size_t size, char *to)
{
    const char *text = "";
    calo_json_string(json, name, &text);
    if (strlen(text) >= size)
        calo_fail(json->fault, CALO_EFILE, "%s: %s is longer than %zu", json->path, name, size - 1);
    snprintf(to, size, "%s", text);
}

calo_status calo_state_read(const char *text, const char *path, calo_request *request, calo_position *position,
                            calo_fault *fault)
{
    static const calo_request defaults = CALO_REQUEST_INIT;
    calo_json json;
    int version = 0;
    *request = defaults;
    *position = (calo_position){ 0 };
    if (calo_json_parse(text, path, &json, fault))
        return fault->status;
    calo_json object = { cJSON_GetObjectItemCaseSensitive(json.root, "request"), path, fault };
    calo_json_int(&json, "version", 0, MOST, &version);
    if (version != VERSION || !cJSON_IsObject(object.root)) {
        calo_fail(fault, CALO_EFILE, "%s is no job of this version of calotype", path);
    } else {
        static const char *const names[] = { "stage", "frame", "calls", "begun", "weights", "refiner", "dtype" };
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            expect(&json, names[i]);
        calo_json_int(&json, "stage", 0, 2, &position->stage);
        calo_json_int(&json, "frame", 0, MOST, &position->frame);
        calo_json_int(&json, "calls", -1, MOST, &position->calls);
        calo_json_int(&json, "begun", 0, MOST, &position->begun);
        read_short(&json, "weights", sizeof position->weights[0], position->weights[0]);
        read_short(&json, "refiner", sizeof position->weights[1], position->weights[1]);
        read_short(&json, "dtype", sizeof position->dtype, position->dtype);
        for (int i = 0; i < FIELDS && !fault->status; i++)
            read_field(&object, &fields[i], request);
        if (expect(&object, "extend"))
            calo_json_ints(&object, "extend", 4, 0, MOST, request->extend);
        if (!fault->status)
            read_regions(&object, request);
    }
    calo_json_close(&json);
    return fault->status;
}
