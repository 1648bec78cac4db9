/* Configuration files, checked field by field. The lists of what is read follow the classes' signatures in diffusers
   (UNet2DConditionModel, AutoencoderKL) and transformers (CLIPTextConfig). */
#include "config.h"

#include <stdio.h>
#include <string.h>

enum { WIDTH_LIMIT = 65536 };

static void refuse(const calo_json *json, const char *field, const char *why)
{
    calo_fail(json->fault, CALO_EFILE, "%s: %s %s", json->path, field, why);
}

static bool failed(const calo_json *json)
{
    return json->fault->status != CALO_OK;
}

static void read_activation(const calo_json *json, const char *field, calo_activation *activation)
{
    static const struct {
        const char *name;
        calo_activation value;
    } names[] = { { "silu", CALO_SILU },           { "swish", CALO_SILU },          { "gelu", CALO_GELU },
                  { "quick_gelu", CALO_QUICK_GELU }, { "gelu_new", CALO_GELU_TANH }, { "gelu_pytorch_tanh", CALO_GELU_TANH } };
    const char *name = NULL;
    calo_json_string(json, field, &name);
    if (!name)
        return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i].name) == 0) {
            *activation = names[i].value;
            return;
        }
    calo_fail(json->fault, CALO_EFILE, "%s: the activation '%s' (%s) is not supported", json->path, name, field);
}

/* ---- CLIP ------------------------------------------------------------------------------------------------------- */

calo_clip_config calo_clip_config_sd1(void)
{
    return (calo_clip_config){ .vocab_size = 49408, .hidden_size = 768, .intermediate_size = 3072,
                               .num_hidden_layers = 12, .num_attention_heads = 12, .max_position_embeddings = 77,
                               .projection_dim = 768, .eos_token_id = 49407, .hidden_act = CALO_QUICK_GELU,
                               .layer_norm_eps = 1e-5 };
}

void calo_clip_config_read(const calo_json *json, calo_clip_config *config)
{
    /* CLIPTextConfig's own defaults: those of CLIP-B's text tower. */
    *config = (calo_clip_config){ .vocab_size = 49408, .hidden_size = 512, .intermediate_size = 2048,
                                  .num_hidden_layers = 12, .num_attention_heads = 8, .max_position_embeddings = 77,
                                  .projection_dim = 512, .eos_token_id = 49407, .hidden_act = CALO_QUICK_GELU,
                                  .layer_norm_eps = 1e-5 };
    calo_json_int(json, "vocab_size", 1, 10000000, &config->vocab_size);
    calo_json_int(json, "hidden_size", 1, WIDTH_LIMIT, &config->hidden_size);
    calo_json_int(json, "intermediate_size", 1, 4 * WIDTH_LIMIT, &config->intermediate_size);
    calo_json_int(json, "num_hidden_layers", 1, 256, &config->num_hidden_layers);
    calo_json_int(json, "num_attention_heads", 1, 1024, &config->num_attention_heads);
    calo_json_int(json, "max_position_embeddings", 2, 65536, &config->max_position_embeddings);
    calo_json_int(json, "projection_dim", 1, WIDTH_LIMIT, &config->projection_dim);
    calo_json_int(json, "eos_token_id", 0, 10000000, &config->eos_token_id);
    calo_json_double(json, "layer_norm_eps", &config->layer_norm_eps);
    read_activation(json, "hidden_act", &config->hidden_act);
    if (!failed(json) && config->hidden_size % config->num_attention_heads)
        refuse(json, "hidden_size", "is no multiple of num_attention_heads");
    if (!(config->layer_norm_eps >= 0))
        refuse(json, "layer_norm_eps", "is negative");
}

/* ---- UNet ------------------------------------------------------------------------------------------------------- */

