/* Which strings are tokens of their own, and how each is sought.

   Four files can say so, and their order of precedence is transformers' (PreTrainedTokenizerBase._from_pretrained and
   TokenizersBackend.__init__, 5.23): `added_tokens_decoder` of tokenizer_config.json alone where it is present,
   otherwise special_tokens_map.json over tokenizer_config.json, with added_tokens.json and then tokenizer.json's
   `added_tokens`. Then the listed tokens are added by ascending index, after them each named token (bos, eos, unk, sep,
   pad, cls, mask) that is not among them: as an object with its own flags, or, where it is a mere string, one that is
   not normalized. A later token replaces an earlier one of the same id: so the pad token "<|endoftext|>" of Stable
   Diffusion 1 makes the end token one that is sought as it is written, while the start token is sought in any case. */
#include "special.h"
#include "../shim.h"

#include <stdlib.h>
#include <string.h>

static const char default_start[] = "<|startoftext|>", default_end[] = "<|endoftext|>";

enum { BOS, EOS, UNK, SEP, PAD, CLS, MASK, NAMES };
static const char *const names[NAMES] = { "bos_token", "eos_token", "unk_token", "sep_token",
                                          "pad_token", "cls_token", "mask_token" };

enum kind { ABSENT, NOTHING, PLAIN, OBJECT, WRONG };

struct value {
    enum kind kind;
    const char *content;
    double index;
    int order;      /* of appearance */
    int normalized; /* −1: not stated, then the opposite of special */
    bool single_word, lstrip, rstrip, special;
    bool late; /* still JSON when added_tokens.json is read, so that it names no special token there */
};

struct list {
    struct value *at;
    size_t count, capacity;
};

struct plan {
    const struct calo_special_files *files;
    struct value named[NAMES];
    struct list listed; /* with an index */
    struct list models; /* named by the model, "image_token" and the like; those of index 0 go first */
    struct list extra;  /* without a name */
    bool extra_stated;  /* even as null or empty: then additional_special_tokens does not count */
    const cJSON *additional;
    const char *additional_file;
    struct list all; /* in the order of adding */
    size_t kept;     /* how many of them are listed ones */
    calo_fault *fault;
};

static calo_status push(struct plan *plan, struct list *list, struct value value)
{
    if (list->count == CALO_ADDED_MOST)
        return calo_fail(plan->fault, CALO_EFILE, "%s: more than %d added tokens", plan->files->folder,
                         CALO_ADDED_MOST);
    if (list->count == list->capacity) {
        size_t capacity = 2 * list->capacity + 16;
        struct value *at = calo_resize(list->at, capacity, sizeof *at);
        if (!at)
            return calo_fail(plan->fault, CALO_EMEMORY, "no memory for %zu added tokens", capacity);
        list->at = at;
        list->capacity = capacity;
    }
    value.order = (int)list->count;
    list->at[list->count++] = value;
    return CALO_OK;
}

static calo_status wrong(struct plan *plan, const char *file, const char *key)
{
    return calo_fail(plan->fault, CALO_EFILE, "%s/%s: \"%.64s\" is not a token", plan->files->folder, file, key);
}

/* An AddedToken from its fields. */
static calo_status read_object(struct plan *plan, const cJSON *item, const char *file, const char *key,
                               struct value *value)
{
    *value = (struct value){ .kind = OBJECT, .content = "", .normalized = -1 };
    const cJSON *field;
    cJSON_ArrayForEach(field, item)
    {
        const char *name = field->string;
        bool on = cJSON_IsTrue(field), stated = cJSON_IsBool(field);
        bool content = strcmp(name, "content") == 0, known = content;
        if (content && cJSON_IsString(field))
            value->content = field->valuestring;
        if (strcmp(name, "single_word") == 0)
            known = true, value->single_word = on;
        if (strcmp(name, "lstrip") == 0)
            known = true, value->lstrip = on;
        if (strcmp(name, "rstrip") == 0)
            known = true, value->rstrip = on;
        if (strcmp(name, "normalized") == 0)
            known = true, value->normalized = on;
        if (strcmp(name, "special") == 0)
            known = true, value->special = on;
        if (known && !(content ? cJSON_IsString(field) : stated))
            return wrong(plan, file, key);
    }
    return CALO_OK;
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

/* A token as a string, an object or null. In the map an object needs no type and is special. */
static calo_status read_value(struct plan *plan, const cJSON *item, const char *file, bool map, struct value *value)
{
    *value = (struct value){ .kind = WRONG, .normalized = -1 };
    if (cJSON_IsNull(item))
        value->kind = NOTHING;
    if (cJSON_IsString(item)) {
        value->kind = PLAIN;
        value->content = item->valuestring;
    }
    if (!cJSON_IsObject(item))
        return CALO_OK;
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "__type"));
    if (!map && (!type || strcmp(type, "AddedToken") != 0))
        return CALO_OK;
    calo_status status = read_object(plan, item, file, item->string ? item->string : "extra_special_tokens", value);
    value->special = value->special || map;
    value->late = !map;
    return status;
}

