#!/bin/sh
# training_curve.sh [DATA [OUT]]: loss and feature distances on held-out images, for the weights of each stage of training.
#
# Weights come from the history of this repository, and so does the code that reads these float weights, in a worktree of
# its own. Images and packages are those of losses_held_out.sh. OUT (results/training_curve) gets base.jsonl and mllm.jsonl,
# a row for each stage. Steps are of 8 crops of 128×128; one of 32 crops of 256×256 counts as 16. mllm starts from base
# after 34,000. Ten minutes of a core. Needs git and a full clone.
set -eu

here=$(cd "$(dirname "$0")/../.." && pwd)
data=${1:-$here/../shared/data}
out=${2:-results/training_curve}
work=$(mktemp -d)
trap 'git -C "$here" worktree remove --force "$work/code"; rm -rf "$work"' EXIT
git -C "$here" worktree add -q --detach "$work/code" e420fd0

mkdir -p "$out" "$work/base" "$work/mllm"
stage() { # SET STEPS COMMIT [FILE]
    git -C "$here" show "$3:training/${4:-$1}.safetensors" >"$work/$1/$2.safetensors"
}
stage base 34000 3e8719d
stage base 37700 1f57e5f
stage base $((37700 + 16 * 6634)) f01398d
stage mllm 0 3e8719d base
stage mllm 5000 b9fefb1
stage mllm 8300 fb2471f
stage mllm $((8300 + 16 * 2984)) f01398d

export PYTHONPATH="$work/code/src:$work/code/lab/src"
JSON=1 "$work/code/lab/recipes/losses_held_out.sh" "$data" "$work"/base/* "$work"/mllm/* >"$work/rows"
for set in base mllm; do
    sed -n "s#^{.weights.: .*/$set/\([0-9]*\)\.safetensors., #{\"step\": \1, #p" "$work/rows" | sort -t: -k2n >"$out/$set.jsonl"
done