calo_unet_config calo_unet_config_sd1(void)
{
    return (calo_unet_config){ .in_channels = 4, .out_channels = 4, .sample_size = 64, .levels = 4,
                               .block_out_channels = { 320, 640, 1280, 1280 }, .layers_per_block = { 2, 2, 2, 2 },
                               .heads = { 8, 8, 8, 8 }, .down_depths = { { 1, 1 }, { 1, 1 }, { 1, 1 } },
                               .up_depths = { { 0 }, { 1, 1, 1 }, { 1, 1, 1 }, { 1, 1, 1 } },
                               .mid = CALO_MID_CROSS_ATTENTION, .mid_depth = 1, .cross_attention_dim = 768,
                               .norm_num_groups = 32,
                               .downsample_padding = 1, .norm_eps = 1e-5, .freq_shift = 0, .flip_sin_to_cos = true,
                               .act_fn = CALO_SILU };
}

bool calo_unet_attends(const calo_unet_config *config, int level)
{
    for (int i = 0; i < config->layers_per_block[level]; i++)
        if (config->down_depths[level][i])
            return true;
    return false;
}

/* A list of block types: which levels attend. */
static void read_blocks(const calo_json *json, const char *field, const char *plain, const char *attending, int levels,
                        bool *attends)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(json->root, field), *each;
    int i = 0;
    if (!list || cJSON_IsNull(list))
        return;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != levels) {
        calo_fail(json->fault, CALO_EFILE, "%s: %s must be a list of %d names, as block_out_channels is", json->path,
                  field, levels);
        return;
    }
    cJSON_ArrayForEach(each, list)
    {
        const char *name = cJSON_IsString(each) ? each->valuestring : "";
        attends[i++] = strcmp(name, attending) == 0;
        if (strcmp(name, attending) != 0 && strcmp(name, plain) != 0)
            calo_fail(json->fault, CALO_EFILE, "%s: the block '%s' of %s is not supported, only %s and %s are",
                      json->path, name, field, plain, attending);
    }
}

/* One level's entry of a list of depths: a number for all of its resnets, or a list with one for each. */
static void read_depth(const calo_json *json, const char *field, const cJSON *entry, int count, int *depths)
{
    const cJSON *each = cJSON_IsArray(entry) ? entry->child : entry;
    if (cJSON_IsArray(entry) && cJSON_GetArraySize(entry) != count) {
        calo_fail(json->fault, CALO_EFILE, "%s: a list in %s must have %d numbers, one for each resnet of its level",
                  json->path, field, count);
        return;
    }
    for (int i = 0; i < count; i++, each = cJSON_IsArray(entry) ? each->next : each) {
        if (!cJSON_IsNumber(each) || !(each->valuedouble >= 1 && each->valuedouble <= 64) ||
            each->valuedouble != each->valueint) {
            calo_fail(json->fault, CALO_EFILE, "%s: %s must hold whole numbers, 1 … 64", json->path, field);
            return;
        }
        depths[i] = each->valueint;
    }
}

/* transformer_layers_per_block, and for the way up its reverse where a file states one. */
static void read_depths(const calo_json *json, calo_unet_config *config)
{
    static const char down_field[] = "transformer_layers_per_block", up_field[] = "reverse_transformer_layers_per_block";
    const cJSON *down = cJSON_GetObjectItemCaseSensitive(json->root, down_field);
    const cJSON *up = cJSON_GetObjectItemCaseSensitive(json->root, up_field);
    const int levels = config->levels;
    const bool has_down = down && !cJSON_IsNull(down), has_up = up && !cJSON_IsNull(up);
    if ((cJSON_IsArray(down) && cJSON_GetArraySize(down) != levels) ||
        (has_up && (!cJSON_IsArray(up) || cJSON_GetArraySize(up) != levels))) {
        calo_fail(json->fault, CALO_EFILE, "%s: %s must have %d entries, as block_out_channels has", json->path,
                  has_up ? up_field : down_field, levels);
        return;
    }
    config->mid_depth = 1;
    for (int i = 0; i < levels; i++) {
        const int mirror = levels - 1 - i, layers = config->layers_per_block[i];
        const cJSON *own = cJSON_IsArray(down) ? cJSON_GetArrayItem(down, i) : down;
        const cJSON *risen = has_up ? cJSON_GetArrayItem(up, mirror) : own;
        for (int k = 0; k <= layers; k++)
            config->down_depths[i][k < layers ? k : 0] = config->up_depths[mirror][k] = 1;
        if (has_down)
            read_depth(json, down_field, own, layers, config->down_depths[i]);
        if (cJSON_IsArray(risen) && !has_up)
            calo_fail(json->fault, CALO_EFILE, "%s: %s holds a list for level %d, so %s must be given", json->path,
                      down_field, i, up_field);
        else if (risen && !cJSON_IsNull(risen))
            read_depth(json, has_up ? up_field : down_field, risen, layers + 1, config->up_depths[mirror]);
        config->mid_depth = config->down_depths[i][0];
    }
}

