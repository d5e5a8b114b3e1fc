"""``cotam edge --upstream``: images for APIs that read no .cotam, within the limits of the model's API."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Literal

from cotam.errors import CotamError, InputError
from cotam.format.header import is_sequence
from cotam.gateway.cache import Cache, Facts
from cotam.gateway.dataurl import Media
from cotam.gateway.images import Outlines
from cotam.gateway.jobs import Job, Wish, cotam_in, count_images, image_in, part_errors
from cotam.gateway.ladder import BEST, plan, quantised_room
from cotam.gateway.parts import Part
from cotam.gateway.recoding import RUNGS, Attempt, Image
from cotam.gateway.refusal import RefusedError
from cotam.gateway.sizing import model_for
from cotam.image.fit import target_size
from cotam.image.models import Limits, Model

__all__ = ["ForApi"]

FORMATS = ("jpeg", "png", "webp", "gif")
"""What APIs open, where the model is not known."""

_LOG = logging.getLogger("cotam.gateway")


class ForApi:
    """Brings images to the size that the model sees, and to what its API takes: upright, formats, bytes.

    An image that is so already stays as it is, and what cannot be read passes, with a line of the log.

    Parameters
    ----------
    form : of images that are coded again: jpeg or webp
    fit : the model; auto is the one that the request names, none keeps sizes
    image_bytes : of the file of an image; None is the limit of the model's API
    request_bytes : of the whole body; None is the limit of the model's API
    size_limit : pixels; a larger image passes as it is
    cache : bytes of coded images that are kept
    """

    passes_cotam = False

    def __init__(
        self,
        form: Literal["jpeg", "webp"],
        fit: str | None,
        image_bytes: int | None,
        request_bytes: int | None,
        size_limit: int,
        cache: int = 128_000_000,
    ) -> None:
        self._form, self._wish = form, Wish(fit=fit)
        self._image_bytes, self._request_bytes = image_bytes, request_bytes
        self._coded = Cache(cache)
        self._sizes: Facts[int] = Facts()
        self._outlines = Outlines(size_limit)

    def __call__(self, parts: Sequence[Part], job: Job) -> dict[Part, Media]:
        wish = Wish(fit=job.wish.fit, max_pixels=job.wish.max_pixels).over(self._wish)
        request = _Request(self._form, model_for(wish, job), wish, count_images(parts), self._outlines, job)
        request.bound(self._image_bytes, self._request_bytes)
        images, others = [], job.rest
        for part in parts:
            job.check()
            image = request.read(part)
            if image:
                images.append(image)
            else:
                others += len(part.text)
        job.tokens = request.tokens(images)
        small = min(max((request.request_bytes or 0) // 1000, 2048), 20_000)
        attempt = Attempt(images, request.form, request.file_bytes, small, job, self._coded, self._sizes)
        if request.request_bytes is None:
            return attempt.news([BEST] * len(images))
        room = quantised_room(request.request_bytes, others)
        chosen = plan([_turn(image.part) for image in images], attempt.size, len(RUNGS), room)
        if chosen is None:
            least = sum(attempt.size(number, len(RUNGS) - 1) for number in range(len(images)))
            raise RefusedError(
                f"{len(images)} images take at least {least:,} bytes, and {max(room, 0):,} are left of the "
                f"{request.request_bytes:,} of a request: send fewer images, or raise --max-request-bytes",
                413,
            )
        return attempt.news(chosen)


class _Request:
    """What holds for all images of one request: model, limits, formats."""

    def __init__(
        self, form: str, model: Model | None, wish: Wish, count: int, outlines: Outlines, job: Job
    ) -> None:
        self.job, self._model, self._wish, self._count = job, model, wish, count
        self._outlines = outlines
        limits = model.limits if model else Limits()
        self.formats = (model.formats if model else None) or job.formats or FORMATS
        possible = [one for one in (form, "jpeg", "png") if one in self.formats]
        self.form = possible[0] if possible else form
        self.file_bytes, self.request_bytes = limits.file_bytes, limits.request_bytes

    def bound(self, file_bytes: int | None, request_bytes: int | None) -> None:
        """Apply the limits of the options beside those of the API."""
        self.file_bytes = _least(self.file_bytes, file_bytes)
        self.request_bytes = _least(self.request_bytes, request_bytes)

    def read(self, part: Part) -> Image | None:
        """The image of a part; None for a part that stays as it is."""
        with part_errors(part):
            data = cotam_in(part)
            if data is not None and is_sequence(data):
                raise InputError("a sequence of frames cannot be sent to an API: send its frames one by one")
        found = (data, "cotam") if data is not None else image_in(part)
        if not found:
            if part.kind == "image" and part.address is None:
                _passes(part, "not an image of a known format")
            return None
        data, kind = found
        try:
            content, (width, height, upright) = self._outlines.get(data)
        except CotamError as error:
            if kind == "cotam":
                raise RefusedError(f"{part.name}: {error}", param=part.name) from error
            _passes(part, str(error))
            return None
        size = self._size(width, height, part)
        small = self.file_bytes is None or len(data) <= self.file_bytes
        readable = kind in self.formats
        fits = upright and small and readable and self._allows(width, height)
        return Image(part, data, kind, content, size, fits, size == (width, height))

    def _allows(self, width: int, height: int) -> bool:
        """Whether the API takes an image of this size, and the client asked for no smaller one."""
        limits = self._model.limits if self._model else Limits()
        side, patches = limits.side_for(self._count), limits.patches
        if side is not None and max(width, height) > side:
            return False
        if patches and math.ceil(width / patches.size) * math.ceil(height / patches.size) > patches.count:
            return False
        return self._wish.max_pixels is None or width * height <= self._wish.max_pixels

    def _size(self, width: int, height: int, part: Part) -> tuple[int, int]:
        if self._model:
            detail = part.detail or self.job.detail
            width, height = self._model.size_for(width, height, detail, images=self._count)
        return target_size(width, height, None, self._wish.max_pixels)

    def tokens(self, images: Sequence[Image]) -> int | None:
        """Visual tokens of the images for the model; None where that is not known."""
        if not self._model:
            return None
        counts = [self._model.tokens(*one.size, one.part.detail or self.job.detail) for one in images]
        return sum(count or 0 for count in counts) if None not in counts else None


def _least(one: int | None, other: int | None) -> int | None:
    return min((value for value in (one, other) if value is not None), default=None)


def _turn(part: Part) -> int:
    """The number of the message that a part is in."""
    return next((key for key in part.place if isinstance(key, int)), 0)


def _passes(part: Part, reason: str) -> None:
    _LOG.warning("an image passes as it is", extra={"fields": {"part": part.name, "reason": reason}})
