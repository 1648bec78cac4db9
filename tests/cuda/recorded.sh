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
            --steps 3 --guidance 5 --scheduler euler_a --width 32 --height 32 \
            --output "$work/$type${dump:+_dumped}.png" $dump
    done
    cmp "$work/$type.png" "$work/${type}_dumped.png"
done
# Words that change on the way and a region: what was recorded before the change is not replayed after it.
for dump in "" "--dump $work/dump.safetensors"; do
    # shellcheck disable=SC2086
    "$calotype" txt2img --quiet --device cuda --tuning none --dtype f32 --model "$work/plain" --prompt-style a1111 \
        --prompt "[a red house:the sea at night:0.4] AND a boat :0.5" --region "0,0,16,32:a white boat" --seed 3 --count 2 \
        --steps 5 --guidance 5 --guidance-end 0.8 --scheduler euler_a --width 32 --height 32 \
        --output "$work/phases${dump:+_dumped}.png" $dump
done
cmp "$work/phases-1.png" "$work/phases_dumped-1.png"
cmp "$work/phases-2.png" "$work/phases_dumped-2.png"
echo "4 passed, 0 failed, 0 skipped"
