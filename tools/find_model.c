/* Looking for a model. Names are compared without folders and endings, hashes of files of the right name first: the
   long ones take reading gigabytes. */
#include "find_model.h"
#include "commands.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { DEPTH = 4, LIST_LIMIT = 20000 };

static bool has_ending(const char *name, const char *ending)
{
    const size_t length = strlen(name), size = strlen(ending);
    return length > size && strcmp(name + length - size, ending) == 0;
}

static bool is_model_file(const char *path)
{
    return has_ending(path, ".safetensors") || has_ending(path, ".ckpt");
}

static void keep(model_list *list, const char *path)
{
    if (list->count == LIST_LIMIT)
        return;
    if (list->count == list->room) {
        const int room = 2 * list->room + 16;
        char **grown = realloc(list->paths, (size_t)room * sizeof *grown);
        list->no_memory = list->no_memory || !grown;
        if (!grown)
            return;
        list->paths = grown;
        list->room = room;
    }
    char *copy = malloc(strlen(path) + 1);
    list->no_memory = list->no_memory || !copy;
    if (copy)
        list->paths[list->count++] = strcpy(copy, path);
}

static void walk(model_list *list, const char *path, int depth)
{
    struct stat about;
    char below[4096];
    if (stat(path, &about) != 0)
        return;
    if (S_ISREG(about.st_mode)) {
        if (is_model_file(path))
            keep(list, path);
        return;
    }
    if (!S_ISDIR(about.st_mode))
        return;
    snprintf(below, sizeof below, "%s/model_index.json", path);
    if (stat(below, &about) == 0) {
        keep(list, path);
        return;
    }
    DIR *folder = depth < DEPTH ? opendir(path) : NULL;
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        if (entry->d_name[0] != '.' && snprintf(below, sizeof below, "%s/%s", path, entry->d_name) < (int)sizeof below)
            walk(list, below, depth + 1);
    if (folder)
        closedir(folder);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void model_list_add(model_list *list, const char *folder)
{
    const int before = list->count;
    walk(list, folder, 0);
    if (list->count > before) /* the same order on every file system */
        qsort(list->paths + before, (size_t)(list->count - before), sizeof *list->paths, by_path);
}

void model_list_free(model_list *list)
{
    for (int i = 0; i < list->count; i++)
        free(list->paths[i]);
    free(list->paths);
    *list = (model_list){ 0 };
}

/* The last part of a path, and its length without an ending and slashes at the end. */
static const char *name_of(const char *path, size_t *length)
{
    static const char *const endings[] = { ".safetensors", ".ckpt", ".pt", ".bin" };
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    *length = end - begin;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const size_t size = strlen(endings[i]);
        if (*length > size && strncmp(path + end - size, endings[i], size) == 0) {
            *length -= size;
            break;
        }
    }
    return path + begin;
}

static bool same_name(const char *path, const char *name)
{
    size_t a, b;
    const char *left = name_of(path, &a), *right = name_of(name, &b);
    return a == b && strncasecmp(left, right, a) == 0;
}

const char *model_list_name(const model_list *list, const char *name)
{
    for (int i = 0; i < list->count; i++)
        if (same_name(list->paths[i], name))
            return list->paths[i];
    return NULL;
}

const char *model_list_find(const model_list *list, calo_context *context, const char *hash, const char *name,
                            bool *by_hash, char *hash_seen)
{
    const size_t digits = hash ? strlen(hash) : 0;
    const char *named = NULL;
    hash_seen[0] = '\0';
    *by_hash = false;
    for (int pass = 0; pass < 2 && digits >= 8; pass++)
        for (int i = 0; i < list->count && !progress_cancelled(); i++) {
            const bool right_name = name && same_name(list->paths[i], name);
            char seen[65];
            if (right_name != (pass == 0) ||
                calo_hash_model(context, list->paths[i], digits > 8, progress_read, list->paths[i], seen))
                continue; /* no model, or one that cannot be read */
            if (strncasecmp(seen, hash, digits) == 0) {
                progress_end();
                *by_hash = true;
                return list->paths[i];
            }
            if (right_name && !named) {
                named = list->paths[i];
                snprintf(hash_seen, 65, "%.*s", (int)digits, seen);
            }
        }
    progress_end();
    return named ? named : name ? model_list_name(list, name) : NULL;
}
