"""Measures with diffusers what the demo model's pictures look like, and writes the thresholds of test_pipelines.c.

    python make_meaning.py        writes meaning.inc beside it, with what was measured as comments
"""
from pathlib import Path

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

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
