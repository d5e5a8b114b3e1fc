"""Read GIF, WebP, PNG, AVIF, HEIC and TIFF files as videos with Pillow; open other videos with PyAV."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cached_property
from itertools import pairwise
from typing import BinaryIO, cast

from PIL import Image, ImageFile

from cotam.errors import InputError
from cotam.format.header import MAGIC
from cotam.image import png
from cotam.image.open import ENDS_IN_PIXELS, ZEROS_NOTE, Opened, opened_image
from cotam.image.read import Pixels, read_image
from cotam.image.readers import READER_ERRORS, ZEROS, format_of, load_image, one_line
from cotam.image.timeline import frames_are
from cotam.image.video import Clip

__all__ = ["Animation", "open_clip"]

_HEAD = 4096

_SHORTEST = 10
"""Frames of at most this many milliseconds last `_DEFAULT`, as in browsers."""

_DEFAULT = 100

_PAGE = 1000
"""Milliseconds of an image in a file without times, so that one frame a second is every one."""

_BEGINS = {
    "GIF": re.compile(rb"GIF8[79]a"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WEBP": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
}
"""What files begin with, for formats that may be concatenated."""


def open_clip(
    source: str | BinaryIO, name: str, background: str | tuple[int, int, int] = "white"
) -> Clip | Animation:
    """Open a stream, an address or a camera, in messages ``name``, as a video. Raises as `Clip`.

    ``background`` is the colour behind transparent pixels of image files.
    """
    if isinstance(source, str):
        return Clip(source, name, background)
    head = source.read(_HEAD)  # a pipe waits for so many: peek would return what has arrived
    if not head:
        raise InputError(f"{name}: the file is empty")
    if head.startswith(MAGIC):
        raise InputError(f"{name}: is a .cotam file already: cotam decode reads it")
    if _is_animation(head):
        return Animation(head + source.read(), name, background)
    return Clip(source, name, background, head)


def _is_animation(head: bytes) -> bool:
    """Whether a file is GIF, WebP, AVIF, HEIC, TIFF or animated PNG, by its first 4 kB."""
    form = format_of(head)
    if form == "png":
        return b"acTL" in head.partition(b"IDAT")[0]
    return form in ("gif", "webp", "avif", "heic", "tiff")


class Animation:
    """An animated image file, read as a video; a still image has one frame."""

    stated_seconds: float | None = None  # the length, which is known when all frames were read

    def __init__(self, data: bytes, name: str, background: str | tuple[int, int, int] = "white") -> None:
        self._data, self._name, self._background = data, name, background
        self._stack = ExitStack()
        try:
            self._opened = self._stack.enter_context(opened_image(data))
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        self.notes = self._opened.notes  # what was left out or repaired; reading frames may add more

    @cached_property
    def seconds(self) -> float:
        """The sum of all frame durations; the file is read once to find it."""
        return sum(duration for _, duration in self._loaded([]))

    def frames(self) -> Iterator[tuple[float, Callable[[], Pixels]]]:
        """Yield the seconds of each frame, from 0, and a function that returns its pixels, uint8 (H, W, 3).

        Raises InputError if no frame can be decoded.
        """
        seconds = 0.0
        for image, duration in self._loaded(self.notes):
            yield seconds, lambda image=image: read_image(image, background=self._background).pixels  # type: ignore[misc]
            seconds += duration
        self.stated_seconds = seconds

    def _loaded(self, notes: list[str]) -> Iterator[tuple[Image.Image, float]]:
        """Yield copies of all frames, and their durations in seconds; those of concatenated files, too."""
        first, *others = self._parts()
        yield from self._loaded_of(self._opened, first, notes)
        for part in others:
            try:
                with opened_image(part) as opened:
                    yield from self._loaded_of(opened, part, notes)
            except InputError as error:
                notes.append(f"a file concatenated to it is left out: {one_line(error)}")

    def _parts(self) -> list[bytes]:
        """Return the files that are concatenated, of formats that may be; else one without content."""
        pattern = _BEGINS.get(self._opened.image.format or "")
        if pattern is None:
            return [b""]
        starts = [match.start() for match in pattern.finditer(self._data)]
        return [self._data[start:end] for start, end in pairwise([*starts, len(self._data)])]

    def _loaded_of(
        self, opened: Opened, data: bytes, notes: list[str]
    ) -> Iterator[tuple[Image.Image, float]]:
        image = opened.image
        number = 1 if image.info.get("default_image") else 0  # of an APNG, not part of the animation
        damaged = png.damaged_frame(data) if image.format == "PNG" else None
        found = 0
        try:
            while True:
                if number == damaged:
                    raise OSError("wrong checksum")
                if number == 1 and opened.one_frame:
                    raise OSError("the end of the file is missing")
                image.seek(number)
                notes += [f"frame {number} is {text}" for text in load_image(image)]
                yield image.copy(), _duration(image)
                number, found = number + 1, found + 1
        except EOFError:
            stated = number if image.format == "GIF" else getattr(image, "n_frames", number)
            if number < stated:
                notes.append(f"the file ends after {number} of {stated} frames")
            if image.format == "WEBP" and (lost := _animated_chunks(data) - number) > 0:
                notes.append(f"at least {frames_are(lost)} missing, with damaged chunks")
            if image.format in ENDS_IN_PIXELS and not any(self._data[-ZEROS:]):
                notes.append(ZEROS_NOTE)
            if image.format == "GIF" and _lacks_trailer(image):
                notes.append(f"the end of the file is missing after frame {number - 1}")
        except READER_ERRORS as error:
            if not found:
                raise InputError(f"{self._name}: cannot be read: {one_line(error)}") from error
            notes.append(f"damaged after frame {found - 1}, the rest is left out: {one_line(error)}")
        if not found:
            raise InputError(f"{self._name}: there is no frame that can be decoded")

    def close(self) -> None:
        """Close the image."""
        self._stack.close()


def _lacks_trailer(image: Image.Image) -> bool:
    """Whether a GIF, of which all blocks were read, ends without the semicolon that each has."""
    file = cast("ImageFile.ImageFile", image).fp
    assert file
    file.seek(-1, os.SEEK_CUR)
    return file.read(1) != b";"


def _animated_chunks(data: bytes) -> int:
    """Count the chunks of a WebP between ANIM and the last frame: libwebp ignores those it does not know."""
    kinds, at = [], 12
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        kinds.append(kind)
        at += 8 + size + size % 2
    if not {b"ANIM", b"ANMF"} <= {*kinds}:
        return 0
    return len(kinds) - 1 - kinds[::-1].index(b"ANMF") - kinds.index(b"ANIM")


def _duration(image: Image.Image) -> float:
    if image.format in ("TIFF", "HEIF"):
        return _PAGE / 1000
    milliseconds = float(image.info.get("duration") or 0)
    return (milliseconds if milliseconds > _SHORTEST else _DEFAULT) / 1000
