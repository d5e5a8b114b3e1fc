"""``/v1/cotam/compare``: an image coded by Cotam, and the bytes that other codecs take to come as near to it.

One comparison is made at a time, in a thread of its own, so that requests to the model do not wait for it.
"""

from __future__ import annotations

import math
import struct
from bisect import bisect_left
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import cotam
from cotam.api import decode_file
from cotam.codec.shared import codec_of
from cotam.codec.views import VIEWS, View
from cotam.compare import features
from cotam.compare.formats import Format, installed
from cotam.format.header import Kind, read_file
from cotam.gateway.bodies import Bodies
from cotam.gateway.cache import Cache
from cotam.gateway.exchange import Note
from cotam.gateway.media import COTAM, MEDIA_TYPES, Media, data_url, pixels_of, saved
from cotam.gateway.plain import Plain, ordinary
from cotam.gateway.store import digest_of
from cotam.gateway.wish import STILL, Wish
from cotam.guide import multiscale
from cotam.guide.base import load
from cotam.guide.draw import heat
from cotam.image.fit import fitted
from cotam.image.read import Pixels

__all__ = ["MEASURES", "Measure", "nearest", "route"]

COMPARED_PIXELS = 800_000
"""Images are shrunk to this before codecs are compared: AVIF takes seconds for more."""

AT_A_TIME, SECONDS = 4, 120
"""Comparisons in progress or waiting, and seconds that one may take, waiting included."""

MAX_DECIBEL = 100.0
"""Of equal images."""


@dataclass(frozen=True)
class Measure:
    """A metric of how near a decoded image is to the original: a mean squared difference.

    Attributes
    ----------
    name : features or psnr
    see : pixels → what is compared, float32, of one shape for images of one size
    peak : the largest difference
    """

    name: str
    see: Callable[[Pixels], np.ndarray]
    peak: float

    def decibel(self, seen: np.ndarray, original: np.ndarray) -> float:
        """10 log10(peak² / mean squared difference), at most `MAX_DECIBEL`."""
        difference = float(np.mean(np.square(seen - original), dtype=np.float64)) / self.peak**2
        return MAX_DECIBEL if difference == 0 else min(MAX_DECIBEL, -10 * math.log10(difference))

    def shown(self, decibel: float) -> float | None:
        """As a table has it: the distance of features, 0 if equal; PSNR in dB, None if equal."""
        if self.name == "features":
            return 0.0 if decibel == MAX_DECIBEL else float(f"{10 ** (-decibel / 10):.3g}")
        return None if decibel == MAX_DECIBEL else round(decibel, 1)


MEASURES = {
    "features": Measure("features", features.tokens, 1.0),
    "psnr": Measure("psnr", lambda pixels: pixels.astype(np.float32), 255.0),
}


def nearest(decibel: Callable[[int], float], qualities: range, wanted: float) -> tuple[int, str | None]:
    """Find the quality whose decibels are nearest to those wanted, by bisection.

    Parameters
    ----------
    decibel : quality → decibels, which should rise by and large; called ⌈log2(qualities)⌉ + 1 times at most

    Returns
    -------
    the quality, and "lowest" where even the lowest has more decibels, "highest" where the highest has less,
    else None
    """
    seen: dict[int, float] = {}

    def look(quality: int) -> float:
        if quality not in seen:
            seen[quality] = decibel(quality)
        return seen[quality]

    at = bisect_left(qualities, wanted, hi=len(qualities) - 1, key=look)
    found = look(qualities[at])
    end = "lowest" if at == 0 and found > wanted else "highest" if found < wanted else None
    return min(seen, key=lambda quality: (abs(seen[quality] - wanted), quality)), end


def route(pool: Executor, bodies: Bodies, size_limit: int) -> Route:
    """The route, for images of at most ``size_limit`` pixels; ``pool`` has one thread."""
    measure = MEASURES["features" if features.available() else "psnr"]
    work = _Comparer(measure)
    app = Plain(pool, bodies, size_limit, work, STILL, most=AT_A_TIME, seconds=SECONDS)
    return Route("/v1/cotam/compare", app)


