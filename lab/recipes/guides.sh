#!/bin/sh
# guides.sh [DATA [OUT]]: compare importance maps: rate at equal feature distance of DINOv2-S, real files.
#
# DATA (../shared/data) holds kodak, highres, train/photos and train/captions; OUT (results/guides) gets photos.jsonl
# (rows), photos.md (a table) and the measured images. Settings: WEIGHTS, a weight set or its folder (mllm); LIMIT images;
# MAPS, by default those of lab/docs/guide_maps.md; lab/recipes/train_guide.sh makes maps that are files. Two seconds per
# image and map on one free core, half a second more for the teacher's own maps; run again, it continues.
# Needs: pip install -c constraints.txt . ./lab
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
out=${2:-results/guides}
lite=$(dirname "$0")/../../src/cotam/weights/guide_lite.onnx
maps=${MAPS:-"early@ternary early@0.25 late@0.125 variance@0.125 tokens@0.25 attended@0.35 whole@0.25
attended+whole@0.25 tokens+attended+whole@0.25
$([ ! -f "$lite" ] || echo "$lite@0.35")"}
export OMP_NUM_THREADS=1
# shellcheck disable=SC2086 # a list
exec "${PYTHON:-python3}" -m cotam_lab.bench.guides "$data" -o "$out" --weights "${WEIGHTS:-mllm}" \
    ${LIMIT:+--limit "$LIMIT"} $(printf -- '--map %s ' $maps)
