#!/usr/bin/env python3
"""Makes this folder's vectors: what the programs that defined the grammars make of prompts.

    python3 make_prompts.py WEBUI OPEN_CLIP COMFYUI [PYTHON …]      needs transformers 5.23.0, tokenizers 0.23.3, numpy,
                                                                    lark, ftfy, regex

    WEBUI      AUTOMATIC1111's stable-diffusion-webui 1.7.0 (AGPL 3): modules/prompt_parser.py is git blob f2410df23361,
               sd_hijack_clip.py c8b369975c2c, sd_hijack_open_clip.py 703490ee4c21
    OPEN_CLIP  open_clip_torch 3.3.0 (MIT), which WEBUI takes its second tokenizer from
    COMFYUI    ComfyUI at commit a125cd84b054 (GPL 3): comfy/sd1_clip.py
    PYTHON     other interpreters whose schedules must agree: WEBUI asks for lark 1.1.2

Their code runs as it is, with stand-ins for what it imports (originals.py). The vectors are its output, on prompts from
here. In all files "#" lines are comments, and in texts %XX is a byte.

weights.txt: "style STYLE ENCODER LENGTH", then REPEAT, TEXT, CHUNKS, IDS, HASH, WEIGHTS with tabs between. ENCODER is "clip",
padded with the end token, or "clip!", padded with 0. TEXT stands REPEAT times. IDS are the chunks' without their padding, "|"
between, or "-" for many; HASH is FNV-1a, 64 bits, over all ids as 4 bytes each, low byte first. WEIGHTS are all of them,
as VALUE*TIMES.

compositions.txt: TEXT, then WEIGHT:TEXT for each part.

schedules.txt: STEPS, TEXT, then END:TEXT for each span. A prompt is left out if its schedule depends on Python's seed for
hashes, of which ten are tried, or on the version of lark: then the grammar is ambiguous.

outputs.txt: STYLE, CHUNKS, LENGTH, WIDTH, then z, the output for an empty prompt ("-" for a1111), the weights, and z when
it is weighed. For a1111 CHUNKS are several texts' one chunk.
"""

import json
import os
import random
import subprocess
import sys
import warnings

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import originals

