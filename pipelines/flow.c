/* What a request of Stable Diffusion 1, 2 and XL does, in which order.

       begin: prompts → contexts;  noise, or a picture through the VAE's encoder → latents
       step:  latents through the scheduler's program and the UNet, one call
       end:   latents → pictures, through the VAE's decoder

   A request goes twice through this code: first without a device, which finds how much memory it takes, then for real in
   exactly that memory. Pictures of one request are made one after the other, so none depends on its neighbours. */
#include "../engine/image.h"
#include "../engine/shim.h"
#include "../kernels/elementwise/elementwise.h"
#include "decode.h"
#include "job.h"
#include "metadata.h"
#include "preview.h"
#include "request.h"
#include "residency.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ENCODERS = CALO_BIT(CALO_TEXT) | CALO_BIT(CALO_TEXT_2) };

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static calo_status check_refiner(const calo_job *job, calo_fault *fault)
{
    const calo_request *r = &job->request;
    const calo_checkpoint *own = &job->model->checkpoint, *other = &r->refiner->checkpoint;
    if (r->refiner->context != job->model->context)
        return calo_fail(fault, CALO_EUSAGE, "the refiner belongs to another context");
    if (other->vae.latent_channels != own->vae.latent_channels || other->vae.levels != own->vae.levels)
        return calo_fail(fault, CALO_EUSAGE, "the refiner %s works in other latents than %s", other->path, own->path);
    if (other->unet.in_channels != other->vae.latent_channels)
        return calo_fail(fault, CALO_EUSAGE, "%s is an inpainting model, which cannot refine", other->path);
    if (!(r->refiner_start > 0 && r->refiner_start < 1))
        return calo_fail(fault, CALO_EUSAGE, "refiner-start must lie between 0 and 1, not %g", r->refiner_start);
    return CALO_OK;
}

/* The size of a second pass: a multiple of what the VAE and people ask for. */
static int enlarged(const calo_job *job, int side)
{
    const int scale = calo_request_scale(job->model), unit = scale > 8 ? scale : 8;
    const int size = (int)rint(side * job->request.hires / unit) * unit;
    return size > unit ? size : unit;
}

static calo_status open_stages(calo_job *job)
{
    const calo_request *r = &job->request;
    calo_fault *fault = job->run.fault;
    const bool second = r->hires > 1;
    const calo_share first = { .end = r->refiner ? r->refiner_start : 1, .strength = r->init ? r->strength : 1,
                               .lcm = r->init && !r->inpaint && job->model->checkpoint.pipeline == CALO_PIPELINE_LCM };
    const calo_share last = { .begin = r->refiner ? r->refiner_start : 0, .end = 1, .strength = second ? r->hires_strength : 1 };
    job->stage_count = r->refiner || second ? 2 : 1;
    if (r->refiner && check_refiner(job, fault))
        return fault->status;
    if (calo_stage_open(&job->stages[0], job->model, r, r->width, r->height, &first, fault) || job->stage_count == 1)
        return fault->status;
    return calo_stage_open(&job->stages[1], r->refiner ? r->refiner : job->model, r, second ? enlarged(job, r->width) : r->width,
                           second ? enlarged(job, r->height) : r->height, &last, fault);
}

calo_status calo_flow_open(calo_job *job, calo_model *model, const calo_request *request)
{
    calo_fault *fault = &model->context->fault;
    *job = (calo_job){ .model = model, .begin = calo_seconds() };
    job->run = (calo_run){ .info = calo_model_device(model), .arena = &job->arena, .dtype = model->dtype, .fault = fault };
    calo_fault_clear(fault);
    calo_arena_init(&job->arena, model->context->device, &job->run.info);
    if (calo_request_take(&job->request, request, model, fault))
        return fault->status;
    const calo_request *r = &job->request;
    job->tile = r->tile;
    job->run.should_stop = r->should_stop;
    job->run.stop_user = r->user;
    job->timing = (calo_timing){ .step_s = r->timing ? r->timing->step_s : NULL,
                                 .step_room = r->timing ? r->timing->step_room : 0 };
    job->frames = calo_alloc((size_t)r->count, sizeof *job->frames);
    if (!job->frames)
        return calo_fail(fault, CALO_EMEMORY, "no host memory for %d pictures", r->count);
    if (r->init && calo_canvas_open(&job->canvas, r, fault))
        return fault->status;
    job->fits_preview = r->preview_every > 0 && !model->preview.known;
    if ((r->init || (r->hires > 1 && r->hires_pixels)) && calo_model_need_encoder(model, fault))
        return fault->status;
    return open_stages(job);
}

