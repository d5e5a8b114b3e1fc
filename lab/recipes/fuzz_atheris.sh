#!/bin/sh
# fuzz_atheris.sh [SECONDS [OUT [TARGET …]]]: coverage-guided fuzzing of decode, info, and the gateway's rewrite and
# convert, for SECONDS each (900). Prints executions, coverage and findings of each target; fails if there are findings.
#
# OUT (results/fuzz) keeps inputs that reach new code, for the next run, and those that fail. tests/fuzz/targets.py has the
# targets, and says what to do with findings. The fuzzer's own bookkeeping grows by some kB per execution, so it restarts
# every SLICE (60) seconds to keep its memory limit meaningful.
# Needs Linux or macOS and: pip install '.[serve,dev]' atheris
set -u

seconds=${1:-900}
out=${2:-results/fuzz}
[ $# -gt 2 ] && shift 2 || set -- decode info rewrite convert
run=$(cd "$(dirname "$0")/../../tests/fuzz" && pwd)/run.py
status=0
for target in "$@"; do
    mkdir -p "$out/$target"
    : >"$out/$target/log"
    left=$seconds
    while [ "$left" -gt 0 ]; do
        slice=$((left < ${SLICE:-60} ? left : ${SLICE:-60}))
        left=$((left - slice))
        if ! "${PYTHON:-python3}" "$run" "$target" "$out/$target/corpus" "-max_total_time=$slice" \
            "-artifact_prefix=$out/$target/" >>"$out/$target/log" 2>&1; then
            status=1
            grep -aE '^ *=== |Error|ERROR|Test unit written' "$out/$target/log" | tail -20
            break
        fi
    done
    coverage=$(grep -ao 'cov: [0-9]* ft: [0-9]* corp: [0-9]*' "$out/$target/log" | tail -1)
    runs=$(awk '/^stat::number_of_executed_units:/ { n += $2 } END { print n + 0 }' "$out/$target/log")
    found=$(find "$out/$target" -maxdepth 1 -name 'crash-*' -o -maxdepth 1 -name 'timeout-*' -o -maxdepth 1 -name 'oom-*' | wc -l)
    echo "$target: $runs executions, $coverage, $found findings"
done
exit $status
