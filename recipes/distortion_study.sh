#!/bin/sh
# distortion_study.sh [DATA [OUT]]: what compression breaks, as a page: layers, attention, text, class, counting.
#
# DATA holds the folders kodak, documents and objects (../shared/data if not given); OUT (results/study) gets the
# scenes, their rows and report.html. Some 5,000 judgements, half of them of RapidOCR; run again, it goes on.
# Needs what mllm_rd.sh needs.
set -eu

data=${1:-$(dirname "$0")/../../shared/data}
exec "${PYTHON:-python3}" -m cotam.analysis.cli --photos "$data/kodak" --pages "$data/documents" \
    --objects "$data/objects" -o "${2:-results/study}" --limit 24 --count-scenes 96
