"""The programs whose grammars the vectors are, loaded from their own files with stand-ins for what they import.

Nothing of them is in this repository: give the folders of checkouts.
    webui(folder, open_clip)   stable-diffusion-webui: modules/prompt_parser.py, sd_hijack_clip.py, sd_hijack_open_clip.py;
                               open_clip: the folder with open_clip/tokenizer.py
    comfy(folder)              ComfyUI: comfy/sd1_clip.py
"""

import gzip
import importlib.util
import json
import os
import sys
import tempfile
import types

import numpy

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../engine/text/data/clip_merges.txt.gz")
START, END = "<|startoftext|>", "<|endoftext|>"


class Tensor(numpy.ndarray):
    """As much of torch.Tensor as the originals use."""

    def to(self, *_, **__):
        return self

    def expand(self, shape):
        return numpy.broadcast_to(self, shape).view(Tensor)


def module(name, **values):
    made = types.ModuleType(name)
    made.__dict__.update(values)
    sys.modules[name] = made
    return made


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    spec.loader.exec_module(made)
    return made


def tensor(values, **_):
    return numpy.asarray(values).view(Tensor)


def torch():
    nn = module("torch.nn", Module=type("Module", (), {"__init__": lambda self: None}))
    module("torch.nn.functional")
    return module(
        "torch", nn=nn, asarray=tensor, cat=lambda parts, dim: numpy.concatenate(parts, axis=dim).view(Tensor),
        Tensor=Tensor, LongTensor=Tensor, long=numpy.int64, int=numpy.int32, float=numpy.float32,
    )  # fmt: skip


def tokenizer_folder():
    """CLIP's vocabulary as the folder of Stable Diffusion 1 has it."""
    letters = [chr(byte) for byte in [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]]
    letters += [chr(256 + i) for i in range(256 - len(letters))]
    merges = gzip.open(DATA).read().decode("utf-8").splitlines()
    words = letters + [letter + "</w>" for letter in letters] + [merge.replace(" ", "") for merge in merges]
    words += [START, END]
    assert len(words) == 49408
    folder = tempfile.mkdtemp()
    with open(os.path.join(folder, "vocab.json"), "w", encoding="utf-8") as file:
        json.dump({word: i for i, word in enumerate(words)}, file, ensure_ascii=False)
    with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as file:
        file.write("#version: 0.2\n" + "".join(merge + "\n" for merge in merges))
    config = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END, "model_max_length": 8192}
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file)
    return folder


def parser(folder):
    torch()
    return load("modules.prompt_parser", os.path.join(folder, "modules/prompt_parser.py"))


def webui(folder, open_clip):
    """The parser; and a function (encoder, length, text) → chunks of ids, chunks of weights."""
    from transformers import CLIPTokenizer

    torch()
    parsing = load("modules.prompt_parser", os.path.join(folder, "modules/prompt_parser.py"))
    options = types.SimpleNamespace(
        enable_emphasis=True, emphasis="Original", use_old_emphasis_implementation=False, comma_padding_backtrack=20,
        CLIP_stop_at_last_layers=1,
    )  # fmt: skip
    hijack = types.SimpleNamespace(
        embedding_db=types.SimpleNamespace(find_embedding_at_position=lambda tokens, at: (None, None))
    )
    devices = module("modules.devices", device="cpu", torch_npu_set_device=lambda: None)
    module("modules.shared", opts=options)
    everything = module("modules", prompt_parser=parsing, devices=devices, sd_hijack=module("modules.sd_hijack"))
    everything.sd_hijack_clip = load("modules.sd_hijack_clip", os.path.join(folder, "modules/sd_hijack_clip.py"))
    module("open_clip").tokenizer = load("open_clip.tokenizer", os.path.join(open_clip, "open_clip/tokenizer.py"))
    if "<start_of_text>" not in sys.modules["open_clip.tokenizer"]._tokenizer.encoder:
        raise SystemExit("this open_clip names its start token otherwise")
    second = load("modules.sd_hijack_open_clip", os.path.join(folder, "modules/sd_hijack_open_clip.py"))
    first = everything.sd_hijack_clip.FrozenCLIPEmbedderWithCustomWords(
        types.SimpleNamespace(tokenizer=CLIPTokenizer.from_pretrained(tokenizer_folder())), hijack
    )
    second = second.FrozenOpenCLIPEmbedderWithCustomWords(types.SimpleNamespace(), hijack)
    for encoder in (first, second):
        encoder.output = lambda ids: numpy.ones((*ids.shape, 1)).view(Tensor)
        encoder.encode_with_transformers = lambda ids, encoder=encoder: (
            setattr(encoder, "seen", ids.tolist()),
            encoder.output(ids),
        )[1]

    def tokenize(encoder, length, text):
        encoder = {"clip": first, "clip!": second}[encoder]
        encoder.chunk_length = length - 2
        chunks, _ = encoder.tokenize_line(text)
        ids = []
        for chunk in chunks:
            encoder.process_tokens([chunk.tokens], [chunk.multipliers])
            ids += encoder.seen
        return ids, [chunk.multipliers for chunk in chunks]

    return parsing, tokenize, first


def comfy(folder):
    """A function (encoder, length, text) → chunks of ids, chunks of weights; and the class that weighs."""
    torch()
    package = module("comfy", __path__=[os.path.join(folder, "comfy")])
    package.ops = module("comfy.ops")
    package.model_management = module("comfy.model_management", intermediate_device=lambda: "cpu")
    package.clip_model = module("comfy.clip_model", CLIPTextModel=None)
    loaded = load("comfy.sd1_clip", os.path.join(folder, "comfy/sd1_clip.py"))
    made = {
        name: loaded.SDTokenizer(tokenizer_path=tokenizer_folder(), pad_with_end=name == "clip")
        for name in ("clip", "clip!")
    }

    def tokenize(encoder, length, text):
        encoder = made[encoder]
        encoder.max_length = length
        chunks = encoder.tokenize_with_weights(text)
        return [[pair[0] for pair in chunk] for chunk in chunks], [[pair[1] for pair in chunk] for chunk in chunks]

    return tokenize, loaded
