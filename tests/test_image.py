"""Every kind of picture becomes upright sRGB; what is not a picture is refused in one line."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from cotam import image as module
from cotam.errors import InputError
from cotam.image import frame_count, read_metadata, to_rgb

BACKGROUND = (10, 20, 30)
RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (9, 13, 3), np.uint8)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    tags[ExifTags.Base.Make] = "a camera"
    return tags


def pixel(mode: str, value: Any, **info: Any) -> Image.Image:
    image = Image.new(mode, (1, 1))
    image.putpixel((0, 0), value)
    image.info.update(info)
    return image


def palette(mode: str, entries: list[int], image: Image.Image | None = None, **info: Any) -> Image.Image:
    """One pixel of palette entry 1."""
    image = image or pixel("P", 1, **info)
    image.putpalette(entries, mode)
    return image


def blend(colour: tuple[int, ...], alpha: int) -> list[int]:
    return [round((c * alpha + b * (255 - alpha)) / 255) for c, b in zip(colour, BACKGROUND, strict=True)]


# Modes

MODES: list[tuple[Image.Image, tuple[int, ...] | list[int]]] = [
    (pixel("1", 0), (0, 0, 0)),
    (pixel("1", 1), (255, 255, 255)),
    (pixel("1", 1, transparency=255), BACKGROUND),
    (pixel("L", 77), (77, 77, 77)),
    (pixel("L", 77, transparency=77), BACKGROUND),
    (pixel("L", 77, transparency=78), (77, 77, 77)),
    (pixel("LA", (77, 255)), (77, 77, 77)),
    (pixel("LA", (77, 64)), blend((77, 77, 77), 64)),
    (pixel("La", (0, 0)), BACKGROUND),
    (pixel("La", (77, 255)), (77, 77, 77)),
    (palette("RGB", [0, 0, 0, 1, 2, 3]), (1, 2, 3)),
    (palette("RGB", [0, 0, 0, 1, 2, 3], transparency=1), BACKGROUND),
    (palette("RGB", [0, 0, 0, 1, 2, 3], transparency=0), (1, 2, 3)),
    (palette("RGB", [0, 0, 0, 1, 2, 3], transparency=b"\xff\x40"), blend((1, 2, 3), 64)),
    (palette("RGBA", [0, 0, 0, 0, 200, 100, 0, 64]), blend((200, 100, 0), 64)),
    (palette("RGB", [0, 0, 0, 200, 100, 0], pixel("PA", (1, 255))), (200, 100, 0)),
    (palette("RGB", [0, 0, 0, 200, 100, 0], pixel("PA", (1, 64))), blend((200, 100, 0), 64)),
    (pixel("RGB", (1, 2, 3)), (1, 2, 3)),
    (pixel("RGB", (1, 2, 3), transparency=(1, 2, 3)), BACKGROUND),
    (pixel("RGBA", (1, 2, 3, 255)), (1, 2, 3)),
    (pixel("RGBA", (1, 2, 3, 0)), BACKGROUND),
    (pixel("RGBA", (200, 100, 0, 64)), blend((200, 100, 0), 64)),
    (pixel("RGBa", (0, 0, 0, 0)), BACKGROUND),
    (pixel("RGBa", (50, 25, 0, 64)), blend((200, 100, 0), 64)),
    (pixel("RGBX", (1, 2, 3, 0)), (1, 2, 3)),
    (pixel("CMYK", (0, 255, 255, 0)), (255, 0, 0)),
    (pixel("CMYK", (0, 0, 0, 255)), (0, 0, 0)),
    (pixel("YCbCr", (77, 128, 128)), (77, 77, 77)),
    (pixel("HSV", (0, 255, 255)), (255, 0, 0)),
    (pixel("I", 200), (200, 200, 200)),
    (pixel("I", 256), (1, 1, 1)),
    (pixel("I", 65535), (255, 255, 255)),
    (pixel("I", 40000, transparency=40000), BACKGROUND),
    (pixel("I;16", 65535), (255, 255, 255)),
    (pixel("I;16", 200), (1, 1, 1)),
    (pixel("I;16", 128), (0, 0, 0)),
    (pixel("I;16", 1000, transparency=1000), BACKGROUND),
    (pixel("I;16L", 30000), (117, 117, 117)),
    (pixel("I;16B", 30000), (117, 117, 117)),
    (pixel("I;16N", 30000), (117, 117, 117)),
    (pixel("F", 12.4), (12, 12, 12)),
    (pixel("F", -3.0), (0, 0, 0)),
    (pixel("F", 1e9), (255, 255, 255)),
]


@pytest.mark.parametrize(
    ("image", "expected"), MODES, ids=lambda v: v.mode if isinstance(v, Image.Image) else ""
)
def test_every_mode(image: Image.Image, expected: tuple[int, ...]) -> None:
    pixels = to_rgb(image, background=BACKGROUND)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (1, 1, 3)
    np.testing.assert_allclose(pixels[0, 0].astype(int), expected, atol=1)


def test_exact_where_nothing_is_to_convert() -> None:
    for mode in ("RGB", "RGBA", "RGBX"):
        np.testing.assert_array_equal(to_rgb(Image.fromarray(NOISE).convert(mode)), NOISE)


def test_lab() -> None:
    lab = Image.fromarray(np.full((2, 2, 3), (200, 60, 30), np.uint8)).convert("LAB")
    np.testing.assert_allclose(to_rgb(lab).astype(int), np.full((2, 2, 3), (200, 60, 30)), atol=3)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_float_must_be_finite(value: float) -> None:
    with pytest.raises(InputError, match="not finite"):
        to_rgb(pixel("F", value))


@pytest.mark.parametrize("value", [-1, 65536])
def test_wide_integers_have_no_scale(value: int) -> None:
    with pytest.raises(InputError, match="known scale"):
        to_rgb(pixel("I", value))


def test_one_bright_pixel_makes_all_of_mode_i_sixteen_bit() -> None:
    image = Image.fromarray(np.array([[100, 65535]], np.int32))
    np.testing.assert_array_equal(to_rgb(image)[0, :, 0], [0, 255])


def test_sixteen_bit_colour_png_with_a_transparent_colour() -> None:
    rows = b"".join(b"\0" + struct.pack(">6H", 0x1234, 0, 0, 0xFFFF, 0x8000, 0) for _ in range(2))
    header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    file = png((b"IHDR", header), (b"tRNS", struct.pack(">3H", 0x1234, 0, 0)), (b"IDAT", zlib.compress(rows)))
    assert to_rgb(file).shape == (2, 2, 3)
    np.testing.assert_allclose(to_rgb(file)[0, 1].astype(int), (255, 128, 0), atol=1)


@pytest.mark.parametrize("background", ["teal", "#008080", (0, 128, 128)])
def test_background(background: Any) -> None:
    assert to_rgb(pixel("RGBA", (9, 9, 9, 0)), background=background)[0, 0].tolist() == [0, 128, 128]


@pytest.mark.parametrize("background", ["no colour", "#00000000", (0, 0, 256), (0, 0), 7, (0.5, 0, 0)])
def test_bad_background(background: Any) -> None:
    with pytest.raises(InputError, match="background"):
        to_rgb(pixel("RGB", (0, 0, 0)), background=background)


def test_the_image_given_is_left_as_it_was() -> None:
    image = Image.fromarray(NOISE).convert("P")
    image.info["transparency"] = 3
    image.info["exif"] = exif(6).tobytes()
    before, info = image.copy(), dict(image.info)
    to_rgb(image)
    assert image == before
    assert image.info == info


# Arrays


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1)])
def test_gray_arrays(shape: tuple[int, ...]) -> None:
    gray = RNG.integers(0, 256, shape, np.uint8)
    np.testing.assert_array_equal(to_rgb(gray), np.repeat(gray.reshape(4, 5, 1), 3, axis=2))


def test_alpha_array() -> None:
    array = np.array([[[200, 100, 0, 255], [200, 100, 0, 64], [200, 100, 0, 0]]], np.uint8)
    expected = [[200, 100, 0], blend((200, 100, 0), 64), list(BACKGROUND)]
    np.testing.assert_allclose(to_rgb(array, background=BACKGROUND)[0].astype(int), expected, atol=1)


def test_rgb_array_is_not_copied_unless_it_must_be() -> None:
    assert to_rgb(NOISE) is NOISE
    flipped = to_rgb(NOISE[::-1])
    assert flipped.flags.c_contiguous
    np.testing.assert_array_equal(flipped, NOISE[::-1])
    np.testing.assert_array_equal(to_rgb(NOISE[:, ::2, :1]), NOISE[:, ::2, :1].repeat(3, axis=2))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2, 3), np.uint16),
        np.zeros((2, 2, 3)),
        np.zeros((2, 2, 2), np.uint8),
        np.zeros(5, np.uint8),
    ],
)
def test_other_arrays_are_refused(array: Any) -> None:
    with pytest.raises(InputError, match=r"expected uint8 \(H, W\)"):
        to_rgb(array)


@pytest.mark.parametrize(
    "nothing", [np.zeros((0, 5, 3), np.uint8), np.zeros((5, 0), np.uint8), Image.new("L", (0, 5))]
)
def test_no_pixels(nothing: Any) -> None:
    with pytest.raises(InputError, match="no pixels"):
        to_rgb(nothing)


@pytest.mark.parametrize("thing", [None, 3, [[0]], bytearray(b"x")])
def test_other_things_are_refused(thing: Any) -> None:
    with pytest.raises(InputError, match="is no picture"):
        to_rgb(thing)


# Orientation

STORED = [[1, 2, 3], [4, 5, 6]]
UPRIGHT = {
    1: [[1, 2, 3], [4, 5, 6]],
    2: [[3, 2, 1], [6, 5, 4]],
    3: [[6, 5, 4], [3, 2, 1]],
    4: [[4, 5, 6], [1, 2, 3]],
    5: [[1, 4], [2, 5], [3, 6]],
    6: [[4, 1], [5, 2], [6, 3]],
    7: [[6, 3], [5, 2], [4, 1]],
    8: [[3, 6], [2, 5], [1, 4]],
}
LOSSLESS: dict[str, dict[str, Any]] = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True}}


def oriented(mode: str) -> Image.Image:
    gray = np.array(STORED, np.uint8) * 40
    if mode == "I;16":
        return Image.fromarray(gray.astype(np.uint16) * 257)
    return Image.fromarray(gray).convert(mode)


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(
    ("format", "mode"),
    [
        (format, mode)
        for format in LOSSLESS
        for mode in ("L", "RGB", "RGBA", "P", "I;16")
        if (format, mode) != ("WEBP", "I;16")  # WebP has 8 bits only
    ],
)
def test_orientation(format: str, mode: str, orientation: int) -> None:
    file = saved(oriented(mode), format, exif=exif(orientation), **LOSSLESS[format])
    expected = np.array(UPRIGHT[orientation], np.uint8)[:, :, None].repeat(3, axis=2) * 40
    np.testing.assert_array_equal(to_rgb(file), expected)


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_orientation_of_jpeg(orientation: int) -> None:
    blocks = oriented("RGB").resize((48, 32), Image.Resampling.NEAREST)
    pixels = to_rgb(saved(blocks, "JPEG", quality=95, exif=exif(orientation)))
    np.testing.assert_allclose(pixels[8::16, 8::16, 0] / 40, UPRIGHT[orientation], atol=0.1)


def test_orientation_in_xmp() -> None:
    file = saved(oriented("L"), "WEBP", lossless=True, xmp=b'<a tiff:Orientation="6"/>')
    np.testing.assert_array_equal(to_rgb(file)[:, :, 0], np.array(UPRIGHT[6]) * 40)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_impossible_orientation_is_none(orientation: int) -> None:
    np.testing.assert_array_equal(
        to_rgb(saved(oriented("L"), "PNG", exif=exif(orientation))), to_rgb(oriented("L"))
    )


def test_broken_exif_does_not_spoil_the_picture() -> None:
    image = oriented("RGB")
    image.info["exif"] = b"Exif\0\0this is no TIFF structure"
    np.testing.assert_array_equal(to_rgb(image), to_rgb(oriented("RGB")))


# Colour profiles

D50 = (0.9642, 1.0, 0.8249)
SRGB_TO_XYZ = {
    b"r": (0.43607, 0.22249, 0.01392),
    b"g": (0.38515, 0.71687, 0.09708),
    b"b": (0.14307, 0.06061, 0.7141),
}
LINEAR = b"curv" + bytes(8)


def icc(space: bytes, tags: dict[bytes, bytes], *, pcs: bytes = b"XYZ ") -> bytes:
    """An ICC version 2 profile with these tags (ICC.1:2001-04, 6.1 and 6.2)."""
    tags = {b"wtpt": xyz(D50), **tags}
    table, body, at = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", at + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(">I4xI4s4s4s12x4s40x", at + len(body), 0x02400000, b"mntr", space, pcs, b"acsp")
    header = header[:68] + xyz(D50)[8:] + bytes(48)
    return header + table + body


def xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in values))


def linear_rgb(order: bytes = b"rgb") -> bytes:
    """sRGB's primaries, given to the channels in this order, with linear values."""
    names = zip(b"rgb", order, strict=True)
    colours = {bytes([name]) + b"XYZ": xyz(SRGB_TO_XYZ[bytes([of])]) for name, of in names}
    return icc(b"RGB ", colours | {b"rTRC": LINEAR, b"gTRC": LINEAR, b"bTRC": LINEAR})


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


