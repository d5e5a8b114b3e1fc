"""The gateway's own token: which headers may carry it, and whether it is the right one."""

from __future__ import annotations

import hashlib
import hmac

from starlette.datastructures import Headers

from cotam.gateway.refusal import RefusedError

__all__ = ["CREDENTIALS", "TOKEN_HEADER", "Token"]

TOKEN_HEADER = "x-cotam-token"

CREDENTIALS = ("authorization", "x-api-key", "x-goog-api-key")
"""Headers in which clients of OpenAI's, Anthropic's and Gemini's APIs send their key."""


class Token:
    """A token that clients must send: in `TOKEN_HEADER`, or where their API's key goes."""

    def __init__(self, token: str) -> None:
        self._digest = _digest(token)

    def check(self, headers: Headers) -> None:
        """Raise `RefusedError` 401, saying whether the token is missing or wrong."""
        given = {
            name: _secret(name, headers[name]) for name in (TOKEN_HEADER, *CREDENTIALS) if name in headers
        }
        if any(self._is(secret) for secret in given.values()):
            return
        header = {"WWW-Authenticate": "Bearer"}
        if TOKEN_HEADER in given:
            message = f"the token in {TOKEN_HEADER} is not this Cotam gateway's (its --token or COTAM_TOKEN)"
            raise RefusedError(message, 401, code="token_wrong", headers=header)
        if given:
            name = next(iter(given))
            message = (
                f"the key in {name} is not this Cotam gateway's token: send the token there, or in "
                f"{TOKEN_HEADER} where {name} carries the model server's key"
            )
            raise RefusedError(message, 401, code="token_wrong", headers=header)
        message = (
            f"this Cotam gateway needs its token: send {TOKEN_HEADER}: TOKEN, or Authorization: Bearer TOKEN"
        )
        raise RefusedError(message, 401, code="token_missing", headers=header)

    def is_in(self, name: str, value: str) -> bool:
        """Whether a header's value is the token. Such a header is not sent on."""
        return name in CREDENTIALS and self._is(_secret(name, value))

    def _is(self, secret: str) -> bool:
        # Digests have equal lengths, so the time tells nothing about the token, not even its length.
        return hmac.compare_digest(_digest(secret), self._digest)


def _secret(name: str, value: str) -> str:
    if name != "authorization":
        return value
    scheme, _, bearer = value.partition(" ")
    return bearer.strip() if scheme.lower() == "bearer" else ""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("latin-1", "replace")).digest()