/* A list of strings and objects, or an object of names and tokens. What it states replaces `extra`, unless it is the
 * map's list, which adds. */
static calo_status read_extra(struct plan *plan, const cJSON *items, const char *file, bool map, bool late)
{
    calo_status status = CALO_OK;
    const cJSON *item;
    if (!cJSON_IsArray(items) && !cJSON_IsObject(items) && !cJSON_IsNull(items))
        return wrong(plan, file, items->string);
    if (!map || !cJSON_IsArray(items))
        plan->extra.count = 0;
    plan->extra_stated = !cJSON_IsObject(items);
    cJSON_ArrayForEach(item, items)
    {
        struct value value = { .kind = ABSENT };
        if (!status)
            status = read_value(plan, item, file, map, &value);
        if (!status && value.kind != PLAIN && value.kind != OBJECT)
            status = wrong(plan, file, items->string);
        value.late = value.late || late;
        value.index = 1;
        if (!status)
            status = push(plan, cJSON_IsArray(items) ? &plan->extra : &plan->models, value);
    }
    return status;
}

/* extra_special_tokens and its older name, additional_special_tokens. The older one of the configuration counts where
 * the newer is missing, null or empty; otherwise the older counts only where nothing states the newer. */
static calo_status read_extras(struct plan *plan, const cJSON *json, const char *file, bool map)
{
    const cJSON *extra = cJSON_GetObjectItemCaseSensitive(json, "extra_special_tokens");
    const cJSON *additional = cJSON_GetObjectItemCaseSensitive(json, "additional_special_tokens");
    bool empty = !extra || cJSON_IsNull(extra) || ((cJSON_IsArray(extra) || cJSON_IsObject(extra)) && !extra->child);
    if (additional && !map && empty)
        return read_extra(plan, additional, file, false, false);
    if (additional) {
        plan->additional = additional;
        plan->additional_file = file;
    }
    return extra ? read_extra(plan, extra, file, map, false) : CALO_OK;
}

/* tokenizer_config.json or special_tokens_map.json. */
static calo_status read_names(struct plan *plan, const cJSON *json, const char *file, bool map)
{
    calo_status status = CALO_OK;
    const cJSON *item;
    cJSON_ArrayForEach(item, json)
    {
        struct value value;
        int name = 0;
        while (name < NAMES && strcmp(names[name], item->string) != 0)
            name++;
        if (status || !ends_with(item->string, "_token") ||
            (name == NAMES && !cJSON_IsString(item) && !cJSON_IsObject(item)))
            continue; /* add_bos_token is no token */
        status = read_value(plan, item, file, map, &value);
        if (!status && name < NAMES)
            plan->named[name] = value;
        value.index = !map && value.kind == PLAIN;
        if (!status && name == NAMES && (value.kind == PLAIN || value.kind == OBJECT))
            status = push(plan, &plan->models, value);
    }
    return status ? status : read_extras(plan, json, file, map);
}

static calo_status read_decoder(struct plan *plan, const cJSON *decoder)
{
    static const char file[] = "tokenizer_config.json";
    const cJSON *item;
    if (!cJSON_IsObject(decoder))
        return wrong(plan, file, "added_tokens_decoder");
    cJSON_ArrayForEach(item, decoder)
    {
        struct value value;
        char *end;
        if (!cJSON_IsObject(item) || read_object(plan, item, file, item->string, &value))
            return wrong(plan, file, item->string);
        value.index = strtod(item->string, &end);
        if (end == item->string || *end || !(value.index >= 0 && value.index <= INT32_MAX))
            return wrong(plan, file, item->string);
        calo_status status = push(plan, &plan->listed, value);
        if (status)
            return status;
    }
    return CALO_OK;
}

