#!/bin/sh
# Everything that needs an NVIDIA GPU, in one go of at most ten minutes, from a build made elsewhere:
#
#   sh bench/gpu.sh pack FOLDER       where the tools are: builds, and gathers programs and data in FOLDER (some 30 MB)
#   sh FOLDER/gpu.sh run RESULTS      where the GPU is: needs its driver and NVRTC (libnvrtc.so.12 or .13), nothing else
#
# RESULTS takes, a file each: the machine; checkkernel of every variant on the device; goldens; the demo's picture
# against OpenCL's; 100 repeats and their hashes; compute-sanitizer, where there is one; end-to-end times in bf16, f16 and
# f32; every variant of the hot ops, ours and the vendor's, on SD1.5's and SDXL's shapes.
set -eu

demo_prompt='a red house on a green hill under a yellow sun, blue sky, two pine trees'

pack() {
    folder=$1
    here=$(cd "$(dirname "$0")/.." && pwd)
    build=$here/build/gpu
    mkdir -p "$build" "$folder/lib"
    cmake -S "$here" -B "$build" -DCMAKE_BUILD_TYPE=Release -DCALO_TESTS=ON >"$build/configure.log"
    cmake --build "$build" --parallel "$(nproc)" --target calotype checkkernel compare_goldens write_model \
        compare_pictures end_to_end bench_ops >"$build/build.log"
    for program in calotype end_to_end bench_ops tests/checkkernel tests/compare_goldens tests/compare_pictures \
        tests/write_model; do
        cp "$build/$program" "$folder/"
        ldd "$build/$program" | sed -n 's/.*=> \(.*\/lib\(cjson\|z\)\.so[^ ]*\) .*/\1/p' | while read -r library; do
            cp -L "$library" "$folder/lib/"
        done
    done
    rm -rf "$folder/golden" "$folder/demo"
    cp -r "$here/tests/golden" "$folder/golden"
    cp -r "$here/tools/demo/model" "$folder/demo"
    "$build/calotype" txt2img --quiet --device opencl --model "$folder/demo" --steps 20 --seed 2 --prompt "$demo_prompt" \
        --output "$folder/demo.png"
    cp "$0" "$folder/gpu.sh"
    du -sh "$folder"
}

# part NAME SECONDS COMMAND …: its output and exit status to RESULTS/NAME.txt
part() {
    name=$1 limit=$2
    shift 2
    begin=$(date +%s)
    status=0
    timeout "$limit" "$@" >"$results/$name.txt" 2>&1 || status=$?
    echo "exit status $status after $(($(date +%s) - begin)) s" >>"$results/$name.txt"
    echo "$name: $(tail -2 "$results/$name.txt" | tr '\n' ' ')"
}

# The demo model's picture against the one that OpenCL made when this folder was packed.
demo() {
    "$folder/calotype" txt2img --quiet --device cuda --dtype f32 --model "$folder/demo" --steps 20 --seed 2 \
        --prompt "$demo_prompt" --output "$results/demo.png"
    "$folder/compare_pictures" "$folder/demo.png" "$results/demo.png" 45
}

repeats() {
    for i in $(seq 100); do
        "$folder/calotype" txt2img --quiet --device cuda --model "$folder/demo" --prompt "a red house" --steps 4 --seed 7 \
            --output "$work/repeat.png"
        sha256sum <"$work/repeat.png"
    done | sort | uniq -c
}

sanitize() {
    for tool in memcheck racecheck; do
        for op in linear conv2d attention group_norm reduce; do
            echo "== $tool $op"
            compute-sanitizer --tool "$tool" --error-exitcode 9 "$folder/checkkernel" --device cuda:0 --op "$op" \
                --type f16 | tail -4
        done
    done
}

run() {
    mkdir -p "$1"
    results=$(cd "$1" && pwd)
    folder=$(cd "$(dirname "$0")" && pwd)
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    export LD_LIBRARY_PATH="$folder/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    if ! "$folder/calotype" devices | grep -q '^cuda'; then
        echo "gpu.sh: there is no CUDA device here; calotype devices says why:" >&2
        "$folder/calotype" devices >&2
        exit 1
    fi
    part machine 20 sh -c "nvidia-smi; nvidia-smi -q -d CLOCK; '$folder/calotype' devices"
    part checkkernel 120 "$folder/checkkernel" --device cuda:0
    part goldens 100 "$folder/compare_goldens" "$folder/calotype" "$folder/write_model" "$folder/golden" \
        "$folder/demo/tokenizer" "$work/goldens"
    for type in bf16 f16 f32; do
        part "sd15_$type" 25 "$folder/end_to_end" --device cuda --dtype $type --steps 20 --output "$results/sd15_$type.json"
    done
    for model in sd15 sdxl; do
        part "ops_$model" 45 "$folder/bench_ops" --device cuda --dtype bf16 --model $model --output "$results/ops_$model.json"
    done
    part demo 30 env folder="$folder" results="$results" sh "$folder/gpu.sh" demo
    part repeats 100 env folder="$folder" work="$work" sh "$folder/gpu.sh" repeats
    if command -v compute-sanitizer >/dev/null; then
        part sanitizer 60 env folder="$folder" sh "$folder/gpu.sh" sanitize
    else
        echo "sanitizer: SKIP, compute-sanitizer is not on this machine"
    fi
}

case ${1:-} in
pack) pack "${2:?usage: gpu.sh pack FOLDER}" ;;
run) run "${2:?usage: gpu.sh run RESULTS}" ;;
demo | repeats | sanitize) "$1" ;; # a part of `run`, by itself so that it can be timed out
*) sed -n '2,10s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
