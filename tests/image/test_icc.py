"""Images with a colour profile become sRGB; a profile that cannot be used is said so and left out."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from picture_files import (
    BACKGROUND,
    LINEAR,
    NOISE,
    STORED,
    UPRIGHT,
    exif,
    icc,
    linear_rgb,
    oriented,
    pixel,
    saved,
)
from PIL import Image, ImageCms

from cotam.image.read import to_rgb

# Colour profiles


def cmyk_profile() -> bytes:
    """Paper is white, cyan alone prints middle gray (L* 50), everything else black."""
    lightness = {(0, 0, 0, 0): 255, (1, 0, 0, 0): 128}
    grid = [(c, m, y, k) for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)]
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0])
    lut += struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut += bytes(range(256)) * 4 + b"".join(bytes([lightness.get(ink, 0), 128, 128]) for ink in grid)
    lut += bytes(range(256)) * 3
    return icc(b"CMYK", {b"A2B0": lut}, pcs=b"Lab ")


def srgb_of_linear(value: int) -> float:
    """IEC 61966-2-1, on a scale of 0…255."""
    v = value / 255
    return 255 * (12.92 * v if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "RGBX", "P", "L", "LA", "1", "I;16"])
@pytest.mark.parametrize("value", [0, 64, 128, 255])
def test_rgb_profile(mode: str, value: int) -> None:
    if mode == "1":
        value = 255 * (value > 127)
    image = Image.new("L", (1, 1), value).convert(mode) if mode != "I;16" else pixel(mode, value * 257)
    image.info["icc_profile"] = linear_rgb()
    np.testing.assert_allclose(to_rgb(image)[0, 0], [srgb_of_linear(value)] * 3, atol=1)


@pytest.mark.parametrize("mode", ["L", "LA", "I;16", "I", "F"])
def test_gray_profile(mode: str) -> None:
    image = {"LA": pixel("LA", (64, 255)), "I;16": pixel("I;16", 64 * 257)}.get(mode) or pixel(mode, 64)
    image.info["icc_profile"] = icc(b"GRAY", {b"kTRC": LINEAR})
    np.testing.assert_allclose(to_rgb(image)[0, 0], [srgb_of_linear(64)] * 3, atol=1)


def test_cmyk_profile() -> None:
    image = Image.new("CMYK", (3, 1))
    image.putdata([(0, 0, 0, 0), (255, 0, 0, 0), (0, 0, 0, 255)])
    file = saved(image, "TIFF", icc_profile=cmyk_profile())
    np.testing.assert_allclose(to_rgb(file)[0], [[255] * 3, [119] * 3, [0] * 3], atol=2)


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_profile_orientation_and_alpha_together(orientation: int) -> None:
    image = oriented("RGBA")
    alpha = np.zeros((2, 3), np.uint8)
    alpha[0] = 255
    image.putalpha(Image.fromarray(alpha))
    file = saved(image, "PNG", exif=exif(orientation), icc_profile=linear_rgb())
    values = np.array([[srgb_of_linear(v * 40) for v in STORED[0]], [BACKGROUND[0]] * 3])
    expected = np.select([np.array(UPRIGHT[orientation]) == v for v in range(1, 7)], list(values.ravel()))
    np.testing.assert_allclose(to_rgb(file, background=BACKGROUND)[:, :, 0], expected, atol=1)


def test_profile_with_other_primaries() -> None:
    file = saved(pixel("RGB", (255, 0, 0)), "JPEG", quality=100, icc_profile=linear_rgb(b"bgr"))
    np.testing.assert_allclose(to_rgb(file)[0, 0].astype(int), (0, 0, 255), atol=3)


def test_srgb_profile_changes_nothing() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_allclose(to_rgb(saved(Image.fromarray(NOISE), "PNG", icc_profile=srgb)), NOISE, atol=1)


@pytest.mark.parametrize(
    ("mode", "profile"),
    [
        ("RGB", b"no profile at all"),
        ("RGB", linear_rgb()[:200]),
        ("RGB", icc(b"GRAY", {b"kTRC": LINEAR})),
        ("RGB", icc(b"RGB ", {})),
        ("RGB", cmyk_profile()),
        ("CMYK", linear_rgb()),
        ("LAB", linear_rgb()),
    ],
)
def test_unusable_profile_is_ignored_with_a_warning(mode: str, profile: bytes) -> None:
    image = Image.fromarray(NOISE).convert(mode)
    image.info.pop("icc_profile", None)
    expected = to_rgb(image)
    image.info["icc_profile"] = profile
    with pytest.warns(UserWarning, match="the ICC profile is ignored") as caught:
        pixels = to_rgb(image)
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(pixels, expected)
