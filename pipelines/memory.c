/* Where a job fits: all at once, in turns, or with the VAE in tiles. */
#include "job.h"
#include "residency.h"

#include <inttypes.h>
#include <stdio.h>

enum { ENCODERS = CALO_BIT(CALO_TEXT) | CALO_BIT(CALO_TEXT_2) };

void calo_memory_turn(calo_job *job, int number, unsigned parts)
{
    calo_fault *fault = job->run.fault;
    if (!job->run.device || calo_failed(&job->run))
        return;
    if (job->takes_turns && (job->stages[number].model->held & CALO_ALL_PARTS) != parts) {
        job->run.device->api->finish(job->run.device, fault); /* nobody reads what is given back */
        for (int i = 0; i < job->stage_count && !fault->status; i++)
            calo_model_evict(job->stages[i].model, job->stages[i].model == job->stages[number].model ? parts : 0, fault);
    }
    if (!fault->status)
        calo_model_hold(job->stages[number].model, job->takes_turns ? parts : CALO_ALL_PARTS, NULL, NULL, fault);
}

/* The models of all stages, each once. */
static bool is_first(const calo_job *job, int number)
{
    return number == 0 || job->stages[number].model != job->stages[0].model;
}

uint64_t calo_memory_weights(const calo_job *job, bool takes_turns)
{
    static const unsigned turns[] = { ENCODERS, CALO_BIT(CALO_UNET), CALO_BIT(CALO_VAE) };
    uint64_t all = 0, most = 0;
    for (int i = 0; i < job->stage_count; i++) {
        all += is_first(job, i) ? calo_model_bytes(job->stages[i].model, CALO_ALL_PARTS) : 0;
        for (int k = 0; k < 3; k++) {
            const uint64_t turn = calo_model_bytes(job->stages[i].model, turns[k]);
            most = turn > most ? turn : most;
        }
    }
    return takes_turns ? most : all;
}

/* Runs without a device, which leaves the arena's peak behind. */
static calo_status plan(calo_job *job, calo_ledger *ledger)
{
    job->run.device = NULL;
    job->run.ledger = ledger;
    calo_flow_begin(job);
    while (calo_flow_left(job) && !calo_failed(&job->run))
        calo_flow_step(job);
    calo_flow_end(job, NULL);
    job->run.ledger = NULL;
    return job->run.fault->status;
}

static bool fits(const calo_job *job, bool takes_turns, uint64_t limit)
{
    const uint64_t weights = calo_memory_weights(job, takes_turns);
    return weights <= limit && calo_arena_size(&job->arena) <= limit - weights;
}

/* What the job may take now: its limit, or what is free and what its own models have, where the device can say. */
static uint64_t room_of(const calo_job *job)
{
    const uint64_t limit = calo_model_limit(job->model);
    uint64_t room = calo_device_room(job->model->context->device);
    for (int i = 0; i < job->stage_count && room < limit; i++)
        room += is_first(job, i) ? calo_model_bytes(job->stages[i].model, job->stages[i].model->held) : 0;
    return room < limit ? room : limit;
}

calo_status calo_memory_decide(calo_job *job, calo_ledger *ledger)
{
    enum { LEAST = 256 };
    const calo_model *model = job->model;
    const calo_vae_config *vae = &model->checkpoint.vae;
    const uint64_t limit = calo_model_limit(model), room = room_of(job);
    const int half = (model->checkpoint.unet.sample_size << (vae->levels - 1)) / 2 / 32 * 32;
    if (plan(job, ledger))
        return job->run.fault->status;
    /* Tiles change the picture a little, so what others have taken has no say in them; turns do not. */
    if (!job->tile && !fits(job, false, limit) && !fits(job, true, limit)) {
        job->tile = half > LEAST ? half : LEAST; /* of half the model's own size */
        calo_log(model->context, CALO_LOG_WARNING, "the VAE works in tiles of %d pixels: whole pictures do not fit", job->tile);
        calo_arena_free(&job->arena);
        calo_arena_init(&job->arena, model->context->device, &job->run.info);
        if (ledger) {
            calo_ledger_free(ledger);
            *ledger = (calo_ledger){ 0 };
        }
        if (plan(job, ledger))
            return job->run.fault->status;
    }
    const uint64_t activations = calo_arena_size(&job->arena), need = calo_memory_weights(job, true) + activations;
    job->takes_turns = !fits(job, false, room);
    if (job->takes_turns && !fits(job, true, room))
        return calo_fail(job->run.fault, CALO_EMEMORY,
                         "%d × %d: %" PRIu64 " bytes of device memory are needed even when the model's parts take turns, %"
                         PRIu64 " of them for activations; there may be %" PRIu64, job->request.width, job->request.height,
                         need, activations, room);
    if (job->takes_turns)
        calo_log(model->context, CALO_LOG_WARNING,
                 "the model's parts take turns: %" PRIu64 " bytes at most, where all at once need %" PRIu64, need,
                 calo_memory_weights(job, false) + activations);
    return CALO_OK;
}

calo_status calo_memory_take(calo_job *job)
{
    char what[64];
    for (int i = 0; i < job->stage_count && job->takes_turns; i++)
        if (calo_model_evict(job->stages[i].model, 0, job->run.fault))
            return job->run.fault->status;
    snprintf(what, sizeof what, "%d × %d", job->request.width, job->request.height);
    if (calo_device_expect(job->model->context->device, what, calo_arena_size(&job->arena), calo_arena_largest(&job->arena),
                           job->run.fault))
        return job->run.fault->status;
    return calo_arena_commit(&job->arena, job->run.fault);
}
