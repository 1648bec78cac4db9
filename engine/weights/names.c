/* Naming schemes as tables of replacements.

   LDM (CompVis' single files) numbers the UNet's blocks straight through: input_blocks.0 is the first convolution, then
   come each level's layers and its downsampler; output_blocks likewise going up. Inside a block, layer 0 is the resnet,
   1 the transformer, and the upsampler stands behind what there is. The VAE's decoder counts its levels from the other
   end. Read from the published files and from CompVis' module definitions (openaimodel.py, model.py).

   OpenCLIP (open_clip's transformer.py) keeps the three projections of an attention in one tensor, rows of q, k, v one
   under the other, and its text projection the other way round. */
#include "names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct replacement {
    const char *diffusers, *stored;
} replacement;

/* The remainder of a name below a resnet, by scheme. */
static const replacement unet_resnet[] = { { "norm1.", "in_layers.0." },          { "conv1.", "in_layers.2." },
                                           { "time_emb_proj.", "emb_layers.1." }, { "norm2.", "out_layers.0." },
                                           { "conv2.", "out_layers.3." },         { "conv_shortcut.", "skip_connection." } };
static const replacement unet_top[] = { { "conv_in.", "input_blocks.0.0." },
                                        { "time_embedding.linear_1.", "time_embed.0." },
                                        { "time_embedding.linear_2.", "time_embed.2." },
                                        { "time_embedding.cond_proj.", "time_embed.cond_proj." },
                                        { "add_embedding.linear_1.", "label_emb.0.0." },
                                        { "add_embedding.linear_2.", "label_emb.0.2." },
                                        { "conv_norm_out.", "out.0." },
                                        { "conv_out.", "out.2." } };
static const replacement vae_resnet[] = { { "conv_shortcut.", "nin_shortcut." } };
static const replacement vae_attention[] = { { "group_norm.", "norm." }, { "to_q.", "q." }, { "to_k.", "k." },
                                             { "to_v.", "v." },          { "to_out.0.", "proj_out." } };
static const replacement vae_top[] = { { "conv_norm_out.", "norm_out." } };
/* AutoencoderKL folders from before diffusers 0.13. */
static const replacement vae_old_attention[] = { { "to_q.", "query." }, { "to_k.", "key." }, { "to_v.", "value." },
                                                 { "to_out.0.", "proj_attn." } };

/* OpenCLIP's text tower, below a layer and above. */
static const replacement clip_layer[] = { { "layer_norm1.", "ln_1." },
                                          { "layer_norm2.", "ln_2." },
                                          { "mlp.fc1.", "mlp.c_fc." },
                                          { "mlp.fc2.", "mlp.c_proj." },
                                          { "self_attn.out_proj.", "attn.out_proj." } };
static const replacement clip_top[] = { { "text_model.embeddings.token_embedding.", "token_embedding." },
                                        { "text_model.embeddings.position_embedding.weight", "positional_embedding" },
                                        { "text_model.final_layer_norm.", "ln_final." },
                                        { "text_projection.weight", "text_projection" } };

#define COUNT(table) ((int)(sizeof(table) / sizeof *(table)))

/* `rest` with its beginning replaced by the table, or as it is. */
static void replace(const replacement *table, int count, const char *rest, char *out, size_t size)
{
    for (int i = 0; i < count; i++) {
        size_t length = strlen(table[i].diffusers);
        if (strncmp(rest, table[i].diffusers, length) == 0) {
            snprintf(out, size, "%s%s", table[i].stored, rest + length);
            return;
        }
    }
    snprintf(out, size, "%s", rest);
}

/* "down_blocks.1.resnets.0.conv1.weight": level 1, layer 0, kind "resnets", rest "conv1.weight". */
typedef struct place {
    int level, layer;
    char kind[32];
    const char *rest;
} place;

