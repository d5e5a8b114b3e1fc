"""Memory and time of ``cotam encode`` on long clips, which are one clip repeated, without new coding.

``python -m cotam_lab.bench.long_clip CLIP``; `lab/recipes/video_memory.sh` calls it. Knows files of videos and
commands: nothing of what is in a sequence.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from cotam.errors import CotamError, InputError, MissingExtraError
from cotam_lab.bench.report import table
from cotam_lab.bench.speed import process_cost

__all__ = ["repeat_clip"]


def repeat_clip(clip: Path, seconds: float, out: Path) -> None:
    """Write the packets of a clip's video again and again, until they fill a time.

    The clip begins with a key frame, as files of videos do.

    Raises
    ------
    InputError
        If the clip has no video.
    MissingExtraError
        If PyAV is not installed.
    """
    try:
        import av
    except ModuleNotFoundError as error:
        raise MissingExtraError("video", error.name or "av") from error
    source: Any
    target: Any
    with av.open(str(clip)) as source, av.open(str(out), "w") as target:
        if not source.streams.video:
            raise InputError(f"{clip} has no video")
        old = source.streams.video[0]
        new = target.add_stream_from_template(old)
        packets = [packet for packet in source.demux(old) if packet.dts is not None]
        times = [(packet.pts, packet.dts) for packet in packets]
        length = max(packet.pts + packet.duration for packet in packets) - min(pts for pts, _ in times)
        for turn in range(-(-int(seconds / old.time_base) // length)):
            for packet, (pts, dts) in zip(packets, times, strict=True):
                packet.stream, packet.time_base = new, old.time_base
                packet.pts, packet.dts = pts + turn * length, dts + turn * length
                target.mux(packet)


@click.command()
@click.argument("clip", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--minutes", multiple=True, type=float, default=(1, 10), help="1 and 10 if not given.  [repeatable]"
)
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Also write the table there."
)
def main(clip: Path, minutes: Sequence[float], out: Path | None) -> None:
    """Time and peak memory of cotam encode, one frame a second, on CLIP repeated to some lengths."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        long, coded = Path(folder, f"long{clip.suffix}"), Path(folder, "long.cotam")
        for length in minutes:
            try:
                repeat_clip(clip, 60 * length, long)
                cost = process_cost([sys.executable, "-m", "cotam", "encode", str(long), "-o", str(coded)])
            except CotamError as error:
                raise click.ClickException(str(error)) from error
            sizes = [f"{file.stat().st_size / 1e6:.1f}" for file in (long, coded)]
            lines.append([f"{length:g}", *sizes, f"{cost.seconds:.0f}", f"{cost.peak / 1e6:.0f}"])
    header = ["minutes", "clip, MB", "sequence, MB", "seconds", "peak memory, MB"]
    found = f"{clip.name}, one frame a second:\n\n" + table(header, lines, numbers_from=0)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(found, encoding="utf-8")
    click.echo(found)


if __name__ == "__main__":
    main()
