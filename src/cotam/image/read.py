"""Read images: anything that Pillow opens becomes upright sRGB pixels, uint8 (H, W, 3)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from cotam.errors import InputError
from cotam.format.header import MAX_PIXELS
from cotam.image.convert import convert_to_srgb, orientation_of
from cotam.image.metadata import upright_metadata
from cotam.image.open import FileBytes, Opened, PathInput, opened_image
from cotam.image.readers import READER_ERRORS, as_input_error, check_size, named, one_line

__all__ = ["ImageInput", "LoadedImage", "Pixels", "outline", "read_image", "read_with_notes", "to_rgb"]

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class LoadedImage:
    """An image that was read."""

    pixels: Pixels  # uint8 (H, W, 3), upright sRGB
    # the requested kinds that the image has, see `cotam.image.metadata.upright_metadata`
    metadata: dict[str, bytes] = field(default_factory=dict)
    frames: int = 1  # number of frames of the file, if counted; ``pixels`` are those of the first
    notes: tuple[str, ...] = ()  # what was repaired or ignored, one line each, without the name of the image


ImageInput = Image.Image | Pixels | PathInput | FileBytes
"""A Pillow image, a uint8 array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), a path, or the bytes of a file."""


def read_image(
    image: ImageInput,
    *,
    background: tuple[int, int, int] | str = "white",
    keep: frozenset[str] = frozenset(),
    count_frames: bool = False,
) -> LoadedImage:
    """Read pixels and metadata of an image.

    Orientation (EXIF, or XMP where EXIF has none) is applied, colours are converted to sRGB by the embedded
    ICC profile, or the gamma of a PNG without one, and transparency is composited onto ``background``. Gray
    of more than 8 bits is scaled to 8: "I;16" from 0…65535; "I" likewise if any value is above 255, else
    unchanged; "F" from 0…1 if all values are within, else rounded and clipped to 0…255, with a note. HDR (PQ
    or HLG) is read as sRGB, with a note.

    Files that are damaged or truncated only where no pixel is stored (text chunks and checksums of a PNG, the
    end marker of a JPEG) are read, with a note. Files that lack pixels are refused, except a truncated JPEG
    with an end marker or zeros at its end: libjpeg fills in its missing rows or details, and a note says so.
    It is refused if more than half of its rows lack pixels. Damage within the scan of a JPEG goes unnoticed.
    A note says so if a WebP, AVIF or HEIC was cut and filled with zeros; in BMP and PPM these are black.
    Colour JPEG 2000 of more than 8 bits is refused if a sample is 0, since Pillow reads white as 0.
    A TIFF with damaged fax data (CCITT) is read, with a note if libtiff reports the damage: it does for most
    in Group 4, but on Windows its reports are not accessible.

    Parameters
    ----------
    image : Pillow image, array, path, or bytes-like
        Arrays are uint8 and sRGB of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), the last with straight
        alpha. Bytes are the contents of an image file. Of an animated file the first frame is read, of a
        Pillow image its current frame.
    background : colour behind transparent pixels: three values 0 … 255, a name or "#rrggbb"
    keep : metadata to return: any of "exif", "icc", "xmp"
    count_frames : whether to count the frames, for which a GIF is read to its end

    Returns
    -------
    LoadedImage
        ``pixels`` are C-contiguous; a C-contiguous (H, W, 3) array is not copied.

    Raises
    ------
    InputError
        If it is not an image, is damaged or above `MAX_PIXELS`, or an array has another dtype or shape.
    MissingExtraError
        If the image is HEIC, and the extra ``heic`` is not installed.
    OSError
        If the file does not exist or cannot be read.
    """
    colour = _read_colour(background)
    if isinstance(image, np.ndarray):
        if _check_array(image).shape[2:] == (3,):
            return LoadedImage(np.ascontiguousarray(image))
        gray_or_alpha = image[:, :, 0] if image.shape[2:] == (1,) else image
        image = Image.fromarray(np.ascontiguousarray(gray_or_alpha))
    with opened_image(image, load=True) as opened:
        with as_input_error(image):
            pixels = convert_to_srgb(opened, colour)
        frames = _count_frames(opened) if count_frames else 1
        return LoadedImage(pixels, upright_metadata(opened.image.info, keep), frames, tuple(opened.notes))


def read_with_notes(
    image: ImageInput,
    *,
    background: tuple[int, int, int] | str = "white",
    keep: frozenset[str] = frozenset(),
    note: Callable[[str], None] | None = None,
) -> LoadedImage:
    """Read an image as `read_image`, and call ``note`` with a line for each repair and omission.

    Without ``note``, frames are not counted, and each line issues a UserWarning.
    """
    loaded = read_image(image, background=background, keep=keep, count_frames=note is not None)
    for text in loaded.notes:
        if note:
            note(text)
        else:
            warnings.warn(named(image, text), stacklevel=3)
    if note and loaded.frames > 1:
        text = f"the first of {loaded.frames} frames is encoded"
        note(f"{text}; cotam encode --fps 1 takes one a second, as a sequence")
    return loaded


def to_rgb(image: ImageInput, *, background: tuple[int, int, int] | str = "white") -> Pixels:
    """Return the upright sRGB pixels of an image, uint8 (H, W, 3). Raises as `read_image`."""
    return read_with_notes(image, background=background).pixels


def outline(image: PathInput | FileBytes, limit: int = MAX_PIXELS) -> tuple[int, int, bool]:
    """Return width and height of the upright image, and whether all readers show it as it is stored.

    They do if it is upright, not animated, and not in CMYK, which some show as a negative. An image of more
    than ``limit`` pixels is taken as upright: Pillow decodes a PNG to find its orientation.
    An animated PNG is not counted as one, since readers of PNG show its first frame. Raises as `read_image`.
    """
    with opened_image(image) as opened, as_input_error(image):
        width, height = opened.image.size
        orientation = orientation_of(opened.image) if width * height <= limit else 1
        size = (width, height) if orientation < 5 else (height, width)
        as_shown = orientation == 1 and opened.image.mode != "CMYK" and not _is_animation(opened.image)
        return *size, as_shown


def _is_animation(image: Image.Image) -> bool:
    """Whether a GIF or WebP has a second frame, which may be damaged."""
    try:
        return image.format in ("GIF", "WEBP") and bool(getattr(image, "is_animated", False))
    except READER_ERRORS:
        return True


def _count_frames(opened: Opened) -> int:
    """Count the frames of an opened image. The preview or gain map of a JPEG (MPO) is not one."""
    try:
        return 1 if opened.image.format == "MPO" else int(getattr(opened.image, "n_frames", 1))
    except READER_ERRORS as error:
        opened.notes.append(f"damaged after its first frame: {one_line(error)}")
        return 1


def _check_array(array: np.ndarray) -> np.ndarray:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (1,), (3,), (4,)):
        raise InputError(
            f"array of {array.dtype} {array.shape}: expected uint8 (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
        )
    check_size(array.shape[1], array.shape[0])
    return array


def _read_colour(background: tuple[int, int, int] | str) -> tuple[int, int, int]:
    colour: tuple[int, ...] = ()
    with suppress(TypeError, ValueError):
        colour = ImageColor.getrgb(background) if isinstance(background, str) else tuple(background)
    if len(colour) != 3 or not all(isinstance(value, int) and 0 <= value <= 255 for value in colour):
        raise InputError(f"background {background!r}: expected three values 0…255, a colour name or #rrggbb")
    return colour
