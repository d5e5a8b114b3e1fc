#!/bin/sh
# video_memory.sh [CLIP [MINUTES…]]: time and peak memory of cotam encode for a clip repeated to one and to ten minutes.
#
# CLIP is a video that starts with a key frame (video/car-detection_12s.mp4 in ../shared/data). Two minutes on a core.
# Needs GNU time and: pip install '.[video]'
set -eu

clip=${1:-$(dirname "$0")/../../../shared/data/video/car-detection_12s.mp4}
[ $# -gt 1 ] && shift || set -- 1 10
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for minutes in "$@"; do
    "$python" "$(dirname "$0")/video_memory.py" "$clip" "$minutes" "$work/long.mp4"
    /usr/bin/time -o "$work/cost" -f '%e s, at most %M kB' "$python" -m cotam encode "$work/long.mp4" -o "$work/out.cotam" --quiet
    echo "$minutes min: $(cat "$work/cost"), $(wc -c <"$work/out.cotam") bytes"
done
