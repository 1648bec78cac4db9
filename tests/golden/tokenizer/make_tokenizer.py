#!/usr/bin/env python3
"""Makes this folder's vectors: prompts and the ids that transformers' CLIPTokenizer gives them.

    python3 make_tokenizer.py ../../../tools/demo/model/tokenizer      needs transformers 5.23.0, tokenizers 0.23.3

The argument is the demo model's tokenizer, copied to demo/. clip.txt is for CLIP's whole vocabulary, which is built
here from engine/text/data/clip_merges.txt.gz as the folder of Stable Diffusion 1 has it; the other folders are small
ones that each state their special tokens in another way.

A .txt file: "#" lines are comments. "folder NAME LENGTH PAD SIZE" (max_length, padding id, distinct words), then one
prompt a line:
    REPEAT <tab> TEXT <tab> IDS <tab> COUNT <tab> HASH
TEXT is repeated REPEAT times; in it %XX is a byte. IDS are those for max_length LENGTH, padding included only where
it stands on the left. COUNT and HASH are those of all ids without frame and cut: HASH is FNV-1a, 64 bits, over the
ids as 4 bytes each, low byte first.
"""

import gzip
import json
import os
import random
import shutil
import sys
import tempfile
import warnings

import tokenizers
import transformers
from transformers import CLIPTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "../../../engine/text/data/clip_merges.txt.gz")
LENGTH = 77
START, END = "<|startoftext|>", "<|endoftext|>"


def byte_alphabet():
    printing = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printing]
    return [chr(byte) for byte in printing] + [chr(256 + i) for i in range(len(others))]


def write_json(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, separators=(",", ":"))
        file.write("\n")


def write_vocabulary(folder, words, merges, newline="\n"):
    os.makedirs(folder, exist_ok=True)
    write_json(folder, "vocab.json", {word: i for i, word in enumerate(words)})
    with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8", newline=newline) as file:
        file.write("#version: 0.2\n" + "".join(merge + "\n" for merge in merges))


def token(content, **flags):
    return {"content": content, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False, **flags}


def typed(content, **flags):
    return {"__type": "AddedToken", **token(content, **flags)}


SD1 = {
    "bos_token": typed(START),
    "eos_token": typed(END),
    "unk_token": typed(END),
    "pad_token": END,
    "model_max_length": 77,
    "do_lower_case": True,
    "add_prefix_space": False,
    "errors": "replace",
}


def write_full(folder):
    """CLIP's whole vocabulary, in the folder of Stable Diffusion 1."""
    merges = gzip.open(DATA).read().decode("utf-8").splitlines()
    letters = byte_alphabet()
    words = (
        letters + [letter + "</w>" for letter in letters] + [merge.replace(" ", "") for merge in merges] + [START, END]
    )
    assert len(words) == 49408
    write_vocabulary(folder, words, merges)
    write_json(folder, "tokenizer_config.json", SD1)


SMALL_MERGES = [
    "a n",
    "an d</w>",
    "t h",
    "th e</w>",
    "c a",
    "ca t</w>",
    "h o",
    "ho u",
    "hou s",
    "hous e</w>",
    "r e",
    "re d</w>",
    "! !</w>",
    "| ></w>",
]


def small_words(letters="abcdefghijklmnopqrstuvwxyz!'<|>019é"):
    alphabet = sorted({symbol for letter in letters for symbol in symbols(letter)})
    made = [merge.replace(" ", "") for merge in SMALL_MERGES]
    return list(dict.fromkeys(alphabet + [letter + "</w>" for letter in alphabet] + made))


def symbols(letter):
    table = dict(zip([*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)], byte_alphabet()))
    rest = iter(byte_alphabet()[188:])
    for byte in range(256):
        if byte not in table:
            table[byte] = next(rest)
    return [table[byte] for byte in letter.encode()]


