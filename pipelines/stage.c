/* A stage: conditions in, predictions out. */
#include "stage.h"
#include "../engine/shim.h"
#include "../engine/weights/variants.h"
#include "../kernels/concat/concat.h"
#include "../kernels/elementwise/elementwise.h"
#include "../kernels/embedding/embedding.h"
#include "../kernels/rescale/rescale.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- the schedule ----------------------------------------------------------------------------------------------- */

/* How many calls of the program lie before a share of the training timesteps is done. */
static int calls_before(const calo_stage *stage, double share)
{
    const double train = stage->schedule.config.num_train_timesteps, cutoff = rint(train - share * train);
    int count = 0;
    for (int i = 0; i < stage->program->step_count; i++)
        count += stage->program->steps[i].timestep >= cutoff;
    return count;
}

/* The first call of the last int(steps · strength), of which PNDM's repeated call is none. */
static int calls_skipped(int steps, double strength)
{
    const int run = (int)(steps * strength);
    return steps - (run < steps ? run : steps);
}

static calo_status compile(calo_stage *stage, int steps, const calo_share *share, calo_fault *fault)
{
    const calo_scheduler *scheduler = stage->schedule.scheduler;
    calo_schedule_config *config = &stage->schedule.config;
    if (share->lcm)
        config->strength = share->strength;
    if (calo_scheduler_compile(scheduler, config, steps, &stage->program, fault))
        return fault->status;
    const int total = stage->program->step_count, skipped = share->lcm ? 0 : calls_skipped(steps, share->strength);
    const int last = share->end < 1 ? calls_before(stage, share->end) : total;
    config->begin = share->begin > 0 ? calls_before(stage, share->begin) : skipped;
    if (skipped == steps)
        return calo_fail(fault, CALO_EUSAGE, "strength %g of %d steps leaves none to run", share->strength, steps);
    if (config->begin >= last)
        return calo_fail(fault, CALO_EUSAGE, "of %d steps none would run from %g to %g of the schedule", steps, share->begin,
                         share->end);
    stage->first = config->begin;
    stage->last = last;
    if (config->begin > 0)
        return calo_stage_begin_at(stage, 0, fault);
    calo_program_cut(stage->program, 0, last);
    return CALO_OK;
}

calo_status calo_stage_begin_at(calo_stage *stage, int call, calo_fault *fault)
{
    calo_program *program = NULL;
    stage->schedule.config.begin = stage->first + call;
    if (calo_scheduler_compile(stage->schedule.scheduler, &stage->schedule.config, stage->request->steps, &program, fault))
        return fault->status;
    calo_program_free(&stage->program);
    stage->program = program;
    stage->begun = call;
    calo_program_cut(stage->program, stage->first, stage->last);
    return CALO_OK;
}

calo_status calo_stage_open(calo_stage *stage, calo_model *model, const calo_request *request, int width, int height,
                            const calo_share *share, calo_fault *fault)
{
    const calo_checkpoint *c = &model->checkpoint;
    const calo_schedule_wish wish = { .scheduler = request->scheduler, .spacing = request->spacing,
                                      .prediction = model->prediction, .eta = request->eta, .zero_snr = model->zero_snr,
                                      .pipeline = c->pipeline };
    *stage = (calo_stage){ .model = model, .request = request, .width = width, .height = height,
                           .guidance = request->guidance, .phase = -1 };
    stage->guided = request->guidance > 1 && !c->unet.time_cond_proj_dim;
    if (calo_schedule_choose(c->scheduler_class, c->scheduler_json, c->scheduler_path, &wish, &stage->schedule, fault) ||
        compile(stage, request->steps, share, fault) || calo_text_open(&stage->text, model, request, fault))
        return fault->status;
    return calo_conditions_open(&stage->conditions, &stage->text, request, stage->guided, stage->program->step_count, fault);
}

void calo_stage_close(calo_stage *stage)
{
    if (stage->graph)
        stage->model->context->device->api->release_graph(stage->model->context->device, stage->graph);
    stage->graph = NULL;
    calo_free(stage->cache.first);
    calo_free(stage->cache.context);
    stage->cache = (calo_unet_cache){ 0 };
    calo_program_free(&stage->program);
    calo_schedule_choice_free(&stage->schedule);
    calo_conditions_close(&stage->conditions);
    calo_text_close(&stage->text);
}

/* ---- conditions ------------------------------------------------------------------------------------------------- */

static calo_tensor upload(calo_run *run, calo_type type, int rank, const int64_t *dims, const float *values)
{
    calo_tensor t = calo_new(run, type, rank, dims);
    calo_upload(run, t, values);
    return t;
}

