"""Find out which server of open models an upstream is, and so which image formats it opens."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping

import httpx2

from cotam.gateway.refusal import RefusedError
from cotam.gateway.upstream import Upstream
from cotam.image.models import Server, servers

__all__ = ["Detector"]

SECONDS = 2
"""For the answer; a server that takes longer is asked again later."""

AGAIN_SECONDS = 30

_OWNERS = {
    "llamacpp": "llama.cpp",
    "library": "ollama",
    "organization_owner": "lm-studio",
    "vllm": "vllm",
    "sglang": "sglang",
}
"""``owned_by`` in lists of models → name in the table of servers."""

_MOST_BYTES = 1_000_000

_LOG = logging.getLogger("cotam.gateway")


class Detector:
    """Asks an upstream for its models, once, before the first request with a body."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._asked = -AGAIN_SECONDS * 1.0
        self._answered = False
        self._lock = asyncio.Lock()
        self.server: Server | None = None

    async def formats(self) -> tuple[str, ...] | None:
        """Formats of images that the upstream opens; None where that is not known, or where all pass."""
        async with self._lock:
            if not self._answered and time.monotonic() - self._asked >= AGAIN_SECONDS:
                self._asked = time.monotonic()
                await self._ask()
        return self.server.formats if self.server else None

    async def _ask(self) -> None:
        headers = self._upstream.headers([], "openai", None)
        try:
            async with asyncio.timeout(SECONDS):
                answer = await self._upstream.open("GET", self._upstream.url("/v1/models"), headers, b"")
                try:
                    small = int(answer.headers.get("content-length", "0")) <= _MOST_BYTES
                    body = await answer.aread() if answer.status_code == 200 and small else b""
                finally:
                    await answer.aclose()
        except (RefusedError, TimeoutError, httpx2.HTTPError, ValueError):
            return
        self._answered = True
        name = _name(answer.headers, body)
        self.server = next((server for server in servers() if server.name == name), None)
        if self.server:
            opens = ", ".join(self.server.formats or ("all formats of Pillow",))
            fields = {"url": self._upstream.name, "server": self.server.title, "opens": opens}
            _LOG.info("model server", extra={"fields": fields})


def _name(headers: Mapping[str, str], body: bytes) -> str | None:
    """The server's name in the table, by its answer to /v1/models."""
    if headers.get("server", "").lower().startswith("llama.cpp"):
        return "llama.cpp"
    try:
        owner = json.loads(body)["data"][0]["owned_by"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return _OWNERS.get(owner) if isinstance(owner, str) else None
