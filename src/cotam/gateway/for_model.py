"""``cotam serve``: convert the images of a request to PNG for the model server."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import cotam
from cotam.errors import FormatError, InputError, LimitError
from cotam.format.header import is_sequence
from cotam.gateway.cache import OVERHEAD, Cache
from cotam.gateway.converter import (
    UNREADABLE,
    Job,
    check_count,
    cotam_in,
    count_images,
    log_passing,
    media_in,
)
from cotam.gateway.media import (
    MEDIA_TYPES,
    Media,
    check_size,
    count_frames,
    format_of,
    pixels_of,
    save_png,
)
from cotam.gateway.parts import Frames, Part
from cotam.gateway.patch_format import depth_of, is_patch, read_patch
from cotam.gateway.refusal import refusing
from cotam.gateway.request_options import RequestOptions
from cotam.gateway.store import digest_of
from cotam.pasted import paste

__all__ = ["ForModel"]

IMAGES_PER_REQUEST = 12
"""Images of a request may have this many times the pixels of one image, which bounds the work, and as many
bytes as PNG, which bounds the memory. At 100 MP these are 600 screenshots of 2 MP, or 200 that PNG cannot
compress."""


class ForModel:
    """Converts .cotam files to PNG, and sequences to one image per frame; refuses addresses of other hosts.

    Images in formats that the model server does not read become PNG too. Other media pass unchanged.

    Parameters
    ----------
    size_limit : largest image to decode, in pixels
    hosts : lower-case names of hosts whose http(s) addresses are allowed; "*" is all
    cache : bytes of decoded images to cache
    roundtrip : options with which ordinary images are encoded and decoded again; None passes them unchanged
    log : called with a row for each decoded image
    """

    passes_cotam = False
    checks_addresses = True

    def __init__(
        self,
        size_limit: int,
        hosts: frozenset[str] = frozenset(),
        cache: int = 128_000_000,
        roundtrip: RequestOptions | None = None,
        log: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self._limit, self._most = size_limit, IMAGES_PER_REQUEST * size_limit
        self._hosts, self._roundtrip, self._log = hosts, roundtrip, log
        self._decoded: Cache[Any] = Cache(cache, size=_cost)
        self._coded: Cache[bytes] = Cache(cache // 8)

    def __call__(self, parts: Sequence[Part], job: Job) -> dict[Part, Media | Frames]:
        changes: dict[Part, Media | Frames] = {}
        pixels, images, room = 0, count_images(parts), self._most
        for part in parts:
            job.check()
            with refusing(part.name):
                data = cotam_in(part)
                if data is None and self._roundtrip and (found := media_in(part, "image")):
                    data = found[0]
                if data is not None:
                    (width, height, _), frames = check_size(data, self._limit), count_frames(data)
                    pixels, images = pixels + width * height * frames, images + frames - 1
                    self._check_pixels(pixels)
                    check_count(images, job.max_images)
                    changes[part] = self._convert(part, data, job, room)
                elif part.address is not None:
                    self._check_address(part, part.address)
                elif png := self._to_openable(part, job):
                    changes[part] = png
                if part in changes:
                    room -= _size(changes[part])
                    self._check_room(room)
        return changes

    def _to_openable(self, part: Part, job: Job) -> Media | None:
        """Convert an ordinary image that the model server does not open to PNG; None for other parts."""
        found = media_in(part, "image") if job.formats else None
        if not found or found[1] in (job.formats or ()):
            return None
        data, kind = found
        try:
            check_size(data, self._limit)
            png, cached = self._decoded.get(_key(data, job), lambda: save_png(pixels_of(data)))
        except UNREADABLE as error:
            log_passing(part, error)
            return None
        job.record(kind, "png", len(data), len(png), cached=cached)
        return Media(MEDIA_TYPES["png"], png)

    def _convert(self, part: Part, data: bytes, job: Job, room: int) -> Media | Frames:
        if not is_sequence(data) and part.kind != "video":
            return self._still(data, job)
        if not part.is_one_of_several:
            raise InputError("a single image belongs here, not a sequence of frames or a video")
        if not is_sequence(data):
            return [("", self._still(data, job))]
        frames: list[tuple[str, Media]]
        key = *_key(data, job), "frames"
        frames, cached = self._decoded.get(key, partial(self._frames, data, job, room))
        job.record("sequence", "png", len(data), _size(frames), cached=cached)
        self._log_row(data, data, "sequence")
        return frames

    def _frames(self, data: bytes, job: Job, room: int) -> list[tuple[str, Media]]:
        """Return time as text and PNG of each frame of a sequence; LimitError beyond ``room`` bytes."""
        found = []
        for seconds, image in cotam.decode_frames(data):
            job.check()
            found.append((f"<{seconds:.1f} seconds>", Media(MEDIA_TYPES["png"], save_png(image))))
            self._check_room(room - _size(found))
        return found

    def _still(self, data: bytes, job: Job) -> Media:
        file, source = data, "cotam"
        if self._roundtrip and (kind := format_of(data)):
            options, source = job.options.over(self._roundtrip), kind
            key = *_key(data, job), options
            file, _ = self._coded.get(key, partial(cotam.encode, data, **options.for_encode()))
        source = "patch" if is_patch(file) else source
        png, cached = self._to_png(file, job)
        job.record(source, "png", len(data), len(png), cached=cached)
        self._log_row(data, file, source)
        return Media(MEDIA_TYPES["png"], png)

    def _to_png(self, file: bytes, job: Job) -> tuple[bytes, bool]:
        """Return a file as PNG, and whether it was cached."""
        return self._decoded.get(_key(file, job), lambda: self._decode(file, job))

    def _decode(self, file: bytes, job: Job) -> bytes:
        if not is_patch(file):
            return save_png(pixels_of(file))
        patch = read_patch(file)
        base = job.files.get(patch.base)
        if base is None:
            raise InputError("the image that this patch is based on is not stored here: send it whole")
        if patch.depth != depth_of(base) + 1:  # bounds the recursion
            raise FormatError(f"the patch is number {patch.depth} of its chain, its base has another number")
        check_size(base, self._limit)
        base_pixels = pixels_of(self._to_png(base, job)[0])
        return save_png(paste(base_pixels, patch.changes, (patch.height, patch.width)))

    def _log_row(self, data: bytes, file: bytes, source: str) -> None:
        """Write a row of ``--log-bytes``: an image as it came, and its .cotam file."""
        if not self._log:
            return
        found = cotam.open_sequence(file).info if is_sequence(file) else cotam.info(file)
        row = {"image": digest_of(data).hex()[:16], "source": source, "source_bytes": len(data)}
        row |= {name: getattr(found, name) for name in ("width", "height", "bytes", "quality")}
        row |= {"bpp": round(found.bpp, 5)}
        if isinstance(found, cotam.SequenceInfo):
            row["frames"] = len(found.times)
        self._log(row)

    def _check_pixels(self, pixels: int) -> None:
        if pixels > self._most:
            raise LimitError(
                f"with this one the images of the request have {pixels / 1e6:.0f} MP together, more than the "
                f"limit of {self._most / 1e6:g} MP ({IMAGES_PER_REQUEST} times --size-limit): send fewer or "
                "smaller images, or raise --size-limit"
            )

    def _check_room(self, room: int) -> None:
        if room < 0:
            raise LimitError(
                f"with this one the images of the request take {(self._most - room) / 1e6:.0f} MB as PNG, "
                f"more than the limit of {self._most / 1e6:g} MB ({IMAGES_PER_REQUEST} bytes for each pixel "
                "of --size-limit): send fewer or smaller images, or raise --size-limit"
            )

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


def _key(data: bytes, job: Job) -> tuple[str, bytes]:
    """Return the key of a file in caches. It has the owner, so that none learns what others have sent."""
    return job.files.owner, digest_of(data)


def _size(new: Media | Frames) -> int:
    """Return the bytes of an image, or of all frames of a sequence."""
    return len(new.data) if isinstance(new, Media) else sum(len(media.data) for _, media in new)


def _cost(result: bytes | Frames) -> int:
    """Return the bytes that a PNG, or all frames of a sequence, take in the cache."""
    return len(result) + OVERHEAD if isinstance(result, bytes) else _size(result) + OVERHEAD * len(result)
