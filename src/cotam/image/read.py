"""Pictures in, pixels out: whatever Pillow reads becomes upright sRGB, uint8 (H, W, 3).

Knows files, Pillow's modes, orientation, colour profiles, transparency and the metadata beside them: nothing
of networks, of the .cotam payload, or of the command line. Pixels are converted in strips straight into the
result, so the peak of memory is Pillow's own picture and the result.
"""

from __future__ import annotations

import io
import os
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageColor, ImageFile

from cotam.errors import InputError
from cotam.format.header import MAX_SIDE

__all__ = ["MAX_PIXELS", "ImageInput", "Pixels", "frame_count", "outline", "read_metadata", "to_rgb"]

Pixels = NDArray[np.uint8]
PathInput = str | os.PathLike[str]
ImageInput = Image.Image | Pixels | PathInput | bytes
"""A Pillow image, a uint8 array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), a path, or the bytes of a file."""

MAX_PIXELS = 200_000_000
"""Larger pictures are refused before their pixels are decoded."""

_STRIP_PIXELS = 1 << 20
_METADATA = {"exif", "icc", "xmp"}
_GRAY_MODES = {"1", "L", "LA", "La", "I", "F"}
_NOT_MINE = (SyntaxError, IndexError, TypeError, struct.error)  # as in Image.open: the next reader is asked
_RUNS_OTHER_PROGRAMS = {"EPS"}  # Pillow hands PostScript to Ghostscript: not for files of strangers

# What readers raise on damaged files, found by mutating files of every format that Pillow writes.
_READER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    RuntimeError,
    AssertionError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)


def to_rgb(image: ImageInput, *, background: tuple[int, int, int] | str = "white") -> Pixels:
    """Upright sRGB pixels of any picture.

    Orientation (EXIF, or XMP where EXIF has none) is applied, colours are converted to sRGB by the embedded
    ICC profile, and transparency is laid on ``background``. Gray of more than 8 bits is brought to 8: "I;16"
    from 0…65535; "I" likewise if any value is above 255, else as it is; "F" rounded and clipped to 0…255.

    Parameters
    ----------
    image : Pillow image, array, path, or bytes
        Arrays are uint8 and sRGB of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), the last with straight
        alpha. Bytes are the contents of a picture file. Of an animated file the first frame is taken; of a
        Pillow image the frame that it shows.
    background : colour behind transparent pixels: three values 0…255, or a name or ``#rrggbb``

    Returns
    -------
    uint8 array (H, W, 3), C-contiguous; a C-contiguous (H, W, 3) array is returned itself, not copied

    Raises
    ------
    InputError
        not a picture, a damaged one, one above `MAX_PIXELS`, or an array of another type or shape
    OSError
        the file is not there or cannot be read (FileNotFoundError, PermissionError, …)

    Warns
    -----
    UserWarning
        if an ICC profile is broken or does not fit the picture, and so was ignored
    """
    colour = _read_colour(background)
    if isinstance(image, np.ndarray):
        if _checked_array(image).shape[2:] == (3,):
            return np.ascontiguousarray(image)
        gray_or_alpha = image[:, :, 0] if image.shape[2:] == (1,) else image
        return _read_pixels(Image.fromarray(np.ascontiguousarray(gray_or_alpha)), colour, "array")
    with _opened(image) as picture:
        return _read_pixels(picture, colour, _name(image))


def frame_count(image: ImageInput) -> int:
    """Frames of a picture, 1 if it is not animated. Raises as `to_rgb`.

    Phones put a preview or a gain map behind a JPEG photo (MPO): that is no animation.
    """
    if isinstance(image, np.ndarray):
        return 1
    with _opened(image) as picture, _as_input_error(_name(image)):
        return 1 if picture.format == "MPO" else int(getattr(picture, "n_frames", 1))


def outline(image: ImageInput) -> tuple[int, int, bool]:
    """Width and height of the upright picture, and whether it is stored upright. Raises as `to_rgb`."""
    if isinstance(image, np.ndarray):
        return image.shape[1], image.shape[0], True
    with _opened(image) as picture, _as_input_error(_name(image)):
        orientation = _orientation(picture)
        width, height = picture.size if orientation < 5 else picture.size[::-1]
        return width, height, orientation == 1


