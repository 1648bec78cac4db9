/* Writing configurations. */
#include "config_json.h"
#include "../engine/shim.h"
#include "../engine/weights/json.h"

#include <string.h>

/* Prints and deletes. */
static char *finish(cJSON *object)
{
    char *printed = cJSON_Print(object), *text = printed ? calo_copy_string(printed) : NULL;
    cJSON_free(printed);
    cJSON_Delete(object);
    return text;
}

static void add_ints(cJSON *object, const char *name, const int *values, int count)
{
    cJSON_AddItemToObject(object, name, cJSON_CreateIntArray(values, count));
}

static void add_words(cJSON *object, const char *name, const char *const *words, int count)
{
    cJSON_AddItemToObject(object, name, cJSON_CreateStringArray(words, count));
}

/* diffusers wants a number where a level's depths are equal, and lists where they are not; a number also where there are
 * none, of which the last level's is the middle's. */
static cJSON *depth_item(const int *depths, int count, int otherwise)
{
    bool equal = true;
    for (int i = 1; i < count; i++)
        equal = equal && depths[i] == depths[0];
    return equal ? cJSON_CreateNumber(depths[0] ? depths[0] : otherwise) : cJSON_CreateIntArray(depths, count);
}

static char *unet_json(const calo_unet_config *c)
{
    static const char *const mids[] = { NULL, "UNetMidBlock2D", "UNetMidBlock2DCrossAttn" };
    const char *down[CALO_MAX_LEVELS], *up[CALO_MAX_LEVELS];
    bool mirrored = true;
    cJSON *o = cJSON_CreateObject(), *depths = cJSON_CreateArray(), *risen = cJSON_CreateArray();
    for (int i = 0; i < c->levels; i++) {
        const int *below = c->down_depths[c->levels - 1 - i], *above = c->up_depths[i];
        const int layers = c->layers_per_block[c->levels - 1 - i];
        const bool last = i + 1 == c->levels;
        down[i] = calo_unet_attends(c, i) ? "CrossAttnDownBlock2D" : "DownBlock2D";
        up[i] = above[0] ? "CrossAttnUpBlock2D" : "UpBlock2D";
        for (int k = 0; k <= layers; k++)
            mirrored = mirrored && above[k] == below[0];
        cJSON_AddItemToArray(depths, depth_item(c->down_depths[i], c->layers_per_block[i],
                                                last && c->mid_depth ? c->mid_depth : 1));
        cJSON_AddItemToArray(risen, depth_item(above, layers + 1, 1));
    }
    cJSON_AddStringToObject(o, "_class_name", "UNet2DConditionModel");
    cJSON_AddStringToObject(o, "act_fn", "silu");
    cJSON_AddNumberToObject(o, "in_channels", c->in_channels);
    cJSON_AddNumberToObject(o, "out_channels", c->out_channels);
    cJSON_AddNumberToObject(o, "sample_size", c->sample_size);
    add_ints(o, "block_out_channels", c->block_out_channels, c->levels);
    add_ints(o, "layers_per_block", c->layers_per_block, c->levels);
    add_ints(o, "attention_head_dim", c->heads, c->levels);
    add_words(o, "down_block_types", down, c->levels);
    add_words(o, "up_block_types", up, c->levels);
    cJSON_AddItemToObject(o, "mid_block_type", mids[c->mid] ? cJSON_CreateString(mids[c->mid]) : cJSON_CreateNull());
    cJSON_AddItemToObject(o, "transformer_layers_per_block", depths);
    if (mirrored)
        cJSON_Delete(risen);
    else
        cJSON_AddItemToObject(o, "reverse_transformer_layers_per_block", risen);
    cJSON_AddNumberToObject(o, "cross_attention_dim", c->cross_attention_dim);
    cJSON_AddNumberToObject(o, "norm_num_groups", c->norm_num_groups);
    cJSON_AddNumberToObject(o, "norm_eps", c->norm_eps);
    cJSON_AddNumberToObject(o, "downsample_padding", c->downsample_padding);
    cJSON_AddNumberToObject(o, "freq_shift", c->freq_shift);
    cJSON_AddBoolToObject(o, "flip_sin_to_cos", c->flip_sin_to_cos);
    cJSON_AddBoolToObject(o, "use_linear_projection", c->use_linear_projection);
    if (c->text_time) {
        cJSON_AddStringToObject(o, "addition_embed_type", "text_time");
        cJSON_AddNumberToObject(o, "addition_time_embed_dim", c->addition_time_embed_dim);
        cJSON_AddNumberToObject(o, "projection_class_embeddings_input_dim", c->projection_class_embeddings_input_dim);
    }
    if (c->time_cond_proj_dim)
        cJSON_AddNumberToObject(o, "time_cond_proj_dim", c->time_cond_proj_dim);
    return finish(o);
}

