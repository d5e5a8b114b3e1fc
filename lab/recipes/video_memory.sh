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
    "$python" - "$clip" "$minutes" "$work/long.mp4" <<'END'
import sys
import av

with av.open(sys.argv[1]) as source, av.open(sys.argv[3], "w") as out:
    video = source.streams.video[0]
    stream = out.add_stream_from_template(video)
    packets = [p for p in source.demux(video) if p.dts is not None]
    step = packets[-1].dts - packets[0].dts + (packets[1].dts - packets[0].dts)
    for turn in range(int(float(sys.argv[2]) * 60 / float(step * video.time_base)) + 1):
        for packet in packets:
            copy = av.Packet(bytes(packet))
            copy.pts, copy.dts = packet.pts + turn * step, packet.dts + turn * step
            copy.time_base, copy.is_keyframe, copy.stream = packet.time_base, packet.is_keyframe, stream
            out.mux(copy)
END
    /usr/bin/time -o "$work/cost" -f '%e s, at most %M kB' "$python" -m cotam encode "$work/long.mp4" -o "$work/out.cotam" --quiet
    echo "$minutes min: $(cat "$work/cost"), $(wc -c <"$work/out.cotam") bytes"
done
