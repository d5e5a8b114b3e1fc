"""``cotam edge --gateway``: the images and videos of a request as .cotam."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial

import cotam
from cotam.errors import InputError, LimitError, MissingExtraError
from cotam.gateway.cache import Cache
from cotam.gateway.dataurl import Media, url_length
from cotam.gateway.exchange import Note
from cotam.gateway.images import COTAM, check_size, content_key
from cotam.gateway.jobs import FPS, MAX_FRAMES, Job, Wish, image_in, part_errors
from cotam.gateway.parts import Part
from cotam.gateway.patches import is_patch
from cotam.gateway.patching import Patcher, Source
from cotam.gateway.videos import sequence_of, video_format

__all__ = ["ToCotam"]

_LOG = logging.getLogger("cotam.gateway")


class ToCotam:
    """Converts ordinary images and videos to .cotam where that is smaller; other parts stay as they are.

    What cannot be read stays too: the other end may know better, and answers for itself if not.

    Parameters
    ----------
    wish : how they are encoded unless the request says otherwise
    size_limit : pixels; a larger image stays as it is, and so does a video with larger frames
    cache : bytes of coded images that are kept
    patcher : encodes images as patches onto earlier ones of the request; None encodes each whole
    """

    passes_cotam = True

    def __init__(
        self, wish: Wish, size_limit: int, cache: int = 64_000_000, patcher: Patcher | None = None
    ) -> None:
        self._wish, self._limit, self._patcher = wish, size_limit, patcher
        self._coded = Cache(cache)

    def __call__(self, parts: Sequence[Part], job: Job) -> dict[Part, Media]:
        wish = job.wish.over(self._wish)
        news: dict[Part, Media] = {}
        earlier: list[Source] = []
        for part in parts:
            job.check()
            is_video = part.kind == "video"
            found = video_in(part) if is_video else image_in(part)
            if not found:
                continue
            (data, result), started, cached = found, time.perf_counter(), False
            size = len(data)
            with part_errors(part), _noted(part), suppress(LimitError):
                make = self._sequence(data, wish, job) if is_video else self._still(data, wish)
                if self._patcher and not is_video:
                    file, cached = self._patcher(data, wish, earlier)
                else:
                    file, cached = self._coded.get((content_key(data), wish, is_video), make)
                media = Media(COTAM, file)
                if url_length(media) < url_length(Media(found[1], data)):
                    news[part], result, size = media, "patch" if is_patch(file) else "cotam", len(file)
                else:
                    file = data
                earlier += [] if is_video else [Source(data, wish, file)]
            job.notes.append(Note(found[1], result, len(data), size, time.perf_counter() - started, cached))
        return news

    def _still(self, data: bytes, wish: Wish) -> Callable[[], bytes]:
        check_size(data, self._limit)
        return partial(cotam.encode, data, **wish.options())

    def _sequence(self, data: bytes, wish: Wish, job: Job) -> Callable[[], bytes]:
        if wish.max_frames == 0:
            raise LimitError("videos stay as they are")
        coding = replace(wish, target_size=None).options()  # a budget is for an image
        fps, most = wish.fps or FPS, wish.max_frames or MAX_FRAMES
        return partial(sequence_of, data, fps, most, self._limit, job.check, **coding)


def video_in(part: Part) -> tuple[bytes, str] | None:
    """Data and format of the video file that a part carries; None for other parts, broken ones too."""
    with suppress(InputError):
        found = part.media
        if found and (kind := video_format(found.data)):
            return found.data, kind
    return None


@contextmanager
def _noted(part: Part) -> Iterator[None]:
    """Leave what cannot be read, or needs an extra that is not installed, as it is, and log why."""
    try:
        yield
    except (InputError, MissingExtraError) as error:
        fields = {"part": part.name, "reason": str(error)}
        article = "a video" if part.kind == "video" else "an image"
        _LOG.warning(f"{article} passes as it is", extra={"fields": fields})
