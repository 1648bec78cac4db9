/* A layout's random weights as a diffusers folder, so that other programs can run exactly the same model. The numbers
   are those of calo_random_parameter, rounded to the stored type: what `layout:NAME` itself computes with in that type. */
#include "../engine/number.h"
#include "../engine/shim.h"
#include "../engine/weights/json.h"
#include "model.h"

#include <stdio.h>
#include <string.h>

/* The parameters of one part, in the order in which they are visited. */
typedef struct list {
    calo_tensor_record *records;
    calo_parameter_kind *kinds;
    int64_t count, capacity;
    calo_stored type;
    calo_fault *fault;
} list;

static void note(void *user, const char *name, int rank, const int64_t *dims, calo_parameter_kind kind)
{
    list *l = user;
    if (l->count == l->capacity) {
        int64_t capacity = l->capacity ? 2 * l->capacity : 512;
        calo_tensor_record *records = calo_resize(l->records, (size_t)capacity, sizeof *records);
        if (records)
            l->records = records;
        calo_parameter_kind *kinds = calo_resize(l->kinds, (size_t)capacity, sizeof *kinds);
        if (kinds)
            l->kinds = kinds;
        if (!records || !kinds) {
            calo_fail(l->fault, CALO_EMEMORY, "no host memory to list a model's tensors");
            return;
        }
        l->capacity = capacity;
    }
    calo_tensor_record *r = &l->records[l->count];
    *r = (calo_tensor_record){ .name = calo_copy_string(name), .type = l->type, .rank = rank };
    memcpy(r->dims, dims, (size_t)rank * sizeof *dims);
    if (!r->name)
        calo_fail(l->fault, CALO_EMEMORY, "no host memory to list a model's tensors");
    else
        l->kinds[l->count++] = kind;
}

static void list_free(list *l)
{
    for (int64_t i = 0; i < l->count; i++)
        calo_free((char *)l->records[i].name);
    calo_free(l->records);
    calo_free(l->kinds);
}

static calo_status put_tensor(calo_writer *writer, const calo_tensor_record *r, calo_parameter_kind kind,
                              calo_fault *fault)
{
    enum { BLOCK = 1 << 16 };
    int64_t count = 1, fan_in = 1;
    for (int i = 0; i < r->rank; i++) {
        count *= r->dims[i];
        fan_in *= i ? r->dims[i] : 1;
    }
    float *values = calo_alloc(BLOCK, sizeof *values);
    uint16_t *halves = calo_alloc(BLOCK, sizeof *halves);
    calo_status status = values && halves ? CALO_OK : calo_fail(fault, CALO_EMEMORY, "no host memory to write %s", r->name);
    for (int64_t at = 0; at < count && !status; at += BLOCK) {
        const int64_t part = count - at < BLOCK ? count - at : BLOCK;
        calo_random_parameter(r->name, kind, fan_in, at, part, values);
        for (int64_t i = 0; i < part && r->type != CALO_STORED_F32; i++)
            halves[i] = r->type == CALO_STORED_F16 ? calo_to_f16(values[i]) : calo_to_bf16(values[i]);
        status = r->type == CALO_STORED_F32 ? calo_writer_put(writer, values, (size_t)part * 4, fault)
                                            : calo_writer_put(writer, halves, (size_t)part * 2, fault);
    }
    calo_free(values);
    calo_free(halves);
    return status;
}

static calo_status put_file(const char *folder, const char *name, const char *text, calo_fault *fault)
{
    char path[4096];
    calo_writer *writer;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    calo_status status = calo_writer_open(path, &writer, fault);
    if (!status)
        status = calo_writer_put(writer, text, strlen(text), fault);
    if (!status)
        status = calo_writer_commit(&writer, fault);
    calo_writer_abandon(&writer);
    return status;
}

static calo_status put_part(calo_model *model, calo_part part, const char *folder, calo_stored type, calo_fault *fault)
{
    static const char *const files[] = { "diffusion_pytorch_model", "diffusion_pytorch_model", "model" };
    list l = { .type = type, .fault = fault };
    calo_parameters p = { .checkpoint = &model->checkpoint, .part = part, .arena = &model->weights, .fault = fault,
                          .visit = note, .user = &l };
    calo_writer *writer = NULL;
    char path[4096];
    if (part == CALO_TEXT)
        calo_clip_load(&p, &model->checkpoint.clip, &model->clip);
    else if (part == CALO_UNET)
        calo_unet_load(&p, &model->checkpoint.unet, &model->unet);
    else
        calo_vae_load(&p, &model->checkpoint.vae, true, &model->vae);
    snprintf(path, sizeof path, "%s/%s/%s.safetensors", folder, calo_part_name(part), files[part]);
    calo_status status = fault->status;
    if (!status)
        status = calo_safetensors_begin(path, l.records, l.count, &writer, fault);
    for (int64_t i = 0; i < l.count && !status; i++)
        status = put_tensor(writer, &l.records[i], l.kinds[i], fault);
    if (!status)
        status = calo_writer_commit(&writer, fault);
    calo_writer_abandon(&writer);
    list_free(&l);
    return status;
}

