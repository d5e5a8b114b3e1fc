"""HEIC is read where pillow-heif is installed; else the error names the command that installs it."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from picture_files import exif
from PIL import Image
from synthetic import picture

import cotam
from cotam.errors import InputError, MissingExtraError
from cotam.image.animation import open_clip
from cotam.image.psnr import psnr
from cotam.image.read import outline, read_image
from cotam.image.sampling import read_clip

PIXELS = picture(48, 64)


def heic(image: Image.Image, **options: object) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file, quality=90, **options)
    return file.getvalue()


def generic(data: bytes) -> bytes:
    """The same file, whose brands do not say what codes its images."""
    size = int.from_bytes(data[:4], "big")
    brands = b"mif1" + bytes(4) + b"mif1miaf"
    return data[:8] + brands.ljust(size - 8, b"\0") + data[size:]


def test_heic() -> None:
    data = heic(Image.fromarray(PIXELS))
    registered = dict(Image.OPEN)
    for file in (data, generic(data)):
        loaded = read_image(file, count_frames=True)
        assert psnr(loaded.pixels, PIXELS) > 25
        assert (loaded.frames, loaded.notes) == (1, ())
        assert outline(file) == (64, 48, True)
    assert cotam.info(cotam.encode(data)).width == 64
    assert registered == Image.OPEN  # Pillow is not changed for others


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(orientation: int) -> None:
    corner = np.zeros((32, 48, 3), np.uint8)
    corner[:16, :24] = 250
    found = read_image(heic(Image.fromarray(corner), exif=exif(orientation).tobytes())).pixels
    file = io.BytesIO()
    Image.fromarray(corner).save(file, "PNG", exif=exif(orientation))
    expected = read_image(file.getvalue()).pixels
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 5


@pytest.mark.parametrize("orientation", [1, 5])
def test_a_photo_as_a_video_is_read_by_the_same_reader(orientation: int) -> None:
    """FFmpeg reads a tile of a photo that is stored in tiles."""
    data = heic(Image.fromarray(PIXELS), exif=exif(orientation).tobytes())
    for file in (data, generic(data)):
        ((_, pixels),) = read_clip(open_clip(io.BytesIO(file), "photo"))
        assert np.array_equal(pixels, read_image(file).pixels)


def test_metadata_are_kept() -> None:
    found = read_image(heic(Image.fromarray(PIXELS), exif=exif(1).tobytes()), keep=frozenset({"exif"}))
    assert b"a camera" in found.metadata["exif"]


def test_without_the_extra_the_command_to_install_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(64)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(MissingExtraError, match=r"^it is HEIC, .* pip install '\.\[heic\]'"):
        read_image(data)


def test_avif_needs_no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "AVIF", quality=95)
    assert psnr(read_image(file.getvalue()).pixels, PIXELS) > 25


def test_avif_that_pillow_does_not_know_is_read_as_a_video() -> None:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "AVIF", quality=95)
    data = file.getvalue().replace(b"ftypavif", b"ftypmiaf", 1)
    with pytest.raises(InputError, match="is a video: cotam encode --fps 1"):
        read_image(data)
    ((_, pixels),) = open_clip(io.BytesIO(data), "photo").frames()
    assert psnr(pixels(), PIXELS) > 25
