"""Send each image once between edge and gateway: files by SHA-256, and requests for missing ones.

::

    edge                                          gateway
    Sender ── text, new files, SHA-256 of others ──► Receiver ──► the request as the client meant it
           ◄── 412 and what is missing ───────────
           ── the same, with what was missing ─────►
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import httpx2

from cotam.errors import CotamError
from cotam.gateway.link import LINK_TYPE, pack, split, unpack
from cotam.gateway.patch_format import base_of, is_patch
from cotam.gateway.refusal import ERROR_HEADER, RefusedError
from cotam.gateway.store import RequestFiles, Store

__all__ = ["STORED_HEADER", "Received", "Receiver", "Sender", "is_link", "with_type"]

MISSING_STATUS = 412
STORED_HEADER = "x-cotam-stored"
"""On every answer to a link body that arrived whole: 1 if all of its files are stored now, else 0."""
_MISSING = "missing"
"""The code of the error that lists the files that a link body names and that are not stored."""

ATTEMPTS = 3
"""Largest number of attempts for a request; in the last one all files are sent."""

_MAX_KNOWN = 100_000
"""Largest number of files of the gateway that an edge remembers."""

Open = Callable[[bytes, str], Awaitable[httpx2.Response]]
"""(body, media type) → the answer, whose body is still to be read."""


def is_link(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether a request has a link body, by its headers."""
    return any(name == b"content-type" and value == LINK_TYPE.encode() for name, value in headers)


def with_type(headers: Sequence[tuple[bytes, bytes]], media_type: str) -> list[tuple[bytes, bytes]]:
    """Return the headers with another media type; "" removes it."""
    kept = [(name, value) for name, value in headers if name != b"content-type"]
    return kept + ([(b"content-type", media_type.encode("latin-1"))] if media_type else [])


@dataclass(frozen=True)
class Received:
    """A restored request: body and media type as the client of the edge sent them.

    ``files`` has the bases of patches in it; ``stored`` is whether all files are stored for the next request.
    """

    body: bytes
    media_type: str
    files: RequestFiles
    stored: bool


class Receiver:
    """The gateway's end of the link, which stores files; restored bodies have at most ``limit`` bytes."""

    def __init__(self, store: Store, limit: int) -> None:
        self.store, self._limit = store, limit

    def __call__(self, data: bytes, owner: str) -> Received:
        """Restore the request of a link body, with files stored for ``owner``.

        Raises RefusedError: 412 for files that were neither sent nor stored, after storing those that were
        sent; 400 for data that are not a link body, 413 for one that is too large.
        """
        parts = unpack(data, self._limit)
        for file in parts.files.values():
            self.store.put(owner, file)
        found, missing = _resolve(parts.digests, RequestFiles(self.store, owner, parts.files).get)
        if missing:
            raise RefusedError(
                f"{len(missing)} files are not stored here: send them",
                MISSING_STATUS,
                code=_MISSING,
                body={"missing": [digest.hex() for digest in missing]},
            )
        body = parts.join(found)
        if len(body) > self._limit:
            raise RefusedError(f"the body is larger than the limit of {self._limit:,} bytes", 413)
        stored = all(self.store.holds(owner, digest) for digest in found)
        files = RequestFiles(self.store, owner, found)
        return Received(b"".join(body), parts.media_type, files, stored)


def _resolve(
    digests: Iterable[bytes], find: Callable[[bytes], bytes | None]
) -> tuple[dict[bytes, bytes], list[bytes]]:
    """Return the files of these digests and of the bases below them, and the missing digests."""
    found: dict[bytes, bytes] = {}
    missing: dict[bytes, None] = {}
    left = list(digests)
    while left:
        digest = left.pop()
        if digest in found or digest in missing:
            continue
        file = find(digest)
        if file is None:
            missing[digest] = None
            continue
        found[digest] = file
        if is_patch(file):
            with suppress(CotamError):  # a damaged patch is refused where it is decoded
                left.append(base_of(file))
    return found, list(missing)


class Sender:
    """The edge's end of the link, which remembers what the gateway has.

    ``base`` returns the base of a patch by its SHA-256, if the request does not have it.
    """

    def __init__(self, base: Callable[[bytes], bytes | None] = lambda digest: None) -> None:
        self._base = base
        self._known: dict[bytes, None] = {}
        self._has_started = False

    async def send(self, open_: Open, body: bytes, media_type: str) -> tuple[httpx2.Response, int]:
        """Send a body, and again with the files that the gateway lacks.

        Returns the answer, and the number of bytes sent over the link. Raises RefusedError as ``open_``; 502
        if the gateway asks again for files that it was sent, 503 if it lacks one that the edge no longer has.
        """
        parts = await asyncio.to_thread(split, body, media_type)
        if not parts.files:
            return await open_(body, media_type), len(body)
        files, _ = _resolve(parts.digests, lambda digest: parts.files.get(digest) or self._base(digest))
        # An edge that was just started asks for the images of earlier turns before sending them again.
        chosen = files.keys() - self._known.keys() if self._has_started else {parts.digests[-1]}
        total = 0
        for attempt in range(1, ATTEMPTS + 1):
            if attempt == ATTEMPTS:
                chosen = set(files)
            sent = [file for digest, file in files.items() if digest in chosen]
            content = await asyncio.to_thread(pack, parts, sent)
            total += len(content)
            answer = await open_(content, LINK_TYPE)
            if answer.headers.get(ERROR_HEADER) != _MISSING:
                self._learn(files if answer.headers.get(STORED_HEADER) == "1" else ())
                return answer, total
            missing = await _missing_in(answer)
            self._forget(missing)
            if lost := missing - files.keys():
                message = f"{len(lost)} images that patches are based on are no longer kept: try again"
                raise RefusedError(message, 503, headers={"Retry-After": "0"})
            chosen = missing
        raise RefusedError(
            "the gateway asks again for images that it was just sent: try again, or use --no-send-once", 502
        )

    def _learn(self, digests: Collection[bytes]) -> None:
        self._has_started = True
        self._forget(digests)
        self._known |= dict.fromkeys(digests)
        self._forget(list(self._known)[:-_MAX_KNOWN])

    def _forget(self, digests: Iterable[bytes]) -> None:
        for digest in digests:
            self._known.pop(digest, None)


async def _missing_in(answer: httpx2.Response) -> set[bytes]:
    """Read the digests of the files that a gateway lacks."""
    try:
        return {bytes.fromhex(text) for text in json.loads(await answer.aread())["missing"]}
    except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
        raise RefusedError("the gateway's list of missing images cannot be read", 502) from error
    finally:
        await answer.aclose()
