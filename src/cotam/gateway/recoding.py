"""Images of one request, coded again at the rungs of a ladder of quality and size."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from cotam.gateway.cache import Cache, Facts
from cotam.gateway.dataurl import Media, url_length
from cotam.gateway.exchange import Note
from cotam.gateway.images import MEDIA_TYPES, pixels_of, saved
from cotam.gateway.jobs import Job, part_errors
from cotam.gateway.ladder import BEST
from cotam.gateway.parts import Part
from cotam.gateway.refusal import RefusedError
from cotam.image.read import Pixels

__all__ = ["RUNGS", "Attempt", "Image"]

RUNGS = ((1.0, 92), (1.0, 85), (1.0, 75), (1.0, 60), (0.8, 60), (0.64, 60), (0.5, 55), (0.4, 50), (0.3, 45))
"""Share of the sides, and quality of JPEG or WebP: down by about a third of the bytes each time."""

_HELD = 8
"""Images of one request whose pixels are held while rungs are tried."""


@dataclass
class Image:
    """An image of the request.

    Attributes
    ----------
    size : (width, height) in pixels that is sent at the best rung
    fits : the API takes it as it is
    useful : it has no pixels that the model does not see
    """

    part: Part
    data: bytes
    kind: str
    content: bytes
    size: tuple[int, int]
    fits: bool
    useful: bool
    seconds: float = 0.0
    cached: bool = True

    @property
    def key(self) -> Hashable:
        return self.content, self.size


class Attempt:
    """The images of one request on the ladder; nothing is coded before its size is asked for.

    Parameters
    ----------
    form : of images that are coded again: jpeg, png or webp
    file_bytes : limit of an image's file; None is no limit
    small : characters up to which an image that fits stays as it is, whatever the rung
    coded, sizes : files that earlier requests made, and bytes of those that the cache has forgotten too
    """

    def __init__(
        self,
        images: Sequence[Image],
        form: str,
        file_bytes: int | None,
        small: int,
        job: Job,
        coded: Cache,
        sizes: Facts[int],
    ) -> None:
        self._images, self._form, self._file_bytes, self._small = images, form, file_bytes, small
        self._job, self._cache, self._sizes = job, coded, sizes
        self._pixels: dict[bytes, Pixels] = {}

    def size(self, number: int, rung: int) -> int:
        """Characters of an image at a rung."""
        image = self._images[number]
        chosen, size = self._best(image, rung)
        if chosen == BEST:
            return len(image.part.text)
        return url_length(Media(MEDIA_TYPES[self._form], b"")) + -(-size // 3) * 4

    def news(self, rungs: Sequence[int]) -> dict[Part, Media]:
        """New media at these rungs; images that stay are left out, unless their media type is wrong."""
        news: dict[Part, Media] = {}
        for image, rung in zip(self._images, rungs, strict=True):
            chosen, size = self._best(image, rung)
            result = image.kind
            if chosen != BEST:
                news[image.part] = Media(MEDIA_TYPES[self._form], self._code(image, chosen))
                result = self._form
            elif image.part.head()[0] not in (MEDIA_TYPES[image.kind], "image/jpg", "image/heif"):
                news[image.part] = Media(MEDIA_TYPES[image.kind], image.data)
            note = Note(image.kind, result, len(image.data), size, image.seconds, image.cached)
            self._job.notes.append(note)
        return news

    def _best(self, image: Image, rung: int) -> tuple[int, int]:
        """The rung that an image takes, this one or a lower one, and the bytes of its file."""
        if image.fits and len(image.part.text) <= self._small:
            rung = BEST
        if image.fits and image.useful and rung == BEST:
            return BEST, len(image.data)
        limit = self._file_bytes
        rung = max(rung, 0)
        while limit is not None and (size := self._coded_size(image, rung)) > limit and rung + 1 < len(RUNGS):
            rung += 1
        size = self._coded_size(image, rung)
        if image.fits and len(image.data) <= size:
            return BEST, len(image.data)  # the API shrinks it itself
        if limit is not None and size > limit:
            message = (
                f"takes at least {size:,} bytes, more than the {limit:,} of an image (--max-image-bytes)"
            )
            raise RefusedError(f"{image.part.name}: {message}", 413, param=image.part.name)
        return rung, size

    def _coded_size(self, image: Image, rung: int) -> int:
        return self._sizes.get((image.key, self._form, rung), lambda: len(self._code(image, rung)))

    def _code(self, image: Image, rung: int) -> bytes:
        self._job.check()
        started = time.perf_counter()

        def make() -> bytes:
            return _coded(self._pixels_of(image), RUNGS[rung], self._form)

        with part_errors(image.part):
            data, cached = self._cache.get((image.key, self._form, rung), make)
        image.cached = image.cached and cached
        image.seconds += time.perf_counter() - started
        return data

    def _pixels_of(self, image: Image) -> Pixels:
        if image.content not in self._pixels:
            if len(self._pixels) == _HELD:
                self._pixels.pop(next(iter(self._pixels)))
            self._pixels[image.content] = _shrunk(pixels_of(image.data), image.size)
        return self._pixels[image.content]


def _shrunk(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    image = PillowImage.fromarray(pixels)
    if image.size == size:
        return pixels
    return np.asarray(image.resize(size, PillowImage.Resampling.LANCZOS, reducing_gap=3.0))


def _coded(pixels: Pixels, rung: tuple[float, int], form: str) -> bytes:
    scale, quality = rung
    height, width = pixels.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    options: dict[str, Any] = {} if form == "png" else {"quality": quality}
    if form == "jpeg" and quality > 90:
        options["subsampling"] = "4:4:4"  # where there is room: coloured text is read better
    return saved(PillowImage.fromarray(_shrunk(pixels, size)), form, **options)