static bool is_index(const cJSON *item)
{
    return cJSON_IsNumber(item) && item->valuedouble >= 0 && item->valuedouble <= INT32_MAX &&
           item->valuedouble == (double)(int32_t)item->valuedouble;
}

static bool names_special(const struct value *value, const char *content)
{
    return value->content && !value->late && strcmp(value->content, content) == 0;
}

static bool named_special(const struct plan *plan, const char *content)
{
    for (int i = 0; i < NAMES; i++)
        if (names_special(&plan->named[i], content))
            return true;
    for (size_t i = 0; i < plan->extra.count; i++)
        if (names_special(&plan->extra.at[i], content))
            return true;
    return false;
}

/* added_tokens.json: { content: index }. */
static calo_status read_added(struct plan *plan, const cJSON *json)
{
    const cJSON *item;
    calo_status status = CALO_OK;
    cJSON_ArrayForEach(item, json)
    {
        if (!is_index(item))
            return wrong(plan, "added_tokens.json", item->string);
        bool special = named_special(plan, item->string);
        struct value value = { .kind = OBJECT,
                               .content = item->string,
                               .index = item->valuedouble,
                               .normalized = !special,
                               .special = special };
        if ((status = push(plan, &plan->listed, value)))
            break;
    }
    return status;
}

static calo_status read_tokenizer(struct plan *plan, const cJSON *json)
{
    static const char file[] = "tokenizer.json";
    const cJSON *tokens = cJSON_GetObjectItemCaseSensitive(json, "added_tokens"), *item;
    calo_status status = CALO_OK;
    if (tokens && !cJSON_IsArray(tokens))
        return wrong(plan, file, "added_tokens");
    cJSON_ArrayForEach(item, tokens)
    {
        struct value value;
        const cJSON *id = cJSON_GetObjectItemCaseSensitive(item, "id");
        if (!cJSON_IsObject(item) || !is_index(id))
            return wrong(plan, file, "added_tokens");
        if ((status = read_object(plan, item, file, "added_tokens", &value)))
            break;
        value.index = id->valuedouble;
        if ((status = push(plan, &plan->listed, value)))
            break;
    }
    return status;
}

static int index_order(const void *left, const void *right)
{
    const struct value *a = left, *b = right;
    if (a->index != b->index)
        return a->index < b->index ? -1 : 1;
    return (a->order > b->order) - (a->order < b->order);
}

static bool normalized(const struct value *value)
{
    return value->normalized < 0 ? !value->special : value->normalized;
}

/* Equality of Python: a string never equals a token object. */
static bool same(const struct value *a, const struct value *b)
{
    return a->kind == b->kind && strcmp(a->content, b->content) == 0 &&
           (a->kind == PLAIN || (a->single_word == b->single_word && a->lstrip == b->lstrip && a->rstrip == b->rstrip &&
                                 a->special == b->special && normalized(a) == normalized(b)));
}

/* Appends a token that is neither listed by content nor there already. */
static calo_status append(struct plan *plan, const struct value *value)
{
    if (value->kind != PLAIN && value->kind != OBJECT)
        return CALO_OK;
    for (size_t i = 0; i < plan->all.count; i++)
        if (i < plan->kept ? strcmp(plan->all.at[i].content, value->content) == 0 : same(&plan->all.at[i], value))
            return CALO_OK;
    return push(plan, &plan->all, *value);
}

/* Every named token takes the flags of the listed one with its content, and those that nothing names get CLIP's. */
static calo_status complete(struct plan *plan)
{
    for (int i = 0; i < NAMES; i++) {
        struct value *value = &plan->named[i];
        if (value->kind == WRONG)
            return wrong(plan, "tokenizer_config.json", names[i]);
        for (size_t j = 0; value->content && j < plan->listed.count; j++)
            if (strcmp(plan->listed.at[j].content, value->content) == 0)
                *value = plan->listed.at[j];
        if (value->kind == ABSENT && (i == BOS || i == EOS || i == UNK || i == PAD))
            *value =
                (struct value){ .kind = PLAIN, .content = i == BOS ? default_start : default_end, .normalized = -1 };
        if (value->kind == NOTHING && (i == BOS || i == EOS || i == PAD))
            return calo_fail(plan->fault, CALO_EFILE, "%s/tokenizer_config.json: \"%s\" is null", plan->files->folder,
                             names[i]);
    }
    return CALO_OK;
}

