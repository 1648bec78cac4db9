/* The variants. Architectures and schedulers are those of the published model_index.json, config.json and
   scheduler_config.json files; the pruned ones' depths are from their authors' repositories as ComfyUI lists them. */
#include "variants.h"

#include <string.h>

#define BETAS "\"beta_start\":0.00085,\"beta_end\":0.012,\"beta_schedule\":\"scaled_linear\",\"num_train_timesteps\":1000,"
#define OLD_BETAS BETAS "\"trained_betas\":null,\"set_alpha_to_one\":false,\"steps_offset\":1,\"clip_sample\":false,"

static const char pndm[] =
    "{\"_class_name\":\"PNDMScheduler\"," OLD_BETAS "\"skip_prk_steps\":true,\"prediction_type\":\"epsilon\"}";
static const char ddim_v[] =
    "{\"_class_name\":\"DDIMScheduler\"," OLD_BETAS "\"skip_prk_steps\":true,\"prediction_type\":\"v_prediction\"}";
static const char euler_leading[] =
    "{\"_class_name\":\"EulerDiscreteScheduler\"," OLD_BETAS "\"interpolation_type\":\"linear\",\"skip_prk_steps\":true,"
    "\"timestep_spacing\":\"leading\",\"use_karras_sigmas\":false,\"prediction_type\":\"epsilon\"}";
static const char euler_trailing[] =
    "{\"_class_name\":\"EulerDiscreteScheduler\"," OLD_BETAS "\"interpolation_type\":\"linear\","
    "\"timestep_spacing\":\"trailing\",\"use_karras_sigmas\":false,\"prediction_type\":\"epsilon\"}";
static const char ancestral_trailing[] =
    "{\"_class_name\":\"EulerAncestralDiscreteScheduler\"," OLD_BETAS "\"interpolation_type\":\"linear\","
    "\"timestep_spacing\":\"trailing\",\"use_karras_sigmas\":false,\"prediction_type\":\"epsilon\"}";
static const char euler_v[] =
    "{\"_class_name\":\"EulerDiscreteScheduler\"," BETAS "\"steps_offset\":1,\"interpolation_type\":\"linear\","
    "\"timestep_spacing\":\"trailing\",\"use_karras_sigmas\":false,\"rescale_betas_zero_snr\":true,"
    "\"prediction_type\":\"v_prediction\"}";
static const char edm[] =
    "{\"_class_name\":\"EDMDPMSolverMultistepScheduler\",\"algorithm_type\":\"dpmsolver++\",\"final_sigmas_type\":\"zero\","
    "\"euler_at_final\":false,\"lower_order_final\":true,\"num_train_timesteps\":1000,\"prediction_type\":\"epsilon\","
    "\"rho\":7.0,\"sigma_data\":0.5,\"sigma_max\":80.0,\"sigma_min\":0.002,\"solver_order\":2,\"solver_type\":\"midpoint\"}";
static const char lcm[] =
    "{\"_class_name\":\"LCMScheduler\"," BETAS "\"clip_sample\":false,\"clip_sample_range\":1.0,"
    "\"original_inference_steps\":50,\"set_alpha_to_one\":true,\"steps_offset\":0,\"timestep_scaling\":10.0,"
    "\"timestep_spacing\":\"leading\",\"prediction_type\":\"epsilon\",\"rescale_betas_zero_snr\":false}";

/* ---- architectures ---------------------------------------------------------------------------------------------- */

static void set_depths(calo_unet_config *c, int level, int depth)
{
    const int layers = c->layers_per_block[level];
    for (int k = 0; k < layers; k++)
        c->down_depths[level][k] = depth;
    for (int k = 0; k <= layers; k++)
        c->up_depths[c->levels - 1 - level][k] = depth;
}

static void configure_sd1(calo_checkpoint *c)
{
    c->has[CALO_UNET] = c->has[CALO_VAE] = c->has[CALO_TEXT] = true;
    c->unet = calo_unet_config_sd1();
    c->vae = calo_vae_config_sd1();
    c->clip[0] = calo_clip_config_sd1();
}

