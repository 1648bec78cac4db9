#!/bin/sh
# Opening a hostile checkpoint executes nothing, connects nowhere and opens no file but its own:
#   sh tests/unit/strace.sh CALOTYPE WRITE_ARCHIVE FOLDER
# Ends with 77 where strace is missing or may not trace.
set -eu
calotype=$1 write_archive=$2 folder=$3
here=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$folder"
if ! strace -f -o "$folder/probe" true 2>/dev/null; then
    echo "0 passed, 0 failed, 1 skipped"
    exit 77
fi
passed=0 failed=0

for name in system_2 popen_4 exec_0 stack_global inst obj newobj_ex state_5; do
    hex=$(awk -F '\t' -v name="$name" '$1 == name { print $3 }' "$here/golden/torch/hostile.txt")
    printf %s "$hex" | perl -e 'print pack "H*", <>' >"$folder/data.pkl"
    rm -rf "$folder/archive" "$folder/$name.ckpt"
    mkdir "$folder/archive"
    mv "$folder/data.pkl" "$folder/archive/"
    (cd "$folder" && "$write_archive" "$name.ckpt" archive/data.pkl)
    status=0
    strace -f -s 300 -e trace=execve,execveat,socket,connect,fork,vfork,clone,open,openat,creat,unlink,rename -o "$folder/$name.trace" \
        "$calotype" info "$folder/$name.ckpt" >"$folder/$name.log" 2>&1 || status=$?
    # Its own start, the loader's libraries and the checkpoint are all that may stand there.
    foreign=$(grep -Ev 'exited with|\+\+\+|--- ' "$folder/$name.trace" | tail -n +2 |
        grep -Ev 'openat?\([^"]*"(/etc/ld\.so|/lib|/usr/lib|/proc/self|/sys/|[^"]*\.so[.0-9]*)' |
        grep -v "\"$folder/$name.ckpt\"" || true)
    if [ "$status" = 3 ] && grep -q 'asks for' "$folder/$name.log" && [ -z "$foreign" ] &&
        grep -q "\"$folder/$name.ckpt\"" "$folder/$name.trace"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $name: status $status"
        cat "$folder/$name.log"
        echo "$foreign"
    fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
