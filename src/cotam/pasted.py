"""Code an image as the changes of an earlier one, in patches and in frames of screens."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cotam.codec.changed_areas import Area, area_size, in_pixels, whole_area
from cotam.codec.flat import error_at
from cotam.codec.scrolling import apply_copies, find_changes
from cotam.errors import DamagedError, FormatError
from cotam.format.changes import Changes, Copy, Rectangle, read_changes, write_changes
from cotam.format.header import read_file
from cotam.format.sequence import CodedFrame
from cotam.options import Options, View
from cotam.stills import decode_still, encode_still

__all__ = [
    "PastedDecoder",
    "PastedEncoder",
    "checksum_of",
    "covers_most",
    "encode_areas",
    "paste",
]

_MAX_COVERED = 0.75
"""Largest share of an image that rectangles may cover; above it, the whole image is coded."""


def covers_most(areas: Sequence[Area], pixels: np.ndarray) -> bool:
    """Whether areas take so much of an image that all of it had better be coded."""
    return sum(map(area_size, areas)) > _MAX_COVERED * area_size(whole_area(pixels))


def encode_areas(pixels: np.ndarray, areas: Sequence[Area], options: Options) -> list[Rectangle]:
    """Encode areas, in cells, of pixels uint8 (H, W, 3), each as a still of its own."""
    found = []
    for rows, columns in map(in_pixels, areas):
        area = np.ascontiguousarray(pixels[rows, columns])
        still = encode_still(area, options.resolve(area), {})
        found.append(Rectangle(columns.start, rows.start, still.data))
    return found


def paste(base: np.ndarray, changes: Changes, size: tuple[int, int], view: View = "mllm") -> np.ndarray:
    """Decode changes and apply them to an image, uint8 (H, W, 3).

    ``base`` lies in the upper left corner of the new image, of ``size`` (H, W), and is cropped to it. Raises
    FormatError if a pixel stays open or a copy reads beyond the base, and FormatError, LimitError,
    UnknownWeightsError as `cotam.decode`.
    """
    pixels = np.empty((*size, 3), np.uint8)
    is_open = np.ones(size, bool)
    height, width = min(size[0], base.shape[0]), min(size[1], base.shape[1])
    pixels[:height, :width] = base[:height, :width]
    is_open[:height, :width] = False
    apply_copies(pixels, base, changes.copies)
    for copy in changes.copies:
        is_open[copy.top : copy.top + copy.height, copy.left : copy.left + copy.width] = False
    for rectangle in changes.rectangles:
        still = decode_still(read_file(rectangle.still), view)
        rows = slice(rectangle.top, rectangle.top + still.shape[0])
        columns = slice(rectangle.left, rectangle.left + still.shape[1])
        pixels[rows, columns] = still
        is_open[rows, columns] = False
    if is_open.any():
        raise FormatError(
            f"changes of {base.shape[1]}×{base.shape[0]} pixels leave {np.count_nonzero(is_open)} of "
            f"{size[1]}×{size[0]} open"
        )
    return pixels


class PastedEncoder:
    """Encodes a group of frames, each as the areas that differ from the frames before.

    Parameters
    ----------
    options : how areas are encoded
    key_every : largest distance of key frames, in frames
    """

    def __init__(self, options: Options, key_every: int) -> None:
        self._options, self._key_every = options, key_every
        self._since_key, self._check = key_every, 0  # so that the first frame becomes a key frame
        self._whole_size = 0  # bytes of the whole image when it was last coded
        # The original pixels of each cell when it was last coded: small changes add up.
        self._coded = np.empty((0, 0, 3), np.uint8)

    def encode(self, pixels: np.ndarray, fields: bytes, *, key: bool = False) -> CodedFrame:
        """Encode a frame, uint8 (H, W, 3), as `cotam.codec.temporal.FrameEncoder.encode` does."""
        key = key or self._since_key + 1 >= self._key_every
        found = None if key else self._changes(pixels)
        if found is None or len(found[0]) > self._whole_size:
            whole = self._payload(pixels, [], [whole_area(pixels)])
            self._whole_size = len(whole)
            if found is None or len(whole) < len(found[0]):
                found, key = (whole, pixels.copy()), True
        payload, self._coded = found
        frame = CodedFrame(key, key, has_levels=False, payload=payload, pasted=True)
        self._since_key = 0 if key else self._since_key + 1
        self._check = checksum_of(frame, fields, self._check)
        return replace(frame, checksum=self._check)

    def _changes(self, pixels: np.ndarray) -> tuple[bytes, np.ndarray] | None:
        """Return a payload of changes, and what is then coded; None if all had better be coded."""
        copies, areas, coded = find_changes(pixels, self._coded, error_at(self._options.quality))
        if covers_most(areas, pixels):
            return None
        for area in map(in_pixels, areas):
            coded[area] = pixels[area]
        return self._payload(pixels, copies, areas), coded

    def _payload(self, pixels: np.ndarray, copies: Sequence[Copy], areas: Sequence[Area]) -> bytes:
        return write_changes(Changes(copies, encode_areas(pixels, areas, self._options)))


class PastedDecoder:
    """Decodes a group of frames in order, of ``size`` (H, W), starting at a key frame."""

    def __init__(self, size: tuple[int, int], view: View) -> None:
        self._size, self._view, self._check = size, view, 0
        self._pixels = np.empty((0, 0, 3), np.uint8)

    def decode(self, frame: CodedFrame, fields: bytes) -> np.ndarray:
        """Decode a frame to pixels, uint8 (H, W, 3); ``fields`` is as for `PastedEncoder.encode`.

        Raises DamagedError if the frame is damaged, or does not follow the frame decoded before it, and
        FormatError, LimitError, UnknownWeightsError as `paste`.
        """
        self._check = checksum_of(frame, fields, self._check)
        if self._check != frame.checksum:
            raise DamagedError("the checksum of its changes does not match")
        if frame.key:
            self._pixels = np.empty((0, 0, 3), np.uint8)
        changes = read_changes(frame.payload, self._size[1], self._size[0])
        self._pixels = paste(self._pixels, changes, self._size, self._view)
        return self._pixels


def checksum_of(frame: CodedFrame, fields: bytes, before: int) -> int:
    """Return the CRC-32 of a frame, chained to that of the frame before unless it is a key."""
    return zlib.crc32(frame.payload, zlib.crc32(fields + bytes([frame.flags]), 0 if frame.key else before))