def write_small_folders():
    """(name, what is in it beside vocabulary and merges)"""
    words = small_words()
    both = words + [START, END]
    files = {
        # Stable Diffusion 2 and XL's second: pads with "!", which is thereby cut out of prompts.
        "small_bang": (
            both,
            {
                "tokenizer_config": {**SD1, "pad_token": "!"},
                "special_tokens_map": {
                    "bos_token": token(START),
                    "eos_token": token(END),
                    "unk_token": token(END),
                    "pad_token": "!",
                },
            },
        ),
        # Nothing but the vocabulary.
        "small_bare": (both, {}),
        # The list alone counts: the map beside it is not read.
        "small_decoder": (
            words + [START, END],
            {
                "tokenizer_config": {
                    "added_tokens_decoder": {
                        str(len(words)): token(START, special=True),
                        str(len(words) + 1): token(END, special=True),
                        "900": token("<cat-toy>", single_word=True),
                        "901": token("  gap", lstrip=True, rstrip=True, normalized=False),
                        "902": token("Crème Brûlée"),
                        "903": token("ab", rstrip=True),
                        "904": token("abc", normalized=False),
                        # Found only where the one before, or after, has left the space.
                        "905": token(" red"),
                        "906": token("the "),
                    },
                    "bos_token": START,
                    "model_max_length": 16,
                },
                "special_tokens_map": {"pad_token": "!"},
            },
        ),
        # Textual inversion of old: added_tokens.json, tokens that the vocabulary lacks, other names for the frame.
        "small_extra": (
            words,
            {
                "tokenizer_config": {
                    "bos_token": "<start_of_text>",
                    "eos_token": typed("<end_of_text>", normalized=False),
                    "pad_token": "[PAD]",
                    "unk_token": "[PAD]",
                    "additional_special_tokens": ["<extra>", typed("HOUSE")],
                    "image_token": "<image>",
                    "model_max_length": 1000000000000000019884624838656,
                },
                "added_tokens": {"<sks>": 70, "Red Cat": 71, "[PAD]": 72},
            },
        ),
        # Left padding, left cut, special tokens split.
        "small_left": (
            both,
            {
                "tokenizer_config": {
                    **SD1,
                    "padding_side": "left",
                    "truncation_side": "left",
                    "model_max_length": 9,
                    "split_special_tokens": True,
                }
            },
        ),
    }
    for name, (vocabulary, others) in files.items():
        folder = os.path.join(HERE, name)
        if name == "small_extra":
            vocabulary = vocabulary + ["[PAD]"]
        write_vocabulary(folder, vocabulary, SMALL_MERGES, "\r\n" if name == "small_left" else "\n")
        for file, value in others.items():
            write_json(folder, file + ".json", value)
    # tokenizer.json alone, merges as strings; and beside other files, which then do not count, merges as pairs.
    model = {
        "type": "BPE",
        "unk_token": END,
        "end_of_word_suffix": "</w>",
        "vocab": {word: i for i, word in enumerate(both)},
    }
    added = [
        {"id": len(words), **token(START, normalized=False, special=True)},
        {"id": len(words) + 1, **token(END, normalized=False, special=True)},
        {"id": 5, **token("mid", single_word=True)},
    ]
    for name, merges in (("small_alone", SMALL_MERGES), ("small_both", [merge.split(" ") for merge in SMALL_MERGES])):
        os.makedirs(os.path.join(HERE, name), exist_ok=True)
        write_json(
            os.path.join(HERE, name),
            "tokenizer.json",
            {
                "version": "1.0",
                "truncation": None,
                "padding": None,
                "added_tokens": added,
                "normalizer": None,
                "pre_tokenizer": None,
                "post_processor": None,
                "decoder": None,
                "model": {**model, "merges": merges},
            },
        )
    write_json(os.path.join(HERE, "small_both"), "vocab.json", {"a": 0})
    write_json(os.path.join(HERE, "small_both"), "tokenizer_config.json", {"model_max_length": 12, "pad_token": "z"})
    return sorted([*files, "small_alone", "small_both"])


