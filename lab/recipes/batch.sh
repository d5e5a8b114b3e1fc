#!/bin/sh
# batch.sh [FOLDER [COUNT]]: run COUNT (2,000) crops of 256×256 through cotam batch with one process, with two, and back;
# with RAY=1 also on a local Ray cluster. Prints wall and processor time and bytes; fails if outputs differ.
#
# FOLDER holds images (kodak/images in ../shared/data). Ten minutes on two idle cores.
# Needs GNU time and: pip install . (RAY=1: '.[ray]')
set -eu

folder=${1:-$(dirname "$0")/../../../shared/data/kodak/images}
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" "$(dirname "$0")/batch.py" "$folder" "$work/crops" "${2:-2000}"
run() { # NAME ARGUMENT…
    name=$1
    shift
    /usr/bin/time -o "$work/cost" -f '%e s, processor %U + %S s' "$python" -m cotam batch --quiet "$@"
    echo "$name: $(cat "$work/cost")"
}
run "encode, one process" "$work/crops" "$work/one" -j 1
run "encode, two processes" "$work/crops" "$work/two" -j 2
run "decode, one process" "$work/one" "$work/back" --decode -j 1
[ -z "${RAY:-}" ] || run "encode, Ray" "$work/crops" "$work/ray" --ray -j 2
for other in "$work"/two "$work"/ray; do
    [ ! -d "$other" ] || diff -r -x '*.jsonl' "$work/one" "$other"
done
echo "JPEG $(du -sb "$work/crops" | cut -f1) bytes, .cotam $(find "$work/one" -name '*.cotam' -exec cat {} + | wc -c) bytes"
