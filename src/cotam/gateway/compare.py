"""``/v1/cotam/compare``: compare the bytes of formats at equal features or PSNR.

Comparisons are made one at a time in their own thread, so that requests to the model do not wait for them.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import cotam
from cotam.compare import features, words
from cotam.compare.formats import COTAM, Format, installed_formats
from cotam.compare.table import Meter
from cotam.errors import InputError
from cotam.gateway.bodies import Bodies, Check
from cotam.gateway.cache import OVERHEAD, Cache
from cotam.gateway.media import MEDIA_TYPES, Media, data_url, pixels_of, save_png
from cotam.gateway.request_options import STILL, RequestOptions
from cotam.gateway.single_image import SingleImage, Work, refuse_cotam
from cotam.gateway.store import digest_of
from cotam.guide import multiscale
from cotam.guide.base import load
from cotam.guide.draw import heat
from cotam.image.fit import shrink_to_fit
from cotam.image.psnr import MAX_DECIBEL
from cotam.image.read import Pixels, outline

__all__ = ["nearest", "routes"]

COMPARED_PIXELS = 1_100_000
"""Images are shrunk to this many pixels before the comparison, since AVIF takes seconds for more."""

AT_A_TIME, SECONDS = 4, 120
"""Largest number of comparisons in progress or waiting, and seconds for one, waiting included."""


def nearest(decibel: Callable[[int], float], qualities: range, wanted: float) -> tuple[int, str | None]:
    """Find the quality with decibels nearest to ``wanted``, by bisection.

    ``decibel`` of a quality increases roughly, and is called at most ⌈log2(qualities)⌉ + 1 times. Returns
    the quality, and "lowest" if even the lowest has more decibels, "highest" if the highest has fewer.
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


def routes(pool: Executor, bodies: Bodies, size_limit: int) -> list[Route]:
    """Return the routes, for images of at most ``size_limit`` pixels; ``pool`` has one thread.

    ``/v1/cotam/compare`` encodes to .cotam, ``/v1/cotam/compare/jpeg`` and so on to another format at equal
    score; ``/v1/cotam/compare/words/jpeg`` and so on read the words in that file.
    """
    comparer = _Comparer("features" if features.available() else "psnr")
    works: dict[str, Work] = {"": comparer.ours}
    works |= {f"/{one.name}": partial(comparer.other, one) for one in comparer.formats}
    works |= {f"/words/{one.name}": partial(comparer.words, one) for one in (COTAM, *comparer.formats)}
    made = partial(
        SingleImage, pool, bodies, size_limit, names=STILL, max_requests=AT_A_TIME, seconds=SECONDS
    )
    return [Route(f"/v1/cotam/compare{path}", made(work=work)) for path, work in works.items()]


@dataclass(frozen=True)
class _Coded:
    """A file of a format, its scores, and the ``end`` of `nearest`."""

    format: Format
    data: bytes
    psnr: float
    features: float | None
    end: str | None = None

    @property
    def decibel(self) -> float:
        """The score by which formats are made equal: of features, or PSNR where these are not measured."""
        if self.features is None:
            return self.psnr
        return -10 * math.log10(max(self.features, 10 ** (-MAX_DECIBEL / 10)))


