/* CLIP's text transformer (Radford et al. 2021): pre-norm layers with causal attention.

       h = tokens[ids] + positions
       h = h + out(attention(qkv(norm1(h))));  h = h + fc2(act(fc1(norm2(h))))      each layer
       context = final_norm(h) */
#include "clip.h"
#include "../../kernels/attention/attention.h"
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

calo_tensor calo_clip_encode(calo_run *run, const calo_clip *clip, calo_tensor ids, int skip)
{
    calo_tensor h = calo_embed_tokens(run, ids, clip->tokens, clip->positions);
    for (int i = 0; i < clip->config.num_hidden_layers - skip; i++)
        h = encoder_layer(run, &clip->config, &clip->layers[i], h);
    return calo_layer_norm(run, calo_take(&h), &clip->final_norm);
}
