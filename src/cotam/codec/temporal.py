"""Frames after one another: what of a frame is coded, and what is copied from frames before it.

Knows latents, cells and the frames before: nothing of clocks, of the container (``sequence``) or of video
files.

::

    encode  latents ──▸ coded as a picture: bits and error of each cell ──┐
               └──────▸ error of each cell if it were copied ─────────────┴▸ modes ──▸ cells that are coded
    decode  modes, symbols ──▸ latents of coded cells, beside those of copied cells ──▸ pixels

A copied cell (64×64 pixels) has no symbols at all: its latents and levels are those of an earlier decoded
frame. So there is no drift, and what is copied does not depend on floating point.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cotam.codec.payload import compare
from cotam.codec.planes import Grid, Symbols, spread
from cotam.codec.still import Codec, Levels
from cotam.codec.weights import View
from cotam.errors import DamagedError
from cotam.format.level_map import LIMIT
from cotam.format.sequence import CodedFrame
from cotam.format.symbols import Categorical, SymbolReader, SymbolWriter
from cotam.guide.guidance import Guidance

__all__ = ["CODED", "Decoded", "FrameDecoder", "FrameEncoder", "read_modes", "write_modes"]

CODED, PREVIOUS, WHOLE, KEY = range(4)
"""Modes of a cell: coded, or copied from the previous frame, from the last one of which every cell was coded,
or from the key frame. What a passing thing uncovers is often in one of the older two."""

BIT = 0.3
"""What a bit is worth in squared error of latents times their gain, where copies are weighed against coding.
Of 0.18 … 0.5, the middle needs the least rate at equal feature distance, by little."""

WORTHWHILE = 1 / 16
"""A frame of which copies would save no more of the bits is coded whole: cells beside copied ones have less
context and cost more."""

RAISED = 3
"""Levels that a coded cell is raised by if the next frame can copy it. On clips with a fixed camera, 2 needs
more rate at equal feature distance, and 5 or 7 hardly less."""

SMOOTHING = 0.5
"""Weight of the frames before in the logarithm of importance, so that levels do not flicker."""


@dataclass(frozen=True)
class Decoded:
    """What later frames copy from: latents float32 (M, h, w), levels int8 (⌈H/32⌉, ⌈W/32⌉)."""

    values: np.ndarray
    levels: np.ndarray


class _Chain:
    """What an encoder and a decoder keep from frame to frame, the same on both sides."""

    def __init__(self, codec: Codec, size: tuple[int, int], quality: int) -> None:
        self.codec, self.grid, self.quality = codec, Grid(*size), quality
        self._sources: tuple[Decoded, ...] = ()  # of the modes 1, 2, 3
        self._check = 0

    def _start_check(self, fields: bytes, flags: int) -> int:
        """A frame that was cut out, or put elsewhere, changes the checksum of the next."""
        chained = 0 if flags & 1 else self._check
        return zlib.crc32(self.codec.weights.digest + fields + bytes([flags]), chained)

    def _finish(self, values: np.ndarray, symbols: Symbols, modes: np.ndarray, key: bool) -> Decoded:
        """Put copies into the ``values`` of the coded cells; the result is what the next frame sees."""
        levels = np.zeros(self.grid.levels, np.int8) if symbols.levels is None else symbols.levels.copy()
        for mode, source in enumerate(self._sources, 1):
            copied = modes == mode
            where = spread(copied, 4, self.grid.latents)
            values[:, where] = source.values[:, where]
            where = spread(copied, 2, self.grid.levels)
            levels[where] = source.levels[where]
        found = Decoded(values, levels)
        whole = found if not modes.any() else self._sources[WHOLE - 1]
        self._sources = (found, whole, found if key else self._sources[KEY - 1])
        return found


class FrameDecoder(_Chain):
    """Decodes frames in order, from a key frame on."""

    def decode(self, frame: CodedFrame, fields: bytes) -> Decoded:
        """The latents of a frame; ``fields`` is what the container says of it, as in `FrameEncoder.encode`.

        Raises
        ------
        DamagedError
            if its bytes, or the frame before it, are not those that were written
        """
        if not frame.key and not self._sources:
            raise DamagedError("no key frame is before it")
        check = self._start_check(fields, frame.flags)
        reader = SymbolReader(self.codec.weights.tables, frame.payload)
        modes, live = np.zeros(self.grid.cells, np.uint8), None
        if not frame.intra:
            modes = read_modes(reader, *self.grid.cells)
            check, live = zlib.crc32(modes.tobytes(), check), modes == CODED
        symbols, check = self.codec.get_symbols(
            reader, self.quality, frame.has_levels, self.grid, check, live
        )
        compare(frame.checksum, check)
        self._check = check
        return self._finish(self.codec.dequantise(symbols, self.grid).values, symbols, modes, frame.key)

    def picture(self, decoded: Decoded, view: View) -> np.ndarray:
        """Pixels uint8 (H, W, 3) of a frame."""
        empty = np.empty(0, np.int16)
        symbols = Symbols(self.quality, decoded.levels if decoded.levels.any() else None, empty, empty)
        return self.codec.synthesise(decoded.values, symbols, self.grid, view)


class FrameEncoder(_Chain):
    """Encodes frames of one size in order."""

    def __init__(
        self,
        codec: Codec,
        size: tuple[int, int],
        quality: int,
        *,
        key_every: int,
        guidance: Guidance | None = None,
    ) -> None:
        """``size`` (H, W) in pixels; after ``key_every`` frames, if not before, comes a key frame."""
        super().__init__(codec, size, quality)
        self._key_every, self._guidance = key_every, guidance
        self._since_key, self._was_whole = 0, False
        self._gain = codec.weights.gains[quality][:, None, None]
        self._ahead: tuple[np.ndarray, np.ndarray] | None = None  # pixels and latents of the next frame
        self._importance: np.ndarray | None = None  # logarithm, smoothed

    def encode(
        self, pixels: np.ndarray, following: np.ndarray | None, fields: bytes, *, key: bool = False
    ) -> CodedFrame:
        """Code a frame.

        Parameters
        ----------
        pixels : uint8 (H, W, 3)
        following : the next frame, if it is there already: what it can copy is worth more bits now
        fields : what the container says of the frame; part of its checksum
        key : make it a key frame
        """
        latents = self._latents(pixels)
        plain, index, values, bits = self._as_picture(latents)
        key = key or not self._sources or self._since_key + 1 >= self._key_every
        modes = np.zeros(self.grid.cells, np.uint8) if key else self._modes(latents, values, bits)
        whole = not modes.any()
        # One whole frame may be a cut, or a lamp, after which the old scene comes back: its copies stay.
        key = key or (whole and self._was_whole)
        raised = np.zeros(self.grid.cells, bool)
        if following is not None:
            self._ahead = following, self.codec.analyse(following, self.grid)
            raised = self._error(latents, self._ahead[1]) < BIT * bits
        live = modes == CODED
        raised &= live
        symbols = plain
        if not whole or raised.any() or self._guidance:
            if not whole:
                latents = latents * spread(live, 4, self.grid.latents)
            symbols, index = self.codec.quantise_latents(
                latents,
                self.codec.analyse_latents(latents, self.grid),
                self.quality,
                self._levels(pixels, raised, live, whole),
                self.grid,
                live=None if whole else live,
                kept=values,
            )
        frame = self._write(symbols, index, modes, key, fields)
        self._finish(values, symbols, modes, key)
        self._since_key, self._was_whole = 0 if key else self._since_key + 1, whole
        return frame

    def _latents(self, pixels: np.ndarray) -> np.ndarray:
        if self._ahead is not None and self._ahead[0] is pixels:
            return self._ahead[1]
        return self.codec.analyse(pixels, self.grid)

    def _as_picture(self, latents: np.ndarray) -> tuple[Symbols, np.ndarray, np.ndarray, np.ndarray]:
        """Symbols, table indices, decoded latents, and the bits of each cell, of a frame coded by itself."""
        hyper = self.codec.analyse_latents(latents, self.grid)
        values = np.empty_like(latents)
        symbols, index = self.codec.quantise_latents(
            latents, hyper, self.quality, None, self.grid, kept=values
        )
        tables = self.codec.weights.tables
        bits = self._cells(tables.costs(symbols.y, index).sum(0))
        bits += tables.costs(*self.codec.hyper.coded(symbols.z, symbols.quality, None)).sum(0)
        return symbols, index, values, bits

    def _modes(self, latents: np.ndarray, values: np.ndarray, bits: np.ndarray) -> np.ndarray:
        """The best mode of each cell, uint8: least error + `BIT` · bits."""
        losses = [self._error(latents, values) + BIT * bits]
        losses += [self._error(latents, source.values) for source in self._sources]
        modes = np.argmin(losses, 0).astype(np.uint8)
        if bits[modes != CODED].sum() <= WORTHWHILE * bits.sum():
            modes[:] = CODED
        return modes

    def _error(self, latents: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Squared difference in each cell, in quantisation steps."""
        return self._cells(np.square((latents - other) * self._gain).sum(0))

    def _cells(self, values: np.ndarray) -> np.ndarray:
        """Sums over the latents (h, w) of each cell."""
        rows, columns = (np.arange(0, length, 4) for length in values.shape)
        return np.add.reduceat(np.add.reduceat(values, rows, 0), columns, 1)

    def _levels(self, pixels: np.ndarray, raised: np.ndarray, live: np.ndarray, whole: bool) -> Levels | None:
        """Levels of the guide, raised where that will last, and zero where cells are copied."""
        more = RAISED * spread(raised, 2, self.grid.levels)
        kept = spread(live, 2, self.grid.levels)
        if self._guidance is None:
            return more
        importance = np.log(self._guidance.importance(pixels))
        if self._importance is not None and not whole:
            importance += SMOOTHING * (self._importance - importance)
        self._importance = importance
        found = self._guidance.levels(np.exp(importance), (self.grid.height, self.grid.width))

        def levels(costs: np.ndarray) -> np.ndarray:
            return np.clip(found(costs) + more, -LIMIT, LIMIT) * kept

        return levels

    def _write(
        self, symbols: Symbols, index: np.ndarray, modes: np.ndarray, key: bool, fields: bytes
    ) -> CodedFrame:
        frame = CodedFrame(key, not modes.any(), symbols.levels is not None, b"", 0)
        check = self._start_check(fields, frame.flags)
        writer = SymbolWriter(self.codec.weights.tables)
        if not frame.intra:
            write_modes(writer, modes)
            check = zlib.crc32(modes.tobytes(), check)
        self._check = self.codec.put_symbols(writer, symbols, index, self.grid, check)
        return CodedFrame(key, frame.intra, frame.has_levels, writer.finish(), self._check)


