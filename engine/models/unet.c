/* The forward pass of UNet2DConditionModel (Rombach et al. 2022; the layer order is diffusers').

       time   = linear2(silu(linear1(sinusoid(t) + guidance))) + added       once per schedule
       added  = linear2(silu(linear1([pooled | sinusoid(sizes)])))           Stable Diffusion XL
       resnet: skip(x) + conv2(silu(norm2(conv1(silu(norm1(x))) + proj(silu(time)))))
       block:  h += out(attn(qkv(norm1 h)));  h += out(attn(q(norm2 h), kv(context)));  h += ff(norm3 h)
       unet:   conv_in, levels down (each output kept), middle, levels up (each input joined by a kept one), conv_out */
#include "unet.h"
#include "../../kernels/activation/activation.h"
#include "../../kernels/attention/attention.h"
#include "../../kernels/concat/concat.h"
#include "../../kernels/elementwise/elementwise.h"
#include "../../kernels/embedding/embedding.h"
#include "../../kernels/group_norm/group_norm.h"
#include "../../kernels/layer_norm/layer_norm.h"
#include "../../kernels/resample/resample.h"
#include "../shim.h"

#include <string.h>

/* ---- what does not change between steps ------------------------------------------------------------------------- */

/* The embedded timesteps, once for each row of the added condition. */
typedef struct moments {
    calo_tensor rows[2]; /* [N, E] each, after the activation */
    int count;
} moments;

static void project_time(calo_run *run, const calo_unet_resnet *w, const moments *time, calo_unet_cache *cache)
{
    cache->first[w->index] = calo_present(cache->times) ? calo_tensor_columns(cache->times) : 0;
    for (int i = 0; i < time->count; i++) {
        calo_tensor projected = calo_linear(run, time->rows[i], &w->time, NULL);
        projected = calo_cast(run, calo_take(&projected), CALO_F32);
        cache->times = calo_present(cache->times) ? calo_concat(run, calo_take(&cache->times), calo_take(&projected))
                                                  : projected;
    }
}

static void project_context(calo_run *run, const calo_unet_transformer *w, calo_tensor context,
                            calo_unet_cache *cache)
{
    for (int i = 0; i < w->depth; i++)
        cache->context[w->blocks[i].index] = calo_linear(run, context, &w->blocks[i].kv, NULL);
}

static void prepare_level(calo_run *run, const calo_unet_level *level, const moments *time, calo_tensor context,
                          calo_unet_cache *cache)
{
    for (int i = 0; i < level->count; i++) {
        project_time(run, &level->resnets[i], time, cache);
        project_context(run, &level->transformers[i], context, cache);
    }
}

/* linear2(silu(linear1([pooled | angles of the sizes]))), f32 [B, E]. */
static calo_tensor embed_addition(calo_run *run, const calo_unet *unet, const calo_unet_condition *condition)
{
    const calo_unet_config *config = &unet->config;
    const int64_t batch = condition->context.dims[0];
    calo_tensor sizes = calo_embed_timesteps(run, condition->sizes, config->addition_time_embed_dim,
                                             config->flip_sin_to_cos, config->freq_shift);
    calo_tensor rows = calo_failed(run) ? sizes
                                        : calo_reshape(sizes, 2, (int64_t[]){ batch, calo_tensor_count(sizes) / batch });
    calo_tensor h = calo_concat(run, condition->pooled, rows);
    calo_drop(run, &sizes);
    h = calo_linear(run, calo_take(&h), &unet->added1, &(calo_epilogue){ .activation = CALO_SILU });
    h = calo_linear(run, calo_take(&h), &unet->added2, NULL);
    return calo_cast(run, calo_take(&h), CALO_F32);
}

static moments embed_time(calo_run *run, const calo_unet *unet, const calo_unet_condition *condition)
{
    const calo_unet_config *config = &unet->config;
    moments time = { .count = 1 };
    calo_tensor h = calo_embed_timesteps(run, condition->timesteps, config->block_out_channels[0],
                                         config->flip_sin_to_cos, config->freq_shift), added = { 0 };
    if (config->time_cond_proj_dim && !calo_failed(run)) {
        calo_tensor shift = calo_linear(run, condition->guidance, &unet->guidance, NULL);
        for (int64_t i = 0; i < h.dims[0]; i++) {
            const calo_tensor row = calo_batches(h, i, 1), both[] = { row, shift };
            calo_combine_into(run, row, both, (double[]){ 1, 1 }, 2, 0);
        }
        calo_drop(run, &shift);
    }
    if (config->text_time)
        added = embed_addition(run, unet, condition);
    h = calo_linear(run, calo_take(&h), &unet->time1, &(calo_epilogue){ .activation = config->act_fn });
    if (calo_present(added))
        time.count = (int)added.dims[0];
    for (int i = 0; i < time.count; i++)
        time.rows[i] = calo_linear(run, h, &unet->time2,
                                   &(calo_epilogue){ .activation = config->act_fn,
                                                     .channel_bias = calo_present(added) ? calo_batches(added, i, 1) : added });
    calo_drop(run, &h);
    calo_drop(run, &added);
    return time;
}

void calo_unet_prepare(calo_run *run, const calo_unet *unet, const calo_unet_condition *condition, calo_unet_cache *cache)
{
    const calo_unet_config *config = &unet->config;
    run->label = "unet";
    cache->first = calo_alloc((size_t)unet->resnet_count, sizeof *cache->first);
    cache->context = calo_alloc((size_t)unet->block_count + 1, sizeof *cache->context);
    if (!cache->first || !cache->context) {
        calo_fail(run->fault, CALO_EMEMORY, "no host memory for the unet's cache");
        return;
    }
    moments time = embed_time(run, unet, condition);
    cache->conditions = time.count;
    for (int i = 0; i < config->levels; i++) {
        prepare_level(run, &unet->down[i], &time, condition->context, cache);
        prepare_level(run, &unet->up[i], &time, condition->context, cache);
    }
    if (unet->has_mid) {
        project_time(run, &unet->mid[0], &time, cache);
        if (unet->config.mid == CALO_MID_CROSS_ATTENTION)
            project_time(run, &unet->mid[1], &time, cache);
        project_context(run, &unet->mid_transformer, condition->context, cache);
    }
    for (int i = 0; i < time.count; i++)
        calo_drop(run, &time.rows[i]);
    if (!calo_failed(run))
        cache->now = calo_new(run, CALO_F32, 2, (int64_t[]){ 1, calo_tensor_columns(cache->times) });
}

void calo_unet_begin_step(calo_run *run, const calo_unet_cache *cache, int step)
{
    if (calo_failed(run))
        return;
    const calo_tensor row = calo_batches(cache->times, step, 1);
    calo_combine_into(run, cache->now, &row, (double[]){ 1 }, 1, 0);
}

void calo_unet_cache_free(calo_run *run, const calo_unet *unet, calo_unet_cache *cache)
{
    calo_drop(run, &cache->times);
    calo_drop(run, &cache->now);
    for (int i = 0; cache->context && i < unet->block_count; i++)
        calo_drop(run, &cache->context[i]);
    calo_free(cache->first);
    calo_free(cache->context);
    *cache = (calo_unet_cache){ 0 };
}

/* ---- one call --------------------------------------------------------------------------------------------------- */

/* What the parts of a call share. */
typedef struct call {
    calo_run *run;
    const calo_unet *unet;
    const calo_unet_cache *cache;
} call;

/* x [B,H,W,C] → [B,H,W,O]; x stays. */
static calo_tensor resnet(const call *c, const calo_unet_resnet *w, calo_tensor x)
{
    const calo_activation act = c->unet->config.act_fn;
    calo_run *run = c->run;
    const int64_t conditions = c->cache->conditions, width = w->time.weight.dims[0];
    calo_tensor time = calo_columns(c->cache->now, c->cache->first[w->index], conditions * width);
    time.dims[0] = conditions; /* one row's columns are dense, so they are as many rows of `width` */
    time.dims[1] = time.stride = width;
    calo_tensor skip = calo_present(w->shortcut.weight) ? calo_linear(run, x, &w->shortcut, NULL) : x;
    calo_tensor h = calo_group_norm(run, x, &w->norm1, act);
    h = calo_conv2d(run, calo_take(&h), &w->conv1, &(calo_epilogue){ .channel_bias = time });
    h = calo_group_norm(run, calo_take(&h), &w->norm2, act);
    h = calo_conv2d(run, calo_take(&h), &w->conv2, &(calo_epilogue){ .residual = skip });
    if (calo_present(w->shortcut.weight))
        calo_drop(run, &skip);
    return h;
}

/* h [B,T,C] → the same; h's memory is given back. */
static calo_tensor block(const call *c, const calo_unet_block *w, int heads, calo_tensor h)
{
    calo_run *run = c->run;
    const int64_t width = calo_tensor_columns(h);
    const calo_attention_args args = { .heads = heads };
    const calo_tensor kv = c->cache->context[w->index];

    calo_tensor x = calo_layer_norm(run, h, &w->norm1);
    calo_tensor qkv = calo_linear(run, calo_take(&x), &w->qkv, NULL);
    calo_tensor a = calo_attention(run, calo_columns(qkv, 0, width), calo_columns(qkv, width, width),
                                   calo_columns(qkv, 2 * width, width), &args);
    calo_drop(run, &qkv);
    h = calo_linear(run, calo_take(&a), &w->self_out, &(calo_epilogue){ .residual = calo_take(&h) });

    x = calo_layer_norm(run, h, &w->norm2);
    calo_tensor q = calo_linear(run, calo_take(&x), &w->q, NULL);
    a = calo_attention(run, calo_take(&q), calo_columns(kv, 0, width), calo_columns(kv, width, width), &args);
    h = calo_linear(run, calo_take(&a), &w->cross_out, &(calo_epilogue){ .residual = calo_take(&h) });

    x = calo_layer_norm(run, h, &w->norm3);
    x = calo_linear(run, calo_take(&x), &w->feed_in, NULL);
    return calo_linear(run, calo_take(&x), &w->feed_out, &(calo_epilogue){ .residual = calo_take(&h) });
}