void calo_flow_close(calo_job *job)
{
    calo_device *device = job->model->context->device;
    for (int i = 0; i < 2; i++)
        if (job->stages[i].model)
            calo_stage_close(&job->stages[i]);
    calo_start_close(&job->start);
    calo_arena_free(&job->arena);
    calo_dump_free(&job->dump);
    calo_ledger_free(&job->ledger);
    calo_canvas_close(&job->canvas);
    calo_free(job->frames);
    if (job->output)
        device->api->release(device, job->output);
    calo_request_free(&job->request);
}

/* ---- dump ------------------------------------------------------------------------------------------------------- */

static bool dumping(const calo_job *job)
{
    return job->request.dump && job->run.device;
}

static void dump_schedule(calo_job *job)
{
    const int count = calo_flow_calls(job, job->stage_count);
    float *timesteps = calo_alloc((size_t)count, sizeof *timesteps), *sigmas = calo_alloc((size_t)count, sizeof *sigmas);
    bool has_sigmas = true;
    if (!timesteps || !sigmas)
        calo_fail(job->run.fault, CALO_EMEMORY, "no host memory for the dump");
    for (int s = 0, at = 0; s < job->stage_count && !calo_failed(&job->run); s++) {
        const calo_program *program = job->stages[s].program;
        has_sigmas = has_sigmas && program->has_sigmas;
        for (int i = 0; i < program->step_count; i++, at++) {
            timesteps[at] = (float)program->steps[i].timestep;
            sigmas[at] = (float)program->steps[i].sigma;
        }
    }
    if (!calo_failed(&job->run)) {
        calo_dump_values(&job->dump, "timesteps", 1, (int64_t[]){ count }, false, timesteps, job->run.fault);
        if (has_sigmas)
            calo_dump_values(&job->dump, "sigmas", 1, (int64_t[]){ count }, false, sigmas, job->run.fault);
    }
    calo_free(timesteps);
    calo_free(sigmas);
}

/* The texts of the first call: the request's own pair. */
static void dump_texts(calo_job *job)
{
    const calo_stage *stage = &job->stages[0];
    const calo_phase *phase = &stage->conditions.phases[0];
    const calo_group *group = &phase->groups[0];
    if (calo_failed(&job->run))
        return;
    if (group->uncond >= 0)
        calo_text_dump(&stage->text, phase->rows[group->uncond], "uncond", &job->dump, job->run.fault);
    calo_text_dump(&stage->text, phase->rows[group->rows[0]], "cond", &job->dump, job->run.fault);
}

static void keep_tensor(calo_job *job, calo_run *run, const char *key, int number, bool halves, calo_tensor t)
{
    char name[32];
    if (job->stage && number == 0 && strcmp(key, "latents") == 0) /* the last of the stage before */
        return;
    snprintf(name, sizeof name, "%s.%03d", key, calo_flow_calls(job, job->stage) + number);
    if (halves) { /* unconditional halves of all images stand before the conditional ones */
        calo_dump_insert(&job->dump, run, name, calo_batches(t, 0, 1), job->frame);
        calo_dump_append(&job->dump, run, name, calo_batches(t, 1, 1));
    } else {
        calo_dump_append(&job->dump, run, name, t);
    }
}

static void on_tensor(void *user, calo_run *run, const char *key, int number, calo_tensor t)
{
    keep_tensor(user, run, key, number, false, t);
}

static void on_output(void *user, calo_run *run, int call, calo_tensor output)
{
    calo_job *job = user;
    const calo_stage *stage = &job->stages[job->stage];
    const bool guided = stage->conditions.phases[stage->phase].groups[0].uncond >= 0;
    keep_tensor(job, run, "output", call, guided && output.dims[0] == 2, output);
}

