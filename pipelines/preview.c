/* The map: rgb = Σ_c latent_c · m_c + m_bias, in 0 … 1. Its normal equations are of C + 1 unknowns for three colours. */
#include "preview.h"
#include "../engine/image.h"
#include "../engine/shim.h"
#include "decode.h"
#include "residency.h"


enum { SIDE = 24, PATCH = 3, TERMS = CALO_PREVIEW_CHANNELS + 1 }; /* 64 patches */

/* Normal numbers, one for a patch and channel, as latents [SIDE, SIDE, channels]. */
static void fill_patches(float *latents, int channels)
{
    enum { PATCHES = SIDE / PATCH * (SIDE / PATCH) };
    float drawn[PATCHES * CALO_PREVIEW_CHANNELS];
    calo_rng rng;
    calo_rng_seed(&rng, 0);
    calo_rng_normal_f32(&rng, drawn, (size_t)(PATCHES * channels));
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            for (int c = 0; c < channels; c++)
                latents[(y * SIDE + x) * channels + c] = drawn[(y / PATCH * (SIDE / PATCH) + x / PATCH) * channels + c];
}

/* Mean of the pixels over one latent, 0 … 1. */
static double mean_colour(const float *pixels, int scale, int y, int x, int colour)
{
    double sum = 0;
    for (int i = 0; i < scale; i++)
        for (int k = 0; k < scale; k++)
            sum += pixels[((int64_t)(y * scale + i) * SIDE * scale + x * scale + k) * 3 + colour];
    return sum / (scale * scale) * 0.5 + 0.5;
}

/* Solves the n normal equations by Gauss and Jordan, a little damped so that a VAE that ignores a channel has a map. */
static void solve(double a[TERMS][TERMS + 3], int n)
{
    for (int k = 0; k < n; k++)
        a[k][k] += 1e-6 * (1 + a[k][k]);
    for (int k = 0; k < n; k++)
        for (int i = 0; i < n; i++) {
            const double share = i == k ? 0 : a[i][k] / a[k][k];
            for (int j = k; j < n + 3; j++)
                a[i][j] -= share * a[k][j];
        }
    for (int k = 0; k < n; k++)
        for (int j = 0; j < 3; j++)
            a[k][n + j] /= a[k][k];
}

static void fit(calo_preview_map *map, const float *latents, const float *pixels, int channels, int scale)
{
    double a[TERMS][TERMS + 3] = { { 0 } };
    const int n = channels + 1;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            double row[TERMS + 3];
            for (int c = 0; c < channels; c++)
                row[c] = latents[(y * SIDE + x) * channels + c];
            row[channels] = 1;
            for (int j = 0; j < 3; j++)
                row[n + j] = mean_colour(pixels, scale, y, x, j);
            for (int i = 0; i < n; i++)
                for (int j = 0; j < n + 3; j++)
                    a[i][j] += row[i] * row[j];
        }
    solve(a, n);
    for (int c = 0; c <= channels; c++)
        for (int j = 0; j < 3; j++)
            map->terms[c][j] = a[c][n + j];
    map->channels = channels;
    map->known = true;
}

void calo_preview_fit(calo_run *run, calo_model *model)
{
    const calo_vae_config *vae = &model->checkpoint.vae;
    const int channels = vae->latent_channels, scale = 1 << (vae->levels - 1);
    const int64_t dims[] = { 1, SIDE, SIDE, channels };
    if (channels > CALO_PREVIEW_CHANNELS) {
        calo_fail(run->fault, CALO_EUSAGE, "previews know latents of at most %d channels, these have %d", CALO_PREVIEW_CHANNELS,
                  channels);
        return;
    }
    float *latents = calo_alloc((size_t)(SIDE * SIDE * channels), sizeof *latents);
    float *pixels = calo_alloc((size_t)SIDE * SIDE * (size_t)(scale * scale) * 3, sizeof *pixels);
    if (!latents || !pixels) {
        calo_fail(run->fault, CALO_EMEMORY, "no host memory for a preview");
        goto done;
    }
    fill_patches(latents, channels);
    calo_tensor sent = calo_new(run, CALO_F32, 4, dims);
    calo_upload(run, sent, latents);
    calo_tensor decoded = calo_decode_latents(run, model, sent, 0);
    calo_download(run, decoded, pixels);
    calo_drop(run, &decoded);
    calo_drop(run, &sent);
    if (!calo_failed(run) && run->device)
        fit(&model->preview, latents, pixels, channels, scale);
done:
    calo_free(latents);
    calo_free(pixels);
}

/* In memory of its own, beside the job's. */
static calo_status fit_aside(calo_job *job)
{
    calo_arena arena;
    calo_run run = job->run;
    calo_arena_init(&arena, run.device, &run.info);
    run.arena = &arena;
    run.ledger = NULL;
    calo_memory_turn(job, job->stage_count - 1, CALO_BIT(CALO_VAE));
    run.device = NULL;
    calo_preview_fit(&run, job->model);
    run.device = job->run.device;
    if (!calo_failed(&run))
        calo_arena_commit(&arena, run.fault);
    calo_preview_fit(&run, job->model);
    calo_arena_free(&arena);
    return run.fault->status;
}

calo_status calo_preview_make(calo_job *job, calo_image **image)
{
    const calo_preview_map *map = &job->model->preview;
    const int frame = job->frame < job->request.count ? job->frame : job->request.count - 1;
    const calo_tensor shown = job->looping && job->loop.done ? job->loop.clean : job->frames[frame].latents;
    *image = NULL;
    if (!map->known && fit_aside(job))
        return job->run.fault->status;
    const int64_t height = shown.dims[1], width = shown.dims[2], channels = shown.dims[3];
    float *latents = calo_alloc((size_t)(height * width * channels), sizeof *latents);
    float *values = calo_alloc((size_t)(height * width * 3), sizeof *values);
    if (!latents || !values) {
        calo_fail(job->run.fault, CALO_EMEMORY, "no host memory for a preview");
        goto done;
    }
    calo_download(&job->run, shown, latents);
    for (int64_t i = 0; i < height * width; i++)
        for (int j = 0; j < 3; j++) {
            double sum = map->terms[map->channels][j];
            for (int64_t c = 0; c < channels; c++)
                sum += latents[i * channels + c] * map->terms[c][j];
            values[i * 3 + j] = (float)(sum > 0 ? sum < 1 ? sum : 1 : 0); /* NaN is 0, too */
        }
    if (!calo_failed(&job->run))
        calo_image_make(job->model->context, (int)width, (int)height, values, "", image);
done:
    calo_free(latents);
    calo_free(values);
    return job->run.fault->status;
}
