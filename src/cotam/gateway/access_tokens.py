"""Check the tokens of clients, which several headers may carry."""

from __future__ import annotations

import hashlib

from starlette.datastructures import Headers

from cotam.gateway.refusal import RefusedError

__all__ = ["CREDENTIALS", "TOKEN_HEADER", "Tokens"]

TOKEN_HEADER = "x-cotam-token"

CREDENTIALS = ("authorization", "x-api-key", "x-goog-api-key")
"""Headers in which clients of OpenAI, Anthropic and Gemini send their key."""


class Tokens:
    """The accepted tokens; clients send one in `TOKEN_HEADER` or in place of their API key."""

    def __init__(self, *tokens: str) -> None:
        self._owners = {_digest(token): _digest(f"owner {token}").hex()[:32] for token in tokens}

    def check(self, headers: Headers) -> str:
        """Return a name for the owner of the token that was sent; it does not reveal the token.

        Raises RefusedError: 401, saying whether the token is missing or wrong.
        """
        given = {
            name: _secret(name, headers[name]) for name in (TOKEN_HEADER, *CREDENTIALS) if name in headers
        }
        for secret in given.values():
            if owner := self._owner(secret):
                return owner
        message = (
            f"this Cotam gateway needs its token: send {TOKEN_HEADER}: TOKEN, or Authorization: Bearer TOKEN"
        )
        if TOKEN_HEADER in given:
            message = f"the token in {TOKEN_HEADER} is not this Cotam gateway's (its --token or COTAM_TOKEN)"
        elif given:
            name = next(iter(given))
            message = (
                f"the key in {name} is not this Cotam gateway's token: send the token there, or in "
                f"{TOKEN_HEADER} where {name} carries the model server's key"
            )
        code = "token_wrong" if given else "token_missing"
        raise RefusedError(message, 401, code=code, headers={"WWW-Authenticate": "Bearer"})

    def is_token_header(self, name: str, value: str) -> bool:
        """Whether a header carries one of the tokens; such headers are not forwarded."""
        return name in CREDENTIALS and self._owner(_secret(name, value)) is not None

    def _owner(self, secret: str) -> str | None:
        # By its digest: how long that takes says nothing about the tokens.
        return self._owners.get(_digest(secret))


def _secret(name: str, value: str) -> str:
    if name != "authorization":
        return value
    scheme, _, bearer = value.partition(" ")
    return bearer.strip() if scheme.lower() == "bearer" else ""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("latin-1", "replace")).digest()
