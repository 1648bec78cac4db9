/* Text to image with Stable Diffusion 1, 2 and XL.

       prompt → context (text encoders), both halves of guidance as one batch
       noise  → latents, through the scheduler's program and the UNet
       image  = VAE's decoder of the latents

   A request runs twice through the same code: first without a device, which finds how much memory it takes, then for
   real in exactly that memory. Images of one request run one after the other, so none depends on its neighbours. */
#include "../engine/image.h"
#include "../engine/shim.h"
#include "../kernels/elementwise/elementwise.h"
#include "../kernels/ledger.h"
#include "decode.h"
#include "metadata.h"
#include "report.h"
#include "residency.h"
#include "stage.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PIXEL_LIMIT = 16384, COUNT_LIMIT = 1000 };

typedef struct flow {
    calo_model *model;
    const calo_request *request;
    calo_run run;
    calo_arena arena;
    calo_stage stages[2];     /* the model's own, and a refiner's */
    int stage_count, stage;   /* how many there are, and which runs */
    int width, height, scale; /* pixels; pixels a latent */
    calo_dump dump;
    int image;                /* which of request.count */
    calo_rng *rngs;           /* [count] */
    calo_tensor *latents, *beside; /* [count]; beside: for an inpainting model */
    int tile;                 /* of the VAE, pixels; 0: pictures are decoded whole */
    bool takes_turns;         /* the models' parts do not fit on the device at once */
    double begin;
    calo_timing *timing;
    calo_image **images;      /* NULL: they stay on the device */
    calo_buffer *output;      /* the caller's memory for them, or NULL */
} flow;

/* ---- before the run --------------------------------------------------------------------------------------------- */

static calo_status check_request(flow *f)
{
    const calo_request *r = f->request;
    const calo_checkpoint *c = &f->model->checkpoint;
    calo_fault *fault = f->run.fault;
    f->scale = 1 << (c->vae.levels - 1);
    if (r->size != sizeof *r)
        return calo_fail(fault, CALO_EUSAGE, "the request's size is %zu, this library expects %zu; use CALO_REQUEST_INIT",
                         r->size, sizeof *r);
    f->width = r->width ? r->width : c->unet.sample_size * f->scale;
    f->height = r->height ? r->height : c->unet.sample_size * f->scale;
    if (f->width < f->scale || f->height < f->scale || f->width > PIXEL_LIMIT || f->height > PIXEL_LIMIT ||
        f->width % f->scale || f->height % f->scale || f->width % 8 || f->height % 8)
        return calo_fail(fault, CALO_EUSAGE, "width and height must be multiples of %d up to %d, not %d × %d",
                         f->scale > 8 ? f->scale : 8, PIXEL_LIMIT, f->width, f->height);
    if (r->steps < 1 || r->steps > CALO_MAX_STEPS)
        return calo_fail(fault, CALO_EUSAGE, "steps must be 1 … %d, not %d", CALO_MAX_STEPS, r->steps);
    if (r->count < 1 || r->count > COUNT_LIMIT)
        return calo_fail(fault, CALO_EUSAGE, "count must be 1 … %d, not %d", COUNT_LIMIT, r->count);
    if (!isfinite(r->guidance) || fabs(r->guidance) > 1e6)
        return calo_fail(fault, CALO_EUSAGE, "guidance must be a finite number, not %g", r->guidance);
    f->tile = r->tile;
    if (r->tile && (r->tile < 64 || r->tile > PIXEL_LIMIT || r->tile % 32 || r->tile % (4 * f->scale)))
        return calo_fail(fault, CALO_EUSAGE, "tile must be a multiple of %d from 64 on, not %d",
                         4 * f->scale > 32 ? 4 * f->scale : 32, r->tile);
    if (UINT64_MAX - r->seed < (uint64_t)r->count - 1)
        return calo_fail(fault, CALO_EUSAGE, "seed %" PRIu64 " and %d images pass 2^64 − 1", r->seed, r->count);
    return CALO_OK;
}

