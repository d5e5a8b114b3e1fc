"""Public functions for sequences: encode, decode and inspect frames with times."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from math import isfinite
from numbers import Real
from operator import index
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO, cast, get_args

from cotam.errors import InputError
from cotam.format.header import Header, Kind, check_size, require_bytes
from cotam.format.sequence import TICKS, SequenceReader, SequenceWriter, read_index
from cotam.options import Effort, Options, Profile, View, check_choice, check_count

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from cotam.codec.temporal import Frame
    from cotam.groups import GroupDecoder
    from cotam.guide.base import Guide
    from cotam.guide.importance import Policy
    from cotam.image.read import ImageInput

__all__ = ["KEY_EVERY", "FrameSequence", "SequenceInfo", "decode_frames", "encode_frames", "open_sequence"]

KEY_EVERY = 32
"""Default distance of key frames, in frames."""


@dataclass(frozen=True)
class SequenceInfo:
    """The properties of a sequence.

    Attributes
    ----------
    width, height : pixels
    quality : 0 … 100
    weights : name of the weight set, or its hash if it is not installed
    bytes : size of the whole file
    bpp : mean bits per pixel of all frames
    times : time of each frame, in seconds
    keys : numbers of the key frames, counted from 0
    sizes : bytes of each frame
    """

    width: int
    height: int
    quality: int
    weights: str
    bytes: int
    bpp: float
    times: tuple[float, ...]
    keys: tuple[int, ...]
    sizes: tuple[int, ...]


# Encoding


def encode_frames(
    frames: Iterable[tuple[float, ImageInput]],
    *,
    quality: int = 50,
    profile: Profile = "auto",
    guide: str | PathLike[str] | Guide = "auto",
    guide_strength: float = 1.0,
    guide_policy: Policy = "log",
    background: str | tuple[int, int, int] = "white",
    fit: str | None = None,
    max_pixels: int | None = None,
    effort: Effort = "default",
    key_every: int = KEY_EVERY,
    key_at: Iterable[float] = (),
    low_delay: bool = False,
) -> Iterator[bytes]:
    """Encode frames to a sequence, yielding its bytes in parts as frames arrive.

    Parameters
    ----------
    frames : (seconds, image) pairs, taken one by one as bytes are requested. Seconds increase from 0 or
        later, by at most 9.5 hours at a time, and are rounded to microseconds. Images are as for
        `cotam.encode`, all of one size.
    quality, profile, guide, guide_strength, guide_policy, background, fit, max_pixels, effort :
        As for `cotam.encode`; the profile "auto" is resolved by the first frame, and frames of screens are
        coded as the areas that changed. Importance is smoothed over time.
    key_every : largest distance of key frames, in frames; random access decodes at most this many frames
    key_at : seconds; the first frame at or after each is a key frame
    low_delay : yield the bytes of a frame before the next one is taken. Otherwise the next frame is analysed
        first, and cells that it can copy get more bits.

    Yields
    ------
    bytes
        Header, a chunk for each frame, index.

    Raises
    ------
    InputError
        If an argument, an image or its time is not valid, or there are no frames. Only errors in arguments
        are raised before the first part is requested.
    """
    options = Options(
        quality=quality,
        profile=profile,
        guide=guide,
        guide_strength=guide_strength,
        guide_policy=guide_policy,
        background=background,
        fit=fit,
        max_pixels=max_pixels,
        effort=effort,
    )
    check_count("key_every", key_every)
    if not isinstance(frames, Iterable):
        raise InputError(f"frames must be (seconds, image) pairs, got {frames!r}")
    keys = _sorted_ticks(key_at)
    return _encode(_read_frames(frames, options), options, int(key_every), keys, low_delay)


def _sorted_ticks(key_at: Iterable[float]) -> list[int]:
    """Convert ``key_at`` to ticks and sort them. Raises InputError if it does not hold numbers."""
    found = list(key_at) if isinstance(key_at, Iterable) else None
    if found is None or not all(isinstance(seconds, Real) and isfinite(seconds) for seconds in found):
        raise InputError(f"key_at must be numbers of seconds, got {key_at!r}")
    return sorted(map(_ticks_of, found))


def _ticks_of(seconds: float) -> int:
    return round(float(seconds) * TICKS)  # NumPy's short floats would round or overflow


def _read_frames(
    frames: Iterable[tuple[float, ImageInput]], options: Options
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield ticks and pixels of each frame, checked."""
    from cotam.image.fit import shrink_to_fit
    from cotam.image.read import to_rgb

    first = None
    for number, frame in enumerate(frames):
        if not isinstance(frame, tuple | list) or len(frame) != 2:
            raise InputError(f"frame {number}: expected (seconds, image), got {type(frame).__name__}")
        seconds, image = frame
        pixels = to_rgb(image, background=options.background)
        size = f"{pixels.shape[1]}×{pixels.shape[0]}"
        first = first or size
        if size != first:
            raise InputError(f"frame {number} is {size}, the first is {first}")
        if not isinstance(seconds, Real) or not 0 <= seconds < float("inf"):
            raise InputError(f"frame {number}: time must be a number of seconds from 0 on, got {seconds!r}")
        yield _ticks_of(seconds), shrink_to_fit(pixels, options.fit, options.max_pixels)


