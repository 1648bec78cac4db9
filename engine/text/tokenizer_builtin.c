/* CLIP's own vocabulary, from its merges alone: the 256 characters of the byte alphabet in the order of CLIP, the same
   with "</w>", what each merge makes, and the two special tokens: 256 + 256 + 48894 + 2 = 49408 words.

   The merges are engine/text/data/clip_merges.txt.gz (origin and licence beside it), embedded when the library is
   built. The special tokens have the flags of the tokenizer folders that come with Stable Diffusion. */
#include "tokenizer_parts.h"
#include "unicode.h"
#include "../shim.h"

#include <stdio.h>
#include <string.h>
#include <zlib.h>

extern const unsigned char calo_data_clip_merges[];
extern const size_t calo_data_clip_merges_size;

enum { TEXT_LIMIT = 1 << 21, MAX_LENGTH = 77 }; /* bytes; the text has 0.5 MB */

static const char config_text[] =
    "{\"bos_token\":{\"__type\":\"AddedToken\",\"content\":\"<|startoftext|>\",\"normalized\":true,\"lstrip\":false,"
    "\"rstrip\":false,\"single_word\":false},"
    "\"eos_token\":{\"__type\":\"AddedToken\",\"content\":\"<|endoftext|>\",\"normalized\":true,\"lstrip\":false,"
    "\"rstrip\":false,\"single_word\":false},"
    "\"unk_token\":{\"__type\":\"AddedToken\",\"content\":\"<|endoftext|>\",\"normalized\":true,\"lstrip\":false,"
    "\"rstrip\":false,\"single_word\":false}}";

static const char name[] = "the built-in vocabulary";

static void *zlib_take(void *unused, uInt count, uInt size)
{
    (void)unused;
    return calo_alloc(count, size);
}

static void zlib_give(void *unused, void *block)
{
    (void)unused;
    calo_free(block);
}

/* Unpacks the merges; free *text. */
static calo_status unpack(char **text, size_t *size, calo_fault *fault)
{
    *text = calo_alloc(TEXT_LIMIT, 1);
    if (!*text)
        return calo_fail(fault, CALO_EMEMORY, "no memory to unpack %s", name);
    z_stream stream = { .zalloc = zlib_take, .zfree = zlib_give };
    stream.next_in = (Bytef *)calo_data_clip_merges;
    stream.avail_in = (uInt)calo_data_clip_merges_size;
    stream.next_out = (Bytef *)*text;
    stream.avail_out = TEXT_LIMIT;
    int result = inflateInit2(&stream, 15 + 16); /* 32 KiB window, gzip header */
    if (result == Z_OK) {
        result = inflate(&stream, Z_FINISH);
        inflateEnd(&stream);
    }
    *size = TEXT_LIMIT - stream.avail_out;
    if (result == Z_STREAM_END)
        return CALO_OK;
    return result == Z_MEM_ERROR ? calo_fail(fault, CALO_EMEMORY, "no memory to unpack %s", name)
                                 : calo_fail(fault, CALO_EFILE, "%s is damaged", name);
}

/* CLIP numbers the bytes that print first, then the others. */
static calo_status add_bytes(calo_vocabulary *vocabulary, const char *suffix, calo_fault *fault)
{
    calo_status status = CALO_OK;
    for (int pass = 0; pass < 2; pass++)
        for (int byte = 0; byte < 256 && !status; byte++) {
            uint32_t character = calo_byte_pair_alphabet((uint8_t)byte);
            uint8_t word[8];
            if ((character != (uint32_t)byte) != pass)
                continue;
            size_t size = (size_t)calo_unicode_encode(character, word);
            memcpy(word + size, suffix, strlen(suffix));
            status = calo_vocabulary_add(vocabulary, (const char *)word, size + strlen(suffix),
                                         (int32_t)vocabulary->count, fault);
        }
    return status;
}

static calo_status add_words(calo_vocabulary *vocabulary, const struct calo_merge_text *merges, size_t count,
                             calo_fault *fault)
{
    static const char *const specials[] = { "<|startoftext|>", "<|endoftext|>" };
    calo_status status = add_bytes(vocabulary, "", fault);
    if (!status)
        status = add_bytes(vocabulary, "</w>", fault);
    for (size_t i = 0; i < count && !status; i++) {
        char word[256];
        size_t size = merges[i].left_size + merges[i].right_size;
        if (size > sizeof word)
            return calo_fail(fault, CALO_EFILE, "%s is damaged", name);
        memcpy(word, merges[i].left, merges[i].left_size);
        memcpy(word + merges[i].left_size, merges[i].right, merges[i].right_size);
        status = calo_vocabulary_add(vocabulary, word, size, (int32_t)vocabulary->count, fault);
    }
    for (size_t i = 0; i < 2 && !status; i++)
        status = calo_vocabulary_add(vocabulary, specials[i], strlen(specials[i]), (int32_t)vocabulary->count, fault);
    return status;
}

