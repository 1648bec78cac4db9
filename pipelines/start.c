/* Beginnings, in diffusers' order of draws:

       image to image:  x₀ = factor · (mean + e^{½ logvar} z₁),  latents = a x₀ + b z₂,   a, b of the first call
       inpainting:      x₀ likewise (4 channels, or strength below 1), z₂, then the picture without what is repainted is
                        drawn from its own posterior, which only 9 channels look at
       from noise:      latents = scale · z

   The posterior's z₁ and z₃ have the latents' shape; every frame has a generator of its own. */
#include "start.h"
#include "../engine/shim.h"
#include "../kernels/elementwise/elementwise.h"
#include "../kernels/resample/resample.h"
#include "decode.h"
#include "noise.h"

#include <math.h>

bool calo_sees_mask(const calo_stage *stage)
{
    return stage->model->checkpoint.unet.in_channels != stage->model->checkpoint.vae.latent_channels;
}

/* ---- noise ------------------------------------------------------------------------------------------------------ */

/* The frame's generator from its seed, and the first noise. With a variation the seed is every frame's, and the
 * variation's counts up. */
static void seed_frame(const calo_request *r, int number, calo_frame *frame)
{
    calo_generator_seed(&frame->generator, r->random, r->seed + (r->variation_strength > 0 ? 0 : (uint64_t)number));
}

static void draw_noise(calo_run *run, const calo_request *r, int number, calo_frame *frame, calo_tensor noise)
{
    calo_generator variation;
    calo_generator_seed(&variation, r->random, r->variation_seed + (uint64_t)number);
    calo_draw_noise(run, &frame->generator, r->variation_strength > 0 ? &variation : NULL, r->variation_strength, noise);
}

/* ---- pictures to latents ---------------------------------------------------------------------------------------- */

static void latent_dims(const calo_stage *stage, int64_t *dims)
{
    const calo_vae_config *vae = &stage->model->checkpoint.vae;
    const int scale = 1 << (vae->levels - 1);
    dims[0] = 1;
    dims[1] = stage->height / scale;
    dims[2] = stage->width / scale;
    dims[3] = vae->latent_channels;
}

/* values [H, W, 3] → moments [h·w][2C] on the host, the caller's; NULL after a failure. */
static float *encode_values(calo_run *run, const calo_stage *stage, const float *values, int tile)
{
    const int channels = stage->model->checkpoint.vae.in_channels;
    calo_tensor image = calo_new(run, CALO_F32, 4, (int64_t[]){ 1, stage->height, stage->width, channels });
    calo_upload(run, image, values);
    calo_tensor encoded = calo_encode_picture(run, stage->model, image, tile);
    calo_drop(run, &image);
    float *moments = calo_failed(run) ? NULL : calo_alloc((size_t)calo_tensor_count(encoded), sizeof *moments);
    if (!moments && !calo_failed(run))
        calo_fail(run->fault, CALO_EMEMORY, "no host memory for an encoded picture");
    if (moments)
        calo_download(run, encoded, moments);
    calo_expect_finite(run, encoded, "the encoded picture");
    calo_drop(run, &encoded);
    return moments;
}

/* A draw from the posterior: latents [h·w][C] ← factor · (mean + e^{½ logvar} z). */
static void sample(const calo_stage *stage, calo_generator *generator, const float *moments, int64_t pixels, bool standardise,
                   float *drawn, float *latents)
{
    const calo_vae_config *vae = &stage->model->checkpoint.vae;
    const int64_t channels = vae->latent_channels;
    calo_generator_normal(generator, drawn, (size_t)(pixels * channels));
    for (int64_t i = 0; i < pixels; i++)
        for (int64_t c = 0; c < channels; c++) {
            const float mean = moments[i * 2 * channels + c];
            const float variance = fminf(fmaxf(moments[i * 2 * channels + channels + c], -30), 20);
            const float z = mean + expf(0.5f * variance) * drawn[c * pixels + i];
            latents[i * channels + c] = standardise ? (z - (float)vae->latents_mean[c]) * (float)vae->scaling_factor /
                                                          (float)vae->latents_std[c]
                                                    : (float)vae->scaling_factor * z;
        }
}

typedef struct scratch {
    float *drawn, *latents, *wide; /* [h·w·C] twice, [h·w·(1 + C)] */
} scratch;

static bool find_scratch(calo_run *run, int64_t pixels, int64_t channels, scratch *s)
{
    s->drawn = calo_alloc((size_t)(pixels * channels), sizeof(float));
    s->latents = calo_alloc((size_t)(pixels * channels), sizeof(float));
    s->wide = calo_alloc((size_t)(pixels * (1 + channels)), sizeof(float));
    if (!s->drawn || !s->latents || !s->wide)
        calo_fail(run->fault, CALO_EMEMORY, "no host memory for a picture's latents");
    return !calo_failed(run);
}

static void scratch_free(scratch *s)
{
    calo_free(s->drawn);
    calo_free(s->latents);
    calo_free(s->wide);
}