/* ---- begin ------------------------------------------------------------------------------------------------------ */

static void encode(calo_job *job)
{
    for (int i = 0; i < job->stage_count; i++) {
        calo_memory_turn(job, i, ENCODERS);
        calo_text_encode(&job->run, &job->stages[i].text);
    }
    if (dumping(job))
        dump_texts(job);
    if (job->run.device && !calo_failed(&job->run))
        job->run.device->api->finish(job->run.device, job->run.fault);
}

/* Every picture's own generator, and what its latents begin with. */
static void draw(calo_job *job)
{
    const calo_stage *stage = &job->stages[0];
    const calo_request *r = &job->request;
    if (r->init || calo_sees_mask(stage) || job->fits_preview)
        calo_memory_turn(job, 0, CALO_BIT(CALO_VAE));
    if (job->fits_preview)
        calo_preview_fit(&job->run, job->model);
    job->start = (calo_start){ .request = r, .canvas = r->init ? &job->canvas : NULL,
                               .dump = dumping(job) ? &job->dump : NULL, .tile = job->tile };
    calo_start_open(&job->run, &job->start, stage);
    for (int i = 0; i < r->count && !calo_failed(&job->run); i++)
        calo_start_frame(&job->run, &job->start, stage, i, &job->frames[i]);
    calo_start_close(&job->start);
}

void calo_flow_begin(calo_job *job)
{
    const double begin = calo_seconds();
    job->stage = job->frame = 0;
    job->entered = job->looping = false;
    if (dumping(job))
        dump_schedule(job);
    encode(job);
    job->timing.encode_s = calo_seconds() - begin;
    draw(job);
}

/* ---- step ------------------------------------------------------------------------------------------------------- */

int calo_flow_calls(const calo_job *job, int stages)
{
    int count = 0;
    for (int i = 0; i < stages; i++)
        count += job->stages[i].program->step_count;
    return count;
}

/* A plan needs one picture: the others take the same memory again. */
static int frames_of(const calo_job *job)
{
    return job->run.device ? job->request.count : 1;
}

int calo_flow_left(const calo_job *job)
{
    int left = 0;
    for (int i = job->stage; i < job->stage_count; i++) {
        const int all = frames_of(job) * job->stages[i].program->step_count;
        const int done = job->frame * job->stages[i].program->step_count + (job->looping ? job->loop.done : 0);
        left += i == job->stage ? all - done : all;
    }
    return left;
}

static void predict(void *user, calo_run *run, const calo_tensor *registers, double scale, int call)
{
    calo_job *job = user;
    calo_stage_predict(run, &job->stages[job->stage], registers, scale, call);
}

/* What is not repainted gets its latents back, with the noise of the call that follows; after the last, without. */
static void keep_picture(void *user, calo_run *run, const calo_tensor *registers, int call)
{
    const calo_job *job = user;
    const calo_frame *frame = &job->frames[job->frame];
    const calo_program *program = job->stages[job->stage].program;
    const calo_tensor x = registers[CALO_REGISTER_X];
    const bool last = job->stage + 1 == job->stage_count && call + 1 == program->step_count;
    const calo_step *next = call + 1 < program->step_count ? &program->steps[call + 1]
                            : last                         ? NULL
                                                           : &job->stages[job->stage + 1].program->steps[0];
    calo_tensor kept = calo_combine(run, (calo_tensor[]){ frame->init, frame->noise },
                                    (double[]){ next ? next->signal : 1, next ? next->noise : 0 }, 2, 0, CALO_F32);
    calo_blend_into(run, x, kept, x, job->start.mask);
    calo_drop(run, &kept);
}