class _Comparer:
    """Makes comparisons, one at a time. Caches what is measured of the last original, and files."""

    def __init__(self, measure: Literal["features", "psnr"]) -> None:
        self._measure, self.formats = measure, installed_formats()
        self._coded: Cache[_Coded] = Cache(32_000_000, lambda one: len(one.data) + OVERHEAD)
        self._key, self._meter = b"", Meter(np.empty((0, 0, 3), np.uint8))

    def ours(self, body: bytes, options: RequestOptions, check: Check) -> Response:
        """Encode to .cotam with the options of the request; ``panels`` of the answer are images to show.

        The original is one of them if it was shrunk.
        """
        pixels = self._open(body, options)
        coded = self._ours(options, check)
        height, width = pixels.shape[:2]
        guide = load("lite")
        assert guide
        importance = heat(pixels, multiscale.importance(guide, pixels))
        panels = [
            _panel("importance", np.asarray(importance)),
            _panel("human", np.asarray(cotam.decode(coded.data, view="human"))),
        ]
        if outline(body)[:2] != (width, height):
            panels.append(_panel("original", pixels))
        result = {
            "width": width,
            "height": height,
            "quality": cotam.info(coded.data).quality,
            "measure": self._measure,
            "seen": features.size_seen(height, width)[::-1],
            "install": features.INSTALL,
            "words": words.available(),
            "panels": panels,
            "row": self._row(coded),
        }
        return JSONResponse(result)

    def other(self, format: Format, body: bytes, options: RequestOptions, check: Check) -> Response:
        """Encode to another format, at the quality nearest to the score of the .cotam file."""
        self._open(body, options)
        coded = self._as_near(format, self._ours(options, check).decibel, check)
        panel = _file(format.name, Media(f"image/{format.name}", coded.data))
        return JSONResponse({"panels": [panel], "row": self._row(coded)})

    def words(self, format: Format, body: bytes, options: RequestOptions, check: Check) -> Response:
        """Return the words of the original, and the share of them that is read in the file of a format."""
        if not words.available():
            raise InputError(f"words cannot be read here: {words.INSTALL} where the gateway runs")
        self._open(body, options)
        count = sum(len(words.words(line)) for line in self._meter.lines)
        share = None
        if count:
            ours = self._ours(options, check)
            one = ours if format is COTAM else self._as_near(format, ours.decibel, check)
            check()
            share = self._meter.words(format.decode(one.data))
        return JSONResponse({"count": count, "share": share})

    def _open(self, body: bytes, options: RequestOptions) -> Pixels:
        """Return the pixels to compare, upright and at most `COMPARED_PIXELS`, to be measured against."""
        refuse_cotam(body)
        most = min(options.max_pixels or COMPARED_PIXELS, COMPARED_PIXELS)
        pixels = shrink_to_fit(pixels_of(body), options.fit, most)
        key = digest_of(pixels.tobytes())
        if key != self._key:
            self._key, self._meter = key, Meter(pixels)
        return pixels

    def _ours(self, options: RequestOptions, check: Check) -> _Coded:
        arguments = RequestOptions(options.quality, options.target_size).for_encode()
        encode = partial(cotam.encode, self._meter.pixels, **arguments)
        return self._code(COTAM, repr(arguments), encode, check)

    def _as_near(self, format: Format, wanted: float, check: Check) -> _Coded:
        def code(quality: int) -> _Coded:
            return self._code(format, quality, partial(format.encode, self._meter.pixels, quality), check)

        quality, end = nearest(lambda quality: code(quality).decibel, format.qualities, wanted)
        return replace(code(quality), end=end)

    def _code(self, format: Format, setting: object, encode: Callable[[], bytes], check: Check) -> _Coded:
        """Encode with a setting, and measure; cached."""

        def make() -> _Coded:
            check()
            file = encode()
            decoded = format.decode(file)
            distance = self._meter.features(decoded) if self._measure == "features" else None
            return _Coded(format, file, self._meter.psnr(decoded), distance)

        return self._coded.get((self._key, format.name, setting), make)[0]

    def _row(self, one: _Coded) -> dict[str, Any]:
        height, width = self._meter.pixels.shape[:2]
        return {
            "name": one.format.name,
            "title": one.format.title,
            "bytes": len(one.data),
            "bpp": round(8 * len(one.data) / (height * width), 3),
            "features": None if one.features is None else float(f"{one.features:.3g}"),
            "psnr": round(one.psnr, 1),
            "end": one.end,
        }


def _panel(name: str, pixels: Pixels) -> dict[str, str]:
    return _file(name, Media(MEDIA_TYPES["png"], save_png(pixels)))


def _file(name: str, media: Media) -> dict[str, str]:
    return {"name": name, "url": data_url(media)}
