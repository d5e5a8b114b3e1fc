"""Images with a colour profile or gamma become sRGB; an unusable profile is ignored, with a note."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from picture_files import (
    BACKGROUND,
    LINEAR,
    NOISE,
    SRGB_TO_XYZ,
    STORED,
    UPRIGHT,
    exif,
    icc,
    linear_rgb,
    oriented,
    pixel,
    png,
    saved,
    xyz,
)
from PIL import Image, ImageCms

from cotam.image.read import read_image, to_rgb

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


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG"), (13, "")])
def test_hdr_profile(transfer: int, name: str) -> None:
    colours = {bytes([n]) + b"XYZ": xyz(SRGB_TO_XYZ[bytes([n])]) for n in b"rgb"}
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), LINEAR)
    profile = icc(b"RGB ", colours | curves | {b"cicp": b"cicp" + bytes([0, 0, 0, 0, 9, transfer, 0, 1])})
    expected = f"it is HDR ({name}) by its ICC profile: its colours may look pale or dark"
    notes = read_image(saved(Image.fromarray(NOISE), "PNG", icc_profile=profile)).notes
    assert notes == ((expected,) if name else ())


# Gamma

VALUES = (0, 40, 128, 255)
WIDE = (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)  # Adobe RGB


def with_gamma(gamma: float, *chunks: tuple[bytes, bytes], kind: int = 0) -> bytes:
    """A PNG of `VALUES`, as gray (``kind`` 0) or a palette (3)."""
    header = struct.pack(">IIBBBBB", len(VALUES), 1, 8, kind, 0, 0, 0)
    rows, palette = zlib.compress(b"\0" + bytes(VALUES)), (b"PLTE", bytes(v // 3 for v in range(768)))
    gama = (b"gAMA", struct.pack(">I", round(gamma * 100_000)))
    return png((b"IHDR", header), gama, *chunks, *([palette] if kind else []), (b"IDAT", rows))


@pytest.mark.parametrize("kind", [0, 3])
@pytest.mark.parametrize(("gamma", "power"), [(1.0, 1.0), (0.55556, 1.8)])
def test_png_with_gamma(gamma: float, power: float, kind: int) -> None:
    expected = [srgb_of_linear(255 * (v / 255) ** power) for v in VALUES]
    found = read_image(with_gamma(gamma, kind=kind))
    np.testing.assert_allclose(found.pixels[0, :, 0], expected, atol=1)
    assert found.notes == ()


def test_gamma_of_sixteen_bits_keeps_dark_steps() -> None:
    values = np.array([0, 8, 16, 24, 32, 65535], ">u2")
    header = struct.pack(">IIBBBBB", len(values), 1, 16, 0, 0, 0, 0)
    gama, rows = (b"gAMA", struct.pack(">I", 100_000)), zlib.compress(b"\0" + values.tobytes())
    found = to_rgb(png((b"IHDR", header), gama, (b"IDAT", rows)))[0, :, 0]
    assert found.tolist() == [round(srgb_of_linear(v / 257)) for v in values.tolist()]


@pytest.mark.parametrize(
    ("gamma", "chunks"),
    [
        (0.45455, []),
        (0.0, []),
        (1.0, [(b"sRGB", b"\0")]),
        (1.0, [(b"cICP", bytes([1, 13, 0, 1]))]),
    ],
)
def test_png_whose_gamma_does_not_count(gamma: float, chunks: list[tuple[bytes, bytes]]) -> None:
    np.testing.assert_array_equal(to_rgb(with_gamma(gamma, *chunks))[0, :, 0], VALUES)


def test_png_with_other_primaries() -> None:
    chunk = (b"cHRM", struct.pack(">8I", *(round(100_000 * v) for v in WIDE)))
    assert read_image(with_gamma(0.45455, chunk)).notes == (
        "its primaries (chunk cHRM) are read as if they were those of sRGB",
    )


def test_a_repaired_png_keeps_its_gamma() -> None:
    file = with_gamma(1.0)[:-12]  # without IEND, and a damaged chunk before
    broken = file[:33] + b"\0\0\0\1tEXta\0\0\0\0" + file[33:]
    found = read_image(broken)
    assert len(found.notes) == 1
    np.testing.assert_allclose(found.pixels[0, :, 0], [srgb_of_linear(v) for v in VALUES], atol=1)