PLAIN = """a photo of a cat
a red house on a green hill
A RED House On A GREEN Hill
masterpiece, best quality, 8k, ultra-detailed, (cinematic lighting:1.2), [blurry]
portrait of an astronaut riding a horse, in the style of Van Gogh
it's the artist's dog; they're we've I'm she'll he'd don't 'twas rock'n'roll
IT'S THEY'RE WE'VE I'M SHE'LL HE'D DON'T
'sun 'st 're're 'vex ''s '' ' 's' 's's 'l 'll 'r 'v 'lll
x's's''s ' s 'S 'LL
3d render 1234567890 1,000.50 2023-01-01 10:30pm 50% 1st ½ ² Ⅷ ⅷ ٣ ৪ 五 ① ⓪ 𝟜
hello world!!! ... --- *** <<>> || && ~~ ``
!
!!
a!b!c !a! ! !
C++ & C# f(x)=x^2 @user #hashtag https://example.com/a?b=c&d=%20
under_score camelCase kebab-case dots.in.words
\ttabs\tand\nnew\r\nlines  double   triple
 leading and trailing 
\u00a0no\u00a0break\u2003em\u3000ideographic\u1680ogham\u2028line\u2029para\u0085nel
zero\u200bwidth\u200cnon\u200djoiner\ufeffbom\u2060word
soft\u00adhyphen
<|startoftext|>
<|endoftext|>
<|startoftext|> a cat <|endoftext|>
a<|endoftext|>b<|startoftext|>c
<|STARTOFTEXT|> a <|EndOfText|> b
!!<|STARTOFTEXT|>!!<|ENDOFTEXT|>!!
<|endoftext|
<|endoftext|><|endoftext|><|endoftext|>
<|endoftext|>!!!
<|ENDOFTEXT|>!!!
<|STARTOFTEXT|>x<|STARTOFTEXT|>
&lt;html&gt; &amp; entities &#39;
HTML <b>bold</b> <!-- comment -->
café naïve résumé Ångström Œuvre straße ẞ ﬁ ﬂ
cafe\u0301 nai\u0308ve re\u0301sume\u0301 A\u030angstro\u0308m
İstanbul ISTANBUL ıstanbul İİ i\u0307
ΟΔΥΣΣΕΥΣ Σ ΣΑΣ ς άλφα ΆΛΦΑ
ПРИВЕТ мир Ёлка Й и\u0306
한국어 텍스트 \u1112\u1161\u11ab\u1100\u116e\u11a8 가\u11a8 \u1100\u1161 \uac00\u11a7
日本語のテキスト カタカナ か\u3099 は\u309a ガ ｶﾞ
中文提示词：一只猫，坐在窗台上。
שלום עולם \u05e9\u05c1 \ufb2a
مرحبا بالعالم \u0627\u0653 \u0622
नमस्ते \u0915\u093c \u0958 ภาษาไทย ไทย
ქართული ᲥᲐᲠᲗᲣᲚᲘ Ꭰ ꭰ Ⴀ ⴀ
𝒜𝓑𝕮 ａｂｃ ＡＢＣ １２３ ℃ ℵ Ω Å K
😀 😃😄 👍🏽 👨‍👩‍👧‍👦 🏳️‍🌈 ❤️ ☺ ©®™ 🇫🇷 1️⃣
cat😀dog 😀😀😀!!! a😀 😀a
z\u0351\u036b\u0343\u0323\u0301\u030a\u0316algo q\u0323\u0307 q\u0307\u0323 \u1e0b\u0323 \u1e0d\u0307
\u0344 \u0340a a\u0340 \u0374 \u037e \u0387 \u1fef \u2126 \u212a \u212b \uf900 \ufa0e \U0002f800
\U0001d15e \U0001d160 \U0001d1bb \U00011938 \U00011935\U00011930 \U000110ab \U000110a5\U000110ba
\ufb1d \ufb4c \ufb2c \u0958\u093c \u2adc \u0f73 \u0f71\u0f72 \u0f72\u0f71 \u0f81
\u0378 \u0530 \ue000 \uf8ff \ufffe \uffff \U0001ffff \U000e0001 \U0010ffff
\u0001 \u001f \u007f \u0080 \u009f \ufffd
\u180e \u200e \u202a \u2066 \u061c
Dž DŽ dž Ǆ ǅ ǆ ǈ ŉ ǰ ΐ և ẖ
\u1e9e \u13a0 \uab70 \u10d0 \u1c90 \ua64a \u1c88 \u2c2f \u2c5f \ua7c0 \ua7d0 \ua7cb \ua7da \u1c89 \U00016ea0 \U00010d50
antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
<cat-toy> x<cat-toy>x <CAT-TOY>  <cat-toy>! é<cat-toy> _<cat-toy>
a   gap   b x  gapy  GAP   gap
crème brûlée CRE\u0300ME   BRU\u0302LE\u0301E crème\u3000brûlée
ab abc abcd ABC Abc  ab   c ABab
a red the cat  gap red  gap   red the   gap the  gap THE red
<sks> <SKS> a red cat RED   CAT redcat [PAD] [pad] <extra> <EXTRA> house HOUSE House <image> <start_of_text> <end_of_text>
mid Mid midst amid mid. mid\u0301 mid\u200d mid_ mid9 midé
zzz z Z""".split("\n")


