"""Progressive JPEG files (ITU-T T.81) of quantised coefficients.

Each component has a scan of DC coefficients and up to three of AC coefficients, with Huffman tables of their
own. Unlike libjpeg's scans they code each coefficient at once: a refinement of DC coefficients would cost a
bit for each block of a plain background.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["ZIGZAG", "Component", "write"]

_DIAGONALS = [sorted(divmod(at, 8) for at in range(64) if sum(divmod(at, 8)) == total) for total in range(15)]
ZIGZAG = np.array(
    [8 * y + x for total, one in enumerate(_DIAGONALS) for y, x in one[:: 1 if total % 2 else -1]]
)
"""Row-major index of each coefficient in zigzag order, (64,)."""

_LONGEST_RUN = 32767
_LONGEST_CODE = 16
_SPLITS = (2, 9, 20)
"""Places in zigzag order where AC coefficients may be divided into scans."""

_MIN_DIVIDED = 1000
"""Smallest size in bytes of a scan that may be divided; what smaller ones save is less than a header."""


@dataclass(frozen=True)
class Component:
    """A colour component of an image."""

    levels: np.ndarray  # int16 (rows, columns, 64), quantised coefficients in zigzag order
    table: np.ndarray  # (64,), quantiser steps in zigzag order, 1 … 255
    sampling: int = 1  # 1, or 2 if both sides are twice those of components with 1


def write(components: Sequence[Component], width: int, height: int) -> bytes:
    """Write a JPEG file.

    Parameters
    ----------
    components : grey, or Y, Cb and Cr, the last two with one table; their blocks just cover the image
    width, height : of the image in pixels, 1 … 65535
    """
    parts = [b"\xff\xd8", _segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0")]
    for index, one in enumerate(components[:2]):
        parts.append(_segment(0xDB, bytes([index]) + one.table.astype(np.uint8).tobytes()))
    frame = b"\x08" + height.to_bytes(2, "big") + width.to_bytes(2, "big") + bytes([len(components)])
    for index, one in enumerate(components):
        frame += bytes([index + 1, 17 * one.sampling, min(index, 1)])
    parts.append(_segment(0xC2, frame))
    levels = [one.levels.reshape(-1, 64) for one in components]
    parts.append(_code_scans([_Scan.of_dc((0,), levels[:1])]))
    if len(components) > 1:
        parts.append(_code_scans([_Scan.of_dc((1, 2), levels[1:])]))
    ac = [_divide(_Scan.of_ac(one, 1, 63), one) for one in map(_Ac.of, range(len(levels)), levels)]
    parts += [_code_scans([scan]) for scan in ac[0]]
    chroma = [scan for scans in ac[1:] for scan in scans]
    shared = len(chroma) == 2 and _size(chroma) < sum(_size([scan]) for scan in chroma)
    parts += [_code_scans(group) for group in ([chroma] if shared else [[scan] for scan in chroma])]
    return b"".join([*parts, b"\xff\xd9"])


def _segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content


@dataclass(frozen=True)
class _Ac:
    """The AC coefficients of a component that are not zero, block by block."""

    component: int  # index
    length: int  # number of blocks, also of those without any
    blocks: np.ndarray  # int64 (n,)
    places: np.ndarray  # int64 (n,), in zigzag order
    sizes: np.ndarray  # uint8 (n,), size categories
    extra: np.ndarray  # uint32 (n,), the bits that tell a value of its size

    @classmethod
    def of(cls, component: int, levels: np.ndarray) -> _Ac:
        """Find them in levels, int16 (n, 64)."""
        found = np.flatnonzero(levels != 0)  # ten times as fast as for numbers
        found = found[found & 63 > 0]
        values = levels.reshape(-1)[found]
        return cls(component, len(levels), found >> 6, found & 63, *_sizes_and_bits(values))

    def within(self, first: int, last: int) -> _Ac:
        """Return those of some places."""
        there = (self.places >= first) & (self.places <= last)
        arrays = (self.blocks, self.places, self.sizes, self.extra)
        return _Ac(self.component, self.length, *(array[there] for array in arrays))


@dataclass(frozen=True)
class _Scan:
    """A scan as symbols, each followed by bits of its own."""

    components: tuple[int, ...]  # indices; blocks of several alternate
    first: int  # first and last coefficient, in zigzag order
    last: int
    symbols: np.ndarray  # uint8 (n,), to be coded by a Huffman table
    extra: np.ndarray  # uint32 (n,), the bits that follow a symbol
    counts: np.ndarray  # uint8 (n,), how many

    @classmethod
    def of_dc(cls, components: tuple[int, ...], levels: Sequence[np.ndarray]) -> _Scan:
        """Make the scan of the DC coefficients of levels, int16 (n, 64) of each component."""
        values = np.stack([one[:, 0] for one in levels], 1).astype(np.int32)
        sizes, extra = _sizes_and_bits(np.diff(values, axis=0, prepend=0).reshape(-1))
        return cls(components, 0, 0, sizes, extra, sizes)

    @classmethod
    def of_ac(cls, coefficients: _Ac, first: int, last: int) -> _Scan:
        """Make a scan of AC coefficients."""
        found = coefficients.within(first, last)
        blocks, places, total = found.blocks, found.places - first, found.length
        opens, closes = np.diff(blocks, prepend=-1) > 0, np.diff(blocks, append=total) > 0
        runs = places - np.where(opens, 0, np.roll(places, 1) + 1)
        where = np.cumsum(1 + (runs >> 4))  # after each coefficient and the runs of 16 zeros before it
        length = where[-1] if len(where) else 0
        coded = [np.full(length, 0xF0), *np.zeros((2, length), np.int64)]
        symbols = (runs & 15) << 4 | found.sizes
        for array, values in zip(coded, (symbols, found.extra, found.sizes), strict=True):
            array[where - 1] = values
        # Runs of blocks without more coefficients: one before all, and one after each block with any.
        ended = np.concatenate([[0], places[closes] < last - first])
        ends = np.diff(np.concatenate([[-1], blocks[closes], [total]])) - 1 + ended
        where = np.concatenate([[0], where[closes]])
        pieces = -(-ends // _LONGEST_RUN)
        before = np.arange(pieces.sum()) - (np.cumsum(pieces) - pieces).repeat(pieces)
        ends = np.minimum(ends.repeat(pieces) - before * _LONGEST_RUN, _LONGEST_RUN)
        powers = np.frexp(ends.astype(np.float32))[1].astype(np.int64) - 1
        run = powers << 4, ends - (1 << powers), powers
        symbols, extra, counts = (
            np.insert(array, where.repeat(pieces), values) for array, values in zip(coded, run, strict=True)
        )
        return cls((coefficients.component,), first, last, symbols.astype(np.uint8), extra, counts)

    @property
    def frequencies(self) -> np.ndarray:
        """How often each symbol occurs, int64 (256,)."""
        return np.bincount(self.symbols, minlength=256)

    def encode(self, lengths: np.ndarray, order: Sequence[int]) -> bytes:
        """Return its header and its bits; ``order`` has the symbols by length of code."""
        codes, code, length = np.zeros(256, np.uint64), 0, 0
        for symbol in order:
            code <<= int(lengths[symbol]) - length
            length = int(lengths[symbol])
            codes[symbol] = code
            code += 1
        head = [len(self.components), *(byte for one in self.components for byte in (one + 1, 0))]
        bits = self.counts.astype(np.uint64)
        whole = codes[self.symbols] << bits | self.extra.astype(np.uint64)
        data = _pack(whole, lengths[self.symbols].astype(np.uint64) + bits)
        return _segment(0xDA, bytes([*head, self.first, self.last, 0])) + data


def _code_scans(scans: Sequence[_Scan]) -> bytes:
    """Return the bytes of scans that share a Huffman table, and of the table."""
    lengths = _code_lengths(np.sum([scan.frequencies for scan in scans], axis=0))
    order = sorted(map(int, np.flatnonzero(lengths)), key=lambda symbol: (lengths[symbol], symbol))
    counts = np.bincount(lengths[order], minlength=_LONGEST_CODE + 1)[1:]
    table = bytes([0x10 if scans[0].first else 0, *map(int, counts), *order])
    return _segment(0xC4, table) + b"".join(scan.encode(lengths, order) for scan in scans)


def _size(scans: Sequence[_Scan]) -> float:
    """Return the bytes of `_code_scans`, without the stuffing of bytes of 255."""
    frequencies = np.sum([scan.frequencies for scan in scans], axis=0)
    bits = frequencies @ _code_lengths(frequencies) + sum(scan.counts.sum(dtype=np.int64) for scan in scans)
    return 21 + 10 * len(scans) + np.count_nonzero(frequencies) + float(bits) / 8


def _divide(scan: _Scan, coefficients: _Ac) -> list[_Scan]:
    """Return scans of the same AC coefficients with the fewest bytes."""
    best, least = [scan], _size([scan])
    if least < _MIN_DIVIDED:
        return best
    for split in _SPLITS:
        if scan.first <= split < scan.last:
            ranges = (scan.first, split), (split + 1, scan.last)
            parts = [_Scan.of_ac(coefficients, *one) for one in ranges]
            if (size := sum(_size([part]) for part in parts)) < least:
                best, least = parts, size
    return best if len(best) == 1 else [part for one in best for part in _divide(one, coefficients)]


def _sizes_and_bits(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the size category, uint8, and the bits, uint32, of each value."""
    values = values.astype(np.int32)
    sizes = np.frexp(np.abs(values).astype(np.float32))[1]
    return sizes.astype(np.uint8), np.where(values < 0, values + (1 << sizes) - 1, values).astype(np.uint32)


