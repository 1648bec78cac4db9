#!/bin/sh
# Everything that needs an NVIDIA GPU, in one go of at most ten minutes, from a build made elsewhere:
#
#   sh bench/gpu.sh pack FOLDER               where the tools are: builds, and gathers programs and data in FOLDER (some 30 MB)
#   sh FOLDER/gpu.sh run RESULTS [SECONDS [STAGE …]]
#                                             where the GPU is: needs its driver and NVRTC (libnvrtc.so.12 or .13), nothing
#                                             else; 570 s at most by default, and all stages
#
# Stages, in this order:
#   check      what must be right, side by side, as it keeps a CPU busier than the GPU: checkkernel op by op, goldens, the
#              demo's picture against OpenCL's, 100 repeats and their hashes
#   sanitize   compute-sanitizer, where there is one
#   steps      SD1.5's guided step in bf16, f16 and f32
#   kernels    the time of each kernel in one picture of SD1.5, by Nsight Compute, where it is
#   ops        every variant of the hot ops, ours and the vendor's, on SD1.5's and SDXL's shapes, in turns with torch
#   tune       calotype tune on SD1.5, and the guided step by what it found
#   models     SDXL at 1024 pixels, SDXL-Turbo, SD2.1 at 768
#   torch      torch's compiled UNet in turns with our guided step (diffusers comes with the pack where pip could fetch it);
#              max-autotune alone takes more than four minutes, so it is not among them unless it is named
#
# RESULTS takes a text file each, JSON of what was timed, and summary.txt, as they come: a run that is cut short keeps what
# it has.
set -eu

demo_prompt='a red house on a green hill under a yellow sun, blue sky, two pine trees'
programs="calotype end_to_end bench_ops tests/checkkernel tests/compare_goldens tests/compare_pictures tests/write_model"

pack() {
    folder=$1
    here=$(cd "$(dirname "$0")/.." && pwd)
    build=$here/build/gpu
    mkdir -p "$build" "$folder/lib"
    # shellcheck disable=SC2016
    cmake -S "$here" -B "$build" -DCMAKE_BUILD_TYPE=Release -DCALO_TESTS=ON '-DCMAKE_BUILD_RPATH=$ORIGIN/lib' \
        >"$build/configure.log"
    # shellcheck disable=SC2046
    cmake --build "$build" --parallel "$(nproc)" --target $(basename -a $programs) >"$build/build.log"
    for program in $programs; do # Debian has no static cJSON: it goes along, and is found beside the program
        cp "$build/$program" "$folder/"
        ldd "$build/$program" | sed -n 's/.*=> \(.*\/lib\(cjson\|z\)\.so[^ ]*\) .*/\1/p' | while read -r library; do
            cp -L "$library" "$folder/lib/"
        done
    done
    rm -rf "$folder/golden" "$folder/demo" "$folder/wheels"
    cp -r "$here/tests/golden" "$folder/golden"
    cp -r "$here/tools/demo/model" "$folder/demo"
    cp "$here/bench/torch_peer.py" "$folder/"
    "$folder/calotype" txt2img --quiet --device opencl --model "$folder/demo" --steps 20 --seed 2 --prompt "$demo_prompt" \
        --output "$folder/demo.png"
    python3 -m pip download -q --no-deps --only-binary=:all: --dest "$folder/wheels" diffusers importlib_metadata zipp \
        >/dev/null 2>&1 || echo "without diffusers: torch's UNet can be timed only where it is installed"
    cp "$0" "$folder/gpu.sh"
    du -sh "$folder"
}

# part NAME SECONDS COMMAND …: its output and exit status to RESULTS/NAME.txt, in what is left of the whole time.
part() {
    name=$1 limit=$2
    shift 2
    begin=$(date +%s)
    status=0
    [ "$limit" -le $((deadline - begin)) ] || limit=$((deadline - begin))
    if [ "$limit" -lt 3 ]; then
        echo "$name: SKIP, no time is left" | tee -a "$results/summary.txt"
        return
    fi
    timeout -k 5 "$limit" "$@" >"$results/$name.txt" 2>&1 || status=$?
    echo "exit status $status after $(($(date +%s) - begin)) s" >>"$results/$name.txt"
    echo "$name: $(tail -2 "$results/$name.txt" | tr '\n' ' ')" | tee -a "$results/summary.txt"
}

