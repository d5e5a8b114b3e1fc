"""`encode_frames`, `decode_frames`, `decode_frame`, `sequence_info`: pictures with times in, bytes out, back.

Knows pictures, times and codecs: nothing of video files (``video``) or of files on disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from numbers import Real
from typing import TYPE_CHECKING, Any, BinaryIO

from cotam.api import (
    Profile,
    View,
    check_coding,
    check_positive,
    check_view,
    codec,
    codec_of,
    guided,
    made_with,
)
from cotam.errors import DamagedError, FormatError, InputError
from cotam.format.header import Header, Kind, check_size, require_bytes

if TYPE_CHECKING:
    from PIL import Image

    from cotam.codec.temporal import FrameDecoder
    from cotam.guide.base import Guide
    from cotam.guide.importance import Policy
    from cotam.image.read import ImageInput

__all__ = ["SequenceInfo", "decode_frame", "decode_frames", "encode_frames", "sequence_info"]

KEY_EVERY = 32


@dataclass(frozen=True)
class SequenceInfo:
    """What a sequence says about itself.

    Attributes
    ----------
    width, height : pixels
    quality : 0 … 100
    weights : name of the weight set, or its hash where it is not installed
    bytes : size of the whole file
    bpp : bits per pixel of all frames
    times : of the frames, in seconds
    keys : numbers of the key frames
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


def encode_frames(
    frames: Iterable[tuple[float, ImageInput]],
    *,
    quality: int = 50,
    profile: Profile = "auto",
    guide: str | Guide = "auto",
    guide_strength: float = 1.0,
    guide_policy: Policy = "log",
    background: str | tuple[int, int, int] = "white",
    fit: str | None = None,
    max_pixels: int | None = None,
    key_every: int = KEY_EVERY,
    key_at: Iterable[float] = (),
    low_delay: bool = False,
) -> Iterator[bytes]:
    """Encode frames, as they come, to the parts of a sequence: write them one after the other.

    Parameters
    ----------
    frames : (seconds, picture) each; seconds rise, from 0 on, and are kept to the microsecond. Pictures are
        as for `cotam.encode`, all of one size. They are taken one by one, when bytes are asked for.
    quality, profile, guide, guide_strength, guide_policy, background, fit, max_pixels :
        as for `cotam.encode`; "auto" is settled by the first frame. The guide's importance is smoothed over
        time.
    key_every : frames from one key frame to the next, at most: random access decodes no more than these
    key_at : seconds; the first frame at or after each is a key frame
    low_delay : give the bytes of a frame before the next one is taken. Without that, a frame is coded once
        the next is known, and what that will copy gets more bits.

    Yields
    ------
    bytes
        header, a chunk for each frame, index

    Raises
    ------
    InputError
        if an argument, a picture or its time cannot be encoded, or if there are no frames
    """
    check_coding(quality, profile)
    check_positive(key_every, "key_every is a number of frames")
    guidance = guided(guide, guide_strength, guide_policy, profile)
    shrink = {"fit": fit, "max_pixels": max_pixels}
    coder = {"quality": int(quality), "key_every": int(key_every), "guidance": guidance}
    pixels = _pixels(frames, background, shrink)
    return _encoded(pixels, profile, coder, sorted(key_at), low_delay, spread=guide != "auto")


def _pixels(
    frames: Iterable[tuple[float, ImageInput]], background: Any, shrink: dict[str, Any]
) -> Iterator[tuple[int, Any]]:
    """Times in microseconds and pixels of one size."""
    from cotam.format.sequence import TICKS
    from cotam.image.fit import fitted
    from cotam.image.read import to_rgb

    size = None
    for number, frame in enumerate(frames):
        if not isinstance(frame, tuple | list) or len(frame) != 2:
            raise InputError(f"frame {number}: expected (seconds, picture), not {type(frame).__name__}")
        seconds, image = frame
        pixels = to_rgb(image, background=background)
        size = size or pixels.shape
        if pixels.shape != size:
            shapes = (f"{shape[1]}×{shape[0]}" for shape in (pixels.shape, size))
            raise InputError("frame {} is {}, the first is {}".format(number, *shapes))
        if not isinstance(seconds, Real) or not 0 <= seconds < float("inf"):
            raise InputError(f"frame {number}: a time is a number of seconds from 0 on, not {seconds!r}")
        yield round(seconds * TICKS), fitted(pixels, **shrink)