/* XL's image to image takes off what its decoder adds; its inpainting does not. */
static bool standardises(const calo_stage *stage, const calo_request *r)
{
    const calo_checkpoint *c = &stage->model->checkpoint;
    return c->unet.text_time && c->vae.has_statistics && !r->inpaint;
}

/* f32 [1, h, w, C]: the picture's latents, drawn. */
static calo_tensor draw_init(calo_run *run, const calo_start *start, const calo_stage *stage, calo_frame *frame, scratch *s)
{
    int64_t dims[4];
    latent_dims(stage, dims);
    calo_tensor init = calo_new(run, CALO_F32, 4, dims);
    if (calo_failed(run) || !run->device)
        return init;
    sample(stage, &frame->generator, start->moments, dims[1] * dims[2], standardises(stage, start->request), s->drawn,
           s->latents);
    calo_upload(run, init, s->latents);
    return init;
}

/* The mask's numbers at the latents' size, 1 where there is no canvas. */
static void mask_values(const calo_start *start, const int64_t *dims, float *values)
{
    if (start->canvas)
        calo_mask_values(&start->canvas->mask, (int)dims[2], (int)dims[1], values);
    for (int64_t i = 0; !start->canvas && i < dims[1] * dims[2]; i++)
        values[i] = 1;
}

static void draw_beside(calo_run *run, const calo_start *start, const calo_stage *stage, calo_frame *frame, scratch *s)
{
    int64_t dims[4];
    latent_dims(stage, dims);
    const int64_t pixels = dims[1] * dims[2], channels = dims[3];
    const int64_t wide[] = { 1, dims[1], dims[2], 1 + channels };
    if (calo_sees_mask(stage))
        frame->beside = calo_new(run, run->dtype, 4, wide);
    if (calo_failed(run) || !run->device)
        return;
    if (!calo_sees_mask(stage)) { /* the draw is made, for what comes after it */
        calo_generator_normal(&frame->generator, s->drawn, (size_t)(pixels * channels));
        return;
    }
    sample(stage, &frame->generator, start->masked, pixels, false, s->drawn, s->latents);
    mask_values(start, dims, s->drawn);
    for (int64_t i = 0; i < pixels; i++) {
        s->wide[i * (1 + channels)] = s->drawn[i];
        for (int64_t c = 0; c < channels; c++)
            s->wide[i * (1 + channels) + 1 + c] = s->latents[i * channels + c];
    }
    calo_upload(run, frame->beside, s->wide);
}

/* ---- the picture of a request ----------------------------------------------------------------------------------- */

static bool is_pure_noise(const calo_request *r)
{
    return !r->init || (r->inpaint && r->strength >= 1);
}

/* Whether its latents come back after every step. */
static bool keeps_init(const calo_request *r, const calo_stage *stage)
{
    return r->init && r->inpaint && !calo_sees_mask(stage);
}

void calo_start_open(calo_run *run, calo_start *start, const calo_stage *stage)
{
    const calo_request *r = start->request;
    const calo_canvas *canvas = start->canvas;
    const size_t count = (size_t)stage->width * (size_t)stage->height * 3;
    int64_t dims[4];
    latent_dims(stage, dims);
    float *values = canvas || calo_sees_mask(stage) ? calo_alloc(count, sizeof *values) : NULL;
    if (!canvas && !calo_sees_mask(stage))
        return;
    if (!values) {
        calo_fail(run->fault, CALO_EMEMORY, "no host memory for a picture of %d × %d", stage->width, stage->height);
        return;
    }
    if (canvas && (keeps_init(r, stage) || !is_pure_noise(r))) {
        calo_picture_values(&canvas->work, values);
        start->moments = encode_values(run, stage, values, start->tile);
    }
    if (calo_sees_mask(stage) && !calo_failed(run)) {
        if (canvas)
            calo_picture_masked_values(&canvas->work, &canvas->mask, values);
        start->masked = encode_values(run, stage, values, start->tile);
    }
    if (canvas && canvas->mask.pixels && !calo_failed(run)) {
        mask_values(start, dims, values);
        start->mask = calo_new(run, CALO_F32, 4, (int64_t[]){ 1, dims[1], dims[2], 1 });
        calo_upload(run, start->mask, values);
    }
    calo_free(values);
}

void calo_start_close(calo_start *start)
{
    calo_free(start->moments);
    calo_free(start->masked);
    start->moments = start->masked = NULL;
}

/* What the repainted area holds before the noise. Takes `init`. */
static calo_tensor fill(calo_run *run, const calo_start *start, calo_tensor init, calo_tensor noise)
{
    if (start->request->fill == CALO_FILL_ORIGINAL || !start->request->inpaint || calo_failed(run))
        return init;
    calo_tensor other = noise;
    if (start->request->fill == CALO_FILL_BLANK)
        other = calo_scale(run, noise, 0);
    calo_tensor filled = calo_blend(run, init, other, start->mask);
    if (start->request->fill == CALO_FILL_BLANK)
        calo_drop(run, &other);
    calo_drop(run, &init);
    return filled;
}

