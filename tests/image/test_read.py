"""Every kind of image becomes upright sRGB."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picture_files import (
    BACKGROUND,
    NOISE,
    RNG,
    UPRIGHT,
    blend,
    exif,
    frame_count,
    linear_rgb,
    oriented,
    palette,
    pixel,
    png,
    png_of_size,
    saved,
)
from PIL import Image, TiffImagePlugin

from cotam.errors import InputError
from cotam.image import convert as module
from cotam.image.read import outline, to_rgb

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
    (pixel("F", -0.4), (0, 0, 0)),
    (pixel("F", 0.0), (0, 0, 0)),
    (pixel("F", 0.5), (128, 128, 128)),
    (pixel("F", 1.0), (255, 255, 255)),
    (pixel("F", 255.4), (255, 255, 255)),
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


@pytest.mark.parametrize(("value", "expected"), [(-3.0, 0), (1e9, 255)])
def test_floats_that_are_clipped_are_noted(value: float, expected: int) -> None:
    with pytest.warns(UserWarning, match=r"pixels from .* are clipped to 0…255"):
        assert to_rgb(pixel("F", value))[0, 0, 0] == expected


@pytest.mark.parametrize("value", [-1, 65536])
def test_wide_integers_have_no_scale(value: int) -> None:
    with pytest.raises(InputError, match="known scale"):
        to_rgb(pixel("I", value))


def test_one_bright_pixel_makes_all_of_mode_i_sixteen_bit() -> None:
    image = Image.fromarray(np.array([[100, 65535]], np.int32))
    np.testing.assert_array_equal(to_rgb(image)[0, :, 0], [0, 255])


def test_sixteen_bits_of_a_tiff_that_stores_white_as_zero() -> None:
    image = Image.fromarray(np.array([[0, 0x4040, 0xFFFF]], np.uint16))
    file = saved(image, "TIFF", tiffinfo={TiffImagePlugin.PHOTOMETRIC_INTERPRETATION: 0})
    np.testing.assert_array_equal(to_rgb(file)[0, :, 0], [255, 255 - 0x40, 0])


@pytest.mark.parametrize(("bits", "packed"), [(1, 0b01_000000), (2, 0b00_01_0000), (4, 0x01)])
def test_gray_png_of_few_bits_with_a_transparent_gray(bits: int, packed: int) -> None:
    """Its pixels are 0 and 1, and 1 is transparent."""
    header = struct.pack(">IIBBBBB", 2, 1, bits, 0, 0, 0, 0)
    rows = zlib.compress(bytes([0, packed]))
    file = png((b"IHDR", header), (b"tRNS", struct.pack(">H", 1)), (b"IDAT", rows))
    np.testing.assert_array_equal(to_rgb(file, background=BACKGROUND), [[(0, 0, 0), BACKGROUND]])


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


def test_an_empty_name_is_not_the_working_folder() -> None:
    with pytest.raises(FileNotFoundError):
        to_rgb("")


@pytest.mark.parametrize(
    "nothing", [np.zeros((0, 5, 3), np.uint8), np.zeros((5, 0), np.uint8), Image.new("L", (0, 5))]
)
def test_no_pixels(nothing: Any) -> None:
    with pytest.raises(InputError, match="no pixels"):
        to_rgb(nothing)


@pytest.mark.parametrize("thing", [None, 3, [[0]], bytearray(b"x")])
def test_other_things_are_refused(thing: Any) -> None:
    with pytest.raises(InputError, match=r"is not an image|not an image of"):
        to_rgb(thing)


# Orientation


LOSSLESS: dict[str, dict[str, Any]] = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True}}


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


def test_broken_exif_does_not_spoil_the_image() -> None:
    image = oriented("RGB")
    image.info["exif"] = b"Exif\0\0this is no TIFF structure"
    np.testing.assert_array_equal(to_rgb(image), to_rgb(oriented("RGB")))


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
def test_thin_images(size: tuple[int, int]) -> None:
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


# Threads


def test_threads() -> None:
    files = [
        saved(Image.fromarray(NOISE).convert(mode), "PNG", exif=exif(turn), icc_profile=linear_rgb())
        for mode in ("RGB", "RGBA", "P", "L")
        for turn in UPRIGHT
    ] + [png_of_size(10_000, 10_000)]

    def attempt(file: bytes) -> Any:
        try:
            return to_rgb(file).tobytes() if len(file) > 100 else outline(file)
        except InputError as error:
            return str(error)

    expected = [attempt(file) for file in files]
    with warnings.catch_warnings(), ThreadPoolExecutor(8) as pool:
        warnings.simplefilter("error")
        assert list(pool.map(attempt, files * 4)) == expected * 4