static void configure_sd1_inpaint(calo_checkpoint *c)
{
    configure_sd1(c);
    c->unet.in_channels = 9;
}

static void configure_lcm(calo_checkpoint *c)
{
    configure_sd1(c);
    c->unet.time_cond_proj_dim = 256;
}

static void set_heads_of_64(calo_unet_config *c)
{
    c->use_linear_projection = true;
    for (int i = 0; i < c->levels; i++)
        c->heads[i] = c->block_out_channels[i] / 64;
}

static void configure_sd2(calo_checkpoint *c)
{
    configure_sd1(c);
    c->unet.cross_attention_dim = 1024;
    set_heads_of_64(&c->unet);
    c->clip[0] = (calo_clip_config){ .vocab_size = 49408, .hidden_size = 1024, .intermediate_size = 4096,
                                     .num_hidden_layers = 23, .num_attention_heads = 16, .max_position_embeddings = 77,
                                     .projection_dim = 512, .eos_token_id = 2, .hidden_act = CALO_GELU,
                                     .layer_norm_eps = 1e-5 };
}

static void configure_sd2_inpaint(calo_checkpoint *c)
{
    configure_sd2(c);
    c->unet.in_channels = 9;
}

static void set_xl_encoders(calo_checkpoint *c)
{
    c->has[CALO_TEXT] = c->has[CALO_TEXT_2] = true;
    c->clip[0] = calo_clip_config_sd1();
    c->clip[1] = (calo_clip_config){ .vocab_size = 49408, .hidden_size = 1280, .intermediate_size = 5120,
                                     .num_hidden_layers = 32, .num_attention_heads = 20, .max_position_embeddings = 77,
                                     .projection_dim = 1280, .projects = true, .eos_token_id = 49407,
                                     .hidden_act = CALO_GELU, .layer_norm_eps = 1e-5 };
    c->vae.scaling_factor = 0.13025;
    c->vae.force_upcast = true;
}

static void configure_xl(calo_checkpoint *c)
{
    static const int widths[] = { 320, 640, 1280 }, depths[] = { 0, 2, 10 };
    configure_sd1(c);
    set_xl_encoders(c);
    calo_unet_config *u = &c->unet;
    memset(u->down_depths, 0, sizeof u->down_depths);
    memset(u->up_depths, 0, sizeof u->up_depths);
    u->levels = 3;
    for (int i = 0; i < 3; i++) {
        u->block_out_channels[i] = widths[i];
        set_depths(u, i, depths[i]);
    }
    u->mid_depth = 10;
    set_heads_of_64(u);
    u->cross_attention_dim = 2048;
    u->text_time = true;
    u->addition_time_embed_dim = 256;
    u->projection_class_embeddings_input_dim = 1280 + 6 * 256;
}

static void configure_xl_inpaint(calo_checkpoint *c)
{
    configure_xl(c);
    c->unet.in_channels = 9;
}

static void configure_refiner(calo_checkpoint *c)
{
    static const int widths[] = { 384, 768, 1536, 1536 }, depths[] = { 0, 4, 4, 0 };
    configure_xl(c);
    c->has[CALO_TEXT] = false;
    calo_unet_config *u = &c->unet;
    u->levels = 4;
    for (int i = 0; i < 4; i++) {
        u->block_out_channels[i] = widths[i];
        u->layers_per_block[i] = 2;
        set_depths(u, i, depths[i]);
    }
    u->mid_depth = 4;
    set_heads_of_64(u);
    u->cross_attention_dim = 1280;
    u->projection_class_embeddings_input_dim = 1280 + 5 * 256;
}

static void configure_playground(calo_checkpoint *c)
{
    static const double mean[] = { -1.6574, 1.886, -1.383, 2.5155 }, std[] = { 8.4927, 5.9022, 6.5498, 5.2299 };
    configure_xl(c);
    c->vae.has_statistics = true;
    c->vae.scaling_factor = 0.5;
    memcpy(c->vae.latents_mean, mean, sizeof mean);
    memcpy(c->vae.latents_std, std, sizeof std);
}

