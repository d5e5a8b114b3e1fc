"""Stream the JSON body of a request to the upstream, encoding files to base64 as they are sent.

The screenshots of a long session are some 100 MB as PNG. They are in the cache already, so they are not
copied here. They are released once they are sent, since a model may take minutes to answer.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping

from cotam.gateway.media import Media
from cotam.gateway.parts import Frames, Part

__all__ = ["Placeholders", "StreamedBody"]

_STEP = 3 << 18
"""Bytes of a file that are encoded at a time, a multiple of three."""

_PREFIX = 15
"""Length of the random prefix of placeholders, in bytes."""


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
            yield texts.pop()
            if files:
                file = memoryview(files.pop())
                for start in range(0, len(file), _STEP):
                    yield base64.b64encode(file[start : start + _STEP])

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


class Placeholders:
    """Placeholders for the files of a request, with which its JSON is written.

    ``changes`` are as given, with a placeholder instead of the bytes of each file.
    """

    def __init__(self, changes: Mapping[Part, Media | Frames]) -> None:
        self._prefix = secrets.token_bytes(_PREFIX)
        self._files: list[bytes] = []
        self.changes = {part: self._replace(new) for part, new in changes.items()}

    def _replace(self, new: Media | Frames) -> Media | Frames:
        if isinstance(new, Media):
            return self._stand_in(new)
        return [(text, self._stand_in(media)) for text, media in new]

    def _stand_in(self, media: Media) -> Media:
        self._files.append(media.data)
        return Media(media.media_type, self._prefix + (len(self._files) - 1).to_bytes(3))

    def fill(self, text: bytes) -> StreamedBody:
        """Return the body whose JSON, with placeholders, is ``text``."""
        texts = re.split(re.escape(base64.b64encode(self._prefix)) + b"(.{4})", text)
        numbers = [int.from_bytes(base64.b64decode(number)) for number in texts[1::2]]
        return StreamedBody(texts[::2], [self._files[number] for number in numbers])
