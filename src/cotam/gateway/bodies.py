"""Read and decode the bodies of requests, and cancel work on them if the client disconnects."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import zlib
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any, TypeVar

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cotam.gateway.exchange import exchange_of
from cotam.gateway.refusal import RefusedError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["Bodies", "Check", "LingeringClose", "decompress", "in_thread"]

BODY_SECONDS = 120
"""Seconds within which a body must arrive."""

LINGERING_SECONDS = 30
"""Seconds for which the rest of a body is read after its answer."""

Done = TypeVar("Done")
Check = Callable[[], None]
"""Called regularly by long work, in its thread: raises if the client has disconnected, or time is over."""


class Bodies:
    """Reads bodies into memory, each of at most ``limit`` bytes, and all of at most eight times as many."""

    def __init__(self, limit: int) -> None:
        self.limit, self._most, self._held = limit, 8 * limit, 0

    async def answer(
        self, scope: Scope, receive: Receive, work: Callable[[bytes], Coroutine[Any, Any, None]]
    ) -> None:
        """Read the body of a request, as it was sent, and run ``work`` on it unless the client goes.

        Raises RefusedError: 413 if it is larger than allowed, 408 if it takes too long, 429 if too many
        bytes are held; ClientDisconnect if the client has gone.
        """
        exchange = exchange_of(scope)
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > self.limit:
            raise self._too_large()
        with exchange.stage("body"):
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    body = await self._read(Request(scope, receive))
            except TimeoutError as error:
                raise RefusedError(f"the body has not arrived within {BODY_SECONDS} s", 408) from error
        exchange.bytes_in = len(body)
        try:
            await _while_connected(receive, work(body))
        finally:
            self._held -= len(body)

    async def _read(self, request: Request) -> bytes:
        chunks: list[bytes] = []
        size = 0
        try:
            async for chunk in request.stream():
                size += len(chunk)
                self._held += len(chunk)
                chunks.append(chunk)
                if size > self.limit:
                    raise self._too_large()
                if self._held > self._most:
                    reason = "too many bytes are being received: try again in a second"
                    raise RefusedError(reason, 429, headers={"Retry-After": "1"})
            return b"".join(chunks)
        except BaseException:
            self._held -= size
            raise

    def decompress(self, body: bytes, headers: Headers) -> bytes:
        """Decompress a body by its Content-Encoding. Raises as the function `decompress`."""
        encoding = ", ".join(headers.getlist("content-encoding"))
        return decompress(body, encoding, self.limit) if body else body

    def _too_large(self) -> RefusedError:
        # The rest may never end, so the connection cannot be used again.
        message = f"the body is larger than the limit of {self.limit:,} bytes: raise --max-body"
        return RefusedError(message, 413, headers={"Connection": "close"})


class LingeringClose:
    """ASGI middleware that reads the rest of a body before its answer ends, unless that takes too long.

    A connection that is closed with unread data is reset, and the client may lose the answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        unread = "expect" not in Headers(scope=scope)  # with it, clients send no body after an error
        ends = False

        async def received() -> Message:
            nonlocal unread
            message = await receive()
            unread = message.get("more_body", False)
            return message

        async def held(message: Message) -> None:
            nonlocal ends
            ends = message["type"] == "http.response.body" and not message.get("more_body")
            await send({**message, "more_body": True} if ends else message)

        await self._app(scope, received, held)
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGERING_SECONDS):
                while unread:
                    await received()
        if ends:
            await send({"type": "http.response.body"})


async def _while_connected(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Run ``work``, and cancel it if the client disconnects. Raises ClientDisconnect then."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_wait_for_disconnect(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        await task
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def in_thread(
    pool: Executor | None, work: Callable[[Check], Done], seconds: float | None = None
) -> Done:
    """Run ``work`` in a thread of the pool, by default that of the event loop, and return its result.

    Raises RefusedError: 503 after ``seconds``, waiting for a thread included.
    """
    gone, began = threading.Event(), time.perf_counter()

    def check() -> None:
        if gone.is_set():
            raise ClientDisconnect
        if seconds is not None and time.perf_counter() - began > seconds:
            message = f"not done within {seconds:g} s: try again later"
            raise RefusedError(message, 503, headers={"Retry-After": "10"})

    try:
        return await asyncio.get_running_loop().run_in_executor(pool, work, check)
    finally:
        gone.set()


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


# Content-Encoding

ACCEPTED = "gzip, deflate, zstd"
"""Value of ``Accept-Encoding`` in answers with 415 (RFC 9110, section 15.5.16)."""

ZSTD_WINDOW_LOG = 23
"""Log2 of the largest zstd window, 8 MB as RFC 9659 requires for HTTP; it bounds memory."""

_ZSTD_OPTIONS: dict[int, int] = {zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG}

_DECODERS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(zlib.MAX_WBITS | 16),
    "x-gzip": lambda: zlib.decompressobj(zlib.MAX_WBITS | 16),
    "deflate": zlib.decompressobj,
    "zstd": lambda: zstd.ZstdDecompressor(options=_ZSTD_OPTIONS),
}
"""Encoding → decompressor of a gzip member, zlib stream or zstd frame."""


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """Decompress a body by the value of ``Content-Encoding``.

    Raises RefusedError: 415 for an unknown encoding or several at once, 413 if the result has more than
    ``limit`` bytes, 400 for damaged or truncated data.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in _DECODERS:
        message = f"Content-Encoding {name!r} is not supported: use one of {ACCEPTED}, or none"
        raise RefusedError(message, 415, headers={"Accept-Encoding": ACCEPTED})
    try:
        try:
            return _members(_DECODERS[name], body, limit)
        except zlib.error:
            if name != "deflate":
                raise
            # zlib's format is deflate in RFC 9110; many clients send it bare.
            return _members(lambda: zlib.decompressobj(-zlib.MAX_WBITS), body, limit)
    except (zlib.error, zstd.ZstdError, EOFError) as error:
        raise RefusedError(f"the body is not valid {name}, as Content-Encoding says: {error}") from error


def _members(new: Callable[[], Any], body: bytes, limit: int) -> bytes:
    """Decompress all members of a body; an empty body has none."""
    pieces: list[bytes] = []
    size = 0
    while body:
        stream = new()
        pieces.append(stream.decompress(body, limit - size + 1))
        size += len(pieces[-1])
        if size > limit:
            reason = f"the body is larger than {limit:,} bytes when it is decoded: raise --max-body"
            raise RefusedError(reason, 413)
        if not stream.eof:
            raise EOFError("it ends too early")
        body = stream.unused_data
    return b"".join(pieces)
