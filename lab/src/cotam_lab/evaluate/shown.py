"""What a model is shown: pictures, or frames of a video, as a codec leaves them.

Knows codecs and files: nothing of questions' texts or of models. Each frame of a video is coded as a picture.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cotam.codec.shared import codec_of
from cotam.errors import InputError, MissingExtraError
from cotam.format.header import read_header
from cotam.image.baselines import Codec
from cotam.image.read import Pixels, to_rgb
from cotam_lab.bench.ours import ours
from cotam_lab.evaluate.backends import Coded
from cotam_lab.evaluate.questions import Question

__all__ = ["Shown", "WithTokens", "shown", "with_tokens"]


@dataclass(frozen=True)
class WithTokens(Codec):
    """Our codec, whose files a model reads with a token adapter."""

    adapter: Path


def with_tokens(codec: Codec, file: Path) -> WithTokens | None:
    """A codec with the tokens of an adapter; None if it makes no files of its weight set, or not for models.

    Parameters
    ----------
    codec : Codec
    file : Path
        Of a token adapter; its digest becomes part of the version.

    Raises
    ------
    InputError
        If the file is none of an adapter.
    MissingExtraError
        If torch is not installed.
    """
    try:
        from cotam_lab.nets.adapter import TokenAdapter
    except ModuleNotFoundError as error:
        raise MissingExtraError("train", error.name or "torch") from error
    adapter = TokenAdapter.load(file)
    if not codec.name.startswith("cotam") or "view=human" in codec.name:
        return None
    if "profile=" not in codec.name:  # pages, too, with the weight set that the adapter reads
        codec = replace(ours(f"{codec.name.partition(':')[2]},profile=mllm"), name=codec.name)
    made = codec.encode(np.zeros((32, 32, 3), np.uint8), 50)
    if not adapter.reads(codec_of(read_header(made).weights).weights.digest):
        return None
    version = f"{codec.version}, tokens {hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"
    return WithTokens(**vars(codec) | {"name": f"{codec.name}+tokens", "version": version}, adapter=file)


@dataclass(frozen=True)
class Shown:
    """Pictures as a model gets them.

    Attributes
    ----------
    pictures : tuple of Pixels
    coded : Coded or None
        What they were decoded from, where a model reads it with a token adapter.
    bytes : int
        Of all files together: coded, or of the original itself.
    seconds : float
        Coding and decoding, together.
    """

    pictures: tuple[Pixels, ...]
    coded: Coded | None
    bytes: int
    seconds: float

    @property
    def pixels(self) -> int:
        """Of all pictures."""
        return sum(one.shape[0] * one.shape[1] for one in self.pictures)


def shown(question: Question, codec: Codec | None, quality: int | None, *, frames: int) -> Shown:
    """The pictures of a question after a codec, or, without one, as they are.

    Parameters
    ----------
    question : Question
    codec, quality : or None
    frames : int
        Of a video, at the middles of as many equal parts.

    Raises
    ------
    InputError
        If a file cannot be read.
    MissingExtraError
        If it is a video, and the package that reads these is not installed.
    """
    if question.video is None:
        return _coded(tuple(question.paths()), codec, quality)
    path = question.folder / question.video
    originals = _frames(path, frames, question.segment)
    if codec is None or quality is None:
        return Shown(originals, None, path.stat().st_size, 0.0)
    return _through(originals, codec, quality)


# Questions about one picture come one after another; more would only fill the memory.
@functools.lru_cache(maxsize=4)
def _coded(paths: tuple[Path, ...], codec: Codec | None, quality: int | None) -> Shown:
    originals = tuple(_read(path) for path in paths)
    if codec is None or quality is None:
        return Shown(originals, None, sum(path.stat().st_size for path in paths), 0.0)
    return _through(originals, codec, quality)


def _through(originals: Sequence[Pixels], codec: Codec, quality: int) -> Shown:
    start = time.perf_counter()
    files = [codec.encode(pixels, quality) for pixels in originals]
    decoded = tuple(codec.decode(file) for file in files)
    seconds = time.perf_counter() - start
    for before, after in zip(originals, decoded, strict=True):
        if before.shape != after.shape:
            raise InputError(f"a picture of {before.shape} came back as {after.shape}")
    coded = Coded(tuple(files), codec.adapter) if isinstance(codec, WithTokens) else None
    return Shown(decoded, coded, sum(map(len, files)), seconds)


def _read(path: Path) -> Pixels:
    try:
        return to_rgb(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


@functools.lru_cache(maxsize=2)
def _frames(path: Path, count: int, segment: tuple[float, float] | None) -> tuple[Pixels, ...]:
    """Evenly spaced frames, read in one pass."""
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("video", "av") from error
    found: list[Pixels] = []
    last = None
    try:
        with av.open(str(path)) as container:
            start, end = segment or (0.0, (container.duration or 0) / 1e6)
            wanted = [start + (number + 0.5) * (end - start) / count for number in range(count)]
            for frame in container.decode(video=0):
                last = frame
                while wanted and frame.time is not None and frame.time >= wanted[0]:
                    wanted.pop(0)
                    found.append(_pixels(frame))
                if not wanted:
                    break
            if last is not None:  # a video may end a little before it says
                found += [_pixels(last)] * len(wanted)
    except (av.FFmpegError, OSError, IndexError) as error:
        raise InputError(f"{path}: no video that can be read: {error}") from error
    if not found:
        raise InputError(f"{path}: the video has no frames")
    return tuple(found)


def _pixels(frame: Any) -> Pixels:
    return np.ascontiguousarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
