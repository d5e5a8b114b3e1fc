"""Photos as of a phone, and which way up their copies are."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from synthetic import picture, psnr

from cotam.image.read import to_rgb
from cotam_lab.bench.phone import PHONE, as_phone, is_upright, photographed


@pytest.fixture(scope="module")
def phone() -> tuple[bytes, np.ndarray]:
    return as_phone(Image.fromarray(picture(90, 120)))


def saved(pixels: np.ndarray, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def test_photos_lie_on_their_side(phone: tuple[bytes, np.ndarray]) -> None:
    data, seen = phone
    with Image.open(io.BytesIO(data)) as image:
        assert (image.size, image.getexif()[0x0112]) == (PHONE[::-1], 6)
    assert seen.shape == (3024, 4032, 3)
    assert psnr(to_rgb(data)[::8, ::8], seen[::8, ::8]) > 35
    assert not is_upright(data, seen)


@pytest.mark.parametrize("turns", range(4))
def test_only_one_way_is_up(turns: int, phone: tuple[bytes, np.ndarray]) -> None:
    small = np.ascontiguousarray(np.rot90(phone[1][::8, ::8], turns))
    assert is_upright(saved(small), phone[1]) == (turns == 0)
    assert not is_upright(saved(small, 3), phone[1])


def test_a_photographed_page_fills_most_of_the_photo() -> None:
    page = Image.new("RGB", (100, 160), (255, 0, 0))
    photo = np.asarray(photographed(page, Image.new("RGB", (40, 30), (0, 0, 255)), seed=1))
    assert photo.shape == (4032, 3024, 3)
    red = photo[::8, ::8, 0] > 128
    assert 0.6 < red.mean() < 0.85
    assert photo[2016, 100:200].max(axis=0)[0] < 60  # the table
    assert (
        photo[1000:1100, 2300:2400, 0].mean() > photo[1000:1100, 600:700, 0].mean() + 15
    )  # lit from the right
