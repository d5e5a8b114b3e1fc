"""ASGI middleware around all routes: path normalisation, access, limits, log and metrics."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cotam.gateway import log
from cotam.gateway.access_tokens import Tokens
from cotam.gateway.exchange import Exchange, Metrics
from cotam.gateway.paths import normal_path
from cotam.gateway.refusal import RefusedError, refusal
from cotam.gateway.upstream import is_loopback

__all__ = ["Guard"]

_ABSOLUTE = re.compile(rb"https?://([^/?]*)", re.IGNORECASE)
"""The beginning of a request target in absolute form, which clients of a forward proxy send."""


@dataclass(eq=False)
class Guard:
    """ASGI middleware around an application."""

    app: Starlette
    metrics: Metrics
    tokens: Tokens | None  # accepted tokens; None accepts all clients
    limit: int  # largest number of requests in progress
    # whether to answer only to host names of this machine, which other web pages cannot use
    local: bool = False
    origins: Collection[str] = ()  # origins of other web pages that are answered
    _running: int = field(default=0, init=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        target = scope["raw_path"]
        if absolute := _ABSOLUTE.match(target):
            # It takes precedence over the header (RFC 9112, section 3.2.2).
            target = target[absolute.end() :] or b"/"
            others = [row for row in scope["headers"] if row[0] != b"host"]
            scope = {**scope, "headers": [(b"host", absolute[1]), *others]}
        headers = Headers(scope=scope)
        path = normal_path(target)
        exchange = Exchange(scope["method"], path or scope["path"][:200], _request_id(headers))
        # All other code sees the normal form of the path, escapes included.
        scope = {**scope, "path": path or "/", "raw_path": (path or "/").encode(), "cotam.exchange": exchange}

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                _note_answer(exchange, message)
            exchange.bytes_out += len(message.get("body", b""))
            await send(message)

        quiet = path in ("/healthz", "/metrics")
        counts = not quiet and not _is_open(path)
        self._running += counts
        self.metrics.running.set(self._running)
        route = "none"
        try:
            try:
                self._check(path, headers, counts, exchange)
                answer: ASGIApp = self.app
                route = self._route_of(scope)
            except RefusedError as error:
                answer = await refusal(Request(scope), error)
            await answer(scope, receive, counted)
        except ClientDisconnect:
            exchange.status, exchange.error = 499, "the client has gone"
        except asyncio.CancelledError:  # the time to finish it is over: see `cotam.gateway.server.run`
            stopping = RefusedError("the server is stopping: try again", 503, headers={"Retry-After": "1"})
            answer = await refusal(Request(scope), stopping)
            if not exchange.status:
                await answer(scope, receive, counted)
        finally:
            self._running -= counts
            self.metrics.running.set(self._running)
            if not quiet:
                self.metrics.add(exchange, route)
                log.info("request", **exchange.line())

    def _route_of(self, scope: Scope) -> str:
        """Return the path of the route that takes a request, with its parameters; "none" if none does."""
        found = (route for route in self.app.routes if route.matches(scope)[0] is not Match.NONE)
        return getattr(next(found, None), "path", "none")

    def _check_web_page(self, headers: Headers) -> None:
        """Refuse requests of web pages of other origins, and those to host names that such pages can use."""
        host = headers.get("host", "")
        if self.local and not is_loopback(_host_and_port(f"//{host}")[0]):
            message = f"Host {host[:100]!r} is not localhost: only programs on this machine are served"
            raise RefusedError(message, 403)
        origin = headers.get("origin")
        if origin and origin not in self.origins and _host_and_port(origin) != _host_and_port(f"//{host}"):
            message = f"web pages of {origin[:100]!r} are not served without --allow-origin"
            raise RefusedError(message, 403)

    def _check(self, path: str | None, headers: Headers, counts: bool, exchange: Exchange) -> None:
        self._check_web_page(headers)
        if headers.get("upgrade", "").lower() == "websocket":
            raise RefusedError(
                "WebSockets are not relayed: use the API over HTTP, with server-sent events", 501
            )
        if exchange.method == "TRACE":  # an upstream's answer repeats all headers, its key included
            raise RefusedError("TRACE is not relayed", 405)
        if path is None:
            raise RefusedError("the path is refused: it has dot segments, or is not a valid path", 404)
        if _is_open(path):
            return
        if self.tokens:
            exchange.owner = self.tokens.check(headers)
        if counts and self._running > self.limit:
            message = f"{self.limit} requests are in progress, the limit (--max-requests)"
            raise RefusedError(f"{message}: try again in a second", 429, headers={"Retry-After": "1"})


def _host_and_port(address: str) -> tuple[str, int | None]:
    """Return host and port of an address; "" and None if it is not valid."""
    with suppress(ValueError):
        parts = urlsplit(address)
        return parts.hostname or "", parts.port
    return "", None


def _note_answer(exchange: Exchange, message: Message) -> None:
    """Record status and request id of an answer, and give it one id: the upstream's, else ours."""
    exchange.status = message["status"]
    headers = MutableHeaders(scope=message)
    exchange.upstream_id = headers.get("x-request-id")
    headers["x-request-id"] = exchange.upstream_id or exchange.id


def _request_id(headers: Headers) -> str:
    """Return the id that the client sent, if it is safe in logs and headers; else a new one."""
    given = headers.get("x-request-id", "")
    return given if re.fullmatch(r"[\w.:-]{1,64}", given, re.ASCII) else uuid.uuid4().hex[:16]


def _is_open(path: str | None) -> bool:
    """Whether a path needs no token: a browser shows the page before it can be told one."""
    return path in ("/", "/healthz") or (path or "").startswith("/page/")
