"""Read and write patches, the rectangles in which an image differs from an earlier one (`docs/format.md`).

The base is named by the SHA-256 of its file: an ordinary image, a still or another patch. It lies at the
upper left corner of the new image, cropped to its size; each rectangle is a complete still that is pasted
over it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import cotam
from cotam.errors import FormatError, LimitError, TruncatedError
from cotam.format.header import File, Header, Kind, kind_of, read_file, read_header, write_file
from cotam.format.varint import read_varint, varint
from cotam.image.read import Pixels

__all__ = [
    "MAX_CHAIN",
    "MAX_RECTANGLES",
    "Patch",
    "Rectangle",
    "base_of",
    "depth_of",
    "is_patch",
    "paste",
    "read_patch",
    "write_patch",
]

MAX_CHAIN = 8
"""Largest number of patches in a chain, each based on the one before."""
MAX_RECTANGLES = 64


@dataclass(frozen=True)
class Rectangle:
    """A still at a position: pixels of its upper left corner, and its file."""

    left: int
    top: int
    still: bytes


@dataclass(frozen=True)
class Patch:
    """A patch."""

    width: int  # of the new image, in pixels
    height: int
    base: bytes  # SHA-256 of the file of the earlier image
    depth: int  # patches from the whole image to this one, 1 … `MAX_CHAIN`
    rectangles: Sequence[Rectangle]  # stills that are pasted onto the base, in order


def is_patch(data: bytes) -> bool:
    """Whether the first bytes of a file are those of a patch."""
    return kind_of(data) is Kind.PATCH


def depth_of(data: bytes) -> int:
    """Return the patches between a whole image and this file, 0 if it is not a patch. Raises as `base_of`."""
    return _payload(data, 33)[32] if is_patch(data) else 0


def base_of(data: bytes) -> bytes:
    """Return the SHA-256 of the file that a patch is based on.

    Raises FormatError if the patch is truncated, or its header is damaged.
    """
    return _payload(data, 32)


def write_patch(patch: Patch, quality: int) -> bytes:
    """Return the bytes of a patch; ``quality`` is that of its stills, for information."""
    head = bytearray(patch.base + bytes([patch.depth]) + varint(len(patch.rectangles)))
    for rectangle in patch.rectangles:
        head += varint(rectangle.left) + varint(rectangle.top) + varint(len(rectangle.still))
    payload = b"".join([bytes(head), *(rectangle.still for rectangle in patch.rectangles)])
    return write_file(File(Header(patch.width, patch.height, quality, Kind.PATCH), payload))


def read_patch(data: bytes) -> Patch:
    """Read a patch; its stills are not decoded.

    Raises TruncatedError, DamagedError or FormatError if it is not valid, and LimitError if its rectangles
    have more than twice the pixels of the image.
    """
    file = read_file(data)
    if file.kind is not Kind.PATCH:
        raise FormatError(f"expected a patch, got a file of kind {file.kind.name.lower()}")
    payload = file.payload
    if len(payload) < 33:
        raise TruncatedError("the patch ends within the name of its base")
    base, depth = payload[:32], payload[32]
    count, at = read_varint(payload, 33, "number of rectangles")
    if not 0 < depth <= MAX_CHAIN or count > MAX_RECTANGLES:
        raise FormatError(
            f"impossible patch: {count} rectangles, number {depth} of its chain: at most {MAX_RECTANGLES} "
            f"and {MAX_CHAIN} are allowed"
        )
    numbers = []
    for _ in range(3 * count):
        number, at = read_varint(payload, at, "rectangle")
        numbers.append(number)
    rectangles = []
    for left, top, length in zip(*[iter(numbers)] * 3, strict=True):
        rectangles.append(Rectangle(left, top, payload[at : at + length]))
        at += length
    if len(payload) != at:
        raise FormatError(f"the payload of the patch has {len(payload)} bytes: its rectangles say {at}")
    patch = Patch(file.width, file.height, base, depth, rectangles)
    _check_rectangles(patch)
    return patch


def paste(patch: Patch, base: Pixels) -> Pixels:
    """Decode the stills of a patch and paste them onto its decoded base, uint8 (H, W, 3).

    Returns uint8 (patch.height, patch.width, 3). Raises FormatError if neither base nor rectangles cover a
    pixel, and FormatError, LimitError, UnknownWeightsError as `cotam.decode`.
    """
    pixels = np.empty((patch.height, patch.width, 3), np.uint8)
    is_open = np.ones(pixels.shape[:2], bool)
    height, width = min(patch.height, base.shape[0]), min(patch.width, base.shape[1])
    pixels[:height, :width] = base[:height, :width]
    is_open[:height, :width] = False
    for rectangle in patch.rectangles:
        still = np.asarray(cotam.decode(rectangle.still))
        rows = slice(rectangle.top, rectangle.top + still.shape[0])
        columns = slice(rectangle.left, rectangle.left + still.shape[1])
        pixels[rows, columns] = still
        is_open[rows, columns] = False
    if is_open.any():
        raise FormatError(
            f"the patch makes {patch.width}×{patch.height} pixels of {base.shape[1]}×{base.shape[0]} "
            f"and leaves {np.count_nonzero(is_open)} of them open"
        )
    return pixels


def _payload(data: bytes, size: int) -> bytes:
    """Return the first ``size`` bytes of the payload of a file."""
    start = read_header(data).payload_start
    payload = data[start : start + size]
    if len(payload) < size:
        raise TruncatedError(f"the file ends after {len(data)} bytes, within its payload")
    return payload


def _check_rectangles(patch: Patch) -> None:
    total = 0
    for rectangle in patch.rectangles:
        if kind_of(rectangle.still) not in (Kind.LEARNED, Kind.AV1, Kind.LOSSLESS):
            raise FormatError("a rectangle of the patch is not a still image")
        still = read_header(rectangle.still)
        width, height = still.width, still.height
        if rectangle.left + width > patch.width or rectangle.top + height > patch.height:
            raise FormatError(
                f"a rectangle of {width}×{height} at ({rectangle.left}, {rectangle.top}) is beyond the "
                f"{patch.width}×{patch.height} pixels of the patch"
            )
        total += width * height
    if total > 2 * patch.width * patch.height:
        raise LimitError(f"the rectangles have {total:,} pixels: more than twice those of the image")
