/* Files that are not what they seem: safetensors, configurations, whole models; and memory that runs out while they are
   read. Nothing may crash, hang or leak (the sanitizers watch), and each refusal is one sentence that names the file. */
#include "../../engine/shim.h"
#include "../../engine/text/tokenizer.h"
#include "../../engine/weights/checkpoint.h"
#include "../../engine/hash.h"
#include "../../engine/weights/names.h"
#include "allocations.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[64];

static void write_bytes(const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

/* A file with this header and `data` bytes of numbers behind it. */
static size_t compose(char *file, const char *header, size_t data)
{
    const size_t size = strlen(header);
    for (int i = 0; i < 8; i++)
        file[i] = (char)(size >> 8 * i);
    memcpy(file + 8, header, size);
    memset(file + 8 + size, 0, data);
    return 8 + size + data;
}

static calo_status open_bytes(const void *bytes, size_t size, char *sentence)
{
    calo_tensor_file file;
    calo_fault fault = { 0 };
    write_bytes(bytes, size);
    calo_status status = calo_tensor_file_open(path, &file, &fault);
    if (!status) {
        uint64_t covered = 0;
        for (int64_t i = 0; i < file.count; i++) {
            const calo_entry *e = &file.entries[i];
            float values[64];
            covered += e->size;
            assert_true(e->begin + e->size <= file.file.size);
            assert_ptr_equal(calo_tensor_file_find(&file, e->name), e);
            if (calo_entry_count(e) <= 64)
                assert_int_equal(calo_entry_read(e, 0, calo_entry_count(e), values, &fault), CALO_OK);
        }
        assert_true(covered <= file.file.size);
        calo_tensor_file_close(&file);
    } else {
        assert_int_equal(status, CALO_EFILE);
        assert_non_null(strstr(fault.text, path));
    }
    if (sentence)
        strcpy(sentence, fault.text);
    return status;
}

static const char good[] =
    "{\"__metadata__\":{\"format\":\"pt\"},\"a.weight\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[0,12]},"
    "\"b\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[12,16]},"
    "\"\\u00e9\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[16,24]}}  ";
enum { GOOD_DATA = 24 };

static void accepts(void **state)
{
    char file[1024];
    calo_tensor_file opened;
    calo_fault fault = { 0 };
    (void)state;
    write_bytes(file, compose(file, good, GOOD_DATA));
    assert_int_equal(calo_tensor_file_open(path, &opened, &fault), CALO_OK);
    assert_int_equal(opened.count, 3);
    const calo_entry *a = calo_tensor_file_find(&opened, "a.weight");
    assert_non_null(a);
    assert_int_equal(a->type, CALO_STORED_F16);
    assert_int_equal(a->rank, 2);
    assert_int_equal(a->dims[1], 3);
    assert_non_null(calo_tensor_file_find(&opened, "\xc3\xa9"));
    assert_null(calo_tensor_file_find(&opened, "c"));
    calo_tensor_file_close(&opened);
    assert_int_equal(open_bytes(file, compose(file, "{}", 0), NULL), CALO_OK);
}

static void refuses(void **state)
{
    (void)state;
#define ONE(type, shape, offsets) "{\"a\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
    static const struct {
        const char *header;
        size_t data;
        const char *word;
    } cases[] = {
        { ONE("F32", "[1]", "[0,4]"), 3, "end of the file" },
        { ONE("F32", "[1]", "[0,4]"), 5, "belong to no tensor" },
        { ONE("F32", "[1]", "[1,5]"), 5, "begins at byte" },
        { ONE("F32", "[2]", "[0,4]"), 4, "do not agree" },
        { ONE("F33", "[1]", "[0,4]"), 4, "dtype" },
        { ONE("F32", "[-1]", "[0,4]"), 4, "whole number" },
        { ONE("F32", "[01]", "[0,4]"), 4, "starts with 0" },
        { ONE("F32", "[1.5]", "[0,4]"), 4, "missing" },
        { ONE("F32", "[99999999999999999999]", "[0,4]"), 4, "too large" },
        { ONE("F32", "[4611686018427387904,4]", "[0,4]"), 4, "too large" },
        { ONE("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "too long" },
        { ONE("F32", "[1]", "[4,0]"), 4, "do not agree" },
        { ONE("F32", "[1]", "[0]"), 4, "do not agree" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "do not agree" },
        { "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "each once" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4, "each once" },
        { "{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},"
          "\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, "twice" },
        { "[]", 0, "'{'" },
        { "{", 0, "no safetensors" },
        { "{}x", 0, "follows" },
        { "{\"a\":1}", 0, "missing" },
        { "{\"__metadata__\":{\"a\":1}}", 0, "missing" },
        { "{\"__metadata__\":{},\"__metadata__\":{}}", 0, "twice" },
        { "{\"\xff\":1}", 0, "UTF-8" },
        { "{\"\\ud800\":1}", 0, "character" },
        { "{\"\\x\":1}", 0, "escape" },
        { "{\"a", 0, "ends inside" },
        { "{\"data_offsets\\u0000\":1}", 0, "character" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char file[1024], sentence[CALO_FAULT_TEXT];
        const size_t size = compose(file, cases[i].header, cases[i].data);
        if (open_bytes(file, size, sentence) != CALO_EFILE || !strstr(sentence, cases[i].word))
            fail_msg("%s: %s (expected: %s)", cases[i].header, sentence, cases[i].word);
    }
}

static void every_cut(void **state)
{
    char file[1024];
    const size_t size = compose(file, good, GOOD_DATA);
    (void)state;
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(open_bytes(file, cut, NULL), CALO_EFILE);
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Bytes changed, inserted, removed, swapped for what JSON is made of. */
static void mutations(void **state)
{
    static const char pieces[] = "{}[]\",:0123456789-.eE\\ \n\x01\xc3nul";
    uint32_t seed = 1;
    int accepted = 0;
    (void)state;
    for (int round = 0; round < 3000; round++) {
        char file[1200];
        size_t size = compose(file, good, GOOD_DATA);
        const int changes = 1 + (int)(next_random(&seed) % 3);
        for (int i = 0; i < changes; i++) {
            const size_t at = next_random(&seed) % size;
            switch (next_random(&seed) % 4) {
            case 0:
                file[at] = (char)next_random(&seed);
                break;
            case 1:
                file[at] = pieces[next_random(&seed) % (sizeof pieces - 1)];
                break;
            case 2:
                memmove(file + at + 1, file + at, size++ - at);
                break;
            default:
                memmove(file + at, file + at + 1, --size - at);
                break;
            }
        }
        accepted += open_bytes(file, size, NULL) == CALO_OK;
    }
    assert_true(accepted < 1500);
}

/* ---- models ----------------------------------------------------------------------------------------------------- */

#define DEMO CALO_TEST_DATA "/../tools/demo/model"

static void opens_demo(void **state)
{
    calo_checkpoint c;
    calo_fault fault = { 0 };
    (void)state;
    calo_entry entry;
    assert_int_equal(calo_checkpoint_open(DEMO, NULL, &c, &fault), CALO_OK);
    assert_int_equal(c.unet.levels, 3);
    assert_int_equal(c.unet.norm_num_groups, 16);
    assert_false(calo_unet_attends(&c.unet, 0));
    assert_true(calo_unet_attends(&c.unet, 2));
    assert_int_equal(c.vae.norm_num_groups, 4);
    assert_int_equal(c.clip[0].num_hidden_layers, 3);
    assert_string_equal(c.scheduler_class, "DDIMScheduler");
    assert_int_equal(calo_checkpoint_find(&c, CALO_TEXT, "text_model.final_layer_norm.weight", &entry, &fault), CALO_OK);
    assert_int_equal(calo_checkpoint_find(&c, CALO_UNET, "nothing.weight", &entry, &fault), CALO_EFILE);
    assert_non_null(strstr(fault.text, "nothing.weight"));
    calo_checkpoint_close(&c);
}

static void names_of_layouts(void **state)
{
    static const struct {
        calo_part part;
        const char *name, *stored;
    } cases[] = {
        { CALO_UNET, "conv_in.weight", "model.diffusion_model.input_blocks.0.0.weight" },
        { CALO_UNET, "down_blocks.0.downsamplers.0.conv.bias", "model.diffusion_model.input_blocks.3.0.op.bias" },
        { CALO_UNET, "down_blocks.2.attentions.1.proj_in.weight", "model.diffusion_model.input_blocks.8.1.proj_in.weight" },
        { CALO_UNET, "down_blocks.3.resnets.1.conv_shortcut.weight", "model.diffusion_model.input_blocks.11.0.skip_connection.weight" },
        { CALO_UNET, "mid_block.resnets.1.norm2.weight", "model.diffusion_model.middle_block.2.out_layers.0.weight" },
        { CALO_UNET, "up_blocks.0.upsamplers.0.conv.weight", "model.diffusion_model.output_blocks.2.1.conv.weight" },
        { CALO_UNET, "up_blocks.1.upsamplers.0.conv.weight", "model.diffusion_model.output_blocks.5.2.conv.weight" },
        { CALO_UNET, "up_blocks.3.resnets.2.time_emb_proj.bias", "model.diffusion_model.output_blocks.11.0.emb_layers.1.bias" },
        { CALO_VAE, "decoder.up_blocks.0.resnets.2.conv1.weight", "first_stage_model.decoder.up.3.block.2.conv1.weight" },
        { CALO_VAE, "encoder.down_blocks.1.downsamplers.0.conv.weight", "first_stage_model.encoder.down.1.downsample.conv.weight" },
        { CALO_VAE, "decoder.mid_block.attentions.0.to_out.0.bias", "first_stage_model.decoder.mid.attn_1.proj_out.bias" },
        { CALO_VAE, "post_quant_conv.weight", "first_stage_model.post_quant_conv.weight" },
        { CALO_TEXT, "text_model.encoder.layers.11.mlp.fc1.weight", "cond_stage_model.transformer.text_model.encoder.layers.11.mlp.fc1.weight" },
    };
    calo_checkpoint c;
    calo_fault fault = { 0 };
    (void)state;
    assert_int_equal(calo_checkpoint_open("layout:sd15", NULL, &c, &fault), CALO_OK);
    c.parts[CALO_UNET] = (calo_source){ .naming = CALO_NAMES_ORIGINAL, .prefix = "model.diffusion_model." };
    c.parts[CALO_VAE] = (calo_source){ .naming = CALO_NAMES_ORIGINAL, .prefix = "first_stage_model." };
    c.parts[CALO_TEXT].prefix = "cond_stage_model.transformer.";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        calo_candidates candidates;
        calo_candidate_names(&c, cases[i].part, cases[i].name, &candidates);
        assert_string_equal(candidates.list[0].name, cases[i].stored);
    }
    calo_checkpoint_close(&c);
}

/* The built-in vocabulary, written as files and read again, says the same. */
static void vocabulary_as_files(void **state)
{
    static const char prompt[] = "A photo of an astronaut's \"horse\" \\ 35mm \xf0\x9f\x8f\xa0 d\xc3\xa9j\xc3\xa0 vu!";
    static const char *const files[] = { "vocab.json", "merges.txt", "tokenizer_config.json" };
    int32_t one[77], other[77];
    char folder[64], file[128];
    calo_tokenizer *builtin = NULL, *opened = NULL;
    calo_fault fault = { 0 };
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/calotype-test-%ld", (long)getpid());
    assert_int_equal(calo_make_directory(folder, &fault), CALO_OK);
    assert_int_equal(calo_tokenizer_write_builtin(folder, &fault), CALO_OK);
    snprintf(file, sizeof file, "%s/tokenizer_config.json", folder);
    FILE *config = fopen(file, "w");
    assert_non_null(config);
    fputs("{\"model_max_length\": 77, \"bos_token\": \"<|startoftext|>\", \"eos_token\": \"<|endoftext|>\", "
          "\"unk_token\": \"<|endoftext|>\", \"pad_token\": \"<|endoftext|>\"}", config);
    fclose(config);
    assert_int_equal(calo_tokenizer_open_builtin(NULL, &builtin, &fault), CALO_OK);
    assert_int_equal(calo_tokenizer_open_folder(folder, &opened, &fault), CALO_OK);
    assert_int_equal(calo_tokenizer_encode(builtin, prompt, one, 77, NULL, &fault), CALO_OK);
    assert_int_equal(calo_tokenizer_encode(opened, prompt, other, 77, NULL, &fault), CALO_OK);
    assert_memory_equal(one, other, sizeof one);
    calo_tokenizer_close(&builtin);
    calo_tokenizer_close(&opened);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(file, sizeof file, "%s/%s", folder, files[i]);
        unlink(file);
    }
    rmdir(folder);
}

/* FIPS 180-4's examples, and lengths around a block's end. */
static void sha256(void **state)
{
    static const struct {
        const char *text;
        uint8_t begin[4];
    } cases[] = {
        { "abc", { 0xba, 0x78, 0x16, 0xbf } },
        { "", { 0xe3, 0xb0, 0xc4, 0x42 } },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", { 0x24, 0x8d, 0x6a, 0x61 } },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t digest[32];
        calo_sha256((const uint8_t *)cases[i].text, strlen(cases[i].text), digest);
        assert_memory_equal(digest, cases[i].begin, 4);
    }
}

/* Every code of both 8-bit floats, by the formula of their paper (Micikevicius 2022): (−1)^s · 2^(e − bias) · (1 + m/2^M),
 * without the leading 1 where e is 0. E4M3 has no infinity, and NaN at the last code alone. */
static void every_f8_code(void **state)
{
    static const char header[] = "{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[256],\"data_offsets\":[0,256]},"
                                 "\"b\":{\"dtype\":\"F8_E5M2\",\"shape\":[256],\"data_offsets\":[256,512]}}";
    char bytes[1024];
    const size_t size = compose(bytes, header, 512);
    calo_tensor_file file;
    calo_fault fault = { 0 };
    (void)state;
    for (int i = 0; i < 512; i++)
        bytes[size - 512 + (size_t)i] = (char)i;
    write_bytes(bytes, size);
    assert_int_equal(calo_tensor_file_open(path, &file, &fault), CALO_OK);
    for (int format = 0; format < 2; format++) {
        const int mantissa_bits = 3 - format, bias = format ? 15 : 7, last = format ? 31 : 15;
        float values[256];
        assert_int_equal(calo_entry_read(&file.entries[format], 0, 256, values, &fault), CALO_OK);
        for (int code = 0; code < 256; code++) {
            const int mantissa = code & ((1 << mantissa_bits) - 1), exponent = (code & 127) >> mantissa_bits;
            const double fraction = mantissa / (double)(1 << mantissa_bits), sign = code & 128 ? -1 : 1;
            double wanted = exponent ? ldexp(1 + fraction, exponent - bias) : ldexp(fraction, 1 - bias);
            if (format == 1 && exponent == last && mantissa == 0)
                wanted = INFINITY;
            if (exponent == last && mantissa >= (format ? 1 : 7))
                assert_true(isnan(values[code]));
            else
                assert_true((double)values[code] == sign * wanted && !signbit(values[code]) == (sign > 0));
        }
    }
    calo_tensor_file_close(&file);
}

/* ---- memory that runs out --------------------------------------------------------------------------------------- */

static void allocation_fails(void **state)
{
    (void)state;
    long n = 0;
    for (bool failed_once = true; failed_once; n++) {
        calo_checkpoint c;
        calo_fault fault = { 0 };
        allocations_left = n;
        const calo_status status = calo_checkpoint_open(DEMO, NULL, &c, &fault);
        failed_once = allocations_left == -1;
        allocations_left = -1;
        if (!status)
            calo_checkpoint_close(&c);
        else
            assert_int_equal(status, CALO_EMEMORY);
        assert_true(n < 1000);
    }
    assert_true(n > 20);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts),    cmocka_unit_test(refuses),          cmocka_unit_test(every_cut),
        cmocka_unit_test(mutations),  cmocka_unit_test(opens_demo),       cmocka_unit_test(names_of_layouts),
        cmocka_unit_test(sha256),     cmocka_unit_test(vocabulary_as_files), cmocka_unit_test(allocation_fails),
        cmocka_unit_test(every_f8_code),
    };
    snprintf(path, sizeof path, "/tmp/calotype-test-%ld.safetensors", (long)getpid());
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
