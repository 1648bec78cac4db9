/* Compiles a kernel's text: preprocessed behind emulator.h, then searched for its kernels, whose table is appended, then
   made a shared library. */
#define _GNU_SOURCE
#include "emulated_compiler.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OUT_OF_MEMORY = 1, INVALID_INPUT = 3, INVALID_OPTION = 5, COMPILATION = 6, MAX_WORDS = 64 };

struct nvrtc_program_record {
    char *source, *log;
    void *image;
    size_t size;
};

static struct {
    bool on;
    long *objects;
    cu_result (*arrive)(void);
} compiler;

/* ---- files ------------------------------------------------------------------------------------------------------ */

static bool write_file(const char *path, const char *text, const char *mode)
{
    FILE *file = fopen(path, mode);
    const bool written = file && fputs(text, file) >= 0;
    return file && fclose(file) == 0 && written;
}

/* The whole file, followed by a 0; NULL when it cannot be read. */
static char *read_file(const char *path, size_t *size, size_t before)
{
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    if (file && fseek(file, 0, SEEK_END) == 0) {
        *size = (size_t)ftell(file);
        rewind(file);
        text = calloc(1, before + *size + 1);
        if (text && fread(text + before, 1, *size, file) != *size) {
            free(text);
            text = NULL;
        }
    }
    if (file)
        fclose(file);
    return text;
}

