/* What a model is, without loading it: calo_inspect, and its names by content, calo_hash_model. */
#include "../engine/hash.h"
#include "../engine/shim.h"
#include "../engine/weights/json.h"
#include "../engine/weights/variants.h"
#include "model.h"

#include <stdio.h>
#include <string.h>

/* ---- inspect ---------------------------------------------------------------------------------------------------- */

typedef struct tally {
    const calo_checkpoint *checkpoint;
    calo_parameters *p;
    double parameters;
    double types[CALO_STORED_TYPES];
    calo_type layout_type;
} tally;

static void count_parameter(void *user, const char *name, int rank, const int64_t *dims, calo_parameter_kind kind)
{
    tally *t = user;
    double count = 1;
    (void)kind;
    for (int i = 0; i < rank; i++)
        count *= (double)dims[i];
    t->parameters += count;
    if (t->checkpoint->form == CALO_FORM_LAYOUT)
        return;
    calo_entry entry;
    if (!calo_checkpoint_find(t->checkpoint, t->p->part, name, &entry, t->p->fault))
        t->types[entry.type] += count;
}

static cJSON *part_json(calo_model *model, calo_part part, calo_fault *fault)
{
    calo_parameters p = { .checkpoint = &model->checkpoint, .part = part, .arena = &model->weights[part], .fault = fault,
                          .visit = count_parameter };
    tally t = { .checkpoint = &model->checkpoint, .p = &p };
    p.user = &t;
    calo_model_part(&p, model, part);
    cJSON *object = cJSON_CreateObject(), *types = cJSON_AddObjectToObject(object, "types");
    cJSON_AddNumberToObject(object, "parameters", t.parameters);
    for (int i = 0; i < CALO_STORED_TYPES; i++)
        if (t.types[i] > 0)
            cJSON_AddNumberToObject(types, calo_stored_name(i), t.types[i]);
    return object;
}

static void add_ints(cJSON *object, const char *name, const int *values, int count)
{
    cJSON_AddItemToObject(object, name, cJSON_CreateIntArray(values, count));
}

static void add_configs(cJSON *parts, const calo_checkpoint *c)
{
    cJSON *unet = cJSON_GetObjectItemCaseSensitive(parts, calo_part_name(CALO_UNET));
    cJSON *vae = cJSON_GetObjectItemCaseSensitive(parts, calo_part_name(CALO_VAE));
    add_ints(unet, "block_out_channels", c->unet.block_out_channels, c->unet.levels);
    add_ints(unet, "layers_per_block", c->unet.layers_per_block, c->unet.levels);
    add_ints(unet, "heads", c->unet.heads, c->unet.levels);
    cJSON_AddNumberToObject(unet, "in_channels", c->unet.in_channels);
    cJSON_AddNumberToObject(unet, "cross_attention_dim", c->unet.cross_attention_dim);
    cJSON_AddNumberToObject(unet, "norm_num_groups", c->unet.norm_num_groups);
    cJSON_AddBoolToObject(unet, "use_linear_projection", c->unet.use_linear_projection);
    add_ints(vae, "block_out_channels", c->vae.block_out_channels, c->vae.levels);
    cJSON_AddNumberToObject(vae, "latent_channels", c->vae.latent_channels);
    cJSON_AddNumberToObject(vae, "scaling_factor", c->vae.scaling_factor);
    for (int i = 0; i < 2; i++) {
        const calo_clip_config *clip = &c->clip[i];
        cJSON *text = cJSON_GetObjectItemCaseSensitive(parts, calo_part_name(CALO_TEXT + i));
        if (!text)
            continue;
        cJSON_AddNumberToObject(text, "hidden_size", clip->hidden_size);
        cJSON_AddNumberToObject(text, "num_hidden_layers", clip->num_hidden_layers);
        cJSON_AddNumberToObject(text, "num_attention_heads", clip->num_attention_heads);
        cJSON_AddNumberToObject(text, "vocab_size", clip->vocab_size);
        if (clip->projects)
            cJSON_AddNumberToObject(text, "projection_dim", clip->projection_dim);
    }
}

static const char *prediction_of(const calo_checkpoint *c)
{
    return strstr(c->scheduler_json, "\"v_prediction\"") ? "v" : strstr(c->scheduler_json, "\"sample\"") ? "sample" : "epsilon";
}

static char *describe(calo_model *model, calo_fault *fault)
{
    static const char *const forms[] = { "diffusers folder", "single file", "layout" };
    const calo_checkpoint *c = &model->checkpoint;
    const int side = c->unet.sample_size << (c->vae.levels - 1);
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "name", c->name);
    cJSON_AddStringToObject(object, "architecture", c->variant->title);
    cJSON_AddStringToObject(object, "variant", c->variant->name);
    cJSON_AddStringToObject(object, "prediction", prediction_of(c));
    cJSON_AddStringToObject(object, "form", forms[c->form]);
    cJSON_AddStringToObject(object, "scheduler", c->scheduler_class);
    cJSON_AddNumberToObject(object, "width", side);
    cJSON_AddNumberToObject(object, "height", side);
    cJSON_AddStringToObject(object, "reason", c->reason);
    cJSON *parts = cJSON_AddObjectToObject(object, "parts");
    for (int part = 0; part < CALO_PARTS && !fault->status; part++)
        if (c->has[part])
            cJSON_AddItemToObject(parts, calo_part_name(part), part_json(model, part, fault));
    if (!fault->status)
        add_configs(parts, c);
    char *printed = fault->status ? NULL : cJSON_Print(object), *text = printed ? calo_copy_string(printed) : NULL;
    if (!text)
        calo_fail(fault, CALO_EMEMORY, "no host memory to describe %s", c->path);
    cJSON_free(printed);
    cJSON_Delete(object);
    return text;
}

calo_status calo_inspect(calo_context *context, const char *path, char **json)
{
    calo_model *model = calo_alloc(1, sizeof *model);
    calo_fault *fault = &context->fault;
    *json = NULL;
    calo_fault_clear(fault);
    if (!model)
        return calo_fail(fault, CALO_EMEMORY, "no host memory to look into %s", path);
    model->context = context;
    model->with_encoder = true;
    if (calo_checkpoint_open(path, NULL, &model->checkpoint, fault) == CALO_OK)
        *json = describe(model, fault);
    calo_unload(&model);
    return fault->status;
}

/* ---- hashes ----------------------------------------------------------------------------------------------------- */

calo_status calo_hash_model(calo_context *context, const char *path, int whole,
                            int (*on_read)(void *user, uint64_t done, uint64_t total), void *user, char text[65])
{
    calo_checkpoint checkpoint = { 0 };
    calo_fault *fault = &context->fault;
    uint8_t digest[32];
    text[0] = '\0';
    calo_fault_clear(fault);
    if (calo_checkpoint_open(path, NULL, &checkpoint, fault))
        return fault->status;
    if (checkpoint.form == CALO_FORM_LAYOUT || !whole) {
        snprintf(text, 65, "%s", checkpoint.hash);
    } else if (!calo_sha256_file(&checkpoint.parts[CALO_UNET].files[0].file, on_read, user, digest, fault)) {
        for (int i = 0; i < 32; i++)
            snprintf(text + 2 * i, 3, "%02x", digest[i]);
    }
    calo_checkpoint_close(&checkpoint);
    return fault->status;
}
