/* A layout's random weights as a diffusers folder, so that other programs can run exactly the same model. The numbers
   are those of calo_random_parameter, rounded to the stored type: what `layout:NAME` itself computes with in that type. */
#include "../engine/number.h"
#include "../engine/shim.h"
#include "../engine/weights/safetensors.h"
#include "config_json.h"
#include "model.h"

#include <stdio.h>
#include <string.h>

/* The parameters of one part, in the order in which they are visited. */
typedef struct list {
    calo_tensor_record *records;
    calo_parameter_kind *kinds;
    int64_t count, capacity;
    calo_stored type;
    calo_fault *fault;
} list;

static void note(void *user, const char *name, int rank, const int64_t *dims, calo_parameter_kind kind)
{
    list *l = user;
    if (l->count == l->capacity) {
        int64_t capacity = l->capacity ? 2 * l->capacity : 512;
        calo_tensor_record *records = calo_resize(l->records, (size_t)capacity, sizeof *records);
        if (records)
            l->records = records;
        calo_parameter_kind *kinds = calo_resize(l->kinds, (size_t)capacity, sizeof *kinds);
        if (kinds)
            l->kinds = kinds;
        if (!records || !kinds) {
            calo_fail(l->fault, CALO_EMEMORY, "no host memory to list a model's tensors");
            return;
        }
        l->capacity = capacity;
    }
    calo_tensor_record *r = &l->records[l->count];
    *r = (calo_tensor_record){ .name = calo_copy_string(name), .type = l->type, .rank = rank };
    memcpy(r->dims, dims, (size_t)rank * sizeof *dims);
    if (!r->name)
        calo_fail(l->fault, CALO_EMEMORY, "no host memory to list a model's tensors");
    else
        l->kinds[l->count++] = kind;
}

static void list_free(list *l)
{
    for (int64_t i = 0; i < l->count; i++)
        calo_free((char *)l->records[i].name);
    calo_free(l->records);
    calo_free(l->kinds);
}

static calo_status put_tensor(calo_writer *writer, const calo_tensor_record *r, calo_parameter_kind kind,
                              calo_fault *fault)
{
    enum { BLOCK = 1 << 16 };
    int64_t count = 1, fan_in = 1;
    for (int i = 0; i < r->rank; i++) {
        count *= r->dims[i];
        fan_in *= i ? r->dims[i] : 1;
    }
    float *values = calo_alloc(BLOCK, sizeof *values);
    uint16_t *halves = calo_alloc(BLOCK, sizeof *halves);
    calo_status status = values && halves ? CALO_OK : calo_fail(fault, CALO_EMEMORY, "no host memory to write %s", r->name);
    for (int64_t at = 0; at < count && !status; at += BLOCK) {
        const int64_t part = count - at < BLOCK ? count - at : BLOCK;
        calo_random_parameter(r->name, kind, fan_in, at, part, values);
        for (int64_t i = 0; i < part && r->type != CALO_STORED_F32; i++)
            halves[i] = r->type == CALO_STORED_F16 ? calo_to_f16(values[i]) : calo_to_bf16(values[i]);
        status = r->type == CALO_STORED_F32 ? calo_writer_put(writer, values, (size_t)part * 4, fault)
                                            : calo_writer_put(writer, halves, (size_t)part * 2, fault);
    }
    calo_free(values);
    calo_free(halves);
    return status;
}

static calo_status put_file(const char *folder, const char *name, const char *text, calo_fault *fault)
{
    char path[4096];
    calo_writer *writer;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    calo_status status = calo_writer_open(path, &writer, fault);
    if (!status)
        status = calo_writer_put(writer, text, strlen(text), fault);
    if (!status)
        status = calo_writer_commit(&writer, fault);
    calo_writer_abandon(&writer);
    return status;
}

