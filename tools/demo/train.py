"""Trains the demo model: a latent diffusion model of the landscapes in render.py, small enough for a repository.

    python train.py tokenizer                   merges learnt on the captions                     (seconds)
    python train.py vae --minutes 60            picture <-> latent, 256 x 256 x 3 <-> 32 x 32 x 4
    python train.py text+unet --minutes 180     caption -> latent; both networks together, from scratch
    python train.py decoder --minutes 20        optional: sharpens the decoder; the latents stay as they are
    python train.py export --out model          an SD1-style diffusers pipeline folder, float16

The minutes are training time; a stage stopped early, or given more minutes, goes on from its last checkpoint in --work.
The learning rate follows the share of the minutes that is spent, so a stage is best run with its final --minutes.
On a CPU that others use too, one process per core (`torchrun --nproc-per-node 2 train.py vae`) waits less than threads do.
On a GPU: --vae-batch 16 --vae-pictures 20000, and --batch 256 --pictures 60000.
What the shipped weights cost, and how good they are: README.md.
Needs torch, diffusers, transformers, numpy and Pillow.
"""

import argparse
import collections
import json
import math
import multiprocessing
import os
import random
import shutil
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor
from diffusers.models.resnet import ResnetBlock2D
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

import render

TOKENS = 77  # the length of every prompt, SD1's
MERGES = 640  # enough for every word of the captions to become one token
TEXT_WIDTH = 128
LATENT_CHANNELS = 4
LATENT_SIZE = 32
SCALING_FACTOR = 0.18215  # SD1's: the latents are normalised so that it is also ours
EMPTY_PROMPT_SHARE = 0.1  # captions replaced by "", for classifier-free guidance
SNR_FLOOR, SNR_CAP = 0.05, 5.0  # a step's weight, as an error in the clean latent: its signal-to-noise ratio within these

RANK, WORLD = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))  # set by torchrun
DEVICE = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if torch.cuda.is_available() else torch.device("cpu")


# ---- tokenizer ----


