"""Convert Pillow images of every mode to upright sRGB pixels, uint8 (H, W, 3)."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageChops

from cotam.image.open import Opened, hdr_notes
from cotam.image.readers import READER_ERRORS, one_line

if TYPE_CHECKING:
    from PIL import ImageCms

__all__ = ["convert_to_srgb", "orientation_of"]

_STRIP_PIXELS = 1 << 20
_CICP = re.compile(rb"cicp\0{4}.(.)", re.DOTALL)
"""Transfer characteristics in an ICC profile (ICC.1:2022, 10.3)."""

_SRGB_PRIMARIES = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
"""x and y of white, red, green and blue."""

_WIDE_GRAY = {"I", "I;16", "I;16L", "I;16B", "I;16N", "F"}
_GRAY_MODES = {"1", "L", "LA", "La", *_WIDE_GRAY}


def convert_to_srgb(opened: Opened, background: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return the upright sRGB pixels, uint8 (H, W, 3), of a loaded image.

    An ICC profile that cannot be used is ignored, with a note in ``opened.notes``.
    """
    image = opened.image
    orientation = orientation_of(image)
    to_srgb = _srgb_transform(image, opened.notes)
    gamma = _gamma(image, opened.notes)
    from_gamma = _gamma_to_srgb(np.arange(256), gamma).tolist() if gamma else None
    scale = _gray_scale(image, opened.notes)
    inverted = image.mode.startswith("I;16") and _stores_white_as_zero(image)
    width, height = image.size
    upright = np.empty((width, height, 3) if orientation >= 5 else (height, width, 3), np.uint8)
    stored = _as_stored(upright, orientation)
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        colours, alpha = _split_alpha(strip, scale, gamma)
        if inverted:
            colours = ImageChops.invert(colours)
        if to_srgb:
            colours = to_srgb.apply(colours.convert(to_srgb.input_mode))
        colours = colours.convert("RGB")
        if from_gamma and strip.mode not in _WIDE_GRAY:
            colours = colours.point(from_gamma * 3)
        if alpha:
            composite = Image.new("RGB", strip.size, background)
            composite.paste(colours, mask=alpha)
            colours = composite
        stored[top : top + rows] = np.asarray(colours)
    return upright


def _split_alpha(
    strip: Image.Image, scale: float, gamma: float | None
) -> tuple[Image.Image, Image.Image | None]:
    """Return 8-bit colours in any mode that converts to RGB, and alpha if there is any."""
    if strip.mode in _WIDE_GRAY:
        return _eight_bits(strip, scale, gamma)
    if strip.mode == "CMYK" or not strip.has_transparency_data:
        return strip, None
    if strip.mode == "La":
        strip = strip.convert("LA")  # Pillow has no conversion from La to RGBA
    transparent = strip.info.get("transparency")
    if isinstance(transparent, tuple) and max(transparent) > 255:
        # From a PNG with 16 bits per sample; Pillow keeps the upper eight.
        strip.info["transparency"] = tuple(value >> 8 for value in transparent)
    strip = strip.convert("RGBA")
    return strip.convert("RGB"), strip.getchannel("A")


def _eight_bits(
    strip: Image.Image, scale: float, gamma: float | None
) -> tuple[Image.Image, Image.Image | None]:
    values = np.asarray(strip)
    scaled = values * scale
    gray = _gamma_to_srgb(scaled, gamma) if gamma else np.rint(scaled).clip(0, 255)
    transparent = strip.info.get("transparency")
    alpha = None if transparent is None else Image.fromarray((values != transparent).astype(np.uint8) * 255)
    return Image.fromarray(gray.astype(np.uint8)), alpha


def _gray_scale(image: Image.Image, notes: list[str]) -> float:
    """Return the factor from gray values to 0…255: they are 0…255, 0…65535, or as "F" 0…1 or 0…255."""
    if image.mode.startswith("I;16"):
        return 1 / 257
    if image.mode not in ("I", "F"):
        return 1
    low, high = cast("tuple[float, float]", image.getextrema())
    if image.mode == "I":
        if low < 0 or high > 65535:
            raise ValueError(f"pixels from {low} to {high}: only 0…255 or 0…65535 has a known scale")
        return 1 / 257 if high > 255 else 1
    if not np.isfinite(np.asarray(image)).all():
        raise ValueError("pixels that are not finite numbers")
    if low < -0.5 or high > 255.5:
        notes.append(f"pixels from {low:g} to {high:g} are clipped to 0…255")
    return 255 if low >= 0 and 0 < high <= 1 else 1


def _stores_white_as_zero(image: Image.Image) -> bool:
    """Whether a TIFF image is stored as its negative, which Pillow undoes for 8 bits, but not for 16."""
    tags = getattr(image, "tag_v2", {})
    return tags.get(ExifTags.Base.PhotometricInterpretation) == 0


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 … 8; 1 if the EXIF is broken."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except READER_ERRORS:
        return 1
    return value if value in range(1, 9) else 1


def _as_stored(upright: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return a view of the upright image with pixels as stored in a file of this EXIF orientation."""
    if orientation >= 5:
        upright = upright.transpose(1, 0, 2)
    if orientation in (3, 4, 6, 7):
        upright = upright[::-1]
    if orientation in (2, 3, 7, 8):
        upright = upright[:, ::-1]
    return upright


def _srgb_transform(image: Image.Image, notes: list[str]) -> ImageCms.ImageCmsTransform | None:
    """Return the transform from the embedded profile to sRGB; its ``input_mode`` is that of its input."""
    data = image.info.get("icc_profile")
    if not data:
        return None
    from PIL import ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        space = profile.profile.xcolor_space.strip().upper()
        fits = {
            "RGB": image.mode not in {"CMYK", "LAB"},
            "GRAY": image.mode in _GRAY_MODES,
            "CMYK": image.mode == "CMYK",
            "LAB": image.mode == "LAB",
        }
        if not fits.get(space):
            raise ValueError(f"it is for {space}, the image is {image.mode}")
        mode = "L" if space == "GRAY" else space
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (OSError, TypeError, ValueError, ImageCms.PyCMSError) as error:
        notes.append(f"the ICC profile is ignored: {one_line(error)}")
        return None
    if transfer := _CICP.search(data):
        notes += hdr_notes(transfer[1][0], "by its ICC profile: its colours may look pale or dark")
    return transform


def _gamma(image: Image.Image, notes: list[str]) -> float | None:
    """Return the gamma of a PNG (chunk gAMA); None if it is sRGB's.

    As in browsers, the chunks sRGB and iCCP come before gAMA.
    """
    gamma = image.info.get("gamma")
    if not isinstance(gamma, float) or gamma <= 0 or {"srgb", "icc_profile"} & image.info.keys():
        return None
    primaries = image.info.get("chromaticity", _SRGB_PRIMARIES)
    if not np.allclose(primaries, _SRGB_PRIMARIES, atol=0.01):
        notes.append("its primaries (chunk cHRM) are read as if they were those of sRGB")
    if 0.95 < gamma * 2.2 < 1.05:  # libpng's threshold
        return None
    return gamma


def _gamma_to_srgb(values: np.ndarray, gamma: float) -> NDArray[np.uint8]:
    """Convert values with this gamma, on a scale of 0…255, to sRGB."""
    linear = (values / 255) ** (1 / gamma)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * encoded).astype(np.uint8)