/* ---- the run ---------------------------------------------------------------------------------------------------- */

static bool dumping(const flow *f)
{
    return f->request->dump && f->run.device;
}

static int calls_of(const flow *f, int stages)
{
    int count = 0;
    for (int i = 0; i < stages; i++)
        count += f->stages[i].program->step_count;
    return count;
}

static void dump_schedule(flow *f)
{
    const int count = calls_of(f, f->stage_count);
    float *timesteps = calo_alloc((size_t)count, sizeof *timesteps), *sigmas = calo_alloc((size_t)count, sizeof *sigmas);
    bool has_sigmas = true;
    if (!timesteps || !sigmas)
        calo_fail(f->run.fault, CALO_EMEMORY, "no host memory for the dump");
    for (int s = 0, at = 0; s < f->stage_count && !calo_failed(&f->run); s++) {
        const calo_program *program = f->stages[s].program;
        has_sigmas = has_sigmas && program->has_sigmas;
        for (int i = 0; i < program->step_count; i++, at++) {
            timesteps[at] = (float)program->steps[i].timestep;
            sigmas[at] = (float)program->steps[i].sigma;
        }
    }
    if (!calo_failed(&f->run)) {
        calo_dump_values(&f->dump, "timesteps", 1, (int64_t[]){ count }, false, timesteps, f->run.fault);
        if (has_sigmas)
            calo_dump_values(&f->dump, "sigmas", 1, (int64_t[]){ count }, false, sigmas, f->run.fault);
    }
    calo_free(timesteps);
    calo_free(sigmas);
}

static void begin_step(void *user, calo_run *run, int call)
{
    const flow *f = user;
    calo_stage_begin_step(&f->stages[f->stage], run, call);
}

static calo_tensor predict(void *user, calo_run *run, calo_tensor x)
{
    const flow *f = user;
    return calo_stage_predict(&f->stages[f->stage], run, x);
}

static int on_step(void *user, int done, double seconds)
{
    flow *f = user;
    const calo_progress progress = { f->image, calls_of(f, f->stage) + done, calls_of(f, f->stage_count), seconds,
                                     calo_seconds() - f->begin };
    if (f->timing->step_s && f->timing->step_count < f->timing->step_room)
        f->timing->step_s[f->timing->step_count++] = seconds;
    return f->request->on_step ? f->request->on_step(f->request->user, &progress) : 0;
}

static void on_tensor(void *user, calo_run *run, const char *key, int number, calo_tensor t)
{
    flow *f = user;
    char name[32];
    if (f->stage && number == 0 && strcmp(key, "latents") == 0) /* the last of the stage before */
        return;
    snprintf(name, sizeof name, "%s.%03d", key, calls_of(f, f->stage) + number);
    if (t.dims[0] == 2) { /* unconditional halves of all images stand before the conditional ones */
        calo_dump_insert(&f->dump, run, name, calo_batches(t, 0, 1), f->image);
        calo_dump_append(&f->dump, run, name, calo_batches(t, 1, 1));
    } else {
        calo_dump_append(&f->dump, run, name, t);
    }
}