def _pack(codes: np.ndarray, lengths: np.ndarray) -> bytes:
    """Concatenate codes, uint64, of at most 32 bits each; pad with ones, and stuff bytes of 255."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    starts = ends - lengths
    words = np.zeros(total // 32 + 2, np.uint64)
    where = (starts >> np.uint64(5)).astype(np.int64)
    shifted = codes << (np.uint64(64) - lengths - (starts & np.uint64(31)))
    np.add.at(words, where, shifted >> np.uint64(32))
    np.add.at(words, where + 1, shifted & np.uint64(0xFFFFFFFF))
    data = bytearray(words.astype(">u4").tobytes()[: -(-total // 8)])
    if total % 8:
        data[-1] |= (1 << (8 - total % 8)) - 1
    return bytes(data).replace(b"\xff", b"\xff\x00")


def _code_lengths(frequencies: np.ndarray) -> np.ndarray:
    """Return the lengths, int64 (256,), of an optimal code; 0 for symbols that do not occur.

    The code of all ones is not used, as T.81 requires, and codes have at most 16 bits.
    """
    heap = [(int(frequencies[symbol]), int(symbol), [int(symbol)]) for symbol in np.flatnonzero(frequencies)]
    heap.append((0, 256, [256]))
    heapq.heapify(heap)
    lengths = np.zeros(257, np.int64)
    while len(heap) > 1:
        first, second = heapq.heappop(heap), heapq.heappop(heap)
        members = first[2] + second[2]
        lengths[members] += 1
        heapq.heappush(heap, (first[0] + second[0], max(first[1], second[1]), members))
    counts = _shorten(np.bincount(lengths, minlength=_LONGEST_CODE + 1))
    found = np.zeros(256, np.int64)
    order = sorted(np.flatnonzero(frequencies), key=lambda symbol: -int(frequencies[symbol]))
    found[order] = np.arange(len(counts)).repeat(counts)[: len(order)]
    return found


def _shorten(counts: np.ndarray) -> np.ndarray:
    """Change how many codes have each length so that none is longer than 16 bits (T.81, figure K.3)."""
    counts = counts.copy()
    counts[0] = 0
    for length in range(len(counts) - 1, _LONGEST_CODE, -1):
        while counts[length]:
            shorter = length - 2
            while not counts[shorter]:
                shorter -= 1
            counts[length] -= 2
            counts[length - 1] += 1
            counts[shorter + 1] += 2
            counts[shorter] -= 1
    return counts[: _LONGEST_CODE + 1]
