/* AutoencoderKL: images to latents and back. */
#ifndef CALO_VAE_H
#define CALO_VAE_H

#include "../../kernels/op.h"
#include "parameters.h"

typedef struct calo_vae_resnet {
    calo_norm_weights norm1, norm2;
    calo_conv2d_weights conv1, conv2;
    calo_linear_weights shortcut; /* none when the widths are equal */
} calo_vae_resnet;

typedef struct calo_vae_attention {
    calo_norm_weights norm;
    calo_linear_weights qkv, out;
} calo_vae_attention;

typedef struct calo_vae_level {
    calo_vae_resnet *resnets;
    int count;
    bool resamples;               /* the last level of either half does not */
    calo_conv2d_weights resample; /* stride 2 going down, ×2 before the convolution going up */
} calo_vae_level;

/* One half: conv_in, levels around the middle, norm and convolution out. */
typedef struct calo_vae_half {
    calo_conv2d_weights conv_in, conv_out;
    calo_vae_level *levels;
    int level_count;
    calo_vae_resnet mid[2];
    calo_vae_attention mid_attention; /* none without mid_block_add_attention */
    calo_norm_weights norm_out;
} calo_vae_half;

typedef struct calo_vae {
    calo_vae_config config;
    calo_vae_half encoder, decoder;
    calo_linear_weights quant, post_quant; /* none where the model has none */
    calo_linear_weights unscale;           /* config.has_statistics: latents to what the decoder takes */
} calo_vae;

/* The encoder is loaded only when a flow needs it. */
void calo_vae_load(calo_parameters *p, const calo_vae_config *config, bool with_encoder, calo_vae *vae);
void calo_vae_free(calo_vae *vae);

/* Latents as the denoiser has them [B, h, w, 4] → image [B, 8h, 8w, 3], about −1 … 1. `shift` is the configuration's
 * shift_factor in flows that heed it; diffusers' Stable Diffusion 1 and 2 do not, and pass 0. */
calo_tensor calo_vae_decode(calo_run *run, const calo_vae *vae, calo_tensor latents, double shift);

/* Image [B, H, W, 3], −1 … 1 → moments [B, H/8, W/8, 8]: mean and log-variance of the unscaled latents. */
calo_tensor calo_vae_encode(calo_run *run, const calo_vae *vae, calo_tensor image);

#endif
