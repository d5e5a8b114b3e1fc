"""Web pages of other origins that may use the gateway: ``--allow-origin``, as CORS has it."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response

from cotam.gateway.refusal import RefusedError

__all__ = ["Origins", "place_of"]

_EXPOSED = "X-Cotam-Bytes, X-Cotam-Error, X-Cotam-Saved, X-Cotam-Size, X-Cotam-Quality, X-Request-Id"
_LONGEST = 1000
"""Characters of a list of headers that is repeated in an answer."""


class Origins:
    """Decides which web pages are served.

    Parameters
    ----------
    allowed : origins beside the gateway's own, such as ``https://app.example.com``
    """

    def __init__(self, allowed: Collection[str] = ()) -> None:
        self._allowed = frozenset(allowed)

    def check(self, headers: Headers) -> None:
        """Raise `RefusedError` for a request of a page of an origin that is not allowed."""
        origin = headers.get("origin")
        if not origin or self.shares(headers):
            return
        if place_of(origin) != place_of(f"//{headers.get('host', '')}"):
            message = f"web pages of {origin[:100]!r} are not served: --allow-origin lets them in"
            raise RefusedError(message, 403)

    def shares(self, headers: Headers) -> bool:
        """Whether the page that asks is of another origin, and allowed."""
        return headers.get("origin") in self._allowed

    def preflight(self, method: str, headers: Headers) -> Response | None:
        """The answer to the question of a browser whether a page may send a request; None for others."""
        if method != "OPTIONS" or "access-control-request-method" not in headers or not self.shares(headers):
            return None
        wanted = headers.get("access-control-request-headers", "")[:_LONGEST]
        answer = {"access-control-allow-methods": "GET, POST, DELETE", "access-control-max-age": "600"}
        return Response(status_code=204, headers=answer | {"access-control-allow-headers": wanted})

    def headers(self, request: Headers) -> list[tuple[bytes, bytes]]:
        """Headers of an answer, so that the page that asks may read it."""
        if not self.shares(request):
            return []
        return [
            (b"access-control-allow-origin", request["origin"].encode("latin-1")),
            (b"access-control-expose-headers", _EXPOSED.encode()),
            (b"vary", b"origin"),
        ]


def place_of(address: str) -> tuple[str, int | None]:
    """Host and port; "" and None if they cannot be read."""
    with suppress(ValueError):
        parts = urlsplit(address)
        return parts.hostname or "", parts.port
    return "", None
