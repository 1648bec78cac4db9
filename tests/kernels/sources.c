/* Kernel sources from a folder in place of the built-in ones, so that a changed kernel is tried without a build. The
   linker sends the door's question for a source here. A text is what cmake/embed.cmake would have made of it. */
#include "checkkernel.h"

#include "../../engine/shim.h"
#include "../../kernels/sources.h"

#include <stdio.h>
#include <string.h>

const char *__real_calo_kernel_source(const char *name);
const char *__wrap_calo_kernel_source(const char *name);

static const char *const before_cl[] = { "prelude.cl", "math.cl", "epilogue.cl" };
static const char *const before_cu[] = { "prelude.cu", "ptx.cu", "ptx90.cu", "vector.cu", "math.cu", "epilogue.cu", "gemm.cu" };

static struct {
    const char *folder;
    char *names[64], *texts[64];
    int count;
} override;

/* Appends a file to a text; NULL when it cannot be read. */
static char *append(char *text, const char *name)
{
    char path[1024], *part = NULL;
    size_t size = 0, used = text ? strlen(text) : 0;
    calo_fault fault = { 0 };
    snprintf(path, sizeof path, "%s/%s", override.folder, name);
    if (calo_read_file(path, 1 << 20, &part, &size, &fault)) {
        fprintf(stderr, "checkkernel: %s\n", fault.text);
        calo_free(text);
        return NULL;
    }
    char *longer = calo_resize(text, used + size + 1, 1);
    if (longer)
        memcpy(longer + used, part, size + 1);
    else
        calo_free(text);
    calo_free(part);
    return longer;
}

bool sources_override(const char *folder)
{
    override.folder = folder;
    char *text = append(NULL, before_cl[0]);
    calo_free(text);
    return text != NULL;
}

void sources_free(void)
{
    for (int i = 0; i < override.count; i++) {
        calo_free(override.names[i]);
        calo_free(override.texts[i]);
    }
    override.count = 0;
}

const char *__wrap_calo_kernel_source(const char *name)
{
    if (!override.folder)
        return __real_calo_kernel_source(name);
    for (int i = 0; i < override.count; i++)
        if (strcmp(override.names[i], name) == 0)
            return override.texts[i];
    if (override.count == COUNT(override.names))
        return NULL;
    char *text = NULL;
    const bool cuda = strstr(name, ".cu") != NULL;
    for (int i = 0; i < (cuda ? COUNT(before_cu) : COUNT(before_cl)); i++)
        if (!(text = append(text, cuda ? before_cu[i] : before_cl[i])))
            return NULL;
    if (!(text = append(text, name)))
        return NULL;
    override.names[override.count] = calo_copy_string(name);
    override.texts[override.count] = text;
    return override.texts[override.count++];
}
