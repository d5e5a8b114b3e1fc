"""Requests to the upstream, with other pictures in them, and answers back as they come.

Knows HTTP, and that a converter changes picture parts: not how. Answers are relayed byte for byte, so
server-sent events, compression and whatever an API may invent pass as they are.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import urlsplit

import httpx2
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from cotam.errors import CotamError
from cotam.gateway.convert import Converter, Job, Note, RefusedError, Wish, check_count, count_pictures
from cotam.gateway.exchange import exchange_of
from cotam.gateway.guard import TOKEN_HEADER, Bodies, in_thread, while_connected
from cotam.gateway.rewrite import parse_json, parts, replaced, to_json
from cotam.gateway.wish import wish_in_headers

__all__ = ["Relay", "Upstream"]

WITH_PICTURES = {"/v1/chat/completions", "/v1/responses"}
CONNECT_SECONDS = 10

_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
_OURS = {"host", "content-length", "expect"}


class Upstream:
    """Where requests go.

    Parameters
    ----------
    address : what a client of OpenAI's takes as base URL; /v1 is added if it has no path
    key : bearer for it in place of the client's, if any
    token : for a gateway that asks for one, sent as ``X-Cotam-Token``
    silence : seconds without a byte of the answer after which it is given up
    connections : open at a time
    """

    def __init__(
        self,
        address: str,
        *,
        key: str | None = None,
        token: str | None = None,
        silence: float = 600,
        connections: int = 64,
    ) -> None:
        parsed = urlsplit(address)
        if parsed.scheme not in ("http", "https") or not parsed.hostname or parsed.query or parsed.fragment:
            raise ValueError(f"{address!r} is not an address such as http://localhost:8000/v1")
        self.name = f"{parsed.scheme}://{parsed.netloc.rpartition('@')[2]}"
        self._base = address.rstrip("/") + ("" if parsed.path.strip("/") else "/v1")
        self._key, self._token, self._silence = key, token, silence
        self._connections = connections
        self._client: httpx2.AsyncClient | None = None

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Requests can be sent within."""
        timeout = httpx2.Timeout(self._silence, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS)
        # Servers drop idle connections, uvicorn after 5 s: a request must not be sent into that moment.
        limits = httpx2.Limits(max_connections=self._connections, keepalive_expiry=2)
        async with httpx2.AsyncClient(timeout=timeout, limits=limits) as self._client:
            yield

    def headers(self, given: Headers, *, token_was_bearer: bool) -> list[tuple[str, str]]:
        """Those of the client, without what concerns this connection, or this gateway, alone."""
        named = {name.strip().lower() for name in given.get("connection", "").split(",")}
        left_out = _HOP | _OURS | named
        if self._key or token_was_bearer:
            left_out.add("authorization")
        kept = [
            (name, value)
            for name, value in given.items()
            if name not in left_out and not name.startswith("x-cotam-")
        ]
        if "accept-encoding" not in given:
            kept.append(("accept-encoding", "identity"))  # the answer is not unpacked on its way
        if self._key:
            kept.append(("authorization", f"Bearer {self._key}"))
        if self._token:
            kept.append((TOKEN_HEADER, self._token))
        return kept

    async def open(
        self, method: str, path: str, query: str, headers: list[tuple[str, str]], body: bytes
    ) -> httpx2.Response:
        """The answer, of which the body is still to be read.

        Raises
        ------
        RefusedError
            502 if the upstream cannot be reached or breaks off, 504 if it says nothing
        """
        assert self._client
        url = self._base + path + (f"?{query}" if query else "")
        try:
            request = self._client.build_request(method, url, headers=headers, content=body or None)
            return await self._client.send(request, stream=True)
        except httpx2.ConnectTimeout as error:
            raise RefusedError(f"the upstream {self.name} cannot be reached: no answer", 502) from error
        except httpx2.TimeoutException as error:
            message = f"the upstream {self.name} has said nothing for {self._silence:g} s"
            raise RefusedError(message, 504) from error
        except httpx2.HTTPError as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise RefusedError(f"the upstream {self.name} cannot be reached: {reason}", 502) from error


class Relay:
    """An ASGI application for everything below /v1.

    Parameters
    ----------
    converter : changes the picture parts, in a thread of ``pool``
    most : pictures in one request, each frame of a video that is decoded among them
    token : of this gateway: where the client's bearer is that, it is not passed on
    """

    def __init__(
        self,
        upstream: Upstream,
        converter: Converter,
        pool: Executor,
        bodies: Bodies,
        *,
        most: int,
        token: str | None = None,
    ) -> None:
        self._upstream, self._converter, self._pool, self._bodies = upstream, converter, pool, bodies
        self._most, self._token = most, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await self._bodies.read(scope, receive)
        try:
            await while_connected(receive, self._answer(scope, send, body))
        finally:
            self._bodies.release(body)

    async def _answer(self, scope: Scope, send: Send, body: bytes) -> None:
        exchange = exchange_of(scope)
        headers = Headers(scope=scope)
        # As the client wrote it: a decoded path could say something else to the upstream.
        path = scope.get("raw_path", scope["path"].encode()).decode("latin-1").partition("?")[0]
        if not path.startswith("/v1/") or any(part in (".", "..") for part in scope["path"].split("/")):
            raise RefusedError("there is no such path", 404)
        if scope["method"] == "POST" and scope["path"] in WITH_PICTURES:
            started = time.perf_counter()
            wish = wish_in_headers(headers)
            body = await in_thread(self._pool, partial(self._rewrite, body, wish, exchange.notes))
            exchange.seconds["pictures"] = time.perf_counter() - started
        exchange.bytes_upstream = len(body)
        bearer = headers.get("authorization", "").partition(" ")[2]
        passed_on = self._upstream.headers(
            headers, token_was_bearer=bool(self._token) and bearer == self._token
        )
        started = time.perf_counter()
        query = scope["query_string"].decode("latin-1")
        answer = await self._upstream.open(scope["method"], path[3:], query, passed_on, body)
        exchange.seconds["upstream"] = time.perf_counter() - started
        try:
            await self._relay(answer, send, {"x-cotam-bytes": f"{exchange.bytes_in}, {len(body)}"})
        except httpx2.HTTPError as error:
            # The answer has begun: it can only be broken off, so that the client sees that it is not whole.
            exchange.error = f"the upstream {self._upstream.name} broke off: {error or type(error).__name__}"
        finally:
            await answer.aclose()

    def _rewrite(self, body: bytes, wish: Wish, notes: list[Note], check: Callable[[], None]) -> bytes:
        """In a thread of the pool: bodies are large, and other requests shall not wait for them."""
        check()
        job = Job(wish=wish, check=check, notes=notes)
        try:
            value = parse_json(body)
        except CotamError as error:
            raise RefusedError(str(error)) from error
        found = parts(value)
        check_count(count_pictures(found), self._most)
        job.rest, job.most = len(body) - sum(len(part.url) for part in found), self._most
        news = self._converter(found, job)
        return to_json(replaced(value, news)) if news else body

    async def _relay(self, answer: httpx2.Response, send: Send, added: Mapping[str, str]) -> None:
        raw = [(name.lower(), value) for name, value in answer.headers.raw]
        kept = [(name, value) for name, value in raw if name.decode() not in _HOP | added.keys()]
        kept += [(name.encode(), value.encode()) for name, value in added.items()]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
        async for chunk in answer.aiter_raw():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
