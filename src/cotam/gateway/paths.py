"""Normalise the paths of requests, and find the API and the model that they name."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import unquote

__all__ = ["Api", "api_of", "is_relayed", "model_in", "normal_path"]

Api = Literal["openai", "anthropic", "gemini"]

_RELAYED = re.compile(r"/v1(?:alpha|beta)?[0-9]?/.")
_GEMINI = re.compile(r"/models/([^/]+?)(?::|%3A)[A-Za-z]+$")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")


def normal_path(raw: bytes) -> str | None:
    """The one form of a path that rules are applied to and that is sent on; None for one that is refused.

    Escapes of unreserved characters are undone and others written in capitals (RFC 3986, section 6.2.2),
    slashes side by side become one, and one at the end goes. An escaped slash stays escaped. Refused are dot
    segments, which servers resolve in different ways, and what is not a path.
    """
    text = raw.partition(b"?")[0].decode("latin-1")
    if not text.startswith("/") or re.search(r"%(?![0-9A-Fa-f]{2})", text):
        return None
    text = re.sub("%[0-9A-Fa-f]{2}", _unescaped, text)
    text = re.sub(r"[^!-~]", lambda found: f"%{ord(found[0]):02X}", text)
    segments = [segment for segment in text.split("/") if segment]
    if any(segment in (".", "..") for segment in segments):
        return None
    return "/" + "/".join(segments)


def _unescaped(found: re.Match[str]) -> str:
    character = chr(int(found[0][1:], 16))
    return character if _UNRESERVED.fullmatch(character) else found[0].upper()


def is_relayed(path: str) -> bool:
    """Whether a normal path is for the upstream: /v1/…, and Gemini's /v1beta/… and its neighbours."""
    return bool(_RELAYED.match(path))


def api_of(path: str) -> Api:
    """The API whose client sends to this normal path."""
    if _GEMINI.search(path) or path.startswith(("/v1beta", "/v1alpha")):
        return "gemini"
    return "anthropic" if re.match(r"/v1/messages(/|$)", path) else "openai"


def model_in(path: str) -> str | None:
    """The model that Gemini's paths name: …/models/MODEL:generateContent."""
    found = _GEMINI.search(path)
    return unquote(found[1]) if found else None
