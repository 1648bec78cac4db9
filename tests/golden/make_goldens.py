"""Makes the golden data with diffusers, float32 on CPU: what each stage of a run produced, in the layout of --dump.

    python make_goldens.py WRITE_MODEL WORK       needs torch, diffusers 0.42, transformers 5, safetensors

WRITE_MODEL is the built tests/golden/write_model; WORK is a scratch folder for models. For each case of CASES it writes
cases/NAME.safetensors and a row of cases.tsv: name, model, options, tolerance. The tolerance is diffusers' own spread:
twice the relative L2 distance between its float32 and float64 runs, and not below 1e-5.
A row with dtype f16 or bf16 holds float32 goldens, and as tolerance twice the error of torch's own run in that type.
"""
import subprocess
import sys
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers import (DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler,
                       EulerDiscreteScheduler, PNDMScheduler, StableDiffusionPipeline, UniPCMultistepScheduler)
from safetensors.numpy import save_file
from safetensors.torch import load_file

HERE = Path(__file__).parent
SCHEDULERS = {
    "ddim": (DDIMScheduler, {}), "ddpm": (DDPMScheduler, {}), "pndm": (PNDMScheduler, {"skip_prk_steps": True}),
    "euler": (EulerDiscreteScheduler, {}), "euler_a": (EulerAncestralDiscreteScheduler, {}),
    "dpmpp_2m": (DPMSolverMultistepScheduler, {"use_karras_sigmas": False}),
    "dpmpp_2m_karras": (DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
    "unipc": (UniPCMultistepScheduler, {"use_karras_sigmas": False}),
    "unipc_karras": (UniPCMultistepScheduler, {"use_karras_sigmas": True}),
}
FULL = ["tokens", "context", "noise", "output", "latents", "timesteps", "sigmas", "image"]
SHORT = ["latents", "timesteps", "sigmas"]


def case(model, keys=FULL, **options):
    return model, keys, options


CASES = {
    "quarter_own": case("quarter", prompt="a red house on a green hill", steps=4, guidance=7.5, seed=7),
    "quarter_odd": case("quarter", prompt="the sea at night, a white moon", negative="trees, clouds", steps=2,
                        guidance=5.0, seed=2**32 + 5, width=104, height=72),
    "quarter_plain_guidance": case("quarter", prompt="", steps=2, guidance=1.0, seed=2**64 - 1, scheduler="ddim"),
    "quarter_clip_skip": case("quarter", prompt="snowy hills \U0001f3e0 d\u00e9j\u00e0 vu", steps=1, guidance=7.5, seed=3, clip_skip=1),
    "quarter_eta": case("quarter", prompt="a boat", steps=5, guidance=3.0, seed=11, scheduler="ddim", eta=0.7),
    "quarter_count": case("quarter", prompt="a boat", steps=2, guidance=7.5, seed=20, count=2, scheduler="euler_a"),
    "three_own": case("three", prompt="a blue balloon over the desert", steps=4, guidance=7.5, seed=0),
    "three_odd": case("three", prompt="a blue balloon", negative="", steps=3, guidance=4.0, seed=9, width=104, height=72,
                      scheduler="unipc"),
    "plain_own": case("plain", prompt="a yellow house at night", steps=4, guidance=6.0, seed=5),
    "plain_odd": case("plain", prompt="a yellow house", steps=2, guidance=6.0, seed=5, width=72, height=136,
                      scheduler="dpmpp_2m_karras"),
    "single_own": case("single", prompt="A photo of an astronaut's horse, 35mm", steps=3, guidance=7.5, seed=1),
}
for name in SCHEDULERS:
    for steps in (1, 2, 7, 20):
        for guidance in (1.0, 7.5):
            CASES[f"sweep_{name}_{steps}_{'cfg' if guidance > 1 else 'one'}"] = case(
                "plain", SHORT, prompt="a red house", steps=steps, guidance=guidance, seed=steps, scheduler=name)
for name, spacing in (("ddim", "trailing"), ("ddim", "linspace"), ("euler", "trailing"), ("euler", "leading"),
                      ("dpmpp_2m", "trailing"), ("dpmpp_2m", "leading"), ("unipc", "trailing"), ("pndm", "trailing"),
                      ("ddpm", "linspace"), ("euler_a", "trailing")):
    CASES[f"spacing_{name}_{spacing}"] = case("quarter", SHORT, prompt="a red house", steps=5, guidance=2.0, seed=4,
                                              scheduler=name, spacing=spacing)


def folder_of(write_model, work, model):
    out = work / model
    subprocess.run([write_model, HERE / "models" / model, HERE / "../../tools/demo/model/tokenizer", out], check=True)
    return out


def check_single(write_model, work):
    """The LDM file holds the folder's numbers under the names that diffusers expects."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
    from diffusers import AutoencoderKL, UNet2DConditionModel
    path = work / "single.safetensors"
    subprocess.run([write_model, HERE / "models/single", work, path, "single"], check=True)
    stored = load_file(path)
    unet = UNet2DConditionModel.from_config(HERE / "models/single/unet/config.json")
    vae = AutoencoderKL.from_config(HERE / "models/single/vae/config.json")
    for part, converted in (("unet", convert_ldm_unet_checkpoint(dict(stored), dict(unet.config, layers_per_block=1))),
                            ("vae", convert_ldm_vae_checkpoint(dict(stored), dict(vae.config)))):
        folder = load_file(work / "single" / part / "diffusion_pytorch_model.safetensors")
        assert set(folder) == set(converted), (part, set(folder) ^ set(converted))
        for key, value in folder.items():
            assert torch.equal(value, converted[key].reshape(value.shape)), (part, key)
    text = load_file(work / "single/text_encoder/model.safetensors")
    for key, value in text.items():
        assert torch.equal(value, stored["cond_stage_model.transformer." + key]), key


def load(folder, dtype):
    pipe = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=dtype)
    pipe.set_progress_bar_config(disable=True)
    if not hasattr(pipe.text_encoder, "text_model"):  # diffusers' clip_skip still asks for transformers 4's nesting
        object.__setattr__(pipe.text_encoder, "text_model", pipe.text_encoder)
    return pipe


def last(tensor):
    """[B, C, h, w] -> [B, h, w, C], float32."""
    return tensor.detach().permute(0, 2, 3, 1).float().contiguous().numpy()


def run(folder, options, dtype):
    """One run; {key: array} in the layout of --dump."""
    pipe = load(folder, dtype)
    if options.get("scheduler"):
        cls, more = SCHEDULERS[options["scheduler"]]
        pipe.scheduler = cls.from_config(pipe.scheduler.config, **more)
    if options.get("spacing"):
        pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config, timestep_spacing=options["spacing"])
    height, width = options.get("height", 64), options.get("width", 64)
    count = options.get("count", 1)
    shape = (1, 4, height // pipe.vae_scale_factor, width // pipe.vae_scale_factor)
    generators = [torch.Generator("cpu").manual_seed((options["seed"] + i) % 2**64) for i in range(count)]
    noise = torch.cat([torch.randn(shape, generator=g) for g in generators])
    out, steps = {}, []
    guided = options["guidance"] > 1

    original = pipe.unet.forward

    def forward(sample, t, **more):
        result = original(sample, t, **more)
        out[f"output.{len(steps):03d}"] = last(result[0])
        steps.append(float(t))
        return result
    pipe.unet.forward = forward

    def on_step(pipe, i, t, values):
        out[f"latents.{i + 1:03d}"] = last(values["latents"])
        return values

    prompt, negative = options["prompt"], options.get("negative")
    cond, uncond = pipe.encode_prompt([prompt], "cpu", 1, guided, negative_prompt=None if negative is None else [negative],
                                      clip_skip=options.get("clip_skip"))
    ids = lambda text: np.array(pipe.tokenizer(text, padding="max_length", max_length=77, truncation=True).input_ids, np.int32)
    out["tokens.cond"], out["context.cond"] = ids(prompt), cond[0].detach().float().numpy()
    if guided:
        out["tokens.uncond"], out["context.uncond"] = ids(negative or ""), uncond[0].detach().float().numpy()
    out["noise"] = last(noise)
    pipe.scheduler.set_timesteps(options["steps"])
    out["latents.000"] = last(noise.to(dtype) * pipe.scheduler.init_noise_sigma)
    result = pipe([prompt] * count, negative_prompt=None if negative is None else [negative] * count,
                  num_inference_steps=options["steps"], guidance_scale=options["guidance"], eta=options.get("eta", 0.0),
                  height=height, width=width, generator=generators, latents=noise.to(dtype),
                  clip_skip=options.get("clip_skip"), output_type="pt", callback_on_step_end=on_step)
    out["image"] = last(result.images)
    out["timesteps"] = np.array(steps, np.float32)
    if hasattr(pipe.scheduler, "sigmas") and not isinstance(pipe.scheduler, (DDIMScheduler, DDPMScheduler, PNDMScheduler)):
        out["sigmas"] = pipe.scheduler.sigmas[:-1].float().numpy()
    return out


def draw_in_float32():
    """Schedulers draw noise in the run's type, and torch's generator gives other numbers for each: runs that are to be
    compared draw float32 and round."""
    from diffusers.utils import torch_utils
    original = torch_utils.randn_tensor

    def randn_tensor(shape, generator=None, device=None, dtype=None, layout=None):
        return original(shape, generator=generator, device=device, dtype=torch.float32, layout=layout).to(dtype)
    for module in list(sys.modules.values()):
        if getattr(module, "randn_tensor", None) is original:
            module.randn_tensor = randn_tensor


def distance(a, b):
    return float(np.linalg.norm(a.astype(np.float64) - b) / max(np.linalg.norm(b.astype(np.float64)), 1e-30))


def spread(exact, other):
    keys = [k for k in exact if k not in ("timesteps", "sigmas") and not k.startswith("tokens")]
    return max(distance(other[k], exact[k]) for k in keys)


def main():
    write_model, work = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    only = sys.argv[3] if len(sys.argv) > 3 else ""
    work.mkdir(parents=True, exist_ok=True)
    (HERE / "cases").mkdir(exist_ok=True)
    torch.use_deterministic_algorithms(True)
    draw_in_float32()
    models = {name: folder_of(write_model, work, name) for name in {c[0] for c in CASES.values()}}
    check_single(write_model, work)
    rows = []
    for name, (model, keys, options) in CASES.items():
        if only not in name:
            continue
        golden = run(models[model], options, torch.float32)
        tolerance = max(2 * spread(run(models[model], options, torch.float64), golden), 1e-5)
        kept = {k: np.ascontiguousarray(v) for k, v in golden.items() if k.split(".")[0] in keys}
        save_file(kept, HERE / "cases" / f"{name}.safetensors")
        flags = " ".join(f"--{k.replace('_', '-')} {v}" for k, v in options.items() if k not in ("prompt", "negative"))
        rows.append((name, model, "f32", f"{tolerance:.3g}", options["prompt"], options.get("negative", "-") or '""', flags))
        if name in ("quarter_own", "three_own", "plain_own"):
            for dtype, label in ((torch.float16, "f16"), (torch.bfloat16, "bf16")):
                low = run(models[model], options, dtype)
                stages = {k: distance(low[k], golden[k]) for k in ("context.cond", "output.000", f"latents.{options['steps']:03d}", "image")}
                save_file({k: golden[k] for k in stages} | {f"limit.{k}": np.array([2 * v], np.float32) for k, v in stages.items()},
                          HERE / "cases" / f"{name}_{label}.safetensors")
                rows.append((f"{name}_{label}", model, label, "0", options["prompt"], "-", flags))
        print(rows[-1][:4], flush=True)
    if not only:
        header = f"# diffusers {diffusers.__version__}, torch {torch.__version__}: name, model, dtype, tolerance, prompt, negative, options\n"
        (HERE / "cases.tsv").write_text(header + "".join("\t".join(r) + "\n" for r in rows))


main()