# Folders of NVIDIA's libraries that the loader does not know: a toolkit's, or those of Python's packages.
find_libraries() {
    places="/usr/local/cuda/lib64 $(dirname "$(command -v nvcc || echo /)")/../lib64 $(python3 -c '
import glob, site
print(*[folder for place in site.getsitepackages() for folder in glob.glob(place + "/nvidia/*/lib")])' 2>/dev/null || true)"
    for library in 'libnvrtc.so.1[23]' 'libcublasLt.so.1[23]' libcudnn.so.9; do
        ldconfig -p 2>/dev/null | grep -q "$library" && continue
        for place in $places; do
            # shellcheck disable=SC2086
            if ls "$place"/$library >/dev/null 2>&1; then
                echo "$place"
                break
            fi
        done
    done | sort -u | tr '\n' ':'
}

machine() {
    nvidia-smi || true
    nvidia-smi -q -d CLOCK,POWER || true
    echo "LD_LIBRARY_PATH=$LD_LIBRARY_PATH"
    "$folder/calotype" devices
    python3 -c 'import torch; print("torch", torch.__version__, "cuDNN", torch.backends.cudnn.version())' || true
}

# calotype, told which device: on a machine with OpenCL beside CUDA, or without either, nothing else may answer.
write_front() {
    printf '#!/bin/sh\ncommand=$1\nshift\nexec "%s" "$command" --device cuda "$@"\n' "$folder/calotype" >"$work/calotype"
    chmod +x "$work/calotype"
}

# The demo model's picture against the one that OpenCL made when this folder was packed.
demo() {
    "$folder/calotype" txt2img --quiet --device cuda --dtype f32 --model "$folder/demo" --steps 20 --seed 2 \
        --prompt "$demo_prompt" --output "$results/demo.png"
    "$folder/compare_pictures" "$folder/demo.png" "$results/demo.png" 45
}

repeats() {
    seq 100 | xargs -P 8 -I N "$folder/calotype" txt2img --quiet --device cuda --model "$folder/demo" --prompt "a red house" \
        --steps 4 --seed 7 --output "$work/repeat-N.png"
    sha256sum "$work"/repeat-*.png | cut -d ' ' -f 1 | sort | uniq -c | tee "$work/hashes"
    [ "$(wc -l <"$work/hashes")" = 1 ] && grep -q '^ *100 ' "$work/hashes"
}

sanitize() {
    wrong=0
    for tool in memcheck racecheck; do
        for op in linear conv2d attention group_norm reduce; do
            case $op in linear | conv2d) types=f16:f16 ;; *) types=f16 ;; esac
            (
                status=0
                "$sanitizer" --tool $tool --error-exitcode 9 "$folder/checkkernel" --device cuda:0 --op $op --type $types \
                    >"$work/$tool-$op" 2>&1 || status=$?
                echo $status >"$work/$tool-$op.status"
            ) &
        done
    done
    wait
    for log in "$work"/*check-*[a-z2]; do
        case $log in *.status) continue ;; esac
        echo "== ${log##*/}"
        tail -12 "$log"
        [ "$(cat "$log.status")" = 0 ] || wrong=1
    done
    return $wrong
}

has_torch() {
    python3 -c "import torch${1:+, $1}; assert torch.cuda.is_available()" 2>/dev/null
}

skip() { # name, why
    echo "$1: SKIP, $2" | tee -a "$results/summary.txt"
}

stage_check() {
    part first 40 "$folder/checkkernel" --device cuda:0 --op activation
    grep -q '^exit status 0' "$results/first.txt" || { echo "gpu.sh: nothing works here; see first.txt" >&2; exit 1; }
    for op in $("$folder/checkkernel" --list | grep "^[a-z]"); do
        case $op in linear) variants="wgmma mma mma_small cublas floats" ;; conv2d) variants="wgmma mma mma_small cudnn floats" ;;
        *) variants= ;; esac
        for variant in ${variants:-""}; do
            part "checkkernel_$op${variant:+_$variant}" 150 "$folder/checkkernel" --device cuda:0 --op "$op" \
                --variant "${variant:-*}" &
        done
    done
    for share in $(seq 0 15); do
        part "goldens_$share" 150 "$folder/compare_goldens" "$work/calotype" "$folder/write_model" "$folder/golden" \
            "$folder/demo/tokenizer" "$work/goldens_$share" --share "$share/16" &
    done
    part demo 60 sh "$folder/gpu.sh" demo &
    part repeats 150 sh "$folder/gpu.sh" repeats &
    wait
}

stage_sanitize() {
    if sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null); then
        export sanitizer
        part sanitizer 90 sh "$folder/gpu.sh" sanitize
    else
        skip sanitizer "compute-sanitizer is not on this machine"
    fi
}

stage_steps() {
    for type in bf16 f16 f32; do
        part "sd15_$type" 40 "$folder/end_to_end" --device cuda --dtype $type --steps 20 --output "$results/sd15_$type.json"
    done
}

