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
from PIL import Image
from diffusers import (DDIMScheduler, DDPMScheduler, DiffusionPipeline, DPMSolverMultistepScheduler,
                       EulerAncestralDiscreteScheduler, EulerDiscreteScheduler, LCMScheduler, PNDMScheduler,
                       UniPCMultistepScheduler)
from safetensors.numpy import save_file
from safetensors.torch import load_file

HERE = Path(__file__).parent
SCHEDULERS = {
    "ddim": (DDIMScheduler, {}), "ddpm": (DDPMScheduler, {}), "pndm": (PNDMScheduler, {"skip_prk_steps": True}),
    "euler": (EulerDiscreteScheduler, {}), "euler_a": (EulerAncestralDiscreteScheduler, {}),
    "dpmpp_2m": (DPMSolverMultistepScheduler, {"use_karras_sigmas": False}),
    "dpmpp_2m_karras": (DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
    "unipc": (UniPCMultistepScheduler, {"use_karras_sigmas": False}),
    "unipc_karras": (UniPCMultistepScheduler, {"use_karras_sigmas": True}), "lcm": (LCMScheduler, {}),
}
FULL = ["tokens", "tokens_2", "context", "pooled", "noise", "output", "latents", "timesteps", "sigmas", "image"]
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
# Every variant; those that a single file can say are run from one, too ("@single", "@ckpt"), and must give the same bits.
CASES |= {
    "two_own": case("two", prompt="a red house, 2 trees!", steps=3, guidance=7.5, seed=1, variant="sd21-base"),
    "two_skip": case("two", prompt="a red house", steps=1, guidance=7.5, seed=1, clip_skip=1),
    "two_v": case("two_v", prompt="the sea at night", negative="trees", steps=3, guidance=7.5, seed=2, variant="sd21"),
    "two_inpaint": case("two_inpaint", prompt="the sea at night", steps=3, guidance=7.5, seed=3, width=72, height=104),
    "two_turbo": case("two_turbo", prompt="the sea at night", steps=1, guidance=0.0, seed=4, variant="sd-turbo"),
    "one_inpaint": case("one_inpaint", prompt="a boat", steps=3, guidance=7.5, seed=5),
    "one_inpaint_plain": case("one_inpaint", prompt="a boat", steps=2, guidance=1.0, seed=5, count=2, scheduler="euler_a"),
    "one_lcm": case("one_lcm", prompt="a boat", steps=4, guidance=8.5, seed=6),
    "one_lcm_low": case("one_lcm", prompt="a boat", steps=1, guidance=1.0, seed=6),
    "xl_own": case("xl", prompt="a red house! on a green hill", steps=3, guidance=7.5, seed=7),
    "xl_negative": case("xl", prompt="a red house", negative="", steps=2, guidance=5.0, seed=8, width=104, height=72),
    "xl_skip": case("xl", prompt="a red house", negative="blue", steps=1, guidance=5.0, seed=8, clip_skip=1),
    "xl_skip_zero": case("xl", prompt="a red house", steps=1, guidance=5.0, seed=8, clip_skip=1),
    "xl_plain": case("xl", prompt="a red house", steps=2, guidance=1.0, seed=9, scheduler="dpmpp_2m_karras"),
    "xl_count": case("xl", prompt="a red house", steps=2, guidance=4.0, seed=10, count=2, scheduler="euler_a"),
    "xl_inpaint": case("xl_inpaint", prompt="a red house", steps=2, guidance=7.5, seed=11),
    "xl_turbo": case("xl_turbo", prompt="a red house", steps=1, guidance=0.0, seed=12, variant="sdxl-turbo"),
    "xl_turbo_4": case("xl_turbo", prompt="a red house", steps=4, guidance=0.0, seed=13, variant="sdxl-turbo"),
    "xl_v": case("xl_v", prompt="a red house", steps=4, guidance=5.0, seed=14),
    "xl_edm": case("xl_edm", prompt="a red house", steps=4, guidance=3.0, seed=15),
    "xl_edm_20": case("xl_edm", prompt="a red house", steps=20, guidance=3.0, seed=16),
    "xl_ssd": case("xl_ssd", prompt="a red house", steps=3, guidance=7.5, seed=17),
    "xl_f8": case("xl", prompt="a red house", steps=2, guidance=5.0, seed=20, weights="f8"),
    "xl_f8s": case("xl", prompt="a red house", steps=2, guidance=5.0, seed=20, weights="f8s"),
    "xl_refined": case("xl", prompt="a red house", negative="blue", steps=5, guidance=7.5, seed=18, refiner="xl_refiner",
                       refiner_start=0.8),
    "xl_refined_half": case("xl", prompt="a red house", steps=6, guidance=5.0, seed=19, refiner="xl_refiner",
                            refiner_start=0.5, scheduler="dpmpp_2m"),
}
# What guidance and XL's second encoder can be told besides.
CASES |= {
    "quarter_rescale": case("quarter", prompt="a red house", steps=3, guidance=9.0, seed=30, guidance_rescale=0.7),
    "two_v_rescale": case("two_v", prompt="a red house", steps=2, guidance=7.5, seed=31, guidance_rescale=1.0, count=2,
                          scheduler="euler_a"),
    "xl_rescale": case("xl", prompt="a red house", steps=3, guidance=7.5, seed=32, guidance_rescale=0.3, scheduler="unipc"),
    "xl_second": case("xl", prompt="a red house", prompt_2="a blue boat at night", steps=2, guidance=5.0, seed=33),
    "xl_second_negative": case("xl", prompt="a red house", negative="trees", prompt_2="a boat", negative_2="a moon, clouds",
                               steps=2, guidance=5.0, seed=34),
    "xl_second_zeroed": case("xl", prompt="a red house", negative_2="a moon, clouds", steps=1, guidance=5.0, seed=35),
}
SINGLES = {"single_own", "two_own", "two_v", "two_inpaint", "two_turbo", "one_inpaint", "one_lcm", "xl_own", "xl_inpaint", "xl_turbo",
           "xl_v", "xl_edm", "xl_ssd", "xl_refined"}
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


def check_single(write_model, work, model):
    """The single file holds the folder's numbers under the names that diffusers expects."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from diffusers.loaders.single_file_utils import (convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint,
                                                     convert_open_clip_checkpoint)
    from transformers import CLIPTextConfig, CLIPTextModel
    path, folder = work / f"{model}@single.safetensors", folder_of(write_model, work, model)
    subprocess.run([write_model, HERE / "models" / model, work, path, "single"], check=True)
    stored = load_file(path)
    ckpt = path.with_suffix(".ckpt")
    subprocess.run([write_model, HERE / "models" / model, work, ckpt, "ckpt"], check=True)
    loaded = torch.load(ckpt, weights_only=True)["state_dict"]
    assert set(loaded) == set(stored) and all(torch.equal(v, stored[k]) for k, v in loaded.items()), model
    unet = UNet2DConditionModel.from_config(HERE / "models" / model / "unet/config.json")
    vae = AutoencoderKL.from_config(HERE / "models" / model / "vae/config.json")
    config = dict(unet.config)
    if isinstance(config["layers_per_block"], list):
        config["layers_per_block"] = config["layers_per_block"][0]
    converted = {"unet": convert_ldm_unet_checkpoint(dict(stored), config),
                 "vae": convert_ldm_vae_checkpoint(dict(stored), dict(vae.config))}
    for part, prefix in ("text_encoder", "cond_stage_model.model."), ("text_encoder_2", "conditioner.embedders.1.model."):
        if prefix + "token_embedding.weight" in stored:
            text = CLIPTextModel(CLIPTextConfig.from_pretrained(folder / part))
            converted[part] = convert_open_clip_checkpoint(text, dict(stored), prefix)
    for part, tensors in converted.items():
        own = load_file(next((folder / part).glob("*.safetensors")))
        missing = set(own) - set(tensors)
        assert not {m for m in missing if "cond_proj" not in m}, (model, part, missing)
        for key, value in own.items():
            assert key in missing or torch.equal(value, tensors[key].reshape(value.shape)), (model, part, key)
    for prefix in "cond_stage_model.transformer.", "conditioner.embedders.0.transformer.":
        if prefix + "text_model.final_layer_norm.weight" in stored:
            for key, value in load_file(folder / "text_encoder/model.safetensors").items():
                assert torch.equal(value, stored[prefix + key]), (model, key)


def load(folder, dtype, pipeline=DiffusionPipeline):
    pipe = pipeline.from_pretrained(folder, torch_dtype=dtype)
    pipe.set_progress_bar_config(disable=True)
    if pipe.text_encoder and not hasattr(pipe.text_encoder, "text_model"):  # clip_skip asks for transformers 4's nesting
        object.__setattr__(pipe.text_encoder, "text_model", pipe.text_encoder)
    return pipe


def last(tensor):
    """[B, C, h, w] -> [B, h, w, C], float32."""
    return tensor.detach().permute(0, 2, 3, 1).float().contiguous().numpy()


def watch(pipe, out, steps):
    """Keeps every denoiser call and step, numbered on from those before."""
    original = pipe.unet.forward
    done = max(sum(k.startswith("latents.") for k in out) - 1, 0)

    def forward(sample, t, *rest, **more):
        result = original(sample, t, *rest, **more)
        out[f"output.{len(steps):03d}"] = last(result[0])
        steps.append(float(t))
        return result
    pipe.unet.forward = forward

    def on_step(pipe, i, t, values):
        out[f"latents.{done + i + 1:03d}"] = last(values["latents"])
        return values
    return on_step


def encode(pipe, options, guided, out):
    """Tokens, context and pooled text, as the pipeline's own encode_prompt makes them."""
    prompt, negative, xl = options["prompt"], options.get("negative"), hasattr(pipe, "tokenizer_2")
    seconds = options.get("prompt_2"), options.get("negative_2")
    lists = [[text] if text is not None else None for text in (prompt, negative, *seconds)]
    more = {"negative_prompt": lists[1], "clip_skip": options.get("clip_skip")}
    ids = lambda tokenizer, text: np.array(tokenizer(text, padding="max_length", max_length=77, truncation=True).input_ids, np.int32)
    if xl:
        more |= {"prompt_2": lists[2], "negative_prompt_2": lists[3]}
        cond, uncond, pooled, no_pooled = pipe.encode_prompt(lists[0], device="cpu", do_classifier_free_guidance=guided, **more)
        out["pooled.cond"] = pooled[0].detach().float().numpy()
        if guided:
            out["pooled.uncond"] = no_pooled[0].detach().float().numpy()
    else:
        cond, uncond = pipe.encode_prompt(lists[0], "cpu", 1, guided, **more)
    out["context.cond"] = cond[0].detach().float().numpy()
    zeros = xl and negative is None and pipe.config.force_zeros_for_empty_prompt
    if guided:
        out["context.uncond"] = uncond[0].detach().float().numpy()
    for key, tokenizer, texts in (("tokens", pipe.tokenizer, (prompt, negative)),
                                  ("tokens_2", getattr(pipe, "tokenizer_2", None), (seconds[0] or prompt, seconds[1] or negative))):
        if tokenizer:
            out[key + ".cond"] = ids(tokenizer, texts[0])
            if guided and not zeros:
                out[key + ".uncond"] = ids(tokenizer, texts[1] or "")


def round_weights(pipe, kind):
    """Matrices as float8_e4m3fn files hold them: f8s has a factor for each tensor that is called NAME.weight there."""
    for part in pipe.unet, pipe.vae, pipe.text_encoder, pipe.text_encoder_2:
        for name, p in part.named_parameters():
            other = part is pipe.text_encoder_2 and any(n in name for n in ("position_embedding", "text_projection", "q_proj", "k_proj", "v_proj"))
            if p.dim() > 1:
                factor = p.data.float().abs().max() / 448 if kind == "f8s" and not other else torch.tensor(1.0)
                p.data = ((p.data.float() / factor).to(torch.float8_e4m3fn).float() * factor).to(p.dtype)


def choose_scheduler(pipe, options):
    if options.get("scheduler"):
        cls, more = SCHEDULERS[options["scheduler"]]
        pipe.scheduler = cls.from_config(pipe.scheduler.config, **more)
    if options.get("spacing"):
        pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config, timestep_spacing=options["spacing"])


