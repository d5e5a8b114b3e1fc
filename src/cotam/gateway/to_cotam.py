"""``cotam edge --gateway``: encode the images and videos of a request to .cotam."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from io import BytesIO

import cotam
from cotam.errors import InputError, LimitError
from cotam.gateway import log
from cotam.gateway.cache import Cache
from cotam.gateway.converter import UNREADABLE, Job, is_cotam_text, log_passing, media_in
from cotam.gateway.limits import FPS, MAX_FRAMES
from cotam.gateway.media import COTAM, Media, Outlines, check_size, decode_base64, format_of, url_length
from cotam.gateway.parts import Part
from cotam.gateway.patch_encoder import Patcher, Source
from cotam.gateway.patch_format import is_patch
from cotam.gateway.refusal import refusing
from cotam.gateway.request_options import RequestOptions, model_for, name_with_detail
from cotam.gateway.store import digest_of
from cotam.image.models import Model
from cotam.image.read import Pixels

__all__ = ["ToCotam"]


class ToCotam:
    """Converts ordinary images and videos to .cotam if that is smaller; other parts pass unchanged.

    Media that cannot be read pass too, so that the other end decides.

    Parameters
    ----------
    options : default options
    size_limit : pixels; larger images, and videos with larger frames, pass unchanged
    patcher : encodes images as patches onto earlier ones; None encodes each whole
    """

    passes_cotam = True
    checks_addresses = False

    def __init__(self, options: RequestOptions, size_limit: int, patcher: Patcher | None = None) -> None:
        self._options, self._limit, self._patcher = options, size_limit, patcher
        self._outlines = Outlines(size_limit)
        self._coded: Cache[bytes] = Cache(64_000_000)

    def __call__(self, parts: Sequence[Part], job: Job) -> dict[Part, Media]:
        request = _Request(job, job.options.over(self._options))
        for part in parts:
            job.check()
            if part.kind == "video" and request.options.max_frames == 0:
                continue
            if found := media_in(part, "image", "video"):
                self._convert(part, *found, request)
            elif part.is_visual and part.address is None and not is_cotam_text(part.text):
                log_passing(part, "unknown format")
        for part in parts:  # Google's client writes URL-safe base64, in which `link.split` finds no files
            if part.media_type and part not in request.changes and any(sign in part.text for sign in "-_"):
                with suppress(InputError):
                    request.changes[part] = Media(part.media_type, decode_base64(part.text))
        return request.changes

    def _convert(self, part: Part, data: bytes, kind: str, request: _Request) -> None:
        """Encode the image or video of a part, and send the file if it is smaller."""
        result, sent, cached = kind, data, False
        with refusing(part.name):
            try:
                file, cached = (self._still if part.kind == "image" else self._video)(data, part, request)
                if url_length(COTAM, len(file)) < url_length(kind, len(data)):
                    request.changes[part] = Media(COTAM, file)
                    result, sent = "patch" if is_patch(file) else "cotam", file
                if part.kind == "image":
                    request.earlier.append(Source(data, request.options_for(part), sent))
            except UNREADABLE as error:
                log_passing(part, error)
        request.job.record(kind, result, len(data), len(sent), cached=cached)

    def _still(self, data: bytes, part: Part, request: _Request) -> tuple[bytes, bool]:
        """Return the .cotam file of an image, and whether it was in the cache."""
        key, (width, height, _) = self._outlines.get(data)
        request.count(width, height, part)
        options = request.options_for(part)
        if self._patcher:
            return self._patcher(data, options, request.earlier)
        return self._coded.get((key, options), partial(cotam.encode, data, **options.for_encode()))

    def _video(self, data: bytes, part: Part, request: _Request) -> tuple[bytes, bool]:
        """Return the .cotam sequence of a video, and whether it was in the cache."""
        if not part.is_one_of_several:
            raise InputError("its frames cannot take its place: it is not in a list")
        key = digest_of(data), request.options_for(part), "video"
        return self._coded.get(key, partial(self._sequence, data, part, request))

    def _sequence(self, data: bytes, part: Part, request: _Request) -> bytes:
        from cotam.image.animation import open_clip
        from cotam.image.sampling import read_clip

        options, check = request.options_for(part), request.job.check

        def note(text: str) -> None:
            log.warning("a video is not sent whole", part=part.name, note=text)

        def checked(frames: Iterator[tuple[float, Pixels]]) -> Iterator[tuple[float, Pixels]]:
            for seconds, pixels in frames:
                height, width = pixels.shape[:2]
                if width * height > self._limit:
                    message = f"frames are {width}×{height}: more than the limit of {self._limit / 1e6:g} MP"
                    raise LimitError(message)
                yield seconds, pixels

        if format_of(data):
            check_size(data, self._limit)
        with closing(open_clip(BytesIO(data), "the video")) as clip:
            fps, most = options.fps or FPS, options.max_frames or MAX_FRAMES
            frames = read_clip(clip, fps, most, advance=lambda seconds: check(), note=note)
            coding = replace(options, target_size=None).for_encode()  # a budget is for an image
            return b"".join(cotam.encode_frames(checked(frames), **coding))


class _Request:
    """The options of one request, and its images that are converted so far."""

    def __init__(self, job: Job, options: RequestOptions) -> None:
        self.job = job
        self.options = options
        self.changes: dict[Part, Media] = {}
        self.earlier: list[Source] = []

    def options_for(self, part: Part) -> RequestOptions:
        """Return the options for the media of a part, with the name of the model that sees it."""
        model = self._model_for(part)
        fit = name_with_detail(model, part.detail) if model and not part.exact else None
        return replace(self.options, fit=fit)

    def count(self, width: int, height: int, part: Part) -> None:
        """Count the visual tokens of an image."""
        if model := self._model_for(part):
            size = model.size_for(width, height, part.detail)
            self.job.token_counts.append(model.tokens(*size, part.detail))

    def _model_for(self, part: Part) -> Model | None:
        return model_for(self.options.fit, self.job.model_of(self.job.request_of(part)))
