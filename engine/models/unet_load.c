/* The parameters of UNet2DConditionModel, in the order of the forward pass. */
#include "../shim.h"
#include "unet.h"

#include <stdio.h>
#include <string.h>

static const double transformer_eps = 1e-6; /* the group norm before a transformer; diffusers has no key for it */
static const double layer_norm_eps = 1e-5;  /* likewise for the norms inside */

static void load_conv(calo_parameters *p, calo_conv2d_weights *w, int64_t outputs, int64_t inputs, int stride, int pad,
                      const char *prefix, const char *name)
{
    *w = (calo_conv2d_weights){ .weight = w->weight, .bias = w->bias, .stride = stride, .upsample = 1,
                                .pad_top = pad, .pad_left = pad, .pad_bottom = pad, .pad_right = pad };
    calo_load_conv2d(p, w, outputs, inputs, 3, "%s%s", prefix, name);
}

static void load_resnet(calo_parameters *p, calo_unet *unet, calo_unet_resnet *w, int64_t inputs, int64_t outputs,
                        const char *prefix)
{
    const calo_unet_config *config = &unet->config;
    const int groups = config->norm_num_groups;
    w->index = unet->resnet_count++;
    calo_load_norm(p, &w->norm1, inputs, groups, config->norm_eps, "%s.norm1", prefix);
    load_conv(p, &w->conv1, outputs, inputs, 1, 1, prefix, ".conv1");
    calo_load_linear(p, &w->time, outputs, 4 * (int64_t)config->block_out_channels[0], true, "%s.time_emb_proj",
                     prefix);
    calo_load_norm(p, &w->norm2, outputs, groups, config->norm_eps, "%s.norm2", prefix);
    load_conv(p, &w->conv2, outputs, outputs, 1, 1, prefix, ".conv2");
    if (inputs != outputs)
        calo_load_pointwise(p, &w->shortcut, outputs, inputs, true, "%s.conv_shortcut", prefix);
}

static void load_block(calo_parameters *p, calo_unet *unet, calo_unet_block *w, int64_t width, const char *prefix)
{
    static const char *const self[] = { "to_q", "to_k", "to_v" };
    static const char *const cross[] = { "to_k", "to_v" };
    const int64_t context = unet->config.cross_attention_dim;
    w->index = unet->block_count++;
    calo_load_norm(p, &w->norm1, width, 1, layer_norm_eps, "%s.norm1", prefix);
    calo_load_stacked(p, &w->qkv, self, 3, width, width, false, "%s.attn1", prefix);
    calo_load_linear(p, &w->self_out, width, width, true, "%s.attn1.to_out.0", prefix);
    calo_load_norm(p, &w->norm2, width, 1, layer_norm_eps, "%s.norm2", prefix);
    calo_load_linear(p, &w->q, width, width, false, "%s.attn2.to_q", prefix);
    calo_load_stacked(p, &w->kv, cross, 2, width, context, false, "%s.attn2", prefix);
    calo_load_linear(p, &w->cross_out, width, width, true, "%s.attn2.to_out.0", prefix);
    calo_load_norm(p, &w->norm3, width, 1, layer_norm_eps, "%s.norm3", prefix);
    calo_load_gated(p, &w->feed_in, 8 * width, width, true, "%s.ff.net.0.proj", prefix);
    calo_load_linear(p, &w->feed_out, width, 4 * width, true, "%s.ff.net.2", prefix);
}

static void load_projection(calo_parameters *p, const calo_unet *unet, calo_linear_weights *w, int64_t width,
                            const char *prefix, const char *name)
{
    if (unet->config.use_linear_projection)
        calo_load_linear(p, w, width, width, true, "%s.%s", prefix, name);
    else
        calo_load_pointwise(p, w, width, width, true, "%s.%s", prefix, name);
}

static void load_transformer(calo_parameters *p, calo_unet *unet, calo_unet_transformer *w, int64_t width, int depth,
                             int heads, const char *prefix)
{
    char name[128];
    w->depth = depth;
    w->heads = heads;
    calo_load_norm(p, &w->norm, width, unet->config.norm_num_groups, transformer_eps, "%s.norm", prefix);
    load_projection(p, unet, &w->proj_in, width, prefix, "proj_in");
    w->blocks = calo_model_array(p, w->blocks, depth, sizeof *w->blocks);
    for (int i = 0; w->blocks && i < depth; i++) {
        snprintf(name, sizeof name, "%s.transformer_blocks.%d", prefix, i);
        load_block(p, unet, &w->blocks[i], width, name);
    }
    load_projection(p, unet, &w->proj_out, width, prefix, "proj_out");
}

/* `inputs` has the width of each resnet's input. */
static void load_level(calo_parameters *p, calo_unet *unet, calo_unet_level *level, const int64_t *inputs, int count,
                       int64_t outputs, const int *depths, int heads, const char *prefix)
{
    char name[96];
    level->count = count;
    level->resnets = calo_model_array(p, level->resnets, count, sizeof *level->resnets);
    level->transformers = calo_model_array(p, level->transformers, count, sizeof *level->transformers);
    for (int i = 0; level->resnets && level->transformers && i < count; i++) {
        snprintf(name, sizeof name, "%s.resnets.%d", prefix, i);
        load_resnet(p, unet, &level->resnets[i], inputs[i], outputs, name);
        snprintf(name, sizeof name, "%s.attentions.%d", prefix, i);
        if (depths[i])
            load_transformer(p, unet, &level->transformers[i], outputs, depths[i], heads, name);
    }
}

