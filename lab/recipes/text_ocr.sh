#!/bin/sh
# text_ocr.sh [DATA [OUT]]: rate and words read by RapidOCR: base, mllm without guide and the default, against AVIF.
#
# DATA (../shared/data) holds documents (26 receipts), ocr (51 web images and street photos) and charts (86, without labels:
# words read in the original count). OUT (results/text) gets a folder for each with rows, tables and curves. Qualities lie
# where accuracy falls. Settings: PACKS, LIMIT images of each. 1.5 seconds per row on a free core, 16 rows per image; run
# again, it continues. Needs: pip install . ./lab
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
base=cotam:profile=base,guide=none,view=human
for pack in ${PACKS:-documents ocr charts}; do
    metric=text
    case $pack in
    documents) avif=6,13,21,30 ours=0,8,17,28 ;;
    ocr) avif=10,18,26,36 ours=8,17,28,42 ;;
    charts) avif=0,5,12,22 ours=4,14,26,40 metric=reading ;;
    *) echo "PACKS are documents, ocr and charts, not $pack" >&2 && exit 2 ;;
    esac
    "${PYTHON:-python3}" -m cotam bench sweep "$data/$pack" -o "${2:-results/text}/$pack" --metric "$metric" \
        --codec "avif@$avif" --codec "$base@$ours" --codec "cotam:profile=mllm,guide=none@$ours" --codec "cotam@$ours" \
        --reference avif --reference "$base" --reference cotam:profile=mllm,guide=none ${LIMIT:+--limit "$LIMIT"}
done
