/* torch's archives: what torch wrote is read as torch reads it; hostile pickles are refused by name; no damage crashes. */
#include "../../engine/weights/tensor_file.h"
#include "../golden/archive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define FOLDER CALO_TEST_DATA "/golden/torch/"

static char work[64];

static char *read_text(const char *path, size_t *size)
{
    calo_fault fault = { 0 };
    char *text;
    if (calo_read_file(path, 64 << 20, &text, size, &fault))
        fail_msg("%s", fault.text);
    return text;
}

static const char *type_name(calo_stored type)
{
    static const char *const names[CALO_STORED_TYPES] = { "float64", "float32", "float16", "bfloat16", "int64", "int32",
                                                          "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool",
                                                          "float8_e4m3fn", "float8_e5m2" };
    return names[type];
}

/* A line of tensors.txt: name, type, dims, values. */
static void expect_tensor(const calo_tensor_file *file, char *line)
{
    char *name = strtok(line, " "), *type = strtok(NULL, " "), *dims = strtok(NULL, " "), shape[64] = "-";
    const calo_entry *entry = calo_tensor_file_find(file, name);
    float values[64];
    calo_fault fault = { 0 };
    if (!entry)
        fail_msg("%s: tensor %s is missing", file->file.path, name);
    assert_string_equal(type_name(entry->type), type);
    for (int i = 0, used = 0; i < entry->rank; i++)
        used += snprintf(shape + used, sizeof shape - (size_t)used, "%s%d", i ? "," : "", (int)entry->dims[i]);
    assert_string_equal(shape, dims);
    const int64_t count = calo_entry_count(entry);
    assert_true(count <= 64);
    assert_int_equal(calo_entry_read(entry, 0, count, values, &fault), CALO_OK);
    for (int64_t i = 0; i < count; i++) {
        const float wanted = strtof(strtok(NULL, " "), NULL);
        if (!(values[i] == wanted))
            fail_msg("%s: %s[%d] is %.9g, torch has %.9g", file->file.path, name, (int)i, (double)values[i], (double)wanted);
    }
}

static void reads_what_torch_writes(void **state)
{
    static const char *const names[] = { "plain2",  "ordered2",    "nested2", "nested3", "nested4",
                                         "nested5", "params_ema2", "zip64",   "eights2" };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[512];
        calo_tensor_file file;
        calo_fault fault = { 0 };
        size_t size;
        snprintf(path, sizeof path, FOLDER "%s.ckpt", names[i]);
        if (calo_tensor_file_open(path, &file, &fault))
            fail_msg("%s", fault.text);
        char *text = read_text(strcmp(names[i], "eights2") == 0 ? FOLDER "eights.txt" : FOLDER "tensors.txt", &size);
        int lines = 0;
        for (char *line = text, *next; *line; line = next, lines++) {
            next = strchr(line, '\n');
            *next++ = '\0';
            expect_tensor(&file, line);
        }
        assert_int_equal(file.count, lines);
        calo_free(text);
        calo_tensor_file_close(&file);
    }
}

/* The pickle as data.pkl of an archive. */
static calo_status open_pickle(const void *bytes, size_t size, calo_fault *fault)
{
    static archive a;
    calo_tensor_file file;
    char path[128];
    snprintf(path, sizeof path, "%s/x.ckpt", work);
    assert_true(archive_open(&a, path));
    archive_put(&a, "x/data.pkl", bytes, size);
    archive_put(&a, "x/data/0", "\0\0\0\0", 4);
    assert_int_equal(archive_close(&a), 0);
    const calo_status status = calo_tensor_file_open(path, &file, fault);
    if (!status)
        calo_tensor_file_close(&file);
    return status;
}

static int hex(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

static void refuses_by_name(void **state)
{
    size_t size;
    char *text = read_text(FOLDER "hostile.txt", &size);
    int count = 0;
    (void)state;
    for (char *line = text, *next; *line; line = next, count++) {
        next = strchr(line, '\n');
        *next++ = '\0';
        char *says = strchr(line, '\t'), *data;
        *says++ = '\0';
        data = strchr(says, '\t');
        *data++ = '\0';
        const size_t length = strlen(data) / 2;
        unsigned char *bytes = malloc(length + 1);
        calo_fault fault = { 0 };
        for (size_t i = 0; i < length; i++)
            bytes[i] = (unsigned char)(hex(data[2 * i]) << 4 | hex(data[2 * i + 1]));
        const calo_status status = open_pickle(bytes, length, &fault);
        if (status != CALO_EFILE || !strstr(fault.text, says))
            fail_msg("%s: status %d, \"%s\", expected \"%s\"", line, status, fault.text, says);
        free(bytes);
    }
    calo_free(text);
    assert_true(count > 100);
}

/* The file with changes: it opens or is refused, and what opens can be read. */
static void try_bytes(const char *bytes, size_t size)
{
    char path[128];
    calo_tensor_file file;
    calo_fault fault = { 0 };
    snprintf(path, sizeof path, "%s/y.ckpt", work);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    fwrite(bytes, 1, size, out);
    fclose(out);
    const calo_status status = calo_tensor_file_open(path, &file, &fault);
    assert_true(status == CALO_OK || status == CALO_EFILE);
    if (status)
        return;
    for (int64_t i = 0; i < file.count; i++) {
        const int64_t count = calo_entry_count(&file.entries[i]);
        float *values = calo_alloc((size_t)count, sizeof *values);
        assert_non_null(values);
        calo_entry_read(&file.entries[i], 0, count, values, &fault);
        calo_free(values);
    }
    calo_tensor_file_close(&file);
}

static void every_cut(void **state)
{
    size_t size;
    char *bytes = read_text(FOLDER "nested4.ckpt", &size);
    (void)state;
    for (size_t i = 0; i < size; i += i < 2500 ? 1 : 7)
        try_bytes(bytes, i);
    calo_free(bytes);
}

static void mutations(void **state)
{
    static const char *const names[] = { "nested4", "plain2", "zip64" };
    uint32_t random = 12345;
    (void)state;
    for (int f = 0; f < 3; f++) {
        char path[512];
        size_t size;
        snprintf(path, sizeof path, FOLDER "%s.ckpt", names[f]);
        char *bytes = read_text(path, &size), *changed = malloc(size);
        for (int n = 0; n < 2000; n++) {
            memcpy(changed, bytes, size);
            for (int k = 0; k < 1 + n % 4; k++) {
                random = random * 1664525u + 1013904223u;
                changed[(random >> 8) % size] = (char)(random >> 24);
            }
            try_bytes(changed, size);
        }
        free(changed);
        calo_free(bytes);
    }
}

static int make_work(void **state)
{
    (void)state;
    snprintf(work, sizeof work, "/tmp/calo_torch_XXXXXX");
    return mkdtemp(work) ? 0 : -1;
}

static int remove_work(void **state)
{
    static const char *const files[] = { "x.ckpt", "y.ckpt" };
    char path[128];
    (void)state;
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", work, files[i]);
        unlink(path);
    }
    return rmdir(work);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_torch_writes),
        cmocka_unit_test(refuses_by_name),
        cmocka_unit_test(every_cut),
        cmocka_unit_test(mutations),
    };
    return cmocka_run_group_tests(tests, make_work, remove_work);
}