/* The stage's model and conditions, and in a second pass every picture's larger latents. */
static void enter_stage(calo_job *job)
{
    calo_stage *stage = &job->stages[job->stage];
    const bool second_pass = job->stage > 0 && job->request.hires > 1;
    if (second_pass && job->request.hires_pixels)
        calo_memory_turn(job, job->stage, CALO_BIT(CALO_VAE));
    for (int i = 0; second_pass && i < job->request.count && !calo_failed(&job->run); i++)
        calo_start_again(&job->run, &job->request, stage, i, job->tile, &job->frames[i]);
    calo_memory_turn(job, job->stage, CALO_BIT(CALO_UNET));
    stage->on_output = dumping(job) ? on_output : NULL;
    stage->user = job;
    calo_stage_enter(&job->run, stage);
    job->entered = true;
}

/* The loop of the next picture. */
static void begin_frame(calo_job *job)
{
    calo_stage *stage = &job->stages[job->stage];
    calo_frame *frame = &job->frames[job->frame];
    if (job->entered) {
        calo_memory_turn(job, job->stage, CALO_BIT(CALO_UNET));
        calo_stage_rewind(&job->run, stage);
    } else {
        enter_stage(job);
    }
    stage->beside = job->stage == 0 ? frame->beside : (calo_tensor){ 0 };
    job->loop = (calo_denoise){ .program = stage->program, .generator = &frame->generator, .predict = predict,
                                .after = calo_present(frame->init) ? keep_picture : NULL,
                                .on_tensor = dumping(job) ? on_tensor : NULL, .user = job };
    calo_denoise_begin(&job->run, &job->loop, frame->latents);
    job->looping = true;
}

static void end_frame(calo_job *job)
{
    job->frames[job->frame].latents = calo_denoise_end(&job->run, &job->loop);
    job->looping = false;
    if (++job->frame < frames_of(job))
        return;
    calo_stage_leave(&job->run, &job->stages[job->stage]);
    job->entered = false;
    job->frame = 0;
    job->stage++;
}

static void report_step(calo_job *job, int number, double seconds)
{
    const calo_request *r = &job->request;
    const int done = calo_flow_calls(job, job->stage) + number, all = calo_flow_calls(job, job->stage_count);
    calo_progress progress = { job->frame, done, all, seconds, calo_seconds() - job->begin, NULL };
    calo_image *preview = NULL;
    if (job->timing.step_s && job->timing.step_count < job->timing.step_room)
        job->timing.step_s[job->timing.step_count++] = seconds;
    if (!r->on_step)
        return;
    if (r->preview_every > 0 && done % r->preview_every == 0 && calo_preview_make(job, &preview))
        return;
    progress.preview = preview;
    if (r->on_step(r->user, &progress))
        calo_fail(job->run.fault, CALO_ECANCELLED, "stopped after step %d of %d", done, all);
    calo_free_image(&preview);
}

void calo_flow_step(calo_job *job)
{
    const double begin = calo_seconds();
    if (job->stage >= job->stage_count || calo_failed(&job->run))
        return;
    if (!job->looping && job->stages[job->stage].begun) /* the picture before began in the middle, this one does not */
        calo_stage_begin_at(&job->stages[job->stage], 0, job->run.fault);
    if (!job->looping && !calo_failed(&job->run))
        begin_frame(job);
    calo_memory_turn(job, job->stage, CALO_BIT(CALO_UNET)); /* another job may have had its turn */
    calo_denoise_step(&job->run, &job->loop);
    if (calo_failed(&job->run))
        return;
    const int number = job->loop.done;
    if (job->run.device)
        report_step(job, number, calo_seconds() - begin);
    const calo_fault kept = *job->run.fault; /* being told to stop leaves the job as whole as any other step */
    calo_fault_clear(job->run.fault);
    if (number == job->loop.program->step_count)
        end_frame(job);
    if (!job->run.fault->status)
        *job->run.fault = kept;
}

void calo_flow_seek(calo_job *job, int stage, int frame, int calls)
{
    while (!calo_failed(&job->run) && job->stage < stage) {
        job->frame = frames_of(job) - 1;
        begin_frame(job);
        end_frame(job);
    }
    job->frame = frame;
    if (job->stage == job->stage_count || calo_failed(&job->run))
        return;
    if (calls >= 0)
        begin_frame(job);
    else if (frame > 0)
        enter_stage(job);
    if (job->looping)
        job->loop.done = calls;
}

