"""The learned codec for still images.

::

    encode  pixels → latents → hyper latents → symbols → payload
    decode  payload → symbols (checked) → latents → pixels

To bound memory, large images pass through the graphs in tiles and through the range coder in bands.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from cotam.codec.allocation import Allocator
from cotam.codec.payload import PayloadCoder, compare_checksums
from cotam.codec.planes import SCALES_HALO, Grid, Latents, Symbols
from cotam.codec.rate import largest_within, level_costs
from cotam.codec.tiling import Span, largest_tile, pad, paste, spans, tiles, whole_cells
from cotam.codec.views import VIEWS, View
from cotam.errors import DamagedError, FormatError, InputError
from cotam.format.header import HEADER_BYTES, MAX_QUALITY, File, Header, Kind
from cotam.format.level_map import LIMIT, check_levels
from cotam.format.metadata import write_boxes
from cotam.format.symbols import SymbolReader, SymbolWriter

__all__ = ["Codec", "Quantised"]

_HYPER_HALO, _CONTEXT_HALO, _SYNTHESIS_HALO = 2, 2, 1
"""Halos, in cells, that cover the receptive fields of these graphs."""

_ANALYSIS_HALO = 3
"""Halo of the analysis, in latents."""


@dataclass(frozen=True)
class Quantised:
    """Quantised latents.

    Attributes
    ----------
    symbols : see `Symbols`
    index : uint8 (M, h, w), the table of each latent
    values : float32 (M, h, w), latents as dequantised by a decoder; None unless requested
    """

    symbols: Symbols
    index: np.ndarray
    values: np.ndarray | None


class Codec(PayloadCoder):
    """Encodes and decodes still images with one weight set. Safe to use from several threads."""

    # Encoding

    def encode(
        self,
        pixels: np.ndarray,
        quality: int = 50,
        *,
        allocator: Allocator | None = None,
        metadata: Mapping[str, bytes] | None = None,
    ) -> File:
        """Encode an image.

        Raises InputError if quality or offsets are out of range.

        Parameters
        ----------
        pixels : uint8 (H, W, 3), sRGB
        quality : 0 … 100, from about 0.05 to 1.6 bits per pixel on photographs
        allocator : chooses the gain offset map; without one all offsets are zero
        metadata : "exif", "icc", "xmp" → bytes
        """
        if not 0 <= quality <= MAX_QUALITY:
            raise InputError(f"quality must be 0 to {MAX_QUALITY}, got {quality}")
        symbols, index = self.quantise(pixels, quality, allocator)
        return self.write(symbols, index, Grid(*pixels.shape[:2]), metadata or {})

    def encode_within(
        self,
        pixels: np.ndarray,
        target_size: int,
        *,
        allocator: Allocator | None = None,
        metadata: Mapping[str, bytes] | None = None,
    ) -> File:
        """Encode an image at the highest quality whose file has at most ``target_size`` bytes.

        Parameters as for `encode`. Raises TargetSizeError if the file of quality 0 is larger, and InputError
        if offsets are out of range.
        """
        grid = Grid(*pixels.shape[:2])
        latents = self.analyse(pixels, grid)
        hyper = self.analyse_latents(latents, grid)
        fixed = HEADER_BYTES // 3 + len(write_boxes(metadata or {}))

        def encode_at(quality: int) -> File:
            quantised = self.quantise_latents(latents, hyper, quality, allocator, grid)
            return self.write(quantised.symbols, quantised.index, grid, metadata or {})

        def estimate_at(quality: int) -> float:
            return fixed + self.estimate_bits(hyper, quality, grid) / 8

        return largest_within(encode_at, estimate_at, target_size)

    def quantise(
        self, pixels: np.ndarray, quality: int, allocator: Allocator | None = None
    ) -> tuple[Symbols, np.ndarray]:
        """Return the symbols of an image and the table index, uint8 (M, h, w), of its latents."""
        grid = Grid(*pixels.shape[:2])
        latents = self.analyse(pixels, grid)
        hyper = self.analyse_latents(latents, grid)
        quantised = self.quantise_latents(latents, hyper, quality, allocator, grid)
        return quantised.symbols, quantised.index

    def analyse(self, pixels: np.ndarray, grid: Grid) -> np.ndarray:
        """Compute the latents, float32 (M, h, w), of an image."""
        latents = np.empty((self.weights.gains.shape[1], *grid.latents), np.float32)
        for row, column in tiles(*grid.latents, _ANALYSIS_HALO, 16):
            tile = pad(pixels[row.outer(16), column.outer(16)], 16, axes=(0, 1))
            (outer,) = self.runner("analysis", {"pixels": tile[None]})
            latents[:, row.core(1), column.core(1)] = outer[0, :, row.inner(1), column.inner(1)]
        return latents

    def analyse_latents(self, latents: np.ndarray, grid: Grid) -> np.ndarray:
        """Compute the hyper latents, float32 (Z, h/4, w/4), not rounded."""
        hyper = np.empty((self.weights.z_index.shape[1], *grid.cells), np.float32)
        for row, column in tiles(*grid.cells, _HYPER_HALO):
            tile = pad(latents[:, row.outer(4), column.outer(4)], 4, axes=(1, 2))
            (outer,) = self.runner("hyper_analysis", {"latents": tile[None]})
            hyper[:, row.core(1), column.core(1)] = outer[0, :, row.inner(1), column.inner(1)]
        return hyper

    def quantise_latents(
        self,
        latents: np.ndarray,
        hyper: np.ndarray,
        quality: int,
        allocator: Allocator | None,
        grid: Grid,
        *,
        skip_mask: np.ndarray | None = None,
        keep_values: bool = False,
    ) -> Quantised:
        """Quantise hyper latents, then the residuals of latents against the means that a decoder predicts.

        Raises InputError if offsets are out of range.

        Parameters
        ----------
        skip_mask : see `Symbols`
        keep_values : also return the dequantised latents, 4 bytes per pixel
        """
        symbols = Symbols(
            quality, None, self._round_hyper(hyper, quality), np.empty(latents.shape, np.int16), skip_mask
        )
        if skip_mask is not None:
            symbols.z[:, skip_mask] = 0
        if allocator is not None:
            offsets = allocator.offsets(lambda: self.level_costs(symbols, grid))
            symbols = replace(symbols, levels=check_levels(offsets, grid.levels))
        index = np.empty(latents.shape, np.uint8)
        for row, column in tiles(*grid.cells, SCALES_HALO):
            index[:, row.core(4), column.core(4)] = self.table_index(symbols, row, column, grid)
        values = np.empty_like(latents) if keep_values else None
        for row, column in tiles(*grid.cells, _CONTEXT_HALO):
            outer = (slice(None), row.outer(4), column.outer(4))
            inputs = self._context_inputs(symbols, row, column, grid) | {
                "index": whole_cells(index[outer])[None],
                "values": whole_cells(latents[outer])[None],
                "given": np.zeros(1, np.float32),
            }
            tile, decoded = self.runner("context", inputs)
            paste(symbols.y, tile[0], row, column)
            if values is not None:
                paste(values, decoded[0], row, column)
        return Quantised(symbols, index, values)

    def level_costs(self, symbols: Symbols, grid: Grid) -> np.ndarray:
        """Estimate the cost of gain offsets, see `cotam.codec.allocation.Costs`.

        Of ``symbols`` only quality, hyper latents and skip mask are used.
        """
        symbols = replace(symbols, levels=np.full(grid.levels, LIMIT, np.int8))
        costs = np.empty((2 * LIMIT + 1, *grid.levels), np.float32)
        for row, column in tiles(*grid.cells, SCALES_HALO):
            tile = level_costs(self.weights.tables, self.table_index(symbols, row, column, grid))
            costs[:, row.core(2), column.core(2)] = tile
        return costs

    def estimate_bits(self, hyper: np.ndarray, quality: int, grid: Grid) -> float:
        """Estimate the bits of a payload from hyper latents that are not rounded, with gain offsets zero."""
        tables = self.weights.tables
        symbols = Symbols(quality, None, self._round_hyper(hyper, quality), np.empty(0, np.int16))
        bits = tables.bits(*self.hyper.residuals(symbols.z, quality, None))
        for row, column in tiles(*grid.cells, SCALES_HALO):
            index = self.table_index(symbols, row, column, grid)
            used = np.bincount(index.reshape(-1), minlength=len(tables.halves))
            bits += float(used @ tables.entropies)
        return bits

    def _round_hyper(self, hyper: np.ndarray, quality: int) -> np.ndarray:
        """Return the symbols of hyper latents, int16 in ±127."""
        step = self.weights.z_multipliers[quality][:, None, None] / 4096
        return np.rint(np.clip(hyper / step, -127, 127)).astype(np.int16)

    def write(self, symbols: Symbols, index: np.ndarray, grid: Grid, metadata: Mapping[str, bytes]) -> File:
        """Write the file of some symbols; ``index``, uint8 (M, h, w), is the table of each latent."""
        header = Header(
            width=grid.width,
            height=grid.height,
            quality=symbols.quality,
            weights=self.weights.short_hash,
            has_levels=symbols.levels is not None,
        )
        writer = SymbolWriter(self.weights.tables)
        check = zlib.crc32(self.weights.digest + header.fields())
        check = self.put_symbols(writer, symbols, index, grid, check)
        return File(replace(header, checksum=check), writer.finish(), metadata)

    # Decoding

    def decode(self, file: File, *, view: View = "mllm") -> np.ndarray:
        """Decode a file to pixels, uint8 (H, W, 3).

        Raises as `decode_symbols`.
        """
        symbols, grid = self.decode_symbols(file)
        pixels = np.empty((grid.height, grid.width, 3), np.uint8)
        for row, values in self._rows_of_latents(symbols, grid):
            for column in spans(grid.cells[1], _SYNTHESIS_HALO, largest_tile(*grid.cells)):
                near = values[:, :, column.outer(4)]
                self._synthesise_tile(pixels, near, symbols, row, column, grid, view)
        return pixels

    def decode_latents(self, file: File) -> Latents:
        """Decode a file to dequantised latents, 4 bytes per pixel.

        Raises as `decode_symbols`.
        """
        return self.dequantise(*self.decode_symbols(file))

    def decode_with_latents(self, file: File, *, view: View = "mllm") -> tuple[np.ndarray, Latents]:
        """Return the results of `decode` and `decode_latents`, in the time of `decode`."""
        symbols, grid = self.decode_symbols(file)
        latents = self.dequantise(symbols, grid)
        return self.synthesise(latents.values, symbols, grid, view), latents

    def decode_symbols(self, file: File) -> tuple[Symbols, Grid]:
        """Decode a file to its symbols, and verify their checksum.

        Raises FormatError if the file has no learned payload, and DamagedError if the file is damaged, or was
        not made with these weights.
        """
        header, grid = file.header, Grid(file.height, file.width)
        reader, check = self._open_payload(file)
        symbols, check = self.get_symbols(reader, header.quality, header.has_levels, grid, check)
        compare_checksums(header.checksum, check)
        return symbols, grid

    def read_levels(self, file: File) -> np.ndarray:
        """Decode the gain offset map, int8 (⌈H/32⌉, ⌈W/32⌉), of a file.

        Latents are not decoded, so the checksum is not compared. Raises as `decode_symbols`.
        """
        header, grid = file.header, Grid(file.height, file.width)
        reader, check = self._open_payload(file)
        symbols, _ = self.get_before_latents(reader, header.quality, header.has_levels, grid, check)
        return np.zeros(grid.levels, np.int8) if symbols.levels is None else symbols.levels

    def _open_payload(self, file: File) -> tuple[SymbolReader, int]:
        """Check that a file is for these weights; return a reader of its payload and the CRC-32 so far."""
        header, weights = file.header, self.weights
        if header.kind is not Kind.LEARNED:
            raise FormatError(f"a file of kind {header.kind.name.lower()} has no learned payload")
        if header.weights != weights.short_hash:
            raise DamagedError(
                f"the file was made with weights {header.weights.hex()}, "
                f"these are {weights.short_hash.hex()} ({weights.name})"
            )
        return SymbolReader(weights.tables, file.payload), zlib.crc32(weights.digest + header.fields())

    def dequantise(self, symbols: Symbols, grid: Grid) -> Latents:
        """Compute the latents of an image from its symbols."""
        values = np.empty(symbols.y.shape, np.float32)
        for row, column in tiles(*grid.cells, _CONTEXT_HALO):
            paste(values, self._dequantise_tile(symbols, row, column, grid), row, column)
        return Latents(values, float(self.weights.nominal[symbols.quality]), symbols.levels)

    def _rows_of_latents(self, symbols: Symbols, grid: Grid) -> Iterator[tuple[Span, np.ndarray]]:
        """Yield rows of tiles for the synthesis, each with the latents, (M, h, W), of its outer part.

        Latents that a row shares with the previous one are not computed again.
        """
        (rows, columns), largest = grid.cells, largest_tile(*grid.cells)
        values, known = np.empty((len(symbols.y), 0, grid.latents[1]), np.float32), Span(0, 0, 0, 0)
        for row in spans(rows, _SYNTHESIS_HALO, largest):
            shared = values[:, row.outer_start * 4 - known.outer_start * 4 :]
            height = min(row.outer_stop * 4, grid.latents[0]) - row.outer_start * 4
            values = np.empty((len(values), height, grid.latents[1]), np.float32)
            values[:, : shared.shape[1]] = shared
            start, known = known.outer_stop, row
            fresh = Span(start, row.outer_stop, start, start).with_halo(_CONTEXT_HALO, rows)
            for column in spans(columns, _CONTEXT_HALO, largest):
                tile = self._dequantise_tile(symbols, fresh, column, grid)
                target = values[:, shared.shape[1] :, column.core(4)]
                target[:] = tile[:, fresh.inner(4), column.inner(4)][:, : target.shape[1], : target.shape[2]]
            yield row, values

    def synthesise(self, values: np.ndarray, symbols: Symbols, grid: Grid, view: View) -> np.ndarray:
        """Compute pixels, uint8 (H, W, 3), from latents; of ``symbols`` only quality and levels are used."""
        pixels = np.empty((grid.height, grid.width, 3), np.uint8)
        for row, column in tiles(*grid.cells, _SYNTHESIS_HALO):
            near = values[:, row.outer(4), column.outer(4)]
            self._synthesise_tile(pixels, near, symbols, row, column, grid, view)
        return pixels

    def _synthesise_tile(
        self,
        pixels: np.ndarray,
        latents: np.ndarray,
        symbols: Symbols,
        row: Span,
        column: Span,
        grid: Grid,
        view: View,
    ) -> None:
        """Compute the core of a tile of ``pixels`` from the latents, (M, h, w), of its outer part."""
        inputs = {
            "latents": np.ascontiguousarray(latents[None]),
            "levels": self._padded_levels(symbols, row, column, grid),
            "nominal": self._nominal(symbols.quality),
            "adapted": self.weights.views[VIEWS.index(view)].reshape(1),
        }
        (outer,) = self.runner("synthesis", inputs)
        target = pixels[row.core(64), column.core(64)]
        target[:] = outer[0, row.inner(64), column.inner(64)][: target.shape[0], : target.shape[1]]

    def _dequantise_tile(self, symbols: Symbols, row: Span, column: Span, grid: Grid) -> np.ndarray:
        """Return the latents, float32 (M, h, w), of the outer part of a tile, in whole cells."""
        tile = whole_cells(symbols.y[:, row.outer(4), column.outer(4)].astype(np.float32))[None]
        inputs = self._context_inputs(symbols, row, column, grid) | {
            "index": np.zeros(tile.shape, np.uint8),
            "values": tile,
            "given": np.ones(1, np.float32),
        }
        values: np.ndarray = self.runner("context", inputs)[1][0]
        return values

    def _context_inputs(self, symbols: Symbols, row: Span, column: Span, grid: Grid) -> dict[str, np.ndarray]:
        return {
            "z": self._dequantised_z(symbols, row, column),
            "levels": self._padded_levels(symbols, row, column, grid),
            "nominal": self._nominal(symbols.quality),
            "gain": self.weights.gains[symbols.quality][None, :, None, None],
        }

    def _nominal(self, quality: int) -> np.ndarray:
        return self.weights.nominal[quality].reshape(1, 1, 1, 1)
