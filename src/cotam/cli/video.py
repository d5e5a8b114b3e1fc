"""The command line's videos: ``cotam encode clip.mp4``, and ``cotam decode`` of a sequence.

Knows options, outputs and progress: clips are for `cotam.image.video`, sequences for `cotam.frames`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import click

import cotam
from cotam import files
from cotam.cli.options import Finite, FrameRate, given_flags, together
from cotam.frames import KEY_EVERY
from cotam.image.write import saved
from cotam.screen import Screen

if TYPE_CHECKING:
    from cotam.image.pipes import PipeFormat
    from cotam.image.video import Clip
    from cotam.options import View

__all__ = ["OPTIONS", "decode", "encode", "video_options", "wanted"]

OPTIONS = ("fps", "max_frames", "frames", "key_every", "key_at", "low_delay")
SUFFIXES = {
    *(".3gp", ".asf", ".avi", ".flv", ".h264", ".h265", ".ivf", ".m2ts", ".m4v", ".mjpeg", ".mjpg", ".mkv"),
    *(".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
}
ONLY_PICTURES = {"target_size": "--target-size", "metadata": "--metadata"}


def _raw(ctx: click.Context, param: click.Parameter, text: str | None) -> PipeFormat | None:
    if not text:
        return None
    from cotam.image.pipes import PipeFormat

    try:
        return PipeFormat.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


video_options = together(
    click.option(
        "--fps",
        metavar="X",
        type=FrameRate(),
        help="Video: frames a second that are taken.  [default: 1; all of --frames]",
    ),
    click.option(
        "--max-frames",
        metavar="N",
        type=click.IntRange(1),
        help="Video: at most so many, evenly over the clip where --fps would take more.",
    ),
    click.option(
        "--frames",
        metavar="FORM",
        callback=_raw,
        help="Video: IN is a pipe of mjpeg (timed by the clock), mjpeg@FPS or raw:WxH@FPS (RGB).",
    ),
    click.option(
        "--key-every",
        metavar="N",
        type=click.IntRange(1),
        default=KEY_EVERY,
        show_default=True,
        help="Video: frames between key frames, at most; fewer make random access faster.",
    ),
    click.option(
        "--key-at", metavar="SECONDS", type=Finite(0), multiple=True, help="Video: a key frame here, too."
    ),
    click.option(
        "--low-delay",
        is_flag=True,
        help="Video: write a frame before the next one is read; what lasts gets no more bits then.",
    ),
)
"""What ``encode`` takes for videos beside what it takes for pictures."""


def wanted(inputs: Sequence[str], options: dict[str, Any]) -> bool:
    """Whether the inputs are videos: by an option that says so, or by their names.

    Raises
    ------
    click.UsageError
        if some are pictures and some are videos, or none are videos and an option is for these
    """
    if options["fps"] or options["max_frames"] or options["frames"]:
        return True
    found = {_live(name) or os.path.splitext(name)[1].lower() in SUFFIXES for name in inputs}
    if len(found) == 2:
        raise click.UsageError("some are pictures and some are videos: encode them one kind at a time")
    if True not in found:
        for flag in given_flags(OPTIONS):
            raise click.UsageError(f"{flag} is for videos: these are pictures")
    return True in found


def _live(name: str) -> bool:
    """Whether it is an address or a camera."""
    return "://" in name or name.startswith("/dev/video")


def encode(
    inputs: Sequence[str],
    outputs: Sequence[str],
    options: dict[str, Any],
    given: dict[str, Any],
    *,
    overwrite: bool,
    screen: Screen,
) -> None:
    """Write a sequence for each input, one after the other.

    Parameters
    ----------
    options : `OPTIONS`
    given : those that pictures have, too
    """
    for name, flag in ONLY_PICTURES.items():
        if given.pop(name):
            raise click.UsageError(f"{flag} is for pictures: videos have none")
    given |= {name: options[name] for name in ("key_every", "key_at", "low_delay")}
    sources = files.identities(inputs)
    for source, target in zip(inputs, outputs, strict=True):
        with screen.reporting(source):
            files.check_output(target, sources, overwrite=overwrite)
            _encode_one(source, target, options, given, overwrite, screen)


def _encode_one(
    source: str, target: str, options: dict[str, Any], given: dict[str, Any], overwrite: bool, screen: Screen
) -> None:
    from cotam.image.pipes import read_pipe
    from cotam.image.sampling import read_clip, sampled

    started, fps, most = time.perf_counter(), options["fps"], options["max_frames"]
    count = size = 0

    def note(text: str) -> None:
        screen.note(f"{source}: {text}")

    def counted(frames: Iterator[Any]) -> Iterator[Any]:
        nonlocal count
        for frame in frames:
            count += 1
            yield frame

    def write(frames: Iterator[Any]) -> None:
        nonlocal size
        with files.writing(target, overwrite=overwrite) as file, ExitStack() as stack:
            if options["frames"] or _live(source):
                frames = stack.enter_context(_until_interrupted(frames))
            for part in cotam.encode_frames(counted(frames), **given):
                file.write(part)
                size += len(part)

    if options["frames"]:
        with files.reading(source) as file, screen.progress(0):
            write(sampled(read_pipe(file, options["frames"], note=note), fps, most, note=note))
    else:
        with _clip(source) as clip, screen.progress(round((clip.stated_seconds or 0) * 1000)) as advance:
            forward = _forward(advance)
            write(read_clip(clip, fps or 1.0, most, forward, note))
            forward(clip.stated_seconds or 0)
    seconds = time.perf_counter() - started
    screen.summary(f"{source} -> {target}: {count} frames, {size} bytes, {seconds:.2f} s")


class _Interrupted(BaseException):
    """Ctrl-C while a frame was waited for."""


@contextmanager
def _until_interrupted(frames: Iterator[Any]) -> Iterator[Iterator[Any]]:
    """The frames before the first Ctrl-C, which is how live sources are ended; a second one is as usual."""
    ended = waiting = False

    def interrupt(*_: object) -> None:
        nonlocal ended
        if ended:
            raise KeyboardInterrupt
        ended = True
        if waiting:
            raise _Interrupted

    def until() -> Iterator[Any]:
        nonlocal waiting
        while not ended:
            try:
                waiting = True
                frame = next(frames)
            except (StopIteration, _Interrupted):
                return
            finally:
                waiting = False
            yield frame

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield until()
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _clip(source: str) -> Iterator[Clip]:
    from cotam.image.video import Clip

    if source != files.STANDARD:
        with closing(Clip(source, source)) as clip:
            yield clip
    else:
        with files.reading(source) as file, closing(Clip(file, "standard input")) as clip:
            yield clip


def _forward(advance: Callable[[int], None]) -> Callable[[float], None]:
    """A bar counts milliseconds of the clip; its reader says how far it is."""
    done = 0

    def at(seconds: float) -> None:
        nonlocal done
        advance(round(seconds * 1000) - done)
        done = round(seconds * 1000)

    return at


def decode(
    file: BinaryIO,
    source: str,
    output: str | None,
    form: str,
    *,
    view: View,
    size_limit: int,
    overwrite: bool,
    screen: Screen,
) -> None:
    """Write the frames of a sequence: each to a folder, named by its time, or all to an MP4 file.

    Parameters
    ----------
    file, source : the sequence, and its name
    output : folder, which is made, or name that ends in .mp4; None is a folder beside the input
    form : of picture files, a name in `cotam.image.write.FORMS`
    """
    if output is None and source != files.STANDARD:
        output = f"{source}.frames/"
    suffix = os.path.splitext(output or "")[1].lower()
    if output in (None, files.STANDARD) or not (suffix in {"", ".mp4"} or os.path.isdir(output)):
        raise click.UsageError("frames need a folder, or a name that ends in .mp4: give it with -o")
    with screen.reporting(source), screen.progress(0):
        frames = cotam.decode_frames(file, view=view, size_limit=size_limit)
        if suffix == ".mp4":
            _write_clip(frames, source, output, overwrite)
            return
        files.make_folder(os.path.join(output, ""))
        for number, (seconds, image) in enumerate(frames, 1):
            target = os.path.join(output, f"{seconds:012.6f}.{form}")
            files.write_whole(target, saved(image, form), overwrite=overwrite)
            screen.summary(f"{source} -> {target}: frame {number}")


def _write_clip(frames: Iterator[Any], source: str, target: str, overwrite: bool) -> None:
    from cotam.image.video import write_mp4

    files.check_output(target, files.identities([source]), overwrite=overwrite)
    with files.writing(target, overwrite=overwrite) as out:
        write_mp4(cast("BinaryIO", out), frames)
