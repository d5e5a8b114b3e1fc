"""`encode`, `decode`, `info` and `level_map`: pictures in, bytes out, and back.

Knows pictures and codecs: nothing of files on disk but what a path given as input names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral
from os import PathLike, fspath
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, get_args

from cotam.errors import FormatError, InputError
from cotam.format.header import File, Kind, check_size, is_sequence, read_file, require_bytes

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from cotam.codec.still import Codec
    from cotam.guide.base import Guide
    from cotam.guide.guidance import Guidance
    from cotam.guide.importance import Policy
    from cotam.image.read import ImageInput

__all__ = [
    "Info",
    "Metadata",
    "Profile",
    "View",
    "check_coding",
    "check_positive",
    "check_view",
    "codec",
    "codec_of",
    "decode",
    "decode_file",
    "digests_of",
    "encode",
    "guided",
    "info",
    "level_map",
    "made_with",
    "pillow_info",
]

Profile = Literal["auto", "mllm", "page", "base"]
View = Literal["mllm", "human"]
Metadata = Literal["exif", "icc", "xmp"]


@dataclass(frozen=True)
class Info:
    """What a file says about itself.

    Attributes
    ----------
    width, height : pixels
    quality : 0 … 100
    kind : "learned", "av1", "lossless" or "patch"
    weights : name of the weight set, or its hash if it is not installed; empty for kinds that use none
    bytes : size of the whole file
    bpp : bits per pixel of the whole file
    has_levels : bits were spread by a level map
    metadata : which of ``exif``, ``icc``, ``xmp`` it carries
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


_codecs: dict[str, Codec] = {}
_loading = Lock()


def codec(weights: str = "mllm") -> Codec:
    """The codec of an installed weight set, loaded once and shared by all threads."""
    from cotam.codec.still import Codec
    from cotam.codec.weights import load
    from cotam.runtime import OnnxRunner

    with _loading:
        if weights not in _codecs:
            found = load(weights)
            _codecs[weights] = Codec(found, OnnxRunner(found.folder))
        return _codecs[weights]


def codec_of(weights_hash: bytes) -> Codec:
    """The codec of the weight set that a header names. Raises UnknownWeightsError if it is not installed."""
    from cotam.codec import weights

    return codec(weights.by_hash(weights_hash).name)


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
) -> bytes:
    """Encode a picture.

    Parameters
    ----------
    image : Pillow image, uint8 array (H, W[, 1 | 3 | 4]), path, or the bytes of a picture file. It is
        turned upright and converted to sRGB; of an animation the first frame is taken.
    quality : 0 … 100; about 0.05 to 1.6 bits per pixel on photographs
    target_size : bytes; takes the highest quality that fits, and ``quality`` is not used
    profile : weights. "mllm" is tuned for what vision encoders see of photographs and of text in them, "page"
        for pages, screens and charts, "base" is trained for squared error on both: the reference. "auto" is
        "page" for what is mostly text (`cotam.guide.content`), else "mllm".
    guide : where bits are spent: "none" is evenly, "lite" by the network of this package; "auto" is "lite"
        where the profile is, or becomes, "mllm", and "none" with others or with ``levels``; "PATH.onnx",
        "clip:NAME_OR_FOLDER", or any object with the method ``importance`` (`cotam.guide.base.Guide`). A
        decoder needs no guide.
    guide_strength : how much the guide moves: 0 is not at all, 1 is what suits it
    guide_policy : "log" keeps the size that the quality has without a guide; "ternary" is the paper's rule
    levels : integers (⌈H/32⌉, ⌈W/32⌉) in ±7, your own spread instead of a guide: quarter octaves of gain
    metadata : which of ``exif``, ``icc``, ``xmp`` to keep; none by default
    background : colour put behind transparent pixels
    fit : shrink to what this model sees, such as "qwen3-vl": any name that `cotam.image.models.find` knows
    max_pixels : shrink to at most so many pixels; ``levels`` are for the picture after that

    Returns
    -------
    bytes
        a whole ``.cotam`` file

    Raises
    ------
    InputError
        if the picture or an argument cannot be encoded
    TargetSizeError
        if no quality is small enough for ``target_size``
    """
    from cotam.guide.content import examine
    from cotam.guide.guidance import Guidance
    from cotam.image.fit import fitted
    from cotam.image.read import read_image, warn_of

    check_coding(quality, profile)
    if target_size is not None:
        check_positive(target_size, "target_size is a number of bytes")
    if levels is not None and guide == "auto":
        guide = "none"
    guidance = guided(guide, guide_strength, guide_policy, profile)
    if guidance and levels is not None:
        raise InputError("a guide and levels exclude each other: give one of them")
    try:
        keep = frozenset([metadata] if isinstance(metadata, str) else metadata)
    except TypeError as error:
        raise InputError(f"metadata is any of exif, icc, xmp, not {metadata!r}") from error
    loaded = read_image(image, background=background, keep=keep)
    warn_of(loaded, image)
    pixels = fitted(loaded.pixels, fit, max_pixels)
    if profile == "auto":
        content = examine(pixels)
        profile = content.profile
        if guide == "auto":
            guidance = None if content.is_page else Guidance(content, guide_strength, guide_policy)
    chosen = guidance(pixels) if guidance else levels
    coder = codec(profile)
    file = coder.encode(
        pixels, int(quality), levels=chosen, target_size=target_size, metadata=loaded.metadata
    )
    return file.data


def check_coding(quality: int, profile: Profile) -> None:
    """Raise InputError for a quality or a profile that there is not."""
    if isinstance(quality, bool) or not isinstance(quality, Integral) or not 0 <= quality <= 100:
        raise InputError(f"quality is a whole number from 0 to 100, not {quality!r}")
    if profile not in get_args(Profile):
        raise InputError(f"profile {profile!r} is not known; there is: {', '.join(get_args(Profile))}")


