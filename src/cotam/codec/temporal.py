"""Code the frames of a sequence: each cell of 64×64 pixels is coded, or copied from an earlier frame.

::

    encode  latents ──▸ coded as a still: bits and error of each cell ──┐
               └──────▸ error of each cell if it were copied ───────────┴▸ modes ──▸ cells that are coded
    decode  modes, symbols ──▸ latents of coded cells, beside those of copied cells ──▸ pixels

A copied cell has no symbols: its latents and gain offsets are those of an earlier decoded frame. Rounding
differences between machines therefore do not accumulate.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from cotam.codec.planes import Allocator, Costs, Grid, Latents, Symbols, expand
from cotam.codec.still import Codec, Quantised
from cotam.errors import DamagedError
from cotam.format.adaptive import read_map, write_map
from cotam.format.level_map import LIMIT
from cotam.format.modes import CODED, INTRA, KEY, MODES
from cotam.format.sequence import CodedFrame
from cotam.format.symbols import SymbolReader, SymbolWriter

__all__ = ["Frame", "FrameAllocator", "FrameDecoder", "FrameEncoder"]

BIT_WEIGHT = 0.3
"""Weight of a bit against the squared error of latents times their gain, in the choice between copying and
coding. Among 0.18 … 0.5 it needs the least rate at equal feature distance, by a small margin
(lab/recipes/video_rd.sh)."""

MIN_SAVING = 1 / 16
"""A frame becomes an intra frame if copies would save less than this share of its bits, since cells beside
copied ones have less context and cost more."""

RAISED_OFFSET = 3
"""Gain offset added to a coded cell that the next frame can copy. On clips with a fixed camera, 2 needs more
rate at equal feature distance, and 5 or 7 hardly less (lab/recipes/video_rd.sh)."""

FrameAllocator = Callable[[np.ndarray, bool], Allocator]
"""(pixels, intra) → the allocator of a frame. Called in the order of frames; it may smooth over time,
restarting where ``intra`` is True."""


@dataclass(frozen=True)
class Frame:
    """A frame to encode: pixels uint8 (H, W, 3), latents float32 (M, h, w)."""

    pixels: np.ndarray
    latents: np.ndarray


class _FrameState:
    """The state that encoder and decoder keep between frames, equal on both sides."""

    def __init__(self, codec: Codec, size: tuple[int, int], quality: int) -> None:
        self.codec, self.grid, self.quality = codec, Grid(*size), quality
        self._sources: tuple[Latents, ...] = ()  # of the modes 1, 2, 3
        self._check = 0

    def _start_check(self, fields: bytes, frame: CodedFrame) -> int:
        """Return the CRC-32 before the symbols of a frame, chained to the frame before unless it is a key."""
        chained = 0 if frame.key else self._check
        return zlib.crc32(self.codec.weights.digest + fields + bytes([frame.flags]), chained)

    def _finish(self, values: np.ndarray, symbols: Symbols, modes: np.ndarray, key: bool) -> Latents:
        """Merge copied cells into ``values``, which has the coded ones; keep the result for later frames."""
        levels = np.zeros(self.grid.levels, np.int8) if symbols.levels is None else symbols.levels.copy()
        for mode, source in enumerate(self._sources, 1):
            copied = modes == mode
            where = expand(copied, 4, self.grid.latents)
            values[:, where] = source.values[:, where]
            where = expand(copied, 2, self.grid.levels)
            assert source.levels is not None
            levels[where] = source.levels[where]
        frame = Latents(self.grid, values, float(self.codec.weights.nominal[self.quality]), levels)
        intra = frame if not modes.any() else self._sources[INTRA - 1]
        self._sources = (frame, intra, frame if key else self._sources[KEY - 1])
        return frame


class FrameDecoder(_FrameState):
    """Decodes frames in order, starting at a key frame; their ``size`` is (H, W) in pixels."""

    def decode(self, frame: CodedFrame, fields: bytes) -> Latents:
        """Decode a frame to latents; ``fields`` is as for `FrameEncoder.encode`.

        Raises DamagedError if the frame is damaged, or does not follow the frame decoded before it.
        """
        if not frame.key and not self._sources:
            raise DamagedError("no key frame is before it")
        check = self._start_check(fields, frame)
        reader = SymbolReader(self.codec.weights.tables, frame.payload, check)
        modes, skip_mask = np.zeros(self.grid.cells, np.uint8), None
        if not frame.intra:
            modes = read_map(reader, MODES, *self.grid.cells)
            reader.cover(modes)
            skip_mask = modes != CODED
        before = self.codec.get_before_latents(reader, self.grid, self.quality, frame.has_levels, skip_mask)
        symbols = self.codec.get_latents(reader, before)
        reader.compare_checksum(frame.checksum)
        self._check = reader.checksum
        return self._finish(self.codec.dequantise(symbols).values, symbols, modes, frame.key)


class FrameEncoder(_FrameState):
    """Encodes frames in order.

    Parameters
    ----------
    codec, size, quality : as for `FrameDecoder`
    key_every : largest distance of key frames, in frames
    allocate : chooses the gain offset map of each frame; by default all offsets are 0 or `RAISED_OFFSET`
    """

    def __init__(
        self,
        codec: Codec,
        size: tuple[int, int],
        quality: int,
        *,
        key_every: int,
        allocate: FrameAllocator | None = None,
    ) -> None:
        super().__init__(codec, size, quality)
        self._key_every, self._allocate = key_every, allocate
        self._since_key, self._was_intra = 0, False
        self._gain = codec.weights.gains[quality][:, None, None]

    def prepare(self, pixels: np.ndarray) -> Frame:
        """Analyse the pixels, uint8 (H, W, 3), of a frame."""
        return Frame(pixels, self.codec.analyse(pixels, self.grid))

    def encode(
        self, frame: Frame, following: Frame | None, fields: bytes, *, key: bool = False
    ) -> CodedFrame:
        """Encode a frame.

        Parameters
        ----------
        following : the next frame, if known; cells that it can copy get `RAISED_OFFSET` more gain
        fields : header fields and time of the frame, which its checksum covers
        key : whether to make it a key frame
        """
        still = self._quantise(frame.latents, None)
        bits = self._bits(still)
        key = key or not self._sources or self._since_key + 1 >= self._key_every
        modes = np.zeros(self.grid.cells, np.uint8) if key else self._choose_modes(frame, still, bits)
        intra = not modes.any()
        # A single intra frame may be a flash, after which the earlier scene is copied again: not a key frame.
        key = key or (intra and self._was_intra)
        coded = modes == CODED
        raised = np.zeros(self.grid.cells, bool)
        if following is not None:
            raised = coded & (self._error(frame.latents, following.latents) < BIT_WEIGHT * bits)
        chosen = still
        if not intra or raised.any() or self._allocate:
            base = self._allocate(frame.pixels, intra) if self._allocate else lambda costs: 0
            more = RAISED_OFFSET * expand(raised, 2, self.grid.levels)
            where = expand(coded, 2, self.grid.levels)

            def offsets(costs: Costs) -> np.ndarray:
                return np.clip(base(costs) + more, -LIMIT, LIMIT) * where

            chosen = self._quantise(frame.latents, offsets, None if intra else ~coded)
        result = self._write(chosen, modes, key, fields)
        assert chosen.values is not None
        self._finish(chosen.values, chosen.symbols, modes, key)
        self._since_key, self._was_intra = 0 if key else self._since_key + 1, intra
        return result

    def _quantise(
        self, latents: np.ndarray, levels: Allocator | None, skip_mask: np.ndarray | None = None
    ) -> Quantised:
        """Quantise the cells of a frame that are not skipped."""
        if skip_mask is not None:
            latents = latents * ~expand(skip_mask, 4, self.grid.latents)
        return self.codec.quantise_latents(
            latents,
            self.codec.analyse_latents(latents, self.grid),
            self.quality,
            levels,
            self.grid,
            skip_mask=skip_mask,
            keep_values=True,
        )

    def _bits(self, still: Quantised) -> np.ndarray:
        """Return the bits, float32 (h, w), of each cell of a frame that is coded as a still."""
        tables = self.codec.weights.tables
        bits = self._sum_cells(tables.costs(still.symbols.y, still.index).sum(0))
        bits += tables.costs(*self.codec.hyper.residuals(still.symbols.z, self.quality)).sum(0)
        return bits

    def _choose_modes(self, frame: Frame, still: Quantised, bits: np.ndarray) -> np.ndarray:
        """Choose the mode, uint8 (h, w), of each cell that minimises error + `BIT_WEIGHT` · bits."""
        assert still.values is not None
        losses = [self._error(frame.latents, still.values) + BIT_WEIGHT * bits]
        losses += [self._error(frame.latents, source.values) for source in self._sources]
        modes = np.argmin(losses, 0).astype(np.uint8)
        if bits[modes != CODED].sum() <= MIN_SAVING * bits.sum():
            modes[:] = CODED
        return modes

    def _error(self, latents: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return the squared difference of each cell, in quantisation steps."""
        return self._sum_cells(np.square((latents - other) * self._gain).sum(0))

    def _sum_cells(self, values: np.ndarray) -> np.ndarray:
        """Sum values (h, w) of latents over each cell."""
        rows, columns = (np.arange(0, length, 4) for length in values.shape)
        return np.add.reduceat(np.add.reduceat(values, rows, 0), columns, 1)

    def _write(self, chosen: Quantised, modes: np.ndarray, key: bool, fields: bytes) -> CodedFrame:
        """Code a frame whose cells have these modes, uint8 (h, w)."""
        frame = CodedFrame(key, not modes.any(), chosen.symbols.levels is not None)
        writer = SymbolWriter(self.codec.weights.tables, self._start_check(fields, frame))
        if not frame.intra:
            write_map(writer, MODES, modes)
            writer.cover(modes)
        self.codec.put_symbols(writer, chosen.symbols, chosen.index)
        self._check = writer.checksum
        return replace(frame, payload=writer.finish(), checksum=self._check)
