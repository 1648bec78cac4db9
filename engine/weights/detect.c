/* Detection by shapes, after ComfyUI's idea: nothing is guessed that a shape says. */
#include "detect.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct detector {
    calo_checkpoint *checkpoint;
    calo_source *source;
    calo_fault *fault;
} detector;

/* The source's tensor PREFIX + name; NULL: there is none. */
static const calo_entry *find(const detector *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

static const calo_entry *find(const detector *d, const char *format, ...)
{
    char name[256];
    va_list list;
    const int used = snprintf(name, sizeof name, "%s", d->source->prefix);
    va_start(list, format);
    vsnprintf(name + used, sizeof name - (size_t)used, format, list);
    va_end(list);
    for (int i = 0; i < d->source->count; i++) {
        const calo_entry *entry = calo_tensor_file_find(&d->source->files[i], name);
        if (entry)
            return entry;
    }
    return NULL;
}

static const char *path_of(const detector *d)
{
    return d->source->files[0].file.path;
}

/* Dimension `at` of a tensor that must be there with that rank and within the engine's bounds. */
static int extent(detector *d, const calo_entry *entry, const char *name, int rank, int at)
{
    if (!entry) {
        calo_fail(d->fault, CALO_EFILE, "%s lacks the tensor %s%s", path_of(d), d->source->prefix, name);
        return 1;
    }
    if (entry->rank != rank || entry->dims[at] < 1 || entry->dims[at] > 1 << 24) {
        calo_fail(d->fault, CALO_EFILE, "%s: tensor %s has rank %d, expected %d", path_of(d), entry->name, entry->rank,
                  rank);
        return 1;
    }
    return (int)entry->dims[at];
}

static int extent_of(detector *d, int rank, int at, const char *name)
{
    return extent(d, find(d, "%s", name), name, rank, at);
}

typedef struct place {
    const char *prefix, *probe; /* where a part may be, and a tensor that it then has */
    calo_naming naming;
} place;

static bool choose_place(detector *d, const place *places, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        d->source->prefix = places[i].prefix;
        d->source->naming = places[i].naming;
        if (find(d, "%s", places[i].probe))
            return true;
    }
    return false;
}

#define COUNT(table) (sizeof(table) / sizeof *(table))

static void expect_groups(detector *d, const char *part, const int *widths, int levels)
{
    for (int i = 0; i < levels && !d->fault->status; i++)
        if (widths[i] % 32)
            calo_fail(d->fault, CALO_EFILE, "%s: level %d of the %s is %d wide, which 32 norm groups do not divide; a "
                      "single file does not say how many there are: use a diffusers folder", path_of(d), i, part, widths[i]);
}

/* ---- UNet ------------------------------------------------------------------------------------------------------- */

/* Transformer blocks behind a resnet: those of the module BLOCK.1. */
static int depth_of(const detector *d, const char *block)
{
    int depth = 0;
    while (depth < 64 && find(d, "%s.1.transformer_blocks.%d.norm1.weight", block, depth))
        depth++;
    return depth;
}

static void look_into_block(detector *d, const char *block, int depth)
{
    calo_unet_config *c = &d->checkpoint->unet;
    if (!depth)
        return;
    c->cross_attention_dim = extent(d, find(d, "%s.1.transformer_blocks.0.attn2.to_k.weight", block), "attn2.to_k.weight",
                                    2, 1);
    const calo_entry *proj = find(d, "%s.1.proj_in.weight", block);
    c->use_linear_projection = proj && proj->rank == 2;
}

/* Walks input_blocks: a resnet is a layer, an op closes a level. */
static void walk_down(detector *d)
{
    calo_unet_config *c = &d->checkpoint->unet;
    char block[32];
    int layers = 0, width = 0;
    c->levels = 0;
    for (int number = 1; !d->fault->status; number++) {
        snprintf(block, sizeof block, "input_blocks.%d", number);
        const calo_entry *resnet = find(d, "%s.0.in_layers.2.weight", block);
        if (resnet) {
            if (c->levels == CALO_MAX_LEVELS || layers + 1 >= CALO_MAX_LAYERS) {
                calo_fail(d->fault, CALO_EFILE, "%s: the UNet has more than %d levels or %d layers", path_of(d),
                          CALO_MAX_LEVELS, CALO_MAX_LAYERS - 1);
                return;
            }
            width = extent(d, resnet, resnet->name, 4, 0);
            const int depth = depth_of(d, block);
            look_into_block(d, block, depth);
            c->down_depths[c->levels][layers++] = depth;
            continue;
        }
        if (layers == 0)
            return;
        c->block_out_channels[c->levels] = width;
        c->layers_per_block[c->levels++] = layers;
        layers = 0;
        if (!find(d, "%s.0.op.weight", block))
            return;
    }
}

