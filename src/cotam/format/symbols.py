"""Code symbols with a range coder and stored integer tables.

Each symbol has the index of its table. The symbols of one call are coded table by table, with one call of
`constriction <https://bamler-lab.github.io/constriction>`_ per table in use. `cotam.format.rangecoder`
replaces constriction where it is not installed.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from cotam.errors import DamagedError

if TYPE_CHECKING:
    from constriction.stream.model import Categorical, Uniform
    from constriction.stream.queue import RangeDecoder, RangeEncoder
else:
    try:
        from constriction import stream
    except ModuleNotFoundError:
        from cotam.format.rangecoder import Categorical, RangeDecoder, RangeEncoder, Uniform
    else:  # these modules exist as attributes only
        Categorical, Uniform = stream.model.Categorical, stream.model.Uniform
        RangeDecoder, RangeEncoder = stream.queue.RangeDecoder, stream.queue.RangeEncoder

__all__ = ["SYMBOL_LIMIT", "TOTAL_BITS", "Categorical", "SymbolReader", "SymbolWriter", "Tables"]

TOTAL_BITS = 16
"""The frequencies of a table sum to 2**16."""

SYMBOL_LIMIT = 32_767
"""Largest absolute value of a symbol."""

_ESCAPED = Uniform(2 * SYMBOL_LIMIT + 1)
_UINT16 = Uniform(1 << 16)

_PIECE = 1 << 19


@dataclass(frozen=True)
class Tables:
    """Frequency tables of symbols, symmetric around zero."""

    # for each table the frequencies of 0, 1 … L and of the escape, int64; -1 … -L have those of 1 … L, and
    # f(0) + 2·(f(1) + … + f(L)) + f(escape) = 2**16. Table 0 has one entry: its symbols are zero and are
    # not coded.
    halves: tuple[np.ndarray, ...]

    def __post_init__(self) -> None:
        for number, half in enumerate(self.halves[1:], 1):
            if half.min() < 1 or half[0] + 2 * half[1:-1].sum() + half[-1] != 1 << TOTAL_BITS:
                raise ValueError(f"table {number} does not add up to 2**{TOTAL_BITS}")

    @classmethod
    def from_flat(cls, flat: np.ndarray, lengths: np.ndarray) -> Tables:
        """Split concatenated halves, given the length of each, into tables."""
        return cls(tuple(np.split(flat.astype(np.int64), np.cumsum(lengths)[:-1])))

    @cached_property
    def models(self) -> tuple[Categorical, ...]:
        """A model over -L … L and the escape for each table; that of table 0 is not used."""
        models = []
        for half in self.halves:
            both = np.concatenate([half[-2:0:-1], half]) if len(half) > 1 else np.ones(2)
            # Multiples of 2**-16: exact in float64, so the coder sees the stored integers.
            models.append(Categorical(both / float(1 << TOTAL_BITS), perfect=False))
        return tuple(models)

    @cached_property
    def _costs(self) -> np.ndarray:
        """Bits, float64 (tables, magnitudes), of each magnitude; escaped ones have that after the largest."""
        costs = np.zeros((len(self.halves), max(map(len, self.halves))))
        for row, half in zip(costs[1:], self.halves[1:], strict=True):
            row[: len(half)] = TOTAL_BITS - np.log2(half)
            row[len(half) - 1] += TOTAL_BITS
        return costs

    @cached_property
    def entropies(self) -> np.ndarray:
        """Entropy of each table, float64, in bits per symbol, escaped values included."""
        found = [0.0]
        for half, cost in zip(self.halves[1:], self._costs[1:], strict=True):
            often = np.where(np.arange(len(half)) % (len(half) - 1) == 0, half, 2 * half)
            found.append(float((often * cost[: len(half)]).sum()) / (1 << TOTAL_BITS))
        return np.array(found)

    def costs(self, symbols: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Return the bits, float32, of each integer symbol, given its table ``index``; all of one shape."""
        magnitudes = np.minimum(np.abs(symbols), self.largest[index] + 1)
        return self._costs[index, magnitudes].astype(np.float32)

    def bits(self, symbols: np.ndarray, index: np.ndarray) -> float:
        """Return the sum of `costs`."""
        return float(self.costs(symbols, index).sum(dtype=np.float64))

    @cached_property
    def largest(self) -> np.ndarray:
        """Largest absolute value that each table codes without the escape, int32."""
        return np.array([len(half) - 2 for half in self.halves], np.int32)