/* Runs a command, its words to `log`. */
static bool run(char **words, const char *log)
{
    const pid_t child = fork();
    int status = -1;
    if (child == 0) {
        const int file = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(file, 1);
        dup2(file, 2);
        execvp(words[0], words);
        _exit(127);
    }
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/* ---- a program -------------------------------------------------------------------------------------------------- */

/* Appends the table of kernels that the preprocessed text has: each is `__attribute__((calo_kernel(THREADS))) void NAME(`. */
static bool append_entries(const char *path)
{
    static const char mark[] = "__attribute__((calo_kernel(";
    size_t size;
    char *text = read_file(path, &size, 0);
    FILE *out = text ? fopen(path, "a") : NULL;
    if (out) {
        fprintf(out, "\nextern \"C\" __attribute__((visibility(\"default\"))) const emulated_entry emulated_entries[] = {\n");
        for (const char *at = text; (at = strstr(at, mark));) {
            const char *threads = at += sizeof mark - 1, *end = strstr(at, "))) void");
            if (!end)
                break;
            const char *name = end + strlen("))) void");
            while (isspace((unsigned char)*name))
                name++;
            const int length = (int)strcspn(name, "( \n");
            fprintf(out, "{ \"%.*s\", %.*s, [](void **p) { emulator::enter(%.*s, p); }, emulator::sizes(%.*s), "
                         "emulator::parameters(%.*s) },\n",
                    length, name, (int)(end - threads), threads, length, name, length, name, length, name);
            at = name;
        }
        fprintf(out, "{} };\n");
    }
    free(text);
    return out && fclose(out) == 0;
}

/* The macros among the options; false for an option that NVRTC would not know either. */
static bool take_options(int count, const char *const *options, char **words, int *used)
{
    for (int i = 0; i < count; i++) {
        const char *o = options[i];
        if (strncmp(o, "-D", 2) == 0 && *used < MAX_WORDS - 8)
            words[(*used)++] = (char *)o;
        else if (strcmp(o, "-Xptxas") == 0)
            i++;
        else if (strncmp(o, "-arch=", 6) != 0 && strncmp(o, "--std=", 6) != 0)
            return false;
    }
    return true;
}

static cu_result compile(nvrtc_program program, int count, const char *const *options)
{
    char folder[] = "/tmp/calo-emulator-XXXXXX", source[64], text[64], library[64], log[64];
    size_t log_size;
    if (compiler.arrive())
        return COMPILATION;
    if (!mkdtemp(folder))
        return OUT_OF_MEMORY;
    snprintf(source, sizeof source, "%s/kernel.cpp", folder);
    snprintf(text, sizeof text, "%s/kernel.ii", folder);
    snprintf(library, sizeof library, "%s/kernel.so", folder);
    snprintf(log, sizeof log, "%s/log", folder);
    char *before[MAX_WORDS] = { "c++", "-E", "-P", "-w", "-std=gnu++17", "-DCALO_EMULATED", "-include", EMULATOR_HEADER,
                                source, "-o", text };
    int used = 11;
    cu_result code = INVALID_OPTION;
    if (take_options(count, options, before, &used)) {
        char *after[] = { "c++", "-w", "-O1", "-std=gnu++17", "-march=native", "-fno-gnu-unique", "-fno-strict-aliasing",
                          "-fpreprocessed", "-shared", "-fPIC", "-o", library, text, NULL };
        code = write_file(source, program->source, "w") && run(before, log) && append_entries(text) && run(after, log)
                   ? 0
                   : COMPILATION;
    }
    free(program->log);
    program->log = read_file(log, &log_size, 0);
    if (!code) {
        emulated_image header = { .magic = EMULATED_MAGIC };
        size_t size;
        program->image = read_file(library, &size, sizeof header);
        header.size = size;
        program->size = size + sizeof header;
        if (program->image)
            memcpy(program->image, &header, sizeof header);
        else
            code = OUT_OF_MEMORY;
    }
    unlink(source);
    unlink(text);
    unlink(library);
    unlink(log);
    rmdir(folder);
    return code;
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

static cu_result version(int *major, int *minor)
{
    *major = 13;
    *minor = 99; /* no real version: cached kernels must not be mistaken for its */
    return compiler.arrive();
}

static cu_result create(nvrtc_program *program, const char *source, const char *name, int header_count,
                        const char *const *headers, const char *const *include_names)
{
    (void)name, (void)header_count, (void)headers, (void)include_names;
    if (compiler.arrive())
        return OUT_OF_MEMORY;
    *program = calloc(1, sizeof **program);
    if (!*program || !((*program)->source = strdup(source)))
        return OUT_OF_MEMORY;
    ++*compiler.objects;
    return 0;
}

static cu_result destroy(nvrtc_program *program)
{
    const bool fails = compiler.arrive();
    free((*program)->source);
    free((*program)->log);
    free((*program)->image);
    free(*program);
    *program = NULL;
    --*compiler.objects;
    return fails ? INVALID_INPUT : 0;
}

static cu_result log_size(nvrtc_program program, size_t *size)
{
    *size = program->log ? strlen(program->log) + 1 : 1;
    return compiler.arrive() ? INVALID_INPUT : 0;
}

static cu_result get_log(nvrtc_program program, char *log)
{
    strcpy(log, program->log ? program->log : "");
    return compiler.arrive() ? INVALID_INPUT : 0;
}

static cu_result cubin_size(nvrtc_program program, size_t *size)
{
    *size = program->size;
    return compiler.arrive() || !program->image ? INVALID_INPUT : 0;
}

static cu_result get_cubin(nvrtc_program program, char *cubin)
{
    if (compiler.arrive() || !program->image)
        return INVALID_INPUT;
    memcpy(cubin, program->image, program->size);
    return 0;
}

calo_status __real_calo_nvrtc_load(calo_nvrtc_api *api, int newest, calo_fault *fault);
calo_status __wrap_calo_nvrtc_load(calo_nvrtc_api *api, int newest, calo_fault *fault);

calo_status __wrap_calo_nvrtc_load(calo_nvrtc_api *api, int newest, calo_fault *fault)
{
    if (!compiler.on)
        return __real_calo_nvrtc_load(api, newest, fault);
    *api = (calo_nvrtc_api){ .nvrtcVersion = version,
                             .nvrtcCreateProgram = create,
                             .nvrtcDestroyProgram = destroy,
                             .nvrtcCompileProgram = compile,
                             .nvrtcGetProgramLogSize = log_size,
                             .nvrtcGetProgramLog = get_log,
                             .nvrtcGetCUBINSize = cubin_size,
                             .nvrtcGetCUBIN = get_cubin,
                             .library = &compiler };
    return CALO_OK;
}

void emulated_compiler_enable(bool on, long *objects, cu_result (*arrive)(void))
{
    compiler.on = on;
    compiler.objects = objects;
    compiler.arrive = arrive;
}
