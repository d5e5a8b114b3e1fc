"""Decode the bodies of requests that have a Content-Encoding: gzip, deflate and zstd."""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Callable
from typing import Any, Protocol

from cotam.gateway.refusal import RefusedError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["ACCEPTED", "decoded"]

ACCEPTED = "gzip, deflate, zstd"
"""For ``Accept-Encoding`` in an answer: what a client may use (RFC 9110, section 15.5.16)."""

MAX_LAYERS = 3
"""Encodings one upon another. One is usual; many would be work for nothing."""


ZSTD_WINDOW_LOG = 23
"""Windows of 8 MB at most, as RFC 9659 has it for HTTP: a larger one is memory that a stranger asks for."""


class _Stream(Protocol):
    """A decompressor of one gzip member, zlib stream or zstd frame."""

    eof: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def decoded(body: bytes, encodings: str, limit: int) -> bytes:
    """The body without its encodings.

    Parameters
    ----------
    encodings : the value of ``Content-Encoding``; several are separated by commas, the last was applied last
    limit : bytes of the result, and of each step

    Raises
    ------
    RefusedError
        415 for an encoding that is not known, 413 above the limit, 400 for data that is damaged or cut off
    """
    names = [name for name in re.split(r"[\s,]+", encodings.lower()) if name not in ("", "identity")]
    for name in names:
        if name not in _DECODERS:
            raise _unsupported(f"Content-Encoding {name!r} is not supported: use {ACCEPTED} or none")
    if len(names) > MAX_LAYERS:
        raise _unsupported(f"{len(names)} content encodings, more than {MAX_LAYERS}: use one or none")
    for name in reversed(names):
        try:
            body = _DECODERS[name](body, limit)
        except (zlib.error, zstd.ZstdError, EOFError) as error:
            raise RefusedError(f"the body is not valid {name}, as Content-Encoding says: {error}") from error
    return body


def _unsupported(message: str) -> RefusedError:
    return RefusedError(message, 415, headers={"Accept-Encoding": ACCEPTED})


def _deflate(body: bytes, limit: int) -> bytes:
    """zlib's format, as RFC 9110 has it, or bare deflate, which many clients send."""
    try:
        return _members(lambda: zlib.decompressobj(zlib.MAX_WBITS), body, limit)
    except zlib.error:
        return _members(lambda: zlib.decompressobj(-zlib.MAX_WBITS), body, limit)


def _gzip(body: bytes, limit: int) -> bytes:
    return _members(lambda: zlib.decompressobj(zlib.MAX_WBITS | 16), body, limit)


def _zstd(body: bytes, limit: int) -> bytes:
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG}
    return _members(lambda: zstd.ZstdDecompressor(options=options), body, limit)


def _members(new: Callable[[], Any], body: bytes, limit: int) -> bytes:
    """All members of a compressed body, one after another; an empty body has none."""
    pieces: list[bytes] = []
    size = 0
    while body:
        stream: _Stream = new()
        piece = stream.decompress(body, limit - size + 1)
        size += len(piece)
        if size > limit:
            raise RefusedError(
                f"the body is larger than {limit:,} bytes when it is decoded: raise --max-body", 413
            )
        if not stream.eof:
            raise EOFError("it ends too early")
        pieces.append(piece)
        body = stream.unused_data
    return b"".join(pieces)


_DECODERS = {"gzip": _gzip, "x-gzip": _gzip, "deflate": _deflate, "zstd": _zstd}
