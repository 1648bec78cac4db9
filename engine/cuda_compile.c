/* Compiling a kernel's text with NVRTC. Options are the key's macros and what every kernel gets:
     -arch=sm_XY            machine code for this architecture, no PTX
     -Xptxas -v             registers and spills, for the log */
#include "cuda_compile.h"
#include "kernel_cache.h"
#include "shim.h"

#include <stdio.h>
#include <string.h>

enum { MAX_OPTIONS = 40 };

void calo_cuda_architecture(int capability, char text[16])
{
    snprintf(text, 16, "sm_%d%s", capability, capability >= 90 ? "a" : "");
}

static calo_status load(calo_cuda_compiler *compiler, calo_fault *fault)
{
    int major = 0, minor = 0;
    if (compiler->nvrtc.library)
        return CALO_OK;
    calo_status status = calo_nvrtc_load(&compiler->nvrtc, compiler->driver_major, fault);
    if (status) {
        compiler->nvrtc.library = NULL;
        return status;
    }
    compiler->nvrtc.nvrtcVersion(&major, &minor);
    snprintf(compiler->version, sizeof compiler->version, "%d.%d", major, minor);
    return CALO_OK;
}

/* The first line that says "error". */
static void compile_error(const calo_kernel_key *key, const char *architecture, const char *log, calo_fault *fault)
{
    const char *found = log ? strstr(log, "error") : NULL, *line = found ? found : log ? log : "no log";
    while (found && line > log && line[-1] != '\n')
        line--;
    calo_fail(fault, CALO_EDEVICE, "%s does not compile for %s with%s: %.*s", key->source_name, architecture,
              key->options, (int)strcspn(line, "\n"), line);
}

/* Cuts " -DA=1 -DB=2" into words, in place. */
static int cut(char *text, const char **words, int capacity)
{
    int count = 0;
    for (char *rest, *word = strtok_r(text, " ", &rest); word && count < capacity; word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    return count;
}

static char *take_log(const calo_nvrtc_api *nvrtc, nvrtc_program program)
{
    size_t size = 0;
    char *text = nvrtc->nvrtcGetProgramLogSize(program, &size) == 0 ? calo_alloc(size + 1, 1) : NULL;
    if (text && size)
        nvrtc->nvrtcGetProgramLog(program, text);
    return text;
}

static calo_status compile(const calo_nvrtc_api *nvrtc, const calo_kernel_key *key, const char *architecture,
                           void **cubin, size_t *size, char **log, calo_fault *fault)
{
    char arch[32], *macros = calo_copy_string(key->options), *words = NULL;
    const char *options[MAX_OPTIONS] = { arch, "--std=c++17", "-Xptxas", "-v" };
    nvrtc_program program = NULL;
    calo_status status;
    if (!macros) {
        status = calo_fail(fault, CALO_EMEMORY, "no host memory to compile %s", key->source_name);
        goto done;
    }
    snprintf(arch, sizeof arch, "-arch=%s", architecture);
    const int count = 4 + cut(macros, options + 4, MAX_OPTIONS - 4);
    if (nvrtc->nvrtcCreateProgram(&program, key->source, key->source_name, 0, NULL, NULL)) {
        status = calo_fail(fault, CALO_EDEVICE, "NVRTC cannot begin to compile %s", key->source_name);
        goto done;
    }
    const cu_result code = nvrtc->nvrtcCompileProgram(program, count, options);
    words = take_log(nvrtc, program);
    if (code) {
        compile_error(key, architecture, words, fault);
        status = CALO_EDEVICE;
        goto done;
    }
    if (nvrtc->nvrtcGetCUBINSize(program, size) || !*size || !(*cubin = calo_alloc(*size, 1)) ||
        nvrtc->nvrtcGetCUBIN(program, *cubin)) {
        status = calo_fail(fault, *size && !*cubin ? CALO_EMEMORY : CALO_EDEVICE, "no machine code for %s came of NVRTC",
                           key->source_name);
        goto done;
    }
    status = CALO_OK;
    if (log) {
        *log = words;
        words = NULL;
    }

done:
    if (status && *cubin) {
        calo_free(*cubin);
        *cubin = NULL;
    }
    if (program)
        nvrtc->nvrtcDestroyProgram(&program);
    calo_free(words);
    calo_free(macros);
    return status;
}

calo_status calo_cuda_compile(calo_cuda_compiler *compiler, const calo_kernel_key *key, const char *architecture,
                              bool fresh, void **cubin, size_t *size, char **log, calo_fault *fault)
{
    *cubin = NULL;
    *size = 0;
    if (log)
        *log = NULL;
    calo_status status = load(compiler, fault);
    if (status)
        return status;
    const char *parts[] = { key->source, key->options, architecture, compiler->version };
    if (!fresh && (*cubin = calo_kernel_cache_get(compiler->folder, parts, 4, size)))
        return CALO_OK;
    status = compile(&compiler->nvrtc, key, architecture, cubin, size, log, fault);
    if (!status)
        calo_kernel_cache_put(compiler->folder, parts, 4, *cubin, *size, CALO_KERNEL_CACHE_LIMIT);
    return status;
}
