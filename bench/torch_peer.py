#!/usr/bin/env python3
"""Times torch beside calotype, in turns, on the machine at hand:

    python3 bench/torch_peer.py [--bench-ops BENCH_OPS] [--end-to-end END_TO_END] [--device cuda] [--dtype bf16]
                                [--model sd15] [--rounds 3] [--output FILE.json]

--bench-ops: its shapes with torch.nn.functional (linear, conv2d in channels_last, scaled_dot_product_attention), and each
time's fraction of the peak that bench_ops measured. --end-to-end (CUDA, and diffusers installed): SD1.5's UNet with random
weights, guided, through torch.compile(mode="max-autotune"), whose CUDA graphs are confirmed. Needs torch; calotype needs
none of this.
"""
import argparse
import json
import re
import statistics
import subprocess
import tempfile
import time

import torch
import torch.nn.functional as F


def parse_shape(op, text):
    """The tensors of a shape as bench_ops names it, and the call on them."""
    n = [int(x) for x in re.findall(r"\d+", text)]
    if op == "linear":
        batch, rows, inputs, outputs = n[:4]
        return "linear", (batch, rows, inputs), (outputs, inputs)
    if op == "conv2d":
        batch, side, _, inputs, outputs = n[:5]
        return "strided" if text.endswith("/ 2") else "conv2d", (batch, inputs, side, side), (outputs, inputs, 3, 3)
    batch, heads, queries, keys, d = n[:5]
    return "attention", (batch, heads, queries, d), (batch, heads, keys, d)


def make_call(op, text, device, dtype):
    kind, a, b = parse_shape(op, text)
    x, w = (torch.rand(s, device=device, dtype=dtype) * 2 - 1 for s in (a, b))
    if kind == "attention":
        v = torch.rand(b, device=device, dtype=dtype)
        return lambda: F.scaled_dot_product_attention(x, w, v)
    if kind == "linear":
        if "gated" in text:
            def gated():
                value, gate = F.linear(x, w).chunk(2, -1)
                return value * F.gelu(gate)
            return gated
        return lambda: F.linear(x, w)
    x, w = (t.contiguous(memory_format=torch.channels_last) for t in (x, w))
    return lambda: F.conv2d(x, w, stride=2 if kind == "strided" else 1, padding=1)


def wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(call, device, recorded=True):
    """Seconds a call, over as many as take some 5 ms; on a GPU recorded as one CUDA graph, as bench_ops does."""
    def turn(run, count):
        begin = time.perf_counter()
        run()
        wait(device)
        return (time.perf_counter() - begin) / count

    def repeat(count):
        for _ in range(count):
            call()

    turn(lambda: repeat(2), 2)
    count = 1 + int(5e-3 / (turn(call, 1) + 1e-7))
    if device != "cuda" or not recorded:
        return turn(lambda: repeat(count), count)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        repeat(count)
    turn(graph.replay, count)
    return turn(graph.replay, count)


def run_ops(arguments):
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        subprocess.run([arguments.bench_ops, "--device", arguments.calotype_device, "--dtype", arguments.dtype, "--model",
                        arguments.model, "--only", arguments.only, "--rounds", "3", "--output", file.name], check=True,
                       stdout=subprocess.DEVNULL)
        return json.load(open(file.name))


