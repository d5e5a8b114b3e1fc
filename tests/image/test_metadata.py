"""Metadata is kept where it is asked for, as whoever opens the pixels needs it."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picture_files import (
    NOISE,
    exif,
    frame_count,
    linear_rgb,
    png,
    saved,
)
from PIL import ExifTags, Image, ImageCms, features

from cotam.errors import InputError, MissingCodecError
from cotam.image.read import read_image, to_rgb
from cotam.image.write import save_image

# Metadata

ALL = frozenset({"exif", "icc", "xmp"})


def metadata_of(image: Any, keep: frozenset[str]) -> dict[str, bytes]:
    return read_image(image, keep=keep).metadata


def raw_exif(order: str) -> bytes:
    """Orientation 6 between two other tags, and a maker note of which the offset must not move."""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IH", 8, 3)
    entries = struct.pack(f"{order}HHI4s", 0x010F, 2, 4, b"ACM\0")
    entries += struct.pack(f"{order}HHIHH", 0x0112, 3, 1, 6, 0)
    entries += struct.pack(f"{order}HHII", 0x927C, 7, 8, 8 + 2 + 36 + 4)
    return head + entries + bytes(4) + b"MAKERNOT"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_exif_is_kept_but_for_its_orientation(format: str, order: str) -> None:
    before = raw_exif(order)
    file = saved(Image.fromarray(NOISE), format, exif=b"Exif\0\0" + before)
    after = metadata_of(file, ALL)["exif"]
    tags = Image.Exif()
    tags.load(after)
    assert tags[ExifTags.Base.Orientation] == 1
    assert tags[ExifTags.Base.Make] == "ACM"
    assert tags[0x927C] == b"MAKERNOT"
    assert [at for at in range(len(before)) if before[at] != after[at]] == [30 + (order == ">")]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("broken", [b"Exif\0\0", b"no TIFF", raw_exif("<")[:20], b"II*\0\xff\xff\xff\xff"])
def test_broken_exif_is_left_out(broken: bytes) -> None:
    image = Image.fromarray(NOISE)
    image.info["exif"] = broken
    assert metadata_of(image, ALL) == {}


def test_xmp_is_kept_but_for_its_orientation() -> None:
    xmp = b'<x a="1" tiff:Orientation="6"/><tiff:Orientation>8</tiff:Orientation>'
    kept = metadata_of(saved(Image.fromarray(NOISE), "WEBP", xmp=xmp), ALL)["xmp"]
    assert kept == b'<x a="1" tiff:Orientation="1"/><tiff:Orientation>1</tiff:Orientation>'


def test_the_profile_kept_is_that_of_the_pixels() -> None:
    image = Image.fromarray(NOISE)
    image.info["icc_profile"] = linear_rgb()
    kept = metadata_of(image, ALL)["icc"]
    assert kept == metadata_of(image, ALL)["icc"]
    assert "sRGB" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(kept)))
    tagged = Image.fromarray(to_rgb(image))
    tagged.info["icc_profile"] = kept
    np.testing.assert_allclose(to_rgb(tagged).astype(int), to_rgb(image), atol=1)


def test_metadata_after_the_pixels_of_a_png() -> None:
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixels = (b"IHDR", header), (b"IDAT", zlib.compress(b"\0\x07"))
    file = png(*pixels, (b"eXIf", raw_exif(">")), (b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + b"<x/>"))
    assert set(metadata_of(file, ALL)) == {"exif", "xmp"}
    with pytest.raises(InputError):
        metadata_of(file[:40], ALL)


def test_metadata_of_every_source(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    Image.fromarray(NOISE).save(path, exif=exif(6))
    with Image.open(path) as opened:
        for source in (path, path.read_bytes(), opened):
            assert set(metadata_of(source, ALL)) == {"exif"}
    assert metadata_of(NOISE, ALL) == {}


def test_only_what_is_asked_for_and_there() -> None:
    image = Image.fromarray(NOISE)
    assert metadata_of(image, ALL) == {}
    image.info.update(exif=raw_exif("<"), xmp=b"<x/>", icc_profile=linear_rgb())
    assert set(metadata_of(image, ALL)) == ALL
    assert metadata_of(image, frozenset()) == {}
    assert set(metadata_of(image, frozenset({"xmp"}))) == {"xmp"}


def test_a_photo_with_a_preview_is_not_animated(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (40, 30), "red"), Image.new("RGB", (20, 15))
    first.save(tmp_path / "phone.jpg", "MPO", save_all=True, append_images=[second])
    assert frame_count(tmp_path / "phone.jpg") == 1
    assert to_rgb(tmp_path / "phone.jpg").shape == (30, 40, 3)


@pytest.mark.parametrize("form", ["webp", "avif"])
def test_saving_without_a_codec_of_pillow(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setattr(features, "check", lambda feature: False)
    with pytest.raises(MissingCodecError, match=f"(?i)Pillow cannot encode {form} here: install"):
        save_image(Image.new("RGB", (8, 8)), form)
