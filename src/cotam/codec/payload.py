"""The integers of a picture and their bytes: all that must be the same on every machine.

Knows symbols, the tables that code them and the scale network, which chooses these through integers alone:
nothing of pixels, of means or of the file around the bytes.
"""

from __future__ import annotations

import zlib

import numpy as np

from cotam.codec.hyper import HyperCoder
from cotam.codec.planes import SCALES_HALO, Grid, Symbols, spread
from cotam.codec.tiling import Span, largest_tile, pad
from cotam.codec.weights import WeightSet
from cotam.errors import DamagedError
from cotam.format.level_map import read_levels, write_levels
from cotam.format.symbols import SymbolReader, SymbolWriter
from cotam.runtime import Runner

__all__ = ["PayloadCoder", "compare"]


class PayloadCoder:
    """One weight set with something that runs its graphs; the part of a codec that is exact."""

    def __init__(self, weights: WeightSet, runner: Runner) -> None:
        self.weights, self.runner = weights, runner
        self.hyper = HyperCoder(weights, runner)

    def put_symbols(
        self, writer: SymbolWriter, symbols: Symbols, index: np.ndarray, grid: Grid, check: int
    ) -> int:
        """Code all integers of a picture. Returns the running checksum ``check`` brought on over them."""
        bands = list(grid.bands())
        self.hyper.put(writer, symbols.z, symbols.quality, symbols.live)
        check = zlib.crc32(symbols.z.astype("<i2").tobytes(), check)
        if len(bands) > 1:
            writer.put_uniform(np.array([check & 0xFFFF]), 1 << 16)
        if symbols.levels is not None:
            write_levels(writer, symbols.levels)
            check = zlib.crc32(symbols.levels.astype("<i1").tobytes(), check)
        for number, (row, column) in enumerate(bands):
            y = symbols.y[:, row.core(4), column.core(4)]
            writer.put(y, index[:, row.core(4), column.core(4)])
            check = zlib.crc32(np.ascontiguousarray(y, "<i2").tobytes(), check)
            if number < len(bands) - 1:
                writer.put_uniform(np.array([check & 0xFFFF]), 1 << 16)
        return check

    def get_symbols(
        self,
        reader: SymbolReader,
        quality: int,
        has_levels: bool,
        grid: Grid,
        check: int,
        live: np.ndarray | None = None,
    ) -> tuple[Symbols, int]:
        """What `put_symbols` coded, and the checksum over it, which is still to be compared."""
        symbols, check = self.get_before_latents(reader, quality, has_levels, grid, check, live)
        return symbols, self.get_latents(reader, symbols, grid, check)

    def get_latents(self, reader: SymbolReader, symbols: Symbols, grid: Grid, check: int) -> int:
        """Read the latents into ``symbols.y``. Returns the running checksum brought on over them.

        Raises
        ------
        DamagedError
            if a checkpoint does not agree; so does `get_before_latents`
        """
        bands = list(grid.bands())
        for number, (row, column) in enumerate(bands):
            pieces = column.cut(largest_tile(*grid.cells), SCALES_HALO, grid.cells[1])  # to save memory
            index = [self._index(symbols, row, piece, grid) for piece in pieces]
            part = reader.get(np.concatenate(index, axis=2))
            symbols.y[:, row.core(4), column.core(4)] = part
            check = zlib.crc32(part.astype("<i2").tobytes(), check)
            if number < len(bands) - 1:
                compare(int(reader.get_uniform(1, 1 << 16)[0]), check & 0xFFFF)
        return check

    def get_before_latents(
        self,
        reader: SymbolReader,
        quality: int,
        has_levels: bool,
        grid: Grid,
        check: int,
        live: np.ndarray | None = None,
    ) -> tuple[Symbols, int]:
        """As `get_symbols`, with room for the latents, which are not read."""
        shape = (self.weights.z_index.shape[1], *grid.cells)
        z = self.hyper.get(reader, quality, shape, live)
        check = zlib.crc32(z.astype("<i2").tobytes(), check)
        if len(list(grid.bands())) > 1:
            compare(int(reader.get_uniform(1, 1 << 16)[0]), check & 0xFFFF)
        levels = None
        if has_levels:
            levels = read_levels(reader, *grid.levels)
            check = zlib.crc32(levels.tobytes(), check)
        # Room for the latents only now: a small file may claim a giant picture.
        y = np.empty((self.weights.gains.shape[1], *grid.latents), np.int16)
        return Symbols(quality, levels, z, y, live), check

    def _index(self, symbols: Symbols, row: Span, column: Span, grid: Grid) -> np.ndarray:
        """Table index uint8 (M, rows, columns) of the latents of a band, or of a tile."""
        quality = symbols.quality
        inputs = {
            "z": self._dequantised_z(symbols, row, column),
            "levels": self._padded_levels(symbols, row, column, grid),
            "sums64": self.weights.sums64[quality][None, :, None, None],
            "sums32": self.weights.sums32[quality][None, :, None, None],
            "offset": self.weights.offset[quality][None, :, None, None],
        }
        (index,) = self.runner("scales", inputs)
        height, width = grid.latents
        kept = index[0, :, row.inner(4), column.inner(4)]
        kept = kept[:, : height - row.start * 4, : width - column.start * 4]
        if symbols.live is None:
            return kept
        return kept * spread(symbols.live[row.core(1), column.core(1)], 4, kept.shape[1:])

    def _dequantised_z(self, symbols: Symbols, row: Span, column: Span) -> np.ndarray:
        """See `HyperCoder.dequantised`: float32 (1, Z, rows, columns) of the outer part of a tile."""
        return self.hyper.dequantised(symbols.z[:, row.outer(1), column.outer(1)], symbols.quality)[None]

    def _padded_levels(self, symbols: Symbols, row: Span, column: Span, grid: Grid) -> np.ndarray:
        """Levels float32 (1, 1, 2 · cells, 2 · cells) of the outer part, repeated beyond the edge."""
        shape = 2 * (row.outer_stop - row.outer_start), 2 * (column.outer_stop - column.outer_start)
        if symbols.levels is None:
            return np.zeros((1, 1, *shape), np.float32)
        found = symbols.levels[row.outer(2), column.outer(2)].astype(np.float32)
        return pad(found, 2, axes=(0, 1))[None, None]


def compare(stored: int, computed: int) -> None:
    """Raise DamagedError if two checksums of symbols differ."""
    if stored != computed:
        raise DamagedError("the file is damaged: the checksum of its symbols does not agree")
