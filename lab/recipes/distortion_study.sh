#!/bin/sh
# distortion_study.sh [DATA [OUT]]: what compression breaks, as a page: layers, attention, text, class, counting.
#
# DATA holds the folders kodak, documents and objects (../shared/data if not given); OUT (results/study) gets the
# scenes, their rows and report.html. LIMIT photos and as many pages (24), SCENES to count in (96), CODECS with their
# qualities ("jpeg@2,9,24 cotam@0,17,42"; five rates each of jpeg, webp, avif and cotam if not given). Without these some 8,000
# scores, half of them of RapidOCR, each about a second of a core; run again, it continues.
# Needs what mllm_rd.sh needs.
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
out=${2:-results/study}
set --
for codec in ${CODECS:-}; do
    set -- "$@" --codec "$codec"
done
exec "${PYTHON:-python3}" -m cotam_lab.study.cli --photos "$data/kodak" --pages "$data/documents" \
    --objects "$data/objects" -o "$out" --limit "${LIMIT:-24}" --count-scenes "${SCENES:-96}" "$@"
