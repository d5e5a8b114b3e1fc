#!/bin/sh
# results.sh [NAME …]: remake tables of lab/docs/results.md, each by the recipe NAME, with its own settings, into results/NAME; those below if none
# is named. What a recipe prints goes to results/NAME/printed.txt. DATA is ../shared/data if not set; hours on two cores.
set -u

here=$(dirname "$0")
data=${DATA:-$here/../../../shared/data}
[ $# -gt 0 ] || set -- mllm_rd tokens_rd text_ocr kodak_rd views guides distortion_study edge_bytes photo_bodies video_rd video_memory \
    training_curve exactness fuzz load ray_batch speed install_size
for name in "$@"; do
    out=results/$name
    mkdir -p "$out"
    case $name in
    exactness | fuzz* | arm64 | install_size) arguments= ;;
    load) arguments=$data ;;
    ray_batch) arguments="$data/kodak 2000 $out" ;;
    *) arguments="$data $out" ;;
    esac
    # shellcheck disable=SC2086 # a list
    "$here/$name.sh" $arguments >"$out/printed.txt" || failed="${failed:-} $name"
    echo "$name: $(find "$out" -name '*.md' -o -name printed.txt -o -name report.html | sort | tr '\n' ' ')"
done
[ -z "${failed:-}" ] || { echo "failed:$failed" >&2 && exit 1; }
