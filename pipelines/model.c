/* Loading a model: plan the weights, allocate them, fill them. */
#include "residency.h"
#include "../engine/hash.h"
#include "../engine/shim.h"
#include "../engine/weights/variants.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

calo_device_info calo_model_device(const calo_model *model)
{
    calo_device_info info;
    if (model->context->device)
        return model->context->device->info;
    calo_device_nominal(&info);
    return info;
}

void calo_model_part(calo_parameters *p, calo_model *model, calo_part part)
{
    const calo_checkpoint *c = &model->checkpoint;
    p->part = part;
    if (part == CALO_UNET)
        calo_unet_load(p, &c->unet, &model->unet);
    else if (part == CALO_VAE)
        calo_vae_load(p, &c->vae, model->with_encoder, &model->vae);
    else
        calo_clip_load(p, &c->clip[part - CALO_TEXT], &model->clip[part - CALO_TEXT]);
}

/* The parts must fit each other before any of them is loaded. */
static calo_status check_parts(const calo_model *model, calo_fault *fault)
{
    const calo_checkpoint *c = &model->checkpoint;
    const calo_unet_config *unet = &c->unet;
    const char *path = c->path;
    int context = 0;
    for (int i = 0; i < 2; i++) {
        if (!c->has[CALO_TEXT + i])
            continue;
        context += c->clip[i].hidden_size;
        if (calo_tokenizer_rows(model->tokenizer[i]) > c->clip[i].vocab_size)
            return calo_fail(fault, CALO_EFILE, "%s: the tokenizer's ids reach %d, %s's vocab_size is %d", path,
                             (int)calo_tokenizer_rows(model->tokenizer[i]) - 1, calo_part_name(CALO_TEXT + i),
                             c->clip[i].vocab_size);
    }
    if (unet->cross_attention_dim != context)
        return calo_fail(fault, CALO_EFILE, "%s: unet's cross_attention_dim is %d, the text encoders' hidden_size is %d", path,
                         unet->cross_attention_dim, context);
    if (unet->text_time != c->has[CALO_TEXT_2])
        return calo_fail(fault, CALO_EFILE, "%s: unet's addition_embed_type %s a text_encoder_2", path,
                         unet->text_time ? "text_time needs" : "is not text_time, which goes with");
    const int sizes = calo_size_count(c), pooled = c->clip[1].projection_dim;
    if (unet->text_time &&
        unet->projection_class_embeddings_input_dim != pooled + sizes * (int64_t)unet->addition_time_embed_dim)
        return calo_fail(fault, CALO_EFILE,
                         "%s: unet's projection_class_embeddings_input_dim is %d, text_encoder_2's projection_dim %d and %d "
                         "sizes of addition_time_embed_dim %d make another; model_index.json's requires_aesthetics_score "
                         "says whether there are 5 or 6", path, unet->projection_class_embeddings_input_dim, pooled, sizes,
                         unet->addition_time_embed_dim);
    if (unet->out_channels != c->vae.latent_channels ||
        (unet->in_channels != c->vae.latent_channels && unet->in_channels != 2 * c->vae.latent_channels + 1))
        return calo_fail(fault, CALO_EFILE,
                         "%s: unet has %d channels in and %d out, vae's latent_channels is %d; they must agree (an "
                         "inpainting model has twice as many in, and one)", path, unet->in_channels, unet->out_channels,
                         c->vae.latent_channels);
    if (c->vae.out_channels != 3)
        return calo_fail(fault, CALO_EFILE, "%s: vae's out_channels is %d, pictures have 3", path, c->vae.out_channels);
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

/* All parts at once where they fit; otherwise a run loads each when its turn comes. */
static calo_status load_weights(calo_model *model, const calo_load_options *options, calo_fault *fault)
{
    calo_device *device = model->context->device;
    watcher watcher = { .options = options };
    if (calo_model_plan(model, fault) || !device)
        return fault->status;
    watcher.total = calo_model_bytes(model, CALO_ALL_PARTS);
    if (watcher.total + device->allocated > calo_model_limit(model) || watcher.total > calo_device_room(device))
        return CALO_OK; /* in turns, then */
    if (calo_device_expect(device, model->checkpoint.path, watcher.total, calo_model_largest(model, CALO_ALL_PARTS), fault))
        return fault->status;
    return calo_model_hold(model, CALO_ALL_PARTS, options->on_load ? forward_progress : NULL, &watcher, fault);
}

/* A single file has CLIP's own vocabulary; OpenCLIP's encoders pad with "!". */
static calo_status open_tokenizers(calo_model *model, calo_fault *fault)
{
    const calo_checkpoint *c = &model->checkpoint;
    for (int i = 0; i < 2 && !fault->status; i++) {
        const bool openclip = i == 1 || c->clip[0].hidden_act == CALO_GELU;
        if (!c->has[CALO_TEXT + i])
            continue;
        if (c->tokenizer[i])
            calo_tokenizer_open_folder(c->tokenizer[i], &model->tokenizer[i], fault);
        else
            calo_tokenizer_open_builtin(openclip ? "!" : NULL, &model->tokenizer[i], fault);
    }
    return fault->status;
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
    if (options->dtype != CALO_AUTO && options->dtype != CALO_F32 && options->dtype != CALO_F16 &&
        options->dtype != CALO_BF16)
        return calo_fail(fault, CALO_EUSAGE, "calo_load: dtype must be auto, f32, f16 or bf16");
    const calo_checkpoint_options files = { options->variant, options->vae, options->text_encoder, options->prediction, true };
    calo_model *made = calo_alloc(1, sizeof *made);
    if (!made)
        return calo_fail(fault, CALO_EMEMORY, "no host memory for a model");
    made->context = context;
    made->dtype = options->dtype == CALO_AUTO ? CALO_F32 : options->dtype;
    made->memory_limit = options->memory_limit;
    made->zero_snr = options->zero_snr;
    if (options->prediction && !(made->prediction = calo_copy_string(options->prediction)))
        calo_fail(fault, CALO_EMEMORY, "no host memory for a model");
    if (!fault->status)
        calo_checkpoint_open(path, &files, &made->checkpoint, fault);
    if (!fault->status)
        open_tokenizers(made, fault);
    if (!fault->status)
        check_parts(made, fault);
    made->with_encoder = made->checkpoint.unet.in_channels != made->checkpoint.vae.latent_channels;
    if (!fault->status)
        load_weights(made, options, fault);
    if (fault->status)
        calo_unload(&made);
    *model = made;
    return fault->status;
}

void calo_unload(calo_model **model)
{
    if (!model || !*model)
        return;
    calo_model *m = *model;
    for (int i = 0; i < 2; i++) {
        calo_clip_free(&m->clip[i]);
        calo_tokenizer_close(&m->tokenizer[i]);
    }
    calo_unet_free(&m->unet);
    calo_vae_free(&m->vae);
    for (int part = 0; part < CALO_PARTS; part++)
        calo_arena_free(&m->weights[part]);
    calo_checkpoint_close(&m->checkpoint);
    calo_free(m->prediction);
    calo_free(m);
    *model = NULL;
}

/* Every byte of a part's files, after what came before. */
static calo_status digest_files(const calo_source *source, uint64_t *digest, calo_fault *fault)
{
    enum { CHUNK = 1 << 22 };
    uint8_t *bytes = calo_alloc(CHUNK, 1);
    if (!bytes)
        return calo_fail(fault, CALO_EMEMORY, "no host memory to read a model's files");
    for (int i = 0; i < source->count && !fault->status; i++) {
        const calo_file *file = &source->files[i].file;
        for (uint64_t at = 0; at < file->size && !fault->status; at += CHUNK) {
            const size_t size = file->size - at < CHUNK ? (size_t)(file->size - at) : CHUNK;
            if (!calo_file_read(file, at, bytes, size, fault))
                *digest = calo_digest(*digest, bytes, size);
        }
    }
    calo_free(bytes);
    return fault->status;
}

calo_status calo_model_digest(calo_model *model, char text[20], calo_fault *fault)
{
    const calo_checkpoint *c = &model->checkpoint;
    uint64_t digest = 0;
    if (!*model->digest) {
        for (int i = 0; i < CALO_PARTS && !fault->status; i++)
            if (c->has[i] && !c->parts[i].borrowed)
                digest_files(&c->parts[i], &digest, fault);
        const char *const words[] = { c->scheduler_class, c->scheduler_json, model->prediction };
        for (int i = 0; i < 3; i++)
            digest = words[i] ? calo_digest(digest, (const uint8_t *)words[i], strlen(words[i])) : digest + 1;
        digest += model->zero_snr;
        if (c->form == CALO_FORM_LAYOUT) {
            digest = calo_digest(digest, (const uint8_t *)c->path, strlen(c->path));
            digest = calo_digest(digest, (const uint8_t *)&model->dtype, sizeof model->dtype);
        }
        if (fault->status)
            return fault->status;
        snprintf(model->digest, sizeof model->digest, "%016" PRIx64, digest);
    }
    memcpy(text, model->digest, sizeof model->digest);
    return CALO_OK;
}

const char *calo_model_dtype(const calo_model *model)
{
    return model ? calo_type_name(model->dtype) : "";
}

void calo_model_describe(const calo_model *model, calo_variant_record *record)
{
    const calo_checkpoint *c = &model->checkpoint;
    calo_variant_fill(c->variant, record);
    record->width = record->height = c->unet.sample_size << (c->vae.levels - 1);
    if (c->form == CALO_FORM_FOLDER && c->pipeline != CALO_PIPELINE_LCM) { /* a folder's variant is a guess of a name */
        const calo_request request = CALO_REQUEST_INIT;
        record->steps = request.steps;
        record->guidance = request.guidance;
    }
}