/* [1, H, W, 3] of −1 … 1 to a picture: x/2 + ½, clamped. */
static void finish_image(flow *f, calo_tensor decoded)
{
    const int64_t dims[] = { 1, f->height, f->width, 3 }, count = calo_tensor_count(decoded);
    float *values = f->run.device && !calo_failed(&f->run) ? calo_alloc((size_t)count, sizeof *values) : NULL;
    int64_t bad = 0;
    char *parameters = NULL;
    if (f->run.device && !values)
        calo_fail(f->run.fault, CALO_EMEMORY, "no host memory for a picture of %d × %d", f->width, f->height);
    if (calo_failed(&f->run) || !values)
        goto done;
    calo_download(&f->run, decoded, values);
    for (int64_t i = 0; i < count && !calo_failed(&f->run); i++) {
        bad += !isfinite(values[i]);
        const float v = values[i] * 0.5f + 0.5f;
        values[i] = v < 0 ? 0 : v > 1 ? 1 : v;
    }
    if (bad)
        calo_fail(f->run.fault, CALO_ENONFINITE, "the decoded picture holds %" PRId64 " numbers that are not finite", bad);
    parameters = calo_parameters_text(f->request, f->model, f->stages[0].schedule.scheduler, f->width, f->height,
                                      f->request->seed + (uint64_t)f->image);
    if (!parameters)
        calo_fail(f->run.fault, CALO_EMEMORY, "no host memory for a picture's text");
    if (dumping(f) && !calo_failed(&f->run))
        calo_dump_append_values(&f->dump, "image", 4, dims, values, f->run.fault);
    if (!calo_failed(&f->run))
        calo_image_make(f->model->context, f->width, f->height, values, parameters, &f->images[f->image]);
done:
    calo_free(parameters);
    calo_free(values);
}

/* The decoded image to the caller's memory on the device. */
static void hand_over(flow *f, calo_tensor decoded)
{
    const double one = 1;
    const uint64_t size = (uint64_t)calo_tensor_count(decoded) * sizeof(float);
    calo_tensor to = calo_shape(CALO_F32, 4, decoded.dims);
    to.buffer = f->output;
    to.offset = (uint64_t)f->image * size;
    calo_combine_into(&f->run, to, &decoded, &one, 1, 1);
    calo_expect_finite(&f->run, decoded, "the decoded picture");
}

/* ---- turns ------------------------------------------------------------------------------------------------------ */

/* The parts of stage `number`'s model are to be on the device now; where parts take turns, no others. */
static void take_turn(flow *f, int number, unsigned parts)
{
    calo_fault *fault = f->run.fault;
    if (!f->run.device || calo_failed(&f->run))
        return;
    if (f->takes_turns) {
        f->run.device->api->finish(f->run.device, fault); /* nobody reads what is given back */
        for (int i = 0; i < f->stage_count && !fault->status; i++)
            calo_model_evict(f->stages[i].model, i == number ? parts : 0, fault);
    }
    if (!fault->status)
        calo_model_hold(f->stages[number].model, f->takes_turns ? parts : CALO_ALL_PARTS, NULL, NULL, fault);
}

enum { ENCODERS = CALO_BIT(CALO_TEXT) | CALO_BIT(CALO_TEXT_2) };

/* Weights on the device at a run's fullest. */
static uint64_t weight_bytes(const flow *f, bool takes_turns)
{
    static const unsigned turns[] = { ENCODERS, CALO_BIT(CALO_UNET), CALO_BIT(CALO_VAE) };
    uint64_t all = 0, most = 0;
    for (int i = 0; i < f->stage_count; i++) {
        all += calo_model_bytes(f->stages[i].model, CALO_ALL_PARTS);
        for (int k = 0; k < 3; k++) {
            const uint64_t turn = calo_model_bytes(f->stages[i].model, turns[k]);
            most = turn > most ? turn : most;
        }
    }
    return takes_turns ? most : all;
}

/* ---- the run ---------------------------------------------------------------------------------------------------- */

static void encode(flow *f)
{
    for (int i = 0; i < f->stage_count; i++) {
        take_turn(f, i, ENCODERS);
        calo_stage_encode(&f->run, &f->stages[i], dumping(f) && i == 0 ? &f->dump : NULL);
    }
    if (f->run.device && !calo_failed(&f->run))
        f->run.device->api->finish(f->run.device, f->run.fault);
}