static void load_down(calo_parameters *p, calo_unet *unet)
{
    const calo_unet_config *config = &unet->config;
    int64_t width = config->block_out_channels[0], inputs[CALO_MAX_LAYERS];
    char name[96];
    unet->down = calo_model_array(p, unet->down, config->levels, sizeof *unet->down);
    for (int i = 0; unet->down && i < config->levels; i++) {
        calo_unet_level *level = &unet->down[i];
        const int64_t outputs = config->block_out_channels[i];
        const int count = config->layers_per_block[i];
        for (int k = 0; k < count; k++)
            inputs[k] = k ? outputs : width;
        snprintf(name, sizeof name, "down_blocks.%d", i);
        load_level(p, unet, level, inputs, count, outputs, config->down_depths[i], config->heads[i], name);
        width = outputs;
        level->resamples = i + 1 < config->levels;
        if (level->resamples) {
            snprintf(name, sizeof name, "down_blocks.%d.downsamplers.0.conv", i);
            load_conv(p, &level->resample, width, width, 2, 1, name, "");
            if (config->downsample_padding == 0) /* then diffusers pads the far sides before the convolution */
                level->resample.pad_top = level->resample.pad_left = 0;
        }
    }
}

/* Going up, level i has the width of level n−1−i going down; each resnet's input is joined by a kept output of the way
 * down, whose widths are, from the last to the first: those of the level's layers, then of what came into the level. */
static void load_up(calo_parameters *p, calo_unet *unet)
{
    const calo_unet_config *config = &unet->config;
    const int levels = config->levels;
    int64_t width = config->block_out_channels[levels - 1], inputs[CALO_MAX_LAYERS + 1];
    char name[96];
    unet->up = calo_model_array(p, unet->up, levels, sizeof *unet->up);
    for (int i = 0; unet->up && i < levels; i++) {
        calo_unet_level *level = &unet->up[i];
        const int mirror = levels - 1 - i;
        const int64_t outputs = config->block_out_channels[mirror];
        const int64_t entering = config->block_out_channels[mirror > 0 ? mirror - 1 : 0];
        const int count = config->layers_per_block[mirror] + 1;
        for (int k = 0; k < count; k++)
            inputs[k] = (k ? outputs : width) + (k + 1 < count ? outputs : entering);
        snprintf(name, sizeof name, "up_blocks.%d", i);
        load_level(p, unet, level, inputs, count, outputs, config->up_depths[i], config->heads[mirror], name);
        width = outputs;
        level->resamples = i + 1 < levels;
        if (level->resamples) {
            snprintf(name, sizeof name, "up_blocks.%d.upsamplers.0.conv", i);
            load_conv(p, &level->resample, width, width, 1, 1, name, "");
            level->resample.upsample = 2;
        }
    }
}

static void load_mid(calo_parameters *p, calo_unet *unet)
{
    const calo_unet_config *config = &unet->config;
    const int last = config->levels - 1;
    const int64_t width = config->block_out_channels[last];
    unet->has_mid = config->mid != CALO_MID_NONE;
    if (!unet->has_mid)
        return;
    load_resnet(p, unet, &unet->mid[0], width, width, "mid_block.resnets.0");
    if (config->mid == CALO_MID_CROSS_ATTENTION)
        load_transformer(p, unet, &unet->mid_transformer, width, config->mid_depth, config->heads[last],
                         "mid_block.attentions.0");
    if (config->mid == CALO_MID_CROSS_ATTENTION) /* UNetMidBlock2D has no second resnet in a UNet */
        load_resnet(p, unet, &unet->mid[1], width, width, "mid_block.resnets.1");
}

void calo_unet_load(calo_parameters *p, const calo_unet_config *config, calo_unet *unet)
{
    const int64_t width = config->block_out_channels[0];
    unet->config = *config;
    unet->resnet_count = unet->block_count = 0;
    calo_load_linear(p, &unet->time1, 4 * width, width, true, "time_embedding.linear_1");
    calo_load_linear(p, &unet->time2, 4 * width, 4 * width, true, "time_embedding.linear_2");
    if (config->time_cond_proj_dim)
        calo_load_linear(p, &unet->guidance, width, config->time_cond_proj_dim, false, "time_embedding.cond_proj");
    if (config->text_time) {
        calo_load_linear(p, &unet->added1, 4 * width, config->projection_class_embeddings_input_dim, true,
                         "add_embedding.linear_1");
        calo_load_linear(p, &unet->added2, 4 * width, 4 * width, true, "add_embedding.linear_2");
    }
    load_conv(p, &unet->conv_in, width, config->in_channels, 1, 1, "conv_in", "");
    load_down(p, unet);
    load_mid(p, unet);
    load_up(p, unet);
    calo_load_norm(p, &unet->norm_out, width, config->norm_num_groups, config->norm_eps, "conv_norm_out");
    load_conv(p, &unet->conv_out, config->out_channels, width, 1, 1, "conv_out", "");
}

static void free_transformer(calo_unet_transformer *transformer)
{
    calo_free(transformer->blocks);
}

static void free_levels(calo_unet_level *levels, int count)
{
    for (int i = 0; levels && i < count; i++) {
        for (int k = 0; levels[i].transformers && k < levels[i].count; k++)
            free_transformer(&levels[i].transformers[k]);
        calo_free(levels[i].transformers);
        calo_free(levels[i].resnets);
    }
    calo_free(levels);
}

void calo_unet_free(calo_unet *unet)
{
    free_levels(unet->down, unet->config.levels);
    free_levels(unet->up, unet->config.levels);
    free_transformer(&unet->mid_transformer);
    memset(unet, 0, sizeof *unet);
}