def read_metadata(image: ImageInput, keep: frozenset[str]) -> dict[str, bytes]:
    """Metadata that describe the pixels of `to_rgb`, for the kinds in ``keep`` that the picture has.

    Parameters
    ----------
    image : as for `to_rgb`; an array has none
    keep : any of ``exif``, ``icc``, ``xmp``

    Returns
    -------
    dict of
        ``exif``: the block without its ``Exif`` prefix (so as in PNG and WebP); left out if it is broken. A
        TIFF file's own tags are no such block and are not kept.
        ``xmp``: the packet. In it and in ``exif`` all bytes stay but the orientation, which becomes 1, since
        pixels are upright.
        ``icc``: the sRGB profile, if the picture had a profile. `to_rgb` converts the colours, so the
        original would be wrong.

    Raises
    ------
    InputError, OSError
        for another kind, and as `to_rgb`
    """
    if unknown := keep - _METADATA:
        raise InputError(f"unknown metadata {', '.join(sorted(unknown))}: choose from exif, icc, xmp")
    if isinstance(image, np.ndarray):
        return {}
    with _opened(image) as picture:
        if picture.format == "PNG":  # it may have them after the pixels
            with _as_input_error(_name(image)):
                picture.load()
        info = picture.info
    kept: dict[str, bytes] = {}
    if "exif" in keep and (exif := _upright_exif(info.get("exif") or b"")):
        kept["exif"] = exif
    if "icc" in keep and info.get("icc_profile"):
        kept["icc"] = _srgb_bytes()
    if "xmp" in keep and info.get("xmp"):
        kept["xmp"] = re.sub(rb"""(tiff:Orientation(?:=["']|>))[0-9]""", rb"\g<1>1", info["xmp"])
    return kept


def _checked_array(array: np.ndarray) -> np.ndarray:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (1,), (3,), (4,)):
        raise InputError(
            f"array of {array.dtype} {array.shape}: expected uint8 (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
        )
    _check_size(array.shape[1], array.shape[0], "array")
    return array


def _check_size(width: int, height: int, name: str) -> None:
    if width < 1 or height < 1:
        raise InputError(f"{name}: no pixels ({width}×{height})")
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise InputError(
            f"{name}: {width}×{height} is too large, at most {MAX_PIXELS:,} pixels and {MAX_SIDE:,} a side"
        )


def _read_colour(background: tuple[int, int, int] | str) -> tuple[int, int, int]:
    accepted = "three values 0…255, a colour name or #rrggbb"
    try:
        colour = ImageColor.getrgb(background) if isinstance(background, str) else tuple(background)
    except (TypeError, ValueError) as error:
        raise InputError(f"background {background!r}: expected {accepted}") from error
    if len(colour) != 3 or not all(isinstance(value, int) and 0 <= value <= 255 for value in colour):
        raise InputError(f"background {background!r}: expected {accepted}")
    return colour


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


# Opening


@contextmanager
def _as_input_error(name: str) -> Iterator[None]:
    """Pillow's many errors become one line that names the picture."""
    try:
        yield
    except InputError:
        raise
    except _READER_ERRORS as error:
        raise InputError(f"{name}: cannot be read: {_one_line(error)}") from error


def _name(image: ImageInput) -> str:
    if isinstance(image, (str, os.PathLike)):
        return os.fspath(image)
    if isinstance(image, bytes):
        return f"{len(image)} bytes"
    return os.fsdecode(getattr(image, "filename", "") or "picture")


@contextmanager
def _opened(image: Image.Image | PathInput | bytes) -> Iterator[Image.Image]:
    """Picture of which the header is read; what is opened here is closed."""
    if isinstance(image, Image.Image):
        yield image
    elif isinstance(image, (bytes, str, os.PathLike)):
        name = _name(image)
        with io.BytesIO(image) if isinstance(image, bytes) else Path(image).open("rb") as source:
            file = source if source.seekable() else io.BytesIO(source.read())  # a pipe
            with _as_input_error(name):
                picture = _identify(file, "" if isinstance(file, io.BytesIO) else name, name)
            with picture:
                yield picture
    else:
        raise InputError(f"{type(image).__name__} is no picture: pass a Pillow image, array, path or bytes")


def _identify(file: IO[bytes], filename: str, name: str) -> ImageFile.ImageFile:
    """As Image.open, but for its check of the size.

    That one warns above 89 MP and refuses above 179 MP, by a global; and before Python 3.14 a warning can
    only be silenced for all threads at once. So the readers are asked here, in the same order, and
    `_check_size` decides. (A few readers check by themselves: Pillow still refuses WebP above 179 MP.)
    """
    prefix = file.read(16)
    if not prefix:
        raise InputError(f"{name}: the file is empty")
    prefix = prefix.ljust(16, b"\0")  # some readers trust that there are 16
    reason = "not a picture of a known format"
    asked: set[str] = set()
    for import_readers in (Image.preinit, Image.init):  # the usual ones; then all, another 30 ms
        import_readers()
        for reader_id in [known for known in Image.ID if known not in asked]:
            asked.add(reader_id)
            reader, accept = Image.OPEN[reader_id]
            answer = accept(prefix) if accept else True
            if isinstance(answer, str):
                reason = answer
            elif answer and reader_id in _RUNS_OTHER_PROGRAMS:
                reason = f"{reader_id} files are not accepted"
            elif answer:
                file.seek(0)
                try:
                    return reader(file, filename)
                except _NOT_MINE as error:
                    if accept:
                        reason = f"cannot be read: {_one_line(error)}"
    raise InputError(f"{name}: {reason}")


# Converting


