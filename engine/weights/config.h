/* What the configuration files of a model say, checked, with diffusers' and transformers' defaults for what they leave
   out. A setting that would change the numbers and that the engine does not know is an error, never ignored. */
#ifndef CALO_CONFIG_H
#define CALO_CONFIG_H

#include "../activation.h"
#include "json.h"

enum { CALO_MAX_LEVELS = 8, CALO_MAX_LAYERS = 16 };

typedef struct calo_clip_config {
    int vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, max_position_embeddings;
    int projection_dim, eos_token_id;
    bool projects; /* there is a text_projection: CLIPTextModelWithProjection */
    calo_activation hidden_act;
    double layer_norm_eps;
} calo_clip_config;

typedef enum calo_mid { CALO_MID_NONE, CALO_MID_PLAIN, CALO_MID_CROSS_ATTENTION } calo_mid;

/* Lists have one entry a level, in the order of down_blocks; those called up_… are in the order of up_blocks. */
typedef struct calo_unet_config {
    int in_channels, out_channels, sample_size; /* sample_size: latents' side at the model's own size */
    int levels;
    int block_out_channels[CALO_MAX_LEVELS], layers_per_block[CALO_MAX_LEVELS], heads[CALO_MAX_LEVELS];
    /* Blocks of the transformer behind each resnet of a level; 0: there is none. Going up there is a resnet more. */
    int down_depths[CALO_MAX_LEVELS][CALO_MAX_LAYERS], up_depths[CALO_MAX_LEVELS][CALO_MAX_LAYERS + 1];
    calo_mid mid;
    int mid_depth;
    int cross_attention_dim, norm_num_groups, downsample_padding;
    /* Stable Diffusion XL's added condition: the pooled text and sizes, as angles of addition_time_embed_dim numbers. */
    bool text_time;
    int addition_time_embed_dim, projection_class_embeddings_input_dim;
    int time_cond_proj_dim; /* latent consistency models: width of the guidance scale's embedding; 0: there is none */
    double norm_eps, freq_shift;
    bool flip_sin_to_cos, use_linear_projection;
    calo_activation act_fn;
} calo_unet_config;

typedef struct calo_vae_config {
    int in_channels, out_channels, latent_channels;
    int levels, block_out_channels[CALO_MAX_LEVELS], layers_per_block, norm_num_groups;
    double scaling_factor, shift_factor;
    bool has_statistics;                           /* latents are in units of their spread: */
    double latents_mean[4], latents_std[4];        /* by channel, of a VAE with 4 */
    bool force_upcast;                             /* overflows in f16: decoded in f32 then */
    bool use_quant_conv, use_post_quant_conv, mid_block_add_attention;
} calo_vae_config;

/* Whether a transformer stands anywhere in the level going down. */
bool calo_unet_attends(const calo_unet_config *config, int level);

/* The defaults: CLIP-L, SD1's UNet, SD1's VAE. */
calo_clip_config calo_clip_config_sd1(void);
calo_unet_config calo_unet_config_sd1(void);
calo_vae_config calo_vae_config_sd1(void);

/* From config.json; the reader's fault carries errors. */
void calo_clip_config_read(const calo_json *json, calo_clip_config *config);
void calo_unet_config_read(const calo_json *json, calo_unet_config *config);
void calo_vae_config_read(const calo_json *json, calo_vae_config *config);

#endif
