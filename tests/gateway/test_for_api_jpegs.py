"""``cotam edge --upstream``: JPEG files that not all readers show as they are."""

from __future__ import annotations

import io

import numpy as np
import pytest
from gateway_parts import only, opened, saved, turns_of
from gateway_servers import data_url
from PIL import Image
from synthetic import picture

from cotam.gateway.converter import Job
from cotam.gateway.for_api import ForApi
from cotam.gateway.media import Media
from cotam.image.psnr import psnr

PIXELS = picture(120, 160)


def sent(data: bytes, fit: str | None = "gpt-4o") -> Media | None:
    """What takes the place of a JPEG file, None if it stays."""
    return only(ForApi("jpeg", fit, None, None, 10**7), data, media_type="image/jpeg")


def cmyk(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert("CMYK").save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize(("fit", "size"), [("gpt-4o", (1024, 768)), (None, (1200, 900))])
def test_cmyk_becomes_rgb_at_the_size_of_the_model(fit: str | None, size: tuple[int, int]) -> None:
    pixels = picture(900, 1200)
    media = sent(cmyk(pixels), fit)
    assert media
    kind, image, _ = opened(media)
    assert (kind, image.format, image.mode, image.size) == ("image/jpeg", "JPEG", "RGB", size)
    expected = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
    assert psnr(np.asarray(image), np.asarray(expected)) > 28


def test_small_cmyk_becomes_rgb_too() -> None:
    media = sent(cmyk(PIXELS[:16, :16]))
    assert media
    assert opened(media)[1].mode == "RGB"


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
@pytest.mark.parametrize("ending", [b"", b"\xff"])
def test_a_jpeg_without_its_end_marker_is_sent_whole(options: dict[str, bool], ending: bytes) -> None:
    data = saved(PIXELS, "JPEG", quality=95, **options)
    with pytest.warns(UserWarning, match="the end of the file is missing, but all pixels are there"):
        media = sent(data[:-2] + ending)
    assert media
    assert media.data.endswith(b"\xff\xd9")
    _, image, _ = opened(media)
    assert (image.format, image.size) == ("JPEG", (160, 120))
    assert psnr(np.asarray(image), PIXELS) > 28


def test_a_jpeg_that_was_cut_and_filled_with_zeros_is_sent_whole() -> None:
    data = saved(PIXELS, "JPEG", quality=95)
    cut = len(data) * 3 // 4
    with pytest.warns(UserWarning, match="the file is cut: .* of 120 rows lack pixels"):
        media = sent(data[:cut] + bytes(len(data) - cut))
    assert media
    assert media.data.endswith(b"\xff\xd9")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("ending", [b"", bytes(100), b"\xff\xfe\0\0", b"a name of a camera"])
def test_what_follows_the_end_marker_does_not_matter(options: dict[str, int], ending: bytes) -> None:
    assert sent(saved(PIXELS, "JPEG", **options) + ending) is None


def test_a_jpeg_that_is_shrunk_for_the_api_does_not_grow() -> None:
    pixels = np.asarray(Image.fromarray(picture(300, 450)).resize((2400, 1600), Image.Resampling.BICUBIC))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=60)
    data = buffer.getvalue()
    parts = turns_of(data_url("image/jpeg", data), *[data_url("image/png", saved(PIXELS[:20, :20]))] * 20)
    changes = ForApi("jpeg", "claude-opus-4-7", None, None, 10**7)(parts, Job())
    assert opened(changes[parts[0]])[1].size == (2000, 1333)
    assert len(changes[parts[0]].data) <= len(data)


def test_noise_is_encoded_in_silence(capfd: pytest.CaptureFixture[str]) -> None:
    """libjpeg writes to standard error, the log, if Pillow's buffer for a progressive file is too small."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    media = only(ForApi("jpeg", None, None, None, 10**7), saved(noise, "BMP"))
    assert media
    assert opened(media)[1].size == (400, 300)
    assert capfd.readouterr() == ("", "")
