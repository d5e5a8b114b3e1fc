"""What stands around every route: who may come in, and how much at a time.

Knows HTTP as ASGI has it: nothing of pictures or of the upstream.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
import threading
import time
import uuid
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cotam.gateway.convert import RefusedError
from cotam.gateway.exchange import Exchange, Metrics, exchange_of

__all__ = ["TOKEN_HEADER", "Bodies", "ClientGoneError", "Guard", "in_thread", "refusal", "while_connected"]

TOKEN_HEADER = "x-cotam-token"
BODY_SECONDS = 120
"""A body that takes longer to arrive is given up."""

_LOG = logging.getLogger("cotam.gateway")
_OPEN = ("/healthz", "/", "/page/")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


Done = TypeVar("Done")


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


async def refusal(request: Request, error: Exception) -> JSONResponse:
    """Answer to any error, of the form that OpenAI's clients read."""
    if isinstance(error, HTTPException):
        error = _of_route(error, request)
    elif not isinstance(error, RefusedError):
        error = RefusedError("an error of the gateway itself: its log says which", 500)
    exchange_of(request.scope).error = str(error)
    kind = _TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
    body = {"error": {"message": str(error), "type": kind, "param": error.param, "code": None}}
    return JSONResponse(body, error.status, headers=error.headers)


def _of_route(error: HTTPException, request: Request) -> RefusedError:
    reasons = {
        404: "there is no such path: that of the API begins with /v1/",
        405: f"{request.method} is not for this path",
    }
    reason = reasons.get(error.status_code, error.detail)
    return RefusedError(reason, error.status_code, headers=error.headers or {})