SCHEDULES = [
    "", "test", " ", "a [b:3]", "a [b: 3]", "a [b:3 ]", "a [b:\t3\n]", "a [[[b]]:2]", "[(a:2):3]", "a [b : c : 1] d",
    "a[b:[c:d:2]:1]e", "a [unbalanced", "a [b:.5] c", "a [{b|d{:.5] c", "((a][:b:c [d:3]", "[a|(b:1.1)]", "[fe|]male",
    "[fe|||]male", "[a:b:0.5]", "[a:b:10]", "[a::0.5]", "[a:0.5]", "[:a:0.5]", "[::0.5]", "[:0.5]", "[a:b:0]", "[a:b:1]",
    "[a:b:1.0]", "[a:b:1.]", "[a:b:.25] and [c:d:.75]", "[a:b:-1]", "[a:b:-0.5]", "[a:b:+3]", "[a:b:1e0]", "[a:b:2e-1]",
    "[a:b:5.e-1]", "[a:b:0.3e1]", "[a:b:1E1]", "[a:b:999]", "[a:b:0.55]", "[a:b:0.999]", "[a:b:3.7]", "[a:b:3,5]",
    "[a:b:x]", "[a:b:]", "[a:b]", "[a:b:c:3]", "[a:b:3", "a:b:3]", "[a:3|b]", "[a|b:0.5]", "[a|b|c]", "[|]", "[|a]", "[a|]",
    "a|b", "[a:b:0.5] x|y", "[a|b] and [c:d:0.5]", "[a|[b|c]]", "[[a|b]|c]", "[a|[b:c:2]]", "[[a|b]:c:2]", "[x:[a|b]:2]",
    "([a|b]:1.2)", "(a [b:c:2]:1.3)", "(a:b:c)", "[a:(b:c:d):2]", "[a:(b:1.2):2]", "[(a:1.2):(b:0.8):0.5]", "[a]", "[[a]]",
    "[a][b:2]", "[]", "()", "[()]", "([)]", "(]", "[a:b:2](c", "\\[a:b:2\\]", "[a\\:b:c:2]", "[a\\|b|c]", "\\", "[a:b:2] \\",
    "[a:b:2] \\\nx", "\\\\[a:b:2]", "[a:b:\\2]", "\\n [a:b:2]", "[é:日本:2]", "[a:b:2", "[a:b:٣]", "[a:b:\u00a03]",
    "[a:b:3\u2003]", "[a:b:\u001c3]", "[a\nb:c\nd:2]", "  [  a  :  b  :  2  ]  ", "x [a:b:2] y [c:2] z [d::2] w",
    "[[[a:b:1]:c:2]:d:3]", "[a:[b:[c:d:3]:2]:1]", "[[a:b:3]:c:1]", "masterpiece, (best quality:1.2), [a red:a blue:0.4] house",
    "fantasy landscape with a [mountain:lake:0.25] and [an oak:a christmas tree:0.75][ in foreground::0.6][: in background:0.25] [shoddy:masterful:0.5]",
    "[cow|horse] in a field", "[a:b:2] AND [c|d] :0.5", "BREAK [a:b:2] BREAK", "a :3] b", "[a (b:3]", "[a b):3]", "[[a:b:2]",
    "[a:b:2]]", "(a:[b:c:2])", "[(a|b)]", "[(a|b)|c]", "((((((((((a [b:c:2]))))))))))", "[a:b:00002]", "[a:b:0.5.5]",
    "[a:b:0x2]", "[a:b:1_0]", "[a:b:2e]", "[a:b:.]", "[a:b:- 2]", "[2:3]", "[2:3:4]", "[:::3]", "[a:b :3: 4]",
]  # fmt: skip

COMPOSITIONS = [
    "", "a", "a AND b", "a AND b :0.8", "a:1.5 AND b:-0.5", "a :1 AND b : 2 AND c: 3.", "a AND", "AND", "AND AND", "aANDb",
    "a ANDb", "a AND, b", "a,AND,b", "a_AND_b", "a AND\nb", "a\n:0.5\n AND b", "a:.5 AND b:5.", "a:0.5.5 AND b", "a:. AND b",
    "a:+2 AND b:-2", "a:1e3 AND b", "a:2x AND b", "a:1:2 AND b", ":0.5 AND :2", "  lead AND  trail  ", "(a:1.2) AND (b:0.8)",
    "(a:1.2):0.7 AND b", "éAND AND ANDé", "日AND本 AND 日本:2", "a:٣ AND b:٣.٥", "a\u00a0:\u20032 AND b", "a AND a:2 AND a",
    "and And AND aND", "a:nan AND b:inf", "a: 1 2 AND b", "a\u001d:3\u001d AND b", "[a:b:0.5] AND [c|d]:1.1", "a :- 1 AND b",
    "a AND b AND c AND d AND e AND f AND g AND h", "a:00012.500 AND b:-.0", "a\u0301AND b AND\u0301 c",
]  # fmt: skip

