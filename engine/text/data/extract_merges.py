#!/usr/bin/env python3
"""Makes clip_merges.txt.gz: the 48894 merges that CLIP uses, of the 262144 in bpe_simple_vocab_16e6.txt.gz.

    pip download --no-deps open_clip_torch==3.3.0 && unzip open_clip_torch-*.whl open_clip/bpe_simple_vocab_16e6.txt.gz
    python3 extract_merges.py open_clip/bpe_simple_vocab_16e6.txt.gz clip_merges.txt.gz

One merge a line, "left right", in order of rank, UTF-8, no header. Only Python's standard library.
"""

import gzip
import hashlib
import sys

SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
MERGES = 49152 - 256 - 2  # 256 bytes twice, merges and two special tokens make 49408


def main():
    source, target = sys.argv[1:]
    packed = open(source, "rb").read()
    if hashlib.sha256(packed).hexdigest() != SHA256:
        sys.exit(f"{source}: not the file of open_clip_torch 3.3.0")
    lines = gzip.decompress(packed).decode("utf-8").split("\n")[1 : MERGES + 1]
    text = "".join(line + "\n" for line in lines).encode("utf-8")
    # No time stamp and no name in the header: the same input gives the same bytes.
    open(target, "wb").write(gzip.compress(text, 9, mtime=0))


main()