def byte_symbols():
    """CLIP's printable stand-in for each byte: a list of 256 characters, in the order of its vocabulary."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + n) for n in range(len(others))]


def learn_merges(sentences, limit):
    """Byte-pair merges, most frequent pair first: a list of (left, right), the last symbol of a word ending in </w>."""
    words = collections.Counter(word for s in sentences for word in s.lower().replace(",", " , ").replace("-", " - ").split())
    pieces = {word: [*word[:-1], word[-1] + "</w>"] for word in words}
    merges = []
    while len(merges) < limit:
        pairs = collections.Counter()
        for word, parts in pieces.items():
            for pair in zip(parts, parts[1:]):
                pairs[pair] += words[word]
        if not pairs:
            break
        left, right = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append((left, right))
        for parts in pieces.values():
            i = 0
            while i + 1 < len(parts):
                if parts[i] == left and parts[i + 1] == right:
                    parts[i : i + 2] = [left + right]
                i += 1
    return merges


def train_tokenizer(options):
    folder = options.work / "tokenizer"
    folder.mkdir(parents=True, exist_ok=True)
    sentences = [render.caption(render.draw_scene(seed), random.Random(seed)) for seed in range(20_000)]
    merges = learn_merges(sentences, MERGES)
    symbols = byte_symbols()
    vocabulary = [*symbols, *(s + "</w>" for s in symbols), *(a + b for a, b in merges), "<|startoftext|>", "<|endoftext|>"]
    vocab_file, merges_file = folder / "vocab.json", folder / "merges.txt"
    vocab_file.write_text(json.dumps({token: n for n, token in enumerate(vocabulary)}, ensure_ascii=False), encoding="utf-8")
    merges_file.write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges), encoding="utf-8")
    (folder / "special_tokens_map.json").write_text(json.dumps(
        {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}, indent=2))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "CLIPTokenizer", "model_max_length": TOKENS, "do_lower_case": True, "add_prefix_space": False, "errors": "replace",
         "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}, indent=2))
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    lengths = [len(tokenizer(s).input_ids) for s in sentences[:2000]]
    print(f"tokenizer: {len(vocabulary)} tokens, {len(merges)} merges; captions of {min(lengths)} to {max(lengths)} tokens")


def token_ids(tokenizer, sentences):
    """[B, 77] int64, padded with the end token."""
    return tokenizer(sentences, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt").input_ids.to(DEVICE)


# ---- what the training loops share ----


class Run:
    """One stage's clock, learning rate, averaged weights and checkpoint."""

    def __init__(self, name, modules, options, peak_rate, average):
        self.file = options.work / f"{name}.pt"
        self.name, self.modules, self.options, self.peak_rate, self.average = name, modules, options, peak_rate, average
        self.parameters = [p for m in modules.values() for p in m.parameters()]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=peak_rate, betas=(0.9, 0.99), weight_decay=0.01)
        self.averaged = [p.detach().clone() for p in self.parameters]
        self.step, self.seconds, self.losses, self.log = 0, 0.0, collections.deque(maxlen=200), []
        if self.file.exists():
            state = torch.load(self.file, map_location=DEVICE)
            for key, module in modules.items():
                module.load_state_dict(state["modules"][key])
            self.optimizer.load_state_dict(state["optimizer"])
            self.averaged = state["averaged"]
            self.step, self.seconds, self.log = state["step"], state["seconds"], state["log"]
        self.saved = time.monotonic()
        self.started = self.saved - self.seconds

    def going(self):
        """Whether time is left. Sets the learning rate: 200 steps of warm-up, flat, then a cosine over the last 60%."""
        self.seconds = time.monotonic() - self.started
        spent = torch.tensor(self.seconds / (60 * self.options.minutes), device=DEVICE)
        if WORLD > 1:
            dist.broadcast(spent, 0)  # the processes must stop at the same step
        spent = spent.item()
        decay = 0.5 + 0.5 * math.cos(math.pi * min(1, max(0, (spent - 0.4) / 0.6)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.peak_rate * min(1, (self.step + 1) / 200) * (0.02 + 0.98 * decay)
        return spent < 1

    def update(self, loss):
        """One optimiser step on `loss`, a scalar; logs every 100 steps, saves every 3 minutes."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if WORLD > 1:
            self._average_gradients()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.step += 1
        decay = min(self.average, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self.averaged, [p.detach() for p in self.parameters], 1 - decay)
        self.losses.append(loss.detach())
        if RANK > 0:
            return
        if self.step % 100 == 0:
            mean = torch.stack([*self.losses]).mean().item()
            self.log.append((self.step, round(self.seconds), mean))
            print(f"{self.name}: step {self.step}  {self.seconds / 60:.1f} min  loss {mean:.4f}", flush=True)
        if time.monotonic() - self.saved > 180:
            self.save()

    def _average_gradients(self):
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        flat = torch._utils._flatten_dense_tensors(gradients)
        dist.all_reduce(flat)
        for gradient, mean in zip(gradients, torch._utils._unflatten_dense_tensors(flat / WORLD, gradients)):
            gradient.copy_(mean)

    def save(self):
        if RANK > 0:
            return
        state = {"modules": {k: m.state_dict() for k, m in self.modules.items()}, "optimizer": self.optimizer.state_dict(),
                 "averaged": self.averaged, "step": self.step, "seconds": self.seconds, "log": self.log}
        partial = self.file.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.file)
        self.saved = time.monotonic()

    def use_averaged(self):
        with torch.no_grad():
            for parameter, value in zip(self.parameters, self.averaged):
                parameter.copy_(value)


def own_draws(run):
    """Seeds torch, and returns a random.Random, so that no two processes or resumed runs draw the same."""
    seed = run.step * WORLD + RANK + 1
    torch.manual_seed(seed)
    return random.Random(seed)


def half_precision():
    return torch.autocast(DEVICE.type, dtype=torch.bfloat16)


def _render_seed(seed):
    return render.render(render.draw_scene(seed))


def pictures(seeds):
    """Yields [256, 256, 3] uint8 pictures in the order of `seeds`, drawn on every core that is ours."""
    with multiprocessing.get_context("fork").Pool(max(1, os.cpu_count() // WORLD)) as pool:
        yield from pool.imap(_render_seed, seeds, chunksize=16)


def as_network_input(batch):
    """[B, H, W, 3] uint8 -> [B, 3, H, W] float in -1..1."""
    return batch.to(DEVICE).permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1


# ---- VAE ----


def make_vae():
    vae = AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=LATENT_CHANNELS, sample_size=render.SIZE, scaling_factor=SCALING_FACTOR,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 64), layers_per_block=1, norm_num_groups=4,
    )
    start_as_thumbnail(vae)
    return vae.to(DEVICE)


@torch.no_grad()
def start_as_thumbnail(vae, constant=4.0):
    """Sets the weights so that latent channels 0..2 are the picture's 8 x 8 block means, and decoding repeats them.

    From random weights the colours of small objects are learnt last. This start has them right at step 0, and training adds the
    edges. Every residual branch starts at zero, and "carrier" channels go through: x and -x, because silu(x) - silu(-x) = x,
    beside +constant and -constant, which keep the last group normalisation's deviation nearly the same for every picture.
    """
    centre = (slice(None), slice(None), 1, 1)
    for module in vae.modules():
        if isinstance(module, ResnetBlock2D):
            module.conv2.weight.zero_(), module.conv2.bias.zero_()
            if module.conv_shortcut is not None:
                kept = min(module.conv_shortcut.weight.shape[:2])
                module.conv_shortcut.weight[:kept, :, 0, 0] = torch.eye(kept, module.conv_shortcut.in_channels)
                module.conv_shortcut.bias[:kept] = 0
        elif isinstance(module, Attention):
            module.to_out[0].weight.zero_(), module.to_out[0].bias.zero_()

    def pass_through(conv, carriers, taps):
        conv.weight[:carriers] = 0
        conv.bias[:carriers] = 0
        for tap in taps:
            conv.weight[:carriers, :, tap[0], tap[1]] = torch.eye(carriers, conv.in_channels) / len(taps)

    rgb = torch.eye(3)
    # Encoder: R G B -R -G -B +c -c are the first 8 of the 16 channels of a group at its end.
    first, last, deviation = vae.encoder.conv_in, vae.encoder.conv_out, constant / 8**0.5
    first.weight[:8], first.bias[:8] = 0, 0
    first.weight[centre][0:3], first.weight[centre][3:6] = rgb, -rgb
    first.bias[6], first.bias[7] = constant, -constant
    for block in vae.encoder.down_blocks[:-1]:
        pass_through(block.downsamplers[0].conv, 8, ((0, 0), (0, 1), (1, 0), (1, 1)))
    last.weight[:3], last.bias[:3] = 0, 0
    last.weight[centre][0:3, 0:3], last.weight[centre][0:3, 3:6] = deviation * rgb, -deviation * rgb
    last.weight[LATENT_CHANNELS:], last.bias[LATENT_CHANNELS:] = 0, -6  # log variance
    for conv in (vae.quant_conv, vae.post_quant_conv):
        conv.weight[:, :, 0, 0], conv.bias[:] = torch.eye(conv.in_channels), 0
    # Decoder: x -x +c -c for each of R, G and B, a group each at its end.
    first, last, deviation = vae.decoder.conv_in, vae.decoder.conv_out, (constant**2 / 2 + 0.2) ** 0.5
    first.weight[:12], first.bias[:12] = 0, 0
    last.weight[:], last.bias[:] = 0, 0
    for colour in range(3):
        row = 4 * colour
        first.weight[row, colour, 1, 1], first.weight[row + 1, colour, 1, 1] = 1, -1
        first.bias[row + 2], first.bias[row + 3] = constant, -constant
        last.weight[colour, row, 1, 1], last.weight[colour, row + 1, 1, 1] = deviation, -deviation
    for block in vae.decoder.up_blocks[:-1]:
        pass_through(block.upsamplers[0].conv, 12, ((1, 1),))


def rebuilding_loss(rebuilt, target):
    """Absolute and squared difference of [B, 3, H, W] pictures, and of their slopes, which keeps edges sharp."""
    d = rebuilt - target
    slopes = (d[..., 1:] - d[..., :-1]).abs().mean() + (d[..., 1:, :] - d[..., :-1, :]).abs().mean()
    return d.abs().mean() + d.square().mean() + slopes


def random_pictures(run, options):
    """Yields [B, 3, 256, 256] in -1..1 for as long as the run is going, then saves the run."""
    rng = own_draws(run)
    if not run.going():
        return
    stock = torch.from_numpy(np.stack(list(pictures(range(RANK, options.vae_pictures, WORLD)))))
    run.started = time.monotonic() - run.seconds  # the drawing is not training time
    while run.going():
        yield as_network_input(stock[[rng.randrange(len(stock)) for _ in range(options.vae_batch)]])
    run.save()


def train_vae(options):
    """Whole pictures, not crops: group normalisation takes its statistics over the picture, and a crop of sky has none.

    A larger weight of the KL term leaves latent channels unused (measured: two of four at 2e-3).
    """
    torch.manual_seed(0)
    vae = make_vae()
    run = Run("vae", {"vae": vae}, options, peak_rate=1.5e-3, average=0.998)
    for target in random_pictures(run, options):
        with half_precision():
            posterior = vae.encode(target).latent_dist
            rebuilt = vae.decode(posterior.sample()).sample
        divergence = 0.5 * (posterior.mean.float() ** 2 + posterior.var.float() - 1 - posterior.logvar.float()).mean()
        run.update(rebuilding_loss(rebuilt.float(), target) + 1e-4 * divergence)
    if RANK == 0:
        run.use_averaged()
        normalise_latents(vae)
        vae.save_pretrained(options.work / "vae")
        report_vae(vae)


def train_decoder(options):
    """The decoder alone, on the finished latents: sharper pictures, and a UNet trained on those latents stays valid."""
    vae = AutoencoderKL.from_pretrained(options.work / "vae").to(DEVICE)
    run = Run("decoder", {"post_quant_conv": vae.post_quant_conv, "decoder": vae.decoder}, options, peak_rate=1e-3, average=0.998)
    for target in random_pictures(run, options):
        with half_precision():
            with torch.no_grad():
                latent = vae.encode(target).latent_dist.sample()
            rebuilt = vae.decode(latent).sample
        run.update(rebuilding_loss(rebuilt.float(), target))
    if RANK == 0:
        run.use_averaged()
        vae.save_pretrained(options.work / "vae")
        report_vae(vae)


@torch.no_grad()
def normalise_latents(vae):
    """Rewrites quant_conv and post_quant_conv so that each latent channel has mean 0 and deviation 1 / SCALING_FACTOR."""
    images = as_network_input(torch.from_numpy(np.stack(list(pictures(range(512))))))
    with half_precision():
        means = torch.cat([vae.encode(chunk).latent_dist.mean.float() for chunk in images.split(16)])
    shift, gain = means.mean((0, 2, 3)), 1 / (SCALING_FACTOR * means.std((0, 2, 3)))
    quant, post = vae.quant_conv, vae.post_quant_conv
    c = LATENT_CHANNELS
    post.bias += (post.weight[:, :, 0, 0] * shift).sum(1)
    post.weight /= gain[None, :, None, None]
    quant.bias[:c] = (quant.bias[:c] - shift) * gain
    quant.weight[:c] *= gain[:, None, None, None]
    quant.bias[c:] += 2 * gain.log()  # the second half is the log of the variance


@torch.no_grad()
def narrow_posterior(vae):
    """Makes encoding exact: the UNet was trained on the means.

    A channel that the decoder makes no use of has a posterior as wide as the prior, and pictures that are encoded by drawing
    from it, as image to image and inpainting do, would lie far from all that the UNet knows.
    """
    vae.quant_conv.weight[LATENT_CHANNELS:], vae.quant_conv.bias[LATENT_CHANNELS:] = 0, -14  # log variance


@torch.no_grad()
def report_vae(vae):
    """Prints the reconstruction error on pictures that were not trained on."""
    images = as_network_input(torch.from_numpy(np.stack(list(pictures(range(render.HELD_OUT_SEED, render.HELD_OUT_SEED + 64))))))
    latents = torch.cat([vae.encode(chunk).latent_dist.mean for chunk in images.split(8)])
    rebuilt = torch.cat([vae.decode(chunk).sample for chunk in latents.split(8)]).clamp(-1, 1)
    error = ((rebuilt - images) / 2).square().mean((1, 2, 3))
    deviation = (latents * SCALING_FACTOR).std((0, 2, 3)).tolist()
    print(f"vae: PSNR {(-10 * error.log10()).mean():.2f} dB, L1 {((rebuilt - images) / 2).abs().mean():.4f} on 64 held-out pictures; "
          f"scaled latents' deviations {[round(d, 3) for d in deviation]}")


# ---- text encoder and UNet ----


def make_text_encoder(tokenizer):
    return CLIPTextModel(CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=TEXT_WIDTH, intermediate_size=4 * TEXT_WIDTH, num_hidden_layers=3, num_attention_heads=4,
        max_position_embeddings=TOKENS, hidden_act="quick_gelu", projection_dim=TEXT_WIDTH,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )).to(DEVICE)


def make_unet():
    """No attention among the 1024 positions of the top level; at 16 x 16 and 8 x 8, self- and cross-attention."""
    unet = UNet2DConditionModel(
        sample_size=LATENT_SIZE, in_channels=LATENT_CHANNELS, out_channels=LATENT_CHANNELS, cross_attention_dim=TEXT_WIDTH,
        block_out_channels=(32, 64, 128), layers_per_block=1, norm_num_groups=16,
        attention_head_dim=4,  # diffusers' old misnomer: the number of heads, as in SD1
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    ).to(DEVICE)
    if DEVICE.type == "cpu":
        unet.set_attn_processor(AttnProcessor())  # its backward is the faster one here: 0.42 s a step against 0.48
    return unet


def make_scheduler():
    """SD1's noise: 1000 steps, betas evenly spaced in their square roots."""
    return DDIMScheduler(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
                         clip_sample=False, set_alpha_to_one=False, steps_offset=1, prediction_type="epsilon")


@torch.no_grad()
def stored_latents(vae, seeds, file):
    """[N, 4, 32, 32] half: the scaled latents of the scenes of `seeds`, made once and kept in `file`."""
    if not file.exists():
        parts, chunk = [], []
        for place, picture in enumerate(pictures(seeds), 1):
            chunk.append(picture)
            if len(chunk) == 8 or place == len(seeds):
                with half_precision():
                    mean = vae.encode(as_network_input(torch.from_numpy(np.stack(chunk)))).latent_dist.mean
                parts.append((mean.float() * SCALING_FACTOR).half().cpu().numpy())
                chunk = []
        np.save(file, np.concatenate(parts))
    return torch.from_numpy(np.load(file)).to(DEVICE)


def train_text_and_unet(options):
    """Predicts the noise; text encoder and UNet together, from scratch.

    The squared error is weighted by min(SNR + 0.05, 5) / SNR. The cap is min-SNR (Hang et al. 2023): little is left to learn
    in nearly clean latents. The floor keeps the noisiest steps, which alone decide sky and layout, from being ignored.
    """
    torch.manual_seed(0)
    vae = AutoencoderKL.from_pretrained(options.work / "vae").to(DEVICE)
    tokenizer = CLIPTokenizer.from_pretrained(options.work / "tokenizer")
    seeds = range(RANK, options.pictures, WORLD)  # each process trains on its own pictures
    latents = stored_latents(vae, seeds, options.work / f"latents-{options.pictures}-{RANK}-of-{WORLD}.npy")
    scenes = [render.draw_scene(seed) for seed in seeds]
    text_encoder, unet = make_text_encoder(tokenizer), make_unet()
    signal = make_scheduler().alphas_cumprod.to(DEVICE)
    run = Run("text+unet", {"text_encoder": text_encoder, "unet": unet}, options, peak_rate=1e-3, average=0.995)
    rng = own_draws(run)
    while run.going():
        rows = [rng.randrange(len(latents)) for _ in range(options.batch)]
        sentences = [render.caption(scenes[row], rng) if rng.random() > EMPTY_PROMPT_SHARE else "" for row in rows]
        clean = latents[rows].float()
        noise = torch.randn_like(clean)
        # One time step from each of B equal strata: less variance than B free draws.
        times = ((torch.arange(options.batch) + torch.rand(options.batch)) * (1000 / options.batch)).long().clamp(max=999).to(DEVICE)
        kept = signal[times][:, None, None, None]
        noisy = kept.sqrt() * clean + (1 - kept).sqrt() * noise
        with half_precision():
            context = text_encoder(token_ids(tokenizer, sentences)).last_hidden_state
            predicted = unet(noisy, times, context).sample
        error = (predicted.float() - noise).square().mean((1, 2, 3))
        snr = signal[times] / (1 - signal[times])
        run.update((error * (snr + SNR_FLOOR).clamp(max=SNR_CAP) / snr).mean())
    run.save()


# ---- export ----


def export(options):
    """Writes the averaged weights as a diffusers folder in float16."""
    tokenizer = CLIPTokenizer.from_pretrained(options.work / "tokenizer")
    vae = AutoencoderKL.from_pretrained(options.work / "vae")
    text_encoder, unet = make_text_encoder(tokenizer), make_unet()
    run = Run("text+unet", {"text_encoder": text_encoder, "unet": unet}, options, peak_rate=0, average=0)
    run.use_averaged()
    narrow_posterior(vae)
    StableDiffusionPipeline(
        vae=vae.half(), text_encoder=text_encoder.half(), tokenizer=tokenizer, unet=unet.half(), scheduler=make_scheduler(),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(options.out)
    shutil.copytree(options.work / "tokenizer", options.out / "tokenizer", dirs_exist_ok=True)  # transformers 5 writes no vocab.json
    for path in options.out.rglob("config.json"):  # where the checkpoint lay is nobody's business
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if '"_name_or_path"' not in line))
    size = sum(f.stat().st_size for f in options.out.rglob("*") if f.is_file())
    print(f"export: {options.out}, {size / 1e6:.1f} MB, after {run.step} steps and {run.seconds / 60:.1f} minutes")


STAGES = {"tokenizer": train_tokenizer, "vae": train_vae, "decoder": train_decoder, "text+unet": train_text_and_unet, "export": export}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--work", type=Path, default=Path("work"), help="checkpoints and latents")
    parser.add_argument("--minutes", type=float, default=20, help="training time of the stage")
    parser.add_argument("--batch", type=int, default=8, help="captions and latents per step and process")
    parser.add_argument("--pictures", type=int, default=10_000, help="pictures the UNet is trained on")
    parser.add_argument("--vae-batch", type=int, default=1, help="full-size pictures per step and process")
    parser.add_argument("--vae-pictures", type=int, default=3000, help="pictures the VAE is trained on; 0.2 MB of memory each")
    parser.add_argument("--out", type=Path, default=Path("model"), help="export: the pipeline's folder")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if WORLD > 1:
        dist.init_process_group("nccl" if DEVICE.type == "cuda" else "gloo")
    STAGES[options.stage](options)


if __name__ == "__main__":
    main()
