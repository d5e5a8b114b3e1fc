"""The picture and video parts of a request: where they are, and the request with others in their place.

Knows the JSON of ``/v1/chat/completions`` and ``/v1/responses``, and data URLs: nothing of HTTP, nor of what
is in a picture. What it does not know is carried along as it is.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from cotam.errors import InputError

__all__ = ["Frames", "Part", "data_url", "parse_json", "parts", "read_data_url", "replaced", "to_json"]

Where = tuple[str | int, ...]
"""Keys and indices that lead from the body to an address."""

_KINDS = {"image_url": "image", "video_url": "video", "audio_url": "audio", "file_url": "file"}
"""Keys of addresses, and what is there. Types are not asked: vLLM goes by the key where there is none."""


@dataclass(frozen=True)
class Part:
    """A picture, video, sound or file in a request: where its address is, and the address."""

    where: Where
    url: str

    @property
    def name(self) -> str:
        """As in error messages: ``messages[0].content[1].image_url``."""
        text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in self._key)
        return text.removeprefix(".")

    @property
    def kind(self) -> str:
        """What the request says that it is: image, video, audio or file."""
        return _KINDS[str(self._key[-1])]

    @property
    def place(self) -> Where:
        """Where the part itself is. It is one of several if this ends in a number."""
        return self._key[:-1]

    @property
    def _key(self) -> Where:
        return self.where[:-1] if self.where[-1] == "url" else self.where


@dataclass(frozen=True)
class Frames:
    """What comes in the place of a part: pictures, each after a text.

    Attributes
    ----------
    place : of the part, one of several
    frames : text, "" is none, and address of each
    """

    place: Where
    frames: Sequence[tuple[str, str]]


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
    """All parts that have an address, in order; none of what is no such request."""
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
    for key in _KINDS:
        address = part.get(key)
        if isinstance(address, str):
            yield Part((*where, key), address)
        elif isinstance(address, dict) and isinstance(address.get("url"), str):
            yield Part((*where, key, "url"), address["url"])


def replaced(body: Any, news: Mapping[Where, str | Frames]) -> Any:
    """The body with other addresses, or frames; it is not changed itself, and shares what stays the same.

    Those of `parts` are to be in their order.
    """
    for where, new in reversed(list(news.items())):  # what comes later moves, where frames come in
        if isinstance(new, Frames):
            body = _with(body, new.place[:-1], partial(_with_frames, new))
        else:
            body = _with(body, where, partial(_instead, new))
    return body


def _instead(new: str, old: str) -> str:
    return new


def _with(value: Any, where: Where, change: Callable[[Any], Any]) -> Any:
    if not where:
        return change(value)
    copy = value.copy()
    copy[where[0]] = _with(value[where[0]], where[1:], change)
    return copy


def _with_frames(new: Frames, content: list[Any]) -> list[Any]:
    number = new.place[-1]
    assert isinstance(number, int)
    part = content[number]
    chat = new.place[0] == "messages"
    address = part.get("image_url")
    detail = (address if chat and isinstance(address, dict) else part).get("detail")
    pictures: list[Any] = []
    for text, url in new.frames:
        if text:
            pictures.append({"type": "text" if chat else "input_text", "text": text})
        if chat:
            pictures.append(
                {"type": "image_url", "image_url": {"url": url} | ({"detail": detail} if detail else {})}
            )
        else:
            pictures.append({"type": "input_image", "image_url": url, "detail": detail or "auto"})
    return content[:number] + pictures + content[number + 1 :]


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
