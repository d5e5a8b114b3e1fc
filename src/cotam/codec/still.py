"""The codec: pixels → bytes → pixels.

Knows the order of the stages and the layout of the payload; each stage is a graph (``runtime``), the
range coder (``entropy``) or the file around it (``bitstream``). Knows nothing of picture files or guides.

::

    encode  pixels → latents → hyper latents → symbols → payload → file
    decode  file → symbols (checked) → latents → pixels

Large pictures pass through the graphs in tiles and through the range coder in bands, in bounded memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from cotam.codec.payload import PayloadCoder, compare
from cotam.codec.planes import SCALES_HALO, Grid, Latents, Symbols
from cotam.codec.rate import largest_within, level_costs
from cotam.codec.tiling import Span, largest_tile, pad, spans, tiles
from cotam.codec.weights import VIEWS, View
from cotam.errors import DamagedError, FormatError, InputError
from cotam.format.header import File, Header, Kind
from cotam.format.level_map import LIMIT, checked_levels
from cotam.format.symbols import SymbolReader, SymbolWriter

__all__ = ["Codec", "Levels"]

_HYPER_HALO, _CONTEXT_HALO, _SYNTHESIS_HALO = 2, 2, 1
"""Cells that the other graphs see around what they keep: their receptive fields, rounded up."""

_ANALYSIS_HALO = 3
"""The same of the analysis, which reads pixels: in latents."""

Levels = np.ndarray | Callable[[np.ndarray], np.ndarray]
"""Integers (⌈H/32⌉, ⌈W/32⌉) in ±7, quarter octaves of gain; or a function that makes them from what they
cost: bits float32 (15, ⌈H/32⌉, ⌈W/32⌉) of each level -7 … 7 at each place, at the quality that is coded."""


class Codec(PayloadCoder):
    """One weight set with something that runs its graphs. Safe to use from several threads."""

    # -- encoder

    def encode(
        self,
        pixels: np.ndarray,
        quality: int = 50,
        *,
        levels: Levels | None = None,
        target_size: int | None = None,
        metadata: Mapping[str, bytes] | None = None,
    ) -> File:
        """Encode pixels to a file.

        Parameters
        ----------
        pixels : uint8 (H, W, 3), sRGB
        quality : 0 … 100, from about 0.05 to 1.6 bits per pixel on photographs
        levels : finer or coarser from place to place, see `Levels`; a function is called once for each
            quality that is tried
        target_size : bytes; the highest quality that fits is taken and ``quality`` is not used
        metadata : any of ``exif``, ``icc``, ``xmp`` → bytes

        Raises
        ------
        TargetSizeError
            if the lowest quality is larger than ``target_size``
        InputError
            if quality or levels are out of range
        """
        grid = Grid(*pixels.shape[:2])
        if not 0 <= quality <= 100:
            raise InputError(f"quality is 0 to 100, not {quality}")
        if not callable(levels):
            levels = checked_levels(levels, grid.levels)  # before the work
        latents = self.analyse(pixels, grid)
        hyper = self.analyse_latents(latents, grid)

        def at(quality: int) -> File:
            symbols, index = self.quantise_latents(latents, hyper, quality, levels, grid)
            return self._write(symbols, index, grid, metadata or {})

        if target_size is not None:
            return largest_within(at, target_size)
        return at(quality)

    def quantise(
        self, pixels: np.ndarray, quality: int, levels: Levels | None = None
    ) -> tuple[Symbols, np.ndarray]:
        """The symbols of a picture and the table index uint8 (M, h, w) of each latent, not coded."""
        grid = Grid(*pixels.shape[:2])
        latents = self.analyse(pixels, grid)
        hyper = self.analyse_latents(latents, grid)
        return self.quantise_latents(latents, hyper, quality, levels, grid)

    def analyse(self, pixels: np.ndarray, grid: Grid) -> np.ndarray:
        """Latents float32 (M, h, w) of the picture."""
        latents = np.empty((self.weights.gains.shape[1], *grid.latents), np.float32)
        for row, column in tiles(*grid.latents, _ANALYSIS_HALO, 16):
            tile = pad(pixels[row.outer(16), column.outer(16)], 16, axes=(0, 1))
            (found,) = self.runner("analysis", {"pixels": tile[None]})
            latents[:, row.core(1), column.core(1)] = found[0, :, row.inner(1), column.inner(1)]
        return latents

    def analyse_latents(self, latents: np.ndarray, grid: Grid) -> np.ndarray:
        """Hyper latents float32 (Z, h/4, w/4), not yet rounded."""
        hyper = np.empty((self.weights.z_index.shape[1], *grid.cells), np.float32)
        for row, column in tiles(*grid.cells, _HYPER_HALO):
            tile = pad(latents[:, row.outer(4), column.outer(4)], 4, axes=(1, 2))
            (found,) = self.runner("hyper_analysis", {"latents": tile[None]})
            hyper[:, row.core(1), column.core(1)] = found[0, :, row.inner(1), column.inner(1)]
        return hyper

    def quantise_latents(
        self,
        latents: np.ndarray,
        hyper: np.ndarray,
        quality: int,
        levels: Levels | None,
        grid: Grid,
        *,
        live: np.ndarray | None = None,
        kept: np.ndarray | None = None,
    ) -> tuple[Symbols, np.ndarray]:
        """Round hyper latents, then latents against the means that the decoder will have.

        Returns the symbols and the table index uint8 (M, h, w) of each latent. ``live`` is as in `Symbols`;
        what a decoder will have for latents is written into ``kept``, where given.
        """
        step = self.weights.z_multipliers[quality][:, None, None] / 4096
        z = np.rint(np.clip(hyper / step, -127, 127)).astype(np.int16)
        if live is not None:
            z *= live
        symbols = Symbols(quality, None, z, np.empty(latents.shape, np.int16), live)
        if callable(levels):
            levels = levels(self.level_costs(symbols, grid))
        symbols = replace(symbols, levels=checked_levels(levels, grid.levels))
        index = np.empty(latents.shape, np.uint8)
        for row, column in tiles(*grid.cells, SCALES_HALO):
            index[:, row.core(4), column.core(4)] = self._index(symbols, row, column, grid)
        for row, column in tiles(*grid.cells, _CONTEXT_HALO):
            outer = (slice(None), row.outer(4), column.outer(4))
            inputs = self._context_inputs(symbols, row, column, grid)
            inputs |= {
                "index": np.ascontiguousarray(index[outer])[None],
                "symbols": np.zeros((1, *latents[outer].shape), np.int16),
                "latents": np.ascontiguousarray(latents[outer])[None],
                "given": np.zeros(1, np.float32),
            }
            found, decoded = self.runner("context", inputs)
            _keep(symbols.y, found, row, column)
            if kept is not None:
                _keep(kept, decoded, row, column)
        return symbols, index

    def level_costs(self, symbols: Symbols, grid: Grid) -> np.ndarray:
        """What levels cost, see `Levels`; ``symbols`` needs no latents, and its levels are not used."""
        symbols = replace(symbols, levels=np.full(grid.levels, LIMIT, np.int8))
        costs = np.empty((2 * LIMIT + 1, *grid.levels), np.float32)
        for row, column in tiles(*grid.cells, SCALES_HALO):
            found = level_costs(self.weights.tables, self._index(symbols, row, column, grid))
            costs[:, row.core(2), column.core(2)] = found
        return costs

    def _write(self, symbols: Symbols, index: np.ndarray, grid: Grid, metadata: Mapping[str, bytes]) -> File:
        header = Header(
            width=grid.width,
            height=grid.height,
            quality=symbols.quality,
            weights=self.weights.short_hash,
            has_levels=symbols.levels is not None,
            checksum=0,
        )
        writer = SymbolWriter(self.weights.tables)
        check = zlib.crc32(self.weights.digest + header.fields())
        check = self.put_symbols(writer, symbols, index, grid, check)
        return File(replace(header, checksum=check), writer.finish(), metadata)

    # -- decoder

    def decode(self, file: File, *, view: View = "mllm") -> np.ndarray:
        """The bytes of a file → pixels uint8 (H, W, 3), for people or for vision encoders.

        Raises
        ------
        FormatError, DamagedError
            see `decode_symbols`
        """
        symbols, grid = self.decode_symbols(file)
        return self._synthesise(symbols, grid, view)

    def decode_latents(self, file: File) -> Latents:
        """The bytes of a file → dequantised latents, without synthesis. They take 4 bytes a pixel.

        Raises
        ------
        FormatError, DamagedError
            see `decode_symbols`
        """
        return self.dequantise(*self.decode_symbols(file))

    def dequantise(self, symbols: Symbols, grid: Grid) -> Latents:
        """Latents of all integers of a picture."""
        values = np.empty(symbols.y.shape, np.float32)
        for row, column in tiles(*grid.cells, _CONTEXT_HALO):
            _keep(values, self._dequantise(symbols, row, column, grid), row, column)
        return Latents(values, float(self.weights.nominal[symbols.quality]), symbols.levels)

    def decode_with_latents(self, file: File, *, view: View = "mllm") -> tuple[np.ndarray, Latents]:
        """What `decode` and `decode_latents` return, in the time of the first."""
        symbols, grid = self.decode_symbols(file)
        found = self.dequantise(symbols, grid)
        return self.synthesise(found.values, symbols, grid, view), found

    def decode_symbols(self, file: File) -> tuple[Symbols, Grid]:
        """All integers of a file, checked, and the sizes of its planes.

        Raises
        ------
        FormatError
            If the file has no learned payload.
        DamagedError
            If it is damaged, or was not made with these weights.
        """
        header, grid, reader, symbols, check = self._read_before_latents(file)
        compare(header.checksum, self.get_latents(reader, symbols, grid, check))
        return symbols, grid

    def _read_before_latents(self, file: File) -> tuple[Header, Grid, SymbolReader, Symbols, int]:
        """Header, sizes, the reader at the latents, symbols with room for these, and the checksum so far."""
        header = file.header
        if header.kind is not Kind.LEARNED:
            raise FormatError(f"a file of kind {header.kind.name.lower()} has no learned payload")
        if header.weights != self.weights.short_hash:
            raise DamagedError(
                f"the file was made with weights {header.weights.hex()}, "
                f"these are {self.weights.short_hash.hex()} ({self.weights.name})"
            )
        grid = Grid(header.height, header.width)
        reader = SymbolReader(self.weights.tables, file.payload)
        check = zlib.crc32(self.weights.digest + header.fields())
        symbols, check = self.get_before_latents(reader, header.quality, header.has_levels, grid, check)
        return header, grid, reader, symbols, check

    def read_levels(self, file: File) -> np.ndarray:
        """Level map int8 (⌈H/32⌉, ⌈W/32⌉) of a file; its latents are not decoded, and so not checked.

        Raises
        ------
        FormatError, DamagedError
            see `decode_symbols`
        """
        _, grid, _, symbols, _ = self._read_before_latents(file)
        return np.zeros(grid.levels, np.int8) if symbols.levels is None else symbols.levels

    def _synthesise(self, symbols: Symbols, grid: Grid, view: View) -> np.ndarray:
        """Pixels uint8 (H, W, 3), with no more latents at a time than a row of tiles has."""
        pixels = np.empty((grid.height, grid.width, 3), np.uint8)
        for row, values in self._rows_of_latents(symbols, grid):
            for column in spans(grid.cells[1], _SYNTHESIS_HALO, largest_tile(*grid.cells)):
                near = np.ascontiguousarray(values[None, :, :, column.outer(4)])
                self._draw(pixels, near, symbols, row, column, grid, view)
        return pixels

    def _rows_of_latents(self, symbols: Symbols, grid: Grid) -> Iterator[tuple[Span, np.ndarray]]:
        """Rows of tiles for the synthesis, each with the latents (M, h, W) of its outer part.

        What a row shares with the one before is not computed again.
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
                found = self._dequantise(symbols, fresh, column, grid)
                values[:, shared.shape[1] :, column.core(4)] = found[0, :, fresh.inner(4), column.inner(4)]
            yield row, values

    def synthesise(self, values: np.ndarray, symbols: Symbols, grid: Grid, view: View) -> np.ndarray:
        """Pixels uint8 (H, W, 3) of latents; of ``symbols`` only quality and levels are used."""
        pixels = np.empty((grid.height, grid.width, 3), np.uint8)
        for row, column in tiles(*grid.cells, _SYNTHESIS_HALO):
            near = np.ascontiguousarray(values[None, :, row.outer(4), column.outer(4)])
            self._draw(pixels, near, symbols, row, column, grid, view)
        return pixels

    def _draw(
        self,
        pixels: np.ndarray,
        latents: np.ndarray,
        symbols: Symbols,
        row: Span,
        column: Span,
        grid: Grid,
        view: View,
    ) -> None:
        """Write the core of a tile, of which ``latents`` are the outer part, into the picture."""
        inputs = {
            "latents": latents,
            "levels": self._padded_levels(symbols, row, column, grid),
            "nominal": self._nominal(symbols.quality),
            "adapted": self.weights.views[VIEWS.index(view)].reshape(1),
        }
        (found,) = self.runner("synthesis", inputs)
        core = found[0, row.inner(64), column.inner(64)]
        target = pixels[row.core(64), column.core(64)]
        target[:] = core[: target.shape[0], : target.shape[1]]

    def _dequantise(self, symbols: Symbols, row: Span, column: Span, grid: Grid) -> np.ndarray:
        """Latents float32 (1, M, h, w) of the outer part of a tile."""
        tile = symbols.y[None, :, row.outer(4), column.outer(4)]
        inputs = self._context_inputs(symbols, row, column, grid)
        inputs |= {
            "index": np.zeros(tile.shape, np.uint8),
            "symbols": np.ascontiguousarray(tile),
            "latents": np.zeros(tile.shape, np.float32),
            "given": np.ones(1, np.float32),
        }
        return self.runner("context", inputs)[1]

    def _context_inputs(self, symbols: Symbols, row: Span, column: Span, grid: Grid) -> dict[str, np.ndarray]:
        return {
            "z": self._dequantised_z(symbols, row, column),
            "levels": self._padded_levels(symbols, row, column, grid),
            "nominal": self._nominal(symbols.quality),
            "gain": self.weights.gains[symbols.quality][None, :, None, None],
        }

    def _nominal(self, quality: int) -> np.ndarray:
        return self.weights.nominal[quality].reshape(1, 1, 1, 1)


def _keep(latents: np.ndarray, found: np.ndarray, row: Span, column: Span) -> None:
    """Write the core of a tile's latents, or symbols, (1, M, h, w) into those of the picture."""
    latents[:, row.core(4), column.core(4)] = found[0, :, row.inner(4), column.inner(4)]