def prompts():
    """(repeat, bytes)"""
    random.seed(20240229)
    rows = [(1, b"")]
    rows += [
        (1, line.encode("unicode_escape").replace(b"\\\\", b"\\").decode("unicode_escape").encode("utf-8"))
        for line in PLAIN
    ]
    # Bytes that are not UTF-8.
    rows += [
        (1, raw)
        for raw in (
            b"\xff",
            b"a\xffb",
            b"\x80\x81",
            b"\xc0\x80",
            b"\xc1\xbf",
            b"\xc2",
            b"\xc2a",
            b"\xe0\x80\x80",
            b"\xe0\xa0",
            b"\xe0\xa0a",
            b"\xe1\x80",
            b"\xe2\x82",
            b"\xe2\x82\xac",
            b"\xed\xa0\x80",
            b"\xed\x9f\xbf",
            b"\xed\xbf\xbf",
            b"\xee\x80\x80",
            b"\xef\xbf\xbd",
            b"\xf0\x80\x80\x80",
            b"\xf0\x8f\xbf\xbf",
            b"\xf0\x90\x80\x80",
            b"\xf0\x90\x80",
            b"\xf0\x90",
            b"\xf0",
            b"\xf0\x9f\x98",
            b"\xf0\x9f\x98a",
            b"\xf4\x8f\xbf\xbf",
            b"\xf4\x90\x80\x80",
            b"\xf5\x80\x80\x80",
            b"\xf8\x88\x80\x80\x80",
            b"\xfe\xff",
            b"caf\xe9 latin1",
            b"\xe2\x82\xe2\x82\xac\xe2",
            b"\xf1\x80\xc2\xa9\xf1\x80\x80\xe9",
        )
    ]
    # Long ones: one word, many words, marks that must be sorted, a text just at the cut.
    rows += [
        (3000, b"a"),
        (50000, b"cat "),
        (2000, "é".encode()),
        (500, "e\u0301\u0323\u0316".encode()),
        (700, "\u0301\u0323".encode()),
        (1, ("a" + "\u0301\u0323\u0334\u0345" * 40).encode()),
        (1000, b"!?"),
        (1000, b"7"),
        (400, "👍🏽".encode()),
        (900, b"   \n"),
        (300, b"<|endoftext|>"),
        (300, b"<|ENDOFTEXT|>"),
        (2000, b"'s"),
        (2000, b"abcdefghij"),
        (800, "한국어".encode()),
        (1500, "\u1100\u1161\u11a8".encode()),
        (600, b"\xff\xe2\x82"),
        (74, b"cat "),
        (75, b"cat "),
        (76, b"cat "),
        (77, b"cat "),
    ]
    words = [word for line in PLAIN for word in line.split()] + [
        "very",
        "beautiful",
        "the",
        "of",
        "in",
        "4k",
        "trending",
    ]
    for _ in range(90):  # ordinary ones
        rows.append(
            (
                1,
                " ".join(random.choice(words) for _ in range(random.randint(1, 24)))
                .encode("unicode_escape")
                .replace(b"\\\\", b"\\")
                .decode("unicode_escape")
                .encode("utf-8", "replace"),
            )
        )
    ranges = [
        (0x20, 0x7E),
        (0xA0, 0x17F),
        (0x300, 0x36F),
        (0x370, 0x52F),
        (0x590, 0x6FF),
        (0x900, 0xDFF),
        (0x1100, 0x11FF),
        (0x1E00, 0x1FFF),
        (0x2000, 0x2BFF),
        (0x3000, 0x30FF),
        (0x4E00, 0x4FFF),
        (0xA640, 0xA7FF),
        (0xAC00, 0xAFFF),
        (0xF900, 0xFAFF),
        (0xFB00, 0xFE2F),
        (0x10400, 0x104FF),
        (0x11000, 0x119FF),
        (0x1D100, 0x1D1FF),
        (0x1F300, 0x1FAFF),
    ]
    for _ in range(180):  # alphabets mixed at random
        some = random.sample(ranges, random.randint(1, 3))
        text = "".join(
            " " if random.random() < 0.12 else chr(random.randint(*random.choice(some)))
            for _ in range(random.randint(1, 30))
        )
        rows.append((1, text.encode("utf-8")))
    for _ in range(50):  # any code point
        codes = (
            random.randrange(1, 0x110000 if random.random() < 0.5 else 0x3000) for _ in range(random.randint(1, 20))
        )
        rows.append((1, "".join(chr(code) for code in codes if not 0xD800 <= code < 0xE000).encode("utf-8")))
    marks = "aeiouAEIOUyYsSdDlL" + "".join(
        map(
            chr,
            [
                *range(0x300, 0x346),
                0x5B0,
                0x5C1,
                0x93C,
                0x94D,
                0x9BE,
                0x9C7,
                0x1161,
                0x11A8,
                0xAC00,
                0x3099,
                0x1100,
                0x64B,
                0xE48,
                0xF71,
                0xF72,
                0x1DC0,
                0x20D0,
                0x302A,
            ],
        )
    )
    for _ in range(90):  # composition and order of marks
        rows.append((1, "".join(random.choice(marks) for _ in range(random.randint(2, 24))).encode("utf-8")))
    for _ in range(40):  # any bytes but 0
        rows.append(
            (
                1,
                bytes(
                    random.choice([random.randrange(1, 256), random.choice(b"\xc2\xe2\xf0\x9f\x98\x80\xed\xa0 a")])
                    for _ in range(random.randint(1, 30))
                ),
            )
        )
    pieces = [
        "'s",
        "'",
        "'S",
        " ",
        "\n",
        "'ll",
        "s",
        "l",
        "9",
        "<|",
        "|>",
        "<|endoftext|>",
        "<|STARTOFTEXT|>",
        "startoftext",
        "!",
        "_",
        "é",
        "😀",
        "\u0301",
        "\u00a0",
        "ab",
        "cat",
    ]
    for _ in range(80):  # what meets at the borders of words
        rows.append((1, "".join(random.choice(pieces) for _ in range(random.randint(2, 16))).encode("utf-8")))
    return [(repeat, raw) for repeat, raw in rows if b"\0" not in raw]


