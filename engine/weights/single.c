/* A single file: which parts it holds, and which variant it is. Replacing parts by other files. A layout. */
#include "checkpoint.h"
#include "detect.h"
#include "variants.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- what is recognised and refused ----------------------------------------------------------------------------- */

static calo_status refuse_others(const calo_tensor_file *file, calo_fault *fault)
{
    static const struct {
        const char *tensor, *family;
    } others[] = {
        { "model.diffusion_model.joint_blocks.0.context_block.adaLN_modulation.1.bias", "Stable Diffusion 3" },
        { "joint_blocks.0.context_block.adaLN_modulation.1.bias", "Stable Diffusion 3" },
        { "distilled_guidance_layer.norms.0.scale", "Chroma" },
        { "double_blocks.0.img_attn.norm.key_norm.scale", "FLUX" },
        { "model.diffusion_model.double_blocks.0.img_attn.norm.key_norm.scale", "FLUX" },
        { "control_model.input_blocks.0.0.weight", "a ControlNet" },
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (calo_tensor_file_find(file, others[i].tensor))
            return calo_fail(fault, CALO_EFILE, "%s is a checkpoint of %s (it holds %s), which is not supported",
                             file->file.path, others[i].family, others[i].tensor);
    return CALO_OK;
}

/* ---- the variant ------------------------------------------------------------------------------------------------ */

static bool holds(const calo_checkpoint *c, const char *name)
{
    return calo_tensor_file_find(&c->parts[CALO_UNET].files[0], name) != NULL;
}

/* Stable Diffusion 2 at 768 predicts v, and its training left a wide spread in this bias (ComfyUI's rule). A UNet of
   another build has no such tensor, and then nothing tells: the caller has to. */
static bool predicts_v(calo_checkpoint *c, calo_fault *fault)
{
    static const char name[] = "output_blocks.11.1.transformer_blocks.0.norm1.bias";
    const calo_source *source = &c->parts[CALO_UNET];
    char full[128];
    snprintf(full, sizeof full, "%s%s", source->prefix, name);
    const calo_entry *entry = calo_tensor_file_find(&source->files[0], full);
    const int64_t count = entry ? calo_entry_count(entry) : 0;
    if (count < 1 || count > 1 << 20) {
        c->undecided = true;
        calo_checkpoint_explain(c, "prediction: shapes do not say whether epsilon or v, and %s is not there to tell: "
                                "--variant or --prediction has to\n", name);
        return false;
    }
    float *values = calo_alloc((size_t)count, sizeof *values);
    double sum = 0, squares = 0;
    if (!values)
        calo_fail(fault, CALO_EMEMORY, "no host memory to read %s", full);
    else
        calo_entry_read(entry, 0, count, values, fault);
    for (int64_t i = 0; values && i < count && !fault->status; i++) {
        sum += values[i];
        squares += (double)values[i] * values[i];
    }
    calo_free(values);
    const double mean = sum / (double)count, deviation = sqrt(fmax(squares / (double)count - mean * mean, 0));
    calo_checkpoint_explain(c, "prediction: %s, as %s spreads by %.3f (v above 0.09)\n", deviation > 0.09 ? "v" : "epsilon",
                            name, deviation);
    return deviation > 0.09;
}

static const char *name_variant(calo_checkpoint *c, calo_fault *fault)
{
    const calo_unet_config *u = &c->unet;
    if (u->text_time) {
        if (holds(c, "edm_mean") && holds(c, "edm_std"))
            return "playground";
        if (holds(c, "v_pred"))
            return "sdxl-v";
        return calo_variant_of(c)->name;
    }
    if (u->use_linear_projection && u->in_channels == 4 && !u->time_cond_proj_dim)
        return predicts_v(c, fault) ? "sd21" : "sd21-base";
    return calo_variant_of(c)->name;
}

/* Variants of the same shapes: what is none of this file's business to say. */
static void name_twins(calo_checkpoint *c, const calo_model_variant *found)
{
    const calo_model_variant *other;
    int twins = 0;
    for (int i = 0; c->unet.mid != CALO_MID_PLAIN && (other = calo_variant_at(i)); i++)
        if (other != found && calo_variant_fits(other, c))
            calo_checkpoint_explain(c, "%s %s", twins++ ? "," : "shapes do not tell it from", other->name);
    if (twins)
        calo_checkpoint_explain(c, ": if it is one of these, say --variant\n");
}

/* Playground's latents are in units of their spread. */
static void read_statistics(calo_checkpoint *c, calo_fault *fault)
{
    const char *const names[] = { "edm_mean", "edm_std" };
    double *const targets[] = { c->vae.latents_mean, c->vae.latents_std };
    for (int i = 0; i < 2 && !fault->status; i++) {
        const calo_entry *entry = calo_tensor_file_find(&c->parts[CALO_UNET].files[0], names[i]);
        float values[4] = { 0 };
        if (!entry || calo_entry_count(entry) != 4 || c->vae.latent_channels != 4)
            calo_fail(fault, CALO_EFILE, "%s: tensor %s must hold a number for each of 4 latent channels", c->path, names[i]);
        else
            calo_entry_read(entry, 0, 4, values, fault);
        for (int k = 0; k < 4; k++)
            targets[i][k] = values[k];
    }
    c->vae.has_statistics = true;
    c->vae.scaling_factor = 0.5;
}

/* The numbers that shapes give only together. */
static calo_status complete(calo_checkpoint *c, calo_fault *fault)
{
    calo_unet_config *u = &c->unet;
    if (u->in_channels != u->out_channels && u->in_channels != 9)
        return calo_fail(fault, CALO_EFILE, "%s: input_blocks.0.0.weight has %d input channels (a model that is told what "
                         "to change in a picture); 4 and 9 are supported", c->path, u->in_channels);
    if (!u->text_time)
        return CALO_OK;
    const int sizes = c->has[CALO_TEXT] ? 6 : 5, rest = u->projection_class_embeddings_input_dim - c->clip[1].projection_dim;
    if (rest <= 0 || rest % sizes)
        return calo_fail(fault, CALO_EFILE, "%s: label_emb takes %d numbers, which is not the pooled text's %d and %d sizes",
                         c->path, u->projection_class_embeddings_input_dim, c->clip[1].projection_dim, sizes);
    u->addition_time_embed_dim = rest / sizes;
    return CALO_OK;
}

/* Parts that the file lacks and an option brings, which calo_checkpoint_replace does; a part that nothing brings is an
   error. */
static calo_status await_parts(calo_checkpoint *c, const calo_checkpoint_options *options, calo_fault *fault)
{
    const bool xl = c->unet.text_time;
    if (xl && !c->has[CALO_TEXT_2])
        return calo_fail(fault, CALO_EFILE, "%s holds no text_encoder_2 (OpenCLIP) for its UNet", c->path);
    if (!c->has[CALO_VAE]) {
        if (!options->vae)
            return calo_fail(fault, CALO_EFILE, "%s holds no VAE; give one with --vae", c->path);
        c->vae = calo_vae_config_sd1();
        c->has[CALO_VAE] = true;
    }
    /* The refiner has no first encoder, and its only one goes by the number 0. */
    if (!c->has[CALO_TEXT] && !(xl && strncmp(c->parts[CALO_TEXT_2].prefix, "conditioner.embedders.0.", 24) == 0)) {
        if (!options->text_encoder)
            return calo_fail(fault, CALO_EFILE, "%s holds no text encoder for its UNet; give one with --text-encoder", c->path);
        c->has[CALO_TEXT] = true;
    }
    return CALO_OK;
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

calo_status calo_checkpoint_open_single(calo_checkpoint *c, const calo_checkpoint_options *options,
                                        calo_fault *fault)
{
    const char *const variant = options->variant;
    calo_source *own = &c->parts[CALO_UNET];
    c->form = CALO_FORM_SINGLE;
    if (!calo_is_file(c->path))
        return calo_fail(fault, CALO_EFILE, "%s: there is no such file or folder", c->path);
    if (calo_source_open_file(own, c->path, fault) || refuse_others(own->files, fault))
        return fault->status;
    for (int part = CALO_VAE; part < CALO_PARTS; part++)
        c->parts[part] = (calo_source){ .files = own->files, .count = own->count, .borrowed = true };
    c->has[CALO_UNET] = calo_detect_unet(c, fault);
    if (!c->has[CALO_UNET])
        return calo_fail(fault, CALO_EFILE, "%s holds no Stable Diffusion model: it lacks the tensor "
                         "model.diffusion_model.input_blocks.0.0.weight", c->path);
    c->has[CALO_VAE] = !fault->status && calo_detect_vae(c, fault);
    c->has[CALO_TEXT] = !fault->status && calo_detect_clip(c, CALO_TEXT, false, fault);
    c->has[CALO_TEXT_2] = !fault->status && c->unet.text_time && calo_detect_clip(c, CALO_TEXT_2, false, fault);
    if (fault->status)
        return fault->status;
    if (await_parts(c, options, fault))
        return fault->status;
    if (complete(c, fault))
        return fault->status;
    const calo_model_variant *found = calo_variant_find(variant ? variant : name_variant(c, fault));
    if (variant && !calo_variant_fits(found, c))
        return calo_fail(fault, CALO_EUSAGE, "%s is no %s: the tensors say %s", c->path, variant, calo_variant_of(c)->name);
    calo_checkpoint_explain(c, "variant: %s, %s (%s)\n", found->name, found->title,
                            variant ? "as asked for" : found->told_by);
    if (!variant)
        name_twins(c, found);
    if (c->undecided && options->decide && !variant && !options->prediction)
        return calo_fail(fault, CALO_EUSAGE, "%s: shapes do not say whether this Stable Diffusion 2 predicts epsilon or v; "
                         "say --variant sd21-base, sd21 or sd-turbo, or --prediction epsilon or v", c->path);
    if (c->unet.text_time)
        c->vae.scaling_factor = 0.13025;
    c->vae.force_upcast = c->unet.text_time;
    if (strcmp(found->name, "playground") == 0)
        read_statistics(c, fault);
    if (holds(c, "ztsnr") && !holds(c, "v_pred"))
        return calo_fail(fault, CALO_EFILE, "%s has the mark ztsnr without v_pred; say --variant sdxl-v or --variant sdxl",
                         c->path);
    return fault->status ? fault->status : calo_checkpoint_take_variant(c, found, fault);
}

calo_status calo_checkpoint_replace(calo_checkpoint *c, calo_part part, const char *path, calo_fault *fault)
{
    const char *const option = part == CALO_VAE ? "--vae" : "--text-encoder";
    calo_source *source = &c->parts[part];
    calo_source old = *source;
    const double scaling_factor = c->vae.scaling_factor, shift_factor = c->vae.shift_factor;
    if (c->form == CALO_FORM_LAYOUT || !c->has[part])
        return calo_fail(fault, CALO_EUSAGE, "%s: this model has no %s to replace", option, calo_part_name(part));
    *source = (calo_source){ .prefix = "" };
    if (calo_is_directory(path)) {
        calo_source_open_folder(source, path, calo_part_file(part), fault);
        if (!fault->status)
            calo_checkpoint_read_config(c, part, path, fault);
    } else {
        calo_source_open_file(source, path, fault);
        if (!fault->status && !(part == CALO_VAE ? calo_detect_vae(c, fault) : calo_detect_clip(c, part, true, fault)))
            calo_fail(fault, CALO_EFILE, "%s holds no %s", path, calo_part_name(part));
        c->vae.scaling_factor = scaling_factor;
        c->vae.shift_factor = shift_factor;
    }
    for (int i = 0; !old.borrowed && i < old.count; i++)
        calo_tensor_file_close(&old.files[i]);
    if (!old.borrowed)
        calo_free(old.files);
    if (!fault->status)
        calo_checkpoint_explain(c, "%s: from %s\n", calo_part_name(part), path);
    return fault->status;
}

calo_status calo_checkpoint_open_layout(calo_checkpoint *c, const char *name, calo_fault *fault)
{
    const calo_model_variant *variant = calo_variant_find(name);
    c->form = CALO_FORM_LAYOUT;
    if (!variant)
        return calo_fail(fault, CALO_EUSAGE, "there is no layout '%s'; calotype info --layouts lists them", name);
    variant->configure(c);
    calo_checkpoint_explain(c, "layout: %s, random weights\n", variant->title);
    return calo_checkpoint_take_variant(c, variant, fault);
}
