"""What stands behind ``cotam edge --gateway``: whether it is a Cotam gateway, and takes the edge's token."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Literal

from cotam.gateway.refusal import ERROR_HEADER, RefusedError
from cotam.gateway.upstream import Upstream

__all__ = ["ABOUT", "Peer"]

ABOUT = "/v1/cotam"
"""The path at which a gateway says that it is one."""

SERVER = "cotam serve"
"""What it calls itself there."""

SECONDS = 5
"""A gateway that has not answered by then is taken for one that cannot be reached."""

AGAIN_SECONDS = 10
"""Between two checks."""

Found = Literal["gateway", "refuses", "unreachable", "other"]

_LOG = logging.getLogger("cotam.gateway")

_TOKEN_ERRORS = {
    "token_missing": "needs a token: give this edge --token or COTAM_TOKEN",
    "token_wrong": "refuses the token of this edge: correct its --token or COTAM_TOKEN",
}


class Peer:
    """The gateway of an edge, asked at the start and again after errors. What was found is logged."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._task: asyncio.Task[None] | None = None
        self._asked = -AGAIN_SECONDS * 1.0
        self.found: Found | None = None

    def start(self) -> None:
        """Ask, unless that was done a moment ago."""
        if time.monotonic() - self._asked >= AGAIN_SECONDS:
            self._asked = time.monotonic()
            self._task = asyncio.ensure_future(self._ask())

    async def stop(self) -> None:
        """Give up a question that is not answered yet."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def takes_cotam(self) -> bool:
        """Whether to send .cotam: not to what is certainly no gateway. Waits for the first answer."""
        if self._task and self.found is None:
            await asyncio.wait({self._task}, timeout=SECONDS)
        if self.found not in (None, "gateway"):
            self.start()
        return self.found != "other"

    def check(self, status: int, headers: Mapping[str, str]) -> None:
        """Look at an answer: ask again after an error, and say whose token was refused.

        Raises
        ------
        RefusedError
            401 if the gateway refuses the token of this edge, or asks for one
        """
        if status < 400:
            return
        self.start()
        problem = _TOKEN_ERRORS.get(headers.get(ERROR_HEADER, ""))
        if problem:
            raise RefusedError(f"the gateway {self._upstream.name} {problem}", 401, code="edge_token")

    async def _ask(self) -> None:
        before, self.found = self.found, self.found
        url = self._upstream.url(ABOUT)
        headers = self._upstream.headers([], "openai", None)
        try:
            async with asyncio.timeout(SECONDS):
                answer = await self._upstream.open("GET", url, headers, b"")
                try:
                    body = await answer.aread() if answer.status_code == 200 else b""
                finally:
                    await answer.aclose()
            self.found, text = _judged(answer.status_code, answer.headers, body)
        except (RefusedError, TimeoutError) as error:
            self.found, text = "unreachable", str(error) or f"no answer within {SECONDS} s"
        if self.found != before:
            level = logging.INFO if self.found == "gateway" else logging.WARNING
            fields = {"url": self._upstream.name, "found": text}
            _LOG.log(level, _MESSAGES[self.found], extra={"fields": fields})


_MESSAGES: dict[Found, str] = {
    "gateway": "the gateway answers",
    "refuses": "the gateway refuses this edge",
    "unreachable": "the gateway cannot be reached",
    "other": "no Cotam gateway here: images pass as they are",
}


def _judged(status: int, headers: Mapping[str, str], body: bytes) -> tuple[Found, str]:
    """What an answer at `ABOUT` shows, and a text for the log."""
    server = headers.get("server", "")
    if status == 200 and SERVER.encode() in body:
        return "gateway", body.decode("utf-8", "replace")[:200]
    problem = _TOKEN_ERRORS.get(headers.get(ERROR_HEADER, ""))
    if problem:
        return "refuses", f"it {problem}"
    if headers.get(ERROR_HEADER) or status == 429:
        return "refuses", f"status {status}"
    if status >= 500:
        return "unreachable", f"status {status}" + (f" of {server}" if server else "")
    return "other", f"status {status}" + (f" of {server}" if server else "") + f" at {ABOUT}"
