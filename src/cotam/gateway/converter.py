"""Shared by converters: the job of one request, the media in its parts, and limits."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from cotam.errors import InputError, LimitError, MissingExtraError
from cotam.format.header import MAGIC
from cotam.gateway import log
from cotam.gateway.exchange import Conversion
from cotam.gateway.json_body import Where
from cotam.gateway.media import COTAM, Media, format_of, head_of, is_cotam, video_format
from cotam.gateway.parts import Frames, Part
from cotam.gateway.refusal import RefusedError
from cotam.gateway.request_options import RequestOptions
from cotam.gateway.store import RequestFiles, Store

__all__ = [
    "UNREADABLE",
    "Converter",
    "Job",
    "check_count",
    "cotam_in",
    "count_images",
    "has_cotam",
    "is_cotam_text",
    "log_passing",
    "media_in",
]

UNREADABLE = (InputError, LimitError, MissingExtraError, MemoryError)
"""Errors on an ordinary image or video, which then passes unchanged, since the upstream may read it."""

_STEP = 1 << 20
"""Bytes that are searched at a time."""

_BEGINNING = base64.b64encode(MAGIC[:6]).decode()
"""The first characters of a .cotam file in base64, in either alphabet."""


def _one_by_one(work: Callable[[Any], object], items: Iterable[Any]) -> None:
    for item in items:
        work(item)


@dataclass
class Job:
    """One request on its way through a converter."""

    options: RequestOptions = field(default_factory=RequestOptions)  # options of the client
    model: str | None = None  # model that the request names
    # place in the body → model, of the requests of a batch that names none itself
    models: Mapping[Where, str] = field(default_factory=dict)
    rest: int = 0  # bytes of the body without its media
    images: int = 0  # number of its images and videos
    max_images: int = 1 << 30  # largest number of images and frames
    check: Callable[[], None] = lambda: None  # raises if the client has disconnected
    # runs work for each item, as `Threads.each`
    each: Callable[[Callable[[Any], object], Iterable[Any]], None] = _one_by_one
    conversions: list[Conversion] = field(default_factory=list)
    formats: tuple[str, ...] | None = None  # image formats that the upstream reads, if its server is known
    # files that patches in the request may be based on
    files: RequestFiles = field(default_factory=lambda: RequestFiles(Store(0), ""))
    # visual tokens of the images that were read, if the model is known
    token_counts: list[int | None] = field(default_factory=list)

    def request_of(self, part: Part) -> Where:
        """Return the place of the request in a batch that a part belongs to; () is the whole body."""
        beginnings = (part.place[:length] for length in range(len(part.place), 0, -1))
        return next((where for where in beginnings if where in self.models), ())

    def model_of(self, request: Where) -> str | None:
        """Return the model that a request names, given its place."""
        return self.models.get(request, self.model)

    @property
    def tokens(self) -> int | None:
        """Visual tokens of all images; None if unknown, such as those of an address."""
        known = [count for count in self.token_counts if count is not None]
        return sum(known) if known and len(known) >= self.images else None

    def record(self, source: str, result: str, before: int, after: int, *, cached: bool) -> None:
        """Record the conversion of a file from and to so many bytes."""
        self.conversions.append(Conversion(source, result, before, after, cached))


class Converter(Protocol):
    """Returns other media for some parts of a request, in order; called in a worker thread, once a request.

    Attributes
    ----------
    passes_cotam : whether the upstream reads .cotam files; otherwise none may be left
    checks_addresses : whether addresses are refused, so that a body must be clear to every server
    """

    passes_cotam: bool
    checks_addresses: bool

    def __call__(self, parts: Sequence[Part], job: Job) -> Mapping[Part, Media | Frames]: ...


def log_passing(part: Part, reason: object) -> None:
    """Log why an image or video is sent on as it is; a MemoryError has no text."""
    what = "a video" if part.kind == "video" else "an image"
    log.warning(f"{what} passes as it is", part=part.name, reason=str(reason) or "not enough memory")


def cotam_in(part: Part) -> bytes | None:
    """Return the .cotam file of a part, found by its media type or its first bytes; None for other parts.

    Raises InputError if the media type is that of .cotam, and the data is not.
    """
    if not part.shows_images:
        return None
    media_type, text = part.head()
    named = media_type == COTAM
    if not named and not text.startswith(_BEGINNING):
        return None  # without decoding the base64
    found = part.media
    if found and is_cotam(found.data):
        return found.data
    if named:
        raise InputError(f"the data is not a .cotam file in base64, as {COTAM} says")
    return None


def media_in(part: Part, *kinds: Literal["image", "video"]) -> tuple[bytes, str] | None:
    """Return data and format of the image or video of a part; None for other and for broken parts."""
    if part.kind in kinds:
        with suppress(InputError):
            found = part.media
            if found and (kind := (format_of if part.kind == "image" else video_format)(found.data)):
                return found.data, kind
    return None


def is_cotam_text(text: str) -> bool:
    """Whether a string of JSON is a .cotam file, in base64 or as a data URL, or contains such a data URL."""
    media_type, start = head_of(text)
    if media_type == COTAM or start.startswith(_BEGINNING):
        return True
    return f"base64,{_BEGINNING}" in text and f"data:{COTAM}" in text.lower()


def has_cotam(body: bytes) -> bool:
    """Whether a body that is not JSON carries a .cotam file: by itself, in a form, or as a data URL."""
    named = f"data:{COTAM}".encode()
    steps = range(0, len(body), _STEP)  # a copy of the whole body in lower case is not needed
    is_named = any(named in body[start : start + _STEP + len(named)].lower() for start in steps)
    return is_named or body.startswith(MAGIC) or b"\n\r\n" + MAGIC in body


def count_images(parts: Sequence[Part]) -> int:
    """Count the parts that are images or videos."""
    return sum(part.is_visual for part in parts)


def check_count(images: int, limit: int) -> None:
    """Raise `RefusedError` if a request has more than ``limit`` images and frames."""
    if images > limit:
        message = f"the request has {images} images and frames, more than the limit of {limit}"
        raise RefusedError(f"{message}: raise --max-images", 413)