def escape(raw):
    return "".join(chr(byte) if 0x20 <= byte < 0x7F and byte != 0x25 else f"%{byte:02X}" for byte in raw)


def fnv(ids):
    value = 0xCBF29CE484222325
    for byte in b"".join(number.to_bytes(4, "little") for number in ids):
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def section(out, name, folder, rows):
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    length = tokenizer.model_max_length if tokenizer.model_max_length < 1 << 31 else LENGTH
    out.append(f"folder {name} {length} {tokenizer.pad_token_id} {len(tokenizer)}")
    for repeat, raw in rows:
        text = raw.decode("utf-8", "replace") if repeat == 1 else (raw * repeat).decode("utf-8", "replace")
        ids = tokenizer(text, padding="max_length", max_length=length, truncation=True).input_ids
        whole = tokenizer(text, add_special_tokens=False).input_ids
        assert len(ids) == length
        if tokenizer.padding_side == "right":
            ids = ids[: min(len(whole), length - 2) + 2]
        out.append(f"{repeat}\t{escape(raw)}\t{' '.join(map(str, ids))}\t{len(whole)}\t{fnv(whole):016x}")


def main():
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    head = [
        f"# transformers {transformers.__version__}, tokenizers {tokenizers.__version__}; made by make_tokenizer.py"
    ]
    rows = prompts()
    demo = os.path.join(HERE, "demo")
    shutil.rmtree(demo, ignore_errors=True)
    shutil.copytree(sys.argv[1], demo, copy_function=shutil.copyfile)
    os.chmod(demo, 0o755)
    out = list(head)
    section(out, "demo", demo, rows)
    open(os.path.join(HERE, "demo.txt"), "w").write("\n".join(out) + "\n")
    with tempfile.TemporaryDirectory() as folder:
        write_full(folder)
        out = list(head)
        section(out, "clip", folder, rows)
        write_json(folder, "tokenizer_config.json", {**SD1, "pad_token": "!"})
        section(out, "clip!", folder, rows[:80])
        open(os.path.join(HERE, "clip.txt"), "w").write("\n".join(out) + "\n")
    out = list(head)
    few = rows[: len(PLAIN) + 10] + [row for row in rows if row[0] > 1] + rows[-40:]
    for name in write_small_folders():
        section(out, name, os.path.join(HERE, name), few)
    open(os.path.join(HERE, "small.txt"), "w").write("\n".join(out) + "\n")
    print(f"{len(rows)} prompts for demo and clip, {len(few)} for each small folder")


main()
