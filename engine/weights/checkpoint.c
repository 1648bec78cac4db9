/* The door to a model's files: opening whatever form, finding tensors by diffusers' names, closing. */
#include "checkpoint.h"
#include "../hash.h"
#include "names.h"
#include "variants.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { REASON_SIZE = 4096 };

static const struct {
    const char *name, *file;
} parts[CALO_PARTS] = {
    { "unet", "diffusion_pytorch_model" },
    { "vae", "diffusion_pytorch_model" },
    { "text_encoder", "model" },
    { "text_encoder_2", "model" },
};

const char *calo_part_name(calo_part part)
{
    return parts[part].name;
}

const char *calo_part_file(calo_part part)
{
    return parts[part].file;
}

char *calo_path_join(const char *a, const char *b)
{
    size_t size = strlen(a) + strlen(b) + 2;
    char *path = calo_alloc(size, 1);
    if (path)
        snprintf(path, size, "%s/%s", a, b);
    return path;
}

static bool ends_with(const char *text, const char *end)
{
    size_t a = strlen(text), b = strlen(end);
    return a >= b && strcmp(text + a - b, end) == 0;
}

void calo_checkpoint_explain(calo_checkpoint *checkpoint, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    const size_t used = checkpoint->reason_used;
    const int written = vsnprintf(checkpoint->reason + used, REASON_SIZE - used, format, list);
    va_end(list);
    if (written > 0)
        checkpoint->reason_used = used + (size_t)written < REASON_SIZE ? used + (size_t)written : REASON_SIZE - 1;
}

/* "models/dream.safetensors" → "dream". */
static char *display_name(const char *path)
{
    static const char *const endings[] = { ".safetensors", ".ckpt", ".pt", ".bin" };
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    size_t begin = length;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    char *name = calo_alloc(length - begin + 1, 1);
    if (!name)
        return NULL;
    memcpy(name, path + begin, length - begin);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (ends_with(name, endings[i])) {
            name[strlen(name) - strlen(endings[i])] = '\0';
            break;
        }
    return name;
}

calo_status calo_checkpoint_open(const char *path, const calo_checkpoint_options *given, calo_checkpoint *checkpoint,
                                 calo_fault *fault)
{
    const calo_checkpoint_options options = given ? *given : (calo_checkpoint_options){ .variant = NULL };
    memset(checkpoint, 0, sizeof *checkpoint);
    checkpoint->path = calo_copy_string(path);
    checkpoint->name = display_name(path);
    checkpoint->reason = calo_alloc(REASON_SIZE, 1);
    calo_status status = CALO_OK;
    if (!checkpoint->path || !checkpoint->name || !checkpoint->reason)
        status = calo_fail(fault, CALO_EMEMORY, "no host memory to open %s", path);
    else if (options.variant && !calo_variant_find(options.variant))
        status = calo_fail(fault, CALO_EUSAGE, "the variant '%s' is not known; calotype info --variants lists them",
                           options.variant);
    else if (strncmp(path, "layout:", 7) == 0)
        status = calo_checkpoint_open_layout(checkpoint, path + 7, fault);
    else if (calo_is_directory(path))
        status = calo_checkpoint_open_folder(checkpoint, fault);
    else
        status = calo_checkpoint_open_single(checkpoint, &options, fault);
    if (!status && options.variant && strcmp(options.variant, checkpoint->variant->name) != 0)
        status = calo_fail(fault, CALO_EUSAGE, "%s says itself that it is %s; --variant is for single files", path,
                           checkpoint->variant->name);
    if (!status && options.vae)
        status = calo_checkpoint_replace(checkpoint, CALO_VAE, options.vae, fault);
    if (!status && options.text_encoder)
        status = calo_checkpoint_replace(checkpoint, CALO_TEXT, options.text_encoder, fault);
    if (!status && checkpoint->form != CALO_FORM_LAYOUT)
        status = calo_model_hash(&checkpoint->parts[CALO_UNET].files[0].file, checkpoint->hash, fault);
    if (status)
        calo_checkpoint_close(checkpoint);
    return status;
}

void calo_checkpoint_close_files(calo_checkpoint *checkpoint)
{
    for (int part = 0; part < CALO_PARTS; part++) {
        calo_source *source = &checkpoint->parts[part];
        for (int i = 0; !source->borrowed && i < source->count; i++)
            calo_tensor_file_close(&source->files[i]);
        if (!source->borrowed)
            calo_free(source->files);
        source->files = NULL;
        source->count = 0;
    }
}

