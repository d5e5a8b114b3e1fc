"""Repeat a clip to a length for `video_memory.sh`: CLIP MINUTES OUT."""

import sys

import av

with av.open(sys.argv[1]) as source, av.open(sys.argv[3], "w") as out:
    video = source.streams.video[0]
    assert video.time_base
    stream = out.add_stream_from_template(video)
    packets = [p for p in source.demux(video) if p.dts is not None]
    starts = [p.dts or 0 for p in packets]
    step = starts[-1] - starts[0] + (starts[1] - starts[0])
    for turn in range(int(float(sys.argv[2]) * 60 / float(step * video.time_base)) + 1):
        for packet, start in zip(packets, starts, strict=True):
            copy = av.Packet(bytes(packet))
            copy.pts, copy.dts = (packet.pts or 0) + turn * step, start + turn * step
            copy.time_base, copy.is_keyframe, copy.stream = packet.time_base, packet.is_keyframe, stream
            out.mux(copy)
