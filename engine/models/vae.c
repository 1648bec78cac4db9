/* AutoencoderKL (Rombach et al. 2022), the decoder and encoder of diffusers' class of that name.

       decode: z = latents · std / scaling_factor + mean, by channel, where a VAE states them; otherwise
               z = latents / scaling_factor + shift;  h = conv_in(post_quant(z));  mid;  levels up;
               image = conv_out(silu(norm_out(h)))
       resnet: x + conv2(silu(norm2(conv1(silu(norm1(x))))))
       mid:    resnet, attention over all pixels with one head, resnet */
#include "vae.h"
#include "../../kernels/attention/attention.h"
#include "../../kernels/elementwise/elementwise.h"
#include "../../kernels/group_norm/group_norm.h"
#include "../shim.h"

#include <stdio.h>
#include <string.h>

static const double norm_eps = 1e-6; /* fixed in diffusers' encoder and decoder, no configuration names it */

/* ---- loading ---------------------------------------------------------------------------------------------------- */

static void load_conv(calo_parameters *p, calo_conv2d_weights *w, int64_t outputs, int64_t inputs, const char *prefix,
                      const char *name)
{
    *w = (calo_conv2d_weights){ .weight = w->weight, .bias = w->bias, .stride = 1, .upsample = 1,
                                .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1 };
    calo_load_conv2d(p, w, outputs, inputs, 3, "%s%s", prefix, name);
}

static void load_resnet(calo_parameters *p, calo_vae_resnet *w, int groups, int64_t inputs, int64_t outputs,
                        const char *prefix)
{
    calo_load_norm(p, &w->norm1, inputs, groups, norm_eps, "%s.norm1", prefix);
    load_conv(p, &w->conv1, outputs, inputs, prefix, ".conv1");
    calo_load_norm(p, &w->norm2, outputs, groups, norm_eps, "%s.norm2", prefix);
    load_conv(p, &w->conv2, outputs, outputs, prefix, ".conv2");
    if (inputs != outputs)
        calo_load_pointwise(p, &w->shortcut, outputs, inputs, true, "%s.conv_shortcut", prefix);
}

static void load_mid(calo_parameters *p, const calo_vae_config *config, calo_vae_half *half, int64_t width,
                     const char *prefix)
{
    static const char *const projections[] = { "to_q", "to_k", "to_v" };
    const int groups = config->norm_num_groups;
    char name[96];
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s.mid_block.resnets.%d", prefix, i);
        load_resnet(p, &half->mid[i], groups, width, width, name);
    }
    if (!config->mid_block_add_attention)
        return;
    calo_load_norm(p, &half->mid_attention.norm, width, groups, norm_eps, "%s.mid_block.attentions.0.group_norm", prefix);
    calo_load_stacked(p, &half->mid_attention.qkv, projections, 3, width, width, true, "%s.mid_block.attentions.0",
                      prefix);
    calo_load_linear(p, &half->mid_attention.out, width, width, true, "%s.mid_block.attentions.0.to_out.0", prefix);
}

static void load_decoder(calo_parameters *p, const calo_vae_config *config, calo_vae_half *half)
{
    const int levels = config->levels, groups = config->norm_num_groups;
    int64_t width = config->block_out_channels[levels - 1];
    char name[96];
    load_conv(p, &half->conv_in, width, config->latent_channels, "decoder", ".conv_in");
    load_mid(p, config, half, width, "decoder");
    half->level_count = levels;
    half->levels = calo_model_array(p, half->levels, levels, sizeof *half->levels);
    for (int i = 0; half->levels && i < levels; i++) {
        calo_vae_level *level = &half->levels[i];
        const int64_t outputs = config->block_out_channels[levels - 1 - i];
        level->count = config->layers_per_block + 1;
        level->resnets = calo_model_array(p, level->resnets, level->count, sizeof *level->resnets);
        for (int k = 0; level->resnets && k < level->count; k++) {
            snprintf(name, sizeof name, "decoder.up_blocks.%d.resnets.%d", i, k);
            load_resnet(p, &level->resnets[k], groups, k ? outputs : width, outputs, name);
        }
        width = outputs;
        level->resamples = i + 1 < levels;
        if (level->resamples) {
            snprintf(name, sizeof name, "decoder.up_blocks.%d.upsamplers.0.conv", i);
            load_conv(p, &level->resample, width, width, name, "");
            level->resample.upsample = 2;
        }
    }
    calo_load_norm(p, &half->norm_out, width, groups, norm_eps, "decoder.conv_norm_out");
    load_conv(p, &half->conv_out, config->out_channels, width, "decoder", ".conv_out");
}