static void clear_depths(calo_unet_config *config, const bool *down_attends, const bool *up_attends)
{
    for (int i = 0; i < config->levels; i++) {
        if (!down_attends[i])
            memset(config->down_depths[i], 0, sizeof config->down_depths[i]);
        if (!up_attends[i])
            memset(config->up_depths[i], 0, sizeof config->up_depths[i]);
    }
    if (config->mid != CALO_MID_CROSS_ATTENTION)
        config->mid_depth = 0;
}

/* Stable Diffusion XL's added condition. */
static void read_addition(const calo_json *json, calo_unet_config *config)
{
    const char *type = NULL;
    calo_json_string(json, "addition_embed_type", &type);
    if (!type)
        return;
    if (strcmp(type, "text_time") != 0) {
        calo_fail(json->fault, CALO_EFILE, "%s: addition_embed_type '%s' is not supported, only text_time is",
                  json->path, type);
        return;
    }
    config->text_time = true;
    config->addition_time_embed_dim = config->projection_class_embeddings_input_dim = 0;
    calo_json_int(json, "addition_time_embed_dim", 2, WIDTH_LIMIT, &config->addition_time_embed_dim);
    calo_json_int(json, "projection_class_embeddings_input_dim", 1, 16 * WIDTH_LIMIT,
                  &config->projection_class_embeddings_input_dim);
    if (!config->addition_time_embed_dim || !config->projection_class_embeddings_input_dim)
        refuse(json, "addition_time_embed_dim and projection_class_embeddings_input_dim",
               "must be given with addition_embed_type text_time");
}

static void expect_plain_unet(const calo_json *json)
{
    static const char *const absent[] = { "class_embed_type", "num_class_embeds", "encoder_hid_dim",
                                          "encoder_hid_dim_type", "time_embedding_dim", "time_embedding_act_fn",
                                          "timestep_post_act", "cross_attention_norm" };
    static const char *const untrue[] = { "center_input_sample", "dual_cross_attention", "class_embeddings_concat",
                                          "resnet_skip_time_act" };
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        calo_json_expect_null(json, absent[i]);
    for (size_t i = 0; i < sizeof untrue / sizeof *untrue; i++)
        calo_json_expect_bool(json, untrue[i], false);
    calo_json_expect_string(json, "time_embedding_type", "positional");
    calo_json_expect_string(json, "resnet_time_scale_shift", "default");
    calo_json_expect_string(json, "attention_type", "default");
    calo_json_expect_number(json, "conv_in_kernel", 3);
    calo_json_expect_number(json, "conv_out_kernel", 3);
    calo_json_expect_number(json, "resnet_out_scale_factor", 1);
    calo_json_expect_number(json, "mid_block_scale_factor", 1);
    /* A list of the same value, or null, is fine; an attending level without self-attention is not built. */
    const cJSON *only = cJSON_GetObjectItemCaseSensitive(json->root, "only_cross_attention");
    for (const cJSON *each = cJSON_IsArray(only) ? only->child : only; each; each = cJSON_IsArray(only) ? each->next : NULL)
        if (!cJSON_IsFalse(each) && !cJSON_IsNull(each))
            refuse(json, "only_cross_attention", "is not supported");
    const cJSON *mid_only = cJSON_GetObjectItemCaseSensitive(json->root, "mid_block_only_cross_attention");
    if (mid_only && cJSON_IsTrue(mid_only))
        refuse(json, "mid_block_only_cross_attention", "is not supported");
}