def _encoded(
    frames: Iterator[tuple[int, Any]],
    profile: Profile,
    options: dict[str, Any],
    key_at: list[float],
    low_delay: bool,
    spread: bool,
) -> Iterator[bytes]:
    """``spread``: also pages are guided."""
    from cotam.codec.temporal import FrameEncoder
    from cotam.format.sequence import TICKS, SequenceWriter
    from cotam.guide.content import examine

    current = next(frames, None)
    if current is None:
        raise InputError("there are no frames to encode")
    if profile == "auto":
        content = examine(current[1])
        profile = content.profile
        if content.is_page and not spread:
            options["guidance"] = None
    found = codec(profile)
    height, width = current[1].shape[:2]
    header = Header(width, height, options["quality"], Kind.SEQUENCE, found.weights.short_hash)
    writer = SequenceWriter(header)
    encoder = FrameEncoder(found, (height, width), **options)
    yield writer.start()
    while current is not None:
        ticks, pixels = current
        following = None if low_delay else next(frames, None)
        due = bool(key_at) and key_at[0] * TICKS <= ticks
        key_at = [seconds for seconds in key_at if seconds * TICKS > ticks]
        ahead = following[1] if following else None
        frame = encoder.encode(pixels, ahead, writer.fields(ticks), key=due)
        yield writer.chunk(ticks, frame)
        current = next(frames, None) if low_delay else following
    yield writer.finish()


def decode_frames(
    data: bytes | BinaryIO, *, view: View = "mllm", size_limit: int | None = None
) -> Iterator[tuple[float, Image.Image]]:
    """Decode a sequence, frame by frame.

    Parameters
    ----------
    data : a sequence, or a binary stream of one: each frame is decoded as soon as its bytes are there
    view, size_limit : as for `cotam.decode`

    Yields
    ------
    (float, Pillow image)
        seconds and RGB picture

    Raises
    ------
    TruncatedError
        after the last whole frame, if the sequence was cut off
    FormatError, LimitError, UnknownWeightsError
        as `cotam.decode`; what was yielded before is right
    """
    check_view(view)
    source: Any = data if hasattr(data, "read") else BytesIO(require_bytes(data))
    return _decoded(source, view, size_limit)


def _decoded(source: BinaryIO, view: View, size_limit: int | None) -> Iterator[tuple[float, Image.Image]]:
    from PIL import Image

    from cotam.format.sequence import TICKS, SequenceReader

    reader = SequenceReader(source)
    decoder = _decoder(reader.header, size_limit)
    for ticks, fields, frame in reader.frames():
        try:
            found = decoder.decode(frame, fields)
        except FormatError as error:
            raise type(error)(f"frame {reader.count - 1}: {error}") from error
        yield ticks / TICKS, Image.fromarray(decoder.picture(found, view))


def decode_frame(
    data: bytes, number: int, *, view: View = "mllm", size_limit: int | None = None
) -> tuple[float, Image.Image]:
    """Decode one frame of a whole sequence by its number, from the key frame before it on.

    Returns
    -------
    (float, Pillow image)
        seconds and RGB picture

    Raises
    ------
    InputError
        if there is no frame of this number
    FormatError, LimitError, UnknownWeightsError
        as `cotam.decode`
    """
    from PIL import Image

    from cotam.format.sequence import TICKS, SequenceReader, read_index

    check_view(view)
    data = require_bytes(data)
    index = read_index(data)
    header, entries = index.header, index.entries
    if not 0 <= number < len(entries):
        raise InputError(f"there is no frame {number}: the sequence has 0 to {len(entries) - 1}")
    key = max(n for n in range(number + 1) if entries[n].key)
    head = data[: entries[0].start]
    last = entries[number]
    source = BytesIO(head + data[entries[key].start : last.start + last.size])
    decoder = _decoder(header, size_limit)
    frames = SequenceReader(source).frames()
    for _ in range(key, number + 1):
        _, fields, frame = next(frames, (0, b"", None))
        if frame is None:
            raise DamagedError("the index at the end does not fit the frames before it")
        found = decoder.decode(frame, fields)
    return last.ticks / TICKS, Image.fromarray(decoder.picture(found, view))


def sequence_info(data: bytes) -> SequenceInfo:
    """What a whole sequence says about itself; its frames are not decoded.

    Raises
    ------
    FormatError
        if the data are not a whole sequence
    """
    from cotam.format.sequence import TICKS, read_index

    index = read_index(require_bytes(data))
    header, entries = index.header, index.entries
    return SequenceInfo(
        width=header.width,
        height=header.height,
        quality=header.quality,
        weights=made_with(header.weights),
        bytes=len(data),
        bpp=8 * len(data) / (header.width * header.height * len(entries)),
        times=tuple(entry.ticks / TICKS for entry in entries),
        keys=tuple(number for number, entry in enumerate(entries) if entry.key),
        sizes=tuple(entry.size for entry in entries),
    )


def _decoder(header: Header, size_limit: int | None) -> FrameDecoder:
    from cotam.codec.temporal import FrameDecoder

    check_size(header.width, header.height, size_limit)
    return FrameDecoder(codec_of(header.weights), (header.height, header.width), header.quality)
