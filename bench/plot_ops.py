#!/usr/bin/env python3
"""Draws what torch_peer.py --bench-ops recorded as an SVG: python3 bench/plot_ops.py OPS.json … >PICTURE.svg

A row a shape: our fastest kernel and the fastest of the vendor's (cuBLASLt, cuDNN, torch), as fractions of the device's
measured matrix-product peak. Python's standard library is all it needs.
"""
import json
import sys
from xml.sax.saxutils import escape

ROW, BAR, LEFT, WIDTH, TOP = 30, 11, 300, 520, 64
OURS, VENDOR, INK, LINES = "#c2571a", "#8a97a6", "#24292f", "#d8dde3"
VENDORS = ("torch", "cublas", "cudnn")


def rows_of(path):
    record = json.load(open(path))
    for shape in record["ops"]["shapes"]:
        fraction = shape["fraction_of_peak"]
        bars = [max(group, key=fraction.get) for group in ([k for k in fraction if k not in VENDORS],
                                                           [k for k in fraction if k in VENDORS]) if group]
        yield record, shape["op"], shape["shape"], [(name, fraction[name]) for name in bars]


def text(x, y, words, anchor="start", size=12, colour=INK):
    return f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'


def bar(x, y, width, colour):
    return f'<rect x="{x}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2" fill="{colour}"/>'


def main():
    rows = [row for path in sys.argv[1:] for row in rows_of(path)]
    if not rows:
        sys.exit(__doc__)
    record, bottom = rows[0][0], TOP + ROW * len(rows)
    machine = record["machine"]
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 90} {bottom + 34}" '
          'font-family="Helvetica, Arial, sans-serif"><rect width="100%" height="100%" fill="#ffffff"/>')
    print(text(16, 24, f'{machine.get("device", "?")}, {record["dtype"]}: share of its matrix-product peak, '
               f'{record["ops"]["peak_flops"] / 1e12:.0f} TFLOP/s', size=15))
    print(bar(16, 38, 22, OURS) + text(44, 48, "calotype's kernel"))
    print(bar(170, 38, 22, VENDOR) + text(198, 48, f'the best of cuBLASLt, cuDNN and torch {machine.get("torch", "")}'))
    for tenth in range(0, 11, 2):
        x = LEFT + WIDTH * tenth / 10
        print(f'<line x1="{x}" x2="{x}" y1="{TOP}" y2="{bottom}" stroke="{LINES}"/>')
        print(text(x, bottom + 18, f"{tenth * 10} %", "middle", 11))
    for i, (_, op, shape, bars) in enumerate(rows):
        y = TOP + i * ROW
        print(text(LEFT - 10, y + 18, f"{op} {shape}", "end", 11))
        for k, (name, fraction) in enumerate(bars):
            colour = VENDOR if name in VENDORS else OURS
            width = WIDTH * min(fraction, 1.05)
            print(bar(LEFT, y + 3 + k * (BAR + 1), width, colour))
            print(text(LEFT + width + 5, y + 12 + k * (BAR + 1), f"{100 * fraction:.0f} % {name}", size=9))
    print("</svg>")


if __name__ == "__main__":
    main()
