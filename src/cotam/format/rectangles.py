"""Read and write rectangles: stills that are pasted over an image, in patches and in frames of screens.

`docs/format.md` specifies the bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cotam.errors import FormatError, LimitError
from cotam.format.header import Kind, kind_of, read_header
from cotam.format.varint import read_varint, varint

__all__ = ["MAX_RECTANGLES", "Rectangle", "read_rectangles", "write_rectangles"]

MAX_RECTANGLES = 64


@dataclass(frozen=True)
class Rectangle:
    """A still at a position: pixels of its upper left corner, and its file."""

    left: int
    top: int
    still: bytes


def write_rectangles(rectangles: Sequence[Rectangle]) -> bytes:
    """Return the bytes of at most `MAX_RECTANGLES` rectangles."""
    head = varint(len(rectangles))
    for rectangle in rectangles:
        head += varint(rectangle.left) + varint(rectangle.top) + varint(len(rectangle.still))
    return b"".join([head, *(rectangle.still for rectangle in rectangles)])


def read_rectangles(data: bytes, width: int, height: int) -> list[Rectangle]:
    """Read the rectangles of an image of this size; their stills are not decoded.

    Raises FormatError if ``data`` is not what `write_rectangles` returns, a rectangle is not a still or lies
    beyond the image, and LimitError if they have more than twice its pixels.
    """
    count, at = read_varint(data, 0, "number of rectangles")
    if count > MAX_RECTANGLES:
        raise FormatError(f"there are {count} rectangles: at most {MAX_RECTANGLES} are allowed")
    numbers = []
    for _ in range(3 * count):
        number, at = read_varint(data, at, "rectangle")
        numbers.append(number)
    rectangles = []
    for left, top, length in zip(*[iter(numbers)] * 3, strict=True):
        rectangles.append(Rectangle(left, top, data[at : at + length]))
        at += length
    if len(data) != at:
        raise FormatError(f"the rectangles take {at} bytes by their lengths: there are {len(data)}")
    _check(rectangles, width, height)
    return rectangles


def _check(rectangles: Sequence[Rectangle], width: int, height: int) -> None:
    total = 0
    for rectangle in rectangles:
        if kind_of(rectangle.still) not in (Kind.LEARNED, Kind.AV1, Kind.LOSSLESS):
            raise FormatError("a rectangle is not a still image")
        still = read_header(rectangle.still)
        if rectangle.left + still.width > width or rectangle.top + still.height > height:
            raise FormatError(
                f"a rectangle of {still.width}×{still.height} at ({rectangle.left}, {rectangle.top}) "
                f"is beyond the {width}×{height} pixels of the image"
            )
        total += still.width * still.height
    if total > 2 * width * height:
        raise LimitError(f"the rectangles have {total:,} pixels: more than twice those of the image")
