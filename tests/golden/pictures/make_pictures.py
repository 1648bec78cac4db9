#!/usr/bin/env python3
"""What Pillow, OpenCV, torch and diffusers make of small pictures, for tests/unit/test_pictures.c and test_picture_files.c.

    python make_pictures.py            writes vectors.bin beside this file

Made with Pillow 13.0.0 (MIT-CMU), opencv-python-headless 5.0.0 (Apache-2.0), torch 2.15.0 (BSD-3-Clause) and diffusers 0.42.1
(Apache-2.0). Pillow before 13 made the passes of a resize in another order, see engine/picture_size.c. The pictures that
go in are not stored: `numbers` makes them here, `fill` in vectors.h.

vectors.bin, little-endian: records of 16 int32 (kind, 14 arguments, the number of bytes that follow) and those bytes.
16-bit grey is left out: Pillow's conversion clips it where the others keep the high byte.
"""
import io
import pathlib
import struct
import zlib

import cv2
import numpy as np
import torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image, ImageOps

RESIZE, CROP, PAD, GREY, FLATTEN, BINARISE, BLUR, REGION, OVERLAY, EXTEND, VALUES, MASKED, NEAREST, PNG, JPEG = range(15)
records = []
plain = VaeImageProcessor(vae_scale_factor=1)
masks = VaeImageProcessor(vae_scale_factor=1, do_normalize=False, do_binarize=True, do_convert_grayscale=True)


def add(kind, arguments, data):
    arguments = list(arguments) + [0] * (14 - len(arguments))
    records.append(struct.pack("<16i", kind, *arguments, len(data)) + data)


