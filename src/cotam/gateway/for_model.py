"""``cotam serve``: the images of a request as a model server reads them."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

import cotam
from cotam.errors import InputError, LimitError
from cotam.format.header import is_sequence
from cotam.gateway.cache import Cache
from cotam.gateway.dataurl import Media
from cotam.gateway.exchange import Note
from cotam.gateway.images import (
    MEDIA_TYPES,
    check_size,
    content_key,
    count_frames,
    format_of,
    is_cotam,
    pixels_of,
    saved,
)
from cotam.gateway.jobs import Job, Wish, check_count, cotam_in, count_images, image_in, part_errors
from cotam.gateway.parts import Frames, Part
from cotam.gateway.patches import MAX_CHAIN, base_of, is_patch, paste, read_patch
from cotam.gateway.videos import packed_frames, unpacked_frames

__all__ = ["ForModel"]

_LOG = logging.getLogger("cotam.gateway")

REQUEST_PIXELS = 4
"""All images and frames of a request together have at most so many times the pixels that one may have."""


class ForModel:
    """Converts .cotam to PNG, and a sequence to as many images as it has frames; refuses foreign addresses.

    Images in a format that the model server does not open become PNG too. Other media stay as they are.

    Parameters
    ----------
    size_limit : pixels of an image that is decoded
    hosts : names, in small letters, of hosts whose http(s) addresses are let through; "*" is all
    cache : bytes of decoded images that are kept
    roundtrip : how ordinary images are encoded, then decoded, to measure what it does; None leaves them
    log : is given a row for each image that was decoded
    times : before each frame of a sequence, say its time
    """

    passes_cotam = False

    def __init__(
        self,
        size_limit: int,
        hosts: frozenset[str] = frozenset(),
        cache: int = 128_000_000,
        roundtrip: Wish | None = None,
        log: Callable[[dict[str, Any]], None] = lambda row: None,
        times: bool = True,
    ) -> None:
        self._limit, self._hosts, self._roundtrip, self._log = size_limit, hosts, roundtrip, log
        self._times = times
        self._decoded = Cache(cache)
        self._coded = Cache(cache // 8)

    def __call__(self, parts: Sequence[Part], job: Job) -> dict[Part, Media | Frames]:
        news: dict[Part, Media | Frames] = {}
        pixels, images = 0, count_images(parts)
        for part in parts:
            job.check()
            with part_errors(part):
                data = cotam_in(part)
                if data is None and self._roundtrip and (found := image_in(part)):
                    data = found[0]
                if data is not None:
                    size, frames = check_size(data, self._limit), count_frames(data)
                    pixels, images = pixels + size * frames, images + frames - 1
                    _check_total(pixels, self._limit)
                    check_count(images, job.most)
                    news[part] = self._new(part, data, job)
                elif part.address is not None:
                    self._check_address(part, part.address)
                elif png := self._openable(part, job):
                    news[part] = png
        return news

    def _openable(self, part: Part, job: Job) -> Media | None:
        """PNG of an ordinary image in a format that the model server does not open; None for other parts."""
        found = image_in(part) if job.formats else None
        if not found or found[1] in (job.formats or ()):
            return None
        (data, kind), started = found, time.perf_counter()
        try:
            check_size(data, self._limit)
            key = content_key(data), "png"
            png, cached = self._decoded.get(key, lambda: saved(Image.fromarray(pixels_of(data)), "png"))
        except (InputError, LimitError) as error:
            fields = {"part": part.name, "reason": str(error)}
            _LOG.warning("an image passes as it is", extra={"fields": fields})
            return None
        job.notes.append(Note(kind, "png", len(data), len(png), time.perf_counter() - started, cached))
        return Media(MEDIA_TYPES["png"], png)

    def _new(self, part: Part, data: bytes, job: Job) -> Media | Frames:
        if not is_sequence(data) and part.kind != "video":
            return self._still(data, job)
        if not part.is_one_of_several:
            raise InputError("a single image belongs here, not a sequence of frames or a video")
        if not is_sequence(data):
            return Frames([("", self._still(data, job))])
        started = time.perf_counter()
        packed, cached = self._decoded.get(
            (job.held.owner, content_key(data), "frames"), partial(packed_frames, data, job.check)
        )
        seconds = time.perf_counter() - started
        job.notes.append(Note("sequence", "png", len(data), len(packed), seconds, cached))
        self._log(_row(data, data, "sequence"))
        frames = unpacked_frames(packed)
        return Frames([(f"<{at} seconds>" if self._times else "", image) for at, image in frames])

    def _still(self, data: bytes, job: Job) -> Media:
        started = time.perf_counter()
        file, source = data, "cotam"
        if self._roundtrip and not is_cotam(data):
            wish = job.wish.over(self._roundtrip)
            key = job.held.owner, content_key(data), wish
            file, _ = self._coded.get(key, partial(cotam.encode, data, **wish.options()))
            source = format_of(data) or "other"
        source = "patch" if is_patch(file) else source
        png, cached = self._png(file, job)
        job.notes.append(Note(source, "png", len(data), len(png), time.perf_counter() - started, cached))
        self._log(_row(data, file, source))
        return Media(MEDIA_TYPES["png"], png)

    def _png(self, file: bytes, job: Job, depth: int = 0) -> tuple[bytes, bool]:
        """A file as PNG, and whether it was made before. Nobody can tell what another owner has had made."""
        key = job.held.owner, content_key(file)
        return self._decoded.get(key, lambda: self._decode(file, job, depth))

    def _decode(self, file: bytes, job: Job, depth: int) -> bytes:
        if not is_patch(file):
            return saved(Image.fromarray(pixels_of(file)), "png")
        base = job.held(base_of(file))
        if base is None:
            raise InputError("the image that this patch is based on is not stored here: send it whole")
        if depth == MAX_CHAIN:
            raise InputError(f"more than {MAX_CHAIN} patches are based one on another: send it whole")
        check_size(base, self._limit)
        png, _ = self._png(base, job, depth + 1)
        return saved(Image.fromarray(paste(read_patch(file), pixels_of(png))), "png")

    def _check_address(self, part: Part, url: str) -> None:
        """Raise `InputError` for an address that the model server must not open for a stranger."""
        if re.search(r"[\\\s\x00-\x1f]", url):
            # Programs do not agree on the host of http://one.example\@two.example.
            raise InputError("the address has a space, a control character or a backslash")
        try:
            address = urlsplit(url)
            host = address.hostname or ""
        except ValueError as error:
            raise InputError(f"the address cannot be read: {error}") from error
        if address.scheme not in ("http", "https") or not host:
            raise InputError("not an address of http or https: send the data itself, as data:…;base64,…")
        if not self._hosts & {"*", host}:
            media = {"file": "application"}.get(part.kind, part.kind)
            raise InputError(
                f"addresses of {host} are not allowed here (--allow-remote): "
                f"send the {part.kind} itself, as data:{media}/…;base64,…"
            )


def _row(data: bytes, file: bytes, source: str) -> dict[str, Any]:
    """A row of ``--log-bytes``: an image as it came, and its .cotam file."""
    row = {"image": content_key(data).hex()[:16], "source": source, "source_bytes": len(data)}
    found = cotam.open_sequence(file).info if is_sequence(file) else cotam.info(file)
    row |= {
        "width": found.width,
        "height": found.height,
        "bytes": found.bytes,
        "bpp": round(found.bpp, 5),
        "quality": found.quality,
    }
    return row | ({"frames": len(found.times)} if isinstance(found, cotam.SequenceInfo) else {})


def _check_total(pixels: int, limit: int) -> None:
    if pixels > REQUEST_PIXELS * limit:
        raise LimitError(
            f"with this one the images of the request have {pixels / 1e6:.0f} MP together: "
            f"more than the limit of {REQUEST_PIXELS * limit / 1e6:g} MP (four times --size-limit)"
        )
