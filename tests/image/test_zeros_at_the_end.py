"""Files whose end is zeros, as after a download that was broken off: a note where zeros cannot be pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from picture_files import saved
from PIL import Image
from synthetic import picture

from cotam.image.open import ZEROS_NOTE
from cotam.image.read import read_image

PHOTO = picture(240, 320)
NIGHT = np.zeros((1500, 2000, 3), np.uint8)
NIGHT[:40] = np.random.default_rng(0).integers(0, 256, (40, 2000, 3))


def cut_at(data: bytes, share: float) -> bytes:
    """The file with zeros in the place of its end."""
    kept = int(len(data) * share)
    return data[:kept] + bytes(len(data) - kept)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("options", [{"quality": 80}, {"quality": 100, "method": 2}, {"lossless": True}])
def test_a_webp_that_was_cut(options: dict[str, Any], share: float) -> None:
    data = saved(Image.fromarray(PHOTO), "WEBP", **options)
    assert not read_image(data).notes
    assert read_image(cut_at(data, share)).notes == (ZEROS_NOTE,)


def test_a_webp_with_alpha_and_metadata_that_was_cut() -> None:
    image = Image.fromarray(np.dstack([PHOTO, PHOTO[:, :, 0]]))
    data = saved(image, "WEBP", quality=90, exif=b"Exif\0\0II*\0\x08\0\0\0" + bytes(2000))
    assert not read_image(data).notes  # the zeros are those of the EXIF
    pixels = data.index(b"VP8 ")
    kept = pixels + (data.index(b"EXIF") - pixels) // 2
    assert ZEROS_NOTE in read_image(data[:kept] + bytes(len(data) - kept)).notes


@pytest.mark.parametrize(
    "options",
    [{"quality": 100, "method": 2}, {"quality": 100, "method": 0}, {"lossless": True, "method": 0}],
)
def test_a_webp_of_the_night_is_whole(options: dict[str, Any]) -> None:
    """libwebp writes zeros for its large black area."""
    data = saved(Image.fromarray(NIGHT), "WEBP", **{"quality": 0} | options)
    assert not any(data[-1024:])
    assert not read_image(data).notes


@pytest.mark.parametrize("form", ["BMP", "PPM"])
def test_black_pixels_of_bmp_and_ppm_are_no_damage(form: str) -> None:
    data = saved(Image.fromarray(NIGHT if form == "PPM" else NIGHT[::-1]), form)
    assert not any(data[-1024:])
    assert not read_image(data).notes
