"""``cotam edge --upstream``: fit images to the model and the limits of its hosted API."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, cast

from PIL import Image

from cotam.errors import InputError
from cotam.format.header import is_sequence
from cotam.gateway.byte_budget import BEST, plan, quantised_room
from cotam.gateway.cache import Cache
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
from cotam.guide.content import examine
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
"""Images of one body whose pixels are held while rungs are tried."""


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
        self.outlines = Outlines(size_limit)

    def __call__(self, parts: Sequence[Part], job: Job) -> dict[Part, Media]:
        images: list[tuple[_Request, _Image]] = []
        held: Cache[Pixels] = Cache(_HELD, size=lambda _: 1)
        others, most = job.rest, self.request_bytes
        for place, group in groupby(parts, job.request_of):
            found = list(group)
            request = _Request(self, count_images(found), job, place, held)
            others += sum(len(part.text) for part in found if not request.add(part))
            images += ((request, image) for image in request.images)
            most = min(most, request.request_bytes)

        def size(number: int, rung: int) -> int:
            request, image = images[number]
            return request.size(image, rung)

        room = quantised_room(most, others)
        chosen = plan([_turn(image.part) for _, image in images], size, len(RUNGS), room)
        if chosen is None:
            least = sum(size(number, len(RUNGS) - 1) for number in range(len(images)))
            raise RefusedError(
                f"{len(images)} images take at least {least:,} bytes, and {max(room, 0):,} are left of the "
                f"{most:,} of a request: send fewer images, or raise --max-request-bytes",
                413,
            )
        changes: dict[Part, Media] = {}
        for (request, image), rung in zip(images, chosen, strict=True):
            changes |= request.change(image, rung)
        return changes


@dataclass
class _Image:
    """An image of the request."""

    part: Part
    data: bytes
    kind: str
    content: bytes  # SHA-256 of ``data``
    size: tuple[int, int]  # width and height in pixels that are sent at the best rung
    fits: bool  # whether the API takes it as it is
    useful: bool  # whether the model sees all of its pixels
    unreadable: bool = False  # whether its pixels are damaged, so that it passes as it is
    cached: bool = True  # whether all of its encoded files were in the cache


class _Request:
    """The images of a request, alone or in a batch, and the limits of its API.

    Images are encoded when their size is needed.
    """

    def __init__(self, converter: ForApi, count: int, job: Job, place: Where, held: Cache[Pixels]) -> None:
        options = job.options.over(converter.options)
        self._converter, self._job, self._count = converter, job, count
        self._max_pixels, self._model = options.max_pixels, model_for(options.fit, job.model_of(place))
        self._limits = self._model.limits if self._model else Limits()
        self.formats = (self._model.formats if self._model else None) or job.formats or FORMATS
        self.form = next((f for f in (converter.form, "jpeg", "png") if f in self.formats), converter.form)
        self.file_bytes = min(self._limits.file_bytes or _NO_LIMIT, converter.image_bytes)
        most = None if place else self._limits.request_bytes  # a batch may be larger
        self.request_bytes = min(most or _NO_LIMIT, converter.request_bytes)
        # An image of at most so many characters stays as it is at any rung, if it fits.
        self._small = min(max(self.request_bytes // 1000, 2048), 20_000)
        self.images: list[_Image] = []
        self._pixels = held

    def add(self, part: Part) -> bool:
        """Add the image of a part. Returns False for a part that stays as it is."""
        self._job.check()
        with refusing(part.name):
            data = cotam_in(part)
            if data is not None and is_sequence(data):
                raise InputError("a sequence of frames cannot be sent to an API: send its frames one by one")
            found = (data, "cotam") if data is not None else media_in(part, "image")
            if not found:
                if part.is_visual and part.address is None:
                    video = part.kind == "video"
                    log_passing(part, "videos are not converted" if video else "unknown format")
                return False
            data, kind = found
            try:
                content, (width, height, as_shown) = self._converter.outlines.get(data)
            except UNREADABLE as error:
                if kind == "cotam":
                    raise
                log_passing(part, error)
                return False
        size = self._size_to_send(width, height, part)
        if self._model:
            self._job.token_counts.append(self._model.tokens(*size, part.detail))
        fits = (
            as_shown and len(data) <= self.file_bytes and kind in self.formats and self._allows(width, height)
        )
        self.images.append(_Image(part, data, kind, content, size, fits, size == (width, height)))
        return True

    def _allows(self, width: int, height: int) -> bool:
        """Whether API and client allow an image of this size."""
        side, patches = self._limits.side_for(self._count), self._limits.patches
        if side is not None and max(width, height) > side:
            return False
        if patches and math.ceil(width / patches.size) * math.ceil(height / patches.size) > patches.count:
            return False
        return self._max_pixels is None or width * height <= self._max_pixels

    def _size_to_send(self, width: int, height: int, part: Part) -> tuple[int, int]:
        if self._model:
            width, height = self._model.size_for(width, height, part.detail, images=self._count)
        return shrunk_size(width, height, None, self._max_pixels)

    def size(self, image: _Image, rung: int) -> int:
        """Return the length of an image in the request at a rung, in characters."""
        chosen, size = self._best(image, rung)
        return len(image.part.text) if chosen == BEST else url_length(MEDIA_TYPES[self.form], size)

    def change(self, image: _Image, rung: int) -> dict[Part, Media]:
        """Return the media of an image at a rung, also if only its media type is wrong; {} if it stays."""
        chosen, size = self._best(image, rung)
        change: dict[Part, Media] = {}
        result, cached = image.kind, False
        if chosen != BEST:
            with refusing(image.part.name):
                change[image.part] = Media(MEDIA_TYPES[self.form], self._code(image, chosen))
            result, cached = self.form, image.cached
        elif image.part.head()[0] not in (MEDIA_TYPES[image.kind], "image/jpg", "image/heif"):
            change[image.part] = Media(MEDIA_TYPES[image.kind], image.data)
        self._job.record(image.kind, result, len(image.data), size, cached=cached)
        return change

    def _best(self, image: _Image, rung: int) -> tuple[int, int]:
        """Return the rung that an image takes, the given or a later one, and the bytes of its file."""
        if image.fits and len(image.part.text) <= self._small:
            rung = BEST
        if image.unreadable or (image.fits and image.useful and rung == BEST):
            return BEST, len(image.data)
        rung = max(rung, 0)
        with refusing(image.part.name):
            try:
                while self._is_too_large(image, rung, size := self._encoded_size(image, rung)):
                    rung += 1
            except UNREADABLE as error:
                if image.kind == "cotam":
                    raise
                log_passing(image.part, error)
                image.unreadable = True
                return BEST, len(image.data)
        if image.fits and len(image.data) <= size:
            return BEST, len(image.data)  # the API shrinks it itself
        if size > self.file_bytes:
            name = image.part.name
            reason = f"takes at least {size:,} bytes, more than the {self.file_bytes:,} of an image"
            raise RefusedError(f"{name}: {reason} (--max-image-bytes)", 413, param=name)
        return rung, size

    def _is_too_large(self, image: _Image, rung: int, size: int) -> bool:
        """Whether to try the next rung: if the file is above the limit, or if a JPEG that the API refuses
        would grow, and the next rung has the same sides."""
        if rung + 1 == len(RUNGS):
            return False
        grows = image.kind == self.form == "jpeg" and not image.fits and size > len(image.data)
        return size > self.file_bytes or (grows and RUNGS[rung + 1][0] == RUNGS[rung][0])

    def _encoded_size(self, image: _Image, rung: int) -> int:
        key = image.content, image.size, self.form, rung
        return self._converter.sizes.get(key, lambda: len(self._code(image, rung)))[0]

    def _code(self, image: _Image, rung: int) -> bytes:
        self._job.check()

        def make() -> bytes:
            key = image.content, image.size
            pixels, _ = self._pixels.get(key, lambda: resize(pixels_of(image.data), image.size))
            return _encode(pixels, RUNGS[rung], self.form)

        data, cached = self._converter.coded.get((image.content, image.size, self.form, rung), make)
        image.cached = image.cached and cached
        return data


def _encode(pixels: Pixels, rung: tuple[float, int], form: str) -> bytes:
    scale, quality = rung
    height, width = pixels.shape[:2]
    width, height = fit_box(width, height, LONGEST_SIDE.get(form.upper()))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = resize(pixels, size)
    if form == "png":
        return save_png(small)
    if form == "jpeg" and quality > 90:  # coloured text is read better in 4:4:4
        return _save_jpeg(Image.fromarray(small), quality=quality, subsampling="4:4:4")
    content = examine(small, fusion=0.0)
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