WEIGHTS = [
    "", " ", "normal text", "an (important) word", "(unbalanced", "unbalanced)", "\\(literal\\]", "(unnecessary)(parens)",
    "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).", "(((", ")))", "[[[", "]]]", "()", "[]", "(())", "( )", "((a)", "(a))",
    "a (b", "a ((b) c", "(a (b:1.2)", ") (a:2)", "a) (b) (c)", "(a) b) (c) (d)", "(a:1.5)", "(a: 1.5)", "(a:1.5 )", "(a : 1.5)",
    "(a:+1.5)", "(a:-1)", "(a:0)", "(a:-0.5) b", "(a:1e3)", "(a:1e-1)", "(a:nan2)", "(a:)", "(a: )", "(:1.5)", "(:)", ":", "a:1.5",
    "a:1.5)", "(a:x)", "(a:1.5x)", "(a:1,5)", "(a:1.5:2)", "(a:b:2)", "((a:1.5):2)", "((a:1.5) b:2)", "(a (b:3) c:2)", "(a [b] c)",
    "[a (b) c]", "[a:1.5]", "[a]", "[[a]]", "([a)]", "[(a])", "(((((((((a)))))))))", "(a)(b)(c)d", "((a:1.5)) (b:1.65)", "\\", "a\\",
    "\\\\", "\\\\(a)", "\\a", "\\(a\\)", "(\\(a\\))", "(a\\)", "\\((a:2)\\)", "(a\\:1.5)", "(a:1.5\\)", "\\[a\\]", "(a:\\(1.5)",
    "a BREAK b", "BREAK", "BREAK a", "a BREAK", "BREAK BREAK", "aBREAKb", "a\nBREAK\nb", "(a BREAK b)", "(a BREAK b:-1)",
    "(BREAK:2)", "[BREAK]", "(a) BREAK (b:1.2)", "a_BREAK BREAK_", "éBREAK BREAK. b", "break BREAK Break", "((BREAK:-1):-1)",
    "(a:-1)BREAK(b:-1)", "日本 (日本:1.2) 本", "(é:1.5) (É)", "👍🏽 (👍🏽:1.3)", "(a:٣.٥)", "(a:１.５)", "(a\u00a0:\u20031.5)", "(a:1.5\u001c)",
    "caf\u0065\u0301 (caf\u0065\u0301)", "masterpiece, best quality, 8k, ultra-detailed, (cinematic lighting:1.2), [blurry]",
    "portrait of (an (astronaut:1.4) riding) a [horse], (in the style of Van Gogh:0.8)", "!", "wow!!! (yes!:1.2) ! a!b",
    "(a:1_0)", "(a:0_1.5)", "embedding:cat", "a embedding:cat b", "(a embedding:cat:1.2) embedding:dog", "a\nembedding:cat",
    "embedding: cat", "a  embedding:b,c", "tab\there\r\n(line:1.1)\n", "(0:1.1)", "(:1.1) (a)", "<|endoftext|>", "a, b, c",
    "(a" * 20, "(a:1.1)" * 5, "[a] " * 5, "a)" * 5, "((((((a:1.1)b:1.2)c:1.3)d:1.4)e:1.5)f:1.6)", "(a(b(c(d(e)d)c)b)a)",
    "(very " * 5 + "nested" + ":1.1)" * 5, "supercalifragilisticexpialidocious (antidisestablishmentarianism:1.2)",
]  # fmt: skip

# What fills chunks: counts around 75, commas around the border, groups around 8 tokens.
CHUNKS = [(n, "cat ") for n in (74, 75, 76, 77, 149, 150, 151, 225)]
CHUNKS += [(1, "cat " * n + ", " + "dog " * (80 - n)) for n in (52, 53, 54, 55, 60, 72, 73, 74, 75, 76)]
CHUNKS += [(1, "cat " * 74 + ", , , " + "dog " * 5), (1, "cat, " * 80), (1, "cat " * 60 + ", BREAK " + "dog " * 80)]
CHUNKS += [(1, "cat " * 70 + "(" + "dog " * n + ":1.2) bird") for n in (4, 5, 6, 7, 8, 9, 20)]
CHUNKS += [(1, "cat " * 60 + "(red, :1.3)" + "dog " * 30), (1, "(cat " * 3 + "cat " * 80 + ":0.5)"), (40, "(cat), [dog] ")]
CHUNKS += [(1, "cat " * 74 + "embedding:dog bird"), (3334, "a cat, "), (10000, "cat "), (700, "(cat:1.2) dog, "), (300, "cat BREAK ")]


