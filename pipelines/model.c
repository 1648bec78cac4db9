/* Loading a model: plan the weights, allocate them, fill them. */
#include "model.h"
#include "../engine/shim.h"

#include <inttypes.h>
#include <string.h>

calo_device_info calo_model_device(const calo_model *model)
{
    calo_device_info info;
    if (model->context->device)
        return model->context->device->info;
    calo_device_nominal(&info);
    return info;
}

void calo_model_parameters(calo_parameters *p, calo_model *model, bool with_encoder)
{
    p->part = CALO_TEXT;
    calo_clip_load(p, &model->checkpoint.clip, &model->clip);
    p->part = CALO_UNET;
    calo_unet_load(p, &model->checkpoint.unet, &model->unet);
    p->part = CALO_VAE;
    calo_vae_load(p, &model->checkpoint.vae, with_encoder, &model->vae);
}

/* The parts must fit each other before any of them is loaded. */
static calo_status check_parts(const calo_model *model, calo_fault *fault)
{
    const calo_checkpoint *c = &model->checkpoint;
    const char *path = c->path;
    if (c->unet.cross_attention_dim != c->clip.hidden_size)
        return calo_fail(fault, CALO_EFILE, "%s: unet's cross_attention_dim is %d, text_encoder's hidden_size is %d", path,
                         c->unet.cross_attention_dim, c->clip.hidden_size);
    if (c->unet.in_channels != c->vae.latent_channels || c->unet.out_channels != c->unet.in_channels)
        return calo_fail(fault, CALO_EFILE,
                         "%s: unet has %d channels in and %d out, vae's latent_channels is %d; they must agree", path,
                         c->unet.in_channels, c->unet.out_channels, c->vae.latent_channels);
    if (c->vae.out_channels != 3)
        return calo_fail(fault, CALO_EFILE, "%s: vae's out_channels is %d, pictures have 3", path, c->vae.out_channels);
    if (calo_tokenizer_rows(model->tokenizer) > c->clip.vocab_size)
        return calo_fail(fault, CALO_EFILE, "%s: the tokenizer's ids reach %d, text_encoder's vocab_size is %d", path,
                         (int)calo_tokenizer_rows(model->tokenizer) - 1, c->clip.vocab_size);
    return CALO_OK;
}

typedef struct watcher {
    const calo_load_options *options;
    uint64_t total;
} watcher;

static int forward_progress(void *user, uint64_t done)
{
    const watcher *w = user;
    return w->options->on_load(w->options->user, done, w->total);
}

static calo_status load_weights(calo_model *model, const calo_load_options *options, calo_fault *fault)
{
    const calo_device_info info = calo_model_device(model);
    watcher watcher = { .options = options };
    calo_parameters p = { .checkpoint = &model->checkpoint, .random_type = model->dtype,
                          .by_output = calo_model_device(model).backend == CALO_CUDA, .arena = &model->weights,
                          .fault = fault, .device = model->context->device, .user = &watcher };
    calo_arena_init(&model->weights, model->context->device, &info);
    calo_model_parameters(&p, model, false);
    if (fault->status || !model->context->device)
        return fault->status;
    watcher.total = calo_arena_size(&model->weights);
    if (calo_device_expect(p.device, model->checkpoint.path, watcher.total, calo_arena_largest(&model->weights), fault))
        return fault->status;
    if (options->on_load)
        p.on_done = forward_progress;
    if (calo_arena_commit(&model->weights, fault) || calo_arena_map(&model->weights, fault))
        return fault->status;
    calo_model_parameters(&p, model, false);
    calo_arena_unmap(&model->weights, fault);
    return fault->status;
}

static void close_files(calo_checkpoint *checkpoint)
{
    for (int part = 0; part < CALO_PARTS; part++) {
        for (int i = 0; i < checkpoint->parts[part].count; i++)
            calo_safetensors_close(&checkpoint->parts[part].files[i]);
        checkpoint->parts[part].count = 0;
    }
}

calo_status calo_load(calo_context *context, const char *path, const calo_load_options *given, calo_model **model)
{
    static const calo_load_options defaults = CALO_LOAD_OPTIONS_INIT;
    const calo_load_options *options = given ? given : &defaults;
    calo_fault *fault = &context->fault;
    *model = NULL;
    calo_fault_clear(fault);
    if (options->size != sizeof *options)
        return calo_fail(fault, CALO_EUSAGE, "calo_load: the options' size is %zu, this library expects %zu; use "
                         "CALO_LOAD_OPTIONS_INIT", options->size, sizeof *options);
    if (!path || !*path)
        return calo_fail(fault, CALO_EUSAGE, "calo_load: no path");
    if (options->variant && strcmp(options->variant, "sd15") != 0)
        return calo_fail(fault, CALO_EUSAGE, "the variant '%s' is not known: sd15", options->variant);
    if (options->dtype != CALO_AUTO && options->dtype != CALO_F32 && options->dtype != CALO_F16 &&
        options->dtype != CALO_BF16)
        return calo_fail(fault, CALO_EUSAGE, "calo_load: dtype must be auto, f32, f16 or bf16");
    calo_model *made = calo_alloc(1, sizeof *made);
    if (!made)
        return calo_fail(fault, CALO_EMEMORY, "no host memory for a model");
    made->context = context;
    made->dtype = options->dtype == CALO_AUTO ? CALO_F32 : options->dtype;
    if (options->prediction && !(made->prediction = calo_copy_string(options->prediction)))
        calo_fail(fault, CALO_EMEMORY, "no host memory for a model");
    if (!fault->status)
        calo_checkpoint_open(path, &made->checkpoint, fault);
    if (!fault->status) {
        if (made->checkpoint.tokenizer)
            calo_tokenizer_open_folder(made->checkpoint.tokenizer, &made->tokenizer, fault);
        else
            calo_tokenizer_open_builtin(NULL, &made->tokenizer, fault);
    }
    if (!fault->status)
        check_parts(made, fault);
    if (!fault->status)
        load_weights(made, options, fault);
    if (fault->status)
        calo_unload(&made);
    else
        close_files(&made->checkpoint);
    *model = made;
    return fault->status;
}

void calo_unload(calo_model **model)
{
    if (!model || !*model)
        return;
    calo_model *m = *model;
    calo_clip_free(&m->clip);
    calo_unet_free(&m->unet);
    calo_vae_free(&m->vae);
    calo_arena_free(&m->weights);
    calo_tokenizer_close(&m->tokenizer);
    calo_checkpoint_close(&m->checkpoint);
    calo_free(m->prediction);
    calo_free(m);
    *model = NULL;
}

const char *calo_model_dtype(const calo_model *model)
{
    return model ? calo_type_name(model->dtype) : "";
}