static void check_unet(const calo_json *json, const calo_unet_config *config)
{
    char field[64];
    for (int i = 0; i < config->levels; i++) {
        snprintf(field, sizeof field, "block_out_channels[%d]", i);
        if (config->block_out_channels[i] % config->norm_num_groups)
            refuse(json, field, "is no multiple of norm_num_groups");
        if (config->block_out_channels[i] % config->heads[i])
            refuse(json, field, "is no multiple of the number of heads (attention_head_dim)");
    }
    if (!(config->norm_eps >= 0))
        refuse(json, "norm_eps", "is negative");
}

/* Up-blocks come in the order of up_blocks, but a level's depth and heads are those of its mirror going down. */
void calo_unet_config_read(const calo_json *json, calo_unet_config *config)
{
    *config = calo_unet_config_sd1();
    config->sample_size = 64;
    config->cross_attention_dim = 1280; /* the class's own default */
    const char *mid = "UNetMidBlock2DCrossAttn";
    const int levels_before = config->levels;
    calo_json_int(json, "in_channels", 1, WIDTH_LIMIT, &config->in_channels);
    calo_json_int(json, "out_channels", 1, WIDTH_LIMIT, &config->out_channels);
    calo_json_int(json, "sample_size", 1, 65536, &config->sample_size);
    calo_json_list(json, "block_out_channels", CALO_MAX_LEVELS, 1, WIDTH_LIMIT, config->block_out_channels,
                   &config->levels);
    const int levels = config->levels;
    if (levels != levels_before && !(calo_json_has(json, "down_block_types") && calo_json_has(json, "up_block_types")))
        refuse(json, "down_block_types and up_block_types", "must name a block for each of block_out_channels");
    bool down_attends[CALO_MAX_LEVELS] = { true, true, true, false }, up_attends[CALO_MAX_LEVELS] = { false, true, true, true };
    for (int i = 0; i < CALO_MAX_LEVELS; i++) {
        config->layers_per_block[i] = 2;
        config->heads[i] = 8;
    }
    calo_json_ints(json, "layers_per_block", levels, 1, CALO_MAX_LAYERS - 1, config->layers_per_block);
    /* attention_head_dim is the number of heads: an old misnomer that diffusers keeps, and why it refuses the other. */
    calo_json_ints(json, "attention_head_dim", levels, 1, 4096, config->heads);
    calo_json_expect_null(json, "num_attention_heads");
    read_blocks(json, "down_block_types", "DownBlock2D", "CrossAttnDownBlock2D", levels, down_attends);
    read_blocks(json, "up_block_types", "UpBlock2D", "CrossAttnUpBlock2D", levels, up_attends);
    const cJSON *mid_item = cJSON_GetObjectItemCaseSensitive(json->root, "mid_block_type");
    if (mid_item && cJSON_IsNull(mid_item))
        mid = "";
    else
        calo_json_string(json, "mid_block_type", &mid);
    if (strcmp(mid, "UNetMidBlock2DCrossAttn") == 0)
        config->mid = CALO_MID_CROSS_ATTENTION;
    else if (strcmp(mid, "UNetMidBlock2D") == 0)
        config->mid = CALO_MID_PLAIN;
    else if (*mid == '\0')
        config->mid = CALO_MID_NONE;
    else
        calo_fail(json->fault, CALO_EFILE, "%s: mid_block_type '%s' is not supported", json->path, mid);
    if (!failed(json))
        read_depths(json, config);
    clear_depths(config, down_attends, up_attends);
    read_addition(json, config);
    calo_json_int(json, "time_cond_proj_dim", 1, WIDTH_LIMIT, &config->time_cond_proj_dim);
    calo_json_int(json, "cross_attention_dim", 1, WIDTH_LIMIT, &config->cross_attention_dim);
    calo_json_int(json, "norm_num_groups", 1, WIDTH_LIMIT, &config->norm_num_groups);
    calo_json_int(json, "downsample_padding", 0, 1, &config->downsample_padding);
    calo_json_double(json, "norm_eps", &config->norm_eps);
    calo_json_double(json, "freq_shift", &config->freq_shift);
    calo_json_bool(json, "flip_sin_to_cos", &config->flip_sin_to_cos);
    calo_json_bool(json, "use_linear_projection", &config->use_linear_projection);
    read_activation(json, "act_fn", &config->act_fn);
    expect_plain_unet(json);
    if (!failed(json))
        check_unet(json, config);
}

