#!/usr/bin/env python3
"""Measures the Unicode behaviour of the `tokenizers` package and writes ../unicode_tables.c.

    python3 make_tables.py [../unicode_tables.c]        needs tokenizers 0.23.3 (the file states the version used)

CLIPTokenizer's pipeline mixes four versions of Unicode: NFC comes from the crate unicode-normalization-alignments
(2017: it knows no mark that came later), \\s \\p{L} \\p{N} from Oniguruma (Unicode 16), lower-casing from Rust's
standard library (Unicode 17), \\w of single-word tokens from Rust's regex. None equals Python's unicodedata, so
nothing is taken from it: every code point is put through the package, and what comes out is the table.
"""

import os
import sys

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

CODES = [code for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
APART = "\x01"  # in no class, never composes, never reorders
HANGUL = range(0xAC00, 0xD7A4)
nfc, nfd = normalizers.NFC().normalize_str, normalizers.NFD().normalize_str
lower = normalizers.Lowercase().normalize_str


def batches(size=4096):
    for start in range(0, len(CODES), size):
        yield CODES[start : start + size]


def class_of(pattern):
    split = pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True)
    found = set()
    for codes in batches():
        for piece, _ in split.pre_tokenize_str(APART.join(map(chr, codes))):
            found.update(map(ord, piece))
    return found


def word_characters():
    """\\w: the characters after which a single-word token is not one."""
    mark = "@@"
    tokenizer = Tokenizer(models.BPE(vocab={"?": 0}, merges=[], unk_token="?"))
    tokenizer.add_tokens([AddedToken(mark, single_word=True, normalized=False)])
    number = tokenizer.token_to_id(mark)
    found = set()
    for codes in batches():
        codes = [code for code in codes if chr(code) != mark[0]]
        text = "".join(APART + chr(code) + mark for code in codes)
        encoding = tokenizer.encode(text)
        free = {start for token, (start, _) in zip(encoding.ids, encoding.offsets) if token == number}
        found.update(code for i, code in enumerate(codes) if i * 4 + 2 not in free)
    return found


def combining_classes():
    """Ranks in the order of the canonical combining classes, from how NFD sorts two marks after a letter."""

    def sorts(left, right):  # true when right is moved before left
        pair = [nfd("a" + left + right), nfd("a" + right + left)]
        return pair[0] == pair[1] and nfd(left) != nfd(right) and pair[0] == "a" + nfd(right) + nfd(left)

    # Candidates: whatever moves against U+0334 (class 1) or U+0345 (class 240), each decomposing to itself.
    low, high = "\u0334", "\u0345"
    marks = [
        c
        for c in map(chr, CODES)
        if nfd(c) == c
        and (c in (low, high) or nfd("a" + c + low) == "a" + low + c or nfd("a" + high + c) == "a" + c + high)
    ]
    import functools

    def compare(a, b):
        if a == b:
            return 0
        return 1 if sorts(a, b) else -1 if sorts(b, a) else 0

    ordered = sorted(marks, key=functools.cmp_to_key(compare))
    classes, rank, before = {}, 0, None
    for mark in ordered:
        rank += before is None or compare(before, mark) < 0
        classes[ord(mark)] = rank
        before = mark
    return classes


def lower_runs():
    mapping = {code: lower(chr(code)) for code in CODES}
    mapping = {code: text for code, text in mapping.items() if text != chr(code)}
    assert {code: text for code, text in mapping.items() if len(text) != 1} == {0x130: "i\u0307"}
    del mapping[0x130]
    codes = sorted(mapping)
    runs, i = [], 0
    while i < len(codes):
        first, offset = codes[i], ord(mapping[codes[i]]) - codes[i]
        step = codes[i + 1] - first if i + 1 < len(codes) and codes[i + 1] - first <= 2 else 1
        count = 1
        while (
            i + count < len(codes)
            and codes[i + count] == first + count * step
            and ord(mapping[codes[i + count]]) - codes[i + count] == offset
        ):
            count += 1
        if count == 1:
            step = 1
        # Runs must not interleave: the lookup takes the last one that begins at or before a code.
        assert not runs or runs[-1][0] + (runs[-1][1] - 1) * runs[-1][2] < first
        runs.append((first, count, step, offset))
        i += count
    return runs


def decompositions():
    """First-level decompositions (code, first, second or 0) outside Hangul, and which of them NFC composes again."""
    full = {code: nfd(chr(code)) for code in CODES if code not in HANGUL}
    full = {code: text for code, text in full.items() if text != chr(code)}
    by_text = {}
    for code, text in full.items():
        if nfc(chr(code)) == chr(code) or text not in by_text:
            by_text[text] = code
    rows, composed = [], []
    for code, text in sorted(full.items()):
        if len(text) == 1:
            rows.append((code, ord(text), 0))
            continue
        head = text[:-1]
        first = ord(head) if len(head) == 1 else by_text[head]
        rows.append((code, first, ord(text[-1])))
        if nfc(chr(first) + text[-1]) == chr(code):
            composed.append((first, ord(text[-1]), len(rows) - 1))
    assert not {row[2] for row in rows} & set(full)  # second parts never decompose further
    return rows, [index for _, _, index in sorted(composed)]


