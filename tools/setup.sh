#!/bin/sh
# Sees to the Debian packages that calotype is built from.
#   sh tools/setup.sh demo      what building and running takes
#   sh tools/setup.sh test      that, and what the tests take
#   sh tools/setup.sh fuzz      what some tests can do without: libFuzzer and strace
# As root, or where sudo asks for no password, it installs what is missing. Anywhere else it prints the command.
set -eu
build="gcc libc6-dev make cmake pkg-config libcjson-dev libstb-dev zlib1g-dev opencl-headers"
run="ocl-icd-libopencl1 pocl-opencl-icd"
test="g++ libcmocka-dev"
fuzz="clang libclang-rt-14-dev strace" # of Debian 12
case ${1:-demo} in
demo) packages="$build $run" ;;
test) packages="$build $run $test" ;;
fuzz) packages="$fuzz" ;;
*) echo "usage: sh tools/setup.sh demo|test|fuzz" >&2; exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null; then
    for tool in cc cmake make pkg-config; do
        command -v $tool >/dev/null || missing="${missing:-} $tool"
    done
    [ -z "${missing:-}" ] && pkg-config --exists libcjson zlib && exit 0
    echo "This is no Debian. Please install what these packages hold: $packages" >&2
    exit 1
fi

missing=
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' && continue
    # Any C and C++ compiler and any make will do, as will pkgconf for pkg-config.
    case $package in
    gcc) command -v cc >/dev/null && continue ;;
    g++) command -v c++ >/dev/null && continue ;;
    make | cmake | pkg-config) command -v $package >/dev/null && continue ;;
    esac
    missing="$missing $package"
done
[ -z "$missing" ] && exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=sudo
else
    echo "These packages are missing. Please run, then try again:" >&2
    echo "    sudo apt-get update && sudo apt-get install --no-install-recommends$missing" >&2
    exit 1
fi
echo "installing$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for step in "update" "install -y --no-install-recommends$missing"; do
    # shellcheck disable=SC2086
    if ! $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 $step >"$log" 2>&1; then
        tail -20 "$log" >&2
        echo "apt-get $step failed; see above" >&2
        exit 1
    fi
done
