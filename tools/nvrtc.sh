#!/bin/sh
# Sees to CUDA's run-time compiler for the tests, which compile kernels where there is no GPU.
#   sh tools/nvrtc.sh      prints a folder for LD_LIBRARY_PATH, or nothing where the system's own will do
# Where the system has none it is fetched from PyPI (NVIDIA's wheel nvidia-cuda-nvrtc, 40 MB, NVIDIA's licence) into
# ~/.cache/calotype/nvrtc. Without it those tests are skipped, and counted.
set -eu
if ldconfig -p 2>/dev/null | grep -q 'libnvrtc\.so\.1[23]' || ls /usr/local/cuda/lib64/libnvrtc.so.1[23] >/dev/null 2>&1; then
    exit 0
fi
folder=${XDG_CACHE_HOME:-$HOME/.cache}/calotype/nvrtc
library=$(find "$folder" -name 'libnvrtc.so.13' 2>/dev/null | head -1)
if [ -z "$library" ]; then
    wheels=$(mktemp -d)
    trap 'rm -rf "$wheels"' EXIT
    python3 -m pip --version >/dev/null 2>&1 || DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
        --no-install-recommends python3-pip >/dev/null 2>&1 || { echo "no pip, so no NVRTC" >&2; exit 1; }
    python3 -m pip download -q --no-deps --only-binary=:all: --dest "$wheels" 'nvidia-cuda-nvrtc>=13,<14' >/dev/null 2>&1 ||
        { echo "NVRTC cannot be fetched from PyPI" >&2; exit 1; }
    mkdir -p "$folder"
    python3 -m zipfile -e "$wheels"/*.whl "$folder"
    library=$(find "$folder" -name 'libnvrtc.so.13' | head -1)
fi
dirname "$library"
