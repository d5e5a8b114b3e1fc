"""The body of a request on its way from ``cotam edge --gateway`` to ``cotam serve``.

JSON carries files as base64. Here they are taken out of it: a file that the gateway holds crosses as its
SHA-256, others cross as they are::

    4 bytes   "CTL1"
    1         bytes of the media type of the body itself
    4         bytes of the text, deflated
    4, 4      number of places, number of files
    ...       media type
    places    4 bytes of text before it, counted from the place before, and 32 of the file's SHA-256
    files     4 bytes of length each
    text      the body without its files, as a zlib stream
    ...       the files, one after the other

Integers are unsigned and big-endian. Whoever reads it computes the SHA-256 of the files that came. Files that
no place names are images that patches are based on. A body comes out of `Body.join` as it went into `split`,
byte for byte: no API's JSON is parsed.
"""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cotam.errors import InputError, LimitError
from cotam.format.header import MAGIC
from cotam.gateway.store import digest_of

__all__ = ["LINK_TYPE", "Body", "pack", "split", "unpack"]

LINK_TYPE = "application/vnd.cotam.link"

_MAGIC = b"CTL1"
_HEAD = ">4sBIII"

_COTAM = base64.b64encode(MAGIC)[: len(MAGIC) * 8 // 6]
_BASE64 = re.compile(
    rb'(?<=[",])(?:' + re.escape(_COTAM) + rb'[A-Za-z0-9+/]*|[A-Za-z0-9+/]{512,})={0,2}(?=")'
)
"""A file in JSON: behind a quotation mark or ``;base64,``. Of other files than .cotam, small ones stay."""

_MOST = 10_000
"""Files that are taken out of one body; more of them stay in the text."""


@dataclass(frozen=True)
class Body:
    """A body, taken apart.

    Attributes
    ----------
    media_type : of the body
    text : the body without its files
    places : where files belong: offset in ``text``, ascending, and SHA-256
    files : by SHA-256; of a body that crossed the link, those that came with it
    """

    media_type: str
    text: bytes
    places: tuple[tuple[int, bytes], ...]
    files: Mapping[bytes, bytes] = field(repr=False)

    @property
    def digests(self) -> dict[bytes, None]:
        """SHA-256 of each file of the body once, in order."""
        return dict.fromkeys(digest for _, digest in self.places)

    def size(self, files: Mapping[bytes, bytes]) -> int:
        """Bytes of the whole body, with these files in it."""
        return len(self.text) + sum(-(-len(files[digest]) // 3) * 4 for _, digest in self.places)

    def join(self, files: Mapping[bytes, bytes]) -> bytes:
        """The whole body, with these files in it as base64."""
        pieces, done = [], 0
        for offset, digest in self.places:
            pieces += [self.text[done:offset], base64.b64encode(files[digest])]
            done = offset
        return b"".join([*pieces, self.text[done:]])


def split(body: bytes, media_type: str) -> Body:
    """Take the files out of a JSON body."""
    pieces: list[bytes] = []
    places: list[tuple[int, bytes]] = []
    files: dict[bytes, bytes] = {}
    done = size = 0
    for match in _BASE64.finditer(body):
        text = match.group()
        if len(text) % 4 or len(places) == _MOST:
            continue
        data = base64.b64decode(text)
        if base64.b64encode(data) != text:  # unused bits at its end are set
            continue
        pieces.append(body[done : match.start()])
        size += len(pieces[-1])
        digest = digest_of(data)
        places.append((size, digest))
        files[digest] = data
        done = match.end()
    return Body(media_type, b"".join([*pieces, body[done:]]), tuple(places), files)


def pack(body: Body, files: Iterable[bytes]) -> bytes:
    """A body as it crosses the link, with these files; of others it has the SHA-256."""
    files = list(files)
    text, kind = zlib.compress(body.text), body.media_type.encode("latin-1")[:255]
    head = struct.pack(_HEAD, _MAGIC, len(kind), len(text), len(body.places), len(files))
    places, done = [], 0
    for offset, digest in body.places:
        places.append(struct.pack(">I32s", offset - done, digest))
        done = offset
    lengths = struct.pack(f">{len(files)}I", *map(len, files))
    return b"".join([head, kind, *places, lengths, text, *files])


def unpack(data: bytes, limit: int) -> Body:
    """Read what `pack` wrote; ``files`` has what came.

    Raises InputError if ``data`` is something else, or was cut off; LimitError if the text has more than
    ``limit`` bytes when it is inflated.
    """
    reader = _Reader(data)
    if not data.startswith(_MAGIC):
        raise InputError(f"the body is {LINK_TYPE}, and does not begin with {_MAGIC.decode()}")
    _, kind_length, text_length, count, files = reader.unpack(_HEAD)
    if count + files > 2 * _MOST:
        raise LimitError(f"the link body has {count + files:,} files: more than the limit of {2 * _MOST:,}")
    media_type = reader.take(kind_length).decode("latin-1")
    places, offset = [], 0
    for _ in range(count):
        before, digest = reader.unpack(">I32s")
        offset += before
        places.append((offset, digest))
    lengths = reader.unpack(f">{files}I")
    text = _inflated(reader.take(text_length), limit)
    if offset > len(text):
        raise InputError(f"the link body has a place at {offset} in a text of {len(text)} bytes")
    sent = [reader.take(length) for length in lengths]
    if left := len(data) - reader.at:
        raise InputError(f"the link body has {left} bytes behind its end")
    return Body(media_type, text, tuple(places), {digest_of(file): file for file in sent})


def _inflated(data: bytes, limit: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(data, limit + 1)
    except zlib.error as error:
        raise InputError(f"the text of the link body is damaged: {error}") from error
    if len(text) > limit:
        raise LimitError(f"the body is larger than the limit of {limit:,} bytes")
    if not inflater.eof:
        raise InputError("the text of the link body was cut off")
    return text


class _Reader:
    """Reads fields one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def take(self, size: int) -> bytes:
        piece = self._data[self.at : self.at + size]
        if len(piece) < size:
            raise InputError(f"the link body was cut off: it has {len(self._data)} bytes, and more to come")
        self.at += size
        return piece

    def unpack(self, form: str) -> tuple[Any, ...]:
        return struct.unpack(form, self.take(struct.calcsize(form)))
