#!/bin/sh
# Fuzzes one reader with libFuzzer under AddressSanitizer and UndefinedBehaviorSanitizer:
#   sh tests/fuzz/run.sh tensor_file|pickle|config|picture SECONDS FOLDER
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
picture) sources="tests/fuzz/fuzz_picture.c engine/image.c $(echo engine/picture*.c) engine/png.c engine/fault.c
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
