/* CLIP's text transformer (Radford et al. 2021): pre-norm layers with causal attention.

       h = tokens[ids] + positions
       h = h + out(attention(qkv(norm1(h))));  h = h + fc2(act(fc1(norm2(h))))      each layer
       context = final_norm(h)                      Stable Diffusion 1 and 2
       context = h before the last layer, pooled = projection(final_norm(h)[end])      XL */
#include "clip.h"
#include "../../kernels/attention/attention.h"
#include "../../kernels/elementwise/elementwise.h"
#include "../../kernels/embedding/embedding.h"
#include "../../kernels/layer_norm/layer_norm.h"
#include "../shim.h"

#include <string.h>

void calo_clip_load(calo_parameters *p, const calo_clip_config *config, calo_clip *clip)
{
    static const char *const projections[] = { "q_proj", "k_proj", "v_proj" };
    const int64_t width = config->hidden_size;
    clip->config = *config;
    calo_load_table(p, &clip->tokens, config->vocab_size, width, "text_model.embeddings.token_embedding.weight");
    calo_load_table(p, &clip->positions, config->max_position_embeddings, width,
                    "text_model.embeddings.position_embedding.weight");
    clip->layers = calo_model_array(p, clip->layers, config->num_hidden_layers, sizeof *clip->layers);
    for (int i = 0; clip->layers && i < config->num_hidden_layers; i++) {
        calo_clip_layer *layer = &clip->layers[i];
        calo_load_norm(p, &layer->norm1, width, 1, config->layer_norm_eps, "text_model.encoder.layers.%d.layer_norm1", i);
        calo_load_stacked(p, &layer->qkv, projections, 3, width, width, true, "text_model.encoder.layers.%d.self_attn", i);
        calo_load_linear(p, &layer->attention_out, width, width, true, "text_model.encoder.layers.%d.self_attn.out_proj", i);
        calo_load_norm(p, &layer->norm2, width, 1, config->layer_norm_eps, "text_model.encoder.layers.%d.layer_norm2", i);
        calo_load_linear(p, &layer->fc1, config->intermediate_size, width, true, "text_model.encoder.layers.%d.mlp.fc1", i);
        calo_load_linear(p, &layer->fc2, width, config->intermediate_size, true, "text_model.encoder.layers.%d.mlp.fc2", i);
    }
    calo_load_norm(p, &clip->final_norm, width, 1, config->layer_norm_eps, "text_model.final_layer_norm");
    if (config->projects)
        calo_load_linear(p, &clip->projection, config->projection_dim, width, false, "text_projection");
}

void calo_clip_free(calo_clip *clip)
{
    calo_free(clip->layers);
    memset(clip, 0, sizeof *clip);
}

static calo_tensor encoder_layer(calo_run *run, const calo_clip_config *config, const calo_clip_layer *layer,
                                 calo_tensor h)
{
    const int64_t width = config->hidden_size;
    calo_tensor x = calo_layer_norm(run, h, &layer->norm1);
    calo_tensor qkv = calo_linear(run, calo_take(&x), &layer->qkv, NULL);
    calo_tensor a = calo_attention(run, calo_columns(qkv, 0, width), calo_columns(qkv, width, width),
                                   calo_columns(qkv, 2 * width, width),
                                   &(calo_attention_args){ .heads = config->num_attention_heads, .causal = true });
    calo_drop(run, &qkv);
    h = calo_linear(run, calo_take(&a), &layer->attention_out, &(calo_epilogue){ .residual = calo_take(&h) });
    x = calo_layer_norm(run, h, &layer->norm2);
    x = calo_linear(run, calo_take(&x), &layer->fc1, &(calo_epilogue){ .activation = config->hidden_act });
    return calo_linear(run, calo_take(&x), &layer->fc2, &(calo_epilogue){ .residual = calo_take(&h) });
}

int calo_clip_end(const calo_clip_config *config, const int32_t *ids, int count)
{
    int at = 0;
    if (config->eos_token_id == 2) {
        for (int i = 1; i < count; i++)
            at = ids[i] > ids[at] ? i : at;
        return at;
    }
    for (int i = 0; i < count; i++)
        if (ids[i] == config->eos_token_id)
            return i;
    return 0;
}

/* h [B, T, D], the last hidden states → [B, P]. */
static calo_tensor pool(calo_run *run, const calo_clip *clip, calo_tensor h, const int *from)
{
    const double one = 1;
    if (calo_failed(run))
        return h;
    const int64_t batch = h.dims[0], width = h.dims[2];
    const calo_tensor rows = calo_reshape(h, 2, (int64_t[]){ batch * h.dims[1], width });
    calo_tensor ends = calo_new(run, h.type, 2, (int64_t[]){ batch, width });
    for (int64_t b = 0; b < batch; b++) {
        const calo_tensor row = calo_batches(rows, b * h.dims[1] + from[b], 1);
        calo_combine_into(run, calo_batches(ends, b, 1), &row, &one, 1, 0);
    }
    ends = calo_layer_norm(run, calo_take(&ends), &clip->final_norm);
    return clip->config.projects ? calo_linear(run, calo_take(&ends), &clip->projection, NULL) : ends;
}

calo_tensor calo_clip_encode(calo_run *run, const calo_clip *clip, calo_tensor ids, const calo_clip_wish *wish,
                             calo_tensor *pooled)
{
    const int layers = clip->config.num_hidden_layers, wanted = layers - wish->skip;
    calo_tensor h = calo_embed_tokens(run, ids, clip->tokens, clip->positions), kept = { 0 };
    for (int i = 0; i < layers && (i < wanted || wish->pooled_from); i++) {
        if (i == wanted)
            kept = calo_scale(run, h, 1);
        h = encoder_layer(run, &clip->config, &clip->layers[i], h);
    }
    if (wish->pooled_from)
        *pooled = pool(run, clip, h, wish->pooled_from);
    if (calo_present(kept)) {
        calo_drop(run, &h);
        h = kept;
    }
    return wish->normed ? calo_layer_norm(run, calo_take(&h), &clip->final_norm) : h;
}
