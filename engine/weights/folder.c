/* A diffusers folder: model_index.json, and for each part its config.json and its files. */
#include "checkpoint.h"
#include "json.h"
#include "variants.h"

#include <stdio.h>
#include <string.h>

static calo_status no_memory(const char *path, calo_fault *fault)
{
    return calo_fail(fault, CALO_EMEMORY, "no host memory to open %s", path);
}

static bool is_absent(const char *folder, const char *name)
{
    char *path = calo_path_join(folder, name);
    bool absent = path && !calo_is_file(path);
    calo_free(path);
    return absent;
}

/* ---- the files of a part ---------------------------------------------------------------------------------------- */

calo_status calo_source_open_file(calo_source *source, const char *path, calo_fault *fault)
{
    source->files = calo_alloc(1, sizeof *source->files);
    calo_status status = source->files ? calo_tensor_file_open(path, source->files, fault) : no_memory(path, fault);
    if (!status)
        source->count = 1;
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
    char *path = calo_path_join(folder, index);
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
        char *shard = calo_path_join(folder, names[i]);
        status = shard ? calo_tensor_file_open(shard, &source->files[i], fault) : no_memory(names[i], fault);
        source->count += status == CALO_OK;
        calo_free(shard);
    }
done:
    calo_json_close(&json);
    calo_free(names);
    calo_free(path);
    return status;
}

/* NAME.safetensors, NAME.fp16.safetensors, shards of either; or torch's pickles in the same ways. */
calo_status calo_source_open_folder(calo_source *source, const char *folder, const char *name, calo_fault *fault)
{
    const bool is_text = strcmp(name, "model") == 0;
    const struct {
        const char *name, *ending;
    } kinds[] = { { name, "safetensors" }, { is_text ? "pytorch_model" : name, "bin" } };
    static const char *const variants[] = { "", ".fp16" };
    char file[128];
    if (!calo_is_directory(folder))
        return calo_fail(fault, CALO_EFILE, "%s is missing: a diffusers model has this folder", folder);
    for (int i = 0; i < 4; i++) {
        const char *variant = variants[i % 2];
        snprintf(file, sizeof file, "%s%s.%s", kinds[i / 2].name, variant, kinds[i / 2].ending);
        if (!is_absent(folder, file)) {
            char *path = calo_path_join(folder, file);
            calo_status status = path ? calo_source_open_file(source, path, fault) : no_memory(folder, fault);
            calo_free(path);
            return status;
        }
        snprintf(file, sizeof file, "%s.%s.index%s.json", kinds[i / 2].name, kinds[i / 2].ending, variant);
        if (!is_absent(folder, file))
            return open_shards(source, folder, file, fault);
    }
    return calo_fail(fault, CALO_EFILE, "%s holds no %s.safetensors and no %s.bin", folder, name, kinds[1].name);
}

/* ---- model_index.json ------------------------------------------------------------------------------------------- */

/* The class of a component: ["diffusers", "UNet2DConditionModel"]; NULL where there is none. */
static const char *component_class(const calo_json *index, const char *component)
{
    const cJSON *pair = cJSON_GetObjectItemCaseSensitive(index->root, component);
    const cJSON *name = cJSON_IsArray(pair) ? cJSON_GetArrayItem(pair, 1) : NULL;
    return cJSON_IsString(name) ? name->valuestring : NULL;
}

static const struct {
    const char *class;
    calo_pipeline pipeline;
} pipelines[] = {
    { "StableDiffusionPipeline", CALO_PIPELINE_SD },
    { "StableDiffusionImg2ImgPipeline", CALO_PIPELINE_SD },
    { "StableDiffusionInpaintPipeline", CALO_PIPELINE_SD_INPAINT },
    { "LatentConsistencyModelPipeline", CALO_PIPELINE_LCM },
    { "StableDiffusionXLPipeline", CALO_PIPELINE_XL },
    { "StableDiffusionXLInpaintPipeline", CALO_PIPELINE_XL_INPAINT },
    { "StableDiffusionXLImg2ImgPipeline", CALO_PIPELINE_XL_REFINER },
};

static void read_pipeline(const calo_json *index, calo_checkpoint *checkpoint)
{
    const char *class = "StableDiffusionPipeline";
    calo_json_string(index, "_class_name", &class);
    for (size_t i = 0; i < sizeof pipelines / sizeof *pipelines; i++)
        if (strcmp(pipelines[i].class, class) == 0) {
            checkpoint->pipeline = pipelines[i].pipeline;
            return;
        }
    calo_fail(index->fault, CALO_EFILE, "%s: the pipeline %s is not supported; StableDiffusionPipeline, "
              "StableDiffusionXLPipeline, their inpainting and image-to-image kin and LatentConsistencyModelPipeline are",
              index->path, class);
}

