/* Loading and evicting parts. A part's arena is always planned, and committed while the part is held. */
#include "residency.h"

static bool has(const calo_model *model, unsigned parts, int part)
{
    return model->checkpoint.has[part] && parts >> part & 1;
}

static calo_parameters parameters_of(calo_model *model, int part, calo_fault *fault)
{
    return (calo_parameters){ .checkpoint = &model->checkpoint, .random_type = model->dtype,
                              .by_output = calo_model_device(model).backend == CALO_CUDA,
                              .arena = &model->weights[part], .fault = fault, .device = model->context->device };
}

static calo_status plan_part(calo_model *model, int part, calo_fault *fault)
{
    const calo_device_info info = calo_model_device(model);
    calo_parameters p = parameters_of(model, part, fault);
    calo_arena_init(&model->weights[part], model->context->device, &info);
    calo_model_part(&p, model, (calo_part)part);
    return fault->status;
}

calo_status calo_model_plan(calo_model *model, calo_fault *fault)
{
    for (int part = 0; part < CALO_PARTS && !fault->status; part++)
        if (model->checkpoint.has[part])
            plan_part(model, part, fault);
    return fault->status;
}

uint64_t calo_model_bytes(const calo_model *model, unsigned parts)
{
    uint64_t bytes = 0;
    for (int part = 0; part < CALO_PARTS; part++)
        if (has(model, parts, part))
            bytes += calo_arena_size(&model->weights[part]);
    return bytes;
}

uint64_t calo_model_largest(const calo_model *model, unsigned parts)
{
    uint64_t largest = 0;
    for (int part = 0; part < CALO_PARTS; part++)
        if (has(model, parts, part) && calo_arena_largest(&model->weights[part]) > largest)
            largest = calo_arena_largest(&model->weights[part]);
    return largest;
}

calo_status calo_model_hold(calo_model *model, unsigned parts, int (*on_done)(void *user, uint64_t done), void *user,
                            calo_fault *fault)
{
    uint64_t done = 0;
    for (int part = 0; part < CALO_PARTS && !fault->status; part++) {
        calo_arena *arena = &model->weights[part];
        calo_parameters p = parameters_of(model, part, fault);
        if (!has(model, parts & ~model->held, part))
            continue;
        p.on_done = on_done;
        p.user = user;
        p.done = done;
        if (calo_arena_commit(arena, fault) || calo_arena_map(arena, fault))
            break;
        calo_model_part(&p, model, (calo_part)part);
        calo_arena_unmap(arena, fault);
        model->held |= CALO_BIT(part);
        model->loads++;
        done = p.done;
    }
    return fault->status;
}

calo_status calo_model_evict(calo_model *model, unsigned parts, calo_fault *fault)
{
    for (int part = 0; part < CALO_PARTS && !fault->status; part++) {
        if (!has(model, model->held & ~parts, part))
            continue;
        calo_arena_free(&model->weights[part]);
        model->held &= ~CALO_BIT(part);
        plan_part(model, part, fault);
    }
    return fault->status;
}

calo_status calo_model_need_encoder(calo_model *model, calo_fault *fault)
{
    if (model->with_encoder)
        return CALO_OK;
    if (model->context->device)
        model->context->device->api->finish(model->context->device, fault);
    calo_arena_free(&model->weights[CALO_VAE]);
    model->held &= ~CALO_BIT(CALO_VAE);
    model->with_encoder = true;
    return fault->status ? fault->status : plan_part(model, CALO_VAE, fault);
}

uint64_t calo_model_limit(const calo_model *model)
{
    const calo_device *device = model->context->device;
    const uint64_t memory = device ? device->info.memory : UINT64_MAX;
    return model->memory_limit && model->memory_limit < memory ? model->memory_limit : memory;
}
