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

for name, model in MODELS.items():
    scheduler_class, scheduler = model["scheduler"]
    files = {
        "model_index.json": {
            "_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.42.1", "requires_safety_checker": False,
            "feature_extractor": [None, None], "image_encoder": [None, None], "safety_checker": [None, None],
            "scheduler": ["diffusers", scheduler_class], "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"], "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"]},
        "unet/config.json": model["unet"], "vae/config.json": model["vae"], "text_encoder/config.json": model["text"],
        "scheduler/scheduler_config.json": {"_class_name": scheduler_class, **scheduler},
    }
    for path, value in files.items():
        target = HERE / name / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(value, indent=1) + "\n")
