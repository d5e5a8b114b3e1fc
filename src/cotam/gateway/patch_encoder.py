"""Encode the images of a conversation, as patches onto earlier ones where that is smaller."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

import cotam
from cotam.codec.changed_areas import Area, cell_hashes, cost, shared_share
from cotam.codec.scrolling import find_changes
from cotam.format.changes import Changes, Copy
from cotam.format.header import read_header
from cotam.gateway.cache import OVERHEAD, Cache
from cotam.gateway.media import check_size, is_cotam
from cotam.gateway.patch_format import MAX_CHAIN, Patch, base_of, depth_of, is_patch, write_patch
from cotam.gateway.request_options import RequestOptions
from cotam.gateway.store import Store, digest_of
from cotam.image.fit import shrink_to_fit, shrunk_size
from cotam.image.read import Pixels, outline, to_rgb
from cotam.options import Options
from cotam.pasted import covers_most, encode_areas

__all__ = ["Patcher", "Source"]

_OWNER = "edge"

MIN_SHARED = 1 / 3
"""Smallest share of cells that a base must have in common with the new image, unless it is the latest."""

MAX_CANDIDATES = 64
"""Number of earlier images with which a new one is compared. The hashes of so many screenshots are cached:
with more, all of a long session would be decoded anew for each new image."""

SURE_RATIO = 0.5
"""A patch is taken without encoding the whole image if it has at most this share of the bytes that the still
at the start of its chain takes for as many pixels. Otherwise both are made, and the smaller is taken."""


@dataclass(frozen=True)
class Source:
    """An image of a request: the file from the client, its encoding, and the file to send."""

    data: bytes
    options: RequestOptions
    file: bytes


class Patcher:
    """Encodes images, each once, and keeps the bases of patches. Safe to share by threads.

    Encoded images are cached by their source and by their SHA-256, ``cache`` bytes each.
    """

    def __init__(self, cache: int = 64_000_000) -> None:
        self._coded: Cache[bytes] = Cache(cache)
        self._hashes: Cache[np.ndarray] = Cache(cache // 2, size=lambda hashes: hashes.nbytes + OVERHEAD)
        self.files = Store(cache, age=math.inf)

    def base(self, digest: bytes) -> bytes | None:
        """Return a file that was made here, by its SHA-256; None if it is no longer kept."""
        return self.files.get(_OWNER, digest)

    def __call__(self, data: bytes, options: RequestOptions, earlier: Sequence[Source]) -> tuple[bytes, bool]:
        """Encode an image as the client sent it; ``earlier`` are those before it in the same request.

        Returns its file, a still or a patch whose bases are all kept here, and whether it was made before.
        """
        key = digest_of(data), options
        file, cached = self._coded.get(key, lambda: self._make(data, options, earlier))
        if None in self._chain(file):
            file, cached = self._coded.get((*key, "whole"), lambda: _encode(_pixels(data, options), options))
        self.files.put(_OWNER, file)
        return file, cached

    def _chain(self, file: bytes | None) -> Iterator[bytes | None]:
        """Yield the bases below a file; None for one that is no longer kept."""
        while file is not None and is_patch(file):
            file = self.base(base_of(file))
            yield file

    def _make(self, data: bytes, options: RequestOptions, earlier: Sequence[Source]) -> bytes:
        pixels = _pixels(data, options)
        bases = [] if options.target_size else self._bases_for(data, options, pixels, earlier)
        found = [(base, *find_changes(pixels, _pixels(base.data, base.options))) for base in bases]
        if not found:
            return _encode(pixels, options)
        base, copies, areas, _ = min(found, key=lambda one: cost(one[2]))
        if covers_most(areas, pixels):
            return _encode(pixels, options)
        self.files.put(_OWNER, base.file)
        patch = _patch(pixels, options, copies, areas, base.file)
        *_, whole = base.file, *self._chain(base.file)
        if whole is not None and len(patch) <= SURE_RATIO * _bytes_per_pixel(whole) * pixels[..., 0].size:
            return patch
        return min(patch, _encode(pixels, options), key=len)

    def _bases_for(
        self, data: bytes, options: RequestOptions, pixels: Pixels, earlier: Sequence[Source]
    ) -> list[Source]:
        """Return the earlier image that has most in common with this one, of equals the latest.

        The latest image follows, which may have been scrolled. Images whose chain of patches is full are left
        out, and the first one if it has little in common.
        """
        hashes = self._hashes_of(data, options, pixels)
        candidates = [source for source in earlier[-MAX_CANDIDATES:] if _has_compared_pixels(source)]
        shares = [
            (shared_share(hashes, self._hashes_of(source.data, source.options)), number)
            for number, source in enumerate(candidates)
        ]
        share, number = max(shares, default=(0.0, -1))
        bases = [candidates[number]] if share >= MIN_SHARED else []
        if candidates and candidates[-1] not in bases:
            bases.append(candidates[-1])
        return [base for base in bases if depth_of(base.file) < MAX_CHAIN]

    def _hashes_of(self, data: bytes, options: RequestOptions, pixels: Pixels | None = None) -> np.ndarray:
        """Return the `cell_hashes` of an image, decoded from ``data`` unless its pixels are given."""

        def make() -> np.ndarray:
            return cell_hashes(_pixels(data, options) if pixels is None else pixels)

        return self._hashes.get((digest_of(data), options.fit, options.max_pixels), make)[0]


def _pixels(data: bytes, options: RequestOptions) -> Pixels:
    return shrink_to_fit(to_rgb(data), options.fit, options.max_pixels)


def _encode(pixels: Pixels, options: RequestOptions) -> bytes:
    """Encode pixels that are shrunk already."""
    return cotam.encode(pixels, **replace(options, fit=None, max_pixels=None).for_encode())


def _patch(
    pixels: Pixels, options: RequestOptions, copies: Sequence[Copy], areas: Sequence[Area], base: bytes
) -> bytes:
    stills = encode_areas(pixels, areas, Options(**replace(options, fit=None, max_pixels=None).for_encode()))
    height, width = pixels.shape[:2]
    quality = max((read_header(still.still).quality for still in stills), default=0)
    changes = Changes(copies, stills)
    return write_patch(Patch(width, height, digest_of(base), depth_of(base) + 1, changes), quality)


def _has_compared_pixels(source: Source) -> bool:
    """Whether the file has the pixels by which images are compared, not a smaller version."""
    if is_cotam(source.file):
        return not source.options.target_size
    width, height, _ = outline(source.data)
    return shrunk_size(width, height, source.options.fit, source.options.max_pixels) == (width, height)


def _bytes_per_pixel(file: bytes) -> float:
    width, height, _ = check_size(file, 1 << 40)
    return len(file) / (width * height)
