"""Write and read the symbols of an image, identically on every machine.

Entropy coding depends on the stored tables and on networks that compute in integers, not on floating point.
"""

from __future__ import annotations

import zlib

import numpy as np

from cotam.codec.hyper import HyperCoder
from cotam.codec.planes import SCALES_HALO, Grid, Symbols, expand
from cotam.codec.tiling import Span, largest_tile, pad
from cotam.codec.weights import WeightSet
from cotam.errors import DamagedError
from cotam.format.level_map import read_levels, write_levels
from cotam.format.symbols import SymbolReader, SymbolWriter
from cotam.runtime import Runner

__all__ = ["PayloadCoder", "compare_checksums"]


class PayloadCoder:
    """Codes symbols with one weight set.

    Parameters
    ----------
    weights : tables and constants
    runner : runs the graphs of the set
    """

    def __init__(self, weights: WeightSet, runner: Runner) -> None:
        self.weights, self.runner = weights, runner
        self.hyper = HyperCoder(weights, runner)

    def put_symbols(
        self, writer: SymbolWriter, symbols: Symbols, index: np.ndarray, grid: Grid, check: int
    ) -> int:
        """Write all symbols of an image.

        Parameters
        ----------
        index : uint8 (M, h, w), the table of each latent
        check : CRC-32 so far

        Returns
        -------
        int
            The CRC-32 continued over the symbols.
        """
        bands = list(grid.bands())
        self.hyper.put(writer, symbols.z, symbols.quality, symbols.skip_mask)
        check = zlib.crc32(symbols.z.astype("<i2").tobytes(), check)
        if len(bands) > 1:
            writer.put_uint16(check & 0xFFFF)
        if symbols.levels is not None:
            write_levels(writer, symbols.levels)
            check = zlib.crc32(symbols.levels.astype("<i1").tobytes(), check)
        for number, (row, column) in enumerate(bands):
            y = symbols.y[:, row.core(4), column.core(4)]
            writer.put(y, index[:, row.core(4), column.core(4)])
            check = zlib.crc32(np.ascontiguousarray(y, "<i2").tobytes(), check)
            if number < len(bands) - 1:
                writer.put_uint16(check & 0xFFFF)
        return check

    def get_symbols(
        self,
        reader: SymbolReader,
        quality: int,
        has_levels: bool,
        grid: Grid,
        check: int,
        skip_mask: np.ndarray | None = None,
    ) -> tuple[Symbols, int]:
        """Read what `put_symbols` wrote.

        Returns the symbols, and the CRC-32 continued over them for the caller to compare. Raises DamagedError
        if a checkpoint does not match.
        """
        symbols, check = self.get_before_latents(reader, quality, has_levels, grid, check, skip_mask)
        bands = list(grid.bands())
        for number, (row, column) in enumerate(bands):
            pieces = column.cut(largest_tile(*grid.cells), SCALES_HALO, grid.cells[1])  # to save memory
            index = [self.table_index(symbols, row, piece, grid) for piece in pieces]
            part = reader.get(np.concatenate(index, axis=2))
            symbols.y[:, row.core(4), column.core(4)] = part
            check = zlib.crc32(part.astype("<i2").tobytes(), check)
            if number < len(bands) - 1:
                compare_checksums(reader.get_uint16(), check & 0xFFFF)
        return symbols, check

    def get_before_latents(
        self,
        reader: SymbolReader,
        quality: int,
        has_levels: bool,
        grid: Grid,
        check: int,
        skip_mask: np.ndarray | None = None,
    ) -> tuple[Symbols, int]:
        """Read hyper latents and levels as `get_symbols`, and leave ``y`` uninitialised.

        Raises DamagedError if a checkpoint does not match.
        """
        shape = (self.weights.z_index.shape[1], *grid.cells)
        z = self.hyper.get(reader, quality, shape, skip_mask)
        check = zlib.crc32(z.astype("<i2").tobytes(), check)
        if len(list(grid.bands())) > 1:
            compare_checksums(reader.get_uint16(), check & 0xFFFF)
        levels = None
        if has_levels:
            levels = read_levels(reader, *grid.levels)
            check = zlib.crc32(levels.tobytes(), check)
        # Allocated only now, since a small damaged file may claim a giant image.
        y = np.empty((self.weights.gains.shape[1], *grid.latents), np.int16)
        return Symbols(quality, levels, z, y, skip_mask), check

    def table_index(self, symbols: Symbols, row: Span, column: Span, grid: Grid) -> np.ndarray:
        """Return the table index, uint8 (M, rows, columns), of the latents of a band or tile."""
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
        core = index[0, :, row.inner(4), column.inner(4)]
        core = core[:, : height - row.start * 4, : width - column.start * 4]
        if symbols.skip_mask is None:
            return core
        return core * ~expand(symbols.skip_mask[row.core(1), column.core(1)], 4, core.shape[1:])

    def _dequantised_z(self, symbols: Symbols, row: Span, column: Span) -> np.ndarray:
        """Return the dequantised hyper latents, float32 (1, Z, rows, columns), of a tile's outer part."""
        return self.hyper.dequantise(symbols.z[:, row.outer(1), column.outer(1)], symbols.quality)[None]

    def _padded_levels(self, symbols: Symbols, row: Span, column: Span, grid: Grid) -> np.ndarray:
        """Return levels, float32 (1, 1, 2 · cells, 2 · cells), of the outer part, edge-padded."""
        shape = 2 * (row.outer_stop - row.outer_start), 2 * (column.outer_stop - column.outer_start)
        if symbols.levels is None:
            return np.zeros((1, 1, *shape), np.float32)
        outer = symbols.levels[row.outer(2), column.outer(2)].astype(np.float32)
        return pad(outer, 2, axes=(0, 1))[None, None]


def compare_checksums(stored: int, computed: int) -> None:
    """Raise DamagedError if two checksums of symbols differ."""
    if stored != computed:
        raise DamagedError("the file is damaged: the checksum of its symbols does not match")
