/* Compiles every CUDA kernel, as real calls would, for every architecture that calotype runs on; no GPU is needed.

     check_cuda_compile [--table FILE] [--only PART-OF-A-NAME]

   In bf16 a kernel is f16's twin but for the type's name in its instructions: that is compiled for sm_80 and sm_90 alone.
   A kernel passes when it compiles, without spills and without a note of serialised wgmma, in the registers and the shared
   memory that a block of its size has. The table is each kernel's greatest use over its macros. */
#include "recorder.h"

#include "../../engine/cuda_compile.h"
#include "../../engine/shim.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int capabilities[] = { 80, 86, 89, 90, 100, 120 };
enum { ARCHITECTURES = sizeof capabilities / sizeof *capabilities };

typedef struct use {
    int registers, shared, spills; /* bytes but for the registers; −1: did not compile */
} use;

typedef struct work {
    recorder recorder;
    calo_cuda_compiler compiler;
    use *uses; /* [kernels][ARCHITECTURES] */
    pthread_mutex_t lock;
    int passed, failed;
    const char *only; /* kernels whose names hold this */
} work;

/* Bytes of shared memory that one block may have (CUDA programming guide, technical specifications). */
static int shared_limit(int capability)
{
    return capability == 80 ? 163 << 10 : capability == 90 || capability == 100 ? 227 << 10 : 99 << 10;
}

/* The number before `unit` in the text, 0 when there is none. */
static int number_before(const char *text, const char *unit)
{
    const char *at = strstr(text, unit);
    if (!at)
        return 0;
    while (at > text && (at[-1] == ' ' || (at[-1] >= '0' && at[-1] <= '9')))
        at--;
    return atoi(at);
}

/* What ptxas -v says of the entry; its part of the log ends where the next entry's begins. */
static use parse(const char *log, const char *entry)
{
    char mark[128];
    use u = { -1, 0, 0 };
    snprintf(mark, sizeof mark, "Compiling entry function '%s'", entry);
    const char *at = log ? strstr(log, mark) : NULL;
    if (!at)
        return u;
    const char *next = strstr(at + strlen(mark), "Compiling entry function");
    const size_t size = next ? (size_t)(next - at) : strlen(at);
    char *part = calo_alloc(size + 1, 1);
    if (!part)
        return u;
    memcpy(part, at, size);
    u.registers = number_before(part, " registers");
    u.shared = number_before(part, " bytes smem");
    u.spills = number_before(part, " bytes spill stores") + number_before(part, " bytes spill loads");
    calo_free(part);
    return u;
}

static const char *judge(const use *u, const recorded *k, int capability, const char *log)
{
    if (u->registers <= 0)
        return "ptxas says nothing of it";
    if (u->spills)
        return "spills registers";
    if (u->registers * k->threads > 65536)
        return "needs more registers than a multiprocessor has";
    if (u->shared + k->dynamic_shared > shared_limit(capability))
        return "needs more shared memory than a block has";
    if (log && (strstr(log, "C7508") || strstr(log, "C751")))
        return "has its wgmma serialised";
    return NULL;
}

static bool is_wanted(const work *w, int64_t index)
{
    const recorded *k = &w->recorder.kernels[index / ARCHITECTURES];
    const int capability = capabilities[index % ARCHITECTURES];
    const bool twin = capability != 80 && capability != 90 && strstr(k->options, "ACT=3");
    return (!k->capability || k->capability == capability) && !twin && strstr(k->entry, w->only);
}

static void compile_one(void *job, int64_t index)
{
    work *w = job;
    const recorded *k = &w->recorder.kernels[index / ARCHITECTURES];
    const int capability = capabilities[index % ARCHITECTURES];
    if (!is_wanted(w, index))
        return;
    const calo_kernel_key key = { k->source_name, k->source, k->options, k->entry };
    calo_fault fault = { 0 };
    char architecture[16], *log = NULL;
    void *cubin;
    size_t size;
    calo_cuda_compiler compiler = w->compiler; /* loaded already, so only read */
    calo_cuda_architecture(capability, architecture);
    const calo_status status = calo_cuda_compile(&compiler, &key, architecture, true, &cubin, &size, &log, &fault);
    const use u = status ? (use){ -1, 0, 0 } : parse(log, k->entry);
    const char *wrong = status ? fault.text : judge(&u, k, capability, log);
    pthread_mutex_lock(&w->lock);
    w->uses[index] = u;
    if (wrong) {
        w->failed++;
        printf("FAIL %s for %s with%s: %s (%d registers, %d bytes spilled, %d bytes shared)\n", k->entry, architecture,
               k->options, wrong, u.registers, u.spills, u.shared + k->dynamic_shared);
    } else
        w->passed++;
    pthread_mutex_unlock(&w->lock);
    calo_free(cubin);
    calo_free(log);
}

