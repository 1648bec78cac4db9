/* A stage: conditions in, predictions out. */
#include "stage.h"
#include "decode.h"
#include "../engine/shim.h"
#include "../engine/weights/variants.h"
#include "../kernels/concat/concat.h"
#include "../kernels/elementwise/elementwise.h"
#include "../kernels/embedding/embedding.h"

#include <inttypes.h>
#include <math.h>

/* How many calls of the program lie before a share of the training timesteps is done. */
static int calls_before(const calo_stage *stage, double share)
{
    const double train = stage->schedule.config.num_train_timesteps, cutoff = rint(train - share * train);
    int count = 0;
    for (int i = 0; i < stage->program->step_count; i++)
        count += stage->program->steps[i].timestep >= cutoff;
    return count;
}

static calo_status compile(calo_stage *stage, int steps, double begin, double end, calo_fault *fault)
{
    const calo_scheduler *scheduler = stage->schedule.scheduler;
    calo_schedule_config *config = &stage->schedule.config;
    if (calo_scheduler_compile(scheduler, config, steps, &stage->program, fault))
        return fault->status;
    const int total = stage->program->step_count, last = end < 1 ? calls_before(stage, end) : total;
    config->begin = begin > 0 ? calls_before(stage, begin) : 0;
    if (config->begin >= last)
        return calo_fail(fault, CALO_EUSAGE, "of %d steps none would run from %g to %g of the schedule", steps, begin, end);
    if (config->begin > 0) {
        calo_program_free(&stage->program);
        if (calo_scheduler_compile(scheduler, config, steps, &stage->program, fault))
            return fault->status;
    }
    calo_program_cut(stage->program, config->begin, last);
    return CALO_OK;
}

calo_status calo_stage_open(calo_stage *stage, calo_model *model, const calo_request *request, double begin, double end,
                            calo_fault *fault)
{
    const calo_checkpoint *c = &model->checkpoint;
    const calo_schedule_wish wish = { .scheduler = request->scheduler, .spacing = request->spacing,
                                      .prediction = model->prediction, .eta = request->eta, .zero_snr = model->zero_snr,
                                      .pipeline = c->pipeline };
    *stage = (calo_stage){ .model = model, .guidance = request->guidance };
    stage->guided = request->guidance > 1 && !c->unet.time_cond_proj_dim;
    if (calo_schedule_choose(c->scheduler_class, c->scheduler_json, c->scheduler_path, &wish, &stage->schedule, fault) ||
        compile(stage, request->steps, begin, end, fault))
        return fault->status;
    return calo_text_open(&stage->text, model, request, stage->guided, fault);
}

void calo_stage_close(calo_stage *stage)
{
    calo_program_free(&stage->program);
    calo_schedule_choice_free(&stage->schedule);
    calo_text_close(&stage->text);
}

/* ---- conditions ------------------------------------------------------------------------------------------------- */

static calo_tensor upload(calo_run *run, int64_t count, const float *values)
{
    calo_tensor t = calo_new(run, CALO_F32, 1, &count);
    calo_upload(run, t, values);
    return t;
}

static calo_tensor timesteps_of(calo_run *run, const calo_program *program)
{
    float *values = calo_alloc((size_t)program->step_count, sizeof *values);
    calo_tensor t = { 0 };
    for (int i = 0; values && i < program->step_count; i++)
        values[i] = (float)program->steps[i].timestep;
    if (values)
        t = upload(run, program->step_count, values);
    else
        calo_fail(run->fault, CALO_EMEMORY, "no host memory for %d timesteps", program->step_count);
    calo_free(values);
    return t;
}

/* Original size, crop, and target size or aesthetic score, for each half: as diffusers when nothing else is asked for. */
static calo_tensor sizes_of(calo_run *run, const calo_stage *stage, int width, int height)
{
    const calo_checkpoint *c = &stage->model->checkpoint;
    const int count = calo_size_count(c), halves = stage->guided ? 2 : 1;
    const float scores[] = { 2.5f, 6.0f }, w = (float)width, h = (float)height;
    float values[12];
    for (int i = 0; i < halves; i++) {
        const float full[] = { h, w, 0, 0, count == 5 ? scores[halves == 2 ? i : 1] : h, w };
        for (int k = 0; k < count; k++)
            values[i * count + k] = full[k];
    }
    return upload(run, halves * count, values);
}

void calo_stage_encode(calo_run *run, calo_stage *stage, calo_dump *dump)
{
    stage->context = calo_text_encode(run, &stage->text, &stage->pooled, dump);
}

