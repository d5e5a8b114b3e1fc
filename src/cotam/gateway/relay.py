"""Relay requests, with converted media, to the upstream, and stream its answers.

Answers are relayed byte for byte, so server-sent events, compression and future features of APIs pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx2
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from cotam.errors import InputError
from cotam.gateway.access_tokens import Tokens
from cotam.gateway.bodies import Bodies, Check, in_thread
from cotam.gateway.converter import Converter, Job, check_count, count_images, has_cotam, is_cotam_text
from cotam.gateway.exchange import Exchange, exchange_of
from cotam.gateway.json_body import StreamedBody, find_string, format_place, parse_json, to_json
from cotam.gateway.parts import Part, check_clear, models_of, parts, replace_media
from cotam.gateway.paths import UPLOADS, api_of, escape, model_in
from cotam.gateway.refusal import ERROR_HEADER, RefusedError
from cotam.gateway.request_options import options_in_headers
from cotam.gateway.send_once import STORED_HEADER, Received, Receiver, Sender, is_link, with_type
from cotam.gateway.store import RequestFiles, Store
from cotam.gateway.threads import Threads
from cotam.gateway.upstream import RawHeaders, Upstream, end_to_end
from cotam.gateway.upstream_kind import Detector, Peer

__all__ = ["JSON_PATHS", "Relay"]

_JSON_STARTS = b"{[\xef\xff\xfe\0"
"""First bytes of JSON that has parts: an object or a list, in UTF-8, UTF-16 or UTF-32."""

JSON_PATHS = ("/v1/chat/completions", "/v1/responses", "/v1/messages")
"""Paths whose bodies are JSON, whatever their media type says."""


@dataclass(frozen=True, eq=False)
class _Request:
    """A request in JSON that was read and checked."""

    body: bytes
    value: Any  # its JSON
    parts: list[Part]  # those that carry media
    is_repeated: bool  # whether an object has a key twice
    job: Job


@dataclass(eq=False)
class Relay:
    """An ASGI application for the paths of the API."""

    upstream: Upstream
    converter: Converter  # changes the media parts, in a thread of ``pool``
    pool: Threads
    bodies: Bodies
    max_images: int  # largest number of images in a request, frames of decoded videos included
    # tokens of this gateway; one that the client sends in place of its API key is not forwarded
    tokens: Tokens | None = None
    sender: Sender | None = None  # the edge's end of the link; None sends bodies unchanged
    receiver: Receiver | None = None  # the gateway's end of the link, with its store
    # checks that the upstream is a gateway; nothing is converted for one that is not
    peer: Peer | None = None
    detector: Detector | None = None  # finds the image formats that the upstream reads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.bodies.answer(scope, receive, partial(self._answer, scope, send))

    async def _answer(self, scope: Scope, send: Send, body: bytes) -> None:
        exchange = exchange_of(scope)
        received = None
        if self.receiver and is_link(scope["headers"]):
            with exchange.stage("link"):
                received = await asyncio.to_thread(self.receiver, body, exchange.owner)
            exchange.saved = len(received.body) - len(body)
            headers = with_type(scope["headers"], received.media_type)
            body, scope = received.body, {**scope, "headers": headers}
        content: bytes | StreamedBody = b""
        sender = None
        if body:
            with exchange.stage("images"):
                job = await self._job(exchange, received)
                content = await self._content(body, scope, job)
            if job:
                exchange.tokens, sender = job.tokens, self.sender
        try:
            with exchange.stage("upstream"):
                answer = await self._open(scope, content, exchange, sender)
        except RefusedError:
            if self.peer:
                self.peer.start()
            raise
        try:
            if self.peer:
                self.peer.check(answer.status_code, answer.headers)
            await _send_answer(
                answer, send, self._answer_headers(answer, exchange, scope["method"], received)
            )
        except httpx2.HTTPError as error:
            # The answer has begun: ending it early shows the client that it is incomplete.
            exchange.error = f"the upstream {self.upstream.name} broke off: {error or type(error).__name__}"
        finally:
            await answer.aclose()

    async def _job(self, exchange: Exchange, received: Received | None) -> Job | None:
        """Return the job of the converter; None if nothing is to be converted."""
        if self.peer and not await self.peer.takes_cotam():
            return None
        # Without a link there may be patches of a client that makes them itself.
        own = RequestFiles(self.receiver.store if self.receiver else Store(0), exchange.owner)
        return Job(
            conversions=exchange.conversions,
            max_images=self.max_images,
            files=received.files if received else own,
            each=self.pool.each,
        )

    async def _open(
        self, scope: Scope, content: bytes | StreamedBody, exchange: Exchange, sender: Sender | None
    ) -> httpx2.Response:
        """Send the request; return the answer of the upstream, whose body is still to be read."""
        path = scope["path"]
        url = self.upstream.url(path, escape(scope["query_string"]))
        headers = self.upstream.headers(scope["headers"], api_of(path), self.tokens)
        exchange.bytes_upstream = len(content)
        # Searching another large body for files would hold up all requests.
        if not sender or isinstance(content, StreamedBody) or content.lstrip()[:1] not in (b"{", b"["):
            return await self.upstream.open(scope["method"], url, headers, content)

        def open_(body: bytes, media_type: str) -> Awaitable[httpx2.Response]:
            return self.upstream.open(scope["method"], url, with_type(headers, media_type), body)

        kind = Headers(raw=headers).get("content-type", "")
        answer, sent = await sender.send(open_, content, kind)
        exchange.bytes_upstream, exchange.saved = sent, len(content) - sent
        return answer

    async def _content(self, body: bytes, scope: Scope, job: Job | None) -> bytes | StreamedBody:
        """Return the body for the upstream. Only requests with media wait for a thread of the pool."""
        request = await asyncio.to_thread(self._read, body, scope, job)
        if isinstance(request, bytes):
            return request
        if request.parts and self.detector:  # a server that is slow to answer delays no other requests
            request.job.formats = await self.detector.formats()
        return await in_thread(self.pool if request.parts else None, partial(self._convert, request))

    def _read(self, body: bytes, scope: Scope, job: Job | None) -> bytes | _Request:
        """Decompress and parse a body; one to be sent as it is stays bytes."""
        headers = Headers(scope=scope)
        options = options_in_headers(headers)
        body = self.bodies.decompress(body, headers)
        if job is None:
            return body
        parsed = self._parse(body, scope, headers)
        if parsed is None:
            self._check_no_cotam(body)
            return body
        value, is_repeated = parsed
        if self.converter.checks_addresses:
            check_clear(value)
        found = parts(value)
        job.images, job.options = count_images(found), options
        check_count(job.images, self.max_images)
        models = models_of(value)
        job.model = models.get(()) or model_in(scope["path"])
        job.models = {} if job.model else models
        job.rest = len(body) - sum(len(part.text) for part in found)
        return _Request(body, value, found, is_repeated, job)

    def _convert(self, request: _Request, check: Check) -> bytes | StreamedBody:
        """Convert the media of a request, and return its body."""
        check()
        request.job.check = check
        value = request.value
        changes = self.converter(request.parts, request.job)
        replace_media(value, changes)
        self._check_none_left(value)
        # A repeated key is sent once, as it was checked: programs differ in which value they take.
        if not changes and not request.is_repeated:
            return request.body
        content = to_json(value)
        return b"".join(content) if self.sender else content

    def _check_no_cotam(self, body: bytes) -> None:
        """Refuse a body that is not JSON, if it carries a .cotam file that the upstream does not read."""
        if not self.converter.passes_cotam and has_cotam(body):
            raise RefusedError(
                "the body carries a .cotam file in a form that is not decoded here: send it in JSON, or "
                "decode it with POST /v1/cotam/decode first"
            )

    def _check_none_left(self, value: Any) -> None:
        """Refuse converted JSON with a .cotam file left, if the upstream does not read these."""
        where = None if self.converter.passes_cotam else find_string(value, is_cotam_text)
        if where is not None:
            place = format_place(where) or "body"
            raise RefusedError(f"{place}: a .cotam file is not decoded at this place", param=place)

    def _parse(self, body: bytes, scope: Scope, headers: Headers) -> tuple[Any, bool] | None:
        """Parse a body as `parse_json`; None if it is not JSON. Raises RefusedError if it should be."""
        if scope["path"].startswith(UPLOADS):
            return None
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        first = body.lstrip()[:1]
        is_json = kind.endswith(("/json", "+json")) or scope["path"] in JSON_PATHS
        if not (is_json or (first and first in _JSON_STARTS)):
            return None
        try:
            return parse_json(body)
        except InputError as error:
            # Some servers read more as JSON: a value with text after it, or text that is not UTF-8. Uploaded
            # files may have lines of JSON.
            is_file = scope["path"].startswith("/v1/files")
            if is_json or (self.converter.checks_addresses and first in b"{[" and not is_file):
                raise RefusedError(str(error)) from error
            return None

    def _answer_headers(
        self, answer: httpx2.Response, exchange: Exchange, method: str, received: Received | None
    ) -> RawHeaders:
        if answer.status_code > 599:  # uvicorn sends none of these, and would close the connection
            message = f"the upstream {self.upstream.name} answers with the status {answer.status_code}"
            raise RefusedError(message, 502)
        headers = end_to_end(answer.headers.raw)
        if location := headers.get("location"):
            again = answer.status_code in (301, 302, 307, 308) and method not in ("GET", "HEAD")
            headers["location"] = self.upstream.location(location, str(answer.url), takes_body=again)
        del headers[STORED_HEADER]  # another gateway's
        if not self.peer:
            del headers[ERROR_HEADER]
        if received:
            headers[STORED_HEADER] = str(int(received.stored))
        headers["x-cotam-bytes"] = f"{exchange.bytes_in}, {exchange.bytes_upstream}"
        for name, count in (("x-cotam-tokens", exchange.tokens), ("x-cotam-saved", exchange.saved)):
            if count is not None:
                headers[name] = str(count)
        return headers.raw


async def _send_answer(answer: httpx2.Response, send: Send, headers: RawHeaders) -> None:
    await send({"type": "http.response.start", "status": answer.status_code, "headers": [*headers]})
    async for chunk in answer.aiter_raw():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
