/* UNet2DConditionModel: the denoiser of Stable Diffusion 1, 2 and XL. */
#ifndef CALO_UNET_H
#define CALO_UNET_H

#include "../../kernels/op.h"
#include "parameters.h"

typedef struct calo_unet_resnet {
    calo_norm_weights norm1, norm2;
    calo_conv2d_weights conv1, conv2;
    calo_linear_weights time, shortcut; /* shortcut: none when the widths are equal */
    int index;                          /* of its rows in the time cache */
} calo_unet_resnet;

/* Self-attention, cross-attention, gated feed-forward, each after a layer norm and around a residual. */
typedef struct calo_unet_block {
    calo_norm_weights norm1, norm2, norm3;
    calo_linear_weights qkv, self_out;
    calo_linear_weights q, kv, cross_out;
    calo_linear_weights feed_in, feed_out;
    int index; /* of its keys and values in the context cache */
} calo_unet_block;

typedef struct calo_unet_transformer {
    calo_norm_weights norm;
    calo_linear_weights proj_in, proj_out; /* a 1×1 convolution is a linear */
    calo_unet_block *blocks;
    int depth, heads;
} calo_unet_transformer;

/* One level, either way: `count` resnets, each followed by a transformer unless that has no blocks. */
typedef struct calo_unet_level {
    calo_unet_resnet *resnets;
    calo_unet_transformer *transformers;
    int count;
    bool resamples;
    calo_conv2d_weights resample;
} calo_unet_level;

typedef struct calo_unet {
    calo_unet_config config;
    calo_linear_weights time1, time2;
    calo_linear_weights guidance;         /* of a latent consistency model: onto the timestep's angles */
    calo_linear_weights added1, added2;   /* of Stable Diffusion XL: the pooled text and sizes */
    calo_conv2d_weights conv_in, conv_out;
    calo_unet_level *down, *up;
    bool has_mid;
    calo_unet_resnet mid[2];
    calo_unet_transformer mid_transformer; /* depth 0: none */
    calo_norm_weights norm_out;
    int resnet_count, block_count;
} calo_unet;

/* What does not change between steps: every resnet's projection of every timestep, every block's cross-attention keys
 * and values. It lives in the run's arena. */
typedef struct calo_unet_cache {
    int64_t conditions;   /* rows of time that a step has: 1, or B where the added condition differs in a batch */
    calo_tensor times;    /* f32 [timesteps, Σ conditions · C]: the resnets' projections, one beside the other */
    calo_tensor now;      /* f32 [1, the same]: the row of the step that runs: every call reads the same addresses */
    int64_t *first;       /* [resnet_count]: where a resnet's [conditions, C] begins in it */
    calo_tensor *context; /* [block_count] of [B, T, 2·C]: keys, then values */
} calo_unet_cache;

void calo_unet_load(calo_parameters *p, const calo_unet_config *config, calo_unet *unet);
void calo_unet_free(calo_unet *unet);

/* What the denoiser is told beside the latents, B being the batch of the later calls. */
typedef struct calo_unet_condition {
    calo_tensor timesteps; /* f32 [N]: of every call */
    calo_tensor context;   /* [B, T, D] */
    calo_tensor pooled;    /* [B, P], with config.text_time; the run's dtype */
    calo_tensor sizes;     /* f32 [B · K], with config.text_time: K sizes for each of the batch */
    calo_tensor guidance;  /* [1, time_cond_proj_dim] in the run's dtype, where the model takes it */
} calo_unet_condition;

void calo_unet_prepare(calo_run *run, const calo_unet *unet, const calo_unet_condition *condition, calo_unet_cache *cache);
void calo_unet_cache_free(calo_run *run, const calo_unet *unet, calo_unet_cache *cache);

/* The next call is at timestep number `step` of the cache. */
void calo_unet_begin_step(calo_run *run, const calo_unet_cache *cache, int step);

/* x [B, h, w, in_channels] → the raw prediction [B, h, w, out_channels]. The same launches for every step. */
calo_tensor calo_unet_predict(calo_run *run, const calo_unet *unet, const calo_unet_cache *cache, calo_tensor x);

#endif