# Sums of each kernel's launches of one grid, from ncu's table.
kernels() {
    "$ncu" --clock-control none --metrics gpu__time_duration.sum --csv "$folder/calotype" profile txt2img --quiet --device cuda \
        --dtype bf16 --model layout:sd15 --prompt x --steps 1 --output "$work/x.png" >"$work/ncu.csv"
    awk -F '","' '/gpu__time_duration/ {
        value = $NF
        gsub(/[",]/, "", value)
        key = sprintf("%-24s blocks %-16s", $5, $9)
        time[key] += $(NF - 1) ~ /us/ ? value : value / 1000
        calls[key]++
    }
    END { for (key in time) printf "%9.1f us %4d x %8.2f  %s\n", time[key], calls[key], time[key] / calls[key], key }' \
        "$work/ncu.csv" | sort -rn
}

stage_kernels() {
    if ncu=$(command -v ncu || ls /usr/local/cuda/bin/ncu 2>/dev/null); then
        export ncu
        part kernels 60 sh "$folder/gpu.sh" kernels
    else
        skip kernels "ncu is not on this machine"
    fi
}

stage_ops() {
    for model in sd15 sdxl; do
        if has_torch; then
            part "ops_$model" 75 python3 "$folder/torch_peer.py" --bench-ops "$folder/bench_ops" --calotype-device cuda \
                --model $model --output "$results/ops_$model.json"
        else
            part "ops_$model" 45 "$folder/bench_ops" --device cuda --dtype bf16 --model $model \
                --output "$results/ops_$model.json"
        fi
    done
}

stage_tune() {
    part tune 90 "$folder/calotype" tune txt2img --device cuda --dtype bf16 --model layout:sd15 --prompt x --steps 1
    part sd15_bf16_tuned 40 "$folder/end_to_end" --device cuda --dtype bf16 --steps 20 \
        --output "$results/sd15_bf16_tuned.json"
}

stage_models() {
    part sdxl 120 "$folder/end_to_end" --model layout:sdxl --device cuda --dtype bf16 --steps 20 --width 1024 --height 1024 \
        --output "$results/sdxl.json"
    part sdxl_turbo 90 "$folder/calotype" txt2img --model layout:sdxl --device cuda --dtype bf16 --steps 1 --guidance 0 \
        --spacing trailing --width 512 --height 512 --prompt "$demo_prompt" --json --output "$results/turbo.png"
    part sd21 60 "$folder/end_to_end" --model layout:sd21 --device cuda --dtype bf16 --steps 20 --width 768 --height 768 \
        --output "$results/sd21.json"
}

stage_torch() {
    if has_torch diffusers; then
        part torch_step 300 python3 "$folder/torch_peer.py" --end-to-end "$folder/end_to_end" --output "$results/torch_step.json"
    else
        skip torch_step "python3 has no torch with CUDA or no diffusers"
    fi
}

run() {
    mkdir -p "$1"
    results=$(cd "$1" && pwd)
    folder=$(cd "$(dirname "$0")" && pwd)
    deadline=$(($(date +%s) + ${2:-570}))
    [ $# -lt 2 ] || shift
    shift
    stages=${*:-check sanitize steps kernels ops tune models}
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    export results folder work
    LD_LIBRARY_PATH="$(find_libraries)${LD_LIBRARY_PATH:-}"
    XDG_CACHE_HOME=$work/cache # kernels, torch's too
    TORCHINDUCTOR_CACHE_DIR=$work/inductor
    for wheel in "$folder"/wheels/*.whl; do
        [ ! -e "$wheel" ] || python3 -m zipfile -e "$wheel" "$work/python" 2>/dev/null || true
    done
    PYTHONPATH="${PYTHONPATH:+$PYTHONPATH:}$work/python"
    export LD_LIBRARY_PATH XDG_CACHE_HOME TORCHINDUCTOR_CACHE_DIR PYTHONPATH
    : >"$results/summary.txt"
    if ! "$folder/calotype" devices | grep -q '^cuda'; then
        echo "gpu.sh: there is no CUDA device here; calotype devices says why:" >&2
        "$folder/calotype" devices >&2
        exit 1
    fi
    write_front
    part machine 30 sh "$folder/gpu.sh" machine
    for stage in $stages; do
        "stage_$stage"
    done
    ! grep -q 'exit status [1-9]' "$results/summary.txt"
}

case ${1:-} in
pack) pack "${2:?usage: gpu.sh pack FOLDER}" ;;
run)
    shift
    : "${1:?usage: gpu.sh run RESULTS [SECONDS [STAGE …]]}"
    run "$@"
    ;;
machine | demo | repeats | sanitize | kernels) "$1" ;; # a part of `run`, by itself so that it can be timed out
*) sed -n '2,24s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
