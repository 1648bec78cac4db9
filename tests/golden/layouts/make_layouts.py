"""Writes the names and shapes of the published models' tensors, as diffusers and transformers make them: NAME.txt.gz.

    python make_layouts.py WRITE_MODEL WORK       needs torch, diffusers 0.42, transformers 5, safetensors

A line is PART NAME DIMS. The configurations are those of the published config.json files. For the single files' names,
which diffusers reads but does not write, it checks calotype's own: WRITE_MODEL's hollow file (names and shapes, no
numbers) is turned by diffusers' converters into exactly the names and shapes above.
"""
import gzip
import json
import struct
import subprocess
import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint,
                                                 convert_open_clip_checkpoint)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

HERE = Path(__file__).parent
DOWN, UP = ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"], ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3
SD1 = dict(sample_size=64, block_out_channels=[320, 640, 1280, 1280], cross_attention_dim=768, attention_head_dim=8,
           down_block_types=DOWN, up_block_types=UP)
SD2 = SD1 | dict(cross_attention_dim=1024, attention_head_dim=[5, 10, 20, 20], use_linear_projection=True)
XL = dict(sample_size=128, block_out_channels=[320, 640, 1280], cross_attention_dim=2048, attention_head_dim=[5, 10, 20],
          use_linear_projection=True, transformer_layers_per_block=[1, 2, 10], addition_embed_type="text_time",
          addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816,
          down_block_types=["DownBlock2D"] + ["CrossAttnDownBlock2D"] * 2,
          up_block_types=["CrossAttnUpBlock2D"] * 2 + ["UpBlock2D"])
REFINER = XL | dict(block_out_channels=[384, 768, 1536, 1536], cross_attention_dim=1280, attention_head_dim=[6, 12, 24, 24],
                    transformer_layers_per_block=4, projection_class_embeddings_input_dim=2560,
                    down_block_types=["DownBlock2D"] + ["CrossAttnDownBlock2D"] * 2 + ["DownBlock2D"],
                    up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 2 + ["UpBlock2D"])
SSD = XL | dict(transformer_layers_per_block=[1, [2, 2], [4, 4]], mid_block_type="UNetMidBlock2D",
                reverse_transformer_layers_per_block=[[4, 4, 10], [2, 1, 1], 1])
VEGA = XL | dict(transformer_layers_per_block=[1, 1, 2], mid_block_type="UNetMidBlock2D")
VAE = dict(block_out_channels=[128, 256, 512, 512], layers_per_block=2, latent_channels=4,
           down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4)
L = CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, projection_dim=768)
H = CLIPTextConfig(hidden_size=1024, intermediate_size=4096, num_hidden_layers=23, num_attention_heads=16, projection_dim=512)
G = CLIPTextConfig(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20, projection_dim=1280)
LAYOUTS = {"sd15": (SD1, L, None), "sd15-inpaint": (SD1 | dict(in_channels=9), L, None),
           "sd15-lcm": (SD1 | dict(time_cond_proj_dim=256), L, None), "sd21": (SD2, H, None),
           "sd2-inpaint": (SD2 | dict(in_channels=9), H, None), "sdxl": (XL, L, G), "sdxl-inpaint": (XL | dict(in_channels=9), L, G),
           "sdxl-refiner": (REFINER, None, G), "ssd-1b": (SSD, L, G), "vega": (VEGA, L, G)}


def hollow(path):
    """{name: tensor without memory} of a file's header."""
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
    return {k: torch.empty(v["shape"], device="meta") for k, v in header.items() if k != "__metadata__"}


def shapes(tensors):
    return {k: tuple(v.shape) for k, v in tensors.items()}


def squeeze(shape):
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def check_single(name, path, models):
    stored = hollow(path)
    unet, vae = models["unet"], models["vae"]
    converted = {"unet": convert_ldm_unet_checkpoint(dict(stored), dict(unet.config)),
                 "vae": convert_ldm_vae_checkpoint(dict(stored), dict(vae.config))}
    for part, prefix in (("text_encoder", "cond_stage_model.model."), ("text_encoder_2", "conditioner.embedders.1.model."),
                         ("text_encoder_2", "conditioner.embedders.0.model.")):
        if prefix + "token_embedding.weight" in stored:
            text = convert_open_clip_checkpoint(models[part], dict(stored), prefix)
            converted[part] = {k.removeprefix("text_model."): v for k, v in text.items()}
    for prefix in "cond_stage_model.transformer.text_model.", "conditioner.embedders.0.transformer.text_model.":
        if prefix + "final_layer_norm.weight" in stored:
            converted["text_encoder"] = {k.removeprefix(prefix): v for k, v in stored.items() if k.startswith(prefix)}
    for part, model in models.items():
        own, made = shapes(model.state_dict()), shapes(converted[part])
        own = {k.removeprefix("text_model."): v for k, v in own.items()}
        unknown = {"time_embedding.cond_proj.weight"}  # diffusers has no name for it in a single file
        never_run = {k for k in made if "layers.23." in k or k == "text_projection.weight"} if name.startswith("sd2") else set()
        assert set(own) - unknown == set(made) - never_run, (name, part, set(own) ^ set(made))
        for key in set(own) & set(made):
            assert squeeze(own[key]) == squeeze(made[key]), (name, part, key, own[key], made[key])


def main():
    write_model, work = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    work.mkdir(parents=True, exist_ok=True)
    for name, (unet, first, second) in LAYOUTS.items():
        with torch.device("meta"):
            models = {"unet": UNet2DConditionModel(**unet), "vae": AutoencoderKL(**VAE)}
            if first:
                models["text_encoder"] = CLIPTextModel(first)
            if second:
                models["text_encoder_2"] = CLIPTextModelWithProjection(second)
        lines = [f"{part} {key.removeprefix('text_model.')} {','.join(map(str, value.shape))}\n"
                 for part, model in models.items() for key, value in model.state_dict().items()]
        with gzip.GzipFile(HERE / f"{name}.txt.gz", "wb", mtime=0) as f:
            f.write("".join(sorted(lines)).encode())
        path = work / f"{name}.safetensors"
        subprocess.run([write_model, f"layout:{name}", "-", path, "f16", "single", "hollow"], check=True)
        check_single(name, path, models)
        path.unlink()
        print(name, len(lines), "tensors", sum(p.numel() for m in models.values() for p in m.parameters()) / 1e6, "M")


main()
