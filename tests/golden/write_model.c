/* Writes a model's weights from its configuration alone, so that goldens need no weights in the repository:

       write_model CONFIGS TOKENIZER OUT [f16] [single]

   CONFIGS holds the JSON files of a diffusers folder. Every parameter is calo_random_parameter of its diffusers name, so
   the same folder comes out wherever this runs. `single` writes one file under the LDM names instead. */
#include "../../engine/number.h"
#include "../../engine/shim.h"
#include "../../engine/weights/names.h"
#include "../../pipelines/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct list {
    calo_tensor_record records[4096];
    char *names[4096]; /* diffusers' */
    calo_parameter_kind kinds[4096];
    int64_t count;
    const calo_checkpoint *checkpoint; /* not NULL: LDM names for this part */
    calo_part part;
    calo_stored type;
} list;

static void note(void *user, const char *name, int rank, const int64_t *dims, calo_parameter_kind kind)
{
    list *l = user;
    const char *stored = name;
    calo_candidates candidates;
    if (l->checkpoint) {
        calo_candidate_names(l->checkpoint, l->part, name, &candidates);
        stored = candidates.names[0];
    }
    l->names[l->count] = calo_copy_string(name);
    l->records[l->count] = (calo_tensor_record){ .name = calo_copy_string(stored), .type = l->type, .rank = rank };
    memcpy(l->records[l->count].dims, dims, (size_t)rank * sizeof *dims);
    /* LDM keeps the VAE's attention as 1×1 convolutions. */
    if (l->checkpoint && l->part == CALO_VAE && rank == 2 && strstr(stored, ".attn_1.")) {
        l->records[l->count].rank = 4;
        l->records[l->count].dims[2] = l->records[l->count].dims[3] = 1;
    }
    l->kinds[l->count++] = kind;
}

static void visit(calo_model *model, calo_part part, list *l, calo_fault *fault)
{
    calo_parameters p = { .checkpoint = &model->checkpoint, .part = part, .arena = &model->weights, .fault = fault,
                          .visit = note, .user = l };
    l->part = part;
    if (part == CALO_TEXT)
        calo_clip_load(&p, &model->checkpoint.clip, &model->clip);
    else if (part == CALO_UNET)
        calo_unet_load(&p, &model->checkpoint.unet, &model->unet);
    else
        calo_vae_load(&p, &model->checkpoint.vae, true, &model->vae);
}

static void write_list(const list *l, const char *path, calo_fault *fault)
{
    calo_writer *writer = NULL;
    calo_safetensors_begin(path, l->records, l->count, &writer, fault);
    for (int64_t i = 0; i < l->count && !fault->status; i++) {
        int64_t count = 1, fan_in = 1;
        for (int d = 0; d < l->records[i].rank; d++) {
            count *= l->records[i].dims[d];
            fan_in *= d ? l->records[i].dims[d] : 1;
        }
        float *values = calo_alloc((size_t)count, sizeof *values);
        uint16_t *halves = calo_alloc((size_t)count, sizeof *halves);
        calo_random_parameter(l->names[i], l->kinds[i], fan_in, 0, count, values);
        for (int64_t k = 0; k < count; k++)
            halves[k] = calo_to_f16(values[k]);
        if (l->type == CALO_STORED_F16)
            calo_writer_put(writer, halves, (size_t)count * 2, fault);
        else
            calo_writer_put(writer, values, (size_t)count * 4, fault);
        calo_free(values);
        calo_free(halves);
    }
    if (!fault->status)
        calo_writer_commit(&writer, fault);
}

static void copy_file(const char *from, const char *to, const char *name, calo_fault *fault)
{
    char source[4096], target[4096], *text;
    size_t size;
    calo_writer *writer = NULL;
    snprintf(source, sizeof source, "%s/%s", from, name);
    snprintf(target, sizeof target, "%s/%s", to, name);
    if (!calo_is_file(source) || calo_read_file(source, 64 << 20, &text, &size, fault))
        return;
    if (!calo_writer_open(target, &writer, fault)) {
        calo_writer_put(writer, text, size, fault);
        calo_writer_commit(&writer, fault);
    }
    calo_free(text);
}

static void read_configs(const char *folder, calo_checkpoint *c, calo_fault *fault)
{
    static const char *const parts[] = { "unet", "vae", "text_encoder" };
    char path[4096];
    for (int i = 0; i < CALO_PARTS; i++) {
        calo_json json;
        snprintf(path, sizeof path, "%s/%s/config.json", folder, parts[i]);
        if (calo_json_open(path, &json, fault))
            return;
        if (i == CALO_UNET)
            calo_unet_config_read(&json, &c->unet);
        else if (i == CALO_VAE)
            calo_vae_config_read(&json, &c->vae);
        else
            calo_clip_config_read(&json, &c->clip);
        calo_json_close(&json);
    }
}

int main(int count, char **words)
{
    static const char *const files[] = { "unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model",
                                         "text_encoder/model" };
    static const char *const texts[] = { "model_index.json",     "unet/config.json", "vae/config.json",
                                         "text_encoder/config.json", "scheduler/scheduler_config.json" };
    static const char *const words_files[] = { "vocab.json", "merges.txt", "tokenizer_config.json",
                                               "special_tokens_map.json", "tokenizer.json" };
    static const char *const folders[] = { "", "/unet", "/vae", "/text_encoder", "/tokenizer", "/scheduler" };
    calo_fault fault = { 0 };
    bool half = false, single = false;
    char path[4096];
    if (count < 4)
        return fprintf(stderr, "usage: write_model CONFIGS TOKENIZER OUT [f16] [single]\n"), 2;
    for (int i = 4; i < count; i++) {
        half = half || strcmp(words[i], "f16") == 0;
        single = single || strcmp(words[i], "single") == 0;
    }
    calo_model *model = calo_alloc(1, sizeof *model);
    list *l = calo_alloc(1, sizeof *l);
    read_configs(words[1], &model->checkpoint, &fault);
    model->checkpoint.form = single ? CALO_FORM_SINGLE : CALO_FORM_FOLDER;
    l->type = half ? CALO_STORED_F16 : CALO_STORED_F32;
    if (single) {
        l->checkpoint = &model->checkpoint;
        for (int part = 0; part < CALO_PARTS && !fault.status; part++)
            visit(model, part, l, &fault);
        if (!fault.status)
            write_list(l, words[3], &fault);
    } else {
        for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
            snprintf(path, sizeof path, "%s%s", words[3], folders[i]);
            calo_make_directory(path, &fault);
        }
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
            copy_file(words[1], words[3], texts[i], &fault);
        snprintf(path, sizeof path, "%s/tokenizer", words[3]);
        const bool own = model->checkpoint.clip.vocab_size == calo_clip_config_sd1().vocab_size;
        for (size_t i = own ? 2 : 0; i < (own ? 4 : sizeof words_files / sizeof *words_files); i++)
            copy_file(words[2], path, words_files[i], &fault);
        if (own) /* CLIP's whole vocabulary; the settings and special tokens are the same */
            calo_tokenizer_write_builtin(path, &fault);
        for (int part = 0; part < CALO_PARTS && !fault.status; part++) {
            l->count = 0;
            visit(model, part, l, &fault);
            snprintf(path, sizeof path, "%s/%s.safetensors", words[3], files[part]);
            if (!fault.status)
                write_list(l, path, &fault);
        }
    }
    if (fault.status)
        fprintf(stderr, "write_model: %s\n", fault.text);
    return fault.status;
}
