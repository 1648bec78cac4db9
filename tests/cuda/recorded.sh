#!/bin/sh
# A recorded step gives the bits of one that is not: recorded.sh CALOTYPE WRITE_MODEL GOLDEN TOKENIZER WORK
#
# With --dump every step is launched anew, so the same picture made with and without it compares the two.
set -eu
calotype=$1 write_model=$2 golden=$3 tokenizer=$4 work=$5
rm -rf "$work" && mkdir -p "$work"
"$write_model" "$golden/models/plain" "$tokenizer" "$work/plain"
for type in f32 f16; do
    for dump in "" "--dump $work/dump.safetensors"; do
        # shellcheck disable=SC2086
        "$calotype" txt2img --quiet --tuning none --device cuda --dtype $type --model "$work/plain" --prompt "a red house" --seed 3 \
            --steps 4 --guidance 5 --scheduler euler_a --width 64 --height 64 \
            --output "$work/$type${dump:+_dumped}.png" $dump
    done
    cmp "$work/$type.png" "$work/${type}_dumped.png"
done
echo "2 passed, 0 failed, 0 skipped"