def check_pairs(rows, composed, order):
    """The tables, used by the standard's algorithm, must compose every pair of parts as the package does."""
    apart = {code: (first, second) for code, first, second in rows}
    join = {rows[i][1:]: rows[i][0] for i in composed}

    def expand(code):
        first, second = apart.get(code, (code, None))
        return [code] if second is None else expand(first) + (expand(second) if second else [])

    def compose(text):
        codes = [part for char in text for part in expand(ord(char))]
        i = 0
        while i < len(codes):  # sort each run of marks, stably
            end = i
            while end < len(codes) and order.get(codes[end], 0):
                end += 1
            codes[i:end] = sorted(codes[i:end], key=lambda c: order[c])
            i = end + 1
        out, starter, before = [], None, 0
        for code in codes:
            rank = order.get(code, 0)
            if (
                starter is not None
                and (before < rank or (before == 0 and starter == len(out) - 1))
                and (out[starter], code) in join
            ):
                out[starter] = join[out[starter], code]
                continue
            if rank == 0:
                starter = len(out)
            before = rank
            out.append(code)
        return "".join(map(chr, out))

    firsts = sorted({row[1] for row in rows} | {row[0] for row in rows})
    seconds = sorted({row[2] for row in rows if row[2]})
    for first in firsts:
        for second in seconds:
            text = chr(first) + chr(second)
            assert compose(text) == nfc(text), (hex(first), hex(second))
    print(f"{len(firsts)} x {len(seconds)} pairs compose alike")


def changes(value_of, last=0x110000):
    """(first code, value) wherever the value changes."""
    rows, before = [], None
    for code in range(last):
        value = value_of(code)
        if value != before:
            rows.append((code, value))
            before = value
    return rows


def table(out, declaration, items):
    out.append(f"{declaration} = {{")
    line = "   "
    for item in items:
        if len(line) + len(item) + 2 > 120:
            out.append(line)
            line = "   "
        line += f" {item},"
    out += [line, "};", ""]


def main():
    target = (
        sys.argv[1]
        if len(sys.argv) > 1
        else os.path.join(os.path.dirname(os.path.abspath(__file__)), "../unicode_tables.c")
    )
    letter, number, space, word = class_of(r"[\p{L}]"), class_of(r"[\p{N}]"), class_of(r"\s"), word_characters()
    assert not letter & number and not (letter | number) & space
    bits = changes(lambda c: (c in letter) | (c in number) << 1 | (c in space) << 2 | (c in word) << 3)
    order = combining_classes()
    marks = changes(lambda c: order.get(c, 0))
    runs = lower_runs()
    rows, composed = decompositions()
    check_pairs(rows, composed, order)
    out = [
        f"/* Unicode as the package tokenizers {tokenizers.__version__} has it, measured code point by code point.",
        "   Made by data/make_tables.py: do not edit. What each table means is said in unicode_tables.h. */",
        "/* clang-format off */",
        '#include "unicode_tables.h"',
        "",
    ]
    table(out, f"const uint32_t calo_unicode_classes[{len(bits)}]", [f"{c << 4 | v:#x}" for c, v in bits])
    table(out, f"const uint32_t calo_unicode_marks[{len(marks)}]", [f"{c << 8 | v:#x}" for c, v in marks])
    table(
        out,
        f"const struct calo_unicode_lower calo_unicode_lowers[{len(runs)}]",
        [f"{{{f:#x},{n},{s},{o}}}" for f, n, s, o in runs],
    )
    table(
        out,
        f"const struct calo_unicode_pair calo_unicode_pairs[{len(rows)}]",
        [f"{{{c:#x},{a:#x},{b:#x}}}" for c, a, b in rows],
    )
    table(out, f"const uint16_t calo_unicode_composed[{len(composed)}]", [str(i) for i in composed])
    for name, size in (
        ("class", len(bits)),
        ("mark", len(marks)),
        ("lower", len(runs)),
        ("pair", len(rows)),
        ("composed", len(composed)),
    ):
        out.append(f"const size_t calo_unicode_{name}_count = {size};")
    out.append("/* clang-format on */")
    open(target, "w").write("\n".join(out) + "\n")
    print(
        f"{target}: {len(bits)} class changes, {len(marks)} mark changes ({max(order.values())} classes), "
        f"{len(runs)} lower runs, "
        f"{len(rows)} decompositions, {len(composed)} compositions"
    )


if __name__ == "__main__":
    main()
