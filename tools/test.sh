#!/bin/sh
# Installs what is missing, builds with -Werror, runs every test, and the unit tests again under AddressSanitizer and
# UndefinedBehaviorSanitizer. Its last line counts test cases: N passed, N failed, N skipped.
set -eu
cd "$(dirname "$0")/.."
jobs=$(nproc)

echo "== packages"
sh tools/setup.sh test
sh tools/setup.sh fuzz || echo "without libFuzzer or strace: their tests are skipped"
if nvrtc=$(sh tools/nvrtc.sh) && [ -n "$nvrtc" ]; then
    export LD_LIBRARY_PATH="$nvrtc${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
fi

build() { # folder, cmake options …
    folder=$1
    shift
    mkdir -p "$folder"
    cmake -S . -B "$folder" -DCALO_WERROR=ON -DCALO_TESTS=ON "$@" >"$folder/configure.log" 2>&1 ||
        { cat "$folder/configure.log" >&2; exit 1; }
    cmake --build "$folder" --parallel "$jobs" >"$folder/build.log" 2>&1 || { tail -40 "$folder/build.log" >&2; exit 1; }
}

echo "== build"
build build/test -DCMAKE_BUILD_TYPE=Release
build build/sanitize -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCALO_SANITIZE=ON

# Runs a build's tests. ctest's verdicts go to $folder/verdicts.log, a line each; the output of every test, in blocks
# that begin "N/M Testing: name", to $folder/output.log.
run() { # folder, ctest options …
    folder=$1
    shift
    rm -rf "$folder/Testing"
    (cd "$folder" && ctest --parallel "$jobs" --no-tests=error "$@" >verdicts.log 2>&1) || failed=1
    cp "$folder/Testing/Temporary/LastTest.log" "$folder/output.log"
    grep -E '^ *[0-9]+/[0-9]+ Test +#' "$folder/verdicts.log" || true
    sed -n 's/^ *[0-9]*\/[0-9]* Test *#[0-9]*: \([^ ]*\) .*\*\*\*\(Failed\|Timeout\|Exception\|Not Run\).*/\1/p' "$folder/verdicts.log" |
        while read -r name; do
            echo "---- $name"
            awk -v name="$name" '/^[0-9]+\/[0-9]+ Testing: / { on = $3 == name } on' "$folder/output.log" | tail -60
        done
}

# Test cases of a build: a test that counts its own cases (cmocka; a line "N passed, N failed, N skipped") brings
# those, any other test is one case. A test that fails without a failed case, by crashing say, is one failed case more.
count() { # folder
    awk '
        /^[0-9]+\/[0-9]+ Testing: / { name = $3 }
        /^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ { passed[name] += $1; failed[name] += $3; skipped[name] += $5 }
        /^\[  PASSED  \] [0-9]+ test/ { passed[name] += $4 }
        /^\[  FAILED  \] [0-9]+ test/ { failed[name] += $4 }
        /^\[  SKIPPED \] [0-9]+ test/ { skipped[name] += $4 }
        /^ *[0-9]+\/[0-9]+ Test +#[0-9]+: / {
            name = $0; sub(/^[^:]*: /, "", name); sub(/ .*/, "", name)
            own = passed[name] + failed[name] + skipped[name]
            if (/ Passed /) { if (!own) passed[name] = 1 }
            else if (/\*\*\*Skipped/) { if (!own) skipped[name] = 1 }
            else if (!failed[name]) failed[name] = 1
            p += passed[name]; f += failed[name]; s += skipped[name]
        }
        END { print p + 0, f + 0, s + 0 }' "$1/output.log" "$1/verdicts.log"
}

failed=0
echo "== tests"
run build/test
echo "== unit tests under sanitizers"
run build/sanitize -R '^test_'

set -- $(count build/test) $(count build/sanitize)
[ "$failed" = 0 ] || [ $(($2 + $5)) -gt 0 ] || set -- "$1" 1 "$3" "$4" "$5" "$6"
echo "$(($1 + $4)) passed, $(($2 + $5)) failed, $(($3 + $6)) skipped"
[ $(($2 + $5)) = 0 ]
