#!/usr/bin/env python3
"""Makes unicode.txt: what the package tokenizers does with every code point, as one hash for 1024 of them.

    python3 make_unicode.py        needs tokenizers 0.23.3

A line is "FIRST HASH": FNV-1a, 64 bits, over 4 bytes each, low byte first, of all that follows for each code point c
from FIRST (hexadecimal) on, surrogates and 0 left out: the bits letter 1, number 2, space 4, word 8; then, each
behind its length, lower(c) and the NFC of c, of "e" c, of c U+0301 and of "a" U+0330 c U+0301 U+0334.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../../engine/text/data"))
import tokenizers
from make_tables import class_of, lower, nfc, word_characters


def main():
    letter, number, space, word = class_of(r"[\p{L}]"), class_of(r"[\p{N}]"), class_of(r"\s"), word_characters()
    other = class_of(r"[^\s\p{L}\p{N}]")
    lines = [f"# tokenizers {tokenizers.__version__}; made by make_unicode.py"]
    for first in range(0, 0x110000, 1024):
        value = 0xCBF29CE484222325
        for code in range(first, first + 1024):
            if code == 0 or 0xD800 <= code <= 0xDFFF:
                continue
            c = chr(code)
            # The separator of class_of, U+0001, is in `other` whatever it is asked for.
            assert code == 1 or (code in other) == (code not in letter and code not in number and code not in space)
            numbers = [(code in letter) | (code in number) << 1 | (code in space) << 2 | (code in word) << 3]
            for text in (lower(c), nfc(c), nfc("e" + c), nfc(c + "\u0301"), nfc("a\u0330" + c + "\u0301\u0334")):
                numbers += [len(text), *map(ord, text)]
            for byte in b"".join(number_.to_bytes(4, "little") for number_ in numbers):
                value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
        lines.append(f"{first:x} {value:016x}")
    open(os.path.join(HERE, "unicode.txt"), "w").write("\n".join(lines) + "\n")


main()
