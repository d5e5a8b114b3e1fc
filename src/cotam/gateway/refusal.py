"""Answer errors in the format of each API."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from cotam.errors import CotamError
from cotam.gateway.paths import api_of

__all__ = ["ERROR_HEADER", "RefusedError", "refusal", "refusing"]

ERROR_HEADER = "x-cotam-error"
"""On errors of a gateway itself, and not on those of its upstream: the ``code``, or ``refused``."""

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_GOOGLE = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    504: "DEADLINE_EXCEEDED",
}


class RefusedError(Exception):
    """A request that is refused; the message is one line for the client.

    Attributes
    ----------
    status : HTTP status of the answer
    param : part of the request that the message is about, if any
    code : code for programs, if any: ``token_missing``, ``token_wrong``, …
    headers : headers of the answer
    body : body of the answer, if it is not for a client of an API
    """

    def __init__(
        self,
        message: str,
        status: int = 400,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] = {},
        body: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.body = body
        self.status, self.param, self.code, self.headers = status, param, code, dict(headers)


@contextmanager
def refusing(place: str | None = None) -> Iterator[None]:
    """Refuse the request on errors about an image, which is at ``place`` in it, or all of it."""
    prefix = f"{place}: " if place else ""
    try:
        yield
    except CotamError as error:
        raise RefusedError(f"{prefix}{error}", param=place) from error
    except MemoryError as error:
        raise RefusedError(f"{prefix}not enough memory for the image", 503, param=place) from error


async def refusal(request: Request, error: Exception) -> Response:
    """Answer any error, and record it for the log."""
    if isinstance(error, HTTPException):
        error = _of_route(error, request)
    elif not isinstance(error, RefusedError):
        error = RefusedError("internal error of the gateway: see its log", 500)
    request.scope["cotam.exchange"].error = str(error)
    headers = error.headers | {ERROR_HEADER: error.code or "refused"}
    text = json.dumps(error.body or _body(error, request.scope["path"]), ensure_ascii=False)
    body = text.encode("utf-8", "backslashreplace")  # keys of a request may have lone surrogates
    return Response(body, error.status, headers=headers, media_type="application/json")


def _body(error: RefusedError, path: str) -> dict[str, Any]:
    kind = _TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
    api = api_of(path)
    if api == "anthropic":
        kind = {413: "request_too_large", 404: "not_found_error"}.get(error.status, kind)
        kind = "api_error" if kind == "server_error" else kind
        return {"type": "error", "error": {"type": kind, "message": str(error)}}
    if api == "gemini":
        status = _GOOGLE.get(error.status, "INVALID_ARGUMENT" if error.status < 500 else "UNAVAILABLE")
        return {"error": {"code": error.status, "message": str(error), "status": status}}
    return {"error": {"message": str(error), "type": kind, "param": error.param, "code": error.code}}


def _of_route(error: HTTPException, request: Request) -> RefusedError:
    reasons = {
        404: f"no such path: {request.scope['path'][:200]!r}. Paths of the API begin with /v1/ or /v1beta/; "
        "the base URL of OpenAI's clients ends in /v1",
        405: f"{request.method} is not allowed for this path",
    }
    reason = reasons.get(error.status_code, error.detail)
    return RefusedError(reason, error.status_code, headers=error.headers or {})