def check_positive(value: int, what: str) -> None:
    """Raise InputError for what is no whole number above 0."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise InputError(f"{what} above 0, not {value!r}")


def check_view(view: View) -> None:
    """Raise InputError for a view that there is not."""
    if view not in get_args(View):
        raise InputError(f"view {view!r} is not known; there is: {', '.join(get_args(View))}")


def guided(
    guide: str | PathLike[str] | Guide, strength: float, policy: Policy, profile: Profile = "auto"
) -> Guidance | None:
    """What makes levels of pixels; None where bits are spread evenly. The arguments are checked at once.

    The guide "auto" is here that for photographs, where ``profile`` is "auto", too.
    """
    from cotam.guide.base import chosen, load
    from cotam.guide.guidance import Guidance
    from cotam.guide.importance import check_policy, check_strength

    strength, policy = check_strength(strength), check_policy(policy)
    if isinstance(guide, PathLike):
        guide = fspath(guide)
    found = load(chosen(guide, profile)) if isinstance(guide, str) else guide
    if found is None:
        return None
    if not hasattr(found, "importance"):
        raise InputError(f"a guide is a name or has the method importance, which {guide!r} has not")
    return Guidance(found, strength, policy)


def decode(data: bytes, *, view: View = "mllm", size_limit: int | None = None) -> Image.Image:
    """Decode a file to an RGB picture; metadata that it carries are in ``image.info``.

    Parameters
    ----------
    data : a whole ``.cotam`` file; of a sequence the first frame is decoded, as `encode` takes that of an
        animation
    view : "mllm" is for vision encoders, "human" for people: the same latents, with and without an adapter
    size_limit : pixels; a larger picture is refused before memory is taken (200 million by default)

    Raises
    ------
    InputError
        if ``data`` are no bytes
    FormatError
        if the data are not a .cotam file (`NotCotamError`), are cut (`TruncatedError`) or changed
        (`DamagedError`)
    LimitError
        if the picture has more pixels than ``size_limit``
    UnknownWeightsError
        if its weight set is not installed
    """
    from PIL import Image

    check_view(view)
    data = require_bytes(data)
    if is_sequence(data):
        from cotam.frames import decode_frames

        return next(decode_frames(data, view=view, size_limit=size_limit))[1]
    file = read_file(data)
    check_size(file.width, file.height, size_limit)
    image = Image.fromarray(decode_file(file, view))
    image.info |= pillow_info(file.metadata)
    return image


def decode_file(file: File, view: View = "mllm") -> np.ndarray:
    """Decode the payload of a file to pixels uint8 (H, W, 3).

    The caller has checked the size of the image.

    Raises
    ------
    FormatError, DamagedError, UnknownWeightsError
        As `decode`.
    """
    if file.kind not in _DECODERS:
        raise FormatError(f"a file of kind {file.kind.name.lower()} cannot be decoded by itself")
    return _DECODERS[file.kind](file, view)


def _decode_learned(file: File, view: View) -> np.ndarray:
    return codec_of(file.header.weights).decode(file, view=view)


_DECODERS: dict[Kind, Callable[[File, View], np.ndarray]] = {Kind.LEARNED: _decode_learned}
"""Decoder of the payload of each kind of still image."""


def level_map(data: bytes, *, size_limit: int | None = None) -> np.ndarray:
    """The level map of a file, int8 (⌈H/32⌉, ⌈W/32⌉) in ±7: zeros where bits are spread evenly.

    Latents are not decoded, so that it is quick, and the checksum over all symbols is not compared: damage
    that `decode` finds may show here as a wrong map.

    Raises
    ------
    FormatError, LimitError, UnknownWeightsError
        as `decode`
    """
    import numpy as np

    file = read_file(require_bytes(data))
    check_size(file.width, file.height, size_limit)
    if file.kind is not Kind.LEARNED:
        return np.zeros((-(-file.height // 32), -(-file.width // 32)), np.int8)
    return codec_of(file.header.weights).read_levels(file)


def pillow_info(metadata: Mapping[str, bytes]) -> dict[Any, bytes]:
    """Metadata of a file under the keys, and in the form, that Pillow uses in ``Image.info``."""
    prefixes = {"exif": b"Exif\0\0"}
    keys = {"exif": "exif", "icc": "icc_profile", "xmp": "xmp"}
    return {keys[kind]: prefixes.get(kind, b"") + body for kind, body in metadata.items()}


def info(data: bytes) -> Info:
    """What a file says about itself; its symbols are not decoded.

    Raises
    ------
    FormatError
        if the data are not a whole .cotam file
    """
    file = read_file(require_bytes(data))
    header = file.header
    return Info(
        width=header.width,
        height=header.height,
        quality=header.quality,
        kind=header.kind.name.lower(),
        weights=made_with(header.weights) if header.weights else "",
        bytes=len(data),
        bpp=8 * len(data) / (header.width * header.height),
        has_levels=header.has_levels,
        metadata=tuple(file.metadata),
    )


def digests_of(profile: Profile) -> str:
    """The start of the digest, in hexadecimal, of each weight set that a profile may take, with spaces."""
    from cotam.codec import weights

    names = ("mllm", "page") if profile == "auto" else (profile,)
    return " ".join(weights.load(name).digest.hex()[:12] for name in names)


def made_with(weights_hash: bytes) -> str:
    """Name of the weight set with this short hash, or the hash itself where it is not installed."""
    from cotam.codec import weights

    return weights.name_of(weights_hash) or weights_hash.hex()