# Modes in the stream


class _ModeModels:
    """Counts of each mode, by the mode that is likely and by how sure that is; they adapt row by row."""

    def __init__(self) -> None:
        self.counts = np.ones((3, 4, 4), np.int64)
        for mode in range(4):
            self.counts[:, mode, mode] = 4, 8, 32

    def models(self) -> list[list[Any]]:
        parts = self.counts * ((1 << 15) - 4) // self.counts.sum(2, keepdims=True) + 1
        parts[..., 0] += (1 << 15) - parts.sum(2)
        return [[Categorical(part / float(1 << 15), perfect=False) for part in likely] for likely in parts]

    def learn(self, places: list[tuple[int, int, int]]) -> None:
        for place in places:
            self.counts[place] += 4


def _expected(row: list[int], above: list[int] | None) -> tuple[int, int]:
    """How sure (0 … 2) the next mode of ``row`` is, and which is likely."""
    left = row[-1] if row else None
    up = above[len(row)] if above else None
    if left is None or up is None:
        return 1, left if left is not None else up if up is not None else PREVIOUS
    return (2 if left == up else 0), left


def write_modes(writer: SymbolWriter, modes: np.ndarray) -> None:
    """Code modes, uint8 (h, w) in 0 … 3."""
    values = iter(modes.reshape(-1).tolist())

    def put(model: Categorical) -> int:
        value: int = next(values)
        writer.put_one(value, model)
        return value

    _walk(modes.shape[0], modes.shape[1], put)


def read_modes(reader: SymbolReader, height: int, width: int) -> np.ndarray:
    """Modes uint8 (height, width) in 0 … 3."""
    return _walk(height, width, reader.get_one)


def _walk(height: int, width: int, code: Callable[[Categorical], int]) -> np.ndarray:
    """Modes uint8 (height, width), each coded under the model that those before it give."""
    adaptive, above = _ModeModels(), None
    modes = np.empty((height, width), np.uint8)
    for number in range(height):
        models = adaptive.models()
        row: list[int] = []
        places: list[tuple[int, int, int]] = []
        for _ in range(width):
            sure, likely = _expected(row, above)
            row.append(code(models[sure][likely]))
            places.append((sure, likely, row[-1]))
        adaptive.learn(places)
        modes[number] = above = row
    return modes
