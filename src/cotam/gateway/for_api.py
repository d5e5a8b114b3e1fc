"""``cotam edge --upstream``: fit images to the model and the limits of its hosted API."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal, cast

from PIL import Image

from cotam.errors import InputError
from cotam.format.header import is_sequence
from cotam.gateway.byte_budget import BEST, plan, quantised_room
from cotam.gateway.cache import OVERHEAD, Cache
from cotam.gateway.converter import (
    UNREADABLE,
    Job,
    cotam_in,
    count_images,
    log_passing,
    media_in,
)
from cotam.gateway.json_body import Where
from cotam.gateway.media import MEDIA_TYPES, Media, Outlines, pixels_of, save_png, url_length
from cotam.gateway.parts import Part
from cotam.gateway.refusal import RefusedError, refusing
from cotam.gateway.request_options import RequestOptions, model_for
from cotam.guide.content import Content, examine
from cotam.image.fit import resize, shrunk_size
from cotam.image.models import Limits
from cotam.image.read import Pixels
from cotam.image.sizes import fit_box
from cotam.image.write import LONGEST_SIDE, save_with_options
from cotam.standard import files

__all__ = ["RUNGS", "ForApi"]

FORMATS = ("jpeg", "png", "webp", "gif")
"""Formats that APIs open if the model is unknown."""

RUNGS = ((1.0, 92), (1.0, 85), (1.0, 75), (1.0, 60), (0.8, 60), (0.64, 60), (0.5, 55), (0.4, 50), (0.3, 45))
"""Share of the sides, and quality of JPEG or WebP: down by about a third of the bytes each time."""

_NO_LIMIT = 1 << 60
"""Bytes."""

_HELD = 8
"""Images of one body whose pixels are held while rungs are tried, as many as `plan` tries them with."""


class ForApi:
    """Turns images upright, shrinks them to the size that the model sees, and keeps to the limits of its API.

    Of an animation the first frame is sent, since OpenAI's API takes only still ones. A JPEG in CMYK or
    without its end marker is encoded again. Images that need no change pass unchanged, as do images that
    cannot be read, with a line in the log.

    Parameters
    ----------
    form : format of re-encoded images
    fit : as in `RequestOptions`
    image_bytes, request_bytes : largest file of an image, and body; None is the limit of the model's API
    size_limit : pixels; larger images pass unchanged
    """

    passes_cotam = False
    checks_addresses = False

    def __init__(
        self,
        form: Literal["jpeg", "webp"],
        fit: str | None,
        image_bytes: int | None,
        request_bytes: int | None,
        size_limit: int,
    ) -> None:
        self.form, self.options = form, RequestOptions(fit=fit)
        self.image_bytes, self.request_bytes = image_bytes or _NO_LIMIT, request_bytes or _NO_LIMIT
        self.coded: Cache[bytes] = Cache(128_000_000)
        # Sizes are known for longer than files.
        self.sizes: Cache[int] = Cache(20_000, size=lambda _: 1)
        self.contents: Cache[Content] = Cache(16_000_000, size=lambda one: one.importance.nbytes + OVERHEAD)
        self.outlines = Outlines(size_limit)

    def __call__(self, parts: Sequence[Part], job: Job) -> dict[Part, Media]:
        images: list[_Image] = []
        held: Cache[Pixels] = Cache(_HELD, size=lambda _: 1)
        others, most = job.rest, self.request_bytes
        for place, group in groupby(parts, job.request_of):
            found = list(group)
            request = _Request(self, count_images(found), job, place, held)
            for part in found:
                if image := request.read(part):
                    images.append(image)
                else:
                    others += len(part.text)
            most = min(most, request.request_bytes)

        def total(rungs: Iterable[tuple[int, int]]) -> int:
            chosen = [(images[number], rung) for number, rung in rungs]
            unknown = [(image, rung) for image, rung in chosen if rung not in image.lengths]
            job.each(lambda one: one[0].length(one[1]), unknown)
            return sum(image.length(rung) for image, rung in chosen)

        room = quantised_room(most, others)
        chosen = plan([_turn(image.part) for image in images], total, len(RUNGS), room)
        if chosen is None:
            least = sum(image.length(len(RUNGS) - 1) for image in images)
            raise RefusedError(
                f"{len(images)} images take at least {least:,} bytes, and {max(room, 0):,} are left of the "
                f"{most:,} of a request: send fewer images, or raise --max-request-bytes",
                413,
            )
        news = ((image.part, image.change(rung)) for image, rung in zip(images, chosen, strict=True))
        return {part: new for part, new in news if new}


class _Request:
    """The limits of a request, alone or in a batch: of its API, of the client and of this edge."""

    def __init__(self, converter: ForApi, count: int, job: Job, place: Where, pixels: Cache[Pixels]) -> None:
        options = job.options.over(converter.options)
        self.converter, self.job, self.pixels, self._count = converter, job, pixels, count
        self._max_pixels, self._model = options.max_pixels, model_for(options.fit, job.model_of(place))
        self._limits = self._model.limits if self._model else Limits()
        self._formats = (self._model.formats if self._model else None) or job.formats or FORMATS
        self.form = next((f for f in (converter.form, "jpeg", "png") if f in self._formats), converter.form)
        self.file_bytes = min(self._limits.file_bytes or _NO_LIMIT, converter.image_bytes)
        most = None if place else self._limits.request_bytes  # a batch may be larger
        self.request_bytes = min(most or _NO_LIMIT, converter.request_bytes)
        # An image of at most so many characters stays as it is at any rung, if it fits.
        self.small = min(max(self.request_bytes // 1000, 2048), 20_000)

    def read(self, part: Part) -> _Image | None:
        """Return the image of a part; None for a part that stays as it is."""
        self.job.check()
        with refusing(part.name):
            data = cotam_in(part)
            if data is not None and is_sequence(data):
                raise InputError("a sequence of frames cannot be sent to an API: send its frames one by one")
            found = (data, "cotam") if data is not None else media_in(part, "image")
            if not found:
                if part.is_visual and part.address is None:
                    video = part.kind == "video"
                    log_passing(part, "videos are not converted" if video else "unknown format")
                return None
            data, kind = found
            try:
                content, (width, height, as_shown) = self.converter.outlines.get(data)
            except UNREADABLE as error:
                if kind == "cotam":
                    raise
                log_passing(part, error)
                return None
        size = self._size_to_send(width, height, part)
        if self._model:
            self.job.token_counts.append(self._model.tokens(*size, part.detail))
        fits = as_shown and len(data) <= self.file_bytes and kind in self._formats
        fits = fits and self._allows(width, height)
        return _Image(self, part, data, kind, content, size, fits, size == (width, height))

    def _allows(self, width: int, height: int) -> bool:
        """Whether API and client allow an image of this size."""
        side, patches = self._limits.side_for(self._count), self._limits.patches
        if side is not None and max(width, height) > side:
            return False
        if patches and math.ceil(width / patches.size) * math.ceil(height / patches.size) > patches.count:
            return False
        return self._max_pixels is None or width * height <= self._max_pixels

    def _size_to_send(self, width: int, height: int, part: Part) -> tuple[int, int]:
        if self._model and not part.exact:
            width, height = self._model.size_for(width, height, part.detail, images=self._count)
        return shrunk_size(width, height, None, self._max_pixels)


@dataclass
class _Image:
    """An image of a request, which is encoded when its size is needed."""

    request: _Request
    part: Part
    data: bytes
    kind: str
    content: bytes  # SHA-256 of ``data``
    size: tuple[int, int]  # width and height in pixels that are sent at the best rung
    fits: bool  # whether the API takes it as it is
    useful: bool  # whether the model sees all of its pixels
    unreadable: bool = False  # whether its pixels are damaged, so that it passes as it is
    cached: bool = True  # whether all of its encoded files were in the cache
    lengths: dict[int, int] = field(default_factory=dict)  # by rung, those that are known

    def length(self, rung: int) -> int:
        """Return its length in the request at a rung, in characters."""
        if rung not in self.lengths:
            chosen, size = self._best(rung)
            coded = url_length(MEDIA_TYPES[self.request.form], size)
            self.lengths[rung] = len(self.part.text) if chosen == BEST else coded
        return self.lengths[rung]

    def change(self, rung: int) -> Media | None:
        """Return the media that take its place at a rung, also if only its media type is wrong."""
        chosen, size = self._best(rung)
        change, result, cached = None, self.kind, False
        if chosen != BEST:
            result = self.request.form
            with refusing(self.part.name):
                change = Media(MEDIA_TYPES[result], self._file(chosen))
            cached = self.cached
        elif self.part.head()[0] not in (MEDIA_TYPES[self.kind], "image/heif"):
            change = Media(MEDIA_TYPES[self.kind], self.data)
        self.request.job.record(self.kind, result, len(self.data), size, cached=cached)
        return change

    def _best(self, rung: int) -> tuple[int, int]:
        """Return the rung to take, the given or a later one, and the bytes of the file there."""
        if self.fits and len(self.part.text) <= self.request.small:
            rung = BEST
        if self.unreadable or (self.fits and self.useful and rung == BEST):
            return BEST, len(self.data)
        rung = max(rung, 0)
        with refusing(self.part.name):
            try:
                while self._is_too_large(rung, size := self._file_size(rung)):
                    rung += 1
            except UNREADABLE as error:
                if self.kind == "cotam":
                    raise
                log_passing(self.part, error)
                self.unreadable = True
                return BEST, len(self.data)
        if self.fits and len(self.data) <= size:
            return BEST, len(self.data)  # the API shrinks it itself
        most = self.request.file_bytes
        if size > most:
            name = self.part.name
            reason = f"takes at least {size:,} bytes, more than the {most:,} of an image"
            raise RefusedError(f"{name}: {reason} (--max-image-bytes)", 413, param=name)
        return rung, size

    def _is_too_large(self, rung: int, size: int) -> bool:
        """Whether to try the next rung: if the file is above the limit, or if a JPEG that the API refuses
        would grow, and the next rung has the same sides."""
        if rung + 1 == len(RUNGS):
            return False
        grows = self.kind == self.request.form == "jpeg" and not self.fits and size > len(self.data)
        return size > self.request.file_bytes or (grows and RUNGS[rung + 1][0] == RUNGS[rung][0])

    def _file_size(self, rung: int) -> int:
        key = self.content, self.size, self.request.form, rung
        return self.request.converter.sizes.get(key, lambda: len(self._file(rung)))[0]

    def _file(self, rung: int) -> bytes:
        self.request.job.check()
        key = self.content, self.size, self.request.form, rung
        data, cached = self.request.converter.coded.get(key, lambda: self._encode(*RUNGS[rung]))
        self.cached = self.cached and cached
        return data

    def _encode(self, scale: float, quality: int) -> bytes:
        key, form = (self.content, self.size), self.request.form
        pixels, _ = self.request.pixels.get(key, lambda: resize(pixels_of(self.data), self.size))
        height, width = pixels.shape[:2]
        width, height = fit_box(width, height, LONGEST_SIDE.get(form.upper()))
        small = resize(pixels, (max(1, round(width * scale)), max(1, round(height * scale))))
        if form == "png":
            return save_png(small)
        if form == "jpeg" and quality > 90:  # coloured text is read better in 4:4:4
            return _save_jpeg(Image.fromarray(small), quality=quality, subsampling="4:4:4")
        known = self.request.converter.contents
        content, _ = known.get((*key, small.shape), lambda: examine(small, fusion=0.0))
        format = cast("files.Format", form)
        return files.make(small, format, quality, importance=content.importance, page=content.is_page).data


def _save_jpeg(image: Image.Image, **options: Any) -> bytes:
    data = save_with_options(image, "JPEG", **options)
    if len(data) >= image.width * image.height:  # noise: Pillow's buffer for smaller files has no room for it
        return data
    return save_with_options(image, "JPEG", optimize=True, progressive=True, **options)


def _turn(part: Part) -> int:
    """Return the number of the message that a part is in."""
    return next((key for key in part.place if isinstance(key, int)), 0)