/* Every picture's own generator: its latents first, and what an inpainting model sees beside them. */
static void draw(flow *f)
{
    calo_run *run = &f->run;
    const int64_t dims[] = { 1, f->height / f->scale, f->width / f->scale, f->model->checkpoint.vae.latent_channels };
    if (f->model->checkpoint.unet.in_channels != dims[3])
        take_turn(f, 0, CALO_BIT(CALO_VAE));
    for (int i = 0; i < f->request->count && !calo_failed(run); i++) {
        run->label = "scheduler";
        calo_rng_seed(&f->rngs[i], f->request->seed + (uint64_t)i);
        f->latents[i] = calo_new(run, CALO_F32, 4, dims);
        calo_draw_latents(run, &f->rngs[i], f->latents[i]);
        if (dumping(f))
            calo_dump_append(&f->dump, run, "noise", f->latents[i]);
        f->beside[i] = calo_stage_mask_all(run, &f->stages[0], &f->rngs[i], f->width, f->height,
                                           f->tile);
    }
}

/* All latents through one stage. */
static void denoise(flow *f)
{
    calo_stage *stage = &f->stages[f->stage];
    const calo_denoise loop = { .program = stage->program, .guidance = stage->guided ? stage->guidance : 1,
                                .begin_step = begin_step, .predict = predict, .on_step = on_step,
                                .on_tensor = dumping(f) ? on_tensor : NULL, .user = f };
    /* A plan needs one picture: the others take the same memory again. */
    const int count = f->run.device ? f->request->count : 1;
    take_turn(f, f->stage, CALO_BIT(CALO_UNET));
    calo_stage_prepare(&f->run, stage, f->width, f->height);
    for (f->image = 0; f->image < count && !calo_failed(&f->run); f->image++) {
        stage->beside = f->stage == 0 ? f->beside[f->image] : (calo_tensor){ .type = CALO_AUTO };
        f->latents[f->image] = calo_denoise_run(&f->run, &loop, f->latents[f->image], &f->rngs[f->image]);
    }
    calo_stage_release(&f->run, stage);
}

static void decode(flow *f)
{
    calo_run *run = &f->run;
    const int last = f->stage_count - 1, count = run->device ? f->request->count : 1;
    const double begin = calo_seconds();
    take_turn(f, last, CALO_BIT(CALO_VAE));
    for (f->image = 0; f->image < count && !calo_failed(run); f->image++) {
        calo_tensor decoded = calo_decode_latents(run, f->stages[last].model, f->latents[f->image], f->tile);
        if (f->request->device_output)
            hand_over(f, decoded);
        if (f->images)
            finish_image(f, decoded);
        calo_drop(run, &decoded);
    }
    f->timing->decode_s = calo_seconds() - begin;
}

static void run_all(flow *f)
{
    f->begin = calo_seconds();
    encode(f);
    f->timing->encode_s = calo_seconds() - f->begin;
    draw(f);
    for (f->stage = 0; f->stage < f->stage_count; f->stage++)
        denoise(f);
    decode(f);
    for (int i = 0; i < f->request->count; i++) {
        calo_drop(&f->run, &f->latents[i]);
        calo_drop(&f->run, &f->beside[i]);
    }
    f->timing->total_s = calo_seconds() - f->begin;
}

/* ---- the calls -------------------------------------------------------------------------------------------------- */

static calo_status open_stages(flow *f)
{
    const calo_request *r = f->request;
    calo_model *refiner = r->refiner;
    calo_fault *fault = f->run.fault;
    f->stage_count = refiner ? 2 : 1;
    if (!refiner)
        return calo_stage_open(&f->stages[0], f->model, r, 0, 1, fault);
    if (refiner->context != f->model->context)
        return calo_fail(fault, CALO_EUSAGE, "the refiner belongs to another context");
    if (refiner->checkpoint.vae.latent_channels != f->model->checkpoint.vae.latent_channels ||
        refiner->checkpoint.vae.levels != f->model->checkpoint.vae.levels)
        return calo_fail(fault, CALO_EUSAGE, "the refiner %s works in other latents than %s", refiner->checkpoint.path,
                         f->model->checkpoint.path);
    if (refiner->checkpoint.unet.in_channels != refiner->checkpoint.vae.latent_channels)
        return calo_fail(fault, CALO_EUSAGE, "%s is an inpainting model, which cannot refine", refiner->checkpoint.path);
    if (!(r->refiner_start > 0 && r->refiner_start < 1))
        return calo_fail(fault, CALO_EUSAGE, "refiner-start must lie between 0 and 1, not %g", r->refiner_start);
    if (calo_stage_open(&f->stages[0], f->model, r, 0, r->refiner_start, fault))
        return fault->status;
    return calo_stage_open(&f->stages[1], refiner, r, r->refiner_start, 1, fault);
}

