"""``cotam bench video``: compare sequences with video codecs and with separately coded frames.

All codecs get the same sampled frames. A clip takes the place of an image: its rate is over all frames, its
score the mean over them.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import click
import numpy as np

import cotam
from cotam.errors import InputError
from cotam.image.fit import shrink_to_fit
from cotam.image.read import Pixels
from cotam.image.sampling import read_clip
from cotam.image.video import Clip
from cotam.options import guide_digest, weights_digests
from cotam_lab.bench import report
from cotam_lab.bench.curves import Delta, bd_rate, monotone, points
from cotam_lab.bench.sweep import Row, Rows, append, resumed
from cotam_lab.metrics.base import Metric
from cotam_lab.metrics.scores import score_named

__all__ = ["CODECS", "REFERENCES", "SCORES", "VideoCodec", "measured", "table"]

Frames = Sequence[tuple[float, Pixels]]
REFERENCES = ("x264", "cotam one by one")
SCORES = ("features", "patch", "shallow", "middle", "late", "deep", "whole")


@dataclass(frozen=True)
class VideoCodec:
    """A video codec with its settings.

    Attributes
    ----------
    code : (frames with their seconds, setting) → (bytes, decoded frames)
    settings : four, whose rates and scores overlap with those of the other codecs
    """

    code: Callable[[Frames, int], tuple[int, list[Pixels]]]
    settings: tuple[int, ...]


def _sequence(frames: Frames, quality: int, **options: Any) -> tuple[int, list[Pixels]]:
    data = b"".join(cotam.encode_frames(frames, quality=quality, **options))
    return len(data), [np.array(image) for _, image in cotam.decode_frames(data)]


def _one_by_one(frames: Frames, quality: int) -> tuple[int, list[Pixels]]:
    files = [cotam.encode(pixels, quality=quality) for _, pixels in frames]
    return sum(map(len, files)), [np.array(cotam.decode(data)) for data in files]


def _library(name: str, **options: str) -> Callable[[Frames, int], tuple[int, list[Pixels]]]:
    """Use an encoder of FFmpeg; its rate counts packets, without the container."""

    def code(frames: Frames, crf: int) -> tuple[int, list[Pixels]]:
        os.environ.setdefault("SVT_LOG", "1")
        import av

        height, width = frames[0][1].shape[:2]
        clock = Fraction(1, 1000)
        file, size = BytesIO(), 0
        container: Any
        with av.open(file, "w", format="matroska") as container:
            stream = container.add_stream(name, options={"crf": str(crf), "g": str(len(frames)), **options})
            stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
            stream.time_base = stream.codec_context.time_base = clock
            stream.codec_context.framerate = Fraction(1)
            stream.codec_context.thread_count = 1
            for seconds, pixels in [*frames, (0.0, None)]:
                frame = None
                if pixels is not None:
                    even = np.pad(pixels, [(0, height % 2), (0, width % 2), (0, 0)], mode="edge")
                    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
                    frame.pts, frame.time_base = round(seconds / clock), clock
                for packet in stream.encode(frame):
                    size += packet.size
                    container.mux(packet)
        file.seek(0)
        with av.open(file) as container:
            decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        if len(decoded) != len(frames):
            raise InputError(f"{name} returned {len(decoded)} of {len(frames)} frames")
        return size, [np.ascontiguousarray(pixels[:height, :width]) for pixels in decoded]

    return code


CODECS = {
    "cotam": VideoCodec(_sequence, (10, 25, 40, 55)),
    "cotam no guide": VideoCodec(partial(_sequence, profile="mllm", guide="none"), (10, 25, 40, 55)),
    "cotam low delay": VideoCodec(partial(_sequence, low_delay=True), (15, 30, 45, 60)),
    "cotam one by one": VideoCodec(_one_by_one, (10, 25, 42, 60)),
    "x264": VideoCodec(_library("libx264", preset="veryslow"), (30, 35, 40, 45)),
    "x265": VideoCodec(
        _library("libx265", preset="veryslow", **{"x265-params": "log-level=none"}), (30, 35, 40, 45)
    ),
    "svt-av1": VideoCodec(_library("libsvtav1", preset="3"), (36, 44, 52, 60)),
}


def version_of(codec: str, sampled: str) -> str:
    """Describe what the rows of a codec depend on: sampling, and weights and guide, or PyAV."""
    if codec.startswith("cotam"):
        guide = str(guide_digest("auto", "auto"))[:12]
        return f"{sampled}, weights {weights_digests('auto')}, guide file {guide}"
    av = importlib.metadata.version("av")
    return f"{sampled}, av {av}"


def measured(
    clips: Sequence[str], codecs: Iterable[str], out: Path, scored: Metric, sampling: dict[str, Any]
) -> list[Row]:
    """Return the rows of all clips; ``out/rows.jsonl`` is extended clip by clip.

    ``sampling``: ``fps`` and ``most`` select frames, ``fit`` is the model that they are resized for.
    """
    file = out / "rows.jsonl"
    sampled = ", ".join(f"{key} {value}" for key, value in sampling.items())
    versions = {codec: version_of(codec, sampled) for codec in codecs}
    stems = [Path(name).stem for name in clips]
    kept = [
        row for row in resumed(file) if row["image"] in stems and row["version"] == versions.get(row["codec"])
    ]
    done = {(row["image"], row["codec"], row["quality"]) for row in kept}
    with click.progressbar(clips, file=sys.stderr) as bar:
        for name, stem in zip(bar, stems, strict=True):
            every = [(codec, setting) for codec in versions for setting in CODECS[codec].settings]
            missing = [(codec, setting) for codec, setting in every if (stem, codec, setting) not in done]
            if not missing:
                continue
            with open(name, "rb") as source, closing(Clip(source, name)) as clip:
                taken = read_clip(clip, sampling["fps"], sampling["most"])
                frames = [(s, np.array(shrink_to_fit(p, sampling["fit"]))) for s, p in taken]
            made = [
                row | {"version": versions[row["codec"]]} for row in rows_of(stem, frames, missing, scored)
            ]
            for row in made:
                append(file, row)
            kept += made
    place = {name: number for number, name in enumerate((*stems, *versions))}
    return sorted(kept, key=lambda row: (place[row["image"]], place[row["codec"]], row["quality"]))


def rows_of(name: str, frames: Frames, wanted: Iterable[tuple[str, int]], scored: Metric) -> list[Row]:
    """Make a row for each codec and setting: bytes, bits per pixel, mean scores over the frames."""
    coded = {(codec, setting): CODECS[codec].code(frames, setting) for codec, setting in wanted}
    found: dict[tuple[str, int], list[dict[str, float | None]]] = {key: [] for key in coded}
    for number, (_, pixels) in enumerate(frames):  # frame by frame: its features are computed once
        for key, (_, decoded) in coded.items():
            found[key].append(scored.score(pixels, decoded[number], ()))
    pixels_in_all = sum(pixels.shape[0] * pixels.shape[1] for _, pixels in frames)
    rows = []
    for (codec, setting), (size, _) in coded.items():
        scores = found[codec, setting]
        means = {key: float(np.mean([float(one[key] or 0) for one in scores])) for key in scored.keys}
        about = {"codec": codec, "quality": setting, "image": name, "frames": len(frames), "bytes": size}
        rows.append(about | {"bpp": 8 * size / pixels_in_all} | means)
    return rows


def table(rows: Rows, reference: str, scores: Sequence[str] = SCORES) -> str:
    """Write the BD-rate of each codec against the reference, by clip and by mean curve, as Markdown."""
    clips = list(dict.fromkeys(row["image"] for row in rows))
    parts = []
    for score in scores:
        first, lines = points(rows, reference, score), []
        for codec in dict.fromkeys(row["codec"] for row in rows if row["codec"] != reference):
            second = points(rows, codec, score)
            chosen: list[Any] = [*([index] for index in range(len(clips))), slice(None)]
            deltas = [bd_rate(monotone(first.curve(c)), monotone(second.curve(c))) for c in chosen]
            lines.append([codec, *map(_shown, deltas)])
        parts.append(
            f"BD-rate against {reference} by {score_named(score).name}, negative is fewer bytes:\n\n"
            + report.table(["codec", *clips, "mean curve"], lines, numbers_from=1)
        )
    return "\n".join(parts)


def _shown(delta: Delta) -> str:
    return "–" if delta.value is None else f"{delta.value:+.1f} % ({100 * delta.overlap:.0f} %)"
