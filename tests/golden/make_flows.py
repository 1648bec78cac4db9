"""Makes the golden data of image to image and of inpainting with diffusers, as make_goldens.py does for text to image.

    python make_flows.py WRITE_MODEL WORK [PART]       only the cases whose names hold PART

For each case of CASES it writes cases/NAME.safetensors and a row of flows.tsv, which is like one of cases.tsv but that its
options begin with the command. What a pipeline begins with (`init`, `noise`, `latents.000`) is caught where the pipeline
makes it, never derived again. `image` is what the VAE decoded; `picture`, where a case works on a part of the picture, is
what diffusers pastes it into.
The pictures are in pictures_in/; those that are missing there are drawn anew.
"""
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from diffusers import (LatentConsistencyModelImg2ImgPipeline, StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline,
                       StableDiffusionXLImg2ImgPipeline, StableDiffusionXLInpaintPipeline)
from safetensors.numpy import save_file

from make_goldens import (FULL, HERE, SCHEDULERS, case, choose_scheduler, draw_in_float32, encode, folder_of, generators, last,
                          load, request, spread, watch, words_of, write_table)

PICTURES = HERE / "pictures_in"
FULL = FULL + ["init"]
SHORT = ["init", "noise", "latents", "timesteps", "sigmas"]
CALLS = SHORT + ["output"]
CASES = {}


def keys_of(options):
    """Text is kept where it is the point; of several pictures, and of a part of one, the decoded pixels are not."""
    return CALLS + (["picture"] if "mask_padding" in options else ["image"] if "count" not in options else [])


def img2img(name, model, keys=None, init="scene.png", **options):
    CASES[f"img_{name}"] = case(model, keys or keys_of(options), flow="img2img", init=init, **options)


def inpaint(name, model, keys=None, init="scene.png", mask="spot.png", **options):
    words = dict(flow="inpaint", init=init, **({"mask": mask} if mask else {}), **options)
    CASES[f"paint_{name}"] = case(model, keys or keys_of(options), **words)


house = {"prompt": "a red house", "guidance": 7.5}
sea = {"prompt": "the sea at night", "negative": "trees, clouds", "guidance": 5.0}

# Image to image. One step of 100 runs, 3 of 10 (PNDM: one call more), all but one, all.
for model in "quarter", "plain":
    for strength, steps in ((0.01, 100), (0.3, 10), (0.75, 4), (1.0, 3)):
        img2img(f"{model}_{round(strength * 100):03d}", model, strength=strength, steps=steps, seed=steps, **house)
img2img("truncated", "plain", SHORT, strength=0.57, steps=100, seed=1, prompt="a boat", guidance=1.0, scheduler="ddim")  # 56
img2img("odd", "quarter", init="odd.png", strength=0.6, steps=5, seed=2, scheduler="dpmpp_2m_karras", **sea)
img2img("plain_guidance", "quarter", CALLS, strength=0.5, steps=4, seed=3, prompt="a boat", guidance=1.0)
img2img("clip_skip", "quarter", FULL, strength=0.5, steps=2, seed=4, clip_skip=1, **sea)
img2img("eta", "quarter", CALLS, strength=0.5, steps=6, seed=5, scheduler="ddim", eta=0.7, **house)
img2img("count", "plain", strength=0.5, steps=4, seed=6, count=2, scheduler="euler_a", **house)
img2img("count_lcm", "quarter", strength=0.75, steps=4, seed=2**64 - 2, count=2, scheduler="lcm", **sea)
img2img("two", "two", strength=0.5, steps=4, seed=7, **sea)
img2img("two_v", "two_v", strength=0.6, steps=5, seed=8, **sea)
img2img("two_v_euler", "two_v", CALLS, strength=1.0, steps=2, seed=8, scheduler="euler", **house)
img2img("two_turbo", "two_turbo", CALLS, strength=0.5, steps=2, seed=9, prompt="a boat", guidance=0.0)
img2img("one_lcm", "one_lcm", strength=0.5, steps=4, seed=10, prompt="a boat", guidance=8.5)
img2img("one_lcm_all", "one_lcm", CALLS, strength=1.0, steps=2, seed=10, prompt="a boat", guidance=8.5)
img2img("xl", "xl", strength=0.3, steps=10, seed=11, **house)
img2img("xl_all", "xl", CALLS, strength=1.0, steps=2, seed=12, **sea)
img2img("xl_second", "xl", FULL, strength=0.75, steps=4, seed=13, prompt_2="a boat", negative_2="a white moon", clip_skip=1, **sea)
img2img("xl_rescale", "xl", CALLS, strength=0.5, steps=4, seed=14, guidance_rescale=0.6, scheduler="dpmpp_2m", **house)
img2img("xl_odd_count", "xl", init="odd.png", strength=0.5, steps=4, seed=15, count=2, scheduler="ddpm", **house)
img2img("xl_turbo", "xl_turbo", strength=0.5, steps=2, seed=16, prompt="a boat", guidance=0.0)
img2img("xl_v", "xl_v", strength=0.5, steps=4, seed=17, **house)
img2img("xl_v_all", "xl_v", CALLS, strength=1.0, steps=2, seed=17, **house)
img2img("xl_edm", "xl_edm", strength=0.5, steps=6, seed=18, **house)
img2img("xl_refiner", "xl_refiner", FULL, strength=0.3, steps=10, seed=19, **house)
img2img("xl_refiner_count", "xl_refiner", strength=0.75, steps=4, seed=20, count=2, scheduler="euler_a", **sea)
for name in SCHEDULERS:
    img2img(f"sweep_{name}_30", "plain", SHORT, strength=0.3, steps=20, seed=30, scheduler=name, **house)
    img2img(f"sweep_{name}_75", "plain", SHORT, strength=0.75, steps=7, seed=75, scheduler=name, **house)