static void configure_ssd1b(calo_checkpoint *c)
{
    static const int deep[] = { 4, 4, 10 }, middle[] = { 2, 1, 1 };
    configure_xl(c);
    calo_unet_config *u = &c->unet;
    set_depths(u, 2, 4);
    memcpy(u->up_depths[0], deep, sizeof deep);
    memcpy(u->up_depths[1], middle, sizeof middle);
    u->mid = CALO_MID_PLAIN;
    u->mid_depth = 0;
}

static void configure_vega(calo_checkpoint *c)
{
    configure_xl(c);
    set_depths(&c->unet, 1, 1);
    set_depths(&c->unet, 2, 2);
    c->unet.mid = CALO_MID_PLAIN;
    c->unet.mid_depth = 0;
}

/* ---- the registry ----------------------------------------------------------------------------------------------- */

static const calo_model_variant registry[] = {
    { "sd15", "Stable Diffusion 1.4 and 1.5", "context of 768 numbers, convolutions around the transformers",
      CALO_PIPELINE_SD, 64, 20, 7.5, "PNDMScheduler", pndm, configure_sd1 },
    { "sd15-inpaint", "Stable Diffusion 1.5 inpainting", "as sd15, 9 input channels", CALO_PIPELINE_SD_INPAINT, 64, 20, 7.5,
      "PNDMScheduler", pndm, configure_sd1_inpaint },
    { "sd15-lcm", "latent consistency model of Stable Diffusion 1.5", "as sd15, an embedding of the guidance scale",
      CALO_PIPELINE_LCM, 96, 4, 8.5, "LCMScheduler", lcm, configure_lcm },
    { "sd21-base", "Stable Diffusion 2.0 and 2.1 base", "OpenCLIP-H, prediction epsilon", CALO_PIPELINE_SD, 64, 20, 7.5,
      "PNDMScheduler", pndm, configure_sd2 },
    { "sd21", "Stable Diffusion 2.0 and 2.1 at 768", "OpenCLIP-H, prediction v (the spread of a late norm's bias)",
      CALO_PIPELINE_SD, 96, 20, 7.5, "DDIMScheduler", ddim_v, configure_sd2 },
    { "sd2-inpaint", "Stable Diffusion 2 inpainting", "OpenCLIP-H, 9 input channels", CALO_PIPELINE_SD_INPAINT, 64, 20, 7.5,
      "PNDMScheduler", pndm, configure_sd2_inpaint },
    { "sd-turbo", "Stable Diffusion Turbo", "cannot be told from sd21-base: --variant", CALO_PIPELINE_SD, 64, 1, 0,
      "EulerDiscreteScheduler", euler_trailing, configure_sd2 },
    { "sdxl", "Stable Diffusion XL, Pony, Illustrious", "CLIP-L and OpenCLIP-bigG, 6 sizes beside the pooled text",
      CALO_PIPELINE_XL, 128, 20, 7.5, "EulerDiscreteScheduler", euler_leading, configure_xl },
    { "sdxl-inpaint", "Stable Diffusion XL inpainting", "as sdxl, 9 input channels", CALO_PIPELINE_XL_INPAINT, 128, 20, 7.5,
      "EulerDiscreteScheduler", euler_leading, configure_xl_inpaint },
    { "sdxl-refiner", "Stable Diffusion XL refiner", "OpenCLIP-bigG alone, 4 sizes and a score",
      CALO_PIPELINE_XL_REFINER, 128, 20, 7.5, "EulerDiscreteScheduler", euler_leading, configure_refiner },
    { "sdxl-turbo", "Stable Diffusion XL Turbo", "cannot be told from sdxl: --variant", CALO_PIPELINE_XL, 64, 4, 0,
      "EulerAncestralDiscreteScheduler", ancestral_trailing, configure_xl },
    { "sdxl-v", "Stable Diffusion XL, prediction v with zero terminal SNR (NoobAI)", "as sdxl, a tensor v_pred",
      CALO_PIPELINE_XL, 128, 20, 5, "EulerDiscreteScheduler", euler_v, configure_xl },
    { "playground", "Playground 2.5", "as sdxl, tensors edm_mean and edm_std", CALO_PIPELINE_XL, 128, 20, 3,
      "EDMDPMSolverMultistepScheduler", edm, configure_playground },
    { "ssd-1b", "Segmind SSD-1B", "as sdxl, depths 0, 2, 4 and no transformer in the middle", CALO_PIPELINE_XL, 128, 20, 7.5,
      "EulerDiscreteScheduler", euler_leading, configure_ssd1b },
    { "vega", "Segmind Vega", "as sdxl, depths 0, 1, 2 and no transformer in the middle", CALO_PIPELINE_XL, 128, 20, 7.5,
      "EulerDiscreteScheduler", euler_leading, configure_vega },
};
enum { COUNT = sizeof registry / sizeof *registry };

