"""Detect whether an upstream is a CoTAM gateway that accepts the token, or a known model server."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import suppress

import httpx2

from cotam.gateway import log
from cotam.gateway.refusal import ERROR_HEADER, RefusedError
from cotam.gateway.upstream import Upstream
from cotam.image.models import Server, servers

__all__ = ["ABOUT", "SERVER", "Detector", "Peer"]

ABOUT = "/v1/cotam"
"""The path at which a gateway identifies itself."""

SERVER = "cotam serve"
"""The name of a gateway there."""

SECONDS = 3
"""Seconds to wait for an answer; a slower upstream is asked again later."""

AGAIN_SECONDS = 10
"""Smallest time between two requests."""


class _Poller:
    """Requests one path of an upstream, at most once in `AGAIN_SECONDS`."""

    def __init__(self, upstream: Upstream, path: str) -> None:
        self._upstream, self._path = upstream, path
        self._asked = -AGAIN_SECONDS * 1.0

    def _is_due(self) -> bool:
        """Whether `AGAIN_SECONDS` have passed since this last returned True."""
        if time.monotonic() - self._asked < AGAIN_SECONDS:
            return False
        self._asked = time.monotonic()
        return True

    async def _answer(self) -> tuple[int, Mapping[str, str], bytes]:
        """Return status, headers and, of a success, body. Raises RefusedError without an answer."""
        headers = self._upstream.headers([], "openai", None)
        try:
            async with asyncio.timeout(SECONDS):
                answer = await self._upstream.open("GET", self._upstream.url(self._path), headers, b"")
                try:
                    body = await answer.aread() if answer.status_code == 200 else b""
                finally:
                    await answer.aclose()
        except TimeoutError as error:
            raise RefusedError(f"no answer within {SECONDS} s", 504) from error
        except httpx2.HTTPError as error:
            raise RefusedError(f"no answer that can be read: {error}", 502) from error
        return answer.status_code, answer.headers, body


# Gateways

_ANSWERS = "the gateway answers"
_REFUSES = "the gateway refuses this edge"
_UNREACHABLE = "the gateway cannot be reached"
_OTHER = "no Cotam gateway here: images pass as they are"

_TOKEN_ERRORS = {
    "token_missing": "needs a token: give this edge --token or COTAM_TOKEN",
    "token_wrong": "refuses the token of this edge: correct its --token or COTAM_TOKEN",
}


class Peer(_Poller):
    """Checks the gateway of an edge at the start and after errors, and logs the result."""

    def __init__(self, upstream: Upstream) -> None:
        super().__init__(upstream, ABOUT)
        self._task: asyncio.Task[None] | None = None
        self._found: str | None = None  # one of the messages above

    def start(self) -> None:
        """Ask, unless that was done within `AGAIN_SECONDS` or is going on."""
        if (self._task is None or self._task.done()) and self._is_due():
            self._task = asyncio.ensure_future(self._ask())

    async def stop(self) -> None:
        """Cancel a request that is not answered yet."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def takes_cotam(self) -> bool:
        """Whether to send .cotam: unless the upstream is not a gateway. Waits for the first answer."""
        if self._task and self._found is None:
            await asyncio.wait({self._task}, timeout=SECONDS)
        if self._found not in (None, _ANSWERS):
            self.start()
        return self._found != _OTHER

    def check(self, status: int, headers: Mapping[str, str]) -> None:
        """Ask again after an error, and raise RefusedError (401) if it is about the token of this edge."""
        if status < 400:
            return
        self.start()
        problem = _TOKEN_ERRORS.get(headers.get(ERROR_HEADER, ""))
        if problem:
            raise RefusedError(f"the gateway {self._upstream.name} {problem}", 401, code="edge_token")

    async def _ask(self) -> None:
        before = self._found
        try:
            self._found, text = _classify(*await self._answer())
        except RefusedError as error:
            self._found, text = _UNREACHABLE, str(error)
        if self._found != before:
            write = log.info if self._found == _ANSWERS else log.warning
            write(self._found, url=self._upstream.name, found=text)


def _classify(status: int, headers: Mapping[str, str], body: bytes) -> tuple[str, str]:
    """Classify an answer at `ABOUT`: return a message for the log, and what the answer was."""
    if status == 200 and SERVER.encode() in body:
        return _ANSWERS, body.decode("utf-8", "replace")[:200]
    problem = _TOKEN_ERRORS.get(headers.get(ERROR_HEADER, ""))
    if problem:
        return _REFUSES, f"it {problem}"
    server = headers.get("server", "")
    text = f"status {status}" + (f" of {server}" if server else "")
    if headers.get(ERROR_HEADER) or status == 429:
        return _REFUSES, text
    return (_UNREACHABLE, text) if status >= 500 else (_OTHER, f"{text} at {ABOUT}")


# Servers of open models

_OWNERS = {
    "llamacpp": "llama.cpp",
    "library": "ollama",
    "organization_owner": "lm-studio",
    "vllm": "vllm",
    "sglang": "sglang",
}
"""``owned_by`` in lists of models → name in the table of servers."""


class Detector(_Poller):
    """Asks an upstream for its models before the first request with media, until it has answered."""

    def __init__(self, upstream: Upstream) -> None:
        super().__init__(upstream, "/v1/models")
        self._answered, self._lock = False, asyncio.Lock()
        self.server: Server | None = None

    async def formats(self) -> tuple[str, ...] | None:
        """Return the image formats that the upstream opens; None if unknown, or if it opens all."""
        async with self._lock:
            if not self._answered and self._is_due():
                with suppress(RefusedError):
                    status, headers, body = await self._answer()
                    name = _name(headers, body)
                    # An unnamed error may be that of a proxy whose server is still starting.
                    self._answered = status < 500 or name is not None
                    self._recognise(name)
        return self.server.formats if self.server else None

    def _recognise(self, name: str | None) -> None:
        self.server = next((server for server in servers() if server.name == name), None)
        if self.server:
            opens = ", ".join(self.server.formats or ("all formats of Pillow",))
            log.info("model server", url=self._upstream.name, server=self.server.title, opens=opens)


def _name(headers: Mapping[str, str], body: bytes) -> str | None:
    """Return the server's name in the table, by its answer to /v1/models."""
    if headers.get("server", "").lower().startswith("llama.cpp"):
        return "llama.cpp"
    try:
        owner = json.loads(body)["data"][0]["owned_by"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return _OWNERS.get(owner) if isinstance(owner, str) else None
