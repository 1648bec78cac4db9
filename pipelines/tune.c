/* The public call that measures kernels: a plan of the request says which calls there are, kernels/tuner.c times them.
 */
#include "../engine/shim.h"
#include "../kernels/probe/probe.h"
#include "../kernels/tuner.h"
#include "job.h"
#include "residency.h"
#include "tuning_file.h"

#include <stdio.h>
#include <string.h>

/* Every different call of the request, in the order of a run. */
static calo_status learn(calo_model *model, const calo_request *request, calo_lesson *lesson)
{
    calo_fault *fault = &model->context->fault;
    calo_job *job = calo_alloc(1, sizeof *job);
    if (!job)
        return calo_fail(fault, CALO_EMEMORY, "no host memory for a job");
    calo_status status = calo_flow_open(job, model, request);
    job->run.lesson = lesson;
    if (!status)
        status = calo_memory_decide(job, NULL);
    calo_job_close(&job);
    if (!status && lesson->incomplete)
        status = calo_fail(fault, CALO_EMEMORY, "no host memory for a list of %d calls", lesson->count);
    return status;
}

/* The calls' tensors need the room of the weights, which come back at the models' next turn. */
static calo_status make_room(calo_model *model, const calo_request *request)
{
    calo_fault *fault = &model->context->fault;
    calo_device *device = model->context->device;
    if (device->api->finish(device, fault) || calo_model_evict(model, 0, fault))
        return fault->status;
    return request->refiner ? calo_model_evict(request->refiner, 0, fault) : CALO_OK;
}

static void fill_row(calo_tune_row *row, const calo_learned *learned, const calo_tuner *tuner)
{
    const calo_candidate *standard = &tuner->candidates[0], *winner = &tuner->candidates[tuner->winner];
    *row = (calo_tune_row){ .op = learned->call.op->name,
                            .calls = learned->uses,
                            .candidates = tuner->count,
                            .standard_s = standard->seconds,
                            .winner_s = winner->seconds };
    calo_call_text(&learned->call, row->shape, sizeof row->shape);
    calo_variant_text(standard->variant, standard->values, row->standard);
    calo_variant_text(winner->variant, winner->values, row->winner);
}

static calo_status measure_call(calo_tuner *tuner, const calo_learned *learned, calo_tuning *tuning,
                                calo_tune_report *report)
{
    calo_status status = calo_tuner_measure(tuner, learned);
    if (!status) {
        const calo_candidate *winner = &tuner->candidates[tuner->winner];
        calo_choice choice = { .key = learned->key,
                               .variant = winner->variant,
                               .seconds = winner->seconds,
                               .standard_s = tuner->candidates[0].seconds };
        memcpy(choice.values, winner->values, sizeof choice.values);
        fill_row(&report->rows[report->row_count++], learned, tuner);
        status = calo_tuning_put(tuning, &choice, tuner->fault);
    }
    calo_tuner_end(tuner);
    return status;
}

static calo_status measure_all(calo_context *context, const calo_lesson *lesson, const calo_tune_options *options,
                               calo_tuning *tuning, calo_tune_report *report)
{
    calo_fault *fault = &context->fault;
    calo_tuner tuner = { .device = context->device, .fault = fault, .rounds = options->rounds };
    int total = 0, done = 0;
    for (int i = 0; i < lesson->count; i++)
        total += calo_tuner_candidates(lesson->calls[i], &context->device->info) > 1;
    report->single = lesson->count - total;
    for (int i = 0; i < lesson->count && !fault->status; i++) {
        const calo_learned *learned = lesson->calls[i];
        if (calo_tuner_candidates(learned, &context->device->info) == 1)
            continue;
        if (options->on_call && options->on_call(options->user, done, total, learned->key))
            return calo_fail(fault, CALO_ECANCELLED, "stopped after %d of %d calls", done, total);
        measure_call(&tuner, learned, tuning, report);
        done++;
    }
    if (!fault->status && options->on_call && options->on_call(options->user, total, total, ""))
        calo_fail(fault, CALO_ECANCELLED, "stopped after %d of %d calls", done, total);
    return fault->status;
}

