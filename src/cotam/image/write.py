"""Encode decoded images to files of standard formats, with their metadata."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from cotam.errors import InputError, MissingCodecError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["FORMS", "LONGEST_SIDE", "check_sides", "metadata_notes", "save_image", "save_with_options"]

FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    # Level 1 takes a third of the time of Pillow's 6, for a file a tenth larger.
    "png": ("PNG", {"compress_level": 1}),
    "jpg": ("JPEG", {"quality": 95, "subsampling": "4:4:4"}),
    "webp": ("WEBP", {"lossless": True}),
    "avif": ("AVIF", {"quality": 95, "subsampling": "4:4:4"}),
    "tiff": ("TIFF", {"compression": "tiff_lzw"}),
    "bmp": ("BMP", {}),
    "ppm": ("PPM", {}),
}
"""Name and suffix of a format → its name and options in Pillow."""

LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383, "AVIF": 32_768}
"""Largest number of pixels a side: of libjpeg and libavif, which do not open what JPEG and AVIF allow."""

_METADATA_KEYS = ("exif", "icc_profile", "xmp")
_HELD_METADATA: dict[str, tuple[str, ...]] = {"tiff": ("icc_profile",), "bmp": (), "ppm": ()}
"""Format → keys that it is saved with, if not all. For TIFF Pillow fails on EXIF with an Exif IFD."""


def metadata_notes(image: Image.Image, form: str) -> list[str]:
    """Return a note on the metadata in ``image.info`` that `save_image` leaves out, if there are any."""
    held = _HELD_METADATA.get(form, _METADATA_KEYS)
    lost = [key for key in _METADATA_KEYS if key in image.info and key not in held]
    return [f"{form.upper()} outputs hold no {' or '.join(lost)}: left out"] if lost else []


def save_image(image: Image.Image, form: str) -> bytes:
    """Encode an image to the bytes of a file, with the metadata in its ``info``.

    Raises as `save_with_options`.
    """
    from PIL import PngImagePlugin

    pillow_format, options = FORMS[form]
    keys = _HELD_METADATA.get(form, _METADATA_KEYS)
    metadata: dict[str, Any] = {key: image.info[key] for key in keys if key in image.info}
    if form == "png" and "xmp" in metadata:
        metadata["pnginfo"] = PngImagePlugin.PngInfo()
        metadata["pnginfo"].add_itxt("XML:com.adobe.xmp", metadata.pop("xmp").decode("utf-8", "replace"))
    return save_with_options(image, pillow_format, **options, **metadata)


def save_with_options(image: Image.Image, pillow_format: str, **options: Any) -> bytes:
    """Encode an image to the bytes of a file with options of Pillow's ``save``.

    Raises InputError if the format cannot hold the image, and MissingCodecError if Pillow lacks its codec.
    """
    from PIL import features

    if pillow_format in ("WEBP", "AVIF") and not features.check(pillow_format.lower()):
        raise MissingCodecError("encode", {"WEBP": "WebP"}.get(pillow_format, pillow_format))
    check_sides(image.size, pillow_format)
    buffer = io.BytesIO()
    try:
        image.save(buffer, pillow_format, **options)
    except (OSError, RuntimeError, ValueError) as error:  # metadata too large for the format
        raise InputError(f"cannot be saved as {pillow_format}: {error}") from error
    return buffer.getvalue()


def check_sides(size: tuple[int, int], pillow_format: str) -> None:
    """Raise InputError if a side is longer than the format allows."""
    if max(size) > (most := LONGEST_SIDE.get(pillow_format, max(size))):
        raise InputError(f"cannot be saved as {pillow_format}: it holds at most {most:,} pixels a side")