/* One line an entry: its greatest registers and shared memory on each architecture, over all macros. */
static void print_table(const work *w, FILE *to)
{
    fprintf(to, "registers a thread / KiB of shared memory a block, the most over %d sets of macros\n\n%-24s threads",
            w->recorder.count, "kernel");
    for (int a = 0; a < ARCHITECTURES; a++)
        fprintf(to, "  sm_%-8d", capabilities[a]);
    fprintf(to, "\n");
    for (int i = 0; i < w->recorder.count; i++) {
        const recorded *k = &w->recorder.kernels[i];
        bool seen = false;
        for (int j = 0; j < i; j++)
            seen = seen || strcmp(w->recorder.kernels[j].entry, k->entry) == 0;
        if (seen)
            continue;
        fprintf(to, "%-24s %7d", k->entry, k->threads);
        for (int a = 0; a < ARCHITECTURES; a++) {
            int registers = 0, shared = 0;
            for (int j = i; j < w->recorder.count; j++) {
                const use *u = &w->uses[j * ARCHITECTURES + a];
                if (strcmp(w->recorder.kernels[j].entry, k->entry) != 0)
                    continue;
                registers = u->registers > registers ? u->registers : registers;
                shared = u->shared + w->recorder.kernels[j].dynamic_shared > shared
                             ? u->shared + w->recorder.kernels[j].dynamic_shared
                             : shared;
            }
            if (registers)
                fprintf(to, "  %3d / %-5.1f", registers, shared / 1024.0);
            else
                fprintf(to, "  %11s", "");
        }
        fprintf(to, "\n");
    }
}

int main(int count, char **words)
{
    static work w = { .lock = PTHREAD_MUTEX_INITIALIZER, .only = "" };
    const char *table_path = NULL;
    calo_fault fault = { 0 };
    int exit_status = 1, major = 0, minor = 0;
    for (int i = 1; i + 1 < count; i += 2)
        *(strcmp(words[i], "--table") == 0 ? &table_path : &w.only) = words[i + 1];
    recorder_init(&w.recorder);
    if (!record_everything(&w.recorder))
        goto done;
    const int total = w.recorder.count * ARCHITECTURES;
    int wanted = 0;
    for (int i = 0; i < total; i++)
        wanted += is_wanted(&w, i);
    if (calo_nvrtc_load(&w.compiler.nvrtc, 13, &fault)) {
        printf("SKIP %s\n0 passed, 0 failed, %d skipped\n", fault.text, wanted);
        exit_status = 77;
        goto done;
    }
    w.compiler.nvrtc.nvrtcVersion(&major, &minor);
    snprintf(w.compiler.version, sizeof w.compiler.version, "%d.%d", major, minor);
    w.uses = calo_alloc((size_t)total, sizeof *w.uses);
    if (!w.uses)
        goto done;
    calo_parallel(0, total, compile_one, &w);
    printf("NVRTC %s, %d kernels of %d sets of macros\n", w.compiler.version, wanted, w.recorder.count);
    print_table(&w, stdout);
    FILE *table = table_path ? fopen(table_path, "w") : NULL;
    if (table) {
        fprintf(table, "NVRTC %s; ", w.compiler.version);
        print_table(&w, table);
        fclose(table);
    }
    printf("%d passed, %d failed, 0 skipped\n", w.passed, w.failed);
    exit_status = w.failed || !w.passed;

done:
    calo_free(w.uses);
    recorder_free(&w.recorder);
    return exit_status;
}
