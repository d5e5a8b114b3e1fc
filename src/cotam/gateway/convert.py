"""What becomes of each picture part of a request, on the side of the model and on the side of the client.

Knows parts and pictures, caches and limits: nothing of HTTP. A converter is called in a worker thread, once
for a request, and returns new addresses for the parts that change.
"""

from __future__ import annotations

import base64
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol
from urllib.parse import urlsplit

import cotam
from cotam.errors import CotamError, InputError, LimitError, MissingExtraError
from cotam.format.header import MAGIC, is_sequence
from cotam.gateway import videos
from cotam.gateway.cache import Cache
from cotam.gateway.pictures import (
    COTAM,
    MEDIA_TYPES,
    check_size,
    content_key,
    count_frames,
    is_cotam,
    kind_of,
    png_of,
)
from cotam.gateway.rewrite import Frames, Part, Where, data_url, read_data_url

__all__ = [
    "Converter",
    "ForModel",
    "Job",
    "Note",
    "RefusedError",
    "ToCotam",
    "Wish",
    "check_count",
    "count_pictures",
    "ordinary_in",
    "part_errors",
]

REQUEST_PIXELS = 4
"""All pictures and frames of a request together have at most so many times the pixels that one may have."""

PICTURES = ("image", "video")
"""Kinds of parts that may be .cotam, or become it; of others the address alone is looked at."""

FPS, MAX_FRAMES = 1.0, 32
"""How videos are sampled unless somebody says otherwise."""

_LOG = logging.getLogger("cotam.gateway")

_BEGINNING = base64.b64encode(MAGIC[:6]).decode()
"""What .cotam begins with in base64."""


