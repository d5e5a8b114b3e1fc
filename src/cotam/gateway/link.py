"""The body of a request on its way from ``cotam edge --gateway`` to ``cotam serve``.

Files are extracted from their base64 in JSON. A file that the gateway has is sent as its SHA-256, others as
raw bytes::

    4 bytes   "CTL1"
    1         bytes of the media type of the body itself
    4         bytes of the text, deflated
    4, 4      number of places, number of files
    ...       media type
    places    4 bytes: length of the text before it; 32: the file's SHA-256
    files     4 bytes of length each
    text      the body without its files, as a zlib stream
    ...       the files, one after the other

Integers are unsigned and big-endian. The reader computes the SHA-256 of the files that it gets. Files without
a place are images that patches are based on. `LinkBody.join` restores the input of `split` byte for byte,
without parsing JSON.
"""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from cotam.format.header import MAGIC
from cotam.gateway.bodies import decompress
from cotam.gateway.json_body import StreamedBody
from cotam.gateway.refusal import RefusedError
from cotam.gateway.store import digest_of

__all__ = ["LINK_TYPE", "LinkBody", "pack", "split", "unpack"]

LINK_TYPE = "application/vnd.cotam.link"

_MAGIC = b"CTL1"
_HEAD = ">4sBIII"

_COTAM = base64.b64encode(MAGIC)[: len(MAGIC) * 8 // 6]
_BASE64 = re.compile(
    rb'(?<=[",])(?:' + re.escape(_COTAM) + rb'[A-Za-z0-9+/]*|[A-Za-z0-9+/]{512,})={0,2}(?=")'
)
"""A file in JSON, after a quotation mark or ``;base64,``; small files other than .cotam stay."""

_MAX_FILES = 10_000
"""Largest number of files extracted from a body; others stay in the text."""


@dataclass(frozen=True)
class LinkBody:
    """A body without its files."""

    media_type: str
    texts: tuple[bytes, ...]  # before, between and after the files
    digests: tuple[bytes, ...]  # SHA-256 of the files between the texts
    # SHA-256 → file; for a body from the link, only the files sent with it
    files: Mapping[bytes, bytes] = field(repr=False)

    def join(self, files: Mapping[bytes, bytes]) -> StreamedBody:
        """Return the whole body, with these files as base64."""
        return StreamedBody([*self.texts], [files[digest] for digest in self.digests])


def split(body: bytes, media_type: str) -> LinkBody:
    """Extract the files from a JSON body."""
    texts: list[bytes] = []
    digests: list[bytes] = []
    files: dict[bytes, bytes] = {}
    done = 0
    for match in _BASE64.finditer(body):
        text = match.group()
        if len(text) % 4 or len(digests) == _MAX_FILES:
            continue
        data = base64.b64decode(text)
        if base64.b64encode(data) != text:  # unused bits at its end are set
            continue
        texts.append(body[done : match.start()])
        digests.append(digest_of(data))
        files[digests[-1]] = data
        done = match.end()
    return LinkBody(media_type, (*texts, body[done:]), tuple(digests), files)


def pack(body: LinkBody, files: Iterable[bytes]) -> bytes:
    """Serialise a body for the link with these files; others are named by their SHA-256."""
    files = list(files)
    text, kind = zlib.compress(b"".join(body.texts)), body.media_type.encode("latin-1")[:255]
    head = struct.pack(_HEAD, _MAGIC, len(kind), len(text), len(body.digests), len(files))
    before = zip(body.texts, body.digests, strict=False)  # the last text has no file after it
    places = [struct.pack(">I32s", len(text), digest) for text, digest in before]
    lengths = struct.pack(f">{len(files)}I", *map(len, files))
    return b"".join([head, kind, *places, lengths, text, *files])


def unpack(data: bytes, limit: int) -> LinkBody:
    """Parse the result of `pack`.

    Raises RefusedError: 400 if ``data`` is not valid or truncated, 413 if the inflated text has more than
    ``limit`` bytes.
    """
    stream = BytesIO(data)

    def take(size: int) -> bytes:
        piece = stream.read(size)
        if len(piece) < size:
            raise RefusedError(f"the link body was cut off: it has {len(data)} bytes, and more to come")
        return piece

    def fields(form: str) -> tuple[Any, ...]:
        return struct.unpack(form, take(struct.calcsize(form)))

    if not data.startswith(_MAGIC):
        raise RefusedError(f"the body is {LINK_TYPE}, and does not begin with {_MAGIC.decode()}")
    _, kind_length, text_length, count, files = fields(_HEAD)
    if count + files > 2 * _MAX_FILES:
        message = f"the link body has {count + files:,} files: more than the limit of {2 * _MAX_FILES:,}"
        raise RefusedError(message, 413)
    media_type = take(kind_length).decode("latin-1")
    if re.search("[\r\n\0]", media_type):
        raise RefusedError(f"the link body has the media type {media_type!r}, which no header can have")
    places = [fields(">I32s") for _ in range(count)]
    lengths = fields(f">{files}I")
    text = decompress(take(text_length), "deflate", limit)
    if (least := sum(length for length, _ in places)) > len(text):
        raise RefusedError(f"the link body has a place at {least} in a text of {len(text)} bytes")
    sent = [take(length) for length in lengths]
    if left := stream.read():
        raise RefusedError(f"the link body has {len(left)} bytes behind its end")
    rest = BytesIO(text)
    texts = *(rest.read(length) for length, _ in places), rest.read()
    digests = tuple(digest for _, digest in places)
    return LinkBody(media_type, texts, digests, {digest_of(file): file for file in sent})
