#!/bin/sh
# video_rd.sh [DATA [OUT]]: sequences against x264, x265, SVT-AV1 and against frames coded one by one.
#
# DATA (../shared/data) holds video: two clips from a fixed camera (car-detection_12s, and nasa_13013, which has a cut) and
# two that move. OUT (results/video) gets rows.jsonl and table.md. MAX_FRAMES of each clip (10). Ten to fifteen minutes on
# one core; run again, it continues. Needs: pip install '.[video]' ./lab
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
exec "${PYTHON:-python3}" -m cotam bench video "$data"/video/*.mp4 -o "${2:-results/video}" --fps 1 \
    --max-frames "${MAX_FRAMES:-10}"