class _Comparer:
    """Makes comparisons, one at a time, and keeps the features of the last original and of coded files."""

    def __init__(
        self, measure: Measure, formats: Sequence[Format] | None = None, cache: int = 32_000_000
    ) -> None:
        self._measure = measure
        self._formats = installed() if formats is None else formats
        self._looks: Cache[bytes] = Cache(cache)
        self._original = b"", np.empty(0, np.float32)

    def __call__(self, body: bytes, wish: Wish, check: Callable[[], None]) -> tuple[Response, Note | None]:
        """Code with Cotam as wished, then with the other codecs where they come as near.

        In the answer ``panels`` are images for the page to show, in order, and ``codecs`` rows of its table.
        """
        ordinary(body)
        pixels = fitted(pixels_of(body), wish.fit, min(wish.max_pixels or COMPARED_PIXELS, COMPARED_PIXELS))
        height, width = pixels.shape[:2]
        data = cotam.encode(pixels, **Wish(wish.quality, wish.target_size).options())
        check()
        views = _views(data)
        check()
        key = digest_of(pixels.tobytes())
        if self._original[0] != key:
            self._original = key, self._measure.see(pixels)
        wanted = self._decibel(views["mllm"])
        rows = [self._row("Cotam", data, wanted, width * height)]
        panels = [
            _panel("original", "Original", pixels),
            _panel("importance", "Importance", _importance(pixels)),
            _panel("cotam", "Cotam, for a model", views["mllm"]),
            _panel("human", "Cotam, for people", views["human"]),
        ]
        for one in self._formats:
            file, decibel, end = self._as_near(pixels, key, one, wanted, check)
            rows.append(self._row(one.title, file, decibel, width * height) | {"end": end})
            url = data_url(Media(f"image/{one.name}", file))
            panels.append({"name": one.name, "title": one.title, "url": url})
        result = {
            "width": width,
            "height": height,
            "quality": cotam.info(data).quality,
            "file": data_url(Media(COTAM, data)),
            "upload": len(body),
            "measure": self._measure.name,
            "seen": features.size_seen(height, width)[::-1],
            "install": features.INSTALL,
            "panels": panels,
            "codecs": rows,
        }
        return JSONResponse(result), None

    def _decibel(self, decoded: Pixels) -> float:
        return self._measure.decibel(self._measure.see(decoded), self._original[1])

    def _as_near(
        self, pixels: Pixels, key: bytes, format: Format, wanted: float, check: Callable[[], None]
    ) -> tuple[bytes, float, str | None]:
        """The file, its decibels, and the end of the format's range, see `nearest`."""

        def make(quality: int) -> bytes:
            check()
            file = format.encode(pixels, quality)
            return struct.pack("<d", self._decibel(format.decode(file))) + file

        def look(quality: int) -> tuple[float, bytes]:
            made, _ = self._looks.get((key, format.name, quality), lambda: make(quality))
            return struct.unpack_from("<d", made)[0], made[8:]

        quality, end = nearest(lambda quality: look(quality)[0], format.qualities, wanted)
        decibel, file = look(quality)
        return file, decibel, end

    def _row(self, title: str, data: bytes, decibel: float, pixels: int) -> dict[str, Any]:
        return {
            "name": title,
            "bytes": len(data),
            "bpp": round(8 * len(data) / pixels, 3),
            "value": self._measure.shown(decibel),
            "end": None,
        }


def _views(data: bytes) -> dict[View, Pixels]:
    """Pixels of each view of a file: latents are decoded once; payloads of other kinds have one view."""
    file = read_file(data)
    if file.kind is not Kind.LEARNED:
        return dict.fromkeys(VIEWS, decode_file(file))
    codec = codec_of(file.header.weights)
    symbols, grid = codec.decode_symbols(file)
    latents = codec.dequantise(symbols, grid).values
    return {view: codec.synthesise(latents, symbols, grid, view) for view in VIEWS}


def _importance(pixels: Pixels) -> Pixels:
    """The importance map of the embedded guide, as an image."""
    guide = load("lite")
    assert guide
    return np.asarray(heat(pixels, multiscale.importance(guide, pixels)))


def _panel(name: str, title: str, pixels: Pixels) -> dict[str, str]:
    png = saved(Image.fromarray(pixels), "png")
    return {"name": name, "title": title, "url": data_url(Media(MEDIA_TYPES["png"], png))}
