"""Public functions: encode, decode and inspect images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, get_args

from cotam.errors import FormatError, MissingCodecError, TargetSizeError
from cotam.format.header import File, Kind, check_size, is_sequence, read_file, require_bytes
from cotam.options import Effort, Metadata, Options, Plan, Profile, View, check_choice

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from cotam.codec.flat import Coded, FlatCoder
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

SHRINK_MARGIN = 2.0
"""An image that does not fit a byte budget at quality 0 is shrunk until quality 0 would take the budget
divided by this, so that the smaller image is coded at a higher quality, at which text can be read."""

MLLM_ERROR = 0.64
"""Error of the weight set "mllm" for vision encoders, relative to AV1 (lab/docs/screens.md)."""


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
    file = _encode_within(pixels, options.resolve(pixels), loaded.metadata)
    height, width = pixels.shape[:2]
    if note and (file.width, file.height) != (width, height):
        size = f"{file.width}×{file.height}"
        note(f"shrunk from {width}×{height} to {size} to fit into {options.target_size} bytes")
    return Encoded(file, (width, height), loaded.frames)


def _encode_within(pixels: np.ndarray, plan: Plan, metadata: Mapping[str, bytes]) -> File:
    """Encode as planned; shrink an image that does not fit into the target size at any quality."""
    from cotam.image.fit import shrink_to_fit

    whole = pixels
    while True:
        try:
            return _encode_at_size(pixels, plan, metadata)
        except TargetSizeError as error:
            count = pixels.shape[0] * pixels.shape[1]
            if plan.target_size is None or count == 1 or plan.levels is not None:
                raise
            share = plan.target_size / error.smallest / SHRINK_MARGIN
        pixels = shrink_to_fit(whole, max_pixels=max(1, min(int(count * share), count * 3 // 4)))


def _encode_at_size(pixels: np.ndarray, plan: Plan, metadata: Mapping[str, bytes]) -> File:
    """Encode at the quality of a plan, or at the highest quality that fits into its target size."""
    if plan.payload == "learned" or (plan.payload != "flat" and plan.effort == "fast"):
        return _encode_learned(pixels, plan, metadata)
    from cotam.codec.flat import FlatCoder, better
    from cotam.codec.standard import can_encode_av1

    coder = FlatCoder(pixels, metadata, palette=plan.payload != "learned or av1", effort=plan.effort)
    has_av1 = can_encode_av1(*pixels.shape[1::-1])
    if plan.payload == "flat":
        # Without AVIF there may be too many colours, or too many bytes.
        with suppress(MissingCodecError, *(() if has_av1 else (TargetSizeError,))):
            return _encode_flat(coder, plan).file
        return _encode_learned(pixels, plan, metadata)
    try:
        learned = _encode_learned(pixels, plan, metadata)
    except TargetSizeError:
        if not has_av1:
            raise
        return _encode_flat(coder, plan).file
    try:
        flat = _encode_flat(coder, plan)
    except (MissingCodecError, TargetSizeError):
        return learned
    from cotam.codec.shared import codec

    factor = MLLM_ERROR if plan.weights == "mllm" else 1.0
    measured = coder.measure(learned, codec(plan.weights).decode(learned), factor)
    return better(measured, flat, plan.quality if plan.target_size is None else None).file


def _encode_flat(coder: FlatCoder, plan: Plan) -> Coded:
    if plan.target_size is None:
        return coder.encode(plan.quality)
    return coder.encode_within(plan.target_size)


def _encode_learned(pixels: np.ndarray, plan: Plan, metadata: Mapping[str, bytes]) -> File:
    from cotam.codec.shared import codec, open_ahead
    from cotam.runtime import ENCODING

    open_ahead(plan.weights, ENCODING)
    learned, levels = codec(plan.weights), plan.levels_for(pixels)
    if plan.target_size is None:
        return learned.encode(pixels, plan.quality, levels=levels, metadata=metadata)
    return learned.encode_within(pixels, plan.target_size, levels=levels, metadata=metadata)


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
    image = Image.fromarray(_decode_payload(file, view))
    image.info |= pillow_info(file.metadata)
    return image


def _decode_payload(file: File, view: View) -> np.ndarray:
    """Decode a payload to pixels, uint8 (H, W, 3); FormatError for a patch, which needs an earlier image."""
    if file.kind is Kind.LEARNED:
        from cotam.codec.shared import codec_of
        from cotam.runtime import DECODING

        return codec_of(file.header.weights, DECODING).decode(file, view=view)
    if file.kind in (Kind.AV1, Kind.LOSSLESS):
        from cotam.codec.standard import decode_av1, decode_lossless

        decode_payload = decode_av1 if file.kind is Kind.AV1 else decode_lossless
        return decode_payload(file.payload, file.width, file.height)
    raise FormatError(f"a file of kind {file.kind.name.lower()} cannot be decoded by itself")


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
