"""Measures what the demo model's pictures look like, and writes the thresholds of test_pipelines.c and test_flows.c.

    python make_meaning.py            writes meaning.inc beside it, with what was measured as comments
    python make_meaning.py CALOTYPE   writes flows.inc: with diffusers, on the tested seeds, where it has the flow; else
                                      with that binary, on other seeds than those tested
"""
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from diffusers import (DPMSolverMultistepScheduler, StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline,
                       StableDiffusionPipeline)
from PIL import Image

HERE = Path(__file__).parent
PAIRS = [  # a prompt, its opposite, and the measure that tells them apart
    ("a red house on a green hill, blue sky", "a white house on a green hill, blue sky", "red"),
    ("a blue house in the desert", "a white house in the desert", "blue"),
    ("a yellow balloon over the sea, grey sky", "a purple balloon over the sea, grey sky", "yellow"),
    ("a white boat on the sea, blue sky", "a white house in the desert, blue sky", "low_blue"),
    ("a house on green hills at night", "a house on green hills, blue sky", "dark"),
    ("a house in the snow, blue sky", "a house in the snow at night", "bright"),
]


def look(picture):
    r, g, b = (picture[..., i].astype(int) for i in range(3))
    low = slice(picture.shape[0] // 3 * 2, None)
    return {"red": ((r > 150) & (g < 80) & (b < 80)).mean(), "blue": ((b > 120) & (r < 70) & (g < 110)).mean(),
            "yellow": ((r > 180) & (g > 150) & (b < 90)).mean(), "low_blue": (b > r + 30)[low].mean(),
            "luminance": (0.299 * r + 0.587 * g + 0.114 * b).mean()}


pipe = StableDiffusionPipeline.from_pretrained(HERE / "../../tools/demo/model", torch_dtype=torch.float32)
pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config, use_karras_sigmas=True)
pipe.set_progress_bar_config(disable=True)


def draw(prompt):
    pictures = [pipe(prompt, num_inference_steps=20, guidance_scale=5, generator=torch.Generator("cpu").manual_seed(seed),
                     output_type="np").images[0] for seed in range(2)]
    return [look((p * 255).round().astype(np.uint8)) for p in pictures]


def prompts():
    rows = []
    for prompt, opposite, measure in PAIRS:
        key = "luminance" if measure in ("dark", "bright") else measure
        yes, no = ([m[key] for m in draw(p)] for p in (prompt, opposite))
        middle = (max(yes) + min(no)) / 2 if measure == "dark" else (min(yes) + max(no)) / 2
        assert (max(yes) < min(no)) if measure == "dark" else (min(yes) > max(no)), (prompt, yes, no)
        limits = {"red": 0, "blue": 0, "yellow": 0, "low_blue": 0, "least": 0, "most": 255}
        limits[{"dark": "most", "bright": "least"}.get(measure, measure)] = middle
        rows.append(f"    /* {measure}: {', '.join(f'{v:.4g}' for v in yes)}; \"{opposite}\": {', '.join(f'{v:.4g}' for v in no)} */\n"
                    f"    {{ \"{prompt}\", {', '.join(f'{v:.5g}' for v in limits.values())} }},\n")
    (HERE / "meaning.inc").write_text("".join(rows))


# ---- flows ----

TESTED, OTHERS = (0, 1, 2), (10, 11, 12)
RED, BLUE = "a red house on a green hill, blue sky", "a blue house on a green hill, blue sky"
DAY, NIGHT = "a house on green hills, blue sky", "a house on green hills at night"
SNOW = "a white house in the snow, blue sky"
REGION_SEEDS = (3, 4, 6)  # of 0 … 7 and 10 … 12 those that draw both houses are 0, 1, 2, 3, 4, 6: the seed places subjects
TREE_SEEDS = (3, 5, 6)  # whose pictures have trees that nobody asked for
lines = []


def is_red(p):
    r, g, b = np.moveaxis(p.astype(int), -1, 0)
    return (r > 150) & (g < 80) & (b < 80)


def is_blue(p):
    r, g, b = np.moveaxis(p.astype(int), -1, 0)
    return (b > 120) & (r < 70) & (g < 110)


def is_tree(p):
    r, g, b = np.moveaxis(p.astype(int), -1, 0)
    return (g > r + 25) & (g < 140) & (g > b)


def luminance(p):
    return p @ np.array([0.299, 0.587, 0.114])


def correlation(a, b):
    return np.corrcoef(luminance(a).ravel(), luminance(b).ravel())[0, 1]


def limit(name, what, yes, otherwise, no):
    """Half-way between what was measured where the thing is so, and where it is not."""
    less = max(yes) < min(no)
    assert less or min(yes) > max(no), (name, yes, no)
    middle = (max(yes) + min(no)) / 2 if less else (min(yes) + max(no)) / 2
    lines.append(f"/* {what}: {', '.join(f'{v:.4g}' for v in yes)}; {otherwise}: {', '.join(f'{v:.4g}' for v in no)} */\n"
                 f"static const double {name} = {middle:.5g};\n")
    print(lines[-1], flush=True)


def house_box(p):
    """The mask of test_flows.c: a box around the red, 24 pixels wider."""
    y, x = np.nonzero(is_red(p))
    mask = np.zeros(p.shape[:2], np.uint8)
    mask[max(0, y.min() - 24):y.max() + 25, max(0, x.min() - 24):x.max() + 25] = 255
    return mask


