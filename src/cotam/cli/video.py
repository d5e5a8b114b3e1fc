"""Encode clips to sequences, and decode sequences to folders or MP4 files."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import click

import cotam
from cotam import files
from cotam.cli.options import FRAME_RATE, Finite, combine, given_flags, option, suffix_conflict
from cotam.frames import KEY_EVERY
from cotam.image.containers import is_live
from cotam.image.write import FORMS, save_image
from cotam.screen import Report, Screen, counted, shown_name

if TYPE_CHECKING:
    from cotam.image.pipes import PipeFormat

__all__ = ["OPTIONS", "among", "check_together", "decode", "encode", "target_of", "video_options"]

OPTIONS = ("fps", "max_frames", "frames", "key_every", "key_at", "low_delay")
SUFFIXES = {
    *(".264", ".265", ".3gp", ".asf", ".avi", ".flv", ".h264", ".h265", ".hevc", ".ivf", ".m1v", ".m2ts"),
    *(".m2v", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".obu"),
    *(".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
}
_FRAME = re.compile(rf"\d{{5,}}\.\d{{6}}\.({'|'.join(FORMS)})")
"""Names of frames in a folder."""

ONLY_IMAGES = {"target_size": "--target-size", "metadata": "--metadata"}


def _pipe_format(ctx: click.Context, param: click.Parameter, text: str | None) -> PipeFormat | None:
    if not text:
        return None
    from cotam.image.pipes import PipeFormat

    try:
        return PipeFormat.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


video_options = combine(
    option("--fps X", "Video: frames to take per second.  [default: 1; all of --frames]", FRAME_RATE),
    option(
        "--max-frames N",
        "Video: take at most N frames, spread evenly over the clip where --fps would take more.",
        click.IntRange(1),
    ),
    option(
        "--frames FORM",
        "Video: IN is a pipe of mjpeg (timed by the clock), mjpeg@FPS or raw:WxH@FPS (RGB).",
        callback=_pipe_format,
    ),
    option(
        "--key-every N",
        "Video: at least every Nth frame is a key frame; more make random access faster.",
        click.IntRange(1),
        KEY_EVERY,
    ),
    option("--key-at SECONDS", "Video: make a key frame here too.  [repeatable]", Finite(0), multiple=True),
    click.option(
        "--low-delay",
        is_flag=True,
        help="Video: write each frame before the next one is read, at the cost of some compression.",
    ),
)
"""Options of ``encode`` that only videos have, named in `OPTIONS`."""


def among(inputs: Sequence[str], options: Mapping[str, Any]) -> set[str]:
    """Return the inputs that are videos: all if an option says so, else by their names.

    Raises click.UsageError if none is a video, and an option for videos is given.
    """
    if options["fps"] or options["max_frames"] or options["frames"]:
        return set(inputs)
    found = {name for name in inputs if is_live(name) or os.path.splitext(name)[1].lower() in SUFFIXES}
    if not found:
        for flag in given_flags(OPTIONS):
            raise click.UsageError(f"{flag} is for videos: these are images")
    return found


def check_together(options: Mapping[str, Any], form: str) -> None:
    """Refuse options and formats that videos do not take. Raises click.UsageError."""
    if form != "cotam":
        raise click.UsageError(f"videos become .cotam, and not {form}")
    for name, flag in ONLY_IMAGES.items():
        if options[name]:
            raise click.UsageError(f"{flag} is for images: videos have none")


# Encoding


def encode(
    pairs: Sequence[tuple[str, str]],
    clip: Mapping[str, Any],
    coding: Mapping[str, Any],
    sources: set[tuple[int, int]],
    *,
    overwrite: bool,
    screen: Screen,
) -> None:
    """Write a sequence for each input, one after the other.

    ``pairs`` are (input, output), ``clip`` the values of `OPTIONS`, ``coding`` the options that images take
    as well, and ``sources`` the `files.identities` of all inputs.
    """
    coding = {name: value for name, value in coding.items() if name not in ONLY_IMAGES}
    coding |= {name: clip[name] for name in ("key_every", "key_at", "low_delay")}
    for source, target in pairs:
        with screen.reporting(source) as report:
            files.check_output(target, sources, overwrite=overwrite)
            with (
                _open_frames(source, clip, coding["background"], report, screen) as frames,
                files.writing(target, overwrite=overwrite) as file,
            ):
                sizes = []  # of the header, the frames and the index
                for part in cotam.encode_frames(frames, **coding):
                    file.write(part)
                    sizes.append(len(part))
                count, size = len(sizes) - 2, sum(sizes)
                if os.path.isfile(source) and size > (before := os.path.getsize(source)):
                    report.note(files.growth_note(before, size, "lower --quality or --fps"))
            text = f"{counted(count, 'frame')}, {size} bytes"
            report.show_result(target, text, bytes=size, frames=count)


@contextmanager
def _open_frames(
    source: str, clip: Mapping[str, Any], background: str, report: Report, screen: Screen
) -> Iterator[Iterator[tuple[float, Any]]]:
    """Open a video, and yield the frames that the options of ``clip`` choose; they advance a bar."""
    from cotam.image.animation import open_clip
    from cotam.image.pipes import read_pipe
    from cotam.image.sampling import read_clip, sample_frames, scale_to_first

    note, form, fps, max_frames = report.note, clip["frames"], clip["fps"], clip["max_frames"]
    with ExitStack() as stack:
        if form:
            length, pipe = 0.0, stack.enter_context(files.reading(source))
            forward = _forward(stack.enter_context(screen.progress(0)))
            frames = sample_frames(read_pipe(pipe, form, note=note), fps, max_frames, note=note)
            frames = scale_to_first(frames, note)
        else:
            opened = source if is_live(source) else stack.enter_context(files.reading(source))
            video = open_clip(opened, shown_name(source), background)
            stack.enter_context(closing(video))
            length = video.stated_seconds or 0.0
            forward = _forward(stack.enter_context(screen.progress(round(length * 1000))))
            frames = read_clip(video, fps or 1.0, max_frames, forward, note)
        if form or is_live(source):
            frames = stack.enter_context(_until_interrupted(frames))
        yield frames
        forward(length)


class _Interrupted(BaseException):
    """Ctrl-C while waiting for a frame."""


@contextmanager
def _until_interrupted(frames: Iterator[Any]) -> Iterator[Iterator[Any]]:
    """Yield the frames before the first Ctrl-C, which ends a live source; a second one ends the command."""
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
        while True:
            try:
                waiting = True
                if ended:
                    return
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


def _forward(advance: Callable[[int], None]) -> Callable[[float], None]:
    """Return a function that advances a bar, which counts milliseconds, to a time in seconds."""
    done = 0

    def at(seconds: float) -> None:
        nonlocal done
        advance(round(seconds * 1000) - done)
        done = round(seconds * 1000)

    return at


# Decoding


def target_of(source: str, output: str | None, form: str | None) -> str:
    """Return the output of a sequence: a folder or .mp4 file, by default a folder beside the input.

    Raises click.UsageError if it is neither, or if it is .mp4 and ``form`` names an image format.
    """
    if output is None and source != files.STANDARD:
        return f"{source}.frames"
    suffix = os.path.splitext(output or "")[1].lower()
    if output in (None, files.STANDARD) or not (suffix in {"", ".mp4"} or os.path.isdir(output)):
        raise click.UsageError("frames need a folder, or a name that ends in .mp4: give it with -o")
    if form and suffix == ".mp4" and not os.path.isdir(output):
        raise suffix_conflict(output, form)
    return output


def decode(
    file: BinaryIO,
    source: str,
    target: str,
    form: str,
    options: Mapping[str, Any],
    report: Report,
    *,
    overwrite: bool,
) -> None:
    """Write the frames of a sequence to image files named by their seconds, or to an MP4 file.

    ``source`` names the sequence in messages. ``target`` ends in .mp4, or is a folder, created if necessary;
    ``options`` are arguments of `cotam.decode_frames`.
    """
    frames = cotam.decode_frames(file, **options)
    if target.lower().endswith(".mp4") and not os.path.isdir(target):
        from cotam.image.video import write_mp4

        files.check_output(target, files.identities([source]), overwrite=overwrite)
        with files.writing(target, overwrite=overwrite) as out:
            write_mp4(cast("BinaryIO", out), frames)
        report.show_result(target, "all frames")
        return
    files.make_folder(os.path.join(target, ""))
    written = set()
    for seconds, image in frames:
        name = f"{seconds:012.6f}.{form}"
        data = save_image(image, form)
        with report.writing:
            files.write_whole(os.path.join(target, name), data, overwrite=overwrite)
        written.add(name)
    report.show_result(target, counted(len(written), "frame"), frames=len(written))
    if others := sorted(name for name in {*os.listdir(target)} - written if _FRAME.fullmatch(name)):
        report.note(
            f"{target} also has {counted(len(others), 'frame')} of another sequence, such as {others[0]}"
        )
