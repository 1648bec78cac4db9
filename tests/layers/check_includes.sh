#!/bin/sh
# Who may include whom: tools, bench → calotype.h (bench also the ops); pipelines → schedulers, engine, kernels;
# engine/models → engine, kernels; kernels → engine's device and tensor, never its models, weights or text; schedulers →
# engine's fault and shim. Prints every breach.
#   check_includes.sh SOURCE
set -eu
cd "$1"
breaches=0

# files, and a pattern of what they may include (quoted includes only)
rule() {
    pattern=$1
    shift
    found=$(grep -Hn '^#include "' "$@" | grep -vE "$pattern" || true)
    [ -z "$found" ] || { printf '%s\n' "$found"; breaches=1; }
}
rule '"(\.\./engine/calotype\.h|[a-z_]+\.h)"' tools/*.c tools/*.h
rule '"\.\./(engine/calotype|kernels/[a-z0-9_/]+)\.h"' bench/*.c
rule '"(\.\./engine/(fault|shim)\.h|[a-z_]+\.h)"' schedulers/*.c schedulers/*.h
rule '"(\.\./(engine|kernels|schedulers)/[a-z_/]+\.h|[a-z_]+\.h)"' pipelines/*.c pipelines/*.h
rule '"((\.\./)*engine/(activation|arena|device|fault|number|shim|tensor)\.h|(\.\./)?[a-z0-9_]+/[a-z0-9_]+\.h|(\.\./)?[a-z0-9_]+\.h)"' \
    kernels/*.c kernels/*.h kernels/*/*.c kernels/*/*.h
rule '"([a-z_]+|text/unicode)\.h"' engine/*.c engine/*.h
rule '"(\.\./[a-z_]+\.h|[a-z_]+\.h)"' engine/text/*.c engine/text/*.h engine/weights/*.c engine/weights/*.h
rule '"(\.\./\.\./kernels/[a-z0-9_/]+\.h|\.\./weights/[a-z_]+\.h|\.\./[a-z_]+\.h|[a-z_]+\.h)"' engine/models/*.c engine/models/*.h

# Every header compiles alone; the public one from C++ as well.
for header in engine/*.h engine/*/*.h kernels/*.h kernels/*/*.h schedulers/*.h pipelines/*.h tools/*.h; do
    case $header in kernels/reference.h) real=-DREAL=double ;; *) real= ;; esac
    ${CC:-cc} -std=c11 -D_POSIX_C_SOURCE=200809L $real -fsyntax-only -x c "$header" || breaches=1
done
${CXX:-c++} -std=c++17 -Wall -Wextra -Werror -fsyntax-only -x c++ engine/calotype.h || breaches=1

# Readable in one sitting: 600 lines at most, generated tables apart.
for file in $(git ls-files '*.c' '*.h' '*.cl' 2>/dev/null | grep -v unicode_tables.c); do
    lines=$(wc -l <"$file")
    [ "$lines" -le 600 ] || { echo "$file has $lines lines"; breaches=1; }
done
exit $breaches