def by_diffusers():
    options = {"guidance_scale": 5, "output_type": "np"}

    def made(flow, prompt, seed, steps=15, **more):
        own = flow(**pipe.components, requires_safety_checker=False) if flow else pipe
        own.set_progress_bar_config(disable=True)
        generator = torch.Generator("cpu").manual_seed(seed)
        return (own(prompt, num_inference_steps=steps, generator=generator, **options, **more).images[0] * 255).round().astype(np.uint8)

    inside, dark, trees = ([], []), ([], []), ([], [])
    for seed in TESTED:
        house = made(None, RED, seed)
        mask = house_box(house)
        for i, prompt in enumerate((BLUE, RED)):
            picture = made(StableDiffusionInpaintPipeline, prompt, seed, image=Image.fromarray(house), strength=1.0,
                           mask_image=Image.fromarray(mask), width=256, height=256)
            inside[i].append(is_blue(picture)[mask > 0].mean())
        day = made(None, DAY, seed)
        for i, prompt in enumerate((NIGHT, DAY)):
            dark[i].append(luminance(made(StableDiffusionImg2ImgPipeline, prompt, seed, 20, image=Image.fromarray(day),
                                          strength=0.9)).mean())
    for seed in TREE_SEEDS:
        for i, negative in enumerate(("pine trees", None)):
            trees[i].append(is_tree(made(None, SNOW, seed, negative_prompt=negative)).mean())
    lines.append("/* Measured with diffusers on the tested seeds. */\n")
    limit("blue_least", "blue of a mask repainted blue", inside[0], "repainted red", inside[1])
    limit("night_most", "luminance of a day turned to night", dark[0], "to day", dark[1])
    limit("trees_most", "trees, which a negative prompt forbids", trees[0], "without it", trees[1])


def by_calotype(binary):
    with tempfile.TemporaryDirectory() as folder:
        def made(flow, seed, *words):
            path = f"{folder}/{abs(hash((flow, seed, words)))}.png"
            subprocess.run([binary, flow, "--model", HERE / "../../tools/demo/model", "--scheduler", "dpmpp_2m_karras", "--steps", "15",
                            "--guidance", "5", "--quiet", "--seed", str(seed), "--output", path, *words], check=True)
            return np.asarray(Image.open(path).convert("RGB")), path

        def shrunk(p):
            return np.asarray(Image.fromarray(p).resize((256, 256), Image.BOX))

        houses = [made("txt2img", seed, "--prompt", RED) for seed in OTHERS]
        two = [made("txt2img", seed, "--width", "384", "--prompt", DAY, "--region", f"0,0,192,256:{RED}", "--region",
                    f"192,0,192,256:{BLUE}")[0] for seed in REGION_SEEDS]
        varied = [made("txt2img", seed, "--prompt", RED, "--variation-seed", str(seed + 100), "--variation-strength", "0.1")[0]
                  for seed in OTHERS]
        large = [made("txt2img", seed, "--prompt", RED, "--hires", "1.5", "--hires-mode", mode, "--hires-strength", "0.5")[0]
                 for seed, mode in zip(OTHERS, ("latent", "pixel", "latent"))]
        wide = [made("inpaint", seed, "--prompt", RED, "--init", path, "--extend", "0,0,128,0")[0]
                for seed, (_, path) in zip(OTHERS, houses)]
        weighed = {(style, weight): np.mean([is_tree(made("txt2img", seed, "--prompt", f"{SNOW}, (pine trees:{weight})",
                                                          "--prompt-style", style)[0]).mean() for seed in OTHERS])
                   for style in ("a1111", "comfy") for weight in ("0.2", "1.6")}
        pairs = [correlation(a[0], b[0]) for i, a in enumerate(houses) for b in houses[:i]]
        lines.append(f"/* Measured with calotype on the seeds {', '.join(map(str, OTHERS))}, for regions {', '.join(map(str, REGION_SEEDS))}, which are not tested. */\n")
        limit("left_red_least", "red of a red house's half", [is_red(p[:, :192]).mean() for p in two], "of the other half",
              [is_red(p[:, 192:]).mean() for p in two])
        limit("right_blue_least", "blue of a blue house's half", [is_blue(p[:, 192:]).mean() for p in two], "of the other half",
              [is_blue(p[:, :192]).mean() for p in two])
        # Means: a seed between two layouts may take the other, however small the variation.
        limit("layout_least", "mean correlation of a variation with the original",
              [np.mean([correlation(a[0], b) for a, b in zip(houses, varied)])], "of two seeds", [np.mean(pairs)])
        limit("hires_least", "correlation of a second pass, shrunk, with the first", [correlation(a[0], shrunk(b)) for a, b in zip(houses, large)],
              "of two seeds", pairs)
        # In the sky, 8 pixels on either side: the VAE darkens a picture's last columns.
        seams = [np.abs(p[:64, 248].astype(int) - p[:64, 264]).mean() for p in wide]
        lines.append(f"/* mean difference of the sky across an extended border: {', '.join(f'{v:.4g}' for v in seams)}; a quarter more than the most: */\n"
                     f"static const double seam_most = {1.25 * max(seams):.5g};\n")
        for style in ("a1111", "comfy"):
            low, high = weighed[style, "0.2"], weighed[style, "1.6"]
            assert high > low
            lines.append(f"/* {style}, trees of weight 1.6: {high:.4g}; of 0.2: {low:.4g}; half the difference: */\n"
                         f"static const double {style}_least = {(high - low) / 2:.5g};\n")
            print(lines[-1], flush=True)


if len(sys.argv) < 2:
    prompts()
else:
    by_diffusers()
    by_calotype(sys.argv[1])
    (HERE / "flows.inc").write_text("".join(lines))