def machine():
    """What ran this: clocks and versions, as far as they can be asked for."""
    found = {"torch": torch.__version__}
    if torch.cuda.is_available():
        found |= {"device": torch.cuda.get_device_name(), "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    fields = "driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.limit"
    try:
        answer = subprocess.run(["nvidia-smi", "-i", "0", "--query-gpu=" + fields, "--format=csv,noheader"], check=True,
                                capture_output=True, text=True).stdout
        found |= dict(zip(fields.split(","), (value.strip() for value in answer.split(","))))
    except (OSError, subprocess.CalledProcessError):
        pass
    return found


def compare_ops(arguments, dtype):
    ours, torchs, peaks, result = {}, {}, [], []
    with torch.inference_mode():
        for _ in range(arguments.rounds):
            record = run_ops(arguments)
            peaks += [record["peak_before"], record["peak_after"]]
            for row in record["shapes"]:
                key = row["op"], row["shape"]
                ours.setdefault(key, []).append({**row["seconds"], "flops": row["flops"]})
                torchs.setdefault(key, []).append(seconds(make_call(*key, arguments.device, dtype), arguments.device))
    peak = statistics.median(peaks)
    for key, times in ours.items():
        seconds_of = {variant: statistics.median(t[variant] for t in times) for variant in times[0] if variant != "flops"}
        seconds_of["torch"] = statistics.median(torchs[key])
        vendor = {k: v for k, v in seconds_of.items() if k in ("torch", "cublas", "cudnn")}
        own = {k: v for k, v in seconds_of.items() if k not in vendor}
        best, rival = min(own, key=own.get), min(vendor, key=vendor.get)
        share = times[0]["flops"] / peak
        result.append({"op": key[0], "shape": key[1], "flops": times[0]["flops"], "seconds": seconds_of,
                       "fraction_of_peak": {k: share / v for k, v in seconds_of.items()},
                       "of_best_vendor": vendor[rival] / own[best]})
        print(f"{key[0]:10} {key[1]:36} {rival:6} {vendor[rival] * 1e6:9.1f} us {100 * share / vendor[rival]:5.1f}%   "
              f"{best:12} {own[best] * 1e6:9.1f} us {100 * share / own[best]:5.1f}%   {vendor[rival] / own[best]:5.2f} x")
    return {"peak_flops": peak, "shapes": result}


def compare_steps(arguments, dtype):
    from diffusers import UNet2DConditionModel
    from torch._inductor import config as inductor
    inductor.triton.cudagraphs = True
    unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8).to("cuda", dtype)
    unet = unet.to(memory_format=torch.channels_last).eval()
    unet.forward = torch.compile(unet.forward, mode="max-autotune", fullgraph=True)
    x = torch.randn(2, 4, 64, 64, device="cuda", dtype=dtype).contiguous(memory_format=torch.channels_last)
    context = torch.randn(2, 77, 768, device="cuda", dtype=dtype)
    t = torch.tensor(500, device="cuda")
    ours, theirs = [], []
    with torch.inference_mode():
        for _ in range(3):
            unet(x, t, context)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA,
                                                torch.profiler.ProfilerActivity.CPU]) as profile:
            unet(x, t, context)
        graphs = any("cudaGraphLaunch" in e.key for e in profile.key_averages())
        for _ in range(arguments.rounds):
            theirs.append(seconds(lambda: unet(x, t, context), "cuda", recorded=False))
            with tempfile.NamedTemporaryFile(suffix=".json") as file:
                subprocess.run([arguments.end_to_end, "--device", "cuda", "--dtype", arguments.dtype, "--steps", "20",
                                "--output", file.name], check=True, stdout=subprocess.DEVNULL)
                ours.append(statistics.median(json.load(open(file.name))["step_s"]))
    print(f"guided UNet call at 512 x 512: torch {statistics.median(theirs) * 1e3:.2f} ms (CUDA graphs: {graphs}), "
          f"calotype's whole step {statistics.median(ours) * 1e3:.2f} ms")
    return {"torch_s": theirs, "calotype_s": ours, "torch_cuda_graphs": graphs}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench-ops")
    parser.add_argument("--end-to-end")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--calotype-device", default="auto")
    parser.add_argument("--dtype", default="bf16", choices=["bf16", "f16", "f32"])
    parser.add_argument("--model", default="sd15", choices=["sd15", "sdxl"])
    parser.add_argument("--only", default="")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output")
    arguments = parser.parse_args()
    dtype = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}[arguments.dtype]
    result = {"machine": machine(), "dtype": arguments.dtype, "model": arguments.model}
    if arguments.bench_ops:
        result["ops"] = compare_ops(arguments, dtype)
    if arguments.end_to_end:
        result["step"] = compare_steps(arguments, dtype)
    if arguments.output:
        with open(arguments.output, "w") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
