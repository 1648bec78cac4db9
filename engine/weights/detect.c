/* Detection by shapes, after ComfyUI's idea: nothing is guessed that a shape says. */
#include "detect.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct detector {
    calo_checkpoint *checkpoint;
    const calo_safetensors *file;
    calo_fault *fault;
    size_t used;
} detector;

enum { REASON_SIZE = 2048 };

static void explain(detector *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void explain(detector *d, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int written = vsnprintf(d->checkpoint->reason + d->used, REASON_SIZE - d->used, format, list);
    va_end(list);
    if (written > 0)
        d->used = d->used + (size_t)written < REASON_SIZE ? d->used + (size_t)written : REASON_SIZE - 1;
}

static const calo_entry *find(const detector *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

static const calo_entry *find(const detector *d, const char *format, ...)
{
    char name[256];
    va_list list;
    va_start(list, format);
    vsnprintf(name, sizeof name, format, list);
    va_end(list);
    return calo_safetensors_find(d->file, name);
}

/* Dimension `at` of a tensor that must be there with that rank and within the engine's bounds. */
static int extent(detector *d, const calo_entry *entry, const char *name, int rank, int at)
{
    if (!entry) {
        calo_fail(d->fault, CALO_EFILE, "%s lacks the tensor %s", d->checkpoint->path, name);
        return 1;
    }
    if (entry->rank != rank || entry->dims[at] < 1 || entry->dims[at] > 1 << 24) {
        calo_fail(d->fault, CALO_EFILE, "%s: tensor %s has rank %d, expected %d", d->checkpoint->path, name,
                  entry->rank, rank);
        return 1;
    }
    return (int)entry->dims[at];
}

static int extent_of(detector *d, int rank, int at, const char *name)
{
    return extent(d, find(d, "%s", name), name, rank, at);
}

/* ---- families that are recognised and refused ------------------------------------------------------------------- */

static calo_status refuse_others(detector *d)
{
    static const struct {
        const char *tensor, *family;
    } others[] = {
        { "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias", "Stable Diffusion XL" },
        { "conditioner.embedders.0.model.transformer.resblocks.9.mlp.c_proj.bias", "the SDXL refiner" },
        { "model.diffusion_model.joint_blocks.0.context_block.adaLN_modulation.1.bias", "Stable Diffusion 3" },
        { "joint_blocks.0.context_block.adaLN_modulation.1.bias", "Stable Diffusion 3" },
        { "double_blocks.0.img_attn.norm.key_norm.scale", "FLUX" },
        { "model.diffusion_model.double_blocks.0.img_attn.norm.key_norm.scale", "FLUX" },
        { "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight", "Stable Diffusion 2" },
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (find(d, "%s", others[i].tensor))
            return calo_fail(d->fault, CALO_EFILE, "%s is a checkpoint of %s (it holds %s); only Stable Diffusion 1.x "
                             "is supported", d->checkpoint->path, others[i].family, others[i].tensor);
    return CALO_OK;
}

/* ---- UNet ------------------------------------------------------------------------------------------------------- */

#define UNET "model.diffusion_model."

static void detect_unet(detector *d)
{
    calo_unet_config *c = &d->checkpoint->unet;
    *c = calo_unet_config_sd1();
    c->in_channels = extent_of(d, 4, 1, UNET "input_blocks.0.0.weight");
    c->out_channels = extent_of(d, 4, 0, UNET "out.2.weight");
    if (d->fault->status)
        return;
    if (c->in_channels != 4) {
        calo_fail(d->fault, CALO_EFILE, "%s: " UNET "input_blocks.0.0.weight has %d input channels (an inpainting or "
                  "instruction model); only 4 are supported", d->checkpoint->path, c->in_channels);
        return;
    }
    /* Walk input_blocks: a resnet is a layer, an op closes a level. */
    c->levels = 0;
    int layers = 0, width = 0, context = 0, depth = 0;
    bool attends = false;
    for (int block = 1;; block++) {
        const calo_entry *resnet = find(d, UNET "input_blocks.%d.0.in_layers.2.weight", block);
        if (resnet) {
            width = extent(d, resnet, resnet->name, 4, 0);
            layers++;
            for (depth = 0; find(d, UNET "input_blocks.%d.1.transformer_blocks.%d.norm1.weight", block, depth);)
                depth++;
            attends = depth > 0;
            const calo_entry *key = find(d, UNET "input_blocks.%d.1.transformer_blocks.0.attn2.to_k.weight", block);
            if (attends)
                context = extent(d, key, "attn2.to_k.weight", 2, 1);
            const calo_entry *proj = find(d, UNET "input_blocks.%d.1.proj_in.weight", block);
            if (proj)
                c->use_linear_projection = proj->rank == 2;
            if (attends)
                c->transformer_layers[c->levels < CALO_MAX_LEVELS ? c->levels : 0] = depth;
        }
        if (!resnet || d->fault->status) { /* an op, or the end: either way the level is complete */
            if (layers == 0 || c->levels == CALO_MAX_LEVELS || layers >= CALO_MAX_LAYERS || d->fault->status)
                break;
            c->block_out_channels[c->levels] = width;
            c->layers_per_block[c->levels] = layers;
            c->down_attends[c->levels] = attends;
            if (!attends)
                c->transformer_layers[c->levels] = 1;
            c->heads[c->levels++] = 8;
            layers = 0;
            attends = false;
            if (!find(d, UNET "input_blocks.%d.0.op.weight", block))
                break;
        }
    }
    if (!d->fault->status && (c->levels == 0 || context == 0))
        calo_fail(d->fault, CALO_EFILE, "%s: the UNet's input_blocks have no resnets or no cross-attention",
                  d->checkpoint->path);
    c->cross_attention_dim = context;
    for (int i = 0, block = 0; i < c->levels; i++) {
        c->up_attends[i] = find(d, UNET "output_blocks.%d.1.transformer_blocks.0.norm1.weight", block) != NULL;
        block += c->layers_per_block[c->levels - 1 - i] + 1;
    }
    const bool cross = find(d, UNET "middle_block.1.transformer_blocks.0.norm1.weight") != NULL;
    c->mid = cross ? CALO_MID_CROSS_ATTENTION : find(d, UNET "middle_block.0.in_layers.2.weight") ? CALO_MID_PLAIN : CALO_MID_NONE;
    if (context == 1024)
        calo_fail(d->fault, CALO_EFILE, "%s is a checkpoint of Stable Diffusion 2 (its cross-attention reads 1024 "
                  "numbers); only Stable Diffusion 1.x is supported", d->checkpoint->path);
    for (int i = 0; i < c->levels && !d->fault->status; i++)
        if (c->block_out_channels[i] % 32 || c->block_out_channels[i] % 8)
            calo_fail(d->fault, CALO_EFILE, "%s: level %d of the UNet is %d wide, which 32 norm groups do not divide; a "
                      "single file does not say how many there are: use a diffusers folder", d->checkpoint->path, i,
                      c->block_out_channels[i]);
    explain(d, "unet: %d levels, width %d, %d layers on the first, context %d (from input_blocks.*.in_layers.2, "
            "attn2.to_k); 8 heads and 32 norm groups as in SD1 (shapes do not say)\n", c->levels,
            c->block_out_channels[0], c->layers_per_block[0], context);
}

/* ---- VAE and CLIP ----------------------------------------------------------------------------------------------- */

#define VAE "first_stage_model."

static void detect_vae(detector *d)
{
    calo_vae_config *c = &d->checkpoint->vae;
    *c = calo_vae_config_sd1();
    c->levels = 0;
    while (c->levels < CALO_MAX_LEVELS) {
        const calo_entry *conv = find(d, VAE "encoder.down.%d.block.0.conv1.weight", c->levels);
        if (!conv)
            break;
        c->block_out_channels[c->levels++] = extent(d, conv, conv->name, 4, 0);
    }
    for (c->layers_per_block = 0; c->layers_per_block < CALO_MAX_LAYERS &&
                                  find(d, VAE "encoder.down.0.block.%d.conv1.weight", c->layers_per_block);)
        c->layers_per_block++;
    c->latent_channels = extent_of(d, 4, 1, VAE "decoder.conv_in.weight");
    c->in_channels = extent_of(d, 4, 1, VAE "encoder.conv_in.weight");
    c->out_channels = extent_of(d, 4, 0, VAE "decoder.conv_out.weight");
    c->use_quant_conv = find(d, VAE "quant_conv.weight") != NULL;
    c->use_post_quant_conv = find(d, VAE "post_quant_conv.weight") != NULL;
    c->mid_block_add_attention = find(d, VAE "decoder.mid.attn_1.q.weight") != NULL;
    if (!d->fault->status && (c->levels == 0 || c->layers_per_block == 0))
        calo_fail(d->fault, CALO_EFILE, "%s lacks the tensor " VAE "encoder.down.0.block.0.conv1.weight",
                  d->checkpoint->path);
    for (int i = 0; i < c->levels && !d->fault->status; i++)
        if (c->block_out_channels[i] % 32)
            calo_fail(d->fault, CALO_EFILE, "%s: level %d of the VAE is %d wide, which 32 norm groups do not divide; a "
                      "single file does not say how many there are: use a diffusers folder", d->checkpoint->path, i,
                      c->block_out_channels[i]);
    explain(d, "vae: %d levels, %d latent channels, scaling factor 0.18215 as in SD1\n", c->levels, c->latent_channels);
}

static void detect_clip(detector *d)
{
    static const char *const prefixes[] = { "cond_stage_model.transformer.text_model.", "cond_stage_model.transformer." };
    calo_clip_config *c = &d->checkpoint->clip;
    const char *prefix = find(d, "%sembeddings.token_embedding.weight", prefixes[0]) ? prefixes[0] : prefixes[1];
    char name[160];
    *c = calo_clip_config_sd1();
    snprintf(name, sizeof name, "%sembeddings.token_embedding.weight", prefix);
    c->vocab_size = extent_of(d, 2, 0, name);
    c->hidden_size = extent_of(d, 2, 1, name);
    snprintf(name, sizeof name, "%sembeddings.position_embedding.weight", prefix);
    c->max_position_embeddings = extent_of(d, 2, 0, name);
    snprintf(name, sizeof name, "%sencoder.layers.0.mlp.fc1.weight", prefix);
    c->intermediate_size = extent_of(d, 2, 0, name);
    for (c->num_hidden_layers = 0; c->num_hidden_layers < 256 &&
                                   find(d, "%sencoder.layers.%d.mlp.fc1.weight", prefix, c->num_hidden_layers);)
        c->num_hidden_layers++;
    /* CLIP's heads are 64 wide in every published model. */
    c->num_attention_heads = c->hidden_size % 64 == 0 ? c->hidden_size / 64 : 1;
    if (!d->fault->status && c->hidden_size % 64)
        calo_fail(d->fault, CALO_EFILE, "%s: the text encoder is %d wide, no multiple of CLIP's head of 64; a single "
                  "file does not say how many heads there are: use a diffusers folder", d->checkpoint->path,
                  c->hidden_size);
    explain(d, "text_encoder: CLIP, %d layers of %d, %d tokens (from %s)\n", c->num_hidden_layers, c->hidden_size,
            c->vocab_size, name);
}

calo_status calo_detect(calo_checkpoint *checkpoint, calo_fault *fault)
{
    detector d = { checkpoint, &checkpoint->parts[CALO_UNET].files[0], fault, 0 };
    checkpoint->reason = calo_alloc(REASON_SIZE, 1);
    if (!checkpoint->reason)
        return calo_fail(fault, CALO_EMEMORY, "no host memory to look into %s", checkpoint->path);
    if (refuse_others(&d))
        return fault->status;
    if (!find(&d, UNET "input_blocks.0.0.weight"))
        return calo_fail(fault, CALO_EFILE, "%s holds no Stable Diffusion 1.x model: it lacks the tensor " UNET
                         "input_blocks.0.0.weight", checkpoint->path);
    detect_unet(&d);
    if (!fault->status)
        detect_vae(&d);
    if (!fault->status)
        detect_clip(&d);
    return fault->status;
}
