"""The body of a request on its way from ``cotam edge --gateway`` to ``cotam serve``.

JSON carries files as base64. Here they are taken out of it: a file that the gateway holds crosses as its
SHA-256, others cross as they are::

    4 bytes   "CTL1"
    1         bytes of the media type, then the media type of the body itself
    4         bytes of the text, deflated
    4, 4      number of places, number of attached files
    places    4 bytes of text before it, counted from the place before; then
              0 and 32 bytes of SHA-256, or 1 and 4 bytes of length
    attached  4 bytes of length each
    text      the body without its files, as a zlib stream
    files     those of the places, then the attached ones, one after the other

Integers are unsigned and big-endian. Attached files stand nowhere in the text: images that patches are
based on. A body comes out of `Body.join` as it went into `split`, byte for byte: no API's JSON is parsed.
"""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from cotam.errors import InputError, LimitError
from cotam.format.header import MAGIC
from cotam.gateway.store import digest_of

__all__ = ["LINK_TYPE", "Body", "pack", "split", "unpack"]

LINK_TYPE = "application/vnd.cotam.link"

_MAGIC = b"CTL1"
_HELD, _SENT = 0, 1

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
    files : by SHA-256; of a body that crossed the link, those that were sent
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


def pack(body: Body, sent: Collection[bytes], attached: Collection[bytes] = ()) -> bytes:
    """A body as it crosses the link.

    Parameters
    ----------
    sent : SHA-256 of the files of the body that are sent; of others the SHA-256 is
    attached : further files
    """
    table, files, done, written = [], [], 0, set()
    for offset, digest in body.places:
        before, done = offset - done, offset
        if digest in sent and digest not in written:
            data = body.files[digest]
            written.add(digest)
            files.append(data)
            table.append(struct.pack(">IBI", before, _SENT, len(data)))
        else:
            table.append(struct.pack(">IB32s", before, _HELD, digest))
    table += [struct.pack(">I", len(data)) for data in attached]
    text, kind = zlib.compress(body.text), body.media_type.encode("latin-1")[:255]
    head = struct.pack(">4sB", _MAGIC, len(kind)) + kind
    head += struct.pack(">III", len(text), len(body.places), len(attached))
    return b"".join([head, *table, text, *files, *attached])


def unpack(data: bytes, limit: int) -> Body:
    """Read what `pack` wrote. ``files`` has what was sent, attached files included.

    Parameters
    ----------
    limit : bytes of the text, inflated

    Raises
    ------
    InputError
        if ``data`` is something else, or was cut off
    LimitError
        if the text is larger than ``limit``
    """
    reader = _Reader(data)
    if reader.take(4) != _MAGIC:
        raise InputError(f"the body is {LINK_TYPE}, and does not begin with {_MAGIC.decode()}")
    (length,) = reader.unpack(">B")
    media_type = reader.take(length).decode("latin-1")
    text_length, count, attached = reader.unpack(">III")
    if count + attached > 2 * _MOST:
        raise LimitError(
            f"the link body has {count + attached:,} files: more than the limit of {2 * _MOST:,}"
        )
    offset = 0
    sizes: list[int] = []
    places: list[tuple[int, bytes | None]] = []
    for _ in range(count):
        before, kind = reader.unpack(">IB")
        offset += before
        if kind == _HELD:
            places.append((offset, reader.take(32)))
        elif kind == _SENT:
            places.append((offset, None))
            sizes += reader.unpack(">I")
        else:
            raise InputError(f"the link body has a place of kind {kind}: only 0 and 1 are known")
    sizes += [reader.unpack(">I")[0] for _ in range(attached)]
    text = _inflated(reader.take(text_length), limit)
    if offset > len(text):
        raise InputError(f"the link body has a place at {offset} in a text of {len(text)} bytes")
    sent = [reader.take(size) for size in sizes]
    reader.check_end()
    digests = list(map(digest_of, sent))
    order = iter(digests)
    named = tuple((at, next(order) if digest is None else digest) for at, digest in places)
    return Body(media_type, text, named, dict(zip(digests, sent, strict=True)))


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
        self._data, self._at = data, 0

    def take(self, size: int) -> bytes:
        piece = self._data[self._at : self._at + size]
        if len(piece) < size:
            raise InputError(f"the link body was cut off: it has {len(self._data)} bytes, and more to come")
        self._at += size
        return piece

    def unpack(self, form: str) -> tuple[int, ...]:
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def check_end(self) -> None:
        if left := len(self._data) - self._at:
            raise InputError(f"the link body has {left} bytes behind its end")
