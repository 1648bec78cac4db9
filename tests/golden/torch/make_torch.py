"""Writes what test_torch_file.c reads: small files by torch.save, and a corpus of hostile pickles.

    python make_torch.py            needs torch, numpy

*.ckpt, and tensors.txt (eights.txt for eights2.ckpt): a line for each tensor, NAME TYPE DIMS VALUES…; what torch itself
loads.
hostile.txt: NAME <tab> what the refusal must say <tab> the pickle in hexadecimal.
"""
import collections
import os
import pickle
import struct
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent

# ---- what torch writes ------------------------------------------------------------------------------------------------
callbacks = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
sys.modules["pytorch_lightning"] = types.ModuleType("pytorch_lightning")
sys.modules["pytorch_lightning.callbacks"] = types.ModuleType("pytorch_lightning.callbacks")
sys.modules[callbacks.__name__] = callbacks
callbacks.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": callbacks.__name__})

rng = torch.Generator().manual_seed(3)
big = torch.randn(6, 4, generator=rng)
tensors = {"weight": big, "bias.half": torch.randn(5, generator=rng).half(), "b.f16": torch.randn(3, 2, generator=rng).bfloat16(),
           "d": torch.randn(2, 2, generator=rng).double(), "ids": torch.arange(7), "small": torch.arange(4, dtype=torch.int32),
           "byte": torch.arange(3, dtype=torch.uint8), "truth": torch.tensor([True, False]), "scalar": torch.tensor(2.5),
           "rows": big[2:4], "turned": torch.randn(3, 5, generator=rng).T, "parameter": torch.nn.Parameter(torch.ones(2, 3)),
           "empty": torch.zeros(0, 3)}
FILES = {
    "plain": tensors,
    "ordered": collections.OrderedDict(tensors),
    "nested": {"epoch": 3, "global_step": 875000, "pytorch-lightning_version": "1.4.2", "state_dict": tensors, "loops": None,
               "callbacks": {callbacks.ModelCheckpoint: {"monitor": "val/loss", "best_score": np.float64(0.25), "many": [1, 2.5, (3,)]}},
               "optimizer_states": [{"state": {0: {"step": 7, "exp_avg": big}}, "big": 2**70, "negative": -3, "set": {1, 2}}],
               "lr_schedulers": [np.dtype("float32"), torch.float16, big.shape]},
    "params_ema": {"params": {"x": torch.zeros(1)}, "params_ema": tensors},
}


def describe(value):
    value = value.detach()
    numbers = " ".join(f"{float(v):.9g}" for v in value.reshape(-1))
    return f"{str(value.dtype).removeprefix('torch.')} {','.join(map(str, value.shape)) or '-'} {numbers}"


def write_files():
    for name, content in FILES.items():
        for protocol in (2, 3, 4, 5) if name == "nested" else (2,):
            torch.save(content, HERE / f"{name}{protocol}.ckpt", pickle_protocol=protocol)
    with open(HERE / "tensors.txt", "w") as f:
        f.writelines(f"{k} {describe(v)}\n" for k, v in tensors.items())


def write_eights():
    """Types of eight bits, which are kept as bytes with the type beside them; a part of one; and a tensor of the old kind."""
    eights = torch.linspace(-3, 3, 12, dtype=torch.float32).reshape(3, 4)
    content = {"e4m3": eights.to(torch.float8_e4m3fn), "e5m2": eights.to(torch.float8_e5m2),
               "part": eights.to(torch.float8_e5m2)[1:3], "whole": eights}
    torch.save(content, HERE / "eights2.ckpt")
    with open(HERE / "eights.txt", "w") as f:
        f.writelines(f"{k} {describe(v)}\n" for k, v in content.items())


def write_zip64():
    """plain2.ckpt with every size and place in Zip64's fields, as archives beyond 4 GB have them."""
    out, directory, count, full = b"", b"", 0, 0xFFFFFFFF
    with zipfile.ZipFile(HERE / "plain2.ckpt") as archive:
        for info in archive.infolist():
            data, name = archive.read(info), info.filename.encode()
            sizes = struct.pack("<QQ", len(data), len(data))
            local = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 45, 0, 0, 0, 0, info.CRC, full, full, len(name), 20)
            extra = struct.pack("<HH", 1, 24) + sizes + struct.pack("<Q", len(out))
            directory += struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 45, 45, 0, 0, 0, 0, info.CRC, full, full, len(name),
                                     len(extra), 0, 0, 0, 0, full) + name + extra
            out += local + name + struct.pack("<HH", 1, 16) + sizes + data
            count += 1
    begin = len(out)
    out += directory + struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(directory), begin)
    out += struct.pack("<4sIQI", b"PK\6\7", 0, begin + len(directory), 1)
    out += struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, full, full, 0)
    (HERE / "zip64.ckpt").write_bytes(out)
    assert set(torch.load(HERE / "zip64.ckpt", weights_only=True)) == set(tensors)


# ---- what nobody should load ------------------------------------------------------------------------------------------
class Call:
    """Pickles as a call of f(*arguments)."""
    def __init__(self, f, *arguments, state=None):
        self.f, self.arguments, self.state = f, arguments, state

    def __reduce__(self):
        return (self.f, self.arguments) if self.state is None else (self.f, self.arguments, self.state)


def line(module, name):
    return f"c{module}\n{name}\n".encode()


