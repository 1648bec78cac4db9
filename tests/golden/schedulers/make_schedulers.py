#!/usr/bin/env python3
"""Writes what diffusers' schedulers do, in double, for tests/unit/test_schedulers.c.

    python make_schedulers.py [PART]   (diffusers 0.42.1, torch, numpy; takes about two minutes)

With PART only the files whose names hold it are written.

The classes are those of the installed package with float32 replaced by float64 in their sources, except where float32
decides what the denoiser is told (Euler's timesteps). Every schedule is also run with the classes as they are; how far
the two part is printed, and a gap above the limit fails, so that the replacement cannot change a rule unseen.

The denoiser is out_i = sin(0.9 u_i + 0.011 t + 0.7 i) with u the scaled input; the latents are two numbers; draw number k
is z_i = 1.2 cos(1.3 k + 2.1 i + 0.5). One text file per name, and per class for a model's own scheduler:

    case NAME CLASS STEPS ETA SPACING PREDICTION JSON      NAME "-": the model's own scheduler, as the SD pipeline has it
    = INITIAL_SCALE CALLS DRAWS                            or "= error" (diffusers refuses) or "= nonfinite" (it makes NaN)
    TIMESTEP SIGMA X0 X1                                   for each call, X after it; SIGMA "-" where there is none

spacing.txt has, for every number of steps up to 250, what there is of each spacing's timesteps t_0 … t_(n−1), where numpy's
roundings decide between neighbours:

    NAME SPACING STEPS n Σ (i + 1) t_i
"""

import ast
import itertools
import json
import math
import os
import random
import sys
import types
import warnings

import numpy as np
import torch

import diffusers
import diffusers.schedulers as real
from diffusers import StableDiffusionPipeline
from diffusers.utils import logging

warnings.filterwarnings("ignore")
logging.set_verbosity_error()
HERE = os.path.dirname(os.path.abspath(__file__))

