"""``/v1/cotam/…``: encode, decode, and compare with other codecs, without a model.

Knows pictures in bodies and wishes in queries: nothing of messages or of an upstream. Work is done in the
threads of the pool.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

import numpy as np
from PIL import Image
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

import cotam
from cotam.demo import Coded, others
from cotam.errors import CotamError, InputError
from cotam.gateway.convert import Note, RefusedError, Wish
from cotam.gateway.exchange import exchange_of
from cotam.gateway.guard import Bodies, while_connected
from cotam.gateway.pictures import COTAM, MEDIA_TYPES, check_size, kind_of, pixels_of, png_of, saved
from cotam.gateway.rewrite import data_url
from cotam.gateway.videos import video_kind
from cotam.gateway.wish import read_wish
from cotam.guide import tiles
from cotam.guide.base import load
from cotam.guide.draw import heat
from cotam.profiles import fitted

__all__ = ["routes"]

COMPARED_PIXELS = 800_000
"""Pictures are shrunk to this before codecs are compared: AVIF takes seconds for more."""

Answer = TypeVar("Answer")


def routes(pool: Executor, bodies: Bodies, size_limit: int) -> list[Route]:
    """The routes, for pictures of at most ``size_limit`` pixels."""

    def route(name: str, work: Callable[[bytes, Wish], tuple[Response, Note | None]]) -> Route:
        return Route(f"/v1/cotam/{name}", _Plain(pool, bodies, size_limit, work), methods=["POST"])

    return [route("encode", _encode), route("decode", _decode), route("compare", _compare)]


class _Plain:
    """An ASGI application that does one thing to the picture in the body."""

    def __init__(
        self,
        pool: Executor,
        bodies: Bodies,
        size_limit: int,
        work: Callable[[bytes, Wish], tuple[Response, Note | None]],
    ) -> None:
        self._pool, self._bodies, self._limit, self._work = pool, bodies, size_limit, work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await self._bodies.read(scope, receive)
        try:
            await while_connected(receive, self._answer(scope, receive, send, body))
        finally:
            self._bodies.release(body)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, body: bytes) -> None:
        exchange = exchange_of(scope)
        query = {name.replace("_", "-"): value for name, value in Request(scope).query_params.items()}
        wish = read_wish(query, prefix="")
        started = time.perf_counter()
        loop = asyncio.get_running_loop()
        response, note = await loop.run_in_executor(self._pool, self._done, body, wish)
        exchange.seconds["pictures"] = time.perf_counter() - started
        if note:
            exchange.notes.append(note)
        await response(scope, receive, send)

    def _done(self, body: bytes, wish: Wish) -> tuple[Response, Note | None]:
        try:
            if video_kind(body) not in (None, "gif"):
                raise InputError("the body is a video: cotam encode, or cotam edge, makes a sequence of it")
            check_size(body, self._limit)
            return self._work(body, wish)
        except CotamError as error:
            raise RefusedError(str(error)) from error


def _encode(body: bytes, wish: Wish) -> tuple[Response, Note | None]:
    started = time.perf_counter()
    kind = _ordinary(body)
    data = cotam.encode(body, **wish.options())
    found = cotam.info(data)
    headers = {"x-cotam-size": f"{found.width}x{found.height}", "x-cotam-quality": str(found.quality)}
    note = Note(kind, "cotam", len(body), len(data), time.perf_counter() - started, cached=False)
    return Response(data, media_type=COTAM, headers=headers), note


def _decode(body: bytes, wish: Wish) -> tuple[Response, Note | None]:
    started = time.perf_counter()
    data = png_of(body)
    note = Note("cotam", "png", len(body), len(data), time.perf_counter() - started, cached=False)
    return Response(data, media_type=MEDIA_TYPES["png"]), note


def _compare(body: bytes, wish: Wish) -> tuple[Response, Note | None]:
    """Cotam at the wish, then the other codecs within as many bytes.

    ``panels`` are what a page shows of the picture, in order, whatever they are; ``codecs`` are the rows of
    its table.
    """
    _ordinary(body)
    pixels = fitted(pixels_of(body), wish.fit, min(wish.max_pixels or COMPARED_PIXELS, COMPARED_PIXELS))
    photo = Image.fromarray(pixels)
    coding = Wish(wish.quality, wish.target_size).options()
    data = cotam.encode(pixels, **coding)
    ours = Coded("Cotam", ".cotam", data, cotam.decode(data))
    rows = [ours, *others(photo, len(data))]
    panels = [
        _panel("original", "Original", photo),
        _panel("importance", "Importance", _importance(pixels)),
        _panel("cotam", "Cotam, for a model", ours.image),
        _panel("human", "Cotam, for people", cotam.decode(data, view="human")),
        *(_panel(row.codec.lower(), row.codec, row.image) for row in rows[1:]),
    ]
    result = {
        "width": photo.width,
        "height": photo.height,
        "quality": cotam.info(data).quality,
        "file": data_url(COTAM, data),
        "upload": len(body),
        "panels": panels,
        "codecs": [_row(row, photo, len(data)) for row in rows],
    }
    return JSONResponse(result), None


def _ordinary(body: bytes) -> str:
    kind = kind_of(body)
    if not kind:
        raise InputError("the body is to be a JPEG, PNG, WebP or GIF picture: it is a .cotam file already")
    return kind


def _importance(pixels: np.ndarray) -> Image.Image:
    """What the embedded guide makes of the picture."""
    guide = load("lite")
    assert guide
    return heat(pixels, tiles.importance(guide, pixels))


def _panel(name: str, title: str, image: Image.Image) -> dict[str, Any]:
    return {"name": name, "title": title, "url": data_url(MEDIA_TYPES["png"], saved(image, "png"))}


def _row(coded: Coded, photo: Image.Image, size: int) -> dict[str, Any]:
    same = np.array_equal(np.asarray(coded.image), np.asarray(photo))
    psnr = None if same else coded.psnr(photo)
    return {
        "name": coded.codec,
        "bytes": len(coded.data),
        "bpp": round(8 * len(coded.data) / (photo.width * photo.height), 3),
        "psnr": None if psnr is None else round(psnr, 1),
        "fits": len(coded.data) <= size,
    }
