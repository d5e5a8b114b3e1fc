"""EXIF, XMP and ICC metadata for images that were made upright and sRGB."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any

from PIL import ExifTags

__all__ = ["PILLOW_KEYS", "upright_metadata"]

PILLOW_KEYS = {"exif": "exif", "icc": "icc_profile", "xmp": "xmp"}
"""Kind of metadata → its key in ``Image.info`` and ``Image.save``."""


def upright_metadata(info: Mapping[Any, Any], keep: frozenset[str]) -> dict[str, bytes]:
    """Return the kinds in ``keep`` of a Pillow image's metadata, adapted to upright sRGB pixels.

    "exif" is the block without its ``Exif`` prefix, as in PNG and WebP, and missing if it is broken; "xmp" is
    the packet. In both the orientation becomes 1, and all other bytes stay. "icc" is an sRGB profile, if the
    image had a profile.
    """
    kept: dict[str, bytes] = {}
    if "exif" in keep and (exif := _upright_exif(info.get("exif") or b"")):
        kept["exif"] = exif
    if "icc" in keep and info.get("icc_profile"):
        kept["icc"] = _srgb_profile()
    if "xmp" in keep and info.get("xmp"):
        kept["xmp"] = re.sub(rb"""(tiff:Orientation(?:=["']|>))[0-9]""", rb"\g<1>1", info["xmp"])
    return kept


def _upright_exif(exif: bytes) -> bytes:
    """Return the TIFF structure with orientation 1, written in place to keep offsets; empty if broken."""
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


def _srgb_profile() -> bytes:
    from PIL import ImageCms

    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes(12)  # the creation time: equal images must give equal files
    return bytes(profile)
