#!/bin/sh
# text_ocr.sh [DATA [OUT]]: rate and word accuracy of RapidOCR, cotam beside JPEG, WebP and AVIF.
#
# DATA holds the packs documents (26 receipts) and ocr (51 web pictures and street photos), ../shared/data if
# not given; OUT gets a folder for each (results). About ten minutes a pack on two free cores, for each pack
# rows.jsonl, table.md, curve.svg and curve.png; run again, it goes on where it was stopped.
# Needs: pip install 'cotam[bench]'.
set -eu

data=${1:-$(dirname "$0")/../../shared/data}
for pack in documents ocr; do
    "${PYTHON:-python3}" -m cotam.bench.cli text "$data/$pack" -o "${2:-results}/$pack"
done