for name, spacing in (("ddim", "trailing"), ("euler", "trailing"), ("euler", "leading"), ("dpmpp_2m", "trailing"),
                      ("unipc", "leading"), ("pndm", "trailing"), ("pndm", "linspace")):
    img2img(f"spacing_{name}_{spacing}", "quarter", SHORT, strength=0.5, steps=6, seed=4, scheduler=name, spacing=spacing, **house)

# Inpainting with models of 4 channels and of 9.
for model in "plain", "quarter", "two", "xl", "one_inpaint", "two_inpaint", "xl_inpaint":
    inpaint(f"{model}_050", model, CALLS, strength=0.5, steps=4, seed=40, **sea)
    inpaint(f"{model}_100", model, strength=1.0, steps=2, seed=41, **house)
for name in SCHEDULERS:
    inpaint(f"sweep_{name}_50", "plain", SHORT, strength=0.5, steps=7, seed=50, scheduler=name, **house)
    inpaint(f"sweep_{name}_100", "plain", SHORT, strength=1.0, steps=4, seed=51, scheduler=name, **house)
for name in "ddim", "euler_a", "dpmpp_2m_karras", "unipc", "lcm":
    inpaint(f"sweep_nine_{name}_50", "one_inpaint", SHORT, strength=0.5, steps=6, seed=52, scheduler=name, **house)
inpaint("quarter_075", "quarter", CALLS, strength=0.75, steps=4, seed=42, **house)
inpaint("odd", "quarter", init="odd.png", mask="odd_spots.png", strength=0.6, steps=5, seed=43, scheduler="unipc", **sea)
inpaint("nine_odd", "one_inpaint", init="odd.png", mask="odd_spots.png", strength=0.8, steps=4, seed=43, scheduler="euler", **sea)
inpaint("plain_guidance", "quarter", CALLS, strength=0.5, steps=4, seed=44, prompt="a boat", guidance=1.0)
inpaint("nine_plain_guidance", "one_inpaint", CALLS, strength=0.5, steps=4, seed=44, prompt="a boat", guidance=1.0)
inpaint("count", "plain", strength=0.5, steps=4, seed=45, count=2, scheduler="euler_a", **house)
inpaint("count_all", "quarter", strength=1.0, steps=2, seed=45, count=2, scheduler="ddpm", **house)
inpaint("nine_count", "one_inpaint", strength=0.5, steps=4, seed=46, count=2, scheduler="euler_a", **house)
inpaint("nine_count_all", "xl_inpaint", strength=1.0, steps=2, seed=46, count=2, scheduler="lcm", **house)
inpaint("eta", "quarter", CALLS, strength=0.5, steps=6, seed=47, scheduler="ddim", eta=0.7, clip_skip=1, **house)
inpaint("all_white", "quarter", mask="white.png", strength=0.5, steps=4, seed=48, **house)
inpaint("two_v", "two_v", CALLS, strength=0.6, steps=5, seed=48, **sea)
inpaint("xl_v", "xl_v", strength=1.0, steps=3, seed=49, **house)
inpaint("xl_v_half", "xl_v", CALLS, strength=0.5, steps=4, seed=49, **house)
inpaint("xl_edm", "xl_edm", strength=0.5, steps=4, seed=50, **house)
inpaint("xl_odd", "xl", init="odd.png", mask="odd_spots.png", strength=0.75, steps=4, seed=51, scheduler="dpmpp_2m",
        guidance_rescale=0.5, **sea)