class _Order:
    """Coding order of symbols: by table, without table 0."""

    def __init__(self, index: np.ndarray) -> None:
        flat = np.ascontiguousarray(index, np.uint8).reshape(-1)
        pieces = []  # sorting pieces is faster, and takes less memory
        total = np.zeros(256, np.int64)
        for start in range(0, flat.size, _PIECE):
            piece = flat[start : start + _PIECE]
            coded = np.flatnonzero(piece != 0)
            tables = piece[coded]
            counts = np.bincount(tables, minlength=256)
            order = coded[np.argsort(tables, kind="stable")] + start
            pieces.append((order.astype(np.uint32), np.cumsum(counts)))
            total += counts
        used, ends = np.flatnonzero(total), np.cumsum(total)
        # each table in use, and the slice of ``where`` that has its symbols
        self.parts = [(int(n), slice(int(ends[n - 1]), int(ends[n]))) for n in used]
        found = [order[stops[n - 1] : stops[n]] for n in used for order, stops in pieces]
        # uint32, flat positions of the symbols in coding order
        self.where = np.concatenate([np.empty(0, np.uint32), *found])


class _Checked:
    """The checksum that writer and reader compute alike."""

    def __init__(self, checksum: int) -> None:
        self.checksum = checksum  # CRC-32, continued by `cover`

    def cover(self, symbols: np.ndarray) -> None:
        """Continue the checksum over integers, in row-major order, little-endian."""
        data = symbols.astype(symbols.dtype.newbyteorder("<"), copy=False).tobytes()
        self.checksum = zlib.crc32(data, self.checksum)


class SymbolWriter(_Checked):
    """Writes symbols to range-coded bytes; ``checksum`` is that of what comes before them."""

    def __init__(self, tables: Tables, checksum: int = 0) -> None:
        super().__init__(checksum)
        self.tables, self._coder = tables, RangeEncoder()

    def put(self, symbols: np.ndarray, index: np.ndarray) -> None:
        """Write integer ``symbols`` in ±32767 with the tables ``index``, uint8 of the same shape.

        Symbols with index 0 must be 0.
        """
        order = _Order(index)
        values = symbols.reshape(-1)[order.where].astype(np.int32)
        for number, part in order.parts:
            found, largest = values[part], int(self.tables.largest[number])
            escaped = np.abs(found) > largest
            self._coder.encode(
                np.where(escaped, 2 * largest + 1, found + largest), self.tables.models[number]
            )
            if escaped.any():
                self._coder.encode(found[escaped] + SYMBOL_LIMIT, _ESCAPED)

    def put_checkpoint(self) -> None:
        """Write the low 16 bits of the checksum so far."""
        self._coder.encode(self.checksum & 0xFFFF, _UINT16)

    def put_one(self, code: int, model: Categorical) -> None:
        """Write one value with the given model."""
        self._coder.encode(code, model)

    def finish(self) -> bytes:
        """Return the bytes: little-endian words, without the zero bytes at the end."""
        return self._coder.get_compressed().astype("<u4").tobytes().rstrip(b"\0")


class SymbolReader(_Checked):
    """Reads the symbols of a `SymbolWriter` by the same sequence of calls."""

    def __init__(self, tables: Tables, data: bytes, checksum: int = 0) -> None:
        super().__init__(checksum)
        self.tables = tables
        # Zeros that `finish` removed, and those that the decoder reads ahead.
        padded = data + bytes(8 + -len(data) % 4)
        self._coder = RangeDecoder(np.frombuffer(padded, "<u4").astype(np.uint32))

    def _decode(self, model: Categorical | Uniform, *count: int) -> Any:
        try:
            return self._coder.decode(model, *count)
        except AssertionError as error:  # what constriction raises on words that no encoder makes
            raise DamagedError("the payload is damaged: no encoder writes these bytes") from error

    def get(self, index: np.ndarray) -> np.ndarray:
        """Read symbols, int16, of the shape of ``index``."""
        order = _Order(index)
        values = np.empty(len(order.where), np.int32)
        for number, part in order.parts:
            last = self.tables.largest[number]
            found = self._decode(self.tables.models[number], part.stop - part.start) - last
            escaped = found == last + 1
            if escaped.any():
                found[escaped] = self._decode(_ESCAPED, int(np.count_nonzero(escaped))) - SYMBOL_LIMIT
            values[part] = found
        flat = np.zeros(index.size, np.int16)
        flat[order.where] = values
        return flat.reshape(index.shape)

    def compare_checkpoint(self) -> None:
        """Read what `SymbolWriter.put_checkpoint` wrote; raises as `compare_checksum`."""
        self.compare_checksum(self._decode(_UINT16), 0xFFFF)

    def compare_checksum(self, stored: int, mask: int = 0xFFFFFFFF) -> None:
        """Raise DamagedError if the checksum, or the part of it in ``mask``, is not the stored one."""
        if stored != self.checksum & mask:
            raise DamagedError("the file is damaged: the checksum of its symbols does not match")

    def get_one(self, model: Categorical) -> int:
        """Read one value with the given model."""
        return int(self._decode(model))