static bool parse_place(const char *name, const char *prefix, bool has_level, place *p)
{
    size_t length = strlen(prefix);
    char *end;
    if (strncmp(name, prefix, length) != 0)
        return false;
    name += length;
    p->level = 0;
    if (has_level) {
        p->level = (int)strtol(name, &end, 10);
        if (end == name || *end != '.')
            return false;
        name = end + 1;
    }
    const char *dot = strchr(name, '.');
    if (!dot || (size_t)(dot - name) >= sizeof p->kind)
        return false;
    memcpy(p->kind, name, (size_t)(dot - name));
    p->kind[dot - name] = '\0';
    p->layer = (int)strtol(dot + 1, &end, 10);
    if (end == dot + 1 || *end != '.')
        return false;
    p->rest = end + 1;
    return true;
}

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* ---- LDM -------------------------------------------------------------------------------------------------------- */

static void ldm_unet(const calo_unet_config *config, const char *name, char *out, size_t size)
{
    char rest[CALO_NAME_SIZE];
    place p;
    int block = 0;
    if (parse_place(name, "down_blocks.", true, &p) && p.level < config->levels) {
        for (int i = 0; i < p.level; i++)
            block += config->layers_per_block[i] + 1;
        if (is(p.kind, "downsamplers")) { /* downsamplers.0.conv.weight → 0.op.weight */
            snprintf(out, size, "input_blocks.%d.0.op.%s", 1 + block + config->layers_per_block[p.level],
                     strncmp(p.rest, "conv.", 5) == 0 ? p.rest + 5 : p.rest);
            return;
        }
        replace(unet_resnet, is(p.kind, "resnets") ? COUNT(unet_resnet) : 0, p.rest, rest, sizeof rest);
        snprintf(out, size, "input_blocks.%d.%d.%s", 1 + block + p.layer, is(p.kind, "resnets") ? 0 : 1, rest);
    } else if (parse_place(name, "up_blocks.", true, &p) && p.level < config->levels) {
        for (int i = 0; i < p.level; i++)
            block += config->layers_per_block[config->levels - 1 - i] + 1;
        if (is(p.kind, "upsamplers")) {
            snprintf(out, size, "output_blocks.%d.%d.%s", block + config->layers_per_block[config->levels - 1 - p.level],
                     config->up_depths[p.level][config->layers_per_block[config->levels - 1 - p.level]] ? 2 : 1, p.rest);
            return;
        }
        replace(unet_resnet, is(p.kind, "resnets") ? COUNT(unet_resnet) : 0, p.rest, rest, sizeof rest);
        snprintf(out, size, "output_blocks.%d.%d.%s", block + p.layer, is(p.kind, "resnets") ? 0 : 1, rest);
    } else if (parse_place(name, "mid_block.", false, &p)) {
        const bool resnet = is(p.kind, "resnets");
        const int last = config->mid == CALO_MID_CROSS_ATTENTION ? 2 : 1;
        replace(unet_resnet, resnet ? COUNT(unet_resnet) : 0, p.rest, rest, sizeof rest);
        snprintf(out, size, "middle_block.%d.%s", !resnet ? 1 : p.layer ? last : 0, rest);
    } else {
        replace(unet_top, COUNT(unet_top), name, out, size);
    }
}

static void ldm_vae(const calo_vae_config *config, const char *name, char *out, size_t size)
{
    const char *half = strncmp(name, "encoder.", 8) == 0 ? "encoder" : strncmp(name, "decoder.", 8) == 0 ? "decoder" : NULL;
    const char *inner = half ? name + 8 : name;
    char rest[CALO_NAME_SIZE];
    place p;
    if (!half) {
        snprintf(out, size, "%s", name);
    } else if (parse_place(inner, "down_blocks.", true, &p) || parse_place(inner, "up_blocks.", true, &p)) {
        const bool up = strncmp(inner, "up_blocks.", 10) == 0;
        const int level = up ? config->levels - 1 - p.level : p.level;
        replace(vae_resnet, COUNT(vae_resnet), p.rest, rest, sizeof rest);
        if (is(p.kind, "resnets"))
            snprintf(out, size, "%s.%s.%d.block.%d.%s", half, up ? "up" : "down", level, p.layer, rest);
        else
            snprintf(out, size, "%s.%s.%d.%s.%s", half, up ? "up" : "down", level, up ? "upsample" : "downsample", p.rest);
    } else if (parse_place(inner, "mid_block.", false, &p)) {
        const bool resnet = is(p.kind, "resnets");
        replace(resnet ? vae_resnet : vae_attention, resnet ? COUNT(vae_resnet) : COUNT(vae_attention), p.rest, rest,
                sizeof rest);
        snprintf(out, size, "%s.mid.%s_%d.%s", half, resnet ? "block" : "attn", p.layer + 1, rest);
    } else {
        replace(vae_top, COUNT(vae_top), inner, rest, sizeof rest);
        snprintf(out, size, "%s.%s", half, rest);
    }
}