static calo_status put_part(calo_model *model, calo_part part, const char *folder, calo_stored type, calo_fault *fault)
{
    list l = { .type = type, .fault = fault };
    calo_parameters p = { .checkpoint = &model->checkpoint, .part = part, .arena = &model->weights[part], .fault = fault,
                          .visit = note, .user = &l };
    calo_writer *writer = NULL;
    char path[4096];
    calo_model_part(&p, model, part);
    snprintf(path, sizeof path, "%s/%s/%s.safetensors", folder, calo_part_name(part), calo_part_file(part));
    calo_status status = fault->status;
    if (!status)
        status = calo_safetensors_begin(path, l.records, l.count, &writer, fault);
    for (int64_t i = 0; i < l.count && !status; i++)
        status = put_tensor(writer, &l.records[i], l.kinds[i], fault);
    if (!status)
        status = calo_writer_commit(&writer, fault);
    calo_writer_abandon(&writer);
    list_free(&l);
    return status;
}

/* Puts a text that was made, and frees it. */
static calo_status put_made(const char *folder, const char *name, char *text, calo_fault *fault)
{
    calo_status status = text ? put_file(folder, name, text, fault)
                              : calo_fail(fault, CALO_EMEMORY, "no host memory to write %s/%s", folder, name);
    calo_free(text);
    return status;
}

static calo_status put_folder(const char *folder, const char *name, calo_fault *fault)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return calo_make_directory(path, fault);
}

static calo_status put_tokenizer(const calo_checkpoint *c, int encoder, const char *folder, calo_fault *fault)
{
    static const char *const names[] = { "tokenizer", "tokenizer_2" };
    char path[4096], file[64];
    snprintf(path, sizeof path, "%s/%s", folder, names[encoder]);
    snprintf(file, sizeof file, "%s/tokenizer_config.json", names[encoder]);
    if (put_folder(folder, names[encoder], fault) || calo_tokenizer_write_builtin(path, fault))
        return fault->status;
    return put_made(folder, file, calo_tokenizer_json(encoder == 1 || c->clip[0].hidden_act == CALO_GELU), fault);
}

static calo_status put_model(calo_model *model, const char *folder, calo_stored type, calo_fault *fault)
{
    const calo_checkpoint *c = &model->checkpoint;
    char name[64];
    if (calo_make_directory(folder, fault) || put_made(folder, "model_index.json", calo_index_json(c), fault) ||
        put_folder(folder, "scheduler", fault) ||
        put_file(folder, "scheduler/scheduler_config.json", c->scheduler_json, fault))
        return fault->status;
    for (int part = 0; part < CALO_PARTS; part++) {
        if (!c->has[part])
            continue;
        snprintf(name, sizeof name, "%s/config.json", calo_part_name(part));
        if (put_folder(folder, calo_part_name(part), fault) || put_made(folder, name, calo_part_json(c, part), fault) ||
            (part >= CALO_TEXT && put_tokenizer(c, part - CALO_TEXT, folder, fault)) ||
            put_part(model, part, folder, type, fault))
            return fault->status;
    }
    return CALO_OK;
}

calo_status calo_make_random(calo_context *context, const char *layout, const char *folder, calo_type dtype)
{
    calo_fault *fault = &context->fault;
    const calo_stored type = dtype == CALO_F32 ? CALO_STORED_F32 : dtype == CALO_BF16 ? CALO_STORED_BF16 : CALO_STORED_F16;
    calo_model *model = calo_alloc(1, sizeof *model);
    char path[256];
    calo_fault_clear(fault);
    if (!model)
        return calo_fail(fault, CALO_EMEMORY, "no host memory for a model");
    model->context = context;
    model->with_encoder = true;
    snprintf(path, sizeof path, "layout:%s", layout);
    if (strlen(folder) > 4096 - 128)
        calo_fail(fault, CALO_EUSAGE, "the folder's name is too long");
    else if (!calo_checkpoint_open(path, NULL, &model->checkpoint, fault))
        put_model(model, folder, type, fault);
    calo_unload(&model);
    return fault->status;
}
