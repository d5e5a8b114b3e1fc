"""Write and read the symbols of an image, identically on every machine.

Entropy coding depends on the stored tables and on networks that compute in integers, not on floating point.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cotam.codec.hyper import HyperCoder
from cotam.codec.planes import SCALES_HALO, Grid, Latents, Symbols, expand
from cotam.codec.tiling import Tile, largest_tile, pad
from cotam.codec.weights import WeightSet
from cotam.format.adaptive import read_map, write_map
from cotam.format.level_map import LEVEL_MAP
from cotam.format.symbols import SymbolReader, SymbolWriter
from cotam.runtime import Runner

__all__ = ["PayloadCoder"]


class PayloadCoder:
    """Codes symbols with one weight set, whose graphs ``runner`` runs."""

    def __init__(self, weights: WeightSet, runner: Runner) -> None:
        self.weights, self.runner = weights, runner
        self.hyper = HyperCoder(weights, runner)

    def put_symbols(self, writer: SymbolWriter, symbols: Symbols, index: np.ndarray) -> None:
        """Write all symbols of an image; ``index``, uint8 (M, h, w), is the table of each latent."""
        bands = list(symbols.grid.bands())
        self.hyper.put(writer, symbols.z, symbols.quality, symbols.skip_mask)
        writer.cover(symbols.z)
        if len(bands) > 1:
            writer.put_checkpoint()
        if symbols.levels is not None:
            write_map(writer, LEVEL_MAP, symbols.levels)
            writer.cover(symbols.levels)
        for number, band in enumerate(bands):
            y = symbols.y[:, *band.core(4)]
            writer.put(y, index[:, *band.core(4)])
            writer.cover(y)
            if number < len(bands) - 1:
                writer.put_checkpoint()

    def get_before_latents(
        self,
        reader: SymbolReader,
        grid: Grid,
        quality: int,
        has_levels: bool,
        skip_mask: np.ndarray | None = None,
    ) -> Symbols:
        """Read hyper latents and levels that `put_symbols` wrote; ``y`` of the result is empty.

        Raises DamagedError if a checkpoint does not match.
        """
        z = self.hyper.get(reader, quality, (self.weights.z_index.shape[1], *grid.cells), skip_mask)
        reader.cover(z)
        if len(list(grid.bands())) > 1:
            reader.compare_checkpoint()
        levels = None
        if has_levels:
            levels = read_map(reader, LEVEL_MAP, *grid.levels)
            reader.cover(levels)
        return Symbols(grid, quality, levels, z, np.empty(0, np.int16), skip_mask)

    def get_latents(self, reader: SymbolReader, symbols: Symbols) -> Symbols:
        """Return the result of `get_before_latents` with the latents, the rest of what `put_symbols` wrote.

        The caller compares the checksum. Raises DamagedError if a checkpoint does not match.
        """
        grid = symbols.grid
        latents = np.empty((self.weights.gains.shape[1], *grid.latents), np.int16)
        bands = list(grid.bands())
        for number, band in enumerate(bands):
            pieces = band.column.cut(largest_tile(*grid.cells), SCALES_HALO, grid.cells[1])  # to save memory
            index = [self.table_index(symbols, Tile(band.row, piece)) for piece in pieces]
            y = reader.get(np.concatenate(index, axis=2))
            latents[:, *band.core(4)] = y
            reader.cover(y)
            if number < len(bands) - 1:
                reader.compare_checkpoint()
        return replace(symbols, y=latents)

    def table_index(self, symbols: Symbols, tile: Tile) -> np.ndarray:
        """Return the table index, uint8 (M, rows, columns), of the latents of a band or tile."""
        quality = symbols.quality
        inputs = {
            "z": self._dequantised_z(symbols, tile),
            "levels": self._padded_levels(symbols, tile),
            "sums64": self.weights.sums64[quality][None, :, None, None],
            "sums32": self.weights.sums32[quality][None, :, None, None],
            "offset": self.weights.offset[quality][None, :, None, None],
        }
        (index,) = self.runner("scales", inputs)
        height, width = symbols.grid.latents
        core = index[0, :, *tile.inner(4)][:, : height - tile.row.start * 4, : width - tile.column.start * 4]
        if symbols.skip_mask is None:
            return core
        return core * ~expand(symbols.skip_mask[tile.core(1)], 4, core.shape[1:])

    def _dequantised_z(self, symbols: Symbols, tile: Tile) -> np.ndarray:
        """Return the dequantised hyper latents, float32 (1, Z, rows, columns), of a tile's outer part."""
        return self.hyper.dequantise(symbols.z[:, *tile.outer(1)], symbols.quality)[None]

    def _padded_levels(self, planes: Symbols | Latents, tile: Tile) -> np.ndarray:
        """Return levels, float32 (1, 1, 2 · cells, 2 · cells), of the outer part, edge-padded."""
        levels = np.zeros(planes.grid.levels, np.int8) if planes.levels is None else planes.levels
        return pad(levels[tile.outer(2)].astype(np.float32), 2, axes=(0, 1))[None, None]
