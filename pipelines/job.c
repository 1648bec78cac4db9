/* The public calls on jobs. */
#include "job.h"
#include "../engine/shim.h"
#include "preview.h"
#include "report.h"

/* Where the images go, when they stay on the device. */
static calo_status take_output(calo_job *job)
{
    const calo_request *r = &job->request;
    const calo_stage *last = &job->stages[job->stage_count - 1];
    calo_device *device = job->model->context->device;
    const uint64_t bytes = (uint64_t)r->count * (uint64_t)last->width * (uint64_t)last->height * 3 * sizeof(float);
    if (!r->device_output)
        return CALO_OK;
    if (!device->api->adopt)
        return calo_fail(job->run.fault, CALO_EUSAGE, "device_output needs a CUDA device; this is %s", device->info.name);
    if (r->device_output % 16)
        return calo_fail(job->run.fault, CALO_EUSAGE, "device_output is not aligned to 16 bytes");
    return device->api->adopt(device, r->device_output, bytes, &job->output, job->run.fault);
}

/* Plans, takes memory, and does what comes before the first step. */
static calo_status start(calo_job *job)
{
    const calo_request *r = &job->request;
    calo_fault *fault = job->run.fault;
    if (!job->model->context->device)
        return calo_fail(fault, CALO_EDEVICE, "this context has no device; it can only plan");
    if (take_output(job) || calo_memory_decide(job, NULL) || calo_memory_take(job))
        return fault->status;
    job->run.device = job->model->context->device;
    job->run.profile = r->profile;
    job->run.check = r->check;
    job->run.ledger = r->report ? &job->ledger : NULL;
    calo_flow_begin(job);
    return fault->status;
}

calo_status calo_job_open(calo_model *model, const calo_request *request, calo_job **job)
{
    calo_fault *fault = &model->context->fault;
    *job = calo_alloc(1, sizeof **job);
    if (!*job)
        return calo_fail(fault, CALO_EMEMORY, "no host memory for a job");
    calo_status status = calo_flow_open(*job, model, request);
    if (!status)
        status = start(*job);
    if (status)
        calo_job_close(job);
    return status;
}

void calo_job_close(calo_job **job)
{
    if (!job || !*job)
        return;
    calo_flow_close(*job);
    calo_free(*job);
    *job = NULL;
}

void calo_job_watch(calo_job *job, const calo_request *watch)
{
    calo_request *r = &job->request;
    r->on_step = watch->on_step;
    r->should_stop = job->run.should_stop = watch->should_stop;
    r->user = job->run.stop_user = watch->user;
    r->timing = watch->timing;
    r->preview_every = watch->preview_every;
    job->timing.step_s = r->timing ? r->timing->step_s : NULL;
    job->timing.step_room = r->timing ? r->timing->step_room : 0;
}

const calo_request *calo_job_request(const calo_job *job)
{
    return &job->request;
}

/* Whether the job can go on; clears the sentence of the call before. */
static calo_status ready(calo_job *job)
{
    calo_fault_clear(job->run.fault);
    return job->broken ? calo_fail(job->run.fault, CALO_EUSAGE, "the job failed or is over; it cannot go on") : CALO_OK;
}

/* What failed or was stopped half-way cannot go on; what was told to stop between its steps can. */
static calo_status settle(calo_job *job)
{
    const calo_status status = job->run.fault->status;
    if (status && (status != CALO_ECANCELLED || job->run.stopped))
        job->broken = true;
    return status;
}

calo_status calo_job_step(calo_job *job, int *left)
{
    if (left)
        *left = 0;
    if (ready(job))
        return job->run.fault->status;
    calo_flow_step(job);
    if (left)
        *left = calo_flow_left(job);
    return settle(job);
}

calo_status calo_job_peek(calo_job *job, calo_image **image)
{
    *image = NULL;
    return ready(job) ? job->run.fault->status : calo_preview_make(job, image);
}

/* Timing, dump, report: what a request asks for beside its pictures. */
static calo_status hand_out(calo_job *job)
{
    const calo_request *r = &job->request;
    calo_fault *fault = job->run.fault;
    if (r->dump && calo_dump_write(&job->dump, r->dump, fault))
        return fault->status;
    if (r->report && calo_report_make(&job->ledger, calo_memory_weights(job, job->takes_turns), calo_arena_size(&job->arena),
                                      job->takes_turns, &job->run.info, r->report, fault))
        return fault->status;
    if (r->timing)
        *r->timing = job->timing;
    return CALO_OK;
}

calo_status calo_job_finish(calo_job *job, calo_image **images)
{
    for (int i = 0; images && i < job->request.count; i++)
        images[i] = NULL;
    if (ready(job))
        return job->run.fault->status;
    if (!images && !job->output)
        return calo_fail(job->run.fault, CALO_EUSAGE, "neither images nor a device_output was given");
    while (calo_flow_left(job) && !calo_failed(&job->run))
        calo_flow_step(job);
    if (calo_failed(&job->run))
        return settle(job);
    calo_flow_end(job, images);
    if (!calo_failed(&job->run))
        hand_out(job);
    job->broken = true;
    for (int i = 0; calo_failed(&job->run) && images && i < job->request.count; i++)
        calo_free_image(&images[i]);
    return job->run.fault->status;
}

calo_status calo_generate(calo_model *model, const calo_request *request, calo_image **images)
{
    calo_job *job = NULL;
    const bool known = request->size == sizeof *request;
    for (int i = 0; images && known && i < request->count; i++)
        images[i] = NULL;
    calo_fault_clear(&model->context->fault);
    if (known && !images && !request->device_output)
        return calo_fail(&model->context->fault, CALO_EUSAGE, "neither images nor a device_output was given");
    if (known && request->timing)
        *request->timing = (calo_timing){ .step_s = request->timing->step_s, .step_room = request->timing->step_room };
    calo_status status = calo_job_open(model, request, &job);
    if (!status)
        status = calo_job_finish(job, images);
    calo_job_close(&job);
    return status;
}

calo_status calo_plan(calo_model *model, const calo_request *request, calo_report **report)
{
    calo_job *job = calo_alloc(1, sizeof *job);
    calo_ledger ledger = { 0 };
    *report = NULL;
    if (!job)
        return calo_fail(&model->context->fault, CALO_EMEMORY, "no host memory for a job");
    calo_status status = calo_flow_open(job, model, request);
    if (!status)
        status = calo_memory_decide(job, &ledger);
    if (!status)
        status = calo_report_make(&ledger, calo_memory_weights(job, job->takes_turns), calo_arena_size(&job->arena),
                                  job->takes_turns, &job->run.info, report, job->run.fault);
    calo_ledger_free(&ledger);
    calo_job_close(&job);
    return status;
}
