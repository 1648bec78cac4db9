"""Writes the configurations of the golden models (JSON only; write_model.c makes the weights).

    python make_models.py            into tests/golden/models/
"""
import json
from pathlib import Path

HERE = Path(__file__).parent / "models"


def unet(widths, attends, **more):
    down = ["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attends]
    up = ["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)]
    return {"_class_name": "UNet2DConditionModel", "sample_size": 8, "in_channels": 4, "out_channels": 4,
            "block_out_channels": widths, "down_block_types": down, "up_block_types": up, "act_fn": "silu", **more}


def vae(widths, groups, **more):
    n = len(widths)
    return {"_class_name": "AutoencoderKL", "in_channels": 3, "out_channels": 3, "latent_channels": 4,
            "block_out_channels": widths, "norm_num_groups": groups, "act_fn": "silu", "sample_size": 64,
            "down_block_types": ["DownEncoderBlock2D"] * n, "up_block_types": ["UpDecoderBlock2D"] * n, **more}


def clip(width, heads, layers, vocabulary=792, **more):
    special = {"bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1, "pad_token_id": vocabulary - 1}
    return {"architectures": ["CLIPTextModel"], "model_type": "clip_text_model", "hidden_size": width,
            "intermediate_size": 4 * width, "num_attention_heads": heads, "num_hidden_layers": layers,
            "max_position_embeddings": 77, "vocab_size": vocabulary, "projection_dim": width, **special, **more}


SD1 = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
MODELS = {
    # SD1's four levels at a quarter of the width
    "quarter": dict(
        unet=unet([80, 160, 320, 320], [1, 1, 1, 0], layers_per_block=2, attention_head_dim=8, cross_attention_dim=192,
                  norm_num_groups=16),
        vae=vae([32, 64, 64, 64], 16, layers_per_block=2), text=clip(192, 3, 3, hidden_act="quick_gelu"),
        scheduler=("PNDMScheduler", dict(SD1, skip_prk_steps=True, steps_offset=1, set_alpha_to_one=False))),
    # three levels, odd head sizes (5 and 20), other norms, linear projections, gelu, v-prediction
    "three": dict(
        unet=unet([40, 80, 120], [1, 1, 0], layers_per_block=1, attention_head_dim=[8, 4, 6], cross_attention_dim=60,
                  norm_num_groups=20, norm_eps=1e-6, use_linear_projection=True, flip_sin_to_cos=False, freq_shift=1,
                  downsample_padding=0),
        vae=vae([20, 40, 40, 60], 10, layers_per_block=1, scaling_factor=0.13, mid_block_add_attention=True),
        text=clip(60, 5, 2, hidden_act="gelu", layer_norm_eps=1e-6),
        scheduler=("DDIMScheduler", dict(SD1, prediction_type="v_prediction", rescale_betas_zero_snr=True,
                                         timestep_spacing="trailing", clip_sample=False, set_alpha_to_one=True))),
    # attention in the middle levels only, a plain middle, no quant convolutions, a shift, depth 2
    "plain": dict(
        unet=unet([32, 64, 96, 64], [0, 1, 1, 0], layers_per_block=[1, 2, 1, 1], attention_head_dim=[2, 2, 3, 4],
                  cross_attention_dim=64, norm_num_groups=8, mid_block_type="UNetMidBlock2D",
                  transformer_layers_per_block=2),
        vae=vae([16, 24, 32, 40], 8, layers_per_block=1, use_quant_conv=False, use_post_quant_conv=False,
                shift_factor=0.11, scaling_factor=0.36, mid_block_add_attention=False),
        text=clip(64, 4, 2, hidden_act="quick_gelu"),
        scheduler=("EulerDiscreteScheduler", dict(SD1, steps_offset=1, timestep_spacing="leading"))),
    # what a single file in LDM naming can say: 8 heads, 32 groups, CLIP heads of 64, the built-in vocabulary
    "single": dict(
        unet=unet([32, 64, 96, 96], [1, 1, 1, 0], layers_per_block=1, attention_head_dim=8, cross_attention_dim=128,
                  norm_num_groups=32),
        vae=vae([32, 32, 64, 64], 32, layers_per_block=1), text=clip(128, 2, 2, 49408, hidden_act="quick_gelu"),
        scheduler=("PNDMScheduler", dict(SD1, skip_prk_steps=True, steps_offset=1, set_alpha_to_one=False,
                                         clip_sample=False))),
}

XL_EULER = ("EulerDiscreteScheduler", dict(SD1, steps_offset=1, timestep_spacing="leading", interpolation_type="linear",
                                           use_karras_sigmas=False, prediction_type="epsilon"))
TRAILING = dict(SD1, steps_offset=1, timestep_spacing="trailing", interpolation_type="linear", use_karras_sigmas=False,
                prediction_type="epsilon", clip_sample=False, set_alpha_to_one=False)
PNDM = ("PNDMScheduler", dict(SD1, skip_prk_steps=True, steps_offset=1, set_alpha_to_one=False, clip_sample=False))


def sd2_unet(**more):
    return unet([64, 64, 128, 128], [1, 1, 1, 0], layers_per_block=1, attention_head_dim=[1, 1, 2, 2],
                cross_attention_dim=128, norm_num_groups=32, use_linear_projection=True, **more)


def xl_unet(added=96 + 6 * 32, context=192, attends=(0, 1, 1), depths=(1, 2, 3), widths=(32, 64, 128), layers=2, **more):
    return unet(list(widths), list(attends), layers_per_block=layers, attention_head_dim=[max(w // 64, 1) for w in widths],
                transformer_layers_per_block=list(depths), cross_attention_dim=context, norm_num_groups=32,
                use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=32,
                projection_class_embeddings_input_dim=added, **more)


SMALL_VAE = vae([32, 32, 64, 64], 32, layers_per_block=1)
XL_VAE = dict(SMALL_VAE, scaling_factor=0.13025, force_upcast=True)
# An empty picture is the same everywhere: with one channel to a group its norms would divide rounding by nothing.
INPAINT_VAE = vae([64, 64, 64, 64], 32, layers_per_block=1)
H = clip(128, 2, 3, 49408, hidden_act="gelu", projection_dim=64)
L = clip(64, 1, 2, 49408, hidden_act="quick_gelu")
G = dict(clip(128, 2, 3, 49408, hidden_act="gelu"), projection_dim=96, architectures=["CLIPTextModelWithProjection"])


def sd2(scheduler, pipeline="StableDiffusionPipeline", **more):
    return dict(unet=sd2_unet(**more), vae=INPAINT_VAE if "in_channels" in more else SMALL_VAE, text=H, scheduler=scheduler, pipeline=pipeline)


def xl(scheduler=XL_EULER, pipeline="StableDiffusionXLPipeline", text=L, index=None, vae=XL_VAE, **more):
    return dict(unet=xl_unet(**more), vae=vae, text=text, text_2=G, scheduler=scheduler, pipeline=pipeline,
                index=index or {"force_zeros_for_empty_prompt": True})


# Every variant, as a single file can say it: 32 groups, heads of 64 (8 heads in SD1), the built-in vocabulary.
MODELS.update({
    "one_inpaint": dict(MODELS["single"], pipeline="StableDiffusionInpaintPipeline", vae=INPAINT_VAE,
                        unet=dict(MODELS["single"]["unet"], in_channels=9)),
    "one_lcm": dict(MODELS["single"], pipeline="LatentConsistencyModelPipeline",
                    unet=dict(MODELS["single"]["unet"], time_cond_proj_dim=48),
                    scheduler=("LCMScheduler", dict(SD1, original_inference_steps=50, timestep_scaling=10.0,
                                                    clip_sample=False, set_alpha_to_one=True))),
    "two": sd2(PNDM),
    "two_v": sd2(("DDIMScheduler", dict(SD1, prediction_type="v_prediction", steps_offset=1, clip_sample=False,
                                        set_alpha_to_one=False))),
    "two_inpaint": sd2(PNDM, "StableDiffusionInpaintPipeline", in_channels=9),
    "two_turbo": sd2(("EulerDiscreteScheduler", TRAILING)),
    "xl": xl(),
    "xl_inpaint": xl(pipeline="StableDiffusionXLInpaintPipeline", in_channels=9,
                     vae=dict(INPAINT_VAE, scaling_factor=0.13025, force_upcast=False)),
    "xl_refiner": xl(pipeline="StableDiffusionXLImg2ImgPipeline", text=None, context=128, added=96 + 5 * 32,
                     widths=(32, 64, 128, 128), depths=(2, 2, 2, 2), attends=(0, 1, 1, 0), layers=1,
                     index={"force_zeros_for_empty_prompt": False, "requires_aesthetics_score": True}),
    "xl_turbo": xl(("EulerAncestralDiscreteScheduler", TRAILING)),
    "xl_v": xl(("EulerDiscreteScheduler", dict(SD1, steps_offset=1, timestep_spacing="trailing", rescale_betas_zero_snr=True,
                                               prediction_type="v_prediction"))),
    "xl_edm": xl(("EDMDPMSolverMultistepScheduler", dict(sigma_min=0.002, sigma_max=80.0, sigma_data=0.5, rho=7.0,
                                                         solver_order=2, solver_type="midpoint", final_sigmas_type="zero",
                                                         prediction_type="epsilon")),
                 vae=dict(XL_VAE, scaling_factor=0.5, latents_mean=[-1.6574, 1.886, -1.383, 2.5155],
                          latents_std=[8.4927, 5.9022, 6.5498, 5.2299])),
    "xl_ssd": xl(attends=(0, 1, 1), depths=(1, [2, 2], [3, 3]), mid_block_type="UNetMidBlock2D",
                 reverse_transformer_layers_per_block=[[3, 3, 4], [2, 1, 1], 1]),
})

for name, model in MODELS.items():
    scheduler_class, scheduler = model["scheduler"]
    text_2 = model.get("text_2")
    files = {
        "model_index.json": {
            "_class_name": model.get("pipeline", "StableDiffusionPipeline"), "_diffusers_version": "0.42.1",
            "feature_extractor": [None, None], "image_encoder": [None, None], "scheduler": ["diffusers", scheduler_class],
            "text_encoder": ["transformers", "CLIPTextModel"] if model["text"] else [None, None],
            "tokenizer": ["transformers", "CLIPTokenizer"] if model["text"] else [None, None],
            "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
            **({"text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
                "tokenizer_2": ["transformers", "CLIPTokenizer"], **model["index"]} if text_2 else
               {"safety_checker": [None, None], "requires_safety_checker": False})},
        "unet/config.json": model["unet"], "vae/config.json": model["vae"],
        "scheduler/scheduler_config.json": {"_class_name": scheduler_class, **scheduler},
    }
    if model["text"]:
        files["text_encoder/config.json"] = model["text"]
    if text_2:
        files["text_encoder_2/config.json"] = text_2
    # OpenCLIP's models pad with "!"
    pads = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": "!"}
    if text_2 or model["text"] is H:
        folder = "tokenizer_2" if text_2 else "tokenizer"
        files[folder + "/tokenizer_config.json"] = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77,
                                                    "add_prefix_space": False, "errors": "replace", **pads}
        files[folder + "/special_tokens_map.json"] = pads
    for path, value in files.items():
        target = HERE / name / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(value, indent=1) + "\n")
