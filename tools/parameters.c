/* AUTOMATIC1111's `parameters` text. Its reader's rules, from modules/infotext_utils.py (v1.10, AGPL; read for facts):
   settings match  \s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$),  a quoted value is a JSON string, fewer than
   three settings in the last line make it prompt. Beyond these, a value may be a JSON object, as Civitai's Hashes are,
   and lines may follow the settings, as templates do. */
#include "parameters.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { SETTING_LIMIT = 2000, VALUE_LIMIT = 1 << 18 /* of what is in quotes or braces, so that no text takes long */ };

static char *copy(const char *text, size_t size)
{
    char *made = malloc(size + 1);
    if (made) {
        memcpy(made, text, size);
        made[size] = '\0';
    }
    return made;
}

static bool key_letter(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80 || strchr("_ -/", c);
}

/* The end of a quoted string that begins at `at`, past its quote; NULL: it has none before `end`. */
static const char *end_of_string(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++)
        if (*at == '\\')
            at++;
    return at < end ? at + 1 : NULL;
}

/* The end of a value; what is in quotes or braces ends no value. */
static const char *end_of_value(const char *at, const char *end)
{
    const char *stop = NULL, *all = end;
    if (end - at > VALUE_LIMIT)
        end = at + VALUE_LIMIT;
    if (at < end && *at == '"') {
        stop = end_of_string(at, end);
    } else if (at < end && *at == '{') {
        const char *p = at;
        for (int depth = 0; p && p < end;) {
            depth += *p == '{';
            depth -= *p == '}';
            if (*p == '"')
                p = end_of_string(p, end);
            else
                p++;
            if (!depth) {
                stop = p;
                break;
            }
        }
    }
    end = all;
    const char *rest = stop;
    while (rest && rest < end && *rest == ' ')
        rest++;
    if (stop && (rest == end || *rest == ','))
        return stop;
    const char *comma = memchr(at, ',', (size_t)(end - at));
    return comma ? comma : end;
}

static char *read_value(const char *at, const char *end)
{
    while (end > at && isspace((unsigned char)end[-1]))
        end--;
    char *raw = copy(at, (size_t)(end - at));
    if (!raw || raw[0] != '"')
        return raw;
    cJSON *item = cJSON_Parse(raw);
    char *value = cJSON_IsString(item) ? copy(item->valuestring, strlen(item->valuestring)) : NULL;
    cJSON_Delete(item);
    if (!value)
        return raw;
    free(raw);
    return value;
}

/* Reads the settings of one line into *p, or counts them only. −1: no memory. */
static int read_settings(const char *at, const char *end, parameters *p)
{
    int count = 0;
    while (at < end && count < SETTING_LIMIT) {
        while (at < end && (isspace((unsigned char)*at) || *at == ','))
            at++;
        const char *key = at;
        while (at < end && key_letter(*at))
            at++;
        if (at == end || *at != ':' || at - key < 2 || at - key > 80) { /* no setting: on behind the next comma */
            const char *comma = at < end ? memchr(at, ',', (size_t)(end - at)) : NULL;
            at = comma ? comma + 1 : end;
            continue;
        }
        const char *value = at + 1;
        while (value < end && *value == ' ')
            value++;
        const char *stop = end_of_value(value, end);
        if (p) {
            setting *s = &p->settings[count];
            s->key = copy(key, (size_t)(at - key));
            s->value = read_value(value, stop);
            p->count++;
            if (!s->key || !s->value)
                return -1;
        }
        count++;
        at = stop;
    }
    return count;
}

/* Lines without the spaces around them, joined, as the reader of A1111 does. */
static char *join_lines(const char *at, const char *end)
{
    char *made = malloc((size_t)(end - at) + 1), *to = made;
    while (made && at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at)), *next = stop ? stop + 1 : end;
        stop = stop ? stop : end;
        while (at < stop && isspace((unsigned char)*at))
            at++;
        while (stop > at && isspace((unsigned char)stop[-1]))
            stop--;
        if (to > made)
            *to++ = '\n';
        memcpy(to, at, (size_t)(stop - at));
        to += stop - at;
        at = next;
    }
    if (made)
        *to = '\0';
    return made;
}

/* The line that begins "Negative prompt:", spaces before it apart; NULL: none. */
static const char *find_negative(const char *at, const char *end)
{
    while (at < end) {
        const char *word = at, *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        while (word < stop && isspace((unsigned char)*word))
            word++;
        if (stop - word >= 16 && memcmp(word, "Negative prompt:", 16) == 0)
            return word;
        at = stop + 1;
    }
    return NULL;
}

int parameters_parse(const char *text, parameters *p)
{
    *p = (parameters){ 0 };
    const char *end = text + strlen(text), *line = NULL, *stop = end;
    int count = 0;
    while (end > text && isspace((unsigned char)end[-1]))
        end--;
    for (stop = end; stop > text; stop = line > text ? line - 1 : text) {
        line = stop;
        while (line > text && line[-1] != '\n')
            line--;
        count = read_settings(line, stop, NULL);
        if (count >= 3)
            break;
        if (line == text)
            return 3;
    }
    if (count < 3)
        return 3;
    const char *negative = find_negative(text, line);
    p->settings = calloc((size_t)count, sizeof *p->settings);
    p->prompt = join_lines(text, negative ? negative : line > text ? line - 1 : text);
    /* A negative one ends before the line break in front of the settings. */
    if (negative)
        p->negative = join_lines(negative + 16, line - 1 > negative + 16 ? line - 1 : negative + 16);
    if (stop < end)
        p->rest = copy(stop + 1, (size_t)(end - stop - 1));
    if (!p->settings || !p->prompt || (negative && !p->negative) || (stop < end && !p->rest))
        return 4;
    /* The prompt in front of a negative one ends with a line break that is not part of it. */
    return read_settings(line, stop, p) < 0 ? 4 : 0;
}

void parameters_free(parameters *p)
{
    for (int i = 0; i < p->count; i++) {
        free(p->settings[i].key);
        free(p->settings[i].value);
    }
    free(p->settings);
    free(p->prompt);
    free(p->negative);
    free(p->rest);
    *p = (parameters){ 0 };
}

const char *parameters_take(parameters *p, const char *key)
{
    const char *value = NULL;
    for (int i = 0; i < p->count; i++)
        if (strcmp(p->settings[i].key, key) == 0) { /* the last one holds, as in A1111's dictionary */
            p->settings[i].used = true;
            value = p->settings[i].value;
        }
    return value;
}