/* The configuration files of Stable Diffusion 1.5, as published; the numbers are the layout's own. */
static const struct {
    const char *name, *text;
} sd15_files[] = {
    { "model_index.json",
      "{\n  \"_class_name\": \"StableDiffusionPipeline\",\n  \"_diffusers_version\": \"0.42.1\",\n"
      "  \"feature_extractor\": [null, null],\n  \"image_encoder\": [null, null],\n"
      "  \"requires_safety_checker\": false,\n  \"safety_checker\": [null, null],\n"
      "  \"scheduler\": [\"diffusers\", \"PNDMScheduler\"],\n  \"text_encoder\": [\"transformers\", \"CLIPTextModel\"],\n"
      "  \"tokenizer\": [\"transformers\", \"CLIPTokenizer\"],\n  \"unet\": [\"diffusers\", \"UNet2DConditionModel\"],\n"
      "  \"vae\": [\"diffusers\", \"AutoencoderKL\"]\n}\n" },
    { "unet/config.json",
      "{\n  \"_class_name\": \"UNet2DConditionModel\",\n  \"act_fn\": \"silu\",\n  \"attention_head_dim\": 8,\n"
      "  \"block_out_channels\": [320, 640, 1280, 1280],\n  \"center_input_sample\": false,\n"
      "  \"cross_attention_dim\": 768,\n  \"down_block_types\": [\"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\", "
      "\"CrossAttnDownBlock2D\", \"DownBlock2D\"],\n  \"downsample_padding\": 1,\n  \"flip_sin_to_cos\": true,\n"
      "  \"freq_shift\": 0,\n  \"in_channels\": 4,\n  \"layers_per_block\": 2,\n  \"mid_block_scale_factor\": 1,\n"
      "  \"norm_eps\": 1e-05,\n  \"norm_num_groups\": 32,\n  \"out_channels\": 4,\n  \"sample_size\": 64,\n"
      "  \"up_block_types\": [\"UpBlock2D\", \"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\"]\n}\n" },
    { "vae/config.json",
      "{\n  \"_class_name\": \"AutoencoderKL\",\n  \"act_fn\": \"silu\",\n"
      "  \"block_out_channels\": [128, 256, 512, 512],\n  \"down_block_types\": [\"DownEncoderBlock2D\", "
      "\"DownEncoderBlock2D\", \"DownEncoderBlock2D\", \"DownEncoderBlock2D\"],\n  \"in_channels\": 3,\n"
      "  \"latent_channels\": 4,\n  \"layers_per_block\": 2,\n  \"norm_num_groups\": 32,\n  \"out_channels\": 3,\n"
      "  \"sample_size\": 512,\n  \"scaling_factor\": 0.18215,\n  \"up_block_types\": [\"UpDecoderBlock2D\", "
      "\"UpDecoderBlock2D\", \"UpDecoderBlock2D\", \"UpDecoderBlock2D\"]\n}\n" },
    { "text_encoder/config.json",
      "{\n  \"architectures\": [\"CLIPTextModel\"],\n  \"bos_token_id\": 49406,\n  \"eos_token_id\": 49407,\n"
      "  \"hidden_act\": \"quick_gelu\",\n  \"hidden_size\": 768,\n  \"intermediate_size\": 3072,\n"
      "  \"layer_norm_eps\": 1e-05,\n  \"max_position_embeddings\": 77,\n  \"model_type\": \"clip_text_model\",\n"
      "  \"num_attention_heads\": 12,\n  \"num_hidden_layers\": 12,\n  \"pad_token_id\": 49407,\n"
      "  \"projection_dim\": 768,\n  \"vocab_size\": 49408\n}\n" },
    { "tokenizer/tokenizer_config.json",
      "{\n  \"tokenizer_class\": \"CLIPTokenizer\",\n  \"model_max_length\": 77,\n  \"add_prefix_space\": false,\n"
      "  \"errors\": \"replace\",\n  \"bos_token\": \"<|startoftext|>\",\n  \"eos_token\": \"<|endoftext|>\",\n"
      "  \"unk_token\": \"<|endoftext|>\",\n  \"pad_token\": \"<|endoftext|>\"\n}\n" },
};

calo_status calo_make_random(calo_context *context, const char *layout, const char *folder, calo_type dtype)
{
    static const char *const folders[] = { "", "/unet", "/vae", "/text_encoder", "/tokenizer", "/scheduler" };
    calo_fault *fault = &context->fault;
    const calo_stored type = dtype == CALO_F32 ? CALO_STORED_F32 : dtype == CALO_BF16 ? CALO_STORED_BF16 : CALO_STORED_F16;
    calo_model *model = calo_alloc(1, sizeof *model);
    char path[4096];
    calo_fault_clear(fault);
    if (!model)
        return calo_fail(fault, CALO_EMEMORY, "no host memory for a model");
    model->context = context;
    snprintf(path, sizeof path, "layout:%s", layout);
    calo_status status = strlen(folder) < sizeof path - 128
                             ? calo_checkpoint_open(path, &model->checkpoint, fault)
                             : calo_fail(fault, CALO_EUSAGE, "the folder's name is too long");
    for (size_t i = 0; i < sizeof folders / sizeof *folders && !status; i++) {
        snprintf(path, sizeof path, "%s%s", folder, folders[i]);
        status = calo_make_directory(path, fault);
    }
    for (size_t i = 0; i < sizeof sd15_files / sizeof *sd15_files && !status; i++)
        status = put_file(folder, sd15_files[i].name, sd15_files[i].text, fault);
    if (!status)
        status = put_file(folder, "scheduler/scheduler_config.json", model->checkpoint.scheduler_json, fault);
    snprintf(path, sizeof path, "%s/tokenizer", folder);
    if (!status)
        status = calo_tokenizer_write_builtin(path, fault);
    for (int part = 0; part < CALO_PARTS && !status; part++)
        status = put_part(model, part, folder, type, fault);
    calo_unload(&model);
    return status;
}
