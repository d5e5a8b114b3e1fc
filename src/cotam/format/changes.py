"""Read and write changes: what makes an image of an earlier one, in patches and in frames of screens.

`docs/format.md` specifies the bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from cotam.errors import FormatError, LimitError
from cotam.format.header import Kind, kind_of, read_header
from cotam.format.varint import read_varint, varint

__all__ = ["MAX_RECTANGLES", "Changes", "Copy", "Rectangle", "read_changes", "write_changes"]

MAX_RECTANGLES = 64
"""Largest number of copies, and of rectangles."""


@dataclass(frozen=True)
class Copy:
    """An area that is copied from the earlier image, such as the rest of a page that was scrolled; pixels."""

    left: int
    top: int
    width: int
    height: int
    from_left: int  # in the earlier image
    from_top: int


@dataclass(frozen=True)
class Rectangle:
    """A still at a position: pixels of its upper left corner, and its file."""

    left: int
    top: int
    still: bytes


@dataclass(frozen=True)
class Changes:
    """Copies of areas of the earlier image, then stills that are pasted over them, both in order."""

    copies: Sequence[Copy] = ()
    rectangles: Sequence[Rectangle] = ()


def write_changes(changes: Changes) -> bytes:
    """Return the bytes of changes with at most `MAX_RECTANGLES` copies and rectangles."""
    head = varint(len(changes.copies))
    for copy in changes.copies:
        head += b"".join(map(varint, astuple(copy)))
    head += varint(len(changes.rectangles))
    for rectangle in changes.rectangles:
        head += varint(rectangle.left) + varint(rectangle.top) + varint(len(rectangle.still))
    return b"".join([head, *(rectangle.still for rectangle in changes.rectangles)])


def read_changes(data: bytes, width: int, height: int) -> Changes:
    """Read the changes that make an image of this size; stills are not decoded.

    Raises FormatError if ``data`` is not what `write_changes` returns, a rectangle is not a still, or
    something lies beyond the image, and LimitError if copies or rectangles have more than twice its pixels.
    """
    numbers, at = _read_table(data, 0, 6, "copies")
    copies = [Copy(*row) for row in numbers]
    numbers, at = _read_table(data, at, 3, "rectangles")
    rectangles = []
    for left, top, length in numbers:
        rectangles.append(Rectangle(left, top, data[at : at + length]))
        at += length
    if len(data) != at:
        raise FormatError(f"the changes take {at} bytes by their lengths: there are {len(data)}")
    _check([(copy.left, copy.top, copy.width, copy.height) for copy in copies], width, height)
    _check([_place(rectangle) for rectangle in rectangles], width, height)
    return Changes(copies, rectangles)


def _read_table(data: bytes, at: int, columns: int, noun: str) -> tuple[list[list[int]], int]:
    """Read a number of rows, and the numbers in each; return them and where they end."""
    count, at = read_varint(data, at, f"number of {noun}")
    if count > MAX_RECTANGLES:
        raise FormatError(f"there are {count} {noun}: at most {MAX_RECTANGLES} are allowed")
    rows: list[list[int]] = []
    for _ in range(count):
        row = []
        for _ in range(columns):
            number, at = read_varint(data, at, noun)
            row.append(number)
        rows.append(row)
    return rows, at


def _place(rectangle: Rectangle) -> tuple[int, int, int, int]:
    """Return left, top, width and height."""
    if kind_of(rectangle.still) not in (Kind.LEARNED, Kind.AV1, Kind.LOSSLESS):
        raise FormatError("a rectangle is not a still image")
    still = read_header(rectangle.still)
    return rectangle.left, rectangle.top, still.width, still.height


def _check(places: Sequence[tuple[int, int, int, int]], width: int, height: int) -> None:
    for left, top, across, down in places:
        if left + across > width or top + down > height:
            raise FormatError(
                f"an area of {across}×{down} at ({left}, {top}) is beyond the {width}×{height} pixels of "
                "the image"
            )
    total = sum(across * down for _, _, across, down in places)
    if total > 2 * width * height:
        raise LimitError(f"the areas have {total} pixels: more than twice those of the image")
