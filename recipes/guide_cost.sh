#!/bin/sh
# guide_cost.sh [DATA [OUT]]: what a guide costs beside its own network: how far the size of files moves from the
# unguided one, what the level map costs, and the time around the network.
#
# DATA holds the folder kodak (../shared/data if not given); OUT gets guide_cost.md (results). Two stand-in guides
# without training, gradient energy and colour contrast, so that it is not about one guide. Some ten minutes on one
# core, and 3 GB of memory for the picture of 100 megapixels. Needs: pip install 'cotam[train]'.
set -eu

here=$(dirname "$0")
data=${1:-$here/../../shared/data}
out=${2:-results}
python=${PYTHON:-python3}
mkdir -p "$out"
"$python" "$here/../tests/guides.py" "$out/guides"
OMP_NUM_THREADS=1 "$python" -m cotam.bench.guided "$data/kodak" \
    --guide "$out/guides/energy.onnx" --guide "$out/guides/contrast.onnx" \
    --strength 0.5 --strength 1 --quality 0 --quality 15 --quality 40 \
    --side 627 --side 3464 --side 10000 | tee "$out/guide_cost.md"