const calo_model_variant *calo_variant_at(int i)
{
    return i >= 0 && i < COUNT ? &registry[i] : NULL;
}

const calo_model_variant *calo_variant_find(const char *name)
{
    for (int i = 0; i < COUNT; i++)
        if (strcmp(registry[i].name, name) == 0)
            return &registry[i];
    return NULL;
}

const calo_model_variant *calo_variant_of(const calo_checkpoint *c)
{
    const calo_unet_config *u = &c->unet;
    const char *scheduler = c->scheduler_json ? c->scheduler_json : "", *name = "sd15";
    const bool trailing = strstr(scheduler, "\"trailing\"") != NULL, v = strstr(scheduler, "\"v_prediction\"") != NULL;
    const bool pruned = u->mid == CALO_MID_PLAIN;
    if (u->text_time)
        name = !c->has[CALO_TEXT]                             ? "sdxl-refiner"
               : u->in_channels == 9                          ? "sdxl-inpaint"
               : pruned && u->down_depths[u->levels - 1][0] <= 2 ? "vega"
               : pruned                                       ? "ssd-1b"
               : c->scheduler_class && strncmp(c->scheduler_class, "EDM", 3) == 0 ? "playground"
               : v                                            ? "sdxl-v"
               : trailing                                     ? "sdxl-turbo"
                                                              : "sdxl";
    else if (u->time_cond_proj_dim)
        name = "sd15-lcm";
    else if (u->use_linear_projection)
        name = u->in_channels == 9 ? "sd2-inpaint" : v ? "sd21" : trailing ? "sd-turbo" : "sd21-base";
    else if (u->in_channels == 9)
        name = "sd15-inpaint";
    return calo_variant_find(name);
}

bool calo_variant_fits(const calo_model_variant *variant, const calo_checkpoint *checkpoint)
{
    calo_checkpoint full = { 0 };
    variant->configure(&full);
    const calo_unet_config *a = &full.unet, *b = &checkpoint->unet;
    return memcmp(full.has, checkpoint->has, sizeof full.has) == 0 && a->in_channels == b->in_channels &&
           a->text_time == b->text_time && a->mid == b->mid && a->use_linear_projection == b->use_linear_projection &&
           !a->time_cond_proj_dim == !b->time_cond_proj_dim;
}

int calo_size_count(const calo_checkpoint *checkpoint)
{
    return checkpoint->requires_aesthetics_score ? 5 : 6;
}

void calo_variant_fill(const calo_model_variant *variant, calo_variant_record *record)
{
    const int side = 8 * variant->sample_size;
    *record = (calo_variant_record){ variant->name, variant->title, variant->told_by, side, side, variant->steps,
                                     variant->guidance };
}

int calo_variant_list(int i, calo_variant_record *record)
{
    const calo_model_variant *variant = calo_variant_at(i);
    if (variant)
        calo_variant_fill(variant, record);
    return variant != NULL;
}
