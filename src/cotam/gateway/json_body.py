"""Parse, search and write the JSON of requests.

The screenshots of a long session are some 100 MB as PNG. They are in the cache already, so they are encoded
to base64 as the body is sent, and released then, since a model may take minutes to answer.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cotam.errors import InputError

__all__ = [
    "Base64",
    "StreamedBody",
    "Where",
    "find_string",
    "format_place",
    "parse_json",
    "to_json",
]

Where = tuple[str | int, ...]
"""Keys and indices that lead from the body to a value in it."""

_NUMBER, _FILE = secrets.token_hex(), secrets.token_hex()
"""Stand for numbers and files while JSON is written; no request can have them."""

_STEP = 3 << 18
"""Bytes of a text that are sent, or of a file that are encoded, at a time; a multiple of three."""


@dataclass(frozen=True, slots=True)
class _Number:
    """A number that Python would write differently, such as 1.50 or one of more than 17 digits."""

    text: str


@dataclass(frozen=True, slots=True)
class Base64:
    """A string for JSON: a prefix, such as the head of a data URL, and a file in base64."""

    prefix: str
    data: bytes


class StreamedBody:
    """A body that is read once, in pieces: texts of JSON, and the files between them as base64."""

    def __init__(self, texts: list[bytes], files: list[bytes]) -> None:
        self._texts, self._files = texts, files
        self._length = sum(map(len, texts)) + sum(-(-len(file) // 3) * 4 for file in files)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        texts, files = self._texts[::-1], self._files[::-1]
        self._texts, self._files = [], []
        while texts:
            text = texts.pop()
            for start in range(0, len(text), _STEP):
                yield text[start : start + _STEP]
            if files:
                file = memoryview(files.pop())
                for start in range(0, len(file), _STEP):
                    yield base64.b64encode(file[start : start + _STEP])

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


def parse_json(body: bytes) -> tuple[Any, bool]:
    """Parse the body of a request, whose numbers `to_json` writes as they were.

    Returns the value, and whether an object has a key twice: its last value counts here, and some programs
    take the first. Raises InputError if the body is not JSON, or nested too deeply.
    """
    is_repeated = False

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal is_repeated
        found = dict(pairs)
        is_repeated = is_repeated or len(found) < len(pairs)
        return found

    try:
        value = json.loads(body, object_pairs_hook=unique, parse_float=_float, parse_int=_int)
        return value, is_repeated
    except (ValueError, RecursionError) as error:
        raise InputError(f"the body is not JSON: {error}") from error


def _float(text: str) -> float | _Number:
    number = float(text)
    return number if repr(number) == text else _Number(text)


def _int(text: str) -> int | _Number:
    return int(text) if len(text) < 20 and text != "-0" else _Number(text)


def to_json(value: Any) -> StreamedBody:
    """Write JSON, which may have `Base64`, in as few bytes as it allows."""
    files: list[bytes] = []

    def stand_in(value: _Number | Base64) -> str:
        if isinstance(value, _Number):
            return _NUMBER + value.text
        files.append(value.data)
        return value.prefix + _FILE

    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=stand_in)
    text = re.sub(f'"{_NUMBER}([^"]+)"', r"\1", text)
    written = text.encode("utf-8", "backslashreplace")  # lone surrogates become \\udxxx
    return StreamedBody(written.split(_FILE.encode()), files)


def format_place(where: Where) -> str:
    """Format a place: ``messages[0].content[1]``."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in where)
    return text.removeprefix(".")


def find_string(value: Any, is_wanted: Callable[[str], bool]) -> Where | None:
    """Return the place of the first wanted string in JSON, keys excepted; None if there is none."""
    where: list[str | int] = []
    levels: list[Iterator[tuple[str | int, Any]]] = [enumerate([value])]
    while levels:
        for key, item in levels[-1]:
            if isinstance(item, str):
                if is_wanted(item):
                    return (*where, key)[1:]
            elif isinstance(item, dict | list):
                where.append(key)
                levels.append(iter(item.items()) if isinstance(item, dict) else enumerate(item))
                break
        else:
            levels.pop()
            del where[-1:]
    return None
