"""The picture parts of a request: where they are, and the request with other addresses in their place.

Knows the JSON of ``/v1/chat/completions`` and ``/v1/responses``, and data URLs: nothing of HTTP, nor of what
is in a picture. What it does not know is carried along as it is.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cotam.errors import InputError

__all__ = ["Part", "data_url", "parse_json", "parts", "read_data_url", "replaced", "to_json"]

Where = tuple[str | int, ...]
"""Keys and indices that lead from the body to an address."""

_KINDS = {"image_url", "input_image", "computer_screenshot"}


@dataclass(frozen=True)
class Part:
    """A picture in a request: where its address is, and the address."""

    where: Where
    url: str

    @property
    def name(self) -> str:
        """As in error messages: ``messages[0].content[1].image_url``."""
        keys = self.where[:-1] if self.where[-1] == "url" else self.where
        text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
        return text.removeprefix(".")


def parse_json(body: bytes) -> Any:
    """The body's value.

    Raises
    ------
    InputError
        if it is not JSON, or nested too deeply
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the body is not JSON: {error}") from error


def to_json(value: Any) -> bytes:
    """As few bytes as JSON allows."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")  # what UTF-8 cannot say, a lone surrogate, as \\udxxx


def parts(body: Any) -> list[Part]:
    """All picture parts of a request that have an address, in order; none of what is no such request."""
    if not isinstance(body, dict):
        return []
    return [
        part
        for name in ("messages", "input")
        for number, item in _numbered(body.get(name))
        for key in ("content", "output")
        for part in _in_content(item.get(key), (name, number, key))
    ]


def _numbered(value: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, dict):
            yield number, item


def _in_content(content: Any, where: Where) -> Iterator[Part]:
    if isinstance(content, dict):  # a tool's screenshot
        yield from _in_part(content, where)
    for number, item in _numbered(content):
        yield from _in_part(item, (*where, number))


def _in_part(part: dict[str, Any], where: Where) -> Iterator[Part]:
    kind = part.get("type")
    if not isinstance(kind, str) or kind not in _KINDS:
        return
    address = part.get("image_url")
    if isinstance(address, str):
        yield Part((*where, "image_url"), address)
    elif isinstance(address, dict) and isinstance(address.get("url"), str):
        yield Part((*where, "image_url", "url"), address["url"])


def replaced(body: Any, urls: Mapping[Where, str]) -> Any:
    """The body with other addresses; the one given is not changed, and shares what stays the same."""
    for where, url in urls.items():
        body = _with(body, where, url)
    return body


def _with(value: Any, where: Where, url: str) -> Any:
    if not where:
        return url
    copy = value.copy()
    copy[where[0]] = _with(value[where[0]], where[1:], url)
    return copy


def read_data_url(url: str) -> tuple[str, bytes] | None:
    """Media type, in small letters, and data of a base64 data URL; None if it is another address.

    Raises
    ------
    InputError
        if it is not base64
    """
    head, comma, text = url.partition(",")
    if not comma or head[:5].lower() != "data:" or not head.lower().endswith(";base64"):
        return None
    media_type = head[5:].partition(";")[0].strip().lower()
    try:
        return media_type, base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass  # lines may be broken
    try:
        return media_type, base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"the data are not base64: {error}") from error


def data_url(media_type: str, data: bytes) -> str:
    """``data:…;base64,…``"""
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"
