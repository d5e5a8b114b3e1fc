#!/bin/sh
# distortion_study.sh [DATA [OUT]]: what compression breaks: layers, attention, text, class, counting.
#
# DATA (../shared/data) holds kodak, documents and objects; OUT (results/study) gets scenes, rows and report.md. Settings:
# LIMIT, photos and as many pages (24); SCENES for counting (96); CODECS with qualities ("jpeg@2,9,24 cotam@0,17,42"; by
# default five rates each of jpeg, webp, avif and cotam). By default 8,000 scores, half of them of RapidOCR, each about a
# second of a core. Run again, it continues. Needs what mllm_rd.sh needs.
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
out=${2:-results/study}
set --
for codec in ${CODECS:-}; do
    set -- "$@" --codec "$codec"
done
exec "${PYTHON:-python3}" -m cotam analyze --photos "$data/kodak" --pages "$data/documents" \
    --objects "$data/objects" -o "$out" --limit "${LIMIT:-24}" --count-scenes "${SCENES:-96}" "$@"