static void walk_up(detector *d)
{
    calo_unet_config *c = &d->checkpoint->unet;
    char block[32];
    int number = 0;
    for (int i = 0; i < c->levels; i++)
        for (int k = 0; k <= c->layers_per_block[c->levels - 1 - i]; k++, number++) {
            snprintf(block, sizeof block, "output_blocks.%d", number);
            c->up_depths[i][k] = depth_of(d, block);
            look_into_block(d, block, c->up_depths[i][k]);
        }
    c->mid_depth = depth_of(d, "middle_block");
    look_into_block(d, "middle_block", c->mid_depth);
    c->mid = c->mid_depth                                ? CALO_MID_CROSS_ATTENTION
             : find(d, "middle_block.0.in_layers.2.weight") ? CALO_MID_PLAIN
                                                         : CALO_MID_NONE;
}

static void set_heads(detector *d)
{
    calo_unet_config *c = &d->checkpoint->unet;
    for (int i = 0; i < c->levels && !d->fault->status; i++) {
        const int width = c->block_out_channels[i];
        c->heads[i] = c->use_linear_projection && width >= 64 ? width / 64 : c->use_linear_projection ? 1 : 8;
        const bool attends = calo_unet_attends(c, i) || (i + 1 == c->levels && c->mid_depth);
        if (attends && (c->use_linear_projection ? width % 64 : width % 8))
            calo_fail(d->fault, CALO_EFILE, "%s: level %d of the UNet is %d wide, which heads of %s do not divide; a single "
                      "file does not say how many there are: use a diffusers folder", path_of(d), i, width,
                      c->use_linear_projection ? "64 numbers" : "one eighth");
    }
}

bool calo_detect_unet(calo_checkpoint *checkpoint, calo_fault *fault)
{
    static const place places[] = { { "model.diffusion_model.", "input_blocks.0.0.weight", CALO_NAMES_ORIGINAL },
                                    { "", "input_blocks.0.0.weight", CALO_NAMES_ORIGINAL } };
    detector d = { checkpoint, &checkpoint->parts[CALO_UNET], fault };
    calo_unet_config *c = &checkpoint->unet;
    if (!choose_place(&d, places, COUNT(places)))
        return false;
    *c = calo_unet_config_sd1();
    memset(c->down_depths, 0, sizeof c->down_depths);
    memset(c->up_depths, 0, sizeof c->up_depths);
    c->cross_attention_dim = 0;
    c->in_channels = extent_of(&d, 4, 1, "input_blocks.0.0.weight");
    c->out_channels = extent_of(&d, 4, 0, "out.2.weight");
    walk_down(&d);
    if (!fault->status && (c->levels == 0 || c->cross_attention_dim == 0)) {
        walk_up(&d); /* cross-attention may stand on the way up alone */
        if (c->levels == 0 || c->cross_attention_dim == 0)
            calo_fail(fault, CALO_EFILE, "%s: the UNet's input_blocks have no resnets or no cross-attention", path_of(&d));
    }
    walk_up(&d);
    set_heads(&d);
    expect_groups(&d, "UNet", c->block_out_channels, c->levels);
    const calo_entry *added = find(&d, "label_emb.0.0.weight"), *guidance = find(&d, "time_embed.cond_proj.weight");
    c->text_time = added != NULL;
    if (added)
        c->projection_class_embeddings_input_dim = extent(&d, added, added->name, 2, 1);
    if (guidance)
        c->time_cond_proj_dim = extent(&d, guidance, guidance->name, 2, 1);
    if (fault->status)
        return true;
    calo_checkpoint_explain(checkpoint, "unet: %d levels", c->levels);
    for (int i = 0; i < c->levels; i++)
        calo_checkpoint_explain(checkpoint, "%s %d wide, depth %d", i ? "," : ":", c->block_out_channels[i],
                                c->down_depths[i][0]);
    calo_checkpoint_explain(checkpoint, " (%sinput_blocks.*.in_layers.2, transformer_blocks); context %d (attn2.to_k); %s; "
                            "32 norm groups (shapes do not say)\n", d.source->prefix, c->cross_attention_dim,
                            c->use_linear_projection ? "proj_in is a linear, so heads of 64"
                                                     : "proj_in is a convolution, so 8 heads");
    calo_checkpoint_explain(checkpoint, "unet: %d input channels (input_blocks.0.0)%s\n", c->in_channels,
                            added ? ", an added condition (label_emb)" : "");
    return true;
}