def escape(text):
    raw = text.encode("utf-8")
    return "".join(chr(byte) if 0x20 <= byte < 0x7F and byte != 0x25 else f"%{byte:02X}" for byte in raw)


def fnv(ids):
    value = 0xCBF29CE484222325
    for byte in b"".join(number.to_bytes(4, "little") for number in ids):
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def runs(values):
    out = []
    for value in map(float, values):
        if out and out[-1][0] == value:
            out[-1][1] += 1
        else:
            out.append([value, 1])
    return " ".join(f"{value!r}*{count}" for value, count in out)


def mixed(pieces, count, seed):
    """Pieces at random: what no one writes, and every border between what one does."""
    chooser = random.Random(seed)
    return ["".join(chooser.choice(pieces) for _ in range(chooser.randint(3, 30))) for _ in range(count)]


def token_line(tokenize, encoder, length, repeat, text):
    ids, weights = tokenize(encoder, length, text * repeat)
    assert all(len(chunk) == length for chunk in ids + weights)
    pad = 49407 if encoder == "clip" else 0
    shown = []
    for chunk in ids:
        end = length
        while end > 1 and chunk[end - 1] == pad:
            end -= 1
        shown.append(" ".join(map(str, chunk[:end])))
    every = [number for chunk in ids for number in chunk]
    shown = "|".join(shown) if len(ids) <= 4 else "-"
    return f"{repeat}\t{escape(text)}\t{len(ids)}\t{shown}\t{fnv(every):016x}\t{runs(sum(weights, []))}"


def weights_file(head, webui, comfy):
    pieces = ["(", ")", "(", ")", "[", "]", ":", "\\", "\\(", "\\)", "a", "cat ", "word, ", ",", " ", "\n", " BREAK ", "BREAK"]
    pieces += [":1.2)", ":0.5)", "(b:1.5)", ":-1)", "1", ".", "é", "日本", "!", "supercalifragilistic ", ": 2 )", " embedding:x"]
    rows = [(1, text) for text in WEIGHTS + mixed(pieces, 60, 1)] + CHUNKS
    out = list(head)
    for style, tokenize in (("a1111", webui), ("comfy", comfy)):
        for encoder, length, some in (("clip", 77, rows), ("clip!", 77, rows[::3]), ("clip", 12, rows[::4])):
            out.append(f"style {style} {encoder} {length}")
            for repeat, text in some:
                if repeat >= 1000 and length < 77:
                    continue
                if "<|" in text and encoder == "clip!":  # OpenCLIP spells its end token otherwise
                    continue
                try:
                    out.append(token_line(tokenize, encoder, length, repeat, text))
                except ValueError:  # float() refuses what looked like a weight: the program ends
                    assert style == "a1111"
    return out


def schedules_of(folder, cases):
    parse = originals.parser(folder).get_learned_conditioning_prompt_schedules
    return [parse([text], steps)[0] for steps, text in cases]


def schedules_file(head, folder, pythons):
    pieces = ["[", "]", "[", "]", "(", ")", ":", ":", "|", "a", "b c", " ", "3", "0.5", ":3]", "\\[", ".5", "[a:", "[a|b]", "[a:b:0.5]"]
    cases = [(steps, text) for text in SCHEDULES for steps in ((10, 3) if len(text) < 60 else (1, 20))]
    cases += [(4, text[:40]) for text in mixed(pieces, 120, 2)]
    cases += [(50, "[a:b:0.5] [c|d:e] [f:33]"), (1000, "[a:b:0.29] [c:d:999]"), (1, "[a|b]")]
    results = []
    for python in [sys.executable, *pythons]:
        for seed in range(10):
            done = subprocess.run(
                [python, __file__, "--schedules", folder], input=json.dumps(cases), text=True, check=True,
                env={**os.environ, "PYTHONHASHSEED": str(seed)}, stdout=subprocess.PIPE,
            )  # fmt: skip
            results.append(json.loads(done.stdout))
    out, ambiguous = list(head), 0
    for i, (steps, text) in enumerate(cases):
        if any(result[i] != results[0][i] for result in results):
            ambiguous += 1
            continue
        spans = "\t".join(f"{end}:{escape(words)}" for end, words in results[0][i])
        out.append(f"{steps}\t{escape(text)}\t{spans}")
    print(f"{len(cases)} schedules, {ambiguous} ambiguous")
    return out


