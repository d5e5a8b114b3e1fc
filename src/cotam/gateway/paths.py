"""Normalise the paths of requests, and find the API and the model that they name."""

from __future__ import annotations

import re
from string import punctuation
from typing import Literal
from urllib.parse import quote, unquote

__all__ = ["UPLOADS", "VERSIONS", "Api", "api_of", "escape", "model_in", "normal_path"]

Api = Literal["openai", "anthropic", "gemini"]

VERSIONS = ("v1", "v1alpha", "v1beta", "v1beta1")
"""First segments of the paths that are relayed."""

UPLOADS = "/upload/"
"""Before the version in the paths of uploads to Gemini's files, whose bodies are files."""

_GEMINI = re.compile(r"/models/([^/]+?)(?::|%3A)[A-Za-z]+$")
_ALSO_GEMINI = re.compile(rf"/v1(beta|alpha)|/v1/interactions(/|$)|{UPLOADS}")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")


def normal_path(raw: bytes) -> str | None:
    """Return the normal form of a path, which is checked and forwarded; None if the path is refused.

    Escapes of unreserved characters are decoded, others written in upper case (RFC 3986, section 6.2.2);
    repeated slashes become one, and a trailing one is removed. An escaped slash stays escaped. Dot segments,
    which servers resolve differently, and other strings are refused.
    """
    text = raw.partition(b"?")[0].decode("latin-1")
    if not text.startswith("/") or re.search(r"%(?![0-9A-Fa-f]{2})", text):
        return None
    text = re.sub("%[0-9A-Fa-f]{2}", _unescape, text)
    segments = [segment for segment in escape(text.encode("latin-1")).split("/") if segment]
    if any(segment in (".", "..") for segment in segments):
        return None
    return "/" + "/".join(segments)


def escape(raw: bytes) -> str:
    """Return a path or query with # and bytes escaped that are not printable ASCII, and nothing else."""
    return quote(raw, safe=punctuation.replace("#", ""))


def _unescape(found: re.Match[str]) -> str:
    character = chr(int(found[0][1:], 16))
    return character if _UNRESERVED.fullmatch(character) else found[0].upper()


def api_of(path: str) -> Api:
    """Return the API that a normal path belongs to."""
    if _GEMINI.search(path) or _ALSO_GEMINI.match(path):
        return "gemini"
    return "anthropic" if re.match(r"/v1/messages(/|$)", path) else "openai"


def model_in(path: str) -> str | None:
    """Return the model in a path of Gemini: …/models/MODEL:generateContent."""
    return unquote(found[1]) if (found := _GEMINI.search(path)) else None
