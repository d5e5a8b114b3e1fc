#!/bin/sh
# results.sh [NAME …]: run recipes of lab/docs/results.md, by default all listed below. results/NAME gets tables, and
# printed.txt with what the recipe prints. Hours on two cores. DATA is ../shared/data by default.
set -u

here=$(dirname "$0")
data=${DATA:-$here/../../../shared/data}
[ $# -gt 0 ] || set -- mllm_rd frozen_base tokens_rd text_ocr kodak_rd views guides distortion_study edge_bytes video_rd video_memory \
    training_curve exactness fuzz load batch speed large install_size
for name in "$@"; do
    out=results/$name
    mkdir -p "$out"
    case $name in
    exactness | fuzz* | arm64 | install_size | batch | video_memory) arguments= ;;
    large) arguments="$data/kodak/images/kodim05.png $out" ;;
    load | serve_load | edge_bytes) arguments=$data ;;
    *) arguments="$data $out" ;;
    esac
    # shellcheck disable=SC2086 # a list
    "$here/$name.sh" $arguments >"$out/printed.txt" || failed="${failed:-} $name"
    echo "$name: $(find "$out" -name '*.md' -o -name printed.txt | sort | tr '\n' ' ')"
done
[ -z "${failed:-}" ] || { echo "failed:$failed" >&2 && exit 1; }