/* [B,H,W,C] ↔ [B,H·W,C]: the same memory, still owned by the same value. */
static void as_tokens(calo_tensor *t)
{
    t->dims[1] *= t->dims[2];
    t->dims[2] = t->dims[3];
    t->rank = 3;
}

static void as_image(calo_tensor *t, calo_tensor like)
{
    const int64_t width = t->dims[2];
    t->dims[1] = like.dims[1];
    t->dims[2] = like.dims[2];
    t->dims[3] = width;
    t->rank = 4;
}

/* x [B,H,W,C] → the same; x's memory is given back. Pixels are tokens: the layout does not change. */
static calo_tensor transformer(const call *c, const calo_unet_transformer *w, calo_tensor x)
{
    calo_run *run = c->run;
    calo_tensor h = calo_group_norm(run, x, &w->norm, CALO_LINEAR);
    h = calo_linear(run, calo_take(&h), &w->proj_in, NULL);
    as_tokens(&h);
    for (int i = 0; i < w->depth; i++)
        h = block(c, &w->blocks[i], w->heads, h);
    as_image(&h, x);
    return calo_linear(run, calo_take(&h), &w->proj_out, &(calo_epilogue){ .residual = calo_take(&x) });
}

/* The kept outputs of the way down: a stack. */
typedef struct skips {
    calo_tensor kept[CALO_MAX_LEVELS * (CALO_MAX_LAYERS + 1) + 1];
    int count;
} skips;

static calo_tensor level_down(const call *c, const calo_unet_level *level, calo_tensor h, skips *skips)
{
    for (int i = 0; i < level->count; i++) {
        h = resnet(c, &level->resnets[i], h);
        if (level->transformers[i].depth)
            h = transformer(c, &level->transformers[i], h);
        skips->kept[skips->count++] = h;
    }
    if (level->resamples) {
        h = calo_conv2d(c->run, h, &level->resample, NULL);
        skips->kept[skips->count++] = h;
    }
    return h;
}

static calo_tensor upsample(const call *c, const calo_conv2d_weights *w, calo_tensor h, calo_tensor like)
{
    if (like.dims[1] == 2 * h.dims[1] && like.dims[2] == 2 * h.dims[2])
        return calo_conv2d(c->run, calo_take(&h), w, NULL);
    calo_conv2d_weights plain = *w;
    plain.upsample = 1;
    calo_tensor wide = calo_resample_nearest(c->run, calo_take(&h), (int)like.dims[1], (int)like.dims[2]);
    return calo_conv2d(c->run, calo_take(&wide), &plain, NULL);
}

static calo_tensor level_up(const call *c, const calo_unet_level *level, calo_tensor h, skips *skips)
{
    for (int i = 0; i < level->count; i++) {
        calo_tensor *kept = &skips->kept[--skips->count];
        calo_tensor x = calo_concat(c->run, calo_take(&h), calo_take(kept));
        h = resnet(c, &level->resnets[i], x);
        calo_drop(c->run, &x);
        if (level->transformers[i].depth)
            h = transformer(c, &level->transformers[i], h);
    }
    return level->resamples ? upsample(c, &level->resample, h, skips->kept[skips->count - 1]) : h;
}

calo_tensor calo_unet_predict(calo_run *run, const calo_unet *unet, const calo_unet_cache *cache, calo_tensor x)
{
    const call c = { run, unet, cache };
    skips skips = { .count = 0 };
    run->label = "unet";

    calo_tensor h = calo_conv2d(run, x, &unet->conv_in, NULL);
    skips.kept[skips.count++] = h;
    for (int i = 0; i < unet->config.levels; i++)
        h = level_down(&c, &unet->down[i], h, &skips);

    /* The deepest output is kept for the way up, so the middle must not give it back. */
    if (unet->has_mid) {
        h = resnet(&c, &unet->mid[0], h);
        if (unet->mid_transformer.depth) {
            h = transformer(&c, &unet->mid_transformer, h);
            calo_tensor deep = resnet(&c, &unet->mid[1], h);
            calo_drop(run, &h);
            h = deep;
        }
    } else {
        h = calo_scale(run, h, 1);
    }

    for (int i = 0; i < unet->config.levels; i++)
        h = level_up(&c, &unet->up[i], h, &skips);
    h = calo_group_norm(run, calo_take(&h), &unet->norm_out, unet->config.act_fn);
    return calo_conv2d(run, calo_take(&h), &unet->conv_out, NULL);
}
