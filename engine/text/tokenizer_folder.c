/* A tokenizer from a folder, as transformers 5 loads CLIPTokenizer: the vocabulary and merges of tokenizer.json, else
   those of vocab.json and merges.txt; normaliser and word expression are always CLIP's, whatever tokenizer.json says of
   its own.

   The sizes of the files are capped before they are read. CLIP's own are: vocab.json 1.0 MB, merges.txt 0.5 MB,
   tokenizer.json 2.2 to 4 MB; a parsed JSON value takes about 80 bytes. */
#include "tokenizer_parts.h"
#include "../shim.h"

#include <stdio.h>
#include <string.h>

enum { BIG_LIMIT = 16 << 20, SMALL_LIMIT = 4 << 20 }; /* bytes */

static char *join(const char *folder, const char *file)
{
    size_t size = strlen(folder) + 1 + strlen(file) + 1;
    char *path = calo_alloc(size, 1);
    if (path)
        snprintf(path, size, "%s/%s", folder, file);
    return path;
}

/* A string cannot hold \u0000 in C, and cutting it there would make it another token. */
static bool has_null(const char *text)
{
    for (const char *at = text; (at = strstr(at, "\\u0000")); at++) {
        size_t slashes = 1;
        while (at - slashes >= text && at[-(ptrdiff_t)slashes] == '\\')
            slashes++;
        if (slashes % 2)
            return true;
    }
    return false;
}

/* Parses one file of the folder, which must hold an object. *json stays NULL where the file is missing and may be. */
static calo_status read_json(const char *folder, const char *file, size_t limit, cJSON **json, calo_fault *fault)
{
    calo_status status = CALO_OK;
    char *text = NULL, *path = join(folder, file);
    size_t size = 0;
    if (!path)
        return calo_fail(fault, CALO_EMEMORY, "no memory for a path");
    if (!calo_is_file(path))
        goto done;
    if ((status = calo_read_file(path, limit, &text, &size, fault)))
        goto done;
    const char *end = NULL;
    *json = cJSON_ParseWithLengthOpts(text, size, &end, 0);
    while (*json && end < text + size && *end && strchr(" \t\r\n", *end))
        end++;
    if (!*json || end != text + size || memchr(text, 0, size) || has_null(text))
        status = calo_fail(fault, CALO_EFILE, "%s: not valid JSON at byte %zu", path, end ? (size_t)(end - text) : 0);
    else if (!cJSON_IsObject(*json))
        status = calo_fail(fault, CALO_EFILE, "%s: expected an object", path);
done:
    calo_free(text);
    calo_free(path);
    return status;
}

static calo_status add_words(calo_vocabulary *vocabulary, const cJSON *words, const char *name, calo_fault *fault)
{
    const cJSON *word;
    if (!cJSON_IsObject(words))
        return calo_fail(fault, CALO_EFILE, "%s: the vocabulary is not an object", name);
    cJSON_ArrayForEach(word, words)
    {
        double id = word->valuedouble;
        if (!cJSON_IsNumber(word) || !(id >= 0 && id < INT32_MAX) || id != (double)(int32_t)id)
            return calo_fail(fault, CALO_EFILE, "%s: the id of \"%.64s\" is not a whole number from 0 to 2^31 - 2",
                             name, word->string);
        calo_status status = calo_vocabulary_add(vocabulary, word->string, strlen(word->string), (int32_t)id, fault);
        if (status)
            return status;
    }
    return CALO_OK;
}

static bool split(const char *text, size_t size, struct calo_merge_text *merge)
{
    const char *space = memchr(text, ' ', size);
    if (!space || memchr(space + 1, ' ', (size_t)(text + size - space - 1)))
        return false;
    *merge = (struct calo_merge_text){ text, space + 1, (size_t)(space - text), (size_t)(text + size - space - 1) };
    return true;
}