class Guard:
    """ASGI middleware around an application.

    Parameters
    ----------
    token : what clients must show, as a bearer or in ``X-Cotam-Token``; None asks for none
    limit : requests worked on at a time
    local : answers only to names of this machine, which a web page elsewhere cannot have in its address
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, *, token: str | None, limit: int, local: bool = False
    ) -> None:
        self._app, self._metrics, self._limit, self._local = app, metrics, limit, local
        self._token = _digest(token) if token else None
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        exchange = Exchange(scope["method"], scope["path"], _request_id(headers))
        scope["cotam.exchange"] = exchange

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", exchange.id.encode())]
            exchange.bytes_out += len(message.get("body", b""))
            await send(message)

        quiet = scope["path"] in ("/healthz", "/metrics")
        counts = not quiet and not _is_open(scope["path"])
        self._running += counts
        self._metrics.running.set(self._running)
        try:
            try:
                self._check(scope["path"], headers, counts)
            except RefusedError as error:
                response = await refusal(Request(scope), error)
                await response(scope, receive, counted)
                return
            await self._app(scope, receive, counted)
        except ClientGoneError:
            exchange.status, exchange.error = 499, "the client has gone"
        finally:
            self._running -= counts
            self._metrics.running.set(self._running)
            if not quiet:
                self._metrics.add(exchange, getattr(scope.get("route"), "path", "none"))
                _LOG.info("request", extra={"fields": exchange.line()})

    def _check(self, path: str, headers: Headers, counts: bool) -> None:
        host = _host_of(f"//{headers.get('host', '')}")
        origin = headers.get("origin")
        if self._local and host not in _LOOPBACK:
            raise RefusedError("this is for programs on this machine only, under the name localhost", 403)
        if origin and _place_of(origin) != _place_of(f"//{headers.get('host', '')}"):
            raise RefusedError("web pages from elsewhere are not served", 403)
        if _is_open(path):
            return
        if self._token and not self._shown(headers):
            message = "a token is needed: Authorization: Bearer TOKEN, or X-Cotam-Token: TOKEN"
            raise RefusedError(message, 401, headers={"WWW-Authenticate": "Bearer"})
        if counts and self._running > self._limit:
            message = f"{self._limit} requests are being worked on: try again in a second"
            raise RefusedError(message, 429, headers={"Retry-After": "1"})

    def _shown(self, headers: Headers) -> bool:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        shown = [headers.get(TOKEN_HEADER, ""), bearer if scheme.lower() == "bearer" else ""]
        assert self._token
        # Digests are of equal length, so the time says nothing of the token, its length included.
        return any(hmac.compare_digest(_digest(one), self._token) for one in shown)


class Bodies:
    """Reads bodies into memory: so many bytes each, and not many times that in all."""

    def __init__(self, limit: int) -> None:
        self._limit, self._most, self._held = limit, 8 * limit, 0

    async def read(self, scope: Scope, receive: Receive) -> bytes:
        """The body of a request.

        Raises
        ------
        RefusedError
            413 if it is larger than allowed, 408 if it takes too long, 429 if too many are here
        ClientGoneError
            if the client has gone
        """
        exchange = exchange_of(scope)
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > self._limit:
            raise self._too_large()
        started = time.perf_counter()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await self._read(receive)
        except TimeoutError as error:
            raise RefusedError(f"the body has not arrived in {BODY_SECONDS} s", 408) from error
        exchange.bytes_in = len(body)
        exchange.seconds["body"] = time.perf_counter() - started
        return body

    async def _read(self, receive: Receive) -> bytes:
        chunks: list[bytes] = []
        size = 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                chunk = message.get("body", b"")
                size += len(chunk)
                self._held += len(chunk)
                chunks.append(chunk)
                if size > self._limit:
                    raise self._too_large()
                if self._held > self._most:
                    message_ = "too much is being received: try again in a second"
                    raise RefusedError(message_, 429, headers={"Retry-After": "1"})
                if not message.get("more_body"):
                    return b"".join(chunks)
        except BaseException:
            self._held -= size
            size = 0
            raise

    def release(self, body: bytes) -> None:
        """Say that a body which `read` gave is no longer needed."""
        self._held -= len(body)

    def _too_large(self) -> RefusedError:
        # The rest is not read: without this a client goes on sending on the same connection.
        return RefusedError(
            f"the body is larger than the limit of {self._limit:,} bytes",
            413,
            headers={"Connection": "close"},
        )


async def while_connected(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Run ``work``, whose body was read, and cancel it when the client goes.

    Raises
    ------
    ClientGoneError
        if it went
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGoneError
        await task
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def in_thread(
    pool: Executor, work: Callable[[Callable[[], None]], Done], seconds: float | None = None
) -> Done:
    """What ``work`` returns, in a thread of the pool. It is to call what it is given now and then.

    Parameters
    ----------
    work : is given a function that raises, `ClientGoneError` when nobody waits any more
    seconds : from now on, waiting for a thread included, after which the work is given up; None is no limit

    Raises
    ------
    RefusedError
        503 if it was given up
    """
    gone, began = threading.Event(), time.perf_counter()

    def check() -> None:
        if gone.is_set():
            raise ClientGoneError
        if seconds is not None and time.perf_counter() - began > seconds:
            message = f"this has not been done in {seconds:g} s: try again later"
            raise RefusedError(message, 503, headers={"Retry-After": "10"})

    try:
        return await asyncio.get_running_loop().run_in_executor(pool, work, check)
    finally:
        gone.set()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _request_id(headers: Headers) -> str:
    """The client's, if it is fit to stand in a log and a header."""
    given = headers.get("x-request-id", "")
    return given if re.fullmatch(r"[\w.:-]{1,64}", given, re.ASCII) else uuid.uuid4().hex[:16]


def _is_open(path: str) -> bool:
    """Paths that need no token: a browser shows the page before it can be told one."""
    return path in _OPEN or path.startswith("/page/")


def _host_of(address: str) -> str:
    with suppress(ValueError):
        return urlsplit(address).hostname or ""
    return ""


def _place_of(address: str) -> tuple[str, int | None] | None:
    """Host and port; None if it cannot be read."""
    with suppress(ValueError):
        parts = urlsplit(address)
        return parts.hostname or "", parts.port
    return None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