class RefusedError(Exception):
    """A request that is not carried out: the text is one line for the client.

    Attributes
    ----------
    status : of the HTTP answer
    param : the part of the request that is meant, if any
    headers : of the answer
    """

    def __init__(
        self, message: str, status: int = 400, *, param: str | None = None, headers: Mapping[str, str] = {}
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.headers = status, param, dict(headers)


@dataclass(frozen=True)
class Wish:
    """How a picture is to be coded; None is the codec's own default. The last two are for videos."""

    quality: int | None = None
    target_size: int | None = None
    fit: str | None = None
    max_pixels: int | None = None
    fps: float | None = None
    max_frames: int | None = None

    def options(self) -> dict[str, Any]:
        """Arguments of `cotam.encode`."""
        names = ("quality", "target_size", "fit", "max_pixels")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if "target_size" in given:
            given.pop("quality", None)
        return given

    def over(self, other: Wish) -> Wish:
        """This wish, and the other where this one says nothing. A quality here undoes a size there."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        if "quality" in given and "target_size" not in given:
            given["target_size"] = None
        return replace(other, **given)


@dataclass(frozen=True)
class Note:
    """What became of one picture or video: kinds and bytes of its file before and after."""

    source: str
    result: str
    bytes_in: int
    bytes_out: int
    seconds: float
    cached: bool


@dataclass
class Job:
    """One request on its way through a converter.

    Attributes
    ----------
    wish : what the client asked for
    rest : bytes of the body that are no pictures
    most : pictures and frames that are allowed
    check : raises if nobody waits for the result any more
    notes : of the pictures done so far
    """

    wish: Wish = field(default_factory=Wish)
    rest: int = 0
    most: int = 1 << 30
    check: Callable[[], None] = lambda: None
    notes: list[Note] = field(default_factory=list)


class Converter(Protocol):
    """Parts of a request → new addresses of those that change, or frames, in the order of the parts."""

    def __call__(self, parts: Sequence[Part], job: Job) -> Mapping[Where, str | Frames]: ...


@contextmanager
def part_errors(part: Part) -> Any:
    """What Cotam says of a picture becomes a refusal that names the part."""
    try:
        yield
    except CotamError as error:
        raise RefusedError(f"{part.name}: {error}", param=part.name) from error
    except MemoryError as error:
        raise RefusedError(f"{part.name}: not enough memory for it", 503, param=part.name) from error


def cotam_in(part: Part) -> bytes | None:
    """The .cotam file that a part carries, by its media type or its first bytes; None for other parts.

    Raises
    ------
    InputError
        if it is none, although the media type says so
    """
    if part.kind not in PICTURES:
        return None
    head, _, text = part.url[:200].partition(",")
    named = head.lower().startswith(f"data:{COTAM}")
    if not named and not text.startswith(_BEGINNING):
        return None  # what is not for us is not looked into
    found = read_data_url(part.url)
    if found and is_cotam(found[1]):
        return found[1]
    if named:
        raise InputError(f"the data are not a .cotam file in base64, as {COTAM} says")
    return None


def ordinary_in(part: Part) -> tuple[bytes, str] | None:
    """Data and kind of the ordinary picture that a part carries; None for other parts, broken ones too."""
    if part.kind != "image":
        return None
    with suppress(InputError):
        found = read_data_url(part.url)
        if found and (kind := kind_of(found[1])):
            return found[1], kind
    return None


def video_in(part: Part) -> tuple[bytes, str] | None:
    """Data and kind of the video file that a part carries; None for other parts, broken ones too."""
    with suppress(InputError):
        found = read_data_url(part.url)
        if found and (kind := videos.video_kind(found[1])):
            return found[1], kind
    return None


class ForModel:
    """For a server of models: .cotam becomes PNG, other pictures stay, foreign addresses are refused.

    A sequence becomes as many parts as it has frames.

    Parameters
    ----------
    size_limit : pixels of a picture that is decoded
    hosts : names, in small letters, of hosts whose http(s) addresses are let through; "*" is all
    cache : bytes of decoded pictures that are kept
    roundtrip : how ordinary pictures are encoded, then decoded, to measure what it does; None leaves them
    log : is given a row for each picture that was decoded
    times : before each frame of a sequence, say its time
    """

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

    def __call__(self, parts: Sequence[Part], job: Job) -> dict[Where, str | Frames]:
        news: dict[Where, str | Frames] = {}
        pixels, pictures = 0, count_pictures(parts)
        for part in parts:
            job.check()
            with part_errors(part):
                data = cotam_in(part)
                if data is None and self._roundtrip and (found := ordinary_in(part)):
                    data = found[0]
                if data is not None:
                    size, frames = check_size(data, self._limit), count_frames(data)
                    pixels, pictures = pixels + size * frames, pictures + frames - 1
                    _check_total(pixels, self._limit)
                    check_count(pictures, job.most)
                    news[part.where] = self._new(part, data, job)
                elif part.url[:5].lower() != "data:":
                    self._check_address(part)
        return news

    def _new(self, part: Part, data: bytes, job: Job) -> str | Frames:
        if not is_sequence(data) and part.kind == "image":
            return data_url(MEDIA_TYPES["png"], self._for_model(data, job))
        if not isinstance(part.place[-1], int):
            raise InputError("there is one picture here: a sequence of frames, or a video, is none")
        if not is_sequence(data):
            return Frames(part.place, [("", data_url(MEDIA_TYPES["png"], self._for_model(data, job)))])
        started = time.perf_counter()
        make = partial(videos.frame_urls, data, job.check)
        lines, cached = self._decoded.get((content_key(data), "frames"), make)
        frames = videos.read_frame_urls(lines)
        seconds = time.perf_counter() - started
        job.notes.append(Note("sequence", "png", len(data), 3 * len(lines) // 4, seconds, cached))
        self._log(_row(data, data, "sequence"))
        said = [(f"<{time} seconds>" if self._times else "", url) for time, url in frames]
        return Frames(part.place, said)

    def _for_model(self, data: bytes, job: Job) -> bytes:
        started = time.perf_counter()
        file, source = data, "cotam"
        if self._roundtrip and not is_cotam(data):
            wish = job.wish.over(self._roundtrip)
            key = content_key(data), wish
            file, _ = self._coded.get(key, partial(cotam.encode, data, **wish.options()))
            source = kind_of(data) or "other"
        png, cached = self._decoded.get(content_key(file), partial(png_of, file))
        job.notes.append(Note(source, "png", len(data), len(png), time.perf_counter() - started, cached))
        self._log(_row(data, file, source))
        return png

    def _check_address(self, part: Part) -> None:
        """Raise `InputError` for an address that the model server shall not open for a stranger."""
        if re.search(r"[\\\s\x00-\x1f]", part.url):
            # Programs do not agree on the host of http://one.example\@two.example.
            raise InputError("there is a space, a control character or a backslash in the address")
        try:
            address = urlsplit(part.url)
            host = address.hostname or ""
        except ValueError as error:
            raise InputError(f"the address cannot be read: {error}") from error
        if address.scheme not in ("http", "https") or not host:
            raise InputError("what is no address of http or https is sent as data:…;base64,…")
        if not self._hosts & {"*", host}:
            media = {"file": "application"}.get(part.kind, part.kind)
            raise InputError(
                f"addresses of {host} are not let through here: "
                f"send the {part.kind} itself, as data:{media}/…;base64,…"
            )


class ToCotam:
    """For a client: ordinary pictures and videos become .cotam where that is smaller, the rest stays.

    What cannot be read stays too: the other end may know better, and will say so if not.

    Parameters
    ----------
    wish : how they are encoded unless the request says otherwise
    size_limit : pixels; a larger picture stays as it is, and so does a video with larger frames
    cache : bytes of coded pictures that are kept
    """

    def __init__(self, wish: Wish, size_limit: int, cache: int = 64_000_000) -> None:
        self._wish, self._limit = wish, size_limit
        self._coded = Cache(cache)

    def __call__(self, parts: Sequence[Part], job: Job) -> dict[Where, str]:
        wish = job.wish.over(self._wish)
        urls: dict[Where, str] = {}
        for part in parts:
            job.check()
            is_video = part.kind == "video"
            found = video_in(part) if is_video else ordinary_in(part)
            if not found:
                continue
            (data, result), started, cached = found, time.perf_counter(), False
            size = len(data)
            with part_errors(part), suppress(InputError, LimitError), _without_extra():
                make = self._sequence(data, wish, job) if is_video else self._still(data, wish)
                file, cached = self._coded.get((content_key(data), wish, is_video), make)
                url = data_url(COTAM, file)
                if len(url) < len(part.url):
                    urls[part.where], result, size = url, "cotam", len(file)
            job.notes.append(Note(found[1], result, len(data), size, time.perf_counter() - started, cached))
        return urls

    def _still(self, data: bytes, wish: Wish) -> Callable[[], bytes]:
        check_size(data, self._limit)
        return partial(cotam.encode, data, **wish.options())

    def _sequence(self, data: bytes, wish: Wish, job: Job) -> Callable[[], bytes]:
        if wish.max_frames == 0:
            raise InputError("videos stay as they are")
        coding = replace(wish, target_size=None).options()  # a budget is for a picture
        fps, most = wish.fps or FPS, wish.max_frames or MAX_FRAMES
        return partial(videos.sequence_of, data, fps, most, self._limit, job.check, **coding)


@contextmanager
def _without_extra() -> Iterator[None]:
    """What needs an extra that is not installed stays as it is, and the log says so."""
    try:
        yield
    except MissingExtraError as error:
        _LOG.warning("a video passes as it is", extra={"fields": {"reason": str(error)}})


def count_pictures(parts: Sequence[Part]) -> int:
    """Those of parts that are pictures or videos."""
    return sum(part.kind in PICTURES for part in parts)


def check_count(pictures: int, most: int) -> None:
    """Raise `RefusedError` for more pictures and frames than a request may have."""
    if pictures > most:
        raise RefusedError(f"{pictures} pictures in a request, where {most} are the limit", 413)


def _row(data: bytes, file: bytes, source: str) -> dict[str, Any]:
    """Of the log of bytes: a picture as it came, and its .cotam file."""
    found = cotam.sequence_info(file) if is_sequence(file) else cotam.info(file)
    row = {
        "picture": content_key(data).hex()[:16],
        "source": source,
        "source_bytes": len(data),
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
            f"with this one the pictures have {pixels / 1e6:.0f} MP together: "
            f"more than the limit of {REQUEST_PIXELS * limit / 1e6:g} MP"
        )