static calo_tensor timesteps_of(calo_run *run, const calo_program *program)
{
    const int64_t count = program->step_count;
    float *values = calo_alloc((size_t)count, sizeof *values);
    calo_tensor t = { 0 };
    for (int i = 0; values && i < program->step_count; i++)
        values[i] = (float)program->steps[i].timestep;
    if (values)
        t = upload(run, CALO_F32, 1, &count, values);
    else
        calo_fail(run->fault, CALO_EMEMORY, "no host memory for %d timesteps", program->step_count);
    calo_free(values);
    return t;
}

/* Original size, crop, and target size or aesthetic score, for each row: as diffusers when nothing else is asked for. */
static calo_tensor sizes_of(calo_run *run, const calo_stage *stage, const calo_phase *phase)
{
    const calo_checkpoint *c = &stage->model->checkpoint;
    const int count = calo_size_count(c);
    const float w = (float)stage->width, h = (float)stage->height;
    const int64_t total = (int64_t)phase->row_count * count;
    float values[6 * CALO_MAX_CONDITIONS];
    for (int i = 0; i < phase->row_count; i++) {
        const float score = stage->text.passages[phase->rows[i]].negative ? 2.5f : 6.0f;
        const float full[] = { h, w, 0, 0, count == 5 ? score : h, w };
        for (int k = 0; k < count; k++)
            values[i * count + k] = full[k];
    }
    return upload(run, CALO_F32, 1, &total, values);
}