static void load_encoder(calo_parameters *p, const calo_vae_config *config, calo_vae_half *half)
{
    const int levels = config->levels, groups = config->norm_num_groups;
    int64_t width = config->block_out_channels[0];
    char name[96];
    load_conv(p, &half->conv_in, width, config->in_channels, "encoder", ".conv_in");
    half->level_count = levels;
    half->levels = calo_model_array(p, half->levels, levels, sizeof *half->levels);
    for (int i = 0; half->levels && i < levels; i++) {
        calo_vae_level *level = &half->levels[i];
        const int64_t outputs = config->block_out_channels[i];
        level->count = config->layers_per_block;
        level->resnets = calo_model_array(p, level->resnets, level->count, sizeof *level->resnets);
        for (int k = 0; level->resnets && k < level->count; k++) {
            snprintf(name, sizeof name, "encoder.down_blocks.%d.resnets.%d", i, k);
            load_resnet(p, &level->resnets[k], groups, k ? outputs : width, outputs, name);
        }
        width = outputs;
        level->resamples = i + 1 < levels;
        if (level->resamples) {
            snprintf(name, sizeof name, "encoder.down_blocks.%d.downsamplers.0.conv", i);
            load_conv(p, &level->resample, width, width, name, "");
            level->resample.stride = 2;
            level->resample.pad_top = level->resample.pad_left = 0; /* diffusers pads the far sides only */
        }
    }
    load_mid(p, config, half, width, "encoder");
    calo_load_norm(p, &half->norm_out, width, groups, norm_eps, "encoder.conv_norm_out");
    load_conv(p, &half->conv_out, 2 * config->latent_channels, width, "encoder", ".conv_out");
}

void calo_vae_load(calo_parameters *p, const calo_vae_config *config, bool with_encoder, calo_vae *vae)
{
    const int64_t latent = config->latent_channels;
    vae->config = *config;
    if (config->has_statistics) {
        double diagonal[4];
        for (int i = 0; i < 4; i++)
            diagonal[i] = config->latents_std[i] / config->scaling_factor;
        calo_load_diagonal(p, &vae->unscale, 4, diagonal, config->latents_mean);
    }
    if (config->use_post_quant_conv)
        calo_load_pointwise(p, &vae->post_quant, latent, latent, true, "post_quant_conv");
    load_decoder(p, config, &vae->decoder);
    if (!with_encoder)
        return;
    load_encoder(p, config, &vae->encoder);
    if (config->use_quant_conv)
        calo_load_pointwise(p, &vae->quant, 2 * latent, 2 * latent, true, "quant_conv");
}

static void free_half(calo_vae_half *half)
{
    for (int i = 0; half->levels && i < half->level_count; i++)
        calo_free(half->levels[i].resnets);
    calo_free(half->levels);
}

void calo_vae_free(calo_vae *vae)
{
    free_half(&vae->encoder);
    free_half(&vae->decoder);
    memset(vae, 0, sizeof *vae);
}

/* ---- forward ---------------------------------------------------------------------------------------------------- */

