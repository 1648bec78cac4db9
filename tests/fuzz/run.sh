#!/bin/sh
# Fuzzes one reader with libFuzzer under AddressSanitizer and UndefinedBehaviorSanitizer:
#   sh tests/fuzz/run.sh tensor_file|pickle|config|checkpoint|picture SECONDS FOLDER
# FOLDER takes the program and what it finds. Ends with 77 where there is no clang with libFuzzer.
set -eu
name=$1 seconds=$2 folder=$3
here=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$folder/$name"
cd "$here"
weights="engine/weights/tensor_file.c engine/weights/safetensors.c engine/weights/torch_file.c engine/weights/pickle.c
    engine/weights/pickle_globals.c engine/weights/zip.c engine/fault.c engine/shim.c"
case $name in
tensor_file) sources="tests/fuzz/fuzz_tensor_file.c tests/fuzz/input.c $weights" ;;
pickle) sources="tests/fuzz/fuzz_pickle.c $weights" ;;
config) sources="tests/fuzz/fuzz_config.c engine/weights/json.c engine/weights/config.c pipelines/schedule_config.c
    $(echo schedulers/*.c) engine/fault.c engine/shim.c" ;;
checkpoint) sources="tests/fuzz/fuzz_checkpoint.c tests/fuzz/input.c $(echo engine/weights/*.c) engine/hash.c engine/fault.c
    engine/shim.c" ;;
picture) sources="tests/fuzz/fuzz_picture.c engine/image.c $(echo engine/picture*.c engine/text/unicode*.c) engine/png.c engine/fault.c
    engine/shim.c" ;;
*) echo "there is no target $name" >&2; exit 2 ;;
esac
if ! echo 'int LLVMFuzzerTestOneInput(const char *b, long n) { return !b && n; }' |
    clang -x c -fsanitize=fuzzer,address - -o "$folder/$name/probe" 2>/dev/null; then
    echo "0 passed, 0 failed, 1 skipped"
    exit 77
fi
# shellcheck disable=SC2086,SC2046
clang -std=c11 -D_POSIX_C_SOURCE=200809L -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
    -fwrapv $sources $(pkg-config --cflags --libs libcjson) -lz -lm -lpthread -o "$folder/$name/fuzz"
# Seeds: the golden files of each reader.
rm -rf "$folder/$name/seeds"
mkdir -p "$folder/$name/seeds" "$folder/$name/corpus"
case $name in
tensor_file)
    cp tests/golden/torch/*.ckpt tests/golden/cases/sweep_ddim_1_one.safetensors "$folder/$name/seeds/"
    ;;
pickle) # the corpus of hostile ones, from hexadecimal
    awk -F '\t' 'length($3) < 2000 { print $1, $3 }' tests/golden/torch/hostile.txt | while read -r seed hex; do
        printf %s "$hex" | perl -e 'print pack "H*", <>' >"$folder/$name/seeds/$seed"
    done
    ;;
checkpoint) # a Stable Diffusion 1, a 2 and an XL of one block a level, by what detection asks for
    for kind in 1 2 xl; do
        case $kind in
        1) wide=32 proj="32 32 1 1" text="cond_stage_model.transformer.text_model." ;;
        2) wide=64 proj="64 64" text= ;;
        xl) wide=64 proj="64 64" text="conditioner.embedders.0.transformer.text_model." ;;
        esac
        unet=model.diffusion_model. vae=first_stage_model.
        {
            printf "%s\n" "${unet}input_blocks.0.0.weight $wide 4 3 3" "${unet}input_blocks.1.0.in_layers.2.weight $wide 1 3 3" \
                "${unet}input_blocks.1.1.proj_in.weight $proj" "${unet}input_blocks.1.1.transformer_blocks.0.norm1.weight $wide" \
                "${unet}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight $wide 64" "${unet}input_blocks.2.0.op.weight 1" \
                "${unet}input_blocks.3.0.in_layers.2.weight $wide 1 3 3" "${unet}middle_block.0.in_layers.2.weight 1" \
                "${unet}output_blocks.11.1.transformer_blocks.0.norm1.bias $wide" "${unet}out.2.weight 4 1 3 3" \
                "${vae}decoder.conv_in.weight 32 4 3 3" "${vae}encoder.conv_in.weight 32 3 3 3" "${vae}quant_conv.weight 1" \
                "${vae}encoder.down.0.block.0.conv1.weight 32 1 1 1" "${vae}decoder.conv_out.weight 3 1 3 3"
            if [ -n "$text" ]; then
                printf "%s\n" "${text}embeddings.token_embedding.weight 64 64" "${text}embeddings.position_embedding.weight 77 64" \
                    "${text}encoder.layers.0.mlp.fc1.weight 128 1" "${text}encoder.layers.1.mlp.fc1.weight 128 1"
            fi
            case $kind in 2) text=cond_stage_model.model. ;; *) text=conditioner.embedders.1.model. ;; esac
            if [ $kind != 1 ]; then
                printf "%s\n" "${text}token_embedding.weight 64 64" "${text}positional_embedding 77 64" "${text}text_projection 64 64" \
                    "${text}transformer.resblocks.0.mlp.c_fc.weight 128 1" "${text}transformer.resblocks.1.mlp.c_fc.weight 128 1"
            fi
            [ $kind != xl ] || printf "%s\n" "${unet}label_emb.0.0.weight 32 448" edm_mean\ 4 edm_std\ 4 v_pred ztsnr
        } >"$folder/$name/seeds/$kind"
    done
    ;;
config)
    for part in unet vae text_encoder scheduler; do
        for file in tests/golden/models/*/$part/*.json; do
            case $part in unet) kind='\000' ;; vae) kind='\001' ;; text_encoder) kind='\002' ;; *) kind='\003' ;; esac
            { printf "$kind"; cat "$file"; } >"$folder/$name/seeds/$(echo "$file" | tr / _)"
        done
    done
    ;;
picture) # the files in the records of make_pictures.py: kinds 13 and 14, the file's size behind width and height
    perl -e 'local $/; open F, "<:raw", "tests/golden/pictures/vectors.bin"; $_ = <F>;
        for (my $at = 0; $at < length; ) {
            my @r = unpack "l<16", substr($_, $at, 64);
            if ($r[0] >= 13) { open O, ">:raw", "$ARGV[0]/$at"; print O substr($_, $at + 64, $r[3]); close O }
            $at += 64 + $r[15];
        }' "$folder/$name/seeds"
    ;;
esac
log=$folder/$name/log
if "$folder/$name/fuzz" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 -max_len=65536 -print_final_stats=1 \
    -artifact_prefix="$folder/$name/" "$folder/$name/corpus" "$folder/$name/seeds" >"$log" 2>&1; then
    grep -E 'number_of_executed_units|cov: ' "$log" | tail -2
    echo "1 passed, 0 failed, 0 skipped"
else
    tail -60 "$log"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi
