#!/bin/sh
# video_memory.sh [DATA [OUT]]: time and peak memory of cotam encode on clips of one minute and of ten.
#
# DATA holds the folder video (../shared/data if not given), of which a clip of 768×432 is repeated; OUT gets
# video_memory.md (results). MINUTES are other lengths. Two minutes on a free core. Needs: pip install
# '.[video]' ./lab.
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
# shellcheck disable=SC2046 # a list
exec "${PYTHON:-python3}" -m cotam_lab.bench.long_clip "$data/video/car-detection_12s.mp4" \
    -o "${2:-results}/video_memory.md" $(printf -- '--minutes %s ' ${MINUTES:-1 10})
