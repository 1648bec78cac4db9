#!/usr/bin/env python3
"""Draws from torch's CPU generator, for tests/unit/test_rng.c. Needs torch; run on a machine with AVX2.

    python make_rng.py            writes rng.bin beside this file

rng.bin, little-endian: "CALORNG1", then records, each one call of torch.randn on one generator:
    u64 seed    u32 fresh (1: a new generator, 0: the previous record's goes on)    u32 type (1 f32, 2 f16, 3 bf16)
    u64 n       u32 stored      the first `stored` and, when n is larger, the last `stored` elements in storage bits
A large draw keeps its two ends: a wrong word anywhere in the stream moves the end and every later record.
"""
import pathlib
import struct

import torch

SEEDS = [0, 7, 2**31, 2**32 + 5, 2**63 + 11, 2**64 - 1]
SIZES = [1, 4, 15, 16, 17, 31, 64, 16384 + 3]
SEQUENCE = [1, 4, 16, 3, 17, 1, 1, 2, 64, 15, 31, 16384, 5, 1000003, 1, 16, 7]
HALF_SEQUENCE = [1, 16, 3, 17, 31, 5, 4096, 4099, 2]
TYPES = [(1, torch.float32, torch.int32), (2, torch.float16, torch.int16), (3, torch.bfloat16, torch.int16)]
KEPT = 128


def record(generator, seed, fresh, code, dtype, bits, n):
    drawn = torch.randn(n, generator=generator, dtype=dtype).view(bits)
    stored = min(n, KEPT)
    ends = drawn[:stored] if n == stored else torch.cat([drawn[:stored], drawn[-stored:]])
    return struct.pack("<QIIQI", seed, fresh, code, n, stored) + ends.numpy().tobytes()


def main():
    torch.set_num_threads(1)
    out = [b"CALORNG1"]
    for seed in SEEDS:
        for n in SIZES:
            out.append(record(torch.Generator("cpu").manual_seed(seed), seed, 1, *TYPES[0], n))
        generator = torch.Generator("cpu").manual_seed(seed)
        for i, n in enumerate(SEQUENCE):
            out.append(record(generator, seed, i == 0, *TYPES[0], n))
    for kind in TYPES[1:]:
        for seed in SEEDS[1:4]:
            generator = torch.Generator("cpu").manual_seed(seed)
            for i, n in enumerate(HALF_SEQUENCE):
                out.append(record(generator, seed, i == 0, *kind, n))
    generator = torch.Generator("cpu").manual_seed(7)  # the spare normal and the stream are one for all types
    for i, (n, kind) in enumerate([(3, 1), (16, 0), (1, 0), (17, 2), (2, 2), (20, 0)]):
        out.append(record(generator, 7, i == 0, *TYPES[kind], n))
    path = pathlib.Path(__file__).with_name("rng.bin")
    path.write_bytes(b"".join(out))
    print(f"{path}: {path.stat().st_size} bytes, torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}")


if __name__ == "__main__":
    main()