static calo_status arrange(struct plan *plan)
{
    calo_status status = CALO_OK;
    struct list *listed = &plan->listed;
    if (listed->count)
        qsort(listed->at, listed->count, sizeof *listed->at, index_order);
    for (size_t i = 0; i < listed->count && !status; i++)
        if (i + 1 == listed->count || listed->at[i].index != listed->at[i + 1].index)
            status = push(plan, &plan->all, listed->at[i]);
    plan->kept = plan->all.count;
    for (int i = 0; i < NAMES && !status; i++)
        status = append(plan, &plan->named[i]);
    if (plan->models.count)
        qsort(plan->models.at, plan->models.count, sizeof *plan->models.at, index_order);
    for (size_t i = 0; i < plan->models.count && !status; i++)
        status = append(plan, &plan->models.at[i]);
    for (size_t i = 0; i < plan->extra.count && !status; i++)
        status = append(plan, &plan->extra.at[i]);
    return status;
}

static int32_t id_of(const calo_vocabulary *vocabulary, const calo_added *added, const char *content)
{
    int32_t id = calo_added_find(added, content);
    return id >= 0 ? id : calo_vocabulary_find(vocabulary, content, strlen(content));
}

static bool is_named(const struct plan *plan, const char *content)
{
    for (int i = 0; i < NAMES; i++)
        if (plan->named[i].content && strcmp(plan->named[i].content, content) == 0)
            return true;
    for (size_t i = 0; i < plan->models.count; i++)
        if (strcmp(plan->models.at[i].content, content) == 0)
            return true;
    return false;
}

static calo_status add(struct plan *plan, const calo_vocabulary *vocabulary, calo_added *added, size_t *size)
{
    calo_status status = CALO_OK;
    *size = vocabulary->count;
    for (size_t i = 0; i < plan->all.count && !status; i++) {
        struct value *value = &plan->all.at[i];
        if (!*value->content)
            continue;
        value->special = value->special || value->kind == PLAIN || is_named(plan, value->content);
        int32_t id = id_of(vocabulary, added, value->content);
        if (id < 0 && *size >= INT32_MAX)
            return calo_fail(plan->fault, CALO_EFILE, "%s: too many tokens", plan->files->folder);
        calo_added_token token = { (char *)value->content, id < 0 ? (int32_t)(*size)++ : id,
                                   value->single_word,     value->lstrip,
                                   value->rstrip,          normalized(value),
                                   value->special,         { 0 } };
        status = calo_added_put(added, &token, plan->files->folder, plan->fault);
    }
    return status;
}

calo_status calo_special_resolve(const struct calo_special_files *files, const calo_vocabulary *vocabulary,
                                 calo_added *added, struct calo_special *special, calo_fault *fault)
{
    struct plan plan = { .files = files, .fault = fault };
    const cJSON *decoder = cJSON_GetObjectItemCaseSensitive(files->config, "added_tokens_decoder");
    calo_status status = CALO_OK;
    if (files->config)
        status = read_names(&plan, files->config, "tokenizer_config.json", false);
    if (!status && decoder)
        status = read_decoder(&plan, decoder);
    if (!status && !decoder && files->map)
        status = read_names(&plan, files->map, "special_tokens_map.json", true);
    if (!status && !decoder && files->added)
        status = read_added(&plan, files->added);
    if (!status && !decoder && files->tokenizer)
        status = read_tokenizer(&plan, files->tokenizer);
    if (!status && plan.additional && !plan.extra_stated)
        status = read_extra(&plan, plan.additional, plan.additional_file, false, true);
    if (!status)
        status = complete(&plan);
    if (!status)
        status = arrange(&plan);
    if (!status)
        status = add(&plan, vocabulary, added, &special->size);
    if (!status)
        status = calo_added_prepare(added, files->folder, fault);
    if (!status) {
        special->bos = id_of(vocabulary, added, plan.named[BOS].content);
        special->eos = id_of(vocabulary, added, plan.named[EOS].content);
        special->pad = id_of(vocabulary, added, plan.named[PAD].content);
        special->unknown = plan.named[UNK].content;
        if (special->bos < 0 || special->eos < 0 || special->pad < 0)
            status = calo_fail(fault, CALO_EFILE, "%s: the start, end or padding token is empty", files->folder);
    }
    calo_free(plan.listed.at);
    calo_free(plan.models.at);
    calo_free(plan.extra.at);
    calo_free(plan.all.at);
    return status;
}
