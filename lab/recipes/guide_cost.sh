#!/bin/sh
# guide_cost.sh [DATA [OUT]]: file size with a guide against none, for both policies, on eight Kodak images.
#
# DATA (../shared/data) holds kodak; OUT (results/guide_cost) gets rows.jsonl and table.md: compare the column bpp. The
# guide is the energy of gradients, which needs no training. Five minutes on one core. Needs: pip install . ./lab
set -eu

here=$(dirname "$0")
data=${1:-$here/../../../shared/data}
out=${2:-results/guide_cost}
python=${PYTHON:-python3}
"$python" "$here/../../tests/guides.py" "$out/guides"
guided="cotam:profile=mllm,guide=$out/guides/energy.onnx"
OMP_NUM_THREADS=1 exec "$python" -m cotam bench sweep "$data/kodak" -o "$out" --limit 8 --metric fidelity \
    --codec "cotam:profile=mllm,guide=none@0,15,40" --codec "$guided,guide_policy=log@0,15,40" \
    --codec "$guided,guide_policy=ternary@0,15,40"