static calo_status probe(calo_device *device, int which, calo_tune_report *report, calo_fault *fault)
{
    const calo_status status = calo_device_probe(device, fault);
    report->peak_flops[which] = device->info.peak_flops;
    report->peak_bandwidth[which] = device->info.peak_bandwidth;
    return status;
}

/* What was measured, over what the file holds by now. */
static void keep(calo_context *context, const calo_tuning *measured, calo_tune_report *report)
{
    const calo_device_info *info = &context->device->info;
    const calo_peaks peaks = { { report->peak_flops[0], report->peak_flops[1] },
                               { report->peak_bandwidth[0], report->peak_bandwidth[1] } };
    calo_fault fault = { 0 }, unused = { 0 };
    calo_tuning all = { 0 };
    if (!measured->count || !*context->tuning_path)
        return;
    calo_tuning_read(context->tuning_path, info, &all, &unused);
    for (int i = 0; i < measured->count && !fault.status; i++)
        calo_tuning_put(&all, &measured->choices[i], &fault);
    if (!fault.status)
        calo_tuning_write(context->tuning_path, info, &all, &peaks, &fault);
    calo_tuning_free(&all);
    if (fault.status)
        calo_fail(&context->fault, fault.status, "%s", fault.text);
    else
        snprintf(report->path, sizeof report->path, "%s", context->tuning_path);
}

calo_status calo_tune(calo_model *model, const calo_request *request, const calo_tune_options *given,
                      calo_tune_report **report)
{
    static const calo_tune_options defaults = CALO_TUNE_OPTIONS_INIT;
    const calo_tune_options *options = given ? given : &defaults;
    calo_context *context = model->context;
    calo_device *device = context->device;
    calo_fault *fault = &context->fault;
    calo_lesson lesson = { 0 };
    calo_tuning measured = { 0 };
    *report = NULL;
    calo_fault_clear(fault);
    if (options->size != sizeof *options)
        return calo_fail(fault, CALO_EUSAGE,
                         "calo_tune: the options' size is %zu, this library expects %zu; use "
                         "CALO_TUNE_OPTIONS_INIT",
                         options->size, sizeof *options);
    if (options->rounds < 1 || options->rounds > CALO_TUNER_MAX_ROUNDS)
        return calo_fail(fault, CALO_EUSAGE, "calo_tune: %d rounds are not 1 to %d", options->rounds,
                         CALO_TUNER_MAX_ROUNDS);
    if (!device)
        return calo_fail(fault, CALO_EDEVICE, "this context has no device to measure");
    if (*context->tuning_path && calo_tuning_expect(context->tuning_path, fault))
        return fault->status;
    calo_tune_report *made = calo_alloc(1, sizeof *made);
    if (!made)
        return calo_fail(fault, CALO_EMEMORY, "no host memory for a report");
    if (learn(model, request, &lesson))
        goto done;
    made->rows = calo_alloc((size_t)lesson.count, sizeof *made->rows);
    if (!made->rows) {
        calo_fail(fault, CALO_EMEMORY, "no host memory for a report of %d rows", lesson.count);
        goto done;
    }
    if (device->api->open_vendor)
        device->api->open_vendor(device);
    if (make_room(model, request) || probe(device, 0, made, fault))
        goto done;
    if (!measure_all(context, &lesson, options, &measured, made))
        probe(device, 1, made, fault);
    keep(context, &measured, made);
    if (!fault->status) {
        *report = made;
        made = NULL;
    }
done:
    calo_tuning_free(&measured);
    calo_lesson_free(&lesson);
    calo_free_tune_report(&made);
    return fault->status;
}

void calo_free_tune_report(calo_tune_report **report)
{
    if (!report || !*report)
        return;
    calo_free((*report)->rows);
    calo_free(*report);
    *report = NULL;
}
