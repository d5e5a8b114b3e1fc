#!/bin/sh
# video_rd.sh [DATA [OUT]]: sequences beside x264, x265, SVT-AV1 and their own frames one by one.
#
# DATA holds the folder video (../shared/data if not given); OUT gets rows.jsonl and table.md (results/video). About
# ten to fifteen minutes on one core; MAX_FRAMES takes fewer frames of each clip than 10; run
# again, it continues where it stopped. Two clips have a fixed camera
# (car-detection_12s, nasa_13013, which has a cut), two move. Needs: pip install '.[video]' ./lab.
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
exec "${PYTHON:-python3}" -m cotam bench video "$data"/video/*.mp4 -o "${2:-results/video}" --fps 1 \
    --max-frames "${MAX_FRAMES:-10}"