def write_corpus():
    rows = []

    def add(name, says, data):
        rows.append(f"{name}\t{says}\t{data.hex()}\n")
    for protocol in range(6):
        for name, f, arguments in (("system", os.system, ("true",)), ("popen", subprocess.Popen, (["true"],)), ("eval", eval, ("1",)),
                                   ("exec", exec, ("1",)), ("import", __import__, ("os",)), ("getattr", getattr, ("", "upper")),
                                   ("loads", pickle.loads, (b".",)), ("load", torch.load, ("x",)), ("open", open, ("/etc/passwd",)),
                                   ("hub", torch.hub.load, ("a", "b"))):
            says = "." + f.__name__  # protocols 0 to 2 name Python 2's modules
            add(f"{name}_{protocol}", says, pickle.dumps({"state_dict": {"w": Call(f, *arguments)}}, protocol))
        add(f"nested_{protocol}", "system", pickle.dumps([{"a": ({"b": [Call(os.system, "true")]},)}], protocol))
        add(f"state_{protocol}", "system", pickle.dumps(Call(collections.OrderedDict, state={"x": Call(os.system, "true")}), protocol))
    call = b"X\x04\x00\x00\x00true\x85R."
    add("plain_global", "os.system", line("os", "system") + call)
    add("posix", "posix.system", line("posix", "system") + call)
    add("stack_global", "os.system", b"\x80\x04\x8c\x02os\x8c\x06system\x93" + call)
    add("stack_global_memo", "os.system", b"\x80\x04\x8c\x02os\x94\x8c\x06system\x9400h\x00h\x01\x93" + call[:-1] + b".")
    add("stack_global_bytes", "os.system", b"\x80\x04C\x02osC\x06system\x93" + call)
    add("stack_global_number", "not named by texts", b"\x80\x04K\x01K\x02\x93.")
    add("dotted", "torch._utils.os.system", b"\x80\x04\x8c\x0ctorch._utils\x8c\x09os.system\x93" + call)
    add("prefix", "torch._utils._rebuild_tensor", line("torch._utils", "_rebuild_tensor") + b").")
    add("longer", "torch.FloatStorageX", line("torch", "FloatStorageX") + b").")
    add("storage_called", "a storage is called", line("torch", "FloatStorage") + b")R.")
    add("type_called", "a type is called", line("torch", "float8_e4m3fn") + b")R.")
    add("inst", "os.system", b"(X\x04\x00\x00\x00trueios\nsystem\n.")
    add("obj", "os.system", b"(" + line("os", "system") + b"X\x04\x00\x00\x00trueo.")
    add("newobj", "subprocess.Popen", b"\x80\x02" + line("subprocess", "Popen") + b")\x81.")
    add("newobj_ex", "subprocess.Popen", b"\x80\x04" + line("subprocess", "Popen") + b")}\x92.")
    add("ext1", "extension code", b"\x80\x02\x82\x01.")
    add("ext2", "extension code", b"\x80\x02\x83\x01\x00.")
    add("ext4", "extension code", b"\x80\x02\x84\x01\x00\x00\x00.")
    add("copyreg", "copy_reg._reconstructor", line("copy_reg", "_reconstructor") + b").")
    add("call_text", "what is no global is called", b"X\x02\x00\x00\x00os)R.")
    add("call_dict", "what is no global is called", b"})R.")
    add("persistent_0", "persistent id", b"Pos.system\n.")
    add("persistent_text", "no storage", b"X\x02\x00\x00\x00osQ.")
    add("persistent_class", "os.system", b"(X\x07\x00\x00\x00storage" + line("os", "system") + b"X\x01\x00\x00\x000tQ.")
    add("persistent_dict", "no storage", b"(X\x07\x00\x00\x00storage" + line("collections", "OrderedDict") + b"X\x01\x00\x00\x000tQ.")
    add("buffer", "a buffer outside", b"\x80\x05\x97.")
    add("readonly", "a buffer outside", b"\x80\x05\x98.")
    add("unknown", "unknown opcode", b"\xff.")
    add("newline", "os?.system", line("os\x01", "system") + b").")
    add("unicode", "system", "cоs\nsystem\n.".encode())
    # Bombs: memory and time are bounded by the pickle's length.
    add("tuple_bomb", "no dictionary of tensors", b")" + b"2\x86" * 10000 + b".")
    add("memo_bomb", "no dictionary of tensors", b"]q\x00" + b"".join(b"(" + b"h\x00" * 50 + b"lq\x00" for _ in range(400)) + b".")
    add("list_of_itself", "no dictionary of tensors", b"]q\x00h\x00a.")
    add("dict_of_itself", "no dictionary of tensors", b"}q\x00X\x01\x00\x00\x00ah\x00s.")
    add("deep", "no dictionary of tensors", b"]" * 1 + b"\x85" * 20000 + b".")
    add("marks", "nothing is on the stack", b"(" * 10000 + b".")
    add("memo_index", "memo index", b"Nr\xff\xff\xff\x7f.")
    add("memo_missing", "never made", b"j\xff\xff\xff\x7f.")
    add("long_length", "ends too early", b"\x8b\xff\xff\xff\x7f\x00.")
    add("long", "no dictionary of tensors", b"\x8b\x00\x10\x00\x00" + b"\x7f" * 4096 + b".")
    add("text_length", "ends too early", b"\x8d" + struct.pack("<Q", 2**63 + 5) + b"x.")
    add("frame", "no dictionary of tensors", b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N.")
    add("empty", "does not stop", b"")
    add("stop", "nothing is on the stack", b".")
    add("mark_value", "nothing is on the stack", b"(.")
    add("no_mark", "no mark", b"]t.")
    add("odd_dict", "a key without a value", b"(Nd.")
    add("append_to_text", "no container", b"X\x01\x00\x00\x00aNa.")
    add("build_text", "a state is given", b"X\x01\x00\x00\x00aNb.")
    add("ordered_arguments", "made of arguments", line("collections", "OrderedDict") + b"]\x85R.")
    with open(HERE / "hostile.txt", "w") as f:
        f.writelines(rows)
    print(len(rows), "hostile pickles")


write_files()
write_eights()
write_zip64()
write_corpus()