/* ---- end -------------------------------------------------------------------------------------------------------- */

/* With a variation the seed is every picture's, and the variation's counts up. */
static char *parameters_of(const calo_job *job)
{
    calo_request r = job->request;
    const bool varies = r.variation_strength > 0;
    r.variation_seed += varies ? (uint64_t)job->frame : 0;
    return calo_parameters_text(&r, job->model, job->stages[0].schedule.scheduler, r.width, r.height,
                                r.seed + (varies ? 0 : (uint64_t)job->frame));
}

/* [1, H, W, 3] of −1 … 1 to a picture: x/2 + ½, clamped; laid over the one it was made from. */
static void finish_image(calo_job *job, calo_tensor decoded, calo_image **image)
{
    const int height = (int)decoded.dims[1], width = (int)decoded.dims[2];
    const int64_t dims[] = { 1, height, width, 3 }, count = calo_tensor_count(decoded);
    float *values = job->run.device && !calo_failed(&job->run) ? calo_alloc((size_t)count, sizeof *values) : NULL;
    int64_t bad = 0;
    char *parameters = NULL;
    if (job->run.device && !values)
        calo_fail(job->run.fault, CALO_EMEMORY, "no host memory for a picture of %d × %d", width, height);
    if (calo_failed(&job->run) || !values)
        goto done;
    calo_download(&job->run, decoded, values);
    for (int64_t i = 0; i < count && !calo_failed(&job->run); i++) {
        bad += !isfinite(values[i]);
        const float v = values[i] * 0.5f + 0.5f;
        values[i] = v < 0 ? 0 : v > 1 ? 1 : v;
    }
    if (bad)
        calo_fail(job->run.fault, CALO_ENONFINITE, "the decoded picture holds %" PRId64 " numbers that are not finite", bad);
    parameters = parameters_of(job);
    if (!parameters)
        calo_fail(job->run.fault, CALO_EMEMORY, "no host memory for a picture's text");
    if (dumping(job) && !calo_failed(&job->run))
        calo_dump_append_values(&job->dump, "image", 4, dims, values, job->run.fault);
    if (image && !calo_failed(&job->run))
        calo_image_make(job->model->context, width, height, values, parameters, image);
    if (image && job->request.init && !calo_failed(&job->run))
        calo_canvas_finish(&job->canvas, job->model->context, image, job->run.fault);
done:
    calo_free(parameters);
    calo_free(values);
}

/* The decoded image to the caller's memory on the device. */
static void hand_over(calo_job *job, calo_tensor decoded)
{
    const double one = 1;
    const uint64_t size = (uint64_t)calo_tensor_count(decoded) * sizeof(float);
    calo_tensor to = calo_shape(CALO_F32, 4, decoded.dims);
    to.buffer = job->output;
    to.offset = (uint64_t)job->frame * size;
    calo_combine_into(&job->run, to, &decoded, &one, 1, 1);
    calo_expect_finite(&job->run, decoded, "the decoded picture");
}

void calo_flow_end(calo_job *job, calo_image **images)
{
    calo_run *run = &job->run;
    const int last = job->stage_count - 1, count = frames_of(job);
    const double begin = calo_seconds();
    calo_memory_turn(job, last, CALO_BIT(CALO_VAE));
    for (job->frame = 0; job->frame < count && !calo_failed(run); job->frame++) {
        calo_tensor decoded = calo_decode_latents(run, job->stages[last].model, job->frames[job->frame].latents, job->tile);
        if (job->request.device_output)
            hand_over(job, decoded);
        if (images || dumping(job))
            finish_image(job, decoded, images ? &images[job->frame] : NULL);
        calo_drop(run, &decoded);
    }
    for (int i = 0; i < job->request.count; i++) {
        calo_drop(run, &job->frames[i].latents);
        calo_drop(run, &job->frames[i].init);
        calo_drop(run, &job->frames[i].noise);
        calo_drop(run, &job->frames[i].beside);
    }
    calo_drop(run, &job->start.mask);
    job->frame = 0;
    job->timing.decode_s = calo_seconds() - begin;
    job->timing.total_s = calo_seconds() - job->begin;
}