/* x [B,H,W,C] → [B,H,W,O]; x's memory is given back. */
static calo_tensor resnet(calo_run *run, const calo_vae_resnet *w, calo_tensor x)
{
    calo_tensor h = calo_group_norm(run, x, &w->norm1, CALO_SILU);
    h = calo_conv2d(run, calo_take(&h), &w->conv1, NULL);
    h = calo_group_norm(run, calo_take(&h), &w->norm2, CALO_SILU);
    if (calo_present(w->shortcut.weight))
        x = calo_linear(run, calo_take(&x), &w->shortcut, NULL);
    return calo_conv2d(run, calo_take(&h), &w->conv2, &(calo_epilogue){ .residual = calo_take(&x) });
}

/* x [B,H,W,C] as H·W tokens, one head of C. */
static calo_tensor attention(calo_run *run, const calo_vae_attention *w, calo_tensor x)
{
    const int64_t width = calo_tensor_columns(x);
    const int64_t pixels = x.dims[1] * x.dims[2];
    calo_tensor h = calo_group_norm(run, x, &w->norm, CALO_LINEAR);
    calo_tensor qkv = calo_linear(run, calo_take(&h), &w->qkv, NULL);
    calo_tensor tokens = calo_reshape(qkv, 3, (int64_t[]){ x.dims[0], pixels, 3 * width });
    calo_tensor a = calo_attention(run, calo_columns(tokens, 0, width), calo_columns(tokens, width, width),
                                   calo_columns(tokens, 2 * width, width), &(calo_attention_args){ .heads = 1 });
    calo_drop(run, &qkv);
    calo_tensor image = calo_reshape(a, 4, x.dims);
    h = calo_linear(run, image, &w->out, &(calo_epilogue){ .residual = calo_take(&x) });
    calo_drop(run, &a);
    return h;
}

static calo_tensor middle(calo_run *run, const calo_vae_half *half, calo_tensor h)
{
    h = resnet(run, &half->mid[0], h);
    if (calo_present(half->mid_attention.qkv.weight))
        h = attention(run, &half->mid_attention, h);
    return resnet(run, &half->mid[1], h);
}

static calo_tensor levels(calo_run *run, const calo_vae_half *half, calo_tensor h)
{
    for (int i = 0; i < half->level_count; i++) {
        const calo_vae_level *level = &half->levels[i];
        for (int k = 0; k < level->count; k++)
            h = resnet(run, &level->resnets[k], h);
        if (level->resamples)
            h = calo_conv2d(run, calo_take(&h), &level->resample, NULL);
    }
    return h;
}

static calo_tensor finish(calo_run *run, const calo_vae_half *half, calo_tensor h)
{
    h = calo_group_norm(run, calo_take(&h), &half->norm_out, CALO_SILU);
    return calo_conv2d(run, calo_take(&h), &half->conv_out, NULL);
}

calo_tensor calo_vae_decode(calo_run *run, const calo_vae *vae, calo_tensor latents, double shift)
{
    run->label = "vae";
    calo_tensor z;
    if (vae->config.has_statistics) {
        z = calo_cast(run, latents, run->dtype);
        z = calo_linear(run, calo_take(&z), &vae->unscale, NULL);
    } else {
        z = calo_affine(run, latents, 1 / vae->config.scaling_factor, shift, run->dtype);
    }
    if (calo_present(vae->post_quant.weight))
        z = calo_linear(run, calo_take(&z), &vae->post_quant, NULL);
    calo_tensor h = calo_conv2d(run, calo_take(&z), &vae->decoder.conv_in, NULL);
    h = middle(run, &vae->decoder, h);
    h = levels(run, &vae->decoder, h);
    return finish(run, &vae->decoder, h);
}

calo_tensor calo_vae_encode(calo_run *run, const calo_vae *vae, calo_tensor image)
{
    run->label = "vae";
    calo_tensor h = calo_conv2d(run, image, &vae->encoder.conv_in, NULL);
    h = levels(run, &vae->encoder, h);
    h = middle(run, &vae->encoder, h);
    h = finish(run, &vae->encoder, h);
    return calo_present(vae->quant.weight) ? calo_linear(run, calo_take(&h), &vae->quant, NULL) : h;
}
