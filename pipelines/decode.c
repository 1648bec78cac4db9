/* The VAE's type and tiles. */
#include "decode.h"
#include "../kernels/elementwise/elementwise.h"
#include "../kernels/reduce/reduce.h"
#include "tiles.h"

static calo_tensor decode_part(void *user, calo_run *run, calo_tensor part)
{
    const calo_model *model = user;
    return calo_vae_decode(run, &model->vae, part, 0);
}

static calo_tensor encode_part(void *user, calo_run *run, calo_tensor part)
{
    const calo_model *model = user;
    calo_tensor own = calo_cast(run, part, run->dtype);
    calo_tensor moments = calo_vae_encode(run, &model->vae, own);
    calo_drop(run, &own);
    return moments;
}

/* Whole where that is no larger than a tile, as diffusers does. */
static calo_tensor convert(calo_run *run, const calo_tiles *tiling, calo_tensor x)
{
    if (!calo_failed(run) && tiling->from && (x.dims[1] > tiling->from || x.dims[2] > tiling->from))
        return calo_in_tiles(run, tiling, x);
    return tiling->convert(tiling->user, run, x);
}

static bool is_finite(calo_run *run, calo_tensor t)
{
    float found[4] = { 0 };
    calo_tensor count = calo_reduce_finite(run, t);
    calo_download(run, count, found);
    calo_drop(run, &count);
    return found[0] == 0;
}

static calo_tensor convert_in(calo_run *run, calo_type type, const calo_tiles *tiling, calo_tensor x)
{
    const calo_type own = run->dtype;
    run->dtype = type;
    calo_tensor result = convert(run, tiling, x);
    run->dtype = own;
    return result;
}

/* In the run's type, or a wider one. A plan makes room for both. */
static calo_tensor convert_safely(calo_run *run, const calo_model *model, const calo_tiles *tiling, calo_tensor x)
{
    /* Every AutoencoderKL has force_upcast unless it says otherwise, but only XL's pipelines heed it. */
    const bool loud = model->checkpoint.unet.text_time && model->checkpoint.vae.force_upcast;
    if (run->dtype != CALO_F16 || loud)
        return convert_in(run, run->dtype == CALO_F16 ? CALO_F32 : run->dtype, tiling, x);
    calo_tensor result = convert_in(run, CALO_F16, tiling, x);
    if (calo_failed(run) || (run->device && is_finite(run, result)))
        return result;
    calo_ledger *books = run->ledger;
    if (run->device)
        calo_log(model->context, CALO_LOG_WARNING, "the VAE's numbers overflow in f16; it runs again in f32");
    else
        run->ledger = NULL;
    calo_drop(run, &result);
    result = convert_in(run, CALO_F32, tiling, x);
    run->ledger = books;
    return result;
}

calo_tensor calo_decode_latents(calo_run *run, const calo_model *model, calo_tensor latents, int tile)
{
    const calo_vae_config *vae = &model->checkpoint.vae;
    const calo_tiles tiling = { tile >> (vae->levels - 1), tile, vae->out_channels, decode_part, (void *)model };
    return convert_safely(run, model, &tiling, latents);
}

calo_tensor calo_encode_picture(calo_run *run, const calo_model *model, calo_tensor picture, int tile)
{
    const calo_vae_config *vae = &model->checkpoint.vae;
    const calo_tiles tiling = { tile, tile >> (vae->levels - 1), 2 * vae->latent_channels, encode_part, (void *)model };
    return convert_safely(run, model, &tiling, picture);
}
