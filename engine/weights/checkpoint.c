/* Opening a model: the folder's JSON, the files of its parts, a single file, or a layout. */
#include "checkpoint.h"
#include "../hash.h"
#include "detect.h"
#include "names.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* SD1's scheduler_config.json: what a bare file is run with. */
static const char sd1_scheduler[] =
    "{\"_class_name\":\"PNDMScheduler\",\"beta_end\":0.012,\"beta_schedule\":\"scaled_linear\",\"beta_start\":0.00085,"
    "\"num_train_timesteps\":1000,\"set_alpha_to_one\":false,\"skip_prk_steps\":true,\"steps_offset\":1,"
    "\"clip_sample\":false,\"trained_betas\":null,\"prediction_type\":\"epsilon\"}";

const char *calo_part_name(calo_part part)
{
    static const char *const names[] = { "unet", "vae", "text_encoder" };
    return names[part];
}

static char *join(const char *a, const char *b)
{
    size_t size = strlen(a) + strlen(b) + 2;
    char *path = calo_alloc(size, 1);
    if (path)
        snprintf(path, size, "%s/%s", a, b);
    return path;
}

static calo_status no_memory(const char *path, calo_fault *fault)
{
    return calo_fail(fault, CALO_EMEMORY, "no host memory to open %s", path);
}

static bool ends_with(const char *text, const char *end)
{
    size_t a = strlen(text), b = strlen(end);
    return a >= b && strcmp(text + a - b, end) == 0;
}

static bool is_absent(const char *folder, const char *name)
{
    char *path = join(folder, name);
    bool absent = path && !calo_is_file(path);
    calo_free(path);
    return absent;
}

/* ---- the files of a part ---------------------------------------------------------------------------------------- */

static calo_status open_one(calo_source *source, const char *folder, const char *name, calo_fault *fault)
{
    char *path = join(folder, name);
    if (!path)
        return no_memory(name, fault);
    source->files = calo_alloc(1, sizeof *source->files);
    calo_status status = source->files ? calo_safetensors_open(path, source->files, fault) : no_memory(path, fault);
    if (!status)
        source->count = 1;
    calo_free(path);
    return status;
}

/* A shard's name must not leave the folder. */
static bool plain_name(const char *name)
{
    return *name && !strchr(name, '/') && !strchr(name, '\\') && strcmp(name, "..") != 0 && strcmp(name, ".") != 0;
}