static int64_t common_multiple(int64_t a, int64_t b)
{
    int64_t x = a, y = b;
    while (y) {
        const int64_t rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

/* The common length of texts with one more; 0 after a failure. Texts of 134 and 133 chunks would meet after 17,822, and
 * attention reads all of them. */
static int64_t add_length(calo_run *run, int64_t length, const calo_passage *passage, int tokens)
{
    enum { MOST_CHUNKS = 512 };
    const int64_t all = common_multiple(length, passage->length), longer = length > passage->length ? length : passage->length;
    if (all <= longer || all <= (int64_t)MOST_CHUNKS * tokens)
        return all;
    calo_fail(run->fault, CALO_EUSAGE,
              "prompts of %" PRId64 " and %" PRId64 " chunks of %d tokens have no common length up to %d chunks; make one "
              "shorter, or both equally long",
              length / tokens, passage->length / tokens, tokens, MOST_CHUNKS);
    return 0;
}

/* Every row's context at one length: a shorter one is repeated, which attention does not notice: each of its keys counts
 * equally often, and the softmax divides by all of them. */
static calo_tensor contexts_of(calo_run *run, const calo_stage *stage, const calo_phase *phase)
{
    const calo_text *text = &stage->text;
    calo_tensor all = { 0 };
    int64_t length = 1;
    for (int i = 0; i < phase->row_count && length > 0; i++)
        length = add_length(run, length, &text->passages[phase->rows[i]], text->tokens);
    if (length == 0)
        return all;
    const int64_t rows = phase->row_count, width = text->width;
    float *values = length < INT32_MAX / rows / width * 8 ? calo_alloc((size_t)(rows * length * width), sizeof *values) : NULL;
    if (!values) {
        calo_fail(run->fault, CALO_EMEMORY, "no host memory for %" PRId64 " contexts of %" PRId64 " tokens", rows, length);
        return all;
    }
    for (int64_t i = 0; i < rows; i++) {
        const calo_passage *p = &text->passages[phase->rows[i]];
        for (int64_t at = 0; at < length; at += p->length)
            memcpy(values + (i * length + at) * width, p->context, (size_t)(p->length * width) * sizeof *values);
    }
    all = upload(run, run->dtype, 3, (int64_t[]){ rows, length, width }, values);
    calo_free(values);
    return all;
}

static calo_tensor pooled_of(calo_run *run, const calo_stage *stage, const calo_phase *phase)
{
    const int64_t width = stage->text.pooled, rows = phase->row_count;
    float *values = calo_alloc((size_t)(rows * width), sizeof *values);
    calo_tensor all = { 0 };
    if (!values) {
        calo_fail(run->fault, CALO_EMEMORY, "no host memory for pooled texts");
        return all;
    }
    for (int64_t i = 0; i < rows; i++)
        memcpy(values + i * width, stage->text.passages[phase->rows[i]].pooled, (size_t)width * sizeof *values);
    all = upload(run, run->dtype, 2, (int64_t[]){ rows, width }, values);
    calo_free(values);
    return all;
}

static void forget_graph(calo_stage *stage)
{
    if (stage->graph)
        stage->model->context->device->api->release_graph(stage->model->context->device, stage->graph);
    stage->graph = NULL;
    stage->calls = 0;
}

static void leave_phase(calo_run *run, calo_stage *stage)
{
    forget_graph(stage);
    calo_unet_cache_free(run, &stage->model->unet, &stage->cache);
    calo_drop(run, &stage->input);
    stage->phase = -1;
}

static void enter_phase(calo_run *run, calo_stage *stage, int number)
{
    const calo_unet_config *config = &stage->model->checkpoint.unet;
    const calo_phase *phase = &stage->conditions.phases[number];
    const int scale = 1 << (stage->model->checkpoint.vae.levels - 1);
    calo_unet_condition condition = { 0 };
    calo_tensor strength = { 0 };
    run->label = "unet";
    condition.context = contexts_of(run, stage, phase);
    condition.timesteps = timesteps_of(run, stage->program);
    if (config->text_time) {
        condition.pooled = pooled_of(run, stage, phase);
        condition.sizes = sizes_of(run, stage, phase);
    }
    if (config->time_cond_proj_dim) {
        const float scaled = (float)(1000 * (stage->guidance - 1));
        const int64_t one = 1;
        strength = upload(run, CALO_F32, 1, &one, &scaled);
        condition.guidance = calo_embed_timesteps(run, strength, config->time_cond_proj_dim, false, 1);
    }
    if (!calo_failed(run))
        calo_unet_prepare(run, &stage->model->unet, &condition, &stage->cache);
    calo_drop(run, &condition.timesteps);
    calo_drop(run, &condition.sizes);
    calo_drop(run, &condition.guidance);
    calo_drop(run, &strength);
    calo_drop(run, &condition.pooled);
    calo_drop(run, &condition.context);
    stage->input = calo_new(run, run->dtype, 4, (int64_t[]){ phase->row_count, stage->height / scale, stage->width / scale,
                                                             stage->model->checkpoint.vae.latent_channels });
    stage->phase = number;
}

/* ---- regions ---------------------------------------------------------------------------------------------------- */

/* How much of [at, at + 1) lies in [begin, end). */
static double covered(double at, double begin, double end)
{
    const double low = begin > at ? begin : at, high = end < at + 1 ? end : at + 1;
    return high > low ? high - low : 0;
}

/* strength times the share of each latent that the rectangle covers. */
static calo_tensor region_mask(calo_run *run, const calo_stage *stage, const calo_region *region)
{
    const int scale = 1 << (stage->model->checkpoint.vae.levels - 1);
    const int64_t dims[] = { 1, stage->height / scale, stage->width / scale, 1 };
    float *values = calo_alloc((size_t)(dims[1] * dims[2]), sizeof *values);
    calo_tensor mask = { 0 };
    if (!values) {
        calo_fail(run->fault, CALO_EMEMORY, "no host memory for a region's mask");
        return mask;
    }
    /* A second pass is larger than what the rectangle was given for. */
    const double x = (double)stage->width / stage->request->width / scale, y = (double)stage->height / stage->request->height / scale;
    for (int64_t i = 0; i < dims[1]; i++)
        for (int64_t k = 0; k < dims[2]; k++)
            values[i * dims[2] + k] = (float)(region->strength * covered((double)i, region->y * y, (region->y + region->height) * y) *
                                              covered((double)k, region->x * x, (region->x + region->width) * x));
    mask = upload(run, CALO_F32, 4, dims, values);
    calo_free(values);
    return mask;
}

void calo_stage_enter(calo_run *run, calo_stage *stage)
{
    for (int i = 0; i < stage->request->region_count && !calo_failed(run); i++)
        stage->masks[i] = region_mask(run, stage, &stage->request->regions[i]);
    if (!calo_failed(run))
        enter_phase(run, stage, 0);
}

void calo_stage_rewind(calo_run *run, calo_stage *stage)
{
    forget_graph(stage);
    if (stage->phase != 0 && !calo_failed(run)) { /* as the plan found it: memory is taken in the same order again */
        leave_phase(run, stage);
        enter_phase(run, stage, 0);
    }
}

void calo_stage_leave(calo_run *run, calo_stage *stage)
{
    leave_phase(run, stage);
    for (int i = 0; i < CALO_MAX_REGIONS; i++)
        calo_drop(run, &stage->masks[i]);
}

/* ---- calls ------------------------------------------------------------------------------------------------------ */

static calo_tensor denoiser(calo_run *run, const calo_stage *stage)
{
    if (!calo_present(stage->beside))
        return calo_unet_predict(run, &stage->model->unet, &stage->cache, stage->input);
    /* Every row sees the same beside its latents. */
    const int64_t rows = stage->input.dims[0];
    int64_t dims[CALO_MAX_RANK];
    memcpy(dims, stage->beside.dims, sizeof dims);
    dims[0] = rows;
    calo_tensor beside = calo_new(run, run->dtype, 4, dims);
    for (int64_t i = 0; i < rows; i++)
        calo_combine_into(run, calo_batches(beside, i, 1), &stage->beside, (double[]){ 1 }, 1, 0);
    calo_tensor wide = calo_concat(run, stage->input, beside);
    calo_drop(run, &beside);
    calo_tensor output = calo_unet_predict(run, &stage->model->unet, &stage->cache, wide);
    calo_drop(run, &wide);
    return output;
}

/* target ← Σ w_k c_k / Σ w_k */
static void mean_into(calo_run *run, const calo_group *group, calo_tensor output, calo_tensor target)
{
    calo_tensor in[CALO_MAX_PARTS];
    double coefficients[CALO_MAX_PARTS], sum = 0;
    for (int k = 0; k < group->count; k++)
        sum += group->weights[k];
    for (int k = 0; k < group->count; k++) {
        in[k] = calo_batches(output, group->rows[k], 1);
        coefficients[k] = sum != 0 ? group->weights[k] / sum : 1.0 / group->count;
    }
    calo_combine_into(run, target, in, coefficients, group->count, 0);
}

/* target ← the group's G, whose deviation guidance_rescale takes towards that of the conditional output. */
static void guide_into(calo_run *run, const calo_stage *stage, const calo_group *group, calo_tensor output, calo_tensor target)
{
    const double g = stage->guidance, phi = stage->request->guidance_rescale;
    if (calo_failed(run))
        return;
    if (group->uncond < 0) {
        mean_into(run, group, output, target);
        return;
    }
    calo_tensor in[1 + CALO_MAX_PARTS] = { calo_batches(output, group->uncond, 1) };
    double coefficients[1 + CALO_MAX_PARTS] = { 1 };
    for (int k = 0; k < group->count; k++) {
        in[1 + k] = calo_batches(output, group->rows[k], 1);
        coefficients[1 + k] = g * group->weights[k];
        coefficients[0] -= g * group->weights[k];
    }
    calo_combine_into(run, target, in, coefficients, 1 + group->count, 0);
    if (phi > 0) {
        calo_tensor conditional = calo_new(run, CALO_F32, target.rank, target.dims);
        mean_into(run, group, output, conditional);
        calo_rescale_into(run, target, target, conditional, phi);
        calo_drop(run, &conditional);
    }
}

static void guide(calo_run *run, const calo_stage *stage, calo_tensor output, calo_tensor e)
{
    const calo_phase *phase = &stage->conditions.phases[stage->phase];
    guide_into(run, stage, &phase->groups[0], output, e);
    if (phase->group_count == 1)
        return;
    calo_tensor own = calo_new(run, CALO_F32, e.rank, e.dims);
    for (int i = 1; i < phase->group_count; i++) {
        guide_into(run, stage, &phase->groups[i], output, own);
        calo_blend_into(run, e, e, own, stage->masks[phase->groups[i].region]);
    }
    calo_drop(run, &own);
}

static void predict(calo_run *run, const calo_stage *stage, calo_tensor e, int call)
{
    calo_tensor output = denoiser(run, stage);
    if (stage->on_output && !calo_failed(run))
        stage->on_output(stage->user, run, call, output);
    guide(run, stage, output, e);
    calo_drop(run, &output);
}

/* The same with one launch: a phase's first call compiles and loads what it needs, the second is recorded. */
static void predict_recorded(calo_run *run, calo_stage *stage, calo_tensor e, int call)
{
    if (!stage->graph) {
        if (run->device->api->capture(run->device, run->fault))
            return;
        predict(run, stage, e, call);
        run->device->api->end_capture(run->device, &stage->graph, run->fault);
        stage->loads = stage->model->loads;
    }
    if (!calo_failed(run))
        run->device->api->replay(run->device, stage->graph, run->fault);
}

void calo_stage_predict(calo_run *run, calo_stage *stage, const calo_tensor *registers, double scale, int call)
{
    const calo_tensor x = registers[CALO_REGISTER_X], e = registers[CALO_REGISTER_E];
    const bool records = run->device && run->device->api->capture && !run->profile && !run->check && !stage->on_output;
    int phase = stage->phase < 0 ? 0 : stage->phase;
    if (calo_failed(run))
        return;
    while (call < stage->conditions.phases[phase].begin || call >= stage->conditions.phases[phase].end)
        phase = (phase + 1) % stage->conditions.count;
    if (phase != stage->phase) {
        leave_phase(run, stage);
        enter_phase(run, stage, phase);
    }
    if (stage->graph && stage->loads != stage->model->loads) /* its weights lay elsewhere */
        forget_graph(stage);
    for (int64_t i = 0; i < stage->input.dims[0] && !calo_failed(run); i++)
        calo_combine_into(run, calo_batches(stage->input, i, 1), &x, &scale, 1, 0);
    calo_unet_begin_step(run, &stage->cache, call);
    if (records && stage->calls > 0 && !calo_failed(run))
        predict_recorded(run, stage, e, call);
    else
        predict(run, stage, e, call);
    stage->calls++;
}
