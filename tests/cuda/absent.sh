#!/bin/sh
# Without CUDA the build has all of ours, and says why there is no device:
#   sh tests/cuda/absent.sh CALOTYPE CC SOURCE FOLDER
# No source of the library includes a header of NVIDIA's and nothing of theirs is linked, so a machine without any CUDA file
# builds it. Then: a driver that is not there (where it is not), one without its functions, and one that finds no GPU.
set -eu
calotype=$1 cc=$2 source=$3 folder=$4
passed=0 failed=0 skipped=0
rm -rf "$folder"
mkdir -p "$folder/old" "$folder/idle"

# expect NAME COMMAND …: succeeds.
expect() {
    name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $name"
        cat "$folder/log" 2>/dev/null || true
    fi
}

# says SENTENCE [LIBRARIES]: devices lists what else there is, with the sentence; to ask for CUDA is an error with it.
says() {
    rm -f "$folder/log"
    status=0
    LD_LIBRARY_PATH="${2:+$2:}${LD_LIBRARY_PATH:-}" "$calotype" devices >"$folder/log" 2>&1 || status=$?
    [ $status = 0 ] && grep -q "^- .*$1" "$folder/log" || return 1
    LD_LIBRARY_PATH="${2:+$2:}${LD_LIBRARY_PATH:-}" "$calotype" txt2img --device cuda --model layout:sd15 --prompt x \
        --output "$folder/x.png" >"$folder/log" 2>&1 || status=$?
    [ $status = 5 ] && grep -q "$1" "$folder/log"
}

no_headers() {
    ! grep -rnE '# *include *<(cuda|cublas|cudnn|nvrtc|driver_types)' "$source/engine" "$source/kernels" >"$folder/log"
}

none_linked() {
    ! ldd "$calotype" | grep -E 'libcuda|nvrtc|cublas|cudnn' >"$folder/log"
}

expect "no header of NVIDIA's" no_headers
expect "nothing of NVIDIA's linked" none_linked

if "$calotype" devices 2>/dev/null | grep -q '^cuda'; then
    skipped=3 # the real driver would be found first
else
    if ldconfig -p 2>/dev/null | grep -q 'libcuda\.so'; then
        skipped=1
    else
        expect "no driver" says "no CUDA on this machine (libcuda.so.1 was not found)"
    fi
    "$cc" -shared -fPIC -o "$folder/old/libcuda.so.1" -x c /dev/null
    expect "a driver without functions" says "the CUDA driver of this machine is too old: it lacks cu" "$folder/old"
    # Every function that the loader looks for is there, and says CUDA_ERROR_NO_DEVICE.
    sed -n 's/.*X(\(cu[A-Z][A-Za-z0-9_]*\),.*/int \1(void); int \1(void) { return 100; }/p' "$source/engine/cuda_api.h" \
        >"$folder/idle.c"
    "$cc" -shared -fPIC -fno-builtin -o "$folder/idle/libcuda.so.1" "$folder/idle.c"
    expect "a driver without a GPU" says "CUDA is installed but finds no device" "$folder/idle"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