/* Which parts there are, and of which class. */
static void read_parts(const calo_json *index, calo_checkpoint *checkpoint)
{
    static const char *const classes[CALO_PARTS][2] = { { "UNet2DConditionModel" }, { "AutoencoderKL" },
                                                        { "CLIPTextModel", "CLIPTextModelWithProjection" },
                                                        { "CLIPTextModelWithProjection" } };
    const bool xl = checkpoint->pipeline >= CALO_PIPELINE_XL;
    for (int part = 0; part < CALO_PARTS; part++) {
        const char *name = calo_part_name(part), *class = component_class(index, name);
        const char *first = classes[part][0], *second = classes[part][1];
        if (class && strcmp(class, first) != 0 && !(second && strcmp(class, second) == 0))
            calo_fail(index->fault, CALO_EFILE, "%s: the class %s of %s is not supported, only %s is", index->path, class,
                      name, first);
        /* An index may leave parts out that it has always had; that XL's first encoder is null says that it is none. */
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(index->root, name);
        checkpoint->has[part] = class || (part == CALO_TEXT ? !(xl && item) : part == CALO_TEXT_2 ? false : true);
    }
    if (xl && !checkpoint->has[CALO_TEXT_2])
        calo_fail(index->fault, CALO_EFILE, "%s: the pipeline needs a text_encoder_2", index->path);
    checkpoint->clip[1].projects = true;
}

static calo_status read_index(calo_checkpoint *checkpoint, calo_fault *fault)
{
    char *path = calo_path_join(checkpoint->path, "model_index.json");
    calo_json index = { 0 };
    calo_status status = path ? calo_json_open(path, &index, fault) : no_memory(checkpoint->path, fault);
    if (!status) {
        read_pipeline(&index, checkpoint);
        read_parts(&index, checkpoint);
        const char *class = component_class(&index, "scheduler");
        if (class)
            checkpoint->scheduler_class = calo_copy_string(class);
        checkpoint->force_zeros_for_empty_prompt = checkpoint->pipeline >= CALO_PIPELINE_XL;
        calo_json_bool(&index, "force_zeros_for_empty_prompt", &checkpoint->force_zeros_for_empty_prompt);
        calo_json_bool(&index, "requires_aesthetics_score", &checkpoint->requires_aesthetics_score);
        status = fault->status;
    }
    calo_json_close(&index);
    calo_free(path);
    return status;
}

/* ---- the parts -------------------------------------------------------------------------------------------------- */

calo_status calo_checkpoint_read_config(calo_checkpoint *checkpoint, calo_part part, const char *folder,
                                        calo_fault *fault)
{
    char *path = calo_path_join(folder, "config.json");
    calo_json json = { 0 };
    calo_status status = path ? calo_json_open(path, &json, fault) : no_memory(folder, fault);
    if (!status) {
        if (part == CALO_UNET)
            calo_unet_config_read(&json, &checkpoint->unet);
        else if (part == CALO_VAE)
            calo_vae_config_read(&json, &checkpoint->vae);
        else
            calo_clip_config_read(&json, &checkpoint->clip[part - CALO_TEXT]);
        if (part == CALO_TEXT_2)
            checkpoint->clip[1].projects = true;
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
    checkpoint->scheduler_path = calo_path_join(checkpoint->path, "scheduler/scheduler_config.json");
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

calo_status calo_checkpoint_open_folder(calo_checkpoint *checkpoint, calo_fault *fault)
{
    static const char *const tokenizers[] = { "tokenizer", "tokenizer_2" };
    calo_status status = read_index(checkpoint, fault);
    checkpoint->form = CALO_FORM_FOLDER;
    for (int part = 0; part < CALO_PARTS && !status; part++) {
        if (!checkpoint->has[part])
            continue;
        checkpoint->parts[part].prefix = "";
        char *folder = calo_path_join(checkpoint->path, calo_part_name(part));
        status = folder ? calo_checkpoint_read_config(checkpoint, part, folder, fault) : no_memory(checkpoint->path, fault);
        if (!status)
            status = calo_source_open_folder(&checkpoint->parts[part], folder, calo_part_file(part), fault);
        calo_free(folder);
    }
    if (!status)
        status = read_scheduler(checkpoint, fault);
    for (int i = 0; i < 2 && !status; i++) {
        if (!checkpoint->has[CALO_TEXT + i])
            continue;
        checkpoint->tokenizer[i] = calo_path_join(checkpoint->path, tokenizers[i]);
        if (!checkpoint->tokenizer[i])
            status = no_memory(checkpoint->path, fault);
        else if (!calo_is_directory(checkpoint->tokenizer[i]))
            status = calo_fail(fault, CALO_EFILE, "%s is missing: a diffusers model has this folder",
                               checkpoint->tokenizer[i]);
    }
    calo_checkpoint_explain(checkpoint, "diffusers folder: model_index.json and each part's config.json\n");
    if (!status && !checkpoint->scheduler_class)
        status = no_memory(checkpoint->path, fault);
    if (!status)
        checkpoint->variant = calo_variant_of(checkpoint);
    return status;
}