calo_status calo_tokenizer_open_builtin(const char *pad, calo_tokenizer **tokenizer, calo_fault *fault)
{
    calo_status status = CALO_OK;
    char *text = NULL;
    struct calo_merge_text *merges = NULL;
    size_t size = 0, count = 0;
    cJSON *config = cJSON_Parse(config_text);
    *tokenizer = calo_alloc(1, sizeof **tokenizer);
    if (!*tokenizer || !config || !cJSON_AddStringToObject(config, "pad_token", pad ? pad : "<|endoftext|>")) {
        status = calo_fail(fault, CALO_EMEMORY, "no memory for %s", name);
        goto done;
    }
    if ((status = unpack(&text, &size, fault)))
        goto done;
    if ((status = calo_merges_parse(text, size, name, &merges, &count, fault)))
        goto done;
    if ((status = add_words(&(*tokenizer)->vocabulary, merges, count, fault)))
        goto done;
    struct calo_special_files files = { .folder = name, .config = config };
    (*tokenizer)->max_length = MAX_LENGTH;
    status = calo_tokenizer_build(*tokenizer, &files, merges, count, name, fault);
done:
    calo_free(text);
    calo_free(merges);
    cJSON_Delete(config);
    if (status)
        calo_tokenizer_close(tokenizer);
    return status;
}

/* ---- as files ---------------------------------------------------------------------------------------------------- */

static calo_status put_file(const char *folder, const char *file, const char *head, const char *text, size_t size,
                            calo_fault *fault)
{
    char path[4096];
    calo_writer *writer = NULL;
    snprintf(path, sizeof path, "%s/%s", folder, file);
    calo_status status = calo_writer_open(path, &writer, fault);
    if (!status)
        status = calo_writer_put(writer, head, strlen(head), fault);
    if (!status)
        status = calo_writer_put(writer, text, size, fault);
    if (!status)
        status = calo_writer_commit(&writer, fault);
    calo_writer_abandon(&writer);
    return status;
}

/* {"word": id, …}: of what JSON escapes, words hold only the quotation mark and the backslash. */
static calo_status vocabulary_json(const calo_vocabulary *vocabulary, char **json, calo_fault *fault)
{
    size_t used = 0;
    *json = calo_alloc(2 * vocabulary->text_size + 24 * vocabulary->count + 8, 1);
    if (!*json)
        return calo_fail(fault, CALO_EMEMORY, "no memory to write %s", name);
    for (size_t i = 0; i < vocabulary->count; i++) {
        const struct calo_word *word = &vocabulary->words[i];
        used += (size_t)sprintf(*json + used, "%s\n  \"", i ? "," : "{");
        for (uint32_t k = 0; k < word->size; k++) {
            const char c = vocabulary->text[word->offset + k];
            if (c == '"' || c == '\\')
                (*json)[used++] = '\\';
            (*json)[used++] = c;
        }
        used += (size_t)sprintf(*json + used, "\": %d", (int)word->id);
    }
    memcpy(*json + used, "\n}\n", 4);
    return CALO_OK;
}

calo_status calo_tokenizer_write_builtin(const char *folder, calo_fault *fault)
{
    calo_vocabulary vocabulary = { 0 };
    struct calo_merge_text *merges = NULL;
    char *text = NULL, *json = NULL;
    size_t size = 0, count = 0;
    calo_status status = unpack(&text, &size, fault);
    if (!status)
        status = put_file(folder, "merges.txt", "#version: 0.2\n", text, size, fault);
    if (!status)
        status = calo_merges_parse(text, size, name, &merges, &count, fault);
    if (!status)
        status = add_words(&vocabulary, merges, count, fault);
    if (!status)
        status = vocabulary_json(&vocabulary, &json, fault);
    if (!status)
        status = put_file(folder, "vocab.json", "", json, strlen(json), fault);
    calo_vocabulary_free(&vocabulary);
    calo_free(merges);
    calo_free(text);
    calo_free(json);
    return status;
}