def compositions_file(head, parser):
    pieces = ["AND", " AND ", "a", "b ", ":", "0.5", " : ", "1.", ".5", "-1", "+2", "\n", " ", "_", "é", "\u0301"]
    out = list(head)
    for text in COMPOSITIONS + mixed(pieces, 40, 3):
        indexes, texts, _ = parser.get_multicond_prompt_list(parser.SdConditioning([text]))
        parts = "\t".join(f"{weight!r}:{escape(texts[i])}" for i, weight in indexes[0])
        out.append(f"{escape(text)}\t{parts}")
    return out


def numbers(values):
    return " ".join(f"{value:.9g}" for value in values.reshape(-1))


def outputs_file(head, encoder, comfy):
    import numpy

    random_ = numpy.random.default_rng(4)
    out = list(head)
    for chunks, length, width in ((1, 7, 5), (2, 7, 3), (3, 4, 8), (1, 77, 2)):
        z = random_.standard_normal((chunks, length, width)).astype("f4").astype("f8") + 0.25
        empty = random_.standard_normal((length, width)).astype("f4").astype("f8")
        weights = random_.choice([1.0, 1.1, 0.5, -1.0, 0.0, 1.4641, 2.0], (chunks, length))
        encoder.output = lambda ids, z=z: z.copy().view(originals.Tensor)
        weighed = encoder.process_tokens([[0] * length for _ in range(chunks)], weights.tolist())
        out.append(f"a1111\t{chunks}\t{length}\t{width}\t{numbers(z)}\t-\t{numbers(weights)}\t{numbers(weighed)}")
        weigher = type("Weigher", (comfy.ClipTokenWeightEncoder,), {"special_tokens": {"start": 1, "end": 2, "pad": 2}})()
        every = numpy.concatenate([z, empty[None]]).view(originals.Tensor)
        weigher.encode = lambda tokens, every=every: (every.copy().view(originals.Tensor), None)
        pairs = [[(0, weight) for weight in row] for row in weights.tolist()]
        weighed, _ = weigher.encode_token_weights(pairs)
        out.append(
            f"comfy\t{chunks}\t{length}\t{width}\t{numbers(z)}\t{numbers(empty)}\t{numbers(weights)}\t{numbers(weighed)}"
        )
    return out


def main():
    if sys.argv[1] == "--schedules":
        json.dump(schedules_of(sys.argv[2], json.load(sys.stdin)), sys.stdout)
        return
    warnings.filterwarnings("ignore")
    folder, open_clip, comfyui, *pythons = sys.argv[1:]
    parser, webui, encoder = originals.webui(folder, open_clip)
    comfy, weigher = originals.comfy(comfyui)
    import transformers

    transformers.logging.set_verbosity_error()
    web = "# made by make_prompts.py: the output of stable-diffusion-webui 1.7.0 (AGPL 3), see there"
    both = f"{web}, and of ComfyUI a125cd84b054 (GPL 3);\n# tokens by transformers {transformers.__version__} and open_clip_torch 3.3.0"
    files = {
        "weights.txt": weights_file([both], webui, comfy),
        "compositions.txt": compositions_file([web], parser),
        "schedules.txt": schedules_file([f"{web}; lark 1.1.2 and 1.3.1"], folder, pythons),
        "outputs.txt": outputs_file([both], encoder, weigher),
    }
    for name, lines in files.items():
        open(os.path.join(HERE, name), "w", encoding="utf-8").write("\n".join(lines) + "\n")
        print(name, sum(line[0] != "#" for line in lines if line))


main()