inpaint("xl_nine_rescale", "xl_inpaint", CALLS, strength=0.75, steps=4, seed=52, guidance_rescale=0.5, prompt_2="a boat", **house)
inpaint("alpha", "quarter", init="glass.png", mask=None, strength=0.75, steps=4, seed=53, **house)
# The area around the mask alone: of the working size already (64 by 64), enlarged (61 by 61), and of another aspect, where
# diffusers continues its edges (73 by 49; 46 by 51).
for name, padding in (("area", 15), ("area_resized", 12)):
    inpaint(name, "quarter", init="odd.png", mask="odd_corner.png", mask_padding=padding, strength=0.75, steps=4, seed=54, width=64,
            height=64, **house)
inpaint("area_filled", "quarter", init="odd.png", mask="odd_corner.png", mask_padding=4, strength=0.75, steps=4, seed=55, width=96,
        height=64, **house)
inpaint("nine_area", "one_inpaint", init="odd.png", mask="odd_corner.png", mask_padding=0, strength=1.0, steps=2, seed=56, width=64,
        height=72, **house)


def draw_pictures():
    """Small pictures with edges, slopes and grain; masks with grey edges and odd shapes."""
    PICTURES.mkdir(exist_ok=True)

    def scene(width, height, seed):
        y, x = np.mgrid[0:height, 0:width]
        sky = np.stack([90 + 60 * y / height, 140 + 40 * y / height, 230 - 50 * x / width], -1)
        picture = Image.fromarray(sky.astype(np.uint8))
        draw = ImageDraw.Draw(picture)
        draw.rectangle((0, height * 2 // 3, width, height), fill=(60, 130, 50))
        draw.rectangle((width // 4, height // 3, width * 2 // 3, height * 3 // 4), fill=(190, 50, 40))
        draw.polygon([(width // 5, height // 3), (width // 2, height // 8), (width * 3 // 4, height // 3)], fill=(80, 50, 40))
        draw.ellipse((width * 3 // 4, 4, width * 3 // 4 + 10, 14), fill=(255, 240, 120))
        grain = np.random.default_rng(seed).integers(-12, 13, (height, width, 3)) // 4 * 4
        return Image.fromarray(np.clip(np.asarray(picture).astype(int) + grain, 0, 255).astype(np.uint8))

    def mask(width, height, shapes, blur):
        picture = Image.new("L", (width, height))
        draw = ImageDraw.Draw(picture)
        for kind, where in shapes:
            getattr(draw, kind)(where, fill=255)
        return picture.filter(ImageFilter.GaussianBlur(blur)) if blur else picture

    def glass():
        picture = scene(64, 64, 3).convert("RGBA")
        picture.putalpha(mask(64, 64, [("ellipse", (14, 18, 50, 58))], 3).point(lambda v: 255 - v))
        return picture
    pictures = {
        "scene.png": lambda: scene(64, 64, 1), "odd.png": lambda: scene(104, 72, 2), "glass.png": glass,
        "spot.png": lambda: mask(64, 64, [("ellipse", (10, 14, 44, 50))], 3),
        "odd_spots.png": lambda: mask(104, 72, [("polygon", [(9, 11), (58, 3), (77, 69), (31, 55)]), ("rectangle", (90, 50, 93, 71)),
                                                ("point", (96, 8))], 0.8),
        "odd_corner.png": lambda: mask(104, 72, [("ellipse", (58, 30, 97, 69))], 1),
        "white.png": lambda: Image.new("L", (64, 64), 255),
    }
    for name, draw in pictures.items():
        if not (PICTURES / name).exists():
            draw().save(PICTURES / name, optimize=True)


def pipeline_of(model, flow):
    if model == "one_lcm" and flow == "img2img":  # as AutoPipelineForImage2Image has it
        return LatentConsistencyModelImg2ImgPipeline
    xl = model.startswith("xl")
    if flow == "img2img":
        return StableDiffusionXLImg2ImgPipeline if xl else StableDiffusionImg2ImgPipeline
    return StableDiffusionXLInpaintPipeline if xl else StableDiffusionInpaintPipeline


LOADED = {}


def load_fresh(folder, dtype, pipeline):
    """The pipeline, kept from an earlier run, as it was loaded: with its own scheduler, and unwatched."""
    key = folder, dtype, pipeline
    if key not in LOADED:
        pipe = load(folder, dtype, pipeline)
        if dtype == torch.float64:  # or the picture would be encoded in float32
            pipe.vae.register_to_config(force_upcast=False)
        LOADED[key] = pipe, pipe.scheduler
    pipe, scheduler = LOADED[key]
    for owner, name in (pipe, "prepare_latents"), (pipe.unet, "forward"), (pipe.image_processor, "postprocess"):
        owner.__dict__.pop(name, None)
    pipe.scheduler = type(scheduler).from_config(scheduler.config)
    return pipe


def watch_start(pipe, out):
    """Keeps the scaled latents of the picture, the noise, and what goes into the first step."""
    prepare, add = pipe.prepare_latents, pipe.scheduler.add_noise

    def add_noise(original, noise, timesteps):
        out.setdefault("init", last(original))
        out.setdefault("noise", last(noise))
        return add(original, noise, timesteps)

    def prepare_latents(*words, **more):
        result = prepare(*words, **more)
        for key, value in zip(("latents.000", "noise", "init"), result if isinstance(result, tuple) else (result,)):
            out.setdefault(key, last(value))
        return result
    pipe.scheduler.add_noise, pipe.prepare_latents = add_noise, prepare_latents


def watch_end(pipe, out):
    """Keeps the decoded picture as it is before it becomes 8 bits."""
    original = pipe.image_processor.postprocess

    def postprocess(image, output_type="pil", do_denormalize=None):
        out["image"] = last(original(image, "pt", do_denormalize))
        return original(image, output_type, do_denormalize)
    pipe.image_processor.postprocess = postprocess


def pictures_of(options):
    """The picture, over white where it is transparent (this is ours: diffusers knows no opacity), and the mask: the file, or
    what is missing to opacity."""
    init, mask = Image.open(PICTURES / options["init"]), None
    if "mask" in options:
        mask = Image.open(PICTURES / options["mask"]).convert("L")
    elif options["flow"] == "inpaint":
        mask = init.getchannel("A").point(lambda v: 255 - v)
    if init.mode == "RGBA":
        pixels = np.asarray(init).astype(int)
        colour, opacity = pixels[..., :3], pixels[..., 3:]
        init = Image.fromarray(((colour * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8))
    return init, mask


def run(folder, model, options, dtype):
    """One run; {key: array} in the layout of --dump."""
    pipe = load_fresh(folder, dtype, pipeline_of(model, options["flow"]))
    choose_scheduler(pipe, options)
    count, area, out, steps = options.get("count", 1), options.get("mask_padding"), {}, []
    encode(pipe, options, options["guidance"] > 1 and pipe.unet.config.time_cond_proj_dim is None, out)
    init, mask = pictures_of(options)
    more = request(pipe, options, count) | dict(strength=options["strength"], generator=generators(options),
                                                image=init if area is not None else [init] * count)
    if mask:
        more |= dict(mask_image=mask if area is not None else [mask] * count, width=options.get("width", init.width),
                     height=options.get("height", init.height), padding_mask_crop=area)
    watch_start(pipe, out)
    watch_end(pipe, out)
    result = pipe(**more, callback_on_step_end=watch(pipe, out, steps), output_type="pil" if area is not None else "pt").images
    if area is not None:
        out["picture"] = np.asarray(result[0], np.float32)[None] / 255
    else:
        assert np.array_equal(last(result), out["image"])
    out["timesteps"] = np.array(steps, np.float32)
    if hasattr(pipe.scheduler, "sigmas") and "begin_index" in dir(pipe.scheduler) and "LCM" not in type(pipe.scheduler).__name__:
        out["sigmas"] = pipe.scheduler.sigmas[-1 - len(steps):-1].float().numpy()
    return out


def check(options, golden):
    """What must hold for any run."""
    calls, count = len(golden["timesteps"]), options.get("count", 1)
    assert sum(k.startswith("latents.") for k in golden) == calls + 1
    assert sum(k.startswith("output.") for k in golden) == calls
    assert all(np.isfinite(v).all() for v in golden.values())
    assert all(golden[k].shape == golden["noise"].shape and len(golden[k]) == count for k in golden if k.startswith(("latents", "init")))


def main():
    write_model, work = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    only = sys.argv[3] if len(sys.argv) > 3 else ""
    work.mkdir(parents=True, exist_ok=True)
    draw_pictures()
    torch.use_deterministic_algorithms(True)
    draw_in_float32()
    chosen = {name: made for name, made in CASES.items() if only in name}
    models = {model: folder_of(write_model, work, model) for model in {made[0] for made in chosen.values()}}
    rows = []
    for name, (model, keys, options) in chosen.items():
        golden = run(models[model], model, options, torch.float32)
        check(options, golden)
        tolerance = max(2 * spread(run(models[model], model, options, torch.float64), golden), 1e-5)
        kept = {k: np.ascontiguousarray(v) for k, v in golden.items() if k.split(".")[0] in keys}
        save_file(kept, HERE / "cases" / f"{name}.safetensors")
        flags = f"{options['flow']} {words_of(options)}"
        variant = f" --variant {options['variant']}" if "variant" in options else ""
        rows.append((name, model, "f32", f"{tolerance:.3g}", options["prompt"], options.get("negative", "-") or '""', flags + variant))
        print(rows[-1][:4], len(golden["timesteps"]), flush=True)
    write_table(HERE / "flows.tsv", rows, only)


if __name__ == "__main__":
    main()