void calo_stage_prepare(calo_run *run, calo_stage *stage, int width, int height)
{
    const calo_unet_config *config = &stage->model->checkpoint.unet;
    calo_tensor strength = { 0 };
    calo_unet_condition condition = { .context = stage->context, .pooled = stage->pooled };
    run->label = "unet";
    condition.timesteps = timesteps_of(run, stage->program);
    if (config->text_time)
        condition.sizes = sizes_of(run, stage, width, height);
    if (config->time_cond_proj_dim) {
        const float scaled = (float)(1000 * (stage->guidance - 1));
        strength = upload(run, 1, &scaled);
        condition.guidance = calo_embed_timesteps(run, strength, config->time_cond_proj_dim, false, 1);
    }
    if (!calo_failed(run))
        calo_unet_prepare(run, &stage->model->unet, &condition, &stage->cache);
    calo_drop(run, &condition.timesteps);
    calo_drop(run, &condition.sizes);
    calo_drop(run, &condition.guidance);
    calo_drop(run, &strength);
    calo_drop(run, &stage->pooled);
    calo_drop(run, &stage->context);
}

void calo_stage_release(calo_run *run, calo_stage *stage)
{
    calo_unet_cache_free(run, &stage->model->unet, &stage->cache);
    calo_drop(run, &stage->pooled);
    calo_drop(run, &stage->context);
}

/* ---- inpainting models ------------------------------------------------------------------------------------------ */

/* values [h·w][2C] of mean and log-variance → beside [halves][h·w][1 + C]: mask 1, and scaling_factor times a draw of the
 * posterior (mean + exp(½ logvar) z, z in torch's order). */
static void fill_beside(const calo_stage *stage, calo_rng *rng, int64_t pixels, const float *moments, float *drawn,
                        float *beside)
{
    const calo_vae_config *vae = &stage->model->checkpoint.vae;
    const int64_t channels = vae->latent_channels;
    calo_rng_normal_f32(rng, drawn, (size_t)(pixels * channels));
    for (int64_t i = 0; i < pixels; i++) {
        float *to = beside + i * (channels + 1);
        to[0] = 1;
        for (int64_t c = 0; c < channels; c++) {
            const float mean = moments[i * 2 * channels + c];
            const float variance = fminf(fmaxf(moments[i * 2 * channels + channels + c], -30), 20);
            to[1 + c] = (float)vae->scaling_factor * (mean + expf(0.5f * variance) * drawn[c * pixels + i]);
        }
    }
}

calo_tensor calo_stage_mask_all(calo_run *run, const calo_stage *stage, calo_rng *rng, int width, int height,
                                int tile)
{
    calo_tensor made = { 0 };
    const calo_vae_config *vae = &stage->model->checkpoint.vae;
    const int64_t channels = vae->latent_channels, halves = stage->guided ? 2 : 1;
    if (stage->model->checkpoint.unet.in_channels == channels || calo_failed(run))
        return made;
    calo_tensor image = calo_new(run, CALO_F32, 4, (int64_t[]){ 1, height, width, vae->in_channels });
    float *empty = calo_alloc((size_t)calo_tensor_count(image), sizeof *empty);
    if (empty)
        calo_upload(run, image, empty);
    else
        calo_fail(run->fault, CALO_EMEMORY, "no host memory for an empty picture");
    calo_free(empty);
    calo_tensor moments = calo_encode_picture(run, stage->model, image, tile);
    calo_drop(run, &image);
    if (calo_failed(run))
        return made;
    const int64_t pixels = moments.dims[1] * moments.dims[2];
    float *values = calo_alloc((size_t)(pixels * 2 * channels), sizeof *values);
    float *drawn = calo_alloc((size_t)(pixels * channels), sizeof *drawn);
    float *beside = calo_alloc((size_t)(pixels * (channels + 1)), sizeof *beside);
    made = calo_new(run, run->dtype, 4, (int64_t[]){ halves, moments.dims[1], moments.dims[2], channels + 1 });
    if (!values || !drawn || !beside)
        calo_fail(run->fault, CALO_EMEMORY, "no host memory for masked latents");
    calo_download(run, moments, values);
    calo_drop(run, &moments);
    if (!calo_failed(run) && run->device) {
        fill_beside(stage, rng, pixels, values, drawn, beside);
        for (int64_t i = 0; i < halves; i++)
            calo_upload(run, calo_batches(made, i, 1), beside);
    }
    calo_free(values);
    calo_free(drawn);
    calo_free(beside);
    return made;
}

/* ---- steps ------------------------------------------------------------------------------------------------------ */

void calo_stage_begin_step(const calo_stage *stage, calo_run *run, int call)
{
    calo_unet_begin_step(run, &stage->cache, call);
}

calo_tensor calo_stage_predict(const calo_stage *stage, calo_run *run, calo_tensor x)
{
    if (!calo_present(stage->beside))
        return calo_unet_predict(run, &stage->model->unet, &stage->cache, x);
    calo_tensor wide = calo_concat(run, x, stage->beside);
    calo_tensor output = calo_unet_predict(run, &stage->model->unet, &stage->cache, wide);
    calo_drop(run, &wide);
    return output;
}