static char *vae_json(const calo_vae_config *c)
{
    const char *down[CALO_MAX_LEVELS], *up[CALO_MAX_LEVELS];
    cJSON *o = cJSON_CreateObject();
    for (int i = 0; i < c->levels; i++) {
        down[i] = "DownEncoderBlock2D";
        up[i] = "UpDecoderBlock2D";
    }
    cJSON_AddStringToObject(o, "_class_name", "AutoencoderKL");
    cJSON_AddStringToObject(o, "act_fn", "silu");
    cJSON_AddNumberToObject(o, "in_channels", c->in_channels);
    cJSON_AddNumberToObject(o, "out_channels", c->out_channels);
    cJSON_AddNumberToObject(o, "latent_channels", c->latent_channels);
    add_ints(o, "block_out_channels", c->block_out_channels, c->levels);
    cJSON_AddNumberToObject(o, "layers_per_block", c->layers_per_block);
    cJSON_AddNumberToObject(o, "norm_num_groups", c->norm_num_groups);
    add_words(o, "down_block_types", down, c->levels);
    add_words(o, "up_block_types", up, c->levels);
    cJSON_AddNumberToObject(o, "scaling_factor", c->scaling_factor);
    cJSON_AddBoolToObject(o, "force_upcast", c->force_upcast);
    if (c->has_statistics) {
        cJSON_AddItemToObject(o, "latents_mean", cJSON_CreateDoubleArray(c->latents_mean, 4));
        cJSON_AddItemToObject(o, "latents_std", cJSON_CreateDoubleArray(c->latents_std, 4));
    }
    cJSON_AddBoolToObject(o, "use_quant_conv", c->use_quant_conv);
    cJSON_AddBoolToObject(o, "use_post_quant_conv", c->use_post_quant_conv);
    cJSON_AddBoolToObject(o, "mid_block_add_attention", c->mid_block_add_attention);
    return finish(o);
}

static char *clip_json(const calo_clip_config *c)
{
    cJSON *o = cJSON_CreateObject();
    const char *const class = c->projects ? "CLIPTextModelWithProjection" : "CLIPTextModel";
    add_words(o, "architectures", &class, 1);
    cJSON_AddStringToObject(o, "model_type", "clip_text_model");
    cJSON_AddStringToObject(o, "hidden_act", c->hidden_act == CALO_QUICK_GELU ? "quick_gelu" : "gelu");
    cJSON_AddNumberToObject(o, "hidden_size", c->hidden_size);
    cJSON_AddNumberToObject(o, "intermediate_size", c->intermediate_size);
    cJSON_AddNumberToObject(o, "num_hidden_layers", c->num_hidden_layers);
    cJSON_AddNumberToObject(o, "num_attention_heads", c->num_attention_heads);
    cJSON_AddNumberToObject(o, "max_position_embeddings", c->max_position_embeddings);
    cJSON_AddNumberToObject(o, "projection_dim", c->projection_dim);
    cJSON_AddNumberToObject(o, "layer_norm_eps", c->layer_norm_eps);
    cJSON_AddNumberToObject(o, "vocab_size", c->vocab_size);
    cJSON_AddNumberToObject(o, "bos_token_id", c->vocab_size - 2);
    cJSON_AddNumberToObject(o, "eos_token_id", c->eos_token_id);
    cJSON_AddNumberToObject(o, "pad_token_id", c->vocab_size - 1);
    return finish(o);
}

char *calo_part_json(const calo_checkpoint *checkpoint, calo_part part)
{
    return part == CALO_UNET  ? unet_json(&checkpoint->unet)
           : part == CALO_VAE ? vae_json(&checkpoint->vae)
                              : clip_json(&checkpoint->clip[part - CALO_TEXT]);
}

static void add_component(cJSON *index, const char *name, const char *library, const char *class)
{
    cJSON *pair = cJSON_AddArrayToObject(index, name);
    cJSON_AddItemToArray(pair, class ? cJSON_CreateString(library) : cJSON_CreateNull());
    cJSON_AddItemToArray(pair, class ? cJSON_CreateString(class) : cJSON_CreateNull());
}

char *calo_index_json(const calo_checkpoint *c)
{
    static const char *const classes[] = { "StableDiffusionPipeline",          "StableDiffusionInpaintPipeline",
                                           "LatentConsistencyModelPipeline",   "StableDiffusionXLPipeline",
                                           "StableDiffusionXLInpaintPipeline", "StableDiffusionXLImg2ImgPipeline" };
    const bool xl = c->pipeline >= CALO_PIPELINE_XL;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "_class_name", classes[c->pipeline]);
    cJSON_AddStringToObject(o, "_diffusers_version", "0.42.1");
    add_component(o, "unet", "diffusers", "UNet2DConditionModel");
    add_component(o, "vae", "diffusers", "AutoencoderKL");
    add_component(o, "scheduler", "diffusers", c->scheduler_class);
    add_component(o, "text_encoder", "transformers", c->has[CALO_TEXT] ? "CLIPTextModel" : NULL);
    add_component(o, "tokenizer", "transformers", c->has[CALO_TEXT] ? "CLIPTokenizer" : NULL);
    add_component(o, "feature_extractor", NULL, NULL);
    add_component(o, "image_encoder", NULL, NULL);
    if (xl) {
        add_component(o, "text_encoder_2", "transformers", "CLIPTextModelWithProjection");
        add_component(o, "tokenizer_2", "transformers", "CLIPTokenizer");
        cJSON_AddBoolToObject(o, "force_zeros_for_empty_prompt", c->force_zeros_for_empty_prompt);
        if (c->pipeline != CALO_PIPELINE_XL)
            cJSON_AddBoolToObject(o, "requires_aesthetics_score", c->requires_aesthetics_score);
    } else {
        add_component(o, "safety_checker", NULL, NULL);
        cJSON_AddBoolToObject(o, "requires_safety_checker", false);
    }
    return finish(o);
}

char *calo_tokenizer_json(bool pads_with_mark)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "tokenizer_class", "CLIPTokenizer");
    cJSON_AddNumberToObject(o, "model_max_length", 77);
    cJSON_AddBoolToObject(o, "add_prefix_space", false);
    cJSON_AddStringToObject(o, "errors", "replace");
    cJSON_AddStringToObject(o, "bos_token", "<|startoftext|>");
    cJSON_AddStringToObject(o, "eos_token", "<|endoftext|>");
    cJSON_AddStringToObject(o, "unk_token", "<|endoftext|>");
    cJSON_AddStringToObject(o, "pad_token", pads_with_mark ? "!" : "<|endoftext|>");
    return finish(o);
}