/* ---- VAE -------------------------------------------------------------------------------------------------------- */

bool calo_detect_vae(calo_checkpoint *checkpoint, calo_fault *fault)
{
    static const place places[] = {
        { "first_stage_model.", "decoder.conv_in.weight", CALO_NAMES_ORIGINAL },
        { "vae.", "decoder.conv_in.weight", CALO_NAMES_ORIGINAL },
        { "", "decoder.up_blocks.0.resnets.0.norm1.weight", CALO_NAMES_DIFFUSERS },
        { "", "decoder.up.0.block.0.norm1.weight", CALO_NAMES_ORIGINAL },
    };
    detector d = { checkpoint, &checkpoint->parts[CALO_VAE], fault };
    calo_vae_config *c = &checkpoint->vae;
    const double scaling_factor = c->scaling_factor, shift_factor = c->shift_factor;
    if (!choose_place(&d, places, COUNT(places)))
        return false;
    const bool original = d.source->naming == CALO_NAMES_ORIGINAL;
    const char *const conv = original ? "encoder.down.%d.block.%d.conv1.weight" : "encoder.down_blocks.%d.resnets.%d.conv1.weight";
    char name[96];
    *c = calo_vae_config_sd1();
    if (scaling_factor != 0) { /* a VAE that replaces another works in the same latents */
        c->scaling_factor = scaling_factor;
        c->shift_factor = shift_factor;
    }
    for (c->levels = 0; c->levels < CALO_MAX_LEVELS; c->levels++) {
        snprintf(name, sizeof name, conv, c->levels, 0);
        const calo_entry *entry = find(&d, "%s", name);
        if (!entry)
            break;
        c->block_out_channels[c->levels] = extent(&d, entry, entry->name, 4, 0);
    }
    for (c->layers_per_block = 0; c->layers_per_block < CALO_MAX_LAYERS - 1; c->layers_per_block++) {
        snprintf(name, sizeof name, conv, 0, c->layers_per_block);
        if (!find(&d, "%s", name))
            break;
    }
    c->latent_channels = extent_of(&d, 4, 1, "decoder.conv_in.weight");
    c->in_channels = extent_of(&d, 4, 1, "encoder.conv_in.weight");
    c->out_channels = extent_of(&d, 4, 0, "decoder.conv_out.weight");
    c->use_quant_conv = find(&d, "quant_conv.weight") != NULL;
    c->use_post_quant_conv = find(&d, "post_quant_conv.weight") != NULL;
    c->mid_block_add_attention = find(&d, original ? "decoder.mid.attn_1.norm.weight"
                                                   : "decoder.mid_block.attentions.0.group_norm.weight") != NULL;
    if (!fault->status && (c->levels == 0 || c->layers_per_block == 0))
        calo_fail(fault, CALO_EFILE, "%s lacks the tensor %s%s", path_of(&d), d.source->prefix, "encoder's first conv1");
    expect_groups(&d, "VAE", c->block_out_channels, c->levels);
    if (!fault->status)
        calo_checkpoint_explain(checkpoint, "vae: %d levels, %d latent channels (%sdecoder.conv_in)\n", c->levels,
                                c->latent_channels, d.source->prefix);
    return true;
}

/* ---- text encoders ---------------------------------------------------------------------------------------------- */

