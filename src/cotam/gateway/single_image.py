"""``/v1/cotam/encode`` and ``/v1/cotam/decode``: one image in the body of a request, without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

import cotam
from cotam.errors import InputError
from cotam.gateway.bodies import Bodies, Check, in_thread
from cotam.gateway.exchange import Conversion, exchange_of
from cotam.gateway.media import (
    COTAM,
    MEDIA_TYPES,
    check_size,
    format_of,
    is_cotam,
    save_png,
    video_format,
)
from cotam.gateway.refusal import RefusedError, refusing
from cotam.gateway.request_options import STILL, RequestOptions, options_in_query

__all__ = ["SingleImage", "Work", "refuse_cotam", "routes"]

Work = Callable[[bytes, RequestOptions, Check], Response]

_KINDS = {COTAM: "cotam", MEDIA_TYPES["png"]: "png"}
"""Media types of answers that count as conversions."""


def routes(pool: Executor, bodies: Bodies, size_limit: int) -> list[Route]:
    """Return the routes, for images of at most ``size_limit`` pixels."""
    return [
        Route("/v1/cotam/encode", SingleImage(pool, bodies, size_limit, _encode, STILL)),
        Route("/v1/cotam/decode", SingleImage(pool, bodies, size_limit, _decode)),
    ]


@dataclass(eq=False)
class SingleImage:
    """An ASGI application that processes the image in the body in a thread of the pool."""

    pool: Executor
    bodies: Bodies
    size_limit: int  # largest image in pixels
    work: Work
    names: Sequence[str] = ()  # options that the query may have, see `cotam.gateway.request_options`
    # largest number of requests at a time, waiting ones included; more are refused with 429
    max_requests: int | None = None
    seconds: float | None = None  # time limit of the work, see `cotam.gateway.bodies.in_thread`
    _running: int = field(default=0, init=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            raise HTTPException(405, headers={"Allow": "POST"})
        if self.max_requests is not None and self._running >= self.max_requests:
            message = f"{self.max_requests} requests of this kind are in progress, the limit"
            raise RefusedError(f"{message}: try again in a few seconds", 429, headers={"Retry-After": "5"})
        self._running += 1
        try:
            await self.bodies.answer(scope, receive, partial(self._answer, scope, receive, send))
        finally:
            self._running -= 1

    async def _answer(self, scope: Scope, receive: Receive, send: Send, body: bytes) -> None:
        exchange = exchange_of(scope)
        options = options_in_query(Request(scope).query_params, self.names)
        work = partial(self._process, scope, body, options)
        with exchange.stage("images"):
            response = await in_thread(self.pool, work, self.seconds)
        await response(scope, receive, send)

    def _process(self, scope: Scope, body: bytes, options: RequestOptions, check: Check) -> Response:
        check()
        body = self.bodies.decompress(body, Headers(scope=scope))
        with refusing():
            if not body:
                raise InputError("the body is empty")
            if video_format(body) not in (None, "gif"):
                raise InputError(
                    "the body is a video: use cotam encode or cotam edge to make a sequence of it"
                )
            check_size(body, self.size_limit)
            response = self.work(body, options, check)
        if result := _KINDS.get(response.media_type or ""):
            source, made = format_of(body) or "cotam", len(response.body)
            conversion = Conversion(source, result, len(body), made, cached=False)
            exchange_of(scope).conversions.append(conversion)
        return response


def _encode(body: bytes, options: RequestOptions, check: Check) -> Response:
    refuse_cotam(body)
    data = cotam.encode(body, **options.for_encode())
    found = cotam.info(data)
    headers = {"x-cotam-size": f"{found.width}x{found.height}", "x-cotam-quality": str(found.quality)}
    return Response(data, media_type=COTAM, headers=headers)


def _decode(body: bytes, options: RequestOptions, check: Check) -> Response:
    return Response(save_png(cotam.decode(body)), media_type=MEDIA_TYPES["png"])


def refuse_cotam(body: bytes) -> None:
    """Raise InputError for a .cotam file."""
    if is_cotam(body):
        raise InputError("the body is a .cotam file already: send an image of another format")
