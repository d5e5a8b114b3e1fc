"""Open any input as a video: by PyAV, or by Pillow for animated images."""

from __future__ import annotations

import os
from typing import BinaryIO

from cotam.image.animation import Animation, is_animation
from cotam.image.video import Clip

__all__ = ["open_clip"]

_HEAD = 4096


def open_clip(
    source: str | BinaryIO, name: str, background: str | tuple[int, int, int] = "white"
) -> Clip | Animation:
    """Open a file, an address, a camera or a binary stream.

    Parameters
    ----------
    name : for errors
    background : behind transparent pixels of animated images

    Raises
    ------
    InputError, MissingExtraError, OSError
        as `Clip`
    """
    if is_animation(_head(source)):
        return Animation(source, name, background)
    return Clip(source, name)


def _head(source: str | BinaryIO) -> bytes:
    """The first bytes of a file or stream, which stays at its beginning; none of one that is read once."""
    if isinstance(source, str):
        if not os.path.isfile(source):
            return b""
        with open(source, "rb") as file:
            return file.read(_HEAD)
    if hasattr(source, "peek"):
        return bytes(source.peek(_HEAD))[:_HEAD]
    if source.seekable():
        head = source.read(_HEAD)
        source.seek(0)
        return head
    return b""
