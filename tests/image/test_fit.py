"""What models see: sizes, and pictures shrunk to them."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from synthetic import picture, psnr

import cotam
import cotam.pillow
from cotam.cli.main import main
from cotam.errors import InputError
from cotam.image.fit import PROFILES, Fit, fitted, target_size

# Of llava-next, qwen2.5-vl and internvl: what the functions of transformers 5.24 named in the table give.
EXPECTED = {
    "llava-1.5": {(4032, 3024): (448, 336), (1080, 1920): (336, 597), (300, 400): (300, 400)},
    "llava-next": {(4032, 3024): (672, 504), (1920, 1080): (672, 378), (3000, 800): (1008, 269)},
    "qwen2.5-vl": {(4032, 3024): (4032, 3024), (6000, 4000): (4368, 2912), (640, 480): (640, 476)},
    "internvl": {(4032, 3024): (1792, 1344), (1080, 1920): (1008, 1792), (900, 900): (896, 896)},
    "gpt-4o": {(4032, 3024): (1024, 768), (2048, 4096): (768, 1536), (9000, 900): (2048, 205)},
    "claude": {(1920, 1080): (1920, 1080), (2576, 1000): (2576, 1000), (5152, 2000): (2576, 1000)},
    "claude-1568": {(784, 1568): (784, 1568), (1092, 1092): (1092, 1092), (1568, 3136): (784, 1568)},
    "gemini": {(4032, 3024): (3072, 2304), (3000, 2000): (3000, 2000)},
}
SIDES = st.integers(1, 12_000)


def test_every_profile_is_tested_and_has_a_source() -> None:
    assert set(EXPECTED) == set(PROFILES) == set(get_args(Fit))
    assert all(profile.source for profile in PROFILES.values())


@pytest.mark.parametrize("name", EXPECTED)
def test_sizes(name: Fit) -> None:
    for (width, height), expected in EXPECTED[name].items():
        assert target_size(width, height, name) == expected


@pytest.mark.parametrize("name", EXPECTED)
@given(width=SIDES, height=SIDES)
@example(width=1, height=12_000)
def test_sizes_never_grow_and_are_stable(name: Fit, width: int, height: int) -> None:
    size = target_size(width, height, name)
    assert 1 <= size[0] <= width
    assert 1 <= size[1] <= height
    again = target_size(*size, name)
    assert max(abs(a - b) for a, b in zip(again, size, strict=True)) <= 1 or name == "internvl"


@given(width=st.integers(500, 9000), height=st.integers(500, 9000))
def test_limits_of_claude(width: int, height: int) -> None:
    for name, longest, tokens in (("claude", 2576, 4784), ("claude-1568", 1568, 1568)):
        found = target_size(width, height, name)  # type: ignore[arg-type]
        assert max(found) <= longest
        assert math.ceil(found[0] / 28) * math.ceil(found[1] / 28) <= tokens


@given(width=SIDES, height=SIDES, pixels=st.integers(1, 2_000_000))
@example(width=10_000, height=1, pixels=3)
def test_max_pixels(width: int, height: int, pixels: int) -> None:
    found = target_size(width, height, None, pixels)
    assert found[0] * found[1] <= pixels
    if width * height <= pixels:
        assert found == (width, height)
    elif min(found) > 50:
        assert found[0] / found[1] == pytest.approx(width / height, rel=0.03)


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match=r"no profile 'gpt-9'; there is: llava-1\.5,"):
        target_size(10, 10, "gpt-9")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="max_pixels is a number of pixels above 0, not 0"):
        target_size(10, 10, None, 0)


def test_pixels_are_shrunk_with_care() -> None:
    pixels = picture(400, 600)
    small = fitted(pixels, max_pixels=60_000)
    assert small.shape == (200, 300, 3)
    means = pixels.reshape(200, 2, 300, 2, 3).mean((1, 3))
    assert psnr(small, means) > 30  # one in two pixels would give 25 dB
    assert fitted(pixels) is pixels
    assert fitted(pixels, "gemini") is pixels


def test_encode_fits_what_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying: the upright picture is 700 wide
    Image.fromarray(picture(1500, 700)[:, ::-1].transpose(1, 0, 2)).save(tmp_path / "photo.jpg", exif=exif)
    data = cotam.encode(tmp_path / "photo.jpg", fit="llava-next")
    assert cotam.decode(data).size == target_size(700, 1500, "llava-next") == (336, 720)
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