calo_status calo_merges_parse(const char *text, size_t size, const char *name, struct calo_merge_text **merges,
                              size_t *count, calo_fault *fault)
{
    size_t lines = 1, line = 0;
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    *count = 0;
    *merges = calo_alloc(lines, sizeof **merges);
    if (!*merges)
        return calo_fail(fault, CALO_EMEMORY, "no memory for %zu merges", lines);
    for (size_t i = 0; i < size;) {
        const char *start = text + i, *newline = memchr(start, '\n', size - i);
        size_t length = newline ? (size_t)(newline - start) : size - i;
        i += length + 1;
        line++;
        if (newline && length && start[length - 1] == '\r')
            length--;
        if (length >= 8 && memcmp(start, "#version", 8) == 0)
            continue;
        if (!split(start, length, &(*merges)[*count]))
            return calo_fail(fault, CALO_EFILE, "%s: line %zu is not two words with a space between", name, line);
        ++*count;
    }
    return CALO_OK;
}

/* "model": { "vocab": { word: id }, "merges": [ "left right" or [left, right], … ] } */
static calo_status read_model(calo_tokenizer *tokenizer, const cJSON *json, const char *name,
                              struct calo_merge_text **merges, size_t *count, calo_fault *fault)
{
    const cJSON *model = cJSON_GetObjectItemCaseSensitive(json, "model"), *item;
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(model, "merges");
    calo_status status =
        add_words(&tokenizer->vocabulary, cJSON_GetObjectItemCaseSensitive(model, "vocab"), name, fault);
    if (status)
        return status;
    if (list && !cJSON_IsArray(list))
        return calo_fail(fault, CALO_EFILE, "%s: \"merges\" is not a list", name);
    size_t most = list ? (size_t)cJSON_GetArraySize(list) : 0;
    *merges = calo_alloc(most + 1, sizeof **merges);
    if (!*merges)
        return calo_fail(fault, CALO_EMEMORY, "no memory for %zu merges", most);
    cJSON_ArrayForEach(item, list)
    {
        struct calo_merge_text *merge = &(*merges)[*count];
        const cJSON *left = cJSON_IsArray(item) ? item->child : NULL, *right = left ? left->next : NULL;
        bool whole = cJSON_IsString(item) && split(item->valuestring, strlen(item->valuestring), merge);
        if (cJSON_IsString(left) && cJSON_IsString(right) && !right->next) {
            *merge = (struct calo_merge_text){ left->valuestring, right->valuestring, strlen(left->valuestring),
                                               strlen(right->valuestring) };
            whole = true;
        }
        if (!whole)
            return calo_fail(fault, CALO_EFILE, "%s: merge %zu is not two words", name, *count + 1);
        ++*count;
    }
    return CALO_OK;
}

/* "right" (also where nothing is stated) or "left". tokenizer.json's own word for it counts where the configuration has
 * none. */
static calo_status read_side(const char *folder, const cJSON *config, const char *key, const cJSON *tokenizer,
                             const char *section, bool *left, calo_fault *fault)
{
    const cJSON *side = cJSON_GetObjectItemCaseSensitive(config, key);
    const char *inner = cJSON_GetStringValue(
        cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(tokenizer, section), "direction"));
    *left = inner && strcmp(inner, "Left") == 0;
    if (!side)
        return CALO_OK;
    const char *text = cJSON_GetStringValue(side);
    if (!text || (strcmp(text, "left") != 0 && strcmp(text, "right") != 0))
        return calo_fail(fault, CALO_EFILE, "%s/tokenizer_config.json: \"%s\" is neither \"left\" nor \"right\"",
                         folder, key);
    *left = strcmp(text, "left") == 0;
    return CALO_OK;
}