def request(pipe, options, count):
    """What every pipeline is called with."""
    texts = {"prompt": "prompt", "negative_prompt": "negative", "prompt_2": "prompt_2", "negative_prompt_2": "negative_2"}
    if "LatentConsistency" in type(pipe).__name__:
        del texts["negative_prompt"]
    words = {word: [options[key]] * count for word, key in texts.items() if options.get(key) is not None}
    words |= {key: options[key] for key in ("clip_skip", "guidance_rescale", "eta") if options.get(key)}
    return words | dict(num_inference_steps=options["steps"], guidance_scale=options["guidance"])


def generators(options):
    return [torch.Generator("cpu").manual_seed((options["seed"] + i) % 2**64) for i in range(options.get("count", 1))]


def run(folder, options, dtype, refiner=None):
    """One run; {key: array} in the layout of --dump."""
    pipe = load(folder, dtype)
    choose_scheduler(pipe, options)
    if options.get("weights"):
        round_weights(pipe, options["weights"])
    height, width = options.get("height", 64), options.get("width", 64)
    count = options.get("count", 1)
    shape = (1, 4, height // pipe.vae_scale_factor, width // pipe.vae_scale_factor)
    noise = torch.cat([torch.randn(shape, generator=g) for g in generators(options)])
    out, steps = {}, []
    guided = options["guidance"] > 1 and pipe.unet.config.time_cond_proj_dim is None
    encode(pipe, options, guided, out)
    out["noise"] = last(noise)
    pipe.scheduler.set_timesteps(options["steps"])
    out["latents.000"] = last(noise.to(dtype) * pipe.scheduler.init_noise_sigma)
    shared = request(pipe, options, count)
    more = dict(height=height, width=width, generator=generators(options), callback_on_step_end=watch(pipe, out, steps))
    if pipe.unet.config.in_channels == 9:  # text to image: all of an empty picture is repainted
        more |= dict(image=[Image.new("RGB", (width, height))] * count, mask_image=[Image.new("L", (width, height), 255)] * count,
                     strength=1.0)
    if refiner:
        base = pipe(**shared, **more, denoising_end=options["refiner_start"], output_type="latent").images
        pipe = load(refiner, dtype)
        choose_scheduler(pipe, options)
        result = pipe(**shared, image=base, denoising_start=options["refiner_start"], generator=generators(options), output_type="pt",
                      callback_on_step_end=watch(pipe, out, steps))
    else:
        result = pipe(**shared, **more, output_type="pt")
    out["image"] = last(result.images)
    out["timesteps"] = np.array(steps, np.float32)
    plain = (DDIMScheduler, DDPMScheduler, LCMScheduler, PNDMScheduler)
    if hasattr(pipe.scheduler, "sigmas") and not isinstance(pipe.scheduler, plain) and not refiner:
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
    keys = [k for k in exact if k not in ("timesteps", "sigmas", "picture") and not k.startswith("tokens")]
    return max(distance(other[k], exact[k]) for k in keys)


def words_of(options):
    """The options as the command has them; a value with spaces stands in double quotes."""
    own = ("prompt", "negative", "variant", "weights", "flow")
    quoted = lambda value: f'"{value}"' if " " in str(value) else value
    return " ".join(f"--{k.replace('_', '-')} {quoted(v)}" for k, v in options.items() if k not in own)


def write_table(path, rows, only):
    """All rows; with `only`, those of the cases that were made take the place of their like in the table."""
    header = f"# diffusers {diffusers.__version__}, torch {torch.__version__}: name, model, dtype, tolerance, prompt, negative, options\n"
    lines = ["\t".join(row) + "\n" for row in rows]
    if only and path.exists():
        old = path.read_text().splitlines(keepends=True)[1:]
        made = {line.split("\t")[0]: line for line in lines}
        lines = [made.pop(line.split("\t")[0], line) for line in old]
        lines += made.values()
    path.write_text(header + "".join(lines))


def main():
    write_model, work = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    only = sys.argv[3] if len(sys.argv) > 3 else ""
    work.mkdir(parents=True, exist_ok=True)
    (HERE / "cases").mkdir(exist_ok=True)
    torch.use_deterministic_algorithms(True)
    draw_in_float32()
    chosen = {name: c for name, c in CASES.items() if only in name}
    names = {c[0] for c in chosen.values()} | {c[2]["refiner"] for c in chosen.values() if "refiner" in c[2]}
    models = {name: folder_of(write_model, work, name) for name in names}
    for model in {CASES[name][0] for name in SINGLES & set(chosen)}:
        check_single(write_model, work, model)
    rows = []
    for name, (model, keys, options) in chosen.items():
        refiner = models[options["refiner"]] if "refiner" in options else None
        golden = run(models[model], options, torch.float32, refiner)
        tolerance = max(2 * spread(run(models[model], options, torch.float64, refiner), golden), 1e-5)
        kept = {k: np.ascontiguousarray(v) for k, v in golden.items() if k.split(".")[0] in keys}
        save_file(kept, HERE / "cases" / f"{name}.safetensors")
        flags = words_of(options)
        row = (f"{tolerance:.3g}", options["prompt"], options.get("negative", "-") or '""', flags)
        rows.append((name, f"{model}@{options['weights']}" if "weights" in options else model, "f32", *row))
        if name in ("single_own", "xl_own"):
            rows.append((f"{name}@bin", f"{model}@bin", "f32", *row))
        if name in SINGLES:
            variant = f" --variant {options['variant']}" if "variant" in options else ""
            for form in ("single", "ckpt"):
                own = flags.replace("--refiner xl_refiner", f"--refiner xl_refiner@{form}")
                rows.append((f"{name}@{form}", f"{model}@{form}", "f32", *row[:3], own + variant))
        if name in ("quarter_own", "three_own", "plain_own", "xl_own"):
            for dtype, label in ((torch.float16, "f16"), (torch.bfloat16, "bf16")):
                low = run(models[model], options, dtype)
                stages = {k: distance(low[k], golden[k]) for k in ("context.cond", "output.000", f"latents.{options['steps']:03d}", "image")}
                save_file({k: golden[k] for k in stages} | {f"limit.{k}": np.array([2 * v], np.float32) for k, v in stages.items()},
                          HERE / "cases" / f"{name}_{label}.safetensors")
                rows.append((f"{name}_{label}", model, label, "0", options["prompt"], "-", flags))
        print(rows[-1][:4], flush=True)
    write_table(HERE / "cases.tsv", rows, only)


if __name__ == "__main__":
    main()