static calo_status flow_open(flow *f, calo_model *model, const calo_request *request, calo_timing *timing)
{
    memset(f, 0, sizeof *f);
    f->model = model;
    f->request = request;
    f->timing = timing;
    f->run = (calo_run){ .info = calo_model_device(model), .arena = &f->arena, .dtype = model->dtype,
                         .fault = &model->context->fault };
    calo_fault_clear(f->run.fault);
    calo_arena_init(&f->arena, model->context->device, &f->run.info);
    if (check_request(f))
        return f->run.fault->status;
    const size_t count = (size_t)request->count;
    f->rngs = calo_alloc(count, sizeof *f->rngs);
    f->latents = calo_alloc(count, sizeof *f->latents);
    f->beside = calo_alloc(count, sizeof *f->beside);
    if (!f->rngs || !f->latents || !f->beside)
        return calo_fail(f->run.fault, CALO_EMEMORY, "no host memory for %zu pictures", count);
    return open_stages(f);
}

static void flow_close(flow *f)
{
    calo_arena_free(&f->arena);
    calo_dump_free(&f->dump);
    calo_free(f->rngs);
    calo_free(f->latents);
    calo_free(f->beside);
    if (f->output)
        f->model->context->device->api->release(f->model->context->device, f->output);
    for (int i = 0; i < 2; i++)
        calo_stage_close(&f->stages[i]);
}

/* Runs without a device, which leaves the arena's peak behind. */
static calo_status plan(flow *f, calo_ledger *ledger)
{
    f->run.device = NULL;
    f->run.ledger = ledger;
    run_all(f);
    f->run.ledger = NULL;
    return f->run.fault->status;
}

static bool fits(const flow *f, bool takes_turns)
{
    const uint64_t limit = calo_model_limit(f->model), weights = weight_bytes(f, takes_turns);
    return weights <= limit && calo_arena_size(&f->arena) <= limit - weights;
}

/* Plans, and decides from the plan whether parts take turns, and whether the VAE works in tiles, of half the model's own
 * size; CALO_EMEMORY when even that is too much. */
static calo_status decide(flow *f, calo_ledger *ledger)
{
    enum { LEAST = 256 };
    const calo_model *model = f->model;
    const int half = model->checkpoint.unet.sample_size * f->scale / 2 / 32 * 32;
    if (plan(f, ledger))
        return f->run.fault->status;
    f->takes_turns = !fits(f, false);
    if (f->takes_turns && !fits(f, true) && !f->tile) {
        f->tile = half > LEAST ? half : LEAST;
        calo_log(model->context, CALO_LOG_WARNING, "the VAE works in tiles of %d pixels: whole pictures do not fit", f->tile);
        calo_arena_free(&f->arena);
        calo_arena_init(&f->arena, model->context->device, &f->run.info);
        if (ledger) {
            calo_ledger_free(ledger);
            *ledger = (calo_ledger){ 0 };
        }
        if (plan(f, ledger))
            return f->run.fault->status;
    }
    const uint64_t activations = calo_arena_size(&f->arena), need = weight_bytes(f, true) + activations;
    if (f->takes_turns && !fits(f, true))
        return calo_fail(f->run.fault, CALO_EMEMORY,
                         "%d × %d: %" PRIu64 " bytes of device memory are needed even when the model's parts take turns, %"
                         PRIu64 " of them for activations; there may be %" PRIu64, f->width, f->height, need, activations,
                         calo_model_limit(model));
    if (f->takes_turns)
        calo_log(model->context, CALO_LOG_WARNING,
                 "the model's parts take turns: %" PRIu64 " bytes at most, where all at once need %" PRIu64, need,
                 weight_bytes(f, false) + activations);
    return CALO_OK;
}

