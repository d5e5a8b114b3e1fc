"""Images shrunk to what a model sees."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from synthetic import picture

import cotam
import cotam.pillow
from cotam.cli.main import main
from cotam.errors import InputError
from cotam.image.fit import shrink_to_fit, shrunk_size
from cotam.image.psnr import psnr

SIDES = st.integers(1, 12_000)


@given(width=SIDES, height=SIDES, pixels=st.integers(1, 2_000_000))
@example(width=10_000, height=1, pixels=3)
def test_max_pixels(width: int, height: int, pixels: int) -> None:
    found = shrunk_size(width, height, None, pixels)
    assert found[0] * found[1] <= pixels
    if width * height <= pixels:
        assert found == (width, height)
    elif min(found) > 50:
        assert found[0] / found[1] == pytest.approx(width / height, rel=0.03)


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match="model 'gpt-9' is unknown: did you mean gpt-"):
        shrunk_size(10, 10, "gpt-9")


def test_pixels_are_shrunk_with_care() -> None:
    pixels = picture(400, 600)
    small = shrink_to_fit(pixels, max_pixels=60_000)
    assert small.shape == (200, 300, 3)
    means = pixels.reshape(200, 2, 300, 2, 3).mean((1, 3))
    assert psnr(small, means) > 30  # one in two pixels would give 25 dB
    assert shrink_to_fit(pixels) is pixels
    assert shrink_to_fit(pixels, "gemini-3") is pixels


def test_encode_fits_what_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying: the upright image is 700 wide
    Image.fromarray(picture(1500, 700)[:, ::-1].transpose(1, 0, 2)).save(tmp_path / "photo.jpg", exif=exif)
    data = cotam.encode(tmp_path / "photo.jpg", fit="llava-next")
    assert cotam.decode(data).size == shrunk_size(700, 1500, "llava-next") == (336, 720)
    assert cotam.decode(cotam.encode(tmp_path / "photo.jpg", max_pixels=42_000)).size == (140, 300)


def test_command_line_and_pillow_do_the_same(tmp_path: Path) -> None:
    pixels = picture(500, 700)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    expected = cotam.encode(pixels, fit="llava-1.5", max_pixels=100_000)
    arguments = ["encode", str(tmp_path / "photo.png"), "--for", "llava-1.5", "--max-pixels", "100000"]
    assert CliRunner().invoke(main, arguments).output == ""
    assert (tmp_path / "photo.cotam").read_bytes() == expected
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "COTAM", fit="llava-1.5", max_pixels=100_000)
    assert buffer.getvalue() == expected
    assert np.asarray(cotam.decode(expected)).shape[:2] == (267, 374)
