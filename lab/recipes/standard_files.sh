#!/bin/sh
# standard_files.sh [DATA [OUT]]: tailored standard files against plain ones: rate at equal words, features and class.
#
# DATA (../shared/data) holds documents, screens, kodak, objects; OUT (results/standard) gets a folder for each with rows,
# tables and curves. Settings: FORMATS (jpeg webp avif), SETS, LIMIT images of each set; READER is text (RapidOCR, labelled
# words), or reading (RapidOCR) or tesseract: words read in the original that are read in the copy, too. Two seconds per
# row for words, half a second for features, on a free core. Needs: pip install . ./lab; for class see mllm_rd.sh
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
out=${2:-results/standard}
bench="${PYTHON:-python3} -m cotam bench"

for set in ${SETS:-documents screens kodak objects}; do
    case $set in
    documents | screens) metrics="--metric ${READER:-reading}" jpeg=3,6,10,16 webp=0,3,8,18 avif=6,13,21,30 ;;
    kodak | objects) metrics="--metric features --metric class" jpeg=5,12,26,46 webp=2,13,35,60 avif=6,20,36,52 ;;
    *) echo "SETS are documents, screens, kodak and objects, not $set" >&2 && exit 2 ;;
    esac
    for format in ${FORMATS:-jpeg webp avif}; do
        eval "qualities=\$$format"
        # shellcheck disable=SC2086
        $bench sweep "$data/$set" -o "$out/$set/$format" $metrics --log-rate --reference "$format" \
            --codec "$format@$qualities" --codec "$format-tailored@$qualities" ${LIMIT:+--limit "$LIMIT"}
    done
done
