#!/bin/sh
# Installs a build into a scratch prefix, and builds and runs the example against what was installed: as C11 through
# pkg-config, as C++17 through find_package, and the public header alone in both languages.
#   run.sh SOURCE BUILD WORK
set -eu
source=$1 build=$2 work=$3
rm -rf "$work"
mkdir -p "$work/cmake"
prefix=$work/prefix
cmake --install "$build" --prefix "$prefix" >"$work/install.log"
sed -i "s|^prefix=.*|prefix=$prefix|" "$prefix"/lib*/pkgconfig/calotype.pc "$prefix"/lib/*/pkgconfig/calotype.pc 2>/dev/null || true
package=$(find "$prefix" -name calotype.pc -exec dirname {} \;)
libraries=$(dirname "$package")

flags=$(PKG_CONFIG_PATH=$package pkg-config --cflags --libs calotype)
# shellcheck disable=SC2086
${CC:-cc} -std=c11 -Wall -Wextra -Werror "$source/tests/install/example.c" -o "$work/example_c" $flags
LD_LIBRARY_PATH=$libraries "$work/example_c" "$source/tools/demo/model" "a red house" "$work/c.png" 2>"$work/c.log"

cp "$source/tests/install/example.c" "$work/cmake/example.cpp"
cat >"$work/cmake/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.18)
project(example LANGUAGES CXX)
set(CMAKE_CXX_STANDARD 17)
find_package(calotype REQUIRED)
add_executable(example example.cpp)
target_link_libraries(example PRIVATE calotype::calotype)
END
cmake -S "$work/cmake" -B "$work/cmake/build" -DCMAKE_PREFIX_PATH="$prefix" >"$work/configure.log"
cmake --build "$work/cmake/build" >"$work/build.log"
LD_LIBRARY_PATH=$libraries "$work/cmake/build/example" "$source/tools/demo/model" "a red house" "$work/cpp.png" 2>"$work/cpp.log"
cmp "$work/c.png" "$work/cpp.png"

for page in share/man/man1/calotype.1 share/bash-completion/completions/calotype; do
    if [ ! -s "$prefix/$page" ]; then
        echo "$page was not installed" >&2
        exit 1
    fi
done

if nm -D --defined-only "$libraries/libcalotype.so" | grep -v ' calo_' | grep -q ' [TDB] '; then
    echo "the shared library exports more than calo_ names" >&2
    exit 1
fi
if "$work/example_c" 2>/dev/null; then
    echo "the example without words did not complain" >&2
    exit 1
fi
