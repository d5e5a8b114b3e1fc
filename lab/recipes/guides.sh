#!/bin/sh
# guides.sh [DATA [OUT]]: which importance map is worth its bits; rate at equal distance for DINOv2-S, real files.
#
# DATA holds kodak, highres, train/photos and train/captions (../shared/data if not given); OUT gets photos.jsonl (rows),
# photos.md, a table, and the images as they were measured (results/guides).
# WEIGHTS: another weight set, a name or a folder. LIMIT: so many images instead of all. MAPS: other maps than
# those of docs/guide.md; those of files are built by lab/recipes/train_guide.sh.
# Some two seconds an image and map on one free core, half a second more for the teacher's own maps; run
# again, it continues where it stopped. Needs: pip install -c constraints.txt . ./lab.
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
out=${2:-results/guides}
lite=$(dirname "$0")/../../src/cotam/weights/guide_lite.onnx
maps=${MAPS:-"early@ternary early@0.25 late@0.125 variance@0.125 tokens@0.25 attended@0.125 attended@0.25 whole@0.125
whole@0.25 attended+whole@0.25 tokens+attended+whole@0.125 tokens+attended+whole@0.25
$([ ! -f "$lite" ] || echo "$lite@0.35")"}
export OMP_NUM_THREADS=1
# shellcheck disable=SC2086 # a list
exec "${PYTHON:-python3}" -m cotam_lab.bench.guides "$data" -o "$out" --weights "${WEIGHTS:-mllm}" \
    ${LIMIT:+--limit "$LIMIT"} $(printf -- '--map %s ' $maps)