/* Makes room for the run. */
static calo_status fit(flow *f)
{
    char what[64];
    for (int i = 0; i < f->stage_count && f->takes_turns; i++)
        if (calo_model_evict(f->stages[i].model, 0, f->run.fault))
            return f->run.fault->status;
    snprintf(what, sizeof what, "%d × %d", f->width, f->height);
    return calo_device_expect(f->model->context->device, what, calo_arena_size(&f->arena), calo_arena_largest(&f->arena),
                              f->run.fault);
}

/* Where the images go. */
static calo_status take_output(flow *f, bool has_images)
{
    calo_device *device = f->model->context->device;
    const uint64_t bytes = (uint64_t)f->request->count * (uint64_t)f->width * (uint64_t)f->height * 3 * sizeof(float);
    if (!f->request->device_output)
        return has_images ? CALO_OK
                          : calo_fail(f->run.fault, CALO_EUSAGE, "neither images nor a device_output was given");
    if (!device->api->adopt)
        return calo_fail(f->run.fault, CALO_EUSAGE, "device_output needs a CUDA device; this is %s", device->info.name);
    if (f->request->device_output % 16)
        return calo_fail(f->run.fault, CALO_EUSAGE, "device_output is not aligned to 16 bytes");
    return device->api->adopt(device, f->request->device_output, bytes, &f->output, f->run.fault);
}

calo_status calo_generate(calo_model *model, const calo_request *request, calo_image **images)
{
    flow f;
    calo_timing own = { 0 }, *timing = request->size == sizeof *request && request->timing ? request->timing : &own;
    calo_ledger ledger = { 0 };
    const calo_timing empty = { .step_s = timing->step_s, .step_room = timing->step_room };
    for (int i = 0; images && request->size == sizeof *request && i < request->count; i++)
        images[i] = NULL;
    *timing = empty;
    calo_status status = flow_open(&f, model, request, timing);
    if (!status && !model->context->device)
        status = calo_fail(f.run.fault, CALO_EDEVICE, "this context has no device; it can only plan");
    if (!status)
        status = take_output(&f, images != NULL);
    if (!status)
        status = decide(&f, NULL);
    if (!status)
        status = fit(&f);
    if (!status)
        status = calo_arena_commit(&f.arena, f.run.fault);
    if (!status) {
        *timing = empty;
        f.images = images;
        f.run.device = model->context->device;
        f.run.profile = request->profile;
        f.run.check = request->check;
        f.run.ledger = request->report ? &ledger : NULL;
        if (dumping(&f))
            dump_schedule(&f);
        run_all(&f);
        status = f.run.fault->status;
    }
    if (!status && request->dump)
        status = calo_dump_write(&f.dump, request->dump, f.run.fault);
    if (!status && request->report)
        status = calo_report_make(&ledger, weight_bytes(&f, f.takes_turns), calo_arena_size(&f.arena), f.takes_turns,
                                  &f.run.info, request->report, f.run.fault);
    for (int i = 0; status && images && request->size == sizeof *request && i < request->count; i++)
        calo_free_image(&images[i]);
    calo_ledger_free(&ledger);
    flow_close(&f);
    return status;
}

calo_status calo_plan(calo_model *model, const calo_request *request, calo_report **report)
{
    flow f;
    calo_timing timing = { 0 };
    calo_ledger ledger = { 0 };
    *report = NULL;
    calo_status status = flow_open(&f, model, request, &timing);
    if (!status)
        status = decide(&f, &ledger);
    if (!status)
        status = calo_report_make(&ledger, weight_bytes(&f, f.takes_turns), calo_arena_size(&f.arena), f.takes_turns,
                                  &f.run.info, report, f.run.fault);
    calo_ledger_free(&ledger);
    flow_close(&f);
    return status;
}
