"""The learned codec for still images.

::

    encode  pixels → latents → hyper latents → symbols → payload
    decode  payload → symbols (checked) → latents → pixels

To bound memory, large images pass through the graphs in tiles and through the range coder in bands.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from cotam.codec.payload import PayloadCoder
from cotam.codec.planes import SCALES_HALO, Allocator, Grid, Latents, Symbols
from cotam.codec.rate import largest_within, level_costs
from cotam.codec.tiling import Tile, pad, paste, tiles
from cotam.codec.views import VIEWS, View
from cotam.errors import DamagedError, FormatError
from cotam.format.header import File, Header, Kind
from cotam.format.level_map import LIMIT, check_levels
from cotam.format.symbols import SymbolReader, SymbolWriter

__all__ = ["Codec", "Quantised"]

_HYPER_HALO, _CONTEXT_HALO, _SYNTHESIS_HALO = 2, 2, 1
"""Halos, in cells, that cover the receptive fields of these graphs."""

_ANALYSIS_HALO = 3
"""Halo of the analysis, in latents."""


@dataclass(frozen=True)
class Quantised:
    """Quantised latents."""

    symbols: Symbols
    index: np.ndarray  # uint8 (M, h, w), the table of each latent
    values: np.ndarray | None  # float32 (M, h, w), latents as dequantised by a decoder; None unless requested


class Codec(PayloadCoder):
    """Encodes and decodes still images with one weight set. Safe to use from several threads."""

    # Encoding

    def encode(
        self,
        pixels: np.ndarray,
        quality: int = 50,
        *,
        levels: np.ndarray | Allocator | None = None,
        metadata: Mapping[str, bytes] = {},
    ) -> File:
        """Encode an image.

        Raises InputError if levels are out of range.

        Parameters
        ----------
        pixels : uint8 (H, W, 3), sRGB
        quality : 0 … 100, from about 0.05 to 1.6 bits per pixel on photographs
        levels : gain offset map, integers (⌈H/32⌉, ⌈W/32⌉) in ±7, or what chooses it; None is zeros
        metadata : "exif", "icc", "xmp" → bytes
        """
        symbols, index = self.quantise(pixels, quality, levels)
        return self.write(symbols, index, metadata)

    def encode_within(
        self,
        pixels: np.ndarray,
        target_size: int,
        *,
        levels: np.ndarray | Allocator | None = None,
        metadata: Mapping[str, bytes] = {},
    ) -> File:
        """Encode an image at the highest quality whose file has at most ``target_size`` bytes.

        Parameters as for `encode`. Raises TargetSizeError if the file of quality 0 is larger, and InputError
        if levels are out of range.
        """
        grid = Grid(*pixels.shape[:2])
        latents = self.analyse(pixels, grid)
        hyper = self.analyse_latents(latents, grid)
        header = Header(grid.width, grid.height, 0, weights=self.weights.short_hash)
        fixed = len(File(header, b"", metadata).data)

        def encode_at(quality: int) -> File:
            quantised = self.quantise_latents(latents, hyper, quality, levels, grid)
            return self.write(quantised.symbols, quantised.index, metadata)

        def estimate_at(quality: int) -> float:
            return fixed + self.estimate_bits(hyper, quality, grid) / 8

        return largest_within(encode_at, estimate_at, target_size)

    def quantise(
        self, pixels: np.ndarray, quality: int, levels: np.ndarray | Allocator | None = None
    ) -> tuple[Symbols, np.ndarray]:
        """Return the symbols of an image and the table index, uint8 (M, h, w), of its latents."""
        grid = Grid(*pixels.shape[:2])
        latents = self.analyse(pixels, grid)
        hyper = self.analyse_latents(latents, grid)
        quantised = self.quantise_latents(latents, hyper, quality, levels, grid)
        return quantised.symbols, quantised.index

    def analyse(self, pixels: np.ndarray, grid: Grid) -> np.ndarray:
        """Compute the latents, float32 (M, h, w), of an image."""
        latents = np.empty((self.weights.gains.shape[1], *grid.latents), np.float32)
        for tile in tiles(*grid.latents, _ANALYSIS_HALO, 16):
            seen = pad(pixels[tile.outer(16)], 16, axes=(0, 1))
            (outer,) = self.runner("analysis", {"pixels": seen[None]})
            latents[:, *tile.core(1)] = outer[0, :, *tile.inner(1)]
        return latents

    def analyse_latents(self, latents: np.ndarray, grid: Grid) -> np.ndarray:
        """Compute the hyper latents, float32 (Z, h/4, w/4), not rounded."""
        hyper = np.empty((self.weights.z_index.shape[1], *grid.cells), np.float32)
        for tile in tiles(*grid.cells, _HYPER_HALO):
            seen = pad(latents[:, *tile.outer(4)], 4, axes=(1, 2))
            (outer,) = self.runner("hyper_analysis", {"latents": seen[None]})
            hyper[:, *tile.core(1)] = outer[0, :, *tile.inner(1)]
        return hyper

    def quantise_latents(
        self,
        latents: np.ndarray,
        hyper: np.ndarray,
        quality: int,
        levels: np.ndarray | Allocator | None,
        grid: Grid,
        *,
        skip_mask: np.ndarray | None = None,
        keep_values: bool = False,
    ) -> Quantised:
        """Quantise hyper latents, then the residuals of latents against the means that a decoder predicts.

        With ``keep_values`` the dequantised latents, 4 bytes per pixel, are returned too. Raises InputError
        if levels are out of range.
        """
        z, y = self.hyper.quantise(hyper, quality), np.empty(latents.shape, np.int16)
        if skip_mask is not None:
            z[:, skip_mask] = 0
        symbols = Symbols(grid, quality, None, z, y, skip_mask)
        if callable(levels):
            levels = levels(lambda: self.level_costs(symbols))
        if levels is not None:
            symbols = replace(symbols, levels=check_levels(levels, grid.levels))
        index = np.empty(latents.shape, np.uint8)
        for tile in tiles(*grid.cells, SCALES_HALO):
            index[:, *tile.core(4)] = self.table_index(symbols, tile)
        values = np.empty_like(latents) if keep_values else None
        for tile in tiles(*grid.cells, _CONTEXT_HALO):
            part = index[:, *tile.outer(4)], latents[:, *tile.outer(4)]
            residuals, decoded = self._run_context(symbols, tile, *part, given=False)
            paste(y, residuals, tile)
            if values is not None:
                paste(values, decoded, tile)
        return Quantised(symbols, index, values)

    def level_costs(self, symbols: Symbols) -> np.ndarray:
        """Estimate the cost of gain offsets, see `cotam.codec.planes.Costs`.

        Of ``symbols`` only quality, hyper latents and skip mask are used.
        """
        grid = symbols.grid
        symbols = replace(symbols, levels=np.full(grid.levels, LIMIT, np.int8))
        costs = np.empty((2 * LIMIT + 1, *grid.levels), np.float32)
        for tile in tiles(*grid.cells, SCALES_HALO):
            costs[:, *tile.core(2)] = level_costs(self.weights.tables, self.table_index(symbols, tile))
        return costs

    def estimate_bits(self, hyper: np.ndarray, quality: int, grid: Grid) -> float:
        """Estimate the bits of a payload from hyper latents that are not rounded, with gain offsets zero."""
        tables = self.weights.tables
        symbols = Symbols(grid, quality, None, self.hyper.quantise(hyper, quality), np.empty(0, np.int16))
        bits = tables.bits(*self.hyper.residuals(symbols.z, quality))
        for tile in tiles(*grid.cells, SCALES_HALO):
            used = np.bincount(self.table_index(symbols, tile).reshape(-1), minlength=len(tables.halves))
            bits += float(used @ tables.entropies)
        return bits

    def write(self, symbols: Symbols, index: np.ndarray, metadata: Mapping[str, bytes]) -> File:
        """Write the file of some symbols; ``index``, uint8 (M, h, w), is the table of each latent."""
        header = Header(
            width=symbols.grid.width,
            height=symbols.grid.height,
            quality=symbols.quality,
            weights=self.weights.short_hash,
            has_levels=symbols.levels is not None,
        )
        writer = SymbolWriter(self.weights.tables, zlib.crc32(self.weights.digest + header.fields()))
        self.put_symbols(writer, symbols, index)
        return File(replace(header, checksum=writer.checksum), writer.finish(), metadata)

    # Decoding

    def decode(self, file: File, *, view: View = "mllm") -> np.ndarray:
        """Decode a file to pixels, uint8 (H, W, 3).

        Raises as `decode_symbols`.
        """
        return self.synthesise(self.decode_latents(file), view)

    def decode_latents(self, file: File) -> Latents:
        """Decode a file to dequantised latents, 4 bytes per pixel.

        Raises as `decode_symbols`.
        """
        return self.dequantise(self.decode_symbols(file))

    def decode_symbols(self, file: File) -> Symbols:
        """Decode a file to its symbols, and verify their checksum.

        Raises FormatError if the file has no learned payload, and DamagedError if the file is damaged, or was
        not made with these weights.
        """
        header, reader = file.header, self._open_payload(file)
        grid = Grid(file.height, file.width)
        before = self.get_before_latents(reader, grid, header.quality, header.has_levels)
        symbols = self.get_latents(reader, before)
        reader.compare_checksum(header.checksum)
        return symbols

    def read_levels(self, file: File) -> np.ndarray:
        """Decode the gain offset map, int8 (⌈H/32⌉, ⌈W/32⌉), of a file.

        Latents are not decoded, so the checksum is not compared. Raises as `decode_symbols`.
        """
        header, grid = file.header, Grid(file.height, file.width)
        reader = self._open_payload(file)
        levels = self.get_before_latents(reader, grid, header.quality, header.has_levels).levels
        return np.zeros(grid.levels, np.int8) if levels is None else levels

    def _open_payload(self, file: File) -> SymbolReader:
        """Check that a file is for these weights, and return a reader of its payload."""
        header, weights = file.header, self.weights
        if header.kind is not Kind.LEARNED:
            raise FormatError(f"a file of kind {header.kind.name.lower()} has no learned payload")
        if header.weights != weights.short_hash:
            raise DamagedError(
                f"the file was made with weights {header.weights.hex()}, "
                f"these are {weights.short_hash.hex()} ({weights.name})"
            )
        return SymbolReader(weights.tables, file.payload, zlib.crc32(weights.digest + header.fields()))

    def dequantise(self, symbols: Symbols) -> Latents:
        """Compute the latents of an image from its symbols."""
        values = np.empty(symbols.y.shape, np.float32)
        for tile in tiles(*symbols.grid.cells, _CONTEXT_HALO):
            residuals = symbols.y[:, *tile.outer(4)].astype(np.float32)
            index = np.zeros(residuals.shape, np.uint8)
            _, decoded = self._run_context(symbols, tile, index, residuals, given=True)
            paste(values, decoded, tile)
        return Latents(symbols.grid, values, float(self.weights.nominal[symbols.quality]), symbols.levels)

    def synthesise(self, latents: Latents, view: View = "mllm") -> np.ndarray:
        """Compute pixels, uint8 (H, W, 3), from latents."""
        grid = latents.grid
        pixels = np.empty((grid.height, grid.width, 3), np.uint8)
        inputs = {
            "nominal": np.full((1, 1, 1, 1), latents.nominal, np.float32),
            "adapted": self.weights.views[VIEWS.index(view)].reshape(1),
        }
        for tile in tiles(*grid.cells, _SYNTHESIS_HALO):
            inputs["latents"] = np.ascontiguousarray(latents.values[None, :, *tile.outer(4)])
            inputs["levels"] = self._padded_levels(latents, tile)
            (outer,) = self.runner("synthesis", inputs)
            target = pixels[tile.core(64)]
            target[:] = outer[0, *tile.inner(64)][: target.shape[0], : target.shape[1]]
        return pixels

    def _run_context(
        self, symbols: Symbols, tile: Tile, index: np.ndarray, values: np.ndarray, *, given: bool
    ) -> list[np.ndarray]:
        """Return residuals and dequantised latents, in whole cells, of a tile's outer part.

        ``values`` are its latents, or with ``given`` its residuals; zeros are appended up to whole cells.
        """
        inputs = {
            "z": self._dequantised_z(symbols, tile),
            "levels": self._padded_levels(symbols, tile),
            "nominal": self.weights.nominal[symbols.quality].reshape(1, 1, 1, 1),
            "gain": self.weights.gains[symbols.quality][None, :, None, None],
            "index": pad(index, 4, axes=(1, 2), mode="constant")[None],
            "values": pad(values, 4, axes=(1, 2), mode="constant")[None],
            "given": np.full(1, given, np.float32),
        }
        return [output[0] for output in self.runner("context", inputs)]