/* ---- VAE -------------------------------------------------------------------------------------------------------- */

calo_vae_config calo_vae_config_sd1(void)
{
    return (calo_vae_config){ .in_channels = 3, .out_channels = 3, .latent_channels = 4, .levels = 4,
                              .block_out_channels = { 128, 256, 512, 512 }, .layers_per_block = 2,
                              .norm_num_groups = 32, .scaling_factor = 0.18215, .use_quant_conv = true,
                              .use_post_quant_conv = true, .mid_block_add_attention = true };
}

static void read_four(const calo_json *json, const char *field, double *values)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(json->root, field), *each = list ? list->child : NULL;
    for (int i = 0; i < 4; i++, each = each ? each->next : NULL) {
        if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != 4 || !cJSON_IsNumber(each)) {
            refuse(json, field, "must be a list of 4 numbers");
            return;
        }
        values[i] = each->valuedouble;
    }
}

void calo_vae_config_read(const calo_json *json, calo_vae_config *config)
{
    bool unused[CALO_MAX_LEVELS];
    *config = calo_vae_config_sd1();
    config->levels = 1; /* the class's defaults are a single level of 64 */
    config->block_out_channels[0] = 64;
    config->layers_per_block = 1;
    calo_json_int(json, "in_channels", 1, 1024, &config->in_channels);
    calo_json_int(json, "out_channels", 1, 1024, &config->out_channels);
    calo_json_int(json, "latent_channels", 1, 1024, &config->latent_channels);
    calo_json_list(json, "block_out_channels", CALO_MAX_LEVELS, 1, WIDTH_LIMIT, config->block_out_channels,
                   &config->levels);
    calo_json_int(json, "layers_per_block", 1, CALO_MAX_LAYERS - 1, &config->layers_per_block);
    calo_json_int(json, "norm_num_groups", 1, WIDTH_LIMIT, &config->norm_num_groups);
    calo_json_double(json, "scaling_factor", &config->scaling_factor);
    calo_json_double(json, "shift_factor", &config->shift_factor);
    calo_json_bool(json, "use_quant_conv", &config->use_quant_conv);
    calo_json_bool(json, "use_post_quant_conv", &config->use_post_quant_conv);
    calo_json_bool(json, "mid_block_add_attention", &config->mid_block_add_attention);
    calo_json_expect_string(json, "act_fn", "silu");
    config->force_upcast = true; /* the class's default */
    calo_json_bool(json, "force_upcast", &config->force_upcast);
    config->has_statistics = calo_json_has(json, "latents_mean") && calo_json_has(json, "latents_std");
    if (config->has_statistics && config->latent_channels == 4) {
        read_four(json, "latents_mean", config->latents_mean);
        read_four(json, "latents_std", config->latents_std);
    } else if (config->has_statistics) {
        refuse(json, "latents_mean", "is known for 4 channels only");
    }
    read_blocks(json, "down_block_types", "DownEncoderBlock2D", "DownEncoderBlock2D", config->levels, unused);
    read_blocks(json, "up_block_types", "UpDecoderBlock2D", "UpDecoderBlock2D", config->levels, unused);
    for (int i = 0; i < config->levels && !failed(json); i++)
        if (config->block_out_channels[i] % config->norm_num_groups)
            refuse(json, "block_out_channels", "holds a width that is no multiple of norm_num_groups");
    if (!failed(json) && !(config->scaling_factor != 0))
        refuse(json, "scaling_factor", "is 0");
}