static calo_status read_settings(calo_tokenizer *tokenizer, const struct calo_special_files *files, calo_fault *fault)
{
    const cJSON *length = cJSON_GetObjectItemCaseSensitive(files->config, "model_max_length");
    const cJSON *splits = cJSON_GetObjectItemCaseSensitive(files->config, "split_special_tokens");
    if (!length)
        length = cJSON_GetObjectItemCaseSensitive(files->config, "max_len");
    if (length && !cJSON_IsNull(length)) {
        /* transformers writes 1e30 for "none" */
        if (!cJSON_IsNumber(length) || !(length->valuedouble >= 2))
            return calo_fail(fault, CALO_EFILE, "%s/tokenizer_config.json: \"model_max_length\" is not a number from 2",
                             files->folder);
        tokenizer->max_length = length->valuedouble < INT32_MAX ? (int)length->valuedouble : 0;
    }
    tokenizer->added.ignores_special = cJSON_IsTrue(splits);
    calo_status status = read_side(files->folder, files->config, "padding_side", files->tokenizer, "padding",
                                   &tokenizer->pads_left, fault);
    if (!status)
        status = read_side(files->folder, files->config, "truncation_side", files->tokenizer, "truncation",
                           &tokenizer->cuts_left, fault);
    return status;
}

/* Everything that points into the files' memory is used up when it returns. */
static calo_status open_files(calo_tokenizer *tokenizer, const struct calo_special_files *files, const char *vocab_name,
                              const cJSON *vocab, const char *merges_name, calo_fault *fault)
{
    struct calo_merge_text *merges = NULL;
    char *text = NULL;
    size_t count = 0, size = 0;
    calo_status status = CALO_OK;
    if (files->tokenizer) {
        status = read_model(tokenizer, files->tokenizer, vocab_name, &merges, &count, fault);
        merges_name = vocab_name;
    } else {
        status = add_words(&tokenizer->vocabulary, vocab, vocab_name, fault);
        if (!status)
            status = calo_read_file(merges_name, BIG_LIMIT, &text, &size, fault);
        if (!status)
            status = calo_merges_parse(text, size, merges_name, &merges, &count, fault);
    }
    if (!status)
        status = read_settings(tokenizer, files, fault);
    if (!status)
        status = calo_tokenizer_build(tokenizer, files, merges, count, merges_name, fault);
    calo_free(merges);
    calo_free(text);
    return status;
}

calo_status calo_tokenizer_open_folder(const char *path, calo_tokenizer **tokenizer, calo_fault *fault)
{
    calo_status status = CALO_OK;
    cJSON *config = NULL, *map = NULL, *added = NULL, *whole = NULL, *vocab = NULL;
    char *vocab_name = NULL, *merges_name = join(path, "merges.txt");
    *tokenizer = calo_alloc(1, sizeof **tokenizer);
    if (!*tokenizer || !merges_name) {
        status = calo_fail(fault, CALO_EMEMORY, "no memory for a tokenizer");
        goto done;
    }
    if ((status = read_json(path, "tokenizer_config.json", SMALL_LIMIT, &config, fault)) ||
        (status = read_json(path, "special_tokens_map.json", SMALL_LIMIT, &map, fault)) ||
        (status = read_json(path, "added_tokens.json", SMALL_LIMIT, &added, fault)) ||
        (status = read_json(path, "tokenizer.json", BIG_LIMIT, &whole, fault)))
        goto done;
    if (!whole && (status = read_json(path, "vocab.json", BIG_LIMIT, &vocab, fault)))
        goto done;
    if (!whole && !vocab) {
        status = calo_fail(fault, CALO_EFILE, "%s: there is neither vocab.json nor tokenizer.json", path);
        goto done;
    }
    vocab_name = join(path, whole ? "tokenizer.json" : "vocab.json");
    if (!vocab_name) {
        status = calo_fail(fault, CALO_EMEMORY, "no memory for a path");
        goto done;
    }
    struct calo_special_files files = { path, config, map, added, whole };
    status = open_files(*tokenizer, &files, vocab_name, vocab, merges_name, fault);
done:
    cJSON_Delete(config);
    cJSON_Delete(map);
    cJSON_Delete(added);
    cJSON_Delete(whole);
    cJSON_Delete(vocab);
    calo_free(vocab_name);
    calo_free(merges_name);
    if (status)
        calo_tokenizer_close(tokenizer);
    return status;
}
