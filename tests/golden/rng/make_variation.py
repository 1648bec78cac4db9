"""Makes variation.inc: how AUTOMATIC1111's stable-diffusion-webui turns one seed's noise towards another's.

    python make_variation.py WEBUI       a checkout of the webui (read at 1.7; AGPL, of which nothing is kept); needs torch

Runs the function `slerp` out of its modules/rng.py on draws of torch.Generator("cpu") of shape [4, 6, 5], seeds 3 and 7,
at several strengths, and keeps every seventh number. The noise of "cuda" is that of the docstring of modules/rng_philox.py:
what torch.randn gave for seed 0 on a GPU.
"""
import ast
import sys
from pathlib import Path

import torch

source = (Path(sys.argv[1]) / "modules/rng.py").read_text()
function = next(n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef) and n.name == "slerp")
space = {"torch": torch}
exec(compile(ast.Module([function], []), "rng.py", "exec"), space)
noise, other = (torch.randn(4, 6, 5, generator=torch.Generator("cpu").manual_seed(seed)) for seed in (3, 7))
lines = []
for strength in 0.1, 0.5, 0.9, 1.0:
    numbers = space["slerp"](strength, noise, other).flatten()[::7]
    lines.append(f"    {{ {strength}, {{ {', '.join(f'{v:.9g}f' for v in numbers.tolist())} }} }},\n")
(Path(__file__).parent / "variation.inc").write_text("".join(lines))