FILES = {
    "DDIMScheduler": "scheduling_ddim",
    "DDPMScheduler": "scheduling_ddpm",
    "PNDMScheduler": "scheduling_pndm",
    "EulerDiscreteScheduler": "scheduling_euler_discrete",
    "EulerAncestralDiscreteScheduler": "scheduling_euler_ancestral_discrete",
    "DPMSolverMultistepScheduler": "scheduling_dpmsolver_multistep",
    "UniPCMultistepScheduler": "scheduling_unipc_multistep",
    "LCMScheduler": "scheduling_lcm",
    "EDMEulerScheduler": "scheduling_edm_euler",
    "EDMDPMSolverMultistepScheduler": "scheduling_edm_dpmsolver_multistep",
}
# What a name fixes over the file.
PLUS = {"algorithm_type": "dpmsolver++", "solver_order": 2}
NAMES = {
    "ddim": ("DDIMScheduler", {}),
    "ddpm": ("DDPMScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {**PLUS, "use_karras_sigmas": False}),
    "dpmpp_2m_karras": ("DPMSolverMultistepScheduler", {**PLUS, "use_karras_sigmas": True}),
    "unipc": ("UniPCMultistepScheduler", {"use_karras_sigmas": False}),
    "unipc_karras": ("UniPCMultistepScheduler", {"use_karras_sigmas": True}),
    "lcm": ("LCMScheduler", {}),
}
PREDICTIONS = {"epsilon": "epsilon", "v": "v_prediction", "sample": "sample"}


class Double(ast.NodeTransformer):
    """float32 to float64, but where timesteps are made."""

    def visit_Assign(self, node):
        names = [ast.unparse(t) for t in node.targets]
        return node if any(n in ("timesteps", "self.timesteps", "self._timesteps") for n in names) else self.generic_visit(node)

    def visit_Attribute(self, node):
        self.generic_visit(node)
        if node.attr == "float32" and isinstance(node.value, ast.Name) and node.value.id in ("np", "torch"):
            node.attr = "float64"
        return node


def load(double):
    """The classes, and a counter of draws that both kinds share."""
    classes = {}
    for name, file in FILES.items():
        path = os.path.join(os.path.dirname(real.__file__), file + ".py")
        tree = ast.parse(open(path).read())
        if double:
            tree = ast.fix_missing_locations(Double().visit(tree))
        module = types.ModuleType("diffusers.schedulers." + file)
        module.__file__, module.__package__ = path, "diffusers.schedulers"
        sys.modules["golden_" + file] = module
        module.__name__ = "golden_" + file
        exec(compile(tree, path, "exec"), module.__dict__)
        module.randn_tensor = draw
        classes[name] = getattr(module, name)
    return classes


DRAWS = 0
TOLD = None


def draw(shape, generator=None, device=None, dtype=None, layout=None):
    global DRAWS
    assert list(shape) == [1, 2]
    z = [1.2 * math.cos(1.3 * DRAWS + 2.1 * i + 0.5) for i in range(2)]
    DRAWS += 1
    return torch.tensor([z], dtype=dtype)


def denoiser(u, t):
    return torch.stack([torch.sin(0.9 * u[:, i] + 0.011 * t + 0.7 * i) for i in range(2)], dim=1)


def run(classes, dtype, name, cls, steps, eta, spacing, prediction, config):
    global DRAWS
    torch.set_default_dtype(dtype)
    DRAWS = 0
    if name == "-":
        scheduler = classes[cls].from_config(config)
        # The two rules of StableDiffusionPipeline.__init__, by the pipeline itself.
        pipeline = StableDiffusionPipeline(None, None, None, None, scheduler, None, None, None, False)
        scheduler = pipeline.scheduler
    else:
        assert NAMES[name][0] == cls
        scheduler = classes[cls].from_config(config, **NAMES[name][1])
    change = {}
    if spacing != "-":
        change["timestep_spacing"] = spacing
    if prediction != "-":
        change["prediction_type"] = PREDICTIONS[prediction]
    if change:
        scheduler.register_to_config(**change)
    scheduler.set_timesteps(steps)
    # Where rounding makes the first two timesteps equal, a class that is not told where to begin begins at the second
    # and later runs past its end. diffusers' newer pipelines tell it.
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    elif len(set(scheduler.timesteps.tolist())) < len(scheduler.timesteps) - 1 - (cls == "PNDMScheduler") * 5:
        print("repeated timesteps:", name, steps, config)
    x = torch.tensor([[0.73, -1.21]], dtype=dtype) * scheduler.init_noise_sigma
    rows = []
    begin = float(scheduler.init_noise_sigma)
    if scheduler.timesteps.is_floating_point():
        scheduler.timesteps = scheduler.timesteps.to(torch.float32)
    if TOLD is not None:
        scheduler.timesteps = torch.tensor(TOLD, dtype=torch.int64)
    for i, t in enumerate(scheduler.timesteps):
        u = scheduler.scale_model_input(x, t)
        extra = {"eta": eta} if cls == "DDIMScheduler" else {}
        x = scheduler.step(denoiser(u, t.to(dtype)), t, x, return_dict=False, **extra)[0]
        sigma = float(scheduler.sigmas[i]) if hasattr(scheduler, "sigmas") else None
        rows.append((float(t), sigma, [float(v) for v in x[0]]))
    return begin, DRAWS, rows


def attempt(classes, dtype, case):
    try:
        begin, draws, rows = run(classes, dtype, *case)
    except (ValueError, NotImplementedError, IndexError):
        return "error"
    if not all(math.isfinite(v) for _, _, x in rows for v in x):
        return "nonfinite"
    return begin, draws, rows


def gap(a, b):
    """Of the latents, relative to the largest so far: a schedule under zero SNR starts at 4096."""
    worst, size = 0.0, 1.0
    for (_, _, x), (_, _, y) in zip(a[2], b[2]):
        size = max(size, *(abs(v) for v in x))
        worst = max(worst, *(abs(v - w) / size for v, w in zip(x, y)))
    return worst


SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
rng = random.Random(7)


def product(axes, fixed):
    keys = list(axes)
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(keys, values))
        config = {**SD, **fixed}
        config.update({k: v for k, v in chosen.items() if k not in ("eta", "prediction", "spacing") and v is not None})
        yield config, chosen.get("eta", 0.0), chosen["spacing"], chosen["prediction"]


def cases_of(name, axes, fixed, some):
    """All combinations at N = 2 and 7; `some` of them at 1, 20 and 50."""
    cls = NAMES[name][0]
    everything = list(product(axes, fixed))
    for config, eta, spacing, prediction in everything:
        for steps in (2, 7):
            yield name, cls, steps, eta, spacing, prediction, config
    for config, eta, spacing, prediction in rng.sample(everything, min(some, len(everything))):
        for steps in (1, 20, 50):
            yield name, cls, steps, eta, spacing, prediction, config


SPACINGS = ("leading", "linspace", "trailing")
BASE = {"spacing": SPACINGS, "prediction": ("epsilon", "v", "sample")}
ZERO = {"rescale_betas_zero_snr": (False, True)}
OFFSET = {"steps_offset": (0, 1)}