# Strips


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("strip", [1, 27, 40, 1000])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "I;16"])
def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch, mode: str, strip: int, orientation: int) -> None:
    image = (
        Image.fromarray(NOISE[:, :, 0].astype(np.uint16) * 200) if mode == "I;16" else Image.fromarray(NOISE)
    )
    image = image.convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.fromarray(NOISE[:, :, 1]))
    image.info.update(exif=exif(orientation).tobytes(), icc_profile=linear_rgb())
    whole = to_rgb(image)
    monkeypatch.setattr(module, "_STRIP_PIXELS", strip)
    np.testing.assert_array_equal(to_rgb(image), whole)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (1, 3_000_000)])
def test_thin_pictures(size: tuple[int, int]) -> None:
    if max(size) > 1 << 20:
        with pytest.raises(InputError, match="too large"):
            to_rgb(Image.new("1", size))
        return
    pixels = to_rgb(saved(Image.new("RGB", size, (1, 2, 3)), "PNG", exif=exif(5)))
    assert pixels.shape == (*size, 3)
    assert (pixels == (1, 2, 3)).all()


# Frames


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_animations_give_their_first_frame(format: str) -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if format == "WEBP" else {}
    file = saved(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert frame_count(file) == 3
    assert (to_rgb(file) == (255, 0, 0)).all()
    with Image.open(io.BytesIO(file)) as opened:
        opened.seek(1)
        assert frame_count(opened) == 3
        assert (to_rgb(opened) == (0, 255, 0)).all()


def test_one_frame() -> None:
    assert frame_count(saved(Image.fromarray(NOISE), "PNG")) == 1
    assert frame_count(Image.fromarray(NOISE)) == 1
    assert frame_count(NOISE) == 1


# Sources


def test_all_sources_are_equal(tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    Image.fromarray(NOISE).save(file)
    link = tmp_path / "link.jpg"
    link.symlink_to(file)
    for source in (file, str(file), link, file.read_bytes(), NOISE, Image.open(file)):
        np.testing.assert_array_equal(to_rgb(source), NOISE)


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="no /dev/fd")
def test_a_pipe() -> None:
    out, into = os.pipe()
    os.write(into, saved(Image.fromarray(NOISE), "PNG"))
    os.close(into)
    np.testing.assert_array_equal(to_rgb(f"/dev/fd/{out}"), NOISE)
    os.close(out)


def test_an_image_given_open_stays_open() -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "lime")]
    with Image.open(io.BytesIO(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))) as image:
        assert frame_count(image) == 2
        assert (to_rgb(image) == (255, 0, 0)).all()
        image.seek(1)
        assert (to_rgb(image) == (0, 255, 0)).all()