void calo_start_frame(calo_run *run, const calo_start *start, const calo_stage *stage, int number, calo_frame *frame)
{
    const calo_request *r = start->request;
    const calo_step *first = &stage->program->steps[0];
    const bool encodes = r->init && (!calo_sees_mask(stage) || !is_pure_noise(r));
    int64_t dims[4];
    scratch s = { 0 };
    run->label = "scheduler";
    latent_dims(stage, dims);
    calo_tensor init = { 0 };
    if (!find_scratch(run, dims[1] * dims[2], dims[3], &s))
        goto done;
    seed_frame(r, number, frame);
    if (encodes)
        init = draw_init(run, start, stage, frame, &s);
    calo_tensor noise = calo_new(run, CALO_F32, 4, dims);
    draw_noise(run, r, number, frame, noise);
    if (start->dump && encodes)
        calo_dump_append(start->dump, run, "init", init);
    if (start->dump)
        calo_dump_append(start->dump, run, "noise", noise);
    if (r->inpaint || calo_sees_mask(stage))
        draw_beside(run, start, stage, frame, &s);
    if (keeps_init(r, stage)) {
        frame->init = calo_scale(run, init, 1);
        frame->noise = calo_scale(run, noise, 1);
    }
    if (is_pure_noise(r)) {
        frame->latents = calo_scale(run, noise, stage->program->initial_noise_scale);
    } else {
        init = fill(run, start, init, noise);
        frame->latents = calo_combine(run, (calo_tensor[]){ init, noise }, (double[]){ first->signal, first->noise }, 2, 0,
                                      CALO_F32);
    }
    calo_drop(run, &noise);
    calo_drop(run, &init);
done:
    scratch_free(&s);
}

/* ---- a second pass ---------------------------------------------------------------------------------------------- */

/* Latents of the smaller picture to latents at the stage's size, by way of the picture. Takes `latents`. */
static calo_tensor enlarge_picture(calo_run *run, const calo_stage *stage, int tile, calo_tensor latents, calo_frame *frame)
{
    int64_t dims[4];
    scratch s = { 0 };
    calo_picture small = { 0 }, large = { 0 };
    latent_dims(stage, dims);
    calo_tensor decoded = calo_decode_latents(run, stage->model, latents, tile);
    calo_drop(run, &latents);
    if (calo_failed(run))
        return latents;
    const int height = (int)decoded.dims[1], width = (int)decoded.dims[2];
    const int64_t count = (int64_t)(stage->width > width ? stage->width : width) *
                          (stage->height > height ? stage->height : height) * 3;
    float *values = calo_alloc((size_t)count, sizeof *values), *moments = NULL;
    if (!values)
        calo_fail(run->fault, CALO_EMEMORY, "no host memory for a picture of %d × %d", stage->width, stage->height);
    if (values)
        calo_download(run, decoded, values);
    calo_drop(run, &decoded);
    if (!calo_failed(run) && !calo_picture_make(width, height, 3, &small, run->fault))
        for (int64_t i = 0; i < (int64_t)width * height * 3; i++)
            small.pixels[i] = (uint8_t)lrintf(fminf(fmaxf(values[i] * 0.5f + 0.5f, 0), 1) * 255);
    if (!calo_failed(run) && !calo_picture_resize(&small, stage->width, stage->height, &large, run->fault)) {
        calo_picture_values(&large, values);
        moments = encode_values(run, stage, values, tile);
    }
    latents = calo_new(run, CALO_F32, 4, dims);
    if (!calo_failed(run) && run->device && find_scratch(run, dims[1] * dims[2], dims[3], &s)) {
        const calo_request picture = { .inpaint = 0 };
        sample(stage, &frame->generator, moments, dims[1] * dims[2], standardises(stage, &picture), s.drawn, s.latents);
        calo_upload(run, latents, s.latents);
    }
    scratch_free(&s);
    calo_picture_free(&small);
    calo_picture_free(&large);
    calo_free(values);
    calo_free(moments);
    return latents;
}

void calo_start_again(calo_run *run, const calo_request *request, const calo_stage *stage, int number, int tile,
                      calo_frame *frame)
{
    const calo_step *first = &stage->program->steps[0];
    int64_t dims[4];
    latent_dims(stage, dims);
    seed_frame(request, number, frame);
    calo_tensor latents = calo_take(&frame->latents);
    latents.taken = false;
    if (request->hires_pixels) {
        latents = enlarge_picture(run, stage, tile, latents, frame);
    } else {
        latents.taken = true;
        latents = calo_resample_bilinear(run, latents, (int)dims[1], (int)dims[2]);
    }
    run->label = "scheduler";
    calo_tensor noise = calo_new(run, CALO_F32, 4, dims);
    draw_noise(run, request, number, frame, noise);
    frame->latents = calo_combine(run, (calo_tensor[]){ latents, noise }, (double[]){ first->signal, first->noise }, 2, 0,
                                  CALO_F32);
    calo_drop(run, &latents);
    calo_drop(run, &noise);
}