def plain(name, steps=7, eta=0.0, spacing="-", prediction="-", own=None, **config):
    """One case with a configuration of its own; `own`: the class of a model's own scheduler."""
    return (name, own or NAMES[name][0], steps, eta, spacing, prediction, config)


def all_cases():
    clip = {"clip_sample": (False, True)}
    yield from cases_of("ddim", {**BASE, **ZERO, **OFFSET, **clip, "set_alpha_to_one": (False, True), "eta": (0.0, 0.6)}, {}, 40)
    yield from cases_of("ddpm", {**BASE, **ZERO, **OFFSET, **clip, "variance_type": (None, "fixed_large")}, {}, 30)
    yield from cases_of("pndm", {**BASE, **ZERO, **OFFSET, "set_alpha_to_one": (False, True)}, {}, 24)
    final = {"final_sigmas_type": (None, "sigma_min")}
    yield from cases_of("euler", {**BASE, **ZERO, **OFFSET, **final, "use_karras_sigmas": (False, True)}, {}, 30)
    yield from cases_of("euler_a", {**BASE, **ZERO, **OFFSET}, {}, 30)
    solver = {"euler_at_final": (False, True), "lower_order_final": (False, True), "solver_type": ("midpoint", "heun")}
    for name in ("dpmpp_2m", "dpmpp_2m_karras"):
        yield from cases_of(name, {**BASE, **ZERO, **OFFSET}, {}, 24)
        yield from cases_of(name, {"spacing": SPACINGS, "prediction": ("epsilon", "v"), **final, **solver}, {}, 16)
    for name in ("unipc", "unipc_karras"):
        yield from cases_of(name, {**BASE, **ZERO, **OFFSET}, {}, 24)
    yield from cases_of("unipc", {"spacing": SPACINGS, "prediction": ("epsilon", "v"), **final, "solver_type": ("bh1", "bh2"), "solver_order": (1, 2, 3)}, {}, 24)
    yield from cases_of("unipc_karras", {"spacing": ("linspace",), "prediction": ("epsilon",), "solver_type": ("bh2",), "solver_order": (1, 2, 3)}, {}, 3)
    # Thirteen to sixteen steps, either side of DPM-Solver's rule; odd counts, whose spacings fall on halves.
    for steps in (3, 4, 13, 14, 15, 16, 25, 48, 30):
        for spacing in SPACINGS:
            for name in NAMES:
                yield plain(name, steps, 0.0, spacing, **SD, steps_offset=1)
    # The model's own scheduler, with the pipeline's rules.
    for cls in FILES:
        for steps in (1, 2, 7, 20):
            yield plain("-", steps, own=cls, **SD, skip_prk_steps=True)
            yield plain("-", steps, own=cls, **SD, skip_prk_steps=True, steps_offset=0, clip_sample=True)
            yield plain("-", steps, own=cls, **SD, skip_prk_steps=True, steps_offset=1, clip_sample=False, set_alpha_to_one=False)
    for steps in (2, 3, 4, 7, 20, 50):
        for spacing in SPACINGS:
            for prediction in ("epsilon", "v"):
                yield plain("-", steps, 0.0, spacing, prediction, own="PNDMScheduler", **SD, skip_prk_steps=False)
    for steps in (7, 14, 20):
        yield plain("-", steps, own="DPMSolverMultistepScheduler", **SD, use_karras_sigmas=True)
        yield plain("-", steps, own="UniPCMultistepScheduler", **SD, use_karras_sigmas=True)
        yield plain("-", steps, own="UniPCMultistepScheduler", **SD, disable_corrector=[0, 1])
        for spacing in SPACINGS:
            for prediction in ("epsilon", "v", "sample"):
                for order in (1, 2, 3):
                    yield plain("-", steps, 0.0, spacing, prediction, own="DPMSolverMultistepScheduler", **SD, solver_order=order)
                    yield plain("-", steps, 0.0, spacing, prediction, own="DPMSolverMultistepScheduler", **SD, solver_order=order, algorithm_type="sde-dpmsolver++")
                    yield plain("-", steps, 0.0, spacing, prediction, own="DPMSolverMultistepScheduler", **SD, solver_order=order, algorithm_type="dpmsolver", final_sigmas_type="sigma_min")
                    yield plain("-", steps, 0.0, spacing, prediction, own="UniPCMultistepScheduler", **SD, solver_order=order, predict_x0=False, final_sigmas_type="sigma_min")
                yield plain("-", steps, 0.0, spacing, prediction, own="DPMSolverMultistepScheduler", **SD, solver_type="heun", algorithm_type="sde-dpmsolver++")
                yield plain("-", steps, 0.0, spacing, prediction, own="DPMSolverMultistepScheduler", **SD, algorithm_type="sde-dpmsolver", final_sigmas_type="sigma_min")
    # Other noise, other lengths, other keys.
    trained = [round(0.001 + 0.0004 * i + 0.002 * math.sin(i), 6) + 0.002 for i in range(60)]
    for name in NAMES:
        for steps in (1, 2, 7, 20):
            yield plain(name, steps)
            yield plain(name, steps, beta_schedule="linear", beta_start=0.0005, beta_end=0.03, num_train_timesteps=400, steps_offset=1)
            yield plain(name, steps, trained_betas=trained, num_train_timesteps=60)
            yield plain(name, steps, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction")
            yield plain(name, steps, beta_schedule="squaredcos_cap_v2", prediction_type="epsilon", timestep_spacing="leading")
            yield plain(name, steps, **SD, rescale_betas_zero_snr=True, prediction_type="v_prediction", timestep_spacing="trailing", sigma_min=0.05, sigma_max=9.0, clip_sample_range=0.5, interpolation_type="linear")
    for cls in ("DPMSolverMultistepScheduler", "UniPCMultistepScheduler", "EulerDiscreteScheduler"):
        yield plain("-", 20, own=cls, **SD, use_karras_sigmas=True, sigma_min=0.05, sigma_max=9.0)
    for steps in (2, 7, 20):
        yield plain("euler", steps, **SD, interpolation_type="log_linear")
        yield plain("euler", steps, **SD, interpolation_type="log_linear", use_karras_sigmas=True)
        yield plain("euler", steps, **SD, timestep_type="continuous", prediction_type="v_prediction")
        yield plain("euler", steps, **SD, timestep_type="continuous", prediction_type="epsilon")
        yield plain("ddim", steps, 1.0, "trailing", "v", **SD, rescale_betas_zero_snr=True)
        yield plain("dpmpp_2m", steps, beta_schedule="squaredcos_cap_v2", lambda_min_clipped=-5.1)
        yield plain("dpmpp_2m", steps, 0.0, "trailing", **{**SD, "beta_schedule": "squaredcos_cap_v2"}, lambda_min_clipped=-5.1)
        yield plain("dpmpp_2m", steps, **SD, lambda_min_clipped=-math.inf)
        yield plain("ddpm", steps, **SD, variance_type="fixed_small_log")
        yield plain("ddpm", steps, beta_schedule="sigmoid", beta_end=0.02)
        yield plain("ddpm", steps, **{**SD, "beta_schedule": "laplace"})
    # Another class's file: what it does not know, it does not read.
    for name in NAMES:
        yield plain(name, 7, **SD, _class_name="PNDMScheduler", skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1, clip_sample=False, trained_betas=None)
        yield plain(name, 7, **SD, _class_name="UniPCMultistepScheduler", solver_type="bh1", solver_order=3, use_karras_sigmas=True, predict_x0=True, thresholding=False, disable_corrector=[], solver_p=None)
        yield plain(name, 7, **SD, _class_name="DPMSolverMultistepScheduler", solver_type="heun", algorithm_type="dpmsolver++", lambda_min_clipped=-math.inf, variance_type=None, euler_at_final=True)
    # Refused.
    yield plain("ddim", 100, num_train_timesteps=60, trained_betas=trained)
    yield plain("ddpm", 100, num_train_timesteps=60, trained_betas=trained)
    yield plain("ddim", 1000, **SD, steps_offset=1)


    lcm = {"spacing": ("-",), "prediction": ("-", "epsilon", "v", "sample"), "clip_sample": (False, True)}
    yield from cases_of("lcm", {**lcm, **ZERO, "set_alpha_to_one": (False, True), "original_inference_steps": (None, 60, 7)}, {}, 20)
    for steps in (1, 4, 8):
        yield plain("-", steps, own="LCMScheduler", **SD, timestep_scaling=3.0)
    for steps in (1, 2, 3, 7, 20, 50):
        for prediction in ("-", "epsilon", "v", "sample"):
            for more in ({}, {"final_sigmas_type": "sigma_min"}, {"sigma_min": 0.01, "sigma_max": 20.0, "sigma_data": 1.0, "rho": 5.0},
                         {"sigma_schedule": "exponential"}):
                yield plain("-", steps, 0.0, "-", prediction, own="EDMEulerScheduler", **more)
                for order in (1, 2, 3):
                    yield plain("-", steps, 0.0, "-", prediction, own="EDMDPMSolverMultistepScheduler", solver_order=order, **more)
            for more in ({"solver_type": "heun"}, {"algorithm_type": "sde-dpmsolver++"}, {"euler_at_final": True}, {"lower_order_final": False},
                         {"solver_type": "heun", "algorithm_type": "sde-dpmsolver++"}, {"algorithm_type": "dpmsolver"}):
                yield plain("-", steps, 0.0, "-", prediction, own="EDMDPMSolverMultistepScheduler", **more)


def number(v):
    return "-" if v is None else "%.10g" % v


def write_spacings(classes):
    with open(os.path.join(HERE, "spacing.txt"), "w") as f:
        for name, spacing, steps in itertools.product(("ddim", "euler", "dpmpp_2m", "unipc"), SPACINGS, range(1, 251)):
            scheduler = classes[NAMES[name][0]].from_config({**SD, "steps_offset": 1, "timestep_spacing": spacing})
            scheduler.set_timesteps(steps)
            # numpy's arange sometimes is one too long; its last timestep is -1, which no model knows. calotype stops before.
            t = [float(v) for v in scheduler.timesteps if v >= 0]
            f.write("%s %s %d %d %.10g\n" % (name, spacing, steps, len(t), sum((i + 1) * v for i, v in enumerate(t))))


def main():
    double, single = load(True), load(False)
    torch.set_default_dtype(torch.float32)
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    if part in "spacing":
        write_spacings(single)
    out, worst, counts, skipped = {}, {}, {}, {}
    for case in all_cases():
        name, cls, steps, eta, spacing, prediction, config = case
        file = (name if name != "-" else "own_" + FILES[cls][len("scheduling_"):])
        if cls == "DPMSolverMultistepScheduler" and "sigma_min" in config:
            file = "dpm_sigma_range"  # no parameter of the class, which reads it all the same where the JSON has it
        if part not in file:
            continue
        lines = out.setdefault(file, [])
        check = attempt(single, torch.float32, case)
        # DPM-Solver cuts a cosine schedule's Karras timesteps to integers, and float32 decides which: its word holds.
        global TOLD
        cut = cls == "DPMSolverMultistepScheduler" and config.get("beta_schedule") == "squaredcos_cap_v2"
        TOLD = [row[0] for row in check[2]] if cut and not isinstance(check, str) else None
        result = attempt(double, torch.float64, case)
        TOLD = None
        # x0 = (x − ε)/0, then clamped: its sign. No program of finite coefficients says that.
        if config.get("rescale_betas_zero_snr") and config.get("clip_sample") and not isinstance(result, str):
            lcm = cls == "LCMScheduler" and prediction == "-"
            if (prediction == "epsilon" or lcm) and result[2][0][0] == config["num_train_timesteps"] - 1 and cls[0] in "DL":
                result = check = "nonfinite"
        # A last step of length 0 (Karras with sigma_min) is 0/0 or not by the last bit: nothing to hold anyone to.
        if (result == "nonfinite") != (check == "nonfinite"):
            skipped[file] = skipped.get(file, 0) + 1
            continue
        lines.append("case %s %s %d %g %s %s %s" % (name, cls, steps, eta, spacing, prediction, json.dumps(config)))
        counts[file] = counts.get(file, 0) + 1
        if isinstance(result, str):
            assert result == check, (case, result, check)
            lines.append("= " + result)
            continue
        begin, draws, rows = result
        assert len(rows) == len(check[2]) and draws == check[1], case
        shift = max(abs(a[0] - b[0]) for a, b in zip(rows, check[2]))
        apart = gap(result, check)
        if apart > worst.get(file, (0, None))[0]:
            worst[file] = (apart, case)
        if shift > 1e-2 or apart > 2e-2:
            print("float32 departs:", apart, shift, case)
        lines.append("= %s %d %d" % (number(begin), len(rows), draws))
        for t, sigma, x in rows:
            lines.append("%s %s %s %s" % (number(t), number(sigma), number(x[0]), number(x[1])))
    for file, lines in out.items():
        path = os.path.join(HERE, file + ".txt")
        with open(path, "w") as f:
            f.write("# diffusers %s, torch %s\n" % (diffusers.__version__, torch.__version__.split("+")[0]))
            f.write("\n".join(lines) + "\n")
        print("%-28s %5d cases (%d skipped) %7d bytes, float32 within %.1e"
              % (file, counts[file], skipped.get(file, 0), os.path.getsize(path), worst.get(file, (0,))[0]))


if __name__ == "__main__":
    main()