static const place first_places[] = {
    { "cond_stage_model.transformer.", "text_model.embeddings.token_embedding.weight", CALO_NAMES_DIFFUSERS },
    { "cond_stage_model.transformer.", "embeddings.token_embedding.weight", CALO_NAMES_DIFFUSERS },
    { "cond_stage_model.model.", "token_embedding.weight", CALO_NAMES_ORIGINAL },
    { "conditioner.embedders.0.transformer.", "text_model.embeddings.token_embedding.weight", CALO_NAMES_DIFFUSERS },
};
static const place second_places[] = {
    { "conditioner.embedders.1.model.", "token_embedding.weight", CALO_NAMES_ORIGINAL },
    { "conditioner.embedders.1.transformer.", "text_model.embeddings.token_embedding.weight", CALO_NAMES_DIFFUSERS },
    { "conditioner.embedders.0.model.", "token_embedding.weight", CALO_NAMES_ORIGINAL }, /* the refiner's only one */
};
static const place lone_places[] = {
    { "", "text_model.embeddings.token_embedding.weight", CALO_NAMES_DIFFUSERS },
    { "", "embeddings.token_embedding.weight", CALO_NAMES_DIFFUSERS },
    { "", "token_embedding.weight", CALO_NAMES_ORIGINAL },
    { "model.", "token_embedding.weight", CALO_NAMES_ORIGINAL },
};

bool calo_detect_clip(calo_checkpoint *checkpoint, calo_part part, bool alone, calo_fault *fault)
{
    detector d = { checkpoint, &checkpoint->parts[part], fault };
    calo_clip_config *c = &checkpoint->clip[part - CALO_TEXT];
    if (alone ? !choose_place(&d, lone_places, COUNT(lone_places))
        : part == CALO_TEXT ? !choose_place(&d, first_places, COUNT(first_places))
                            : !choose_place(&d, second_places, COUNT(second_places)))
        return false;
    const bool original = d.source->naming == CALO_NAMES_ORIGINAL;
    const char *const inner = !original && find(&d, "text_model.embeddings.token_embedding.weight") ? "text_model." : "";
    char tokens[96], positions[96], layer[96];
    snprintf(tokens, sizeof tokens, "%s%stoken_embedding.weight", inner, original ? "" : "embeddings.");
    snprintf(positions, sizeof positions, original ? "positional_embedding" : "%sembeddings.position_embedding.weight", inner);
    *c = calo_clip_config_sd1();
    c->vocab_size = extent_of(&d, 2, 0, tokens);
    c->hidden_size = extent_of(&d, 2, 1, tokens);
    c->max_position_embeddings = extent_of(&d, 2, 0, positions);
    int layers = 0;
    for (; layers < 256; layers++) {
        if (original)
            snprintf(layer, sizeof layer, "transformer.resblocks.%d.mlp.c_fc.weight", layers);
        else
            snprintf(layer, sizeof layer, "%sencoder.layers.%d.mlp.fc1.weight", inner, layers);
        const calo_entry *entry = find(&d, "%s", layer);
        if (!entry)
            break;
        c->intermediate_size = extent(&d, entry, entry->name, 2, 0);
    }
    if (!fault->status && layers < 2)
        calo_fail(fault, CALO_EFILE, "%s lacks the tensor %s%s", path_of(&d), d.source->prefix, layer);
    /* Stable Diffusion 2 never runs its encoder's last layer. */
    const bool penultimate = original && part == CALO_TEXT;
    c->num_hidden_layers = penultimate ? layers - 1 : layers;
    c->hidden_act = original || layers > 12 ? CALO_GELU : CALO_QUICK_GELU;
    c->num_attention_heads = c->hidden_size % 64 == 0 ? c->hidden_size / 64 : 1;
    if (!fault->status && c->hidden_size % 64)
        calo_fail(fault, CALO_EFILE, "%s: the text encoder is %d wide, no multiple of CLIP's head of 64; a single file does "
                  "not say how many heads there are: use a diffusers folder", path_of(&d), c->hidden_size);
    c->projects = part == CALO_TEXT_2;
    if (c->projects)
        c->projection_dim = original ? extent_of(&d, 2, 1, "text_projection") : extent_of(&d, 2, 0, "text_projection.weight");
    if (!fault->status)
        calo_checkpoint_explain(checkpoint, "%s: %s, %d layers of %d%s (%s%s)\n", calo_part_name(part),
                                original ? "OpenCLIP" : "CLIP", layers, c->hidden_size,
                                penultimate ? ", the last of which is never run" : "", d.source->prefix, tokens);
    return true;
}