void calo_checkpoint_close(calo_checkpoint *checkpoint)
{
    calo_checkpoint_close_files(checkpoint);
    calo_free(checkpoint->path);
    calo_free(checkpoint->name);
    calo_free(checkpoint->scheduler_class);
    calo_free(checkpoint->scheduler_json);
    calo_free(checkpoint->scheduler_path);
    for (int i = 0; i < 2; i++)
        calo_free(checkpoint->tokenizer[i]);
    calo_free(checkpoint->reason);
    memset(checkpoint, 0, sizeof *checkpoint);
}

calo_status calo_checkpoint_take_variant(calo_checkpoint *checkpoint, const calo_model_variant *variant, calo_fault *fault)
{
    char path[96];
    snprintf(path, sizeof path, "the built-in scheduler of %s", variant->title);
    checkpoint->variant = variant;
    checkpoint->pipeline = variant->pipeline;
    checkpoint->unet.sample_size = variant->sample_size;
    checkpoint->force_zeros_for_empty_prompt = variant->pipeline >= CALO_PIPELINE_XL;
    checkpoint->requires_aesthetics_score = variant->pipeline == CALO_PIPELINE_XL_REFINER;
    checkpoint->scheduler_class = calo_copy_string(variant->scheduler_class);
    checkpoint->scheduler_json = calo_copy_string(variant->scheduler_json);
    checkpoint->scheduler_path = calo_copy_string(path);
    const bool all = checkpoint->scheduler_class && checkpoint->scheduler_json && checkpoint->scheduler_path;
    return all ? CALO_OK : calo_fail(fault, CALO_EMEMORY, "no host memory to open %s", checkpoint->path);
}

/* fp8 files that were scaled keep a factor beside each matrix. */
static calo_status find_scale(const calo_tensor_file *file, calo_entry *entry, calo_fault *fault)
{
    char name[CALO_NAME_SIZE + 8];
    const size_t length = strlen(entry->name);
    if (!calo_stored_is_f8(entry->type) || !ends_with(entry->name, ".weight") || length >= CALO_NAME_SIZE)
        return CALO_OK;
    snprintf(name, sizeof name, "%.*s.scale_weight", (int)(length - strlen(".weight")), entry->name);
    const calo_entry *scale = calo_tensor_file_find(file, name);
    if (!scale)
        return CALO_OK;
    if (calo_entry_count(scale) != 1)
        return calo_fail(fault, CALO_EFILE, "%s: tensor %s must hold one number", file->file.path, scale->name);
    if (calo_entry_read(scale, 0, 1, &entry->scale, fault))
        return fault->status;
    return entry->scale > 0 || entry->scale < 0
               ? CALO_OK
               : calo_fail(fault, CALO_EFILE, "%s: tensor %s is no factor", file->file.path, scale->name);
}

/* The part of a stored tensor that a candidate means. */
static calo_status cut(const calo_candidate *candidate, calo_entry *entry, calo_fault *fault)
{
    if (candidate->slices > 1) {
        if (entry->rank < 1 || entry->dims[0] % candidate->slices)
            return calo_fail(fault, CALO_EFILE, "%s: the rows of tensor %s are no multiple of %d", entry->file->path,
                             entry->name, candidate->slices);
        entry->dims[0] /= candidate->slices;
        entry->size /= (uint64_t)candidate->slices;
        entry->begin += (uint64_t)candidate->slice * entry->size;
    }
    if (candidate->transposed) {
        if (entry->rank != 2)
            return calo_fail(fault, CALO_EFILE, "%s: tensor %s has rank %d, expected 2", entry->file->path, entry->name,
                             entry->rank);
        const int64_t rows = entry->dims[0];
        entry->dims[0] = entry->dims[1];
        entry->dims[1] = rows;
        entry->transposed = true;
    }
    return CALO_OK;
}

calo_status calo_checkpoint_find(const calo_checkpoint *checkpoint, calo_part part, const char *name, calo_entry *entry,
                                 calo_fault *fault)
{
    const calo_source *source = &checkpoint->parts[part];
    calo_candidates candidates;
    calo_candidate_names(checkpoint, part, name, &candidates);
    for (int c = 0; c < candidates.count; c++)
        for (int i = 0; i < source->count; i++) {
            const calo_entry *found = calo_tensor_file_find(&source->files[i], candidates.list[c].name);
            if (!found)
                continue;
            *entry = *found;
            const calo_status status = find_scale(&source->files[i], entry, fault);
            return status ? status : cut(&candidates.list[c], entry, fault);
        }
    return calo_fail(fault, CALO_EFILE, "%s lacks the tensor %s", source->count ? source->files[0].file.path : checkpoint->path,
                     candidates.count ? candidates.list[0].name : name);
}
