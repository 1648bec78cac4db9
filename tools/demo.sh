#!/bin/sh
# From a fresh clone to a picture: installs what is missing, builds, and draws with the demo model.
set -eu
cd "$(dirname "$0")/.."
prompt=${1:-"a red house on a green hill under a yellow sun, blue sky, two pine trees"}
picture=build/red-house.png
[ $# = 0 ] || picture=build/demo.png

echo "1/3 packages"
sh tools/setup.sh demo
echo "2/3 build"
mkdir -p build
cmake -S . -B build -DCMAKE_BUILD_TYPE=Release >build/configure.log 2>&1 || { cat build/configure.log >&2; exit 1; }
cmake --build build --target calotype --parallel "$(nproc)"
echo "3/3 picture (the first one also compiles the kernels)"
set -- build/calotype txt2img --model tools/demo/model --prompt "$prompt" --seed 2 --steps 25 --guidance 5 \
    --scheduler dpmpp_2m_karras --output "$picture"
"$@"

echo
echo "The picture is $PWD/$picture. It was made by"
printf '    '
for word in "$@"; do
    case $word in
    *[!A-Za-z0-9_./=+-]*) printf "'%s' " "$(printf %s "$word" | sed "s/'/'\\\\''/g")" ;;
    *) printf '%s ' "$word" ;;
    esac
done
echo
