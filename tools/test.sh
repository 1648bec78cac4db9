#!/bin/sh
# Installs what is missing, builds with -Werror, runs every test, and the unit tests again under AddressSanitizer and
# UndefinedBehaviorSanitizer. Its last line counts test cases: N passed, N failed, N skipped.
set -eu
cd "$(dirname "$0")/.."
jobs=$(nproc)

echo "== packages"
sh tools/setup.sh test

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

# Runs a build's tests and leaves their whole output in $folder/tests.log.
run() { # folder, ctest options …
    folder=$1
    shift
    rm -f "$folder/tests.log"
    (cd "$folder" && ctest --parallel "$jobs" --output-on-failure --no-tests=error --output-log tests.log "$@" -V >/dev/null) || failed=1
    grep -E '^ *[0-9]+/[0-9]+ Test +#' "$folder/tests.log" || true
    awk '/\*\*\*(Failed|Timeout|Exception)/ { bad[$4] = 1 } END { for (t in bad) print t }' "$folder/tests.log" |
        while read -r name; do
            echo "---- $name"
            grep -E "^$(ctest_number "$folder" "$name"): " "$folder/tests.log" | tail -60
        done
}

ctest_number() { # folder, test: the number that begins its lines
    sed -n "s/^ *Start *\([0-9]*\): $2\$/\1/p" "$1/tests.log" | head -1
}

# Test cases of a log: a test that counts its own cases (cmocka; "N passed, N failed, N skipped") brings those, any
# other test is one case. A test that fails without a failed case, by crashing say, is one failed case more.
count() { # log
    awk '
        match($0, /^[0-9]+: /) {
            id = substr($0, 1, RLENGTH - 2) + 0
            if (match($0, /[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped/)) {
                split(substr($0, RSTART, RLENGTH), n, /[^0-9]+/)
                passed[id] += n[1]; failed[id] += n[2]; skipped[id] += n[3]
            }
            if (match($0, /\[  PASSED  \] [0-9]+ test/)) passed[id] += substr($0, RSTART + 13, RLENGTH) + 0
            if (match($0, /\[  FAILED  \] [0-9]+ test/)) failed[id] += substr($0, RSTART + 13, RLENGTH) + 0
            if (match($0, /\[  SKIPPED \] [0-9]+ test/)) skipped[id] += substr($0, RSTART + 13, RLENGTH) + 0
        }
        /^ *[0-9]+\/[0-9]+ Test +#[0-9]+: / {
            id = $0; sub(/^[^#]*#/, "", id); id += 0
            if (/Passed/) { if (!(passed[id] + failed[id] + skipped[id])) passed[id] = 1; if (failed[id]) wrong++ }
            else if (/Skipped/) { if (!(passed[id] + failed[id] + skipped[id])) skipped[id] = 1 }
            else if (!failed[id]) failed[id] = 1
            p += passed[id]; f += failed[id]; s += skipped[id]
        }
        END { print p + 0, f + wrong + 0, s + 0 }' "$1"
}

failed=0
echo "== tests"
run build/test
echo "== unit tests under sanitizers"
run build/sanitize -R '^test_'

set -- $(count build/test/tests.log) $(count build/sanitize/tests.log)
[ "$failed" = 0 ] || [ $(($2 + $5)) -gt 0 ] || set -- "$1" 1 "$3" "$4" "$5" "$6"
echo "$(($1 + $4)) passed, $(($2 + $5)) failed, $(($3 + $6)) skipped"
[ $(($2 + $5)) = 0 ]
