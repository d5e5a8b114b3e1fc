"""Pictures for APIs that know no .cotam: upright, no larger than useful, within a budget of bytes.

Knows parts and pictures: nothing of HTTP. A picture that is fit as it is stays as it is. Otherwise all
pictures of a request go down one ladder of quality and size together, to the first rung where they fit; the
next request of the conversation finds earlier pictures on the same rung in the cache.
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from PIL import Image

from cotam.errors import InputError, LimitError
from cotam.gateway.cache import Cache
from cotam.gateway.dataurl import Media, url_length
from cotam.gateway.exchange import Note
from cotam.gateway.images import MEDIA_TYPES, check_size, content_key, pixels_of, saved
from cotam.gateway.jobs import Job, Wish, image_in, part_errors
from cotam.gateway.parts import Part
from cotam.gateway.refusal import RefusedError
from cotam.image.fit import fitted, target_size
from cotam.image.read import Pixels, outline

__all__ = ["RUNGS", "ToBudget"]

_LOG = logging.getLogger("cotam.gateway")

RUNGS = ((1.0, 92), (1.0, 85), (1.0, 75), (1.0, 60), (0.8, 60), (0.64, 60), (0.5, 55), (0.4, 50), (0.3, 45))
"""Share of the sides, and quality of JPEG or WebP: down by about a third of the bytes each time."""

_ORIGINAL = -1
_HELD = 8
"""Pictures of one request whose pixels are held while rungs are tried."""


@dataclass
class _Picture:
    """A picture of the request; ``fits`` if it may stay as it is."""

    part: Part
    data: bytes
    kind: str
    key: tuple[bytes, Wish]
    fits: bool
    seconds: float = 0.0
    cached: bool = True
    sizes: dict[int, int] = field(default_factory=dict)


class ToBudget:
    """For hosted APIs.

    Parameters
    ----------
    form : of pictures that are coded again: jpeg or webp
    fit : the model whose useful size is kept; None keeps the picture's
    picture_bytes : of the file of a picture; None is no limit
    request_bytes : of the whole body; None is no limit
    size_limit : pixels; a larger picture is refused
    cache : bytes of coded pictures that are kept
    """

    passes_cotam = False

    def __init__(
        self,
        form: Literal["jpeg", "webp"],
        fit: str | None,
        picture_bytes: int | None,
        request_bytes: int | None,
        size_limit: int,
        cache: int = 128_000_000,
    ) -> None:
        self._form, self._wish, self._limit = form, Wish(fit=fit), size_limit
        self._picture_bytes, self._request_bytes = picture_bytes, request_bytes
        self._coded = Cache(cache)

    def __call__(self, parts: Sequence[Part], job: Job) -> dict[Part, Media]:
        wish = Wish(fit=job.wish.fit, max_pixels=job.wish.max_pixels).over(self._wish)
        pictures, others = [], job.rest
        for part in parts:
            job.check()
            with part_errors(part):
                picture = self._read(part, wish)
            if picture:
                pictures.append(picture)
            else:
                others += len(part.text)
        room = None if self._request_bytes is None else self._request_bytes - others
        attempt = _Attempt(self, pictures, room, job)
        rungs = range(_ORIGINAL, len(RUNGS))
        if room is None:
            chosen = _ORIGINAL
        else:
            at = bisect_left(rungs, True, key=lambda rung: attempt.total(rung) <= room)
            if at == len(rungs):
                raise RefusedError(
                    f"{len(pictures)} pictures take {attempt.total(rungs[-1]):,} bytes at the least, where "
                    f"{max(room, 0):,} are left of the {self._request_bytes:,} of a request: send fewer "
                    "pictures, or raise --max-request-bytes",
                    413,
                )
            chosen = rungs[at]
        return attempt.urls(chosen)

    def _read(self, part: Part, wish: Wish) -> _Picture | None:
        found = image_in(part)
        if not found:
            return None
        data, kind = found
        try:
            check_size(data, self._limit)
            width, height, upright = outline(data)
        except (InputError, LimitError) as error:
            _LOG.warning(
                "an image passes as it is", extra={"fields": {"part": part.name, "reason": str(error)}}
            )
            return None
        useful = target_size(width, height, wish.fit, wish.max_pixels) == (width, height)
        small = self._picture_bytes is None or len(data) <= self._picture_bytes
        return _Picture(part, data, kind, (content_key(data), wish), upright and useful and small)

    def coded(self, picture: _Picture, rung: int, pixels: dict[bytes, Pixels]) -> tuple[bytes, bool]:
        """The picture at a rung, and whether it was in the cache. ``pixels`` holds those of this request."""
        scale, quality = RUNGS[rung]
        content, wish = picture.key

        def make() -> bytes:
            if content not in pixels:
                if len(pixels) == _HELD:
                    pixels.pop(next(iter(pixels)))
                pixels[content] = fitted(pixels_of(picture.data), wish.fit, wish.max_pixels)
            image = Image.fromarray(pixels[content])
            if scale < 1:
                size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
                image = image.resize(size, Image.Resampling.LANCZOS)
            # Where there is room, colours keep their sharpness: coloured text is read better.
            full = {"subsampling": "4:4:4"} if self._form == "jpeg" and quality > 90 else {}
            return saved(image, self._form, quality=quality, **full)

        return self._coded.get((picture.key, rung), make)

    def over(self, size: int) -> bool:
        return self._picture_bytes is not None and size > self._picture_bytes

    @property
    def form(self) -> str:
        return self._form


class _Attempt:
    """The pictures of one request on the ladder; nothing is coded before its size is asked for."""

    def __init__(self, budget: ToBudget, pictures: Sequence[_Picture], room: int | None, job: Job) -> None:
        self._budget, self._pictures, self._job = budget, pictures, job
        # Below a quarter of its share a picture stays as it is: a small screenshot shall not pay for photos.
        self._small = (room or 0) // (4 * len(pictures) or 1)
        self._pixels: dict[bytes, Pixels] = {}

    def total(self, rung: int) -> int:
        """Bytes of all addresses at a rung."""
        prefix = url_length(Media(MEDIA_TYPES[self._budget.form], b""))
        return sum(prefix + -(-self._best(picture, rung)[1] // 3) * 4 for picture in self._pictures)

    def urls(self, rung: int) -> dict[Part, Media]:
        """New addresses at a rung."""
        urls: dict[Part, Media] = {}
        for picture in self._pictures:
            chosen, size = self._best(picture, rung)
            result = picture.kind
            if chosen != _ORIGINAL:
                data, _ = self._budget.coded(picture, chosen, self._pixels)
                urls[picture.part] = Media(MEDIA_TYPES[self._budget.form], data)
                result = self._budget.form
            self._job.notes.append(
                Note(picture.kind, result, len(picture.data), size, picture.seconds, picture.cached)
            )
        return urls

    def _best(self, picture: _Picture, rung: int) -> tuple[int, int]:
        """The rung that a picture takes, this one or a lower one, and its bytes."""
        if picture.fits and (rung == _ORIGINAL or len(picture.part.text) <= self._small):
            return _ORIGINAL, len(picture.data)
        rung = max(rung, 0)
        while self._budget.over(size := self._size(picture, rung)) and rung + 1 < len(RUNGS):
            rung += 1
        if picture.fits and len(picture.data) <= size:
            return _ORIGINAL, len(picture.data)
        if self._budget.over(size):
            name = picture.part.name
            raise RefusedError(f"{name}: takes {size:,} bytes at the least, above --max-image-bytes", 413)
        return rung, size

    def _size(self, picture: _Picture, rung: int) -> int:
        if rung not in picture.sizes:
            self._job.check()
            started = time.perf_counter()
            with part_errors(picture.part):
                data, cached = self._budget.coded(picture, rung, self._pixels)
            picture.sizes[rung] = len(data)
            picture.cached = picture.cached and cached
            picture.seconds += time.perf_counter() - started
        return picture.sizes[rung]