def numbers(seed, count):
    """Noise, black and white, a saw with a little noise, or runs of one value, by seed % 4."""
    i = np.arange(count, dtype=np.uint64)
    style = seed % 4
    x = ((i // 7 if style == 3 else i) * 2654435761 + seed * 2246822519) & 0xFFFFFFFF
    x ^= x >> 15
    x = (x * 2246822519) & 0xFFFFFFFF
    x ^= x >> 13
    if style == 1:
        return ((x >> 8 & 1) * 255).astype(np.uint8)
    if style == 2:
        return ((i * (seed + 5) // 16 + (x & 15)) & 255).astype(np.uint8)
    if style == 3:
        return np.where(x >> 9 & 1, 0, x & 255).astype(np.uint8)
    return (x & 255).astype(np.uint8)


def array(seed, width, height, channels):
    values = numbers(seed, width * height * channels)
    return values.reshape((height, width) if channels == 1 else (height, width, channels))


def picture(seed, width, height, channels):
    return Image.fromarray(array(seed, width, height, channels))


def raw(image):
    return np.asarray(image).tobytes()


# ---- sizes

SIZES = [((1, 1), (1, 1)), ((1, 1), (5, 3)), ((2, 3), (7, 2)), ((13, 9), (13, 9)), ((13, 9), (13, 20)), ((13, 9), (30, 9)),
         ((13, 9), (8, 8)), ((17, 31), (40, 16)), ((31, 17), (16, 40)), ((64, 48), (24, 24)), ((61, 43), (5, 3)),
         ((300, 1), (16, 16)), ((1, 300), (16, 16)), ((300, 1), (301, 2)), ((3, 200), (24, 5)), ((16, 16), (1, 1)),
         ((24, 16), (48, 32)), ((5, 5), (64, 8)), ((97, 5), (96, 8))]
for seed, ((w, h), (W, H)) in enumerate(SIZES):
    for channels in (1, 3):
        image = picture(seed, w, h, channels)
        add(RESIZE, [w, h, channels, seed, W, H], raw(image.resize((W, H), Image.LANCZOS)))
    image = picture(seed, w, h, 3)
    for kind, mode in ((CROP, "crop"), (PAD, "fill")):
        try:
            add(kind, [w, h, 3, seed, W, H], raw(plain.resize(image, H, W, resize_mode=mode)))
        except ValueError:  # nothing would be left of the short side
            add(kind, [w, h, 3, seed, W, H], b"")
for seed, ((w, h), (W, H)) in enumerate([((40, 30), (16, 24)), ((30, 40), (24, 16)), ((7, 9), (16, 16)), ((33, 20), (9, 7)),
                                         ((20, 33), (7, 9)), ((20, 20), (16, 32)), ((64, 8), (16, 16)), ((8, 64), (16, 16))]):
    image = picture(seed, w, h, 3)
    add(CROP, [w, h, 3, seed, W, H], raw(plain.resize(image, H, W, resize_mode="crop")))
    add(PAD, [w, h, 3, seed, W, H], raw(plain.resize(image, H, W, resize_mode="fill")))

# ---- colours

add(GREY, [61, 40, 3, 0], raw(picture(0, 61, 40, 3).convert("L")))
for seed in (0, 3):
    image = picture(seed, 33, 32, 4)
    white = Image.new("RGB", image.size, (255, 255, 255))
    white.paste(image, mask=image.getchannel("A"))
    add(FLATTEN, [33, 32, 4, seed], raw(white))
binary = masks.preprocess(picture(0, 16, 16, 1), 16, 16)
add(BINARISE, [16, 16, 1, 0], (binary.numpy() * 255).astype(np.uint8).tobytes())

# ---- blur: A1111's two calls

for seed, (w, h, deviation) in enumerate([(40, 30, 4), (30, 40, 4), (33, 17, 0.3), (33, 17, 1), (33, 17, 2.5), (64, 64, 8),
                                          (50, 40, 12.7), (1, 50, 4), (50, 1, 4), (2, 3, 16), (5, 4, 64), (80, 60, 32),
                                          (40, 40, 100), (33, 33, 0.1), (21, 33, 6.2), (40, 40, 256)]):
    for style in (1, 3):
        n = 4 * seed + style
        mask = array(n, w, h, 1)
        size = 2 * int(2.5 * deviation + 0.5) + 1
        mask = cv2.GaussianBlur(mask, (size, 1), deviation)
        mask = cv2.GaussianBlur(mask, (1, size), deviation)
        add(BLUR, [w, h, 1, n, round(deviation * 1000)], mask.tobytes())

# ---- regions

state = np.random.RandomState(6)
for case in range(300):
    w, h = (int(x) for x in state.randint(1, 90, 2))
    x, y = int(state.randint(0, w)), int(state.randint(0, h))
    x2, y2 = int(state.randint(x, w)) + 1, int(state.randint(y, h)) + 1
    W, H = (int(8 * x) for x in state.randint(1, 100, 2))
    pad = int(state.choice([0, 1, 4, 32, 200]))
    mask = np.zeros((h, w), np.uint8)
    mask[y, x:x2] = 1
    mask[y:y2, x] = 200
    region = VaeImageProcessor.get_crop_region(Image.fromarray(mask), W, H, pad)
    add(REGION, [w, h, x, y, x2, y2, W, H, pad], struct.pack("<4i", *region))

# ---- overlay, canvas, numbers

for seed, (w, h, W, H, region) in enumerate([(40, 30, 40, 30, None), (33, 47, 33, 47, None), (40, 30, 16, 24, (5, 2, 21, 26)),
                                             (40, 30, 24, 16, (0, 0, 39, 29)), (40, 31, 32, 32, (8, 0, 39, 31))]):
    mask, init, made = array(4 * seed + 3, w, h, 1).copy(), picture(seed + 1, w, h, 3), picture(seed + 2, W, H, 3)
    if region:  # as a region's mask is: nothing outside
        inside = np.zeros_like(mask)
        inside[region[1]:region[3], region[0]:region[2]] = 1
        mask *= inside
    result = plain.apply_overlay(Image.fromarray(mask), init, made, region)
    add(OVERLAY, [w, h, W, H, seed, *(region or (0, 0, 0, 0))], raw(result))
for seed, (w, h, c, l, t, r, b) in enumerate([(7, 5, 3, 8, 16, 0, 8), (7, 5, 1, 0, 0, 8, 0), (1, 1, 3, 3, 2, 1, 4)]):
    edges = ((t, b), (l, r)) + (((0, 0),) if c == 3 else ())
    add(EXTEND, [w, h, c, seed, l, t, r, b, 0], np.pad(array(seed, w, h, c), edges, "edge").tobytes())
    add(EXTEND, [w, h, c, seed, l, t, r, b, 1], np.pad(array(seed, w, h, c), edges, constant_values=255).tobytes())
every = plain.preprocess(picture(0, 32, 24, 3), 24, 32)
add(VALUES, [32, 24, 3, 0], every.permute(0, 2, 3, 1).contiguous().numpy().tobytes())
hole = masks.preprocess(picture(4, 32, 24, 1), 24, 32)
add(MASKED, [32, 24, 3, 0, 4], (every * (hole < 0.5)).permute(0, 2, 3, 1).contiguous().numpy().tobytes())
for seed, (w, h, W, H) in enumerate([(64, 48, 8, 6), (61, 47, 7, 5), (100, 3, 7, 3), (9, 9, 4, 8), (33, 77, 31, 10), (5, 4, 10, 8),
                                     (7, 5, 16, 13)]):
    mask = torch.from_numpy(array(seed, w, h, 1).astype(np.float32) / 255.0)[None, None]
    add(NEAREST, [w, h, 1, seed, W, H], torch.nn.functional.interpolate(mask, size=(H, W)).contiguous().numpy().tobytes())

# ---- files


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, bits, color, interlaced, seed, extra=b""):
    """A PNG of noise; the filters take turns."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    data, at = b"", 0
    noise = numbers(4 * seed, 16 * (width + 8) * (height + 8)).tobytes()
    steps = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    for x, y, dx, dy in steps if interlaced else [(0, 0, 1, 1)]:
        columns, rows = max(0, -(-(width - x) // dx)), max(0, -(-(height - y) // dy))
        for row in range(rows if columns else 0):
            size = (columns * bits * samples + 7) // 8
            data += bytes([row % 5]) + noise[at:at + size]
            at += size
    packed = zlib.compress(data, 9)
    half = len(packed) // 2
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, interlaced)) + extra +
            chunk(b"IDAT", packed[:half]) + chunk(b"IDAT", packed[half:]) + chunk(b"IEND", b""))


def expect(kind, file, mode):
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(file))).convert(mode)
    add(kind, [image.width, image.height, len(file)], file + raw(image))


seed = 0
for color, depths in ((0, (1, 2, 4, 8)), (2, (8, 16)), (3, (1, 2, 4, 8)), (4, (8, 16)), (6, (8, 16))):
    for bits in depths:
        for interlaced in (0, 1):
            for width, height in ((13, 9), (1, 1), (3, 8)):
                seed += 1
                extra = b""
                if color == 3:
                    palette = numbers(4 * seed, 3 << bits).tobytes()
                    extra = chunk(b"PLTE", palette) + (chunk(b"tRNS", palette[:1 << bits >> 1]) if width == 13 else b"")
                expect(PNG, png(width, height, bits, color, interlaced, seed, extra), "RGBA")
grey = Image.fromarray(array(3, 20, 15, 1))  # one value is transparent
file = io.BytesIO()
grey.save(file, "PNG", transparency=0)
expect(PNG, file.getvalue(), "RGBA")
file = io.BytesIO()
Image.fromarray(array(1, 20, 15, 3)).save(file, "PNG", transparency=(255, 0, 255))
expect(PNG, file.getvalue(), "RGBA")
smooth = Image.fromarray(np.fromfunction(lambda y, x, c: 40 + 5 * x + 3 * y + 20 * c, (16, 24, 3)).astype(np.uint8))
for orientation in range(9):
    for kind, form in ((JPEG, "JPEG"), (PNG, "PNG")):
        exif, file = Image.Exif(), io.BytesIO()
        exif[0x0112] = orientation
        smooth.save(file, form, exif=exif, **({"quality": 95, "subsampling": 0} if form == "JPEG" else {}))
        expect(kind, file.getvalue(), "RGB" if form == "JPEG" else "RGBA")
for options in ({"progressive": True}, {"subsampling": 2}, {"optimize": True}):
    file = io.BytesIO()
    smooth.save(file, "JPEG", quality=95, **options)
    expect(JPEG, file.getvalue(), "RGB")
file = io.BytesIO()
smooth.convert("L").save(file, "JPEG", quality=95)
expect(JPEG, file.getvalue(), "RGB")

pathlib.Path(__file__).with_name("vectors.bin").write_bytes(b"".join(records))
