"""Public functions: encode, decode and inspect images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, get_args

from cotam.format.header import File, Kind, check_size, is_sequence, read_file, require_bytes
from cotam.options import Effort, Metadata, Options, Profile, View, check_choice
from cotam.stills import decode_still, encode_still

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from cotam.guide.base import Guide
    from cotam.guide.importance import Policy
    from cotam.image.read import ImageInput

__all__ = [
    "Encoded",
    "Info",
    "decode",
    "encode",
    "encode_image",
    "info",
    "info_of",
    "level_map",
    "pillow_info",
]


@dataclass(frozen=True)
class Info:
    """The properties of a ``.cotam`` file.

    Attributes
    ----------
    width, height : pixels
    quality : 0 … 100
    kind : "learned", "av1", "lossless" or "patch"
    weights : name of the weight set, or its hash if it is not installed; empty for kinds that use none
    bytes : size of the whole file
    bpp : bits per pixel of the whole file
    has_levels : the file has a gain offset map
    metadata : which of "exif", "icc", "xmp" the file has
    """

    width: int
    height: int
    quality: int
    kind: str
    weights: str
    bytes: int
    bpp: float
    has_levels: bool
    metadata: tuple[str, ...]


@dataclass(frozen=True)
class Encoded:
    """The result of `encode_image`."""

    file: File  # see `cotam.format.header.File`; ``file.data`` are the bytes
    # (width, height) of the image after ``fit`` and ``max_pixels``; the file's is smaller if the image had
    # to be shrunk for ``target_size``
    size: tuple[int, int]
    frames: int  # number of frames in the image file, if counted, else 1; the first one is encoded


def encode(
    image: ImageInput,
    *,
    quality: int = 50,
    target_size: int | None = None,
    profile: Profile = "auto",
    guide: str | PathLike[str] | Guide = "auto",
    guide_strength: float = 1.0,
    guide_policy: Policy = "log",
    levels: np.ndarray | None = None,
    metadata: Metadata | Iterable[Metadata] = (),
    background: str | tuple[int, int, int] = "white",
    fit: str | None = None,
    max_pixels: int | None = None,
    effort: Effort = "default",
) -> bytes:
    """Encode an image to a whole ``.cotam`` file.

    Parameters
    ----------
    image : Pillow image, uint8 array (H, W[, 1 | 3 | 4]), path, or the bytes of an image file. It is turned
        upright and converted to sRGB; an animation gives its first frame.
    quality : 0 … 100, about 0.04 to 1.6 bits per pixel on photographs
    target_size : largest file in bytes, for the highest quality that fits instead of ``quality``. If none
        does, the image is shrunk, unless ``levels`` are given.
    profile : weight set: "mllm" for vision encoders, "page" for text, "base" for least squared error. "auto"
        is "page" for images that are mostly text, else "mllm"; see `cotam.options.Options.resolve`.
    guide : decides where bits are spent: "none", "text", "lite" (the built-in network), "PATH.onnx",
        "clip:NAME_OR_FOLDER" or a `cotam.guide.base.Guide`. "auto" is "text" with "mllm", else "none".
    guide_strength : 0 … 16, scales the guide's gain offsets; 0 is no guidance
    guide_policy : "log" keeps the size that the quality has without a guide; "ternary" is the paper's rule
    levels : gain offset map instead of a guide: integers (⌈H/32⌉, ⌈W/32⌉) in ±7, in quarter octaves of gain
    metadata : which of "exif", "icc", "xmp" to keep
    background : colour behind transparent pixels: (r, g, b) in 0 … 255, a name or "#rrggbb"
    fit : name of a model, such as "qwen3-vl": shrink to the size that it sees
    max_pixels : shrink to at most this many pixels
    effort : "fast" takes less time, "best" makes smaller files

    Raises
    ------
    InputError, TargetSizeError, OSError
        If an argument or the image is not valid, no version of it fits, or its file cannot be read.
    UnknownWeightsError, MissingLabError, MissingExtraError
        If a weight set or guide of cotam-lab, or the extra ``heic`` for a HEIC image, is not installed.
    """
    options = Options(
        quality=quality,
        target_size=target_size,
        profile=profile,
        guide=guide,
        guide_strength=guide_strength,
        guide_policy=guide_policy,
        levels=levels,
        metadata=metadata,
        background=background,
        fit=fit,
        max_pixels=max_pixels,
        effort=effort,
    )
    return encode_image(image, options).file.data


def encode_image(image: ImageInput, options: Options, note: Callable[[str], None] | None = None) -> Encoded:
    """Encode an image as `encode` does, and return the parsed file. Raises as `encode`.

    ``note`` is called with one line for everything that was repaired, left out or shrunk. Without it, frames
    are not counted, and repairs issue a UserWarning.
    """
    from cotam.image.fit import shrink_to_fit
    from cotam.image.read import read_with_notes

    loaded = read_with_notes(image, background=options.background, keep=options.kept_metadata, note=note)
    pixels = shrink_to_fit(loaded.pixels, options.fit, options.max_pixels)
    file = encode_still(pixels, options.resolve(pixels), loaded.metadata)
    height, width = pixels.shape[:2]
    if note and (file.width, file.height) != (width, height):
        size = f"{file.width}×{file.height}"
        note(f"shrunk from {width}×{height} to {size} to fit into {options.target_size} bytes")
    return Encoded(file, (width, height), loaded.frames)


def decode(data: bytes, *, view: View = "mllm", size_limit: int | None = None) -> Image.Image:
    """Decode a file to an RGB image; its metadata are in ``image.info``.

    Parameters
    ----------
    data : a whole ``.cotam`` file; a sequence gives its first frame
    view : "mllm" for vision encoders, "human" for people; they differ only for the learned codec
    size_limit : pixels; larger images are refused before memory is allocated (default 200 million)

    Raises
    ------
    InputError
        If ``data`` is not bytes-like, ``view`` is unknown, or ``size_limit`` is not a number.
    FormatError
        If the file is not valid: `NotCotamError`, `TruncatedError` or `DamagedError`.
    LimitError
        If the image has more pixels than ``size_limit``.
    UnknownWeightsError
        If the weight set of the file is not installed.
    MissingCodecError
        If Pillow was built without AVIF or WebP, and the file needs it.
    """
    from PIL import Image

    check_choice("view", view, get_args(View))
    data = require_bytes(data)
    if is_sequence(data):
        from cotam.frames import decode_frames

        return next(decode_frames(data, view=view, size_limit=size_limit))[1]
    file = read_file(data)
    check_size(file.width, file.height, size_limit)
    image = Image.fromarray(decode_still(file, view))
    image.info |= pillow_info(file.metadata)
    return image


def level_map(data: bytes, *, size_limit: int | None = None) -> np.ndarray:
    """Decode the gain offset map of a file, int8 (⌈H/32⌉, ⌈W/32⌉) in ±7: zeros if the file has none.

    Latents are not decoded, so the checksum over all symbols is not compared, and some damage that `decode`
    detects goes unnoticed.

    Raises
    ------
    InputError, FormatError, LimitError, UnknownWeightsError
        As `decode`.
    """
    import numpy as np

    from cotam.codec.shared import codec_of

    file = read_file(require_bytes(data))
    check_size(file.width, file.height, size_limit)
    if file.kind is not Kind.LEARNED:
        return np.zeros((-(-file.height // 32), -(-file.width // 32)), np.int8)
    return codec_of(file.header.weights).read_levels(file)


def info(data: bytes) -> Info:
    """Inspect a file without decoding it.

    Raises
    ------
    InputError
        If ``data`` is not bytes-like.
    FormatError
        If the data are not a whole ``.cotam`` file, or are a sequence (`cotam.open_sequence`).
    LimitError
        If its metadata are too large.
    """
    data = require_bytes(data)
    return info_of(read_file(data), len(data))


def info_of(file: File, size: int) -> Info:
    """Describe a file that was parsed, or that `encode_image` returned; ``size`` is that of all its bytes."""
    weights = ""
    if file.header.weights:
        from cotam.codec.weights import label_of

        weights = label_of(file.header.weights)
    return Info(
        width=file.width,
        height=file.height,
        quality=file.header.quality,
        kind=file.kind.name.lower(),
        weights=weights,
        bytes=size,
        bpp=8 * size / (file.width * file.height),
        has_levels=file.header.has_levels,
        metadata=tuple(file.metadata),
    )


def pillow_info(metadata: Mapping[str, bytes]) -> dict[Any, bytes]:
    """Return metadata under the keys, and in the form, that Pillow uses in ``Image.info``."""
    from cotam.image.metadata import PILLOW_KEYS

    prefixes = {"exif": b"Exif\0\0"}
    return {PILLOW_KEYS[kind]: prefixes.get(kind, b"") + body for kind, body in metadata.items()}