/* "text_model.encoder.layers.3.self_attn.k_proj.weight" is the second third of
 * "transformer.resblocks.3.attn.in_proj_weight". */
static void openclip(const char *name, calo_candidate *candidate)
{
    static const char *const projections[] = { "self_attn.q_proj.", "self_attn.k_proj.", "self_attn.v_proj." };
    char rest[CALO_NAME_SIZE];
    place p;
    candidate->transposed = is(name, "text_projection.weight");
    if (!parse_place(name, "text_model.encoder.", false, &p)) {
        replace(clip_top, COUNT(clip_top), name, candidate->name, sizeof candidate->name);
        return;
    }
    for (int i = 0; i < 3; i++)
        if (strncmp(p.rest, projections[i], strlen(projections[i])) == 0) {
            candidate->slice = i;
            candidate->slices = 3;
            snprintf(candidate->name, sizeof candidate->name, "transformer.resblocks.%d.attn.in_proj_%s", p.layer,
                     p.rest + strlen(projections[i]));
            return;
        }
    replace(clip_layer, COUNT(clip_layer), p.rest, rest, sizeof rest);
    snprintf(candidate->name, sizeof candidate->name, "transformer.resblocks.%d.%s", p.layer, rest);
}

/* ---- candidates ------------------------------------------------------------------------------------------------- */

static void add(calo_candidates *candidates, const char *prefix, const char *name)
{
    calo_candidate *candidate = &candidates->list[candidates->count++];
    *candidate = (calo_candidate){ .slices = 0 };
    snprintf(candidate->name, sizeof candidate->name, "%s%s", prefix, name);
}

static void add_diffusers(const calo_source *source, calo_part part, const char *name, calo_candidates *candidates)
{
    char stored[CALO_NAME_SIZE], rest[CALO_NAME_SIZE];
    add(candidates, source->prefix, name);
    /* transformers 5 saves CLIPTextModel without its outer name; old single files lack it, too. */
    if (strncmp(name, "text_model.", 11) == 0)
        add(candidates, source->prefix, name + 11);
    const char *attention = part == CALO_VAE ? strstr(name, "attentions.0.") : NULL;
    if (attention) {
        replace(vae_old_attention, COUNT(vae_old_attention), attention + 13, rest, sizeof rest);
        snprintf(stored, sizeof stored, "%.*s%s", (int)(attention + 13 - name), name, rest);
        add(candidates, source->prefix, stored);
    }
}

void calo_candidate_names(const calo_checkpoint *checkpoint, calo_part part, const char *name,
                          calo_candidates *candidates)
{
    const calo_source *source = &checkpoint->parts[part];
    char stored[CALO_NAME_SIZE];
    candidates->count = 0;
    if (source->naming == CALO_NAMES_DIFFUSERS) {
        add_diffusers(source, part, name, candidates);
        return;
    }
    if (part == CALO_UNET || part == CALO_VAE) {
        if (part == CALO_UNET)
            ldm_unet(&checkpoint->unet, name, stored, sizeof stored);
        else
            ldm_vae(&checkpoint->vae, name, stored, sizeof stored);
        add(candidates, source->prefix, stored);
        return;
    }
    calo_candidate own = { .slices = 0 };
    openclip(name, &own);
    add(candidates, source->prefix, own.name);
    candidates->list[0].slice = own.slice;
    candidates->list[0].slices = own.slices;
    candidates->list[0].transposed = own.transposed;
}
