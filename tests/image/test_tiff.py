"""TIFF files that Pillow does not read as they are meant."""

from __future__ import annotations

import io
import struct
from contextlib import closing

import numpy as np
import pytest
from picture_files import RNG, saved
from PIL import ExifTags, Image

from cotam.errors import InputError
from cotam.image.animation import open_clip
from cotam.image.read import read_image, to_rgb


def planes(values: np.ndarray, order: str, photometric: int) -> bytes:
    """An uncompressed file with a plane for each channel of uint16 (H, W, C)."""
    height, width, channels = values.shape
    data = [values[:, :, channel].astype(f"{order}u2").tobytes() for channel in range(channels)]
    body, size = b"".join(data), height * width * 2
    bits, starts, counts = (8 + len(body) + at for at in (0, 2 * channels, 6 * channels))
    body += struct.pack(f"{order}{channels}H", *[16] * channels)
    body += struct.pack(f"{order}{channels}I", *(8 + size * channel for channel in range(channels)))
    body += struct.pack(f"{order}{channels}I", *[size] * channels)
    entries = [
        *((256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, bits), (259, 4, 1, 1)),
        *((262, 4, 1, photometric), (273, 4, channels, starts), (277, 4, 1, channels), (278, 4, 1, height)),
        *((279, 4, channels, counts), (284, 4, 1, 2)),
    ]
    directory = struct.pack(f"{order}H", len(entries))
    directory += b"".join(struct.pack(f"{order}HHII", *entry) for entry in entries) + bytes(4)
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(f"{order}I", 8 + len(body)) + body + directory


@pytest.mark.parametrize("order", ["<", ">"])
def test_planes_of_sixteen_bits(order: str) -> None:
    """Pillow takes the samples for bytes."""
    values = RNG.integers(0, 65536, (9, 13, 3), np.uint16)
    np.testing.assert_array_equal(to_rgb(planes(values, order, 2)), values >> 8)


def test_planes_of_sixteen_bits_that_pillow_cannot_read() -> None:
    with pytest.raises(InputError, match="unknown raw mode"):
        to_rgb(planes(RNG.integers(0, 65536, (9, 13, 4), np.uint16), "<", 5))


def test_a_preview_is_noted() -> None:
    """Raw files of cameras begin with one, of which Pillow says nothing."""
    data = saved(Image.new("RGB", (40, 30)), "TIFF", tiffinfo={ExifTags.Base.NewSubfileType: 1})
    (note,) = read_image(data).notes
    assert note == "the first image in it is a preview of another, and has 40×30 pixels"


def test_damaged_fax_data_are_noted(capfd: pytest.CaptureFixture[str]) -> None:
    """Pillow reads them without an error, and libtiff prints its own."""
    squares = np.random.default_rng(0).integers(0, 2, (60, 40))
    data = bytearray(
        saved(Image.fromarray(np.kron(squares, np.ones((8, 8))) > 0), "TIFF", compression="group4")
    )
    assert read_image(bytes(data)).notes == ()
    data[1100] ^= 0x5A
    assert read_image(bytes(data)).notes == ("damaged: libtiff reports errors in its pixels",)
    with closing(open_clip(io.BytesIO(data), "fax")) as pages:
        assert len(list(pages.frames())) == 1
        assert pages.notes == ["frame 0 is damaged: libtiff reports errors in its pixels"]
    assert capfd.readouterr().err == ""


def test_libtiff_prints_no_errors(capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(saved(Image.new("RGB", (60, 40)), "TIFF", compression="tiff_adobe_deflate"))
    data[8:20] = bytes(12)
    with pytest.raises(InputError, match="decoder error"):
        read_image(bytes(data))
    assert capfd.readouterr().err == ""


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_cut_between_pages_is_no_damage_of_the_pages_before() -> None:
    """libtiff reports that a later page is missing whenever it looks for a page."""
    first, *others = [Image.fromarray(RNG.integers(0, 256, (40, 60), np.uint8)) for _ in range(5)]
    data = saved(first, "TIFF", compression="tiff_lzw", save_all=True, append_images=others)
    with Image.open(io.BytesIO(data)) as image:
        image.seek(2)
        (end,) = image.tag_v2[ExifTags.Base.StripOffsets]
    with closing(open_clip(io.BytesIO(data[:end]), "scan")) as pages:
        assert len(list(pages.frames())) == 2
        (note,) = pages.notes
        assert note.startswith("damaged after frame 1, the rest is left out")