def test_missing_files_are_os_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        to_rgb(tmp_path / "nothing.png")
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on the system
        to_rgb(tmp_path)


# Damage


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in (*chunks, (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + body


def png_of_size(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return png((b"IHDR", header), (b"IDAT", zlib.compress(b"")))


SCENE = Image.fromarray(RNG.integers(0, 256, (64, 64, 3), np.uint8))
DAMAGED: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "one byte": lambda: b"\xff",
    "text.png": lambda: b"This is a text file, whatever its name says.\n" * 9,
    "cut.jpg": lambda: saved(SCENE, "JPEG")[:2000],
    "cut head.jpg": lambda: saved(SCENE, "JPEG")[:30],
    "cut.png": lambda: saved(SCENE, "PNG")[:2000],
    "cut.webp": lambda: saved(SCENE, "WEBP")[:500],
    "cut.gif": lambda: saved(SCENE, "GIF")[:1000],
    "cut.tif": lambda: saved(SCENE, "TIFF")[:1000],
    "cut.avif": lambda: saved(SCENE, "AVIF")[:900],
    "changed.png": lambda: saved(SCENE, "PNG").replace(b"IDAT", b"IDAX", 1),
    "no pixels.png": lambda: png_of_size(0, 4),
    "vector.eps": lambda: saved(SCENE, "EPS"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_named_in_one_line(tmp_path: Path, name: str) -> None:
    data = DAMAGED[name]()
    file = tmp_path / name
    file.write_bytes(data)
    for source, called in ((file, str(file)), (data, f"{len(data)} bytes")):
        with pytest.raises(InputError) as caught:
            to_rgb(source)
        assert str(caught.value).startswith(f"{called}: ")
        assert len(str(caught.value).splitlines()) == 1


def test_the_reason_is_told() -> None:
    with pytest.raises(InputError, match="empty"):
        to_rgb(b"")
    with pytest.raises(InputError, match="not a picture of a known format"):
        to_rgb(DAMAGED["text.png"]())
    with pytest.raises(InputError, match="truncated") as caught:
        to_rgb(DAMAGED["cut.jpg"]())
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(InputError, match="EPS files are not accepted"):
        to_rgb(DAMAGED["vector.eps"]())


def test_a_closed_image() -> None:
    image = Image.open(io.BytesIO(saved(SCENE, "PNG")))
    image.close()
    with pytest.raises(InputError, match="closed"):
        to_rgb(image)


# Size


def test_large_pictures_are_refused_before_pixels_are_decoded(tmp_path: Path) -> None:
    file = tmp_path / "bomb.png"
    file.write_bytes(png_of_size(20_000, 20_000))
    with pytest.raises(InputError, match=r"bomb\.png: 20000×20000 is too large"):
        to_rgb(file)


def test_no_warning_of_pillow_below_the_limit() -> None:
    limit = Image.MAX_IMAGE_PIXELS
    for side in (10_000, 14_000):  # above the size that Pillow warns of, and above the one that it refuses
        assert frame_count(png_of_size(side, side)) == 1
    assert limit == Image.MAX_IMAGE_PIXELS


def test_the_limit_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PIXELS", NOISE.shape[0] * NOISE.shape[1])
    file = saved(Image.fromarray(NOISE), "PNG")
    np.testing.assert_array_equal(to_rgb(file), NOISE)
    monkeypatch.setattr(module, "MAX_PIXELS", NOISE.shape[0] * NOISE.shape[1] - 1)
    for source in (file, NOISE, Image.fromarray(NOISE)):
        with pytest.raises(InputError, match="too large"):
            to_rgb(source)


MEASURE = """
import resource, sys
from cotam.image import to_rgb
pixels = to_rgb(sys.argv[1])
assert pixels.shape == (10_000, 10_080, 3), pixels.shape
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kB on Linux")
def test_a_hundred_megapixels(tmp_path: Path) -> None:
    file = tmp_path / "large.jpg"
    SCENE.resize((10_080, 10_000)).save(file, exif=exif(4))
    command = [sys.executable, "-W", "error", "-c", MEASURE, str(file)]
    megabytes = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert megabytes < 900  # Pillow's picture takes 403 and the result 302


# Threads


def test_threads() -> None:
    files = [
        saved(Image.fromarray(NOISE).convert(mode), "PNG", exif=exif(turn), icc_profile=linear_rgb())
        for mode in ("RGB", "RGBA", "P", "L")
        for turn in UPRIGHT
    ] + [png_of_size(10_000, 10_000)]

    def attempt(file: bytes) -> Any:
        try:
            return to_rgb(file).tobytes() if len(file) > 100 else frame_count(file)
        except InputError as error:
            return str(error)

    expected = [attempt(file) for file in files]
    with warnings.catch_warnings(), ThreadPoolExecutor(8) as pool:
        warnings.simplefilter("error")
        assert list(pool.map(attempt, files * 4)) == expected * 4


# Padding


# Metadata

ALL = frozenset({"exif", "icc", "xmp"})


def raw_exif(order: str) -> bytes:
    """Orientation 6 between two other tags, and a maker note of which the offset must not move."""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IH", 8, 3)
    entries = struct.pack(f"{order}HHI4s", 0x010F, 2, 4, b"ACM\0")
    entries += struct.pack(f"{order}HHIHH", 0x0112, 3, 1, 6, 0)
    entries += struct.pack(f"{order}HHII", 0x927C, 7, 8, 8 + 2 + 36 + 4)
    return head + entries + bytes(4) + b"MAKERNOT"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_exif_is_kept_but_for_its_orientation(format: str, order: str) -> None:
    before = raw_exif(order)
    file = saved(Image.fromarray(NOISE), format, exif=b"Exif\0\0" + before)
    after = read_metadata(file, ALL)["exif"]
    tags = Image.Exif()
    tags.load(after)
    assert tags[ExifTags.Base.Orientation] == 1
    assert tags[ExifTags.Base.Make] == "ACM"
    assert tags[0x927C] == b"MAKERNOT"
    assert [at for at in range(len(before)) if before[at] != after[at]] == [30 + (order == ">")]


@pytest.mark.parametrize("broken", [b"Exif\0\0", b"no TIFF", raw_exif("<")[:20], b"II*\0\xff\xff\xff\xff"])
def test_broken_exif_is_left_out(broken: bytes) -> None:
    image = Image.fromarray(NOISE)
    image.info["exif"] = broken
    assert read_metadata(image, ALL) == {}


def test_xmp_is_kept_but_for_its_orientation() -> None:
    xmp = b'<x a="1" tiff:Orientation="6"/><tiff:Orientation>8</tiff:Orientation>'
    kept = read_metadata(saved(Image.fromarray(NOISE), "WEBP", xmp=xmp), ALL)["xmp"]
    assert kept == b'<x a="1" tiff:Orientation="1"/><tiff:Orientation>1</tiff:Orientation>'


def test_the_profile_kept_is_that_of_the_pixels() -> None:
    image = Image.fromarray(NOISE)
    image.info["icc_profile"] = linear_rgb()
    kept = read_metadata(image, ALL)["icc"]
    assert kept == read_metadata(image, ALL)["icc"]
    assert "sRGB" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(kept)))
    tagged = Image.fromarray(to_rgb(image))
    tagged.info["icc_profile"] = kept
    np.testing.assert_allclose(to_rgb(tagged).astype(int), to_rgb(image), atol=1)


def test_metadata_after_the_pixels_of_a_png() -> None:
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixels = (b"IHDR", header), (b"IDAT", zlib.compress(b"\0\x07"))
    file = png(*pixels, (b"eXIf", raw_exif(">")), (b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + b"<x/>"))
    assert set(read_metadata(file, ALL)) == {"exif", "xmp"}
    with pytest.raises(InputError):
        read_metadata(file[:40], ALL)


def test_metadata_of_every_source(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    Image.fromarray(NOISE).save(path, exif=exif(6))
    with Image.open(path) as opened:
        for source in (path, path.read_bytes(), opened):
            assert set(read_metadata(source, ALL)) == {"exif"}
    assert read_metadata(NOISE, ALL) == {}


def test_only_what_is_asked_for_and_there() -> None:
    image = Image.fromarray(NOISE)
    assert read_metadata(image, ALL) == {}
    image.info.update(exif=raw_exif("<"), xmp=b"<x/>", icc_profile=linear_rgb())
    assert set(read_metadata(image, ALL)) == ALL
    assert read_metadata(image, frozenset()) == {}
    assert set(read_metadata(image, frozenset({"xmp"}))) == {"xmp"}


def test_unknown_metadata() -> None:
    with pytest.raises(InputError, match=r"unknown metadata iptc: choose from exif, icc, xmp"):
        read_metadata(Image.fromarray(NOISE), frozenset({"iptc", "exif"}))


def test_a_photo_with_a_preview_is_not_animated(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (40, 30), "red"), Image.new("RGB", (20, 15))
    first.save(tmp_path / "phone.jpg", "MPO", save_all=True, append_images=[second])
    assert frame_count(tmp_path / "phone.jpg") == 1
    assert to_rgb(tmp_path / "phone.jpg").shape == (30, 40, 3)