static bool listed(const char *const *names, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

enum { SHARD_LIMIT = 1000 };

static calo_status open_shards(calo_source *source, const char *folder, const char *index, calo_fault *fault)
{
    char *path = join(folder, index);
    const char **names = calo_alloc(SHARD_LIMIT, sizeof *names);
    calo_json json = { 0 };
    int count = 0;
    calo_status status = path && names ? calo_json_open(path, &json, fault) : no_memory(index, fault);
    if (status)
        goto done;
    const cJSON *map = cJSON_GetObjectItemCaseSensitive(json.root, "weight_map"), *each;
    if (!cJSON_IsObject(map)) {
        status = calo_fail(fault, CALO_EFILE, "%s: weight_map must be an object", path);
        goto done;
    }
    cJSON_ArrayForEach(each, map)
    {
        if (!cJSON_IsString(each) || !plain_name(each->valuestring)) {
            status = calo_fail(fault, CALO_EFILE, "%s: the file of tensor %.200s is no name in this folder", path,
                               each->string);
            goto done;
        }
        if (listed(names, count, each->valuestring))
            continue;
        if (count == SHARD_LIMIT) {
            status = calo_fail(fault, CALO_EFILE, "%s names more than %d files", path, SHARD_LIMIT);
            goto done;
        }
        names[count++] = each->valuestring;
    }
    source->files = calo_alloc((size_t)count, sizeof *source->files);
    if (!source->files) {
        status = no_memory(path, fault);
        goto done;
    }
    for (int i = 0; i < count && !status; i++) {
        char *shard = join(folder, names[i]);
        status = shard ? calo_safetensors_open(shard, &source->files[i], fault) : no_memory(names[i], fault);
        source->count += status == CALO_OK;
        calo_free(shard);
    }
done:
    calo_json_close(&json);
    calo_free(names);
    calo_free(path);
    return status;
}

/* NAME.safetensors, NAME.fp16.safetensors, or shards of either. */
static calo_status open_part(calo_source *source, const char *folder, const char *name, calo_fault *fault)
{
    static const char *const variants[] = { "", ".fp16" };
    char file[128];
    if (!calo_is_directory(folder))
        return calo_fail(fault, CALO_EFILE, "%s is missing: a diffusers model has this folder", folder);
    for (int i = 0; i < 2; i++) {
        snprintf(file, sizeof file, "%s%s.safetensors", name, variants[i]);
        if (!is_absent(folder, file))
            return open_one(source, folder, file, fault);
        snprintf(file, sizeof file, "%s.safetensors.index%s.json", name, variants[i]);
        if (!is_absent(folder, file))
            return open_shards(source, folder, file, fault);
    }
    snprintf(file, sizeof file, "%s.bin", strcmp(name, "model") == 0 ? "pytorch_model" : name);
    if (!is_absent(folder, file))
        return calo_fail(fault, CALO_EFILE, "%s/%s is a pickle, which is not read; convert it to %s.safetensors", folder,
                         file, name);
    return calo_fail(fault, CALO_EFILE, "%s holds no %s.safetensors", folder, name);
}

/* ---- a diffusers folder ----------------------------------------------------------------------------------------- */

/* The class of a component from model_index.json: ["diffusers", "UNet2DConditionModel"]. */
static const char *component_class(const calo_json *index, const char *component)
{
    const cJSON *pair = cJSON_GetObjectItemCaseSensitive(index->root, component);
    const cJSON *name = cJSON_IsArray(pair) ? cJSON_GetArrayItem(pair, 1) : NULL;
    return cJSON_IsString(name) ? name->valuestring : NULL;
}

static void expect_class(const calo_json *index, const char *component, const char *wanted)
{
    const char *class = component_class(index, component);
    if (class && strcmp(class, wanted) != 0)
        calo_fail(index->fault, CALO_EFILE, "%s: the class %s of %s is not supported, only %s is", index->path, class,
                  component, wanted);
}

static calo_status read_index(calo_checkpoint *checkpoint, calo_fault *fault)
{
    char *path = join(checkpoint->path, "model_index.json");
    calo_json index = { 0 };
    calo_status status = path ? calo_json_open(path, &index, fault) : no_memory(checkpoint->path, fault);
    if (!status) {
        const char *pipeline = "StableDiffusionPipeline", *class = component_class(&index, "scheduler");
        calo_json_string(&index, "_class_name", &pipeline);
        if (strcmp(pipeline, "StableDiffusionPipeline") != 0)
            calo_fail(fault, CALO_EFILE, "%s: the pipeline %s is not supported, only StableDiffusionPipeline is", path,
                      pipeline);
        expect_class(&index, "unet", "UNet2DConditionModel");
        expect_class(&index, "vae", "AutoencoderKL");
        expect_class(&index, "text_encoder", "CLIPTextModel");
        if (class)
            checkpoint->scheduler_class = calo_copy_string(class);
        status = fault->status;
    }
    calo_json_close(&index);
    calo_free(path);
    return status;
}

static calo_status read_config(calo_checkpoint *checkpoint, calo_part part, calo_fault *fault)
{
    char name[64];
    snprintf(name, sizeof name, "%s/config.json", calo_part_name(part));
    char *path = join(checkpoint->path, name);
    calo_json json = { 0 };
    calo_status status = path ? calo_json_open(path, &json, fault) : no_memory(name, fault);
    if (!status) {
        if (part == CALO_UNET)
            calo_unet_config_read(&json, &checkpoint->unet);
        else if (part == CALO_VAE)
            calo_vae_config_read(&json, &checkpoint->vae);
        else
            calo_clip_config_read(&json, &checkpoint->clip);
        status = fault->status;
    }
    calo_json_close(&json);
    calo_free(path);
    return status;
}

static calo_status read_scheduler(calo_checkpoint *checkpoint, calo_fault *fault)
{
    enum { LIMIT = 1 << 20 };
    size_t size;
    checkpoint->scheduler_path = join(checkpoint->path, "scheduler/scheduler_config.json");
    if (!checkpoint->scheduler_path)
        return no_memory(checkpoint->path, fault);
    calo_status status = calo_read_file(checkpoint->scheduler_path, LIMIT, &checkpoint->scheduler_json, &size, fault);
    if (status || checkpoint->scheduler_class)
        return status;
    calo_json json;
    const char *class = "PNDMScheduler";
    status = calo_json_parse(checkpoint->scheduler_json, checkpoint->scheduler_path, &json, fault);
    calo_json_string(&json, "_class_name", &class);
    checkpoint->scheduler_class = calo_copy_string(class);
    calo_json_close(&json);
    return status;
}

static calo_status open_folder(calo_checkpoint *checkpoint, calo_fault *fault)
{
    static const char *const files[] = { "diffusion_pytorch_model", "diffusion_pytorch_model", "model" };
    calo_status status = read_index(checkpoint, fault);
    for (int part = 0; part < CALO_PARTS && !status; part++) {
        char *folder = join(checkpoint->path, calo_part_name(part));
        status = read_config(checkpoint, part, fault);
        if (!status)
            status = folder ? open_part(&checkpoint->parts[part], folder, files[part], fault)
                            : no_memory(checkpoint->path, fault);
        calo_free(folder);
    }
    if (!status)
        status = read_scheduler(checkpoint, fault);
    checkpoint->tokenizer = join(checkpoint->path, "tokenizer");
    checkpoint->reason = calo_copy_string("diffusers folder: model_index.json and each part's config.json\n");
    if (!status && checkpoint->tokenizer && !calo_is_directory(checkpoint->tokenizer))
        status = calo_fail(fault, CALO_EFILE, "%s is missing: a diffusers model has this folder", checkpoint->tokenizer);
    if (!status && (!checkpoint->tokenizer || !checkpoint->reason || !checkpoint->scheduler_class))
        status = no_memory(checkpoint->path, fault);
    return status;
}

/* ---- a single file, a layout ------------------------------------------------------------------------------------ */

static calo_status sd1_schedule(calo_checkpoint *checkpoint, calo_fault *fault)
{
    checkpoint->scheduler_class = calo_copy_string("PNDMScheduler");
    checkpoint->scheduler_json = calo_copy_string(sd1_scheduler);
    checkpoint->scheduler_path = calo_copy_string("the built-in scheduler of Stable Diffusion 1");
    bool all = checkpoint->scheduler_class && checkpoint->scheduler_json && checkpoint->scheduler_path;
    return all ? CALO_OK : no_memory(checkpoint->path, fault);
}

static calo_status open_single(calo_checkpoint *checkpoint, calo_fault *fault)
{
    calo_source *source = &checkpoint->parts[CALO_UNET];
    checkpoint->form = CALO_FORM_SINGLE;
    source->files = calo_alloc(1, sizeof *source->files);
    if (!source->files)
        return no_memory(checkpoint->path, fault);
    calo_status status = calo_safetensors_open(checkpoint->path, source->files, fault);
    if (status)
        return status;
    source->count = 1;
    status = calo_detect(checkpoint, fault);
    return status ? status : sd1_schedule(checkpoint, fault);
}

const char *const *calo_layouts(void)
{
    static const char *const names[] = { "sd15", NULL };
    return names;
}

static calo_status open_layout(calo_checkpoint *checkpoint, const char *name, calo_fault *fault)
{
    checkpoint->form = CALO_FORM_LAYOUT;
    if (strcmp(name, "sd15") != 0)
        return calo_fail(fault, CALO_EUSAGE, "there is no layout '%s'; calotype info --layouts lists them", name);
    checkpoint->unet = calo_unet_config_sd1();
    checkpoint->vae = calo_vae_config_sd1();
    checkpoint->clip = calo_clip_config_sd1();
    checkpoint->reason = calo_copy_string("layout: Stable Diffusion 1.5, random weights\n");
    return checkpoint->reason ? sd1_schedule(checkpoint, fault) : no_memory(name, fault);
}

/* ---- the door --------------------------------------------------------------------------------------------------- */

/* "models/dream.safetensors" → "dream". */
static char *display_name(const char *path)
{
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
    if (ends_with(name, ".safetensors"))
        name[strlen(name) - strlen(".safetensors")] = '\0';
    return name;
}

calo_status calo_checkpoint_open(const char *path, calo_checkpoint *checkpoint, calo_fault *fault)
{
    memset(checkpoint, 0, sizeof *checkpoint);
    checkpoint->path = calo_copy_string(path);
    checkpoint->name = display_name(path);
    calo_status status = checkpoint->path && checkpoint->name ? CALO_OK : no_memory(path, fault);
    if (status)
        goto done;
    if (strncmp(path, "layout:", 7) == 0)
        status = open_layout(checkpoint, path + 7, fault);
    else if (calo_is_directory(path))
        status = open_folder(checkpoint, fault);
    else if (!calo_is_file(path))
        status = calo_fail(fault, CALO_EFILE, "%s: there is no such file or folder", path);
    else if (ends_with(path, ".safetensors"))
        status = open_single(checkpoint, fault);
    else
        status = calo_fail(fault, CALO_EFILE, "%s is neither a diffusers folder nor a .safetensors file", path);
    if (!status && checkpoint->parts[CALO_UNET].count)
        status = calo_model_hash(&checkpoint->parts[CALO_UNET].files[0].file, checkpoint->hash, fault);
done:
    if (status)
        calo_checkpoint_close(checkpoint);
    return status;
}

void calo_checkpoint_close(calo_checkpoint *checkpoint)
{
    for (int part = 0; part < CALO_PARTS; part++) {
        calo_source *source = &checkpoint->parts[part];
        for (int i = 0; i < source->count; i++)
            calo_safetensors_close(&source->files[i]);
        calo_free(source->files);
    }
    calo_free(checkpoint->path);
    calo_free(checkpoint->name);
    calo_free(checkpoint->scheduler_class);
    calo_free(checkpoint->scheduler_json);
    calo_free(checkpoint->scheduler_path);
    calo_free(checkpoint->tokenizer);
    calo_free(checkpoint->reason);
    memset(checkpoint, 0, sizeof *checkpoint);
}

const calo_entry *calo_checkpoint_find(const calo_checkpoint *checkpoint, calo_part part, const char *name,
                                       calo_fault *fault)
{
    const calo_source *source = &checkpoint->parts[checkpoint->form == CALO_FORM_SINGLE ? CALO_UNET : part];
    calo_candidates candidates;
    calo_candidate_names(checkpoint, part, name, &candidates);
    for (int c = 0; c < candidates.count; c++)
        for (int i = 0; i < source->count; i++) {
            const calo_entry *entry = calo_safetensors_find(&source->files[i], candidates.names[c]);
            if (entry)
                return entry;
        }
    calo_fail(fault, CALO_EFILE, "%s lacks the tensor %s", source->count ? source->files[0].file.path : checkpoint->path,
              candidates.count ? candidates.names[0] : name);
    return NULL;
}
