#!/bin/sh
# guide_cost.sh [DATA [OUT]]: what a guide costs beside its own network: how far the size of files moves from the
# unguided one, what the level map costs, and the processor time around the network.
#
# DATA holds the folder kodak (../shared/data if not given), of which every third picture is taken; OUT gets
# guide_cost.md (results). Two stand-in guides without training, gradient energy and colour contrast. Some five
# minutes on one free core. Needs: pip install . ./lab.
set -eu

here=$(dirname "$0")
data=${1:-$here/../../../shared/data}
out=${2:-results}
python=${PYTHON:-python3}
mkdir -p "$out"
"$python" "$here/../tests/guides.py" "$out/guides"
OMP_NUM_THREADS=1 "$python" -m cotam_lab.bench.guided "$data/kodak" --limit 8 \
    --guide "$out/guides/energy.onnx" --guide "$out/guides/contrast.onnx" \
    --quality 0 --quality 15 --quality 40 --side 627 --side 3464 | tee "$out/guide_cost.md"
