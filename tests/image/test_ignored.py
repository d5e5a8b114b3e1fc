"""High dynamic range and transparency of videos, which are ignored, are noted."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from contextlib import closing

import pytest
from clips import clip, still_scene
from picture_files import NOISE, png, saved
from PIL import Image

from cotam.image.animation import open_clip
from cotam.image.read import read_image

PICTURE = Image.fromarray(NOISE)


def png_with(transfer: int) -> bytes:
    rows = zlib.compress(b"\0" + bytes(range(3)))
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return png((b"IHDR", header), (b"cICP", bytes([9, transfer, 0, 1])), (b"IDAT", rows))


def avif_with(transfer: int) -> bytes:
    file = saved(PICTURE, "AVIF")
    at = file.index(b"colrnclx") + 8
    return file[:at] + b"\0\x09\0" + bytes([transfer]) + file[at + 4 :]


def heic_with(transfer: int) -> bytes:
    heif, file = pytest.importorskip("pillow_heif"), io.BytesIO()
    heif.from_pillow(PICTURE).save(file, color_primaries=9, transfer_characteristics=transfer)
    return file.getvalue()


def with_gain_map(transfer: int) -> bytes:
    """The first colour is that of the image, the second that of the image with the gain map."""
    return avif_with(13) + b"colrnclx\0\x09\0" + bytes([transfer])


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG"), (13, None), (1, None)])
@pytest.mark.parametrize("file_with", [png_with, avif_with, heic_with])
def test_hdr_images(file_with: Callable[[int], bytes], transfer: int, name: str | None) -> None:
    expected = f"it is HDR ({name}) and read as if it were sRGB: its colours look pale"
    assert read_image(file_with(transfer)).notes == ((expected,) if name else ())


def test_the_gain_map_of_an_image_is_not_meant() -> None:
    assert read_image(with_gain_map(16)).notes == ()


@pytest.mark.parametrize(("transfer", "name"), [("smpte2084", "PQ"), ("arib-std-b67", "HLG"), ("bt709", "")])
def test_hdr_videos(transfer: str, name: str) -> None:
    pytest.importorskip("av")
    with closing(open_clip(io.BytesIO(clip(still_scene(2), [0, 1], color_trc=transfer)), "clip")) as opened:
        assert any(f"HDR ({name})" in note for note in opened.notes) == bool(name)


@pytest.mark.parametrize(
    ("form", "codec", "pixels"),
    [("mov", "qtrle", "argb"), ("webm", "libvpx-vp9", "yuva420p"), ("matroska", "ffv1", "bgr0")],
)
def test_transparency_of_videos(form: str, codec: str, pixels: str) -> None:
    pytest.importorskip("av")
    data = clip(still_scene(2), [0, 1], form, codec=codec, rate=1, pixels=pixels)
    with closing(open_clip(io.BytesIO(data), "clip")) as opened:
        assert opened.notes == ["its transparency is ignored"] * (pixels != "bgr0")