def _encode(
    frames: Iterator[tuple[int, np.ndarray]],
    options: Options,
    key_every: int,
    key_at: list[int],
    low_delay: bool,
) -> Iterator[bytes]:
    from cotam.groups import GroupEncoder

    first = next(frames, None)
    if first is None:
        raise InputError("there are no frames to encode")
    pixels = first[1]
    encoder = GroupEncoder(options, pixels, key_every)
    height, width = pixels.shape[:2]
    writer = SequenceWriter(Header(width, height, int(options.quality), Kind.SEQUENCE, encoder.weights))
    analysed = ((ticks, encoder.prepare(pixels)) for ticks, pixels in chain([first], frames))

    yield writer.start()
    current: tuple[int, Frame | np.ndarray] | None = next(analysed)
    while current is not None:
        ticks, frame = current
        ahead = None if low_delay else next(analysed, None)
        due = bisect_right(key_at, ticks)
        coded = encoder.encode(frame, ahead and ahead[1], writer.fields(ticks), key=due > 0)
        yield writer.chunk(ticks, coded)
        key_at = key_at[due:]
        current = next(analysed, None) if low_delay else ahead
    yield writer.finish()


# Decoding


def decode_frames(
    data: bytes | BinaryIO, *, view: View = "mllm", size_limit: int | None = None
) -> Iterator[tuple[float, Image.Image]]:
    """Decode a sequence frame by frame.

    Parameters
    ----------
    data : bytes of a sequence, or a binary stream, of which each frame is decoded as soon as it has arrived
    view, size_limit : as for `cotam.decode`

    Yields
    ------
    (float, Pillow image)
        Seconds and RGB image.

    Raises
    ------
    TruncatedError
        After the last whole frame, if the sequence is truncated.
    FormatError, LimitError, UnknownWeightsError
        As `cotam.decode`; the frames yielded before are valid.
    """
    check_choice("view", view, get_args(View))
    source = data if hasattr(data, "read") else BytesIO(require_bytes(data))
    return _decode(cast("BinaryIO", source), view, size_limit)


def _decode(source: BinaryIO, view: View, size_limit: int | None) -> Iterator[tuple[float, Image.Image]]:
    from PIL import Image

    from cotam.groups import GroupDecoder

    reader = SequenceReader(source)
    check_size(reader.header.width, reader.header.height, size_limit)
    decoder = GroupDecoder(reader.header, view)
    for number, (ticks, fields, frame) in enumerate(reader.frames()):
        decoder.decode(number, frame, fields)
        yield ticks / TICKS, Image.fromarray(decoder.pixels())


def open_sequence(
    source: str | PathLike[str] | bytes, *, view: View = "mllm", size_limit: int | None = None
) -> FrameSequence:
    """Open a whole sequence for random access.

    Parameters
    ----------
    source : path, or the bytes of a sequence
    view, size_limit : as for `cotam.decode`

    Raises
    ------
    FormatError
        If it is not a whole sequence; `decode_frames` reads one without an index at its end.
    LimitError
        If its frames have more pixels than ``size_limit``.
    OSError
        If the file cannot be read.
    """
    data = Path(source).read_bytes() if isinstance(source, str | PathLike) else require_bytes(source)
    return FrameSequence(data, view=view, size_limit=size_limit)


class FrameSequence:
    """An open sequence with ``len(sequence)``, ``sequence[number]`` and iteration; safe to share by threads.

    Frames are (seconds, Pillow image) pairs. Decoding starts at the previous key frame, or continues after
    the frame that was decoded last.

    Attributes
    ----------
    info : see `SequenceInfo`
    """

    def __init__(self, data: bytes, *, view: View = "mllm", size_limit: int | None = None) -> None:
        """See `open_sequence`."""
        from cotam.codec import weights

        check_choice("view", view, get_args(View))
        found = read_index(data)
        header, entries = found.header, found.entries
        check_size(header.width, header.height, size_limit)
        self._view, self._entries, self._reader = view, entries, SequenceReader(BytesIO(data))
        self._decoder: GroupDecoder  # which has decoded the frame before `_next`, unless that is 0
        self._next = 0
        self._decoding = Lock()
        self.info = SequenceInfo(
            width=header.width,
            height=header.height,
            quality=header.quality,
            weights=weights.label_of(header.weights),
            bytes=len(data),
            bpp=8 * len(data) / (header.width * header.height * len(entries)),
            times=tuple(entry.ticks / TICKS for entry in entries),
            keys=tuple(number for number, entry in enumerate(entries) if entry.key),
            sizes=tuple(entry.size for entry in entries),
        )

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[tuple[float, Image.Image]]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> tuple[float, Image.Image]:
        """Decode a frame; negative numbers count from the end.

        Raises
        ------
        IndexError, TypeError
            If there is no frame of this number, or it is not a whole number.
        FormatError, UnknownWeightsError
            As `cotam.decode`.
        """
        from PIL import Image

        from cotam.groups import GroupDecoder

        number = index(number)
        if not -len(self) <= number < len(self):
            raise IndexError(f"there is no frame {number}: the sequence has 0 to {len(self) - 1}")
        number %= len(self)
        with self._decoding:
            key = self.info.keys[bisect_right(self.info.keys, number) - 1]
            start = self._next if key < self._next <= number else key
            self._next = 0  # in case of an error
            if start == key:
                self._decoder = GroupDecoder(self._reader.header, self._view)
            for one in range(start, number + 1):
                fields, frame = self._reader.frame_at(one, self._entries)
                self._decoder.decode(one, frame, fields)
            self._next = number + 1
            pixels = self._decoder.pixels()
        return self.info.times[number], Image.fromarray(pixels)