def _read_pixels(image: Image.Image, background: tuple[int, int, int], name: str) -> Pixels:
    """As `to_rgb`, of a Pillow image."""
    _check_size(*image.size, name)
    with _as_input_error(name):
        image.load()
        orientation = _orientation(image)
        to_srgb = _to_srgb(image, name)
        sixteen_bit = _is_sixteen_bit(image)
        width, height = image.size
        upright = np.empty((width, height, 3) if orientation >= 5 else (height, width, 3), np.uint8)
        stored = _as_stored(upright, orientation)
        rows = max(1, _STRIP_PIXELS // width)
        for top in range(0, height, rows):
            strip = image.crop((0, top, width, min(top + rows, height)))
            colours, alpha = _split_alpha(strip, sixteen_bit)
            if to_srgb:
                colours = to_srgb.apply(colours.convert(to_srgb.input_mode))
            colours = colours.convert("RGB")
            if alpha:
                opaque = Image.new("RGB", strip.size, background)
                opaque.paste(colours, mask=alpha)
                colours = opaque
            stored[top : top + rows] = np.asarray(colours)
    return upright


def _split_alpha(strip: Image.Image, sixteen_bit: bool) -> tuple[Image.Image, Image.Image | None]:
    """Colours of 8 bits in any mode that converts to RGB, and alpha if there is any."""
    if strip.mode.startswith("I") or strip.mode == "F":
        return _eight_bits(strip, sixteen_bit)
    if strip.mode == "CMYK" or not strip.has_transparency_data:
        return strip, None
    if strip.mode == "La":
        strip = strip.convert("LA")  # Pillow has no way from La to RGBA
    strip = strip.convert("RGBA")
    return strip.convert("RGB"), strip.getchannel("A")


def _eight_bits(strip: Image.Image, sixteen_bit: bool) -> tuple[Image.Image, Image.Image | None]:
    values = np.asarray(strip)
    if sixteen_bit:
        gray = (values.astype(np.uint32) + 128) // 257
    elif not np.isfinite(values).all():
        raise ValueError("pixels that are not finite numbers")
    else:
        gray = np.rint(values).clip(0, 255)
    transparent = strip.info.get("transparency")
    alpha = None if transparent is None else Image.fromarray((values != transparent).astype(np.uint8) * 255)
    return Image.fromarray(gray.astype(np.uint8)), alpha


def _is_sixteen_bit(image: Image.Image) -> bool:
    """Whether gray values are 0…65535 rather than 0…255."""
    if image.mode != "I":
        return image.mode.startswith("I;16")
    low, high = cast("tuple[int, int]", image.getextrema())
    if low < 0 or high > 65535:
        raise ValueError(f"pixels from {low} to {high}: only 0…255 or 0…65535 has a known scale")
    return high > 255


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1…8; 1 where the EXIF is broken, since pixels matter more."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _READER_ERRORS:
        return 1
    return value if value in range(1, 9) else 1


def _as_stored(upright: Pixels, orientation: int) -> Pixels:
    """View of the upright picture in which pixels lie as in a file of this EXIF orientation."""
    if orientation >= 5:
        upright = upright.transpose(1, 0, 2)
    if orientation in (3, 4, 6, 7):
        upright = upright[::-1]
    if orientation in (2, 3, 7, 8):
        upright = upright[:, ::-1]
    return upright


def _to_srgb(image: Image.Image, name: str) -> ImageCms.ImageCmsTransform | None:
    """Transform from the embedded profile to sRGB, for colours in the transform's ``input_mode``."""
    data = image.info.get("icc_profile")
    if not data:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        space = profile.profile.xcolor_space.strip().upper()
        fits = {
            "RGB": image.mode not in {"CMYK", "LAB"},
            "GRAY": image.mode in _GRAY_MODES or image.mode.startswith("I;16"),
            "CMYK": image.mode == "CMYK",
            "LAB": image.mode == "LAB",
        }
        if not fits.get(space):
            raise ValueError(f"it is for {space}, the picture is {image.mode}")
        mode = "L" if space == "GRAY" else space
        return ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (OSError, TypeError, ValueError, ImageCms.PyCMSError) as error:
        warnings.warn(f"{name}: the ICC profile is ignored: {_one_line(error)}", stacklevel=4)
        return None


# Metadata


def _upright_exif(exif: bytes) -> bytes:
    """The TIFF structure with orientation 1, written in place so that offsets hold; empty if broken."""
    tiff = bytearray(re.sub(rb"^(Exif\0\0){1,2}", b"", exif))
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(tiff[:4]))
    if order is None:
        return b""
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            (tag,) = struct.unpack_from(f"{order}H", tiff, entry)
            if tag == ExifTags.Base.Orientation:
                struct.pack_into(f"{order}HHIHH", tiff, entry, tag, 3, 1, 1, 0)  # one SHORT: 1
    except struct.error:
        return b""
    return bytes(tiff)


def _srgb_bytes() -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes(12)  # the time of making: the same picture shall give the same file
    return bytes(profile)
