"""What is no image, or too large a one, is refused in one line."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from picture_files import (
    NOISE,
    RNG,
    exif,
    png_of_size,
    saved,
)
from PIL import Image

from cotam.errors import InputError
from cotam.image import readers as module
from cotam.image.read import outline, to_rgb

# Damage


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
    with pytest.raises(InputError) as caught:
        to_rgb(data)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    with pytest.raises(InputError, match=f"^{re.escape(f'{file}: {message}')}$"):
        to_rgb(file)


def test_the_reason_is_told() -> None:
    with pytest.raises(InputError, match=r"^the file is empty$"):
        to_rgb(b"")
    with pytest.raises(InputError, match="not an image of a known format"):
        to_rgb(DAMAGED["text.png"]())
    with pytest.raises(InputError, match="truncated") as caught:
        to_rgb(DAMAGED["cut.jpg"]())
    assert isinstance(caught.value.__cause__, OSError)
    for video in (b"\0\0\0\x20ftypisom" + bytes(20), b"\x1a\x45\xdf\xa3" + bytes(20), b"FLV\1" + bytes(20)):
        with pytest.raises(InputError, match="is a video: cotam encode --fps 1 makes a sequence"):
            to_rgb(video)
    with pytest.raises(InputError, match="not an image of a known format"):
        to_rgb(b"\0\0\0\x20ftypcrx " + bytes(20))
    with pytest.raises(InputError, match="EPS files are not accepted"):
        to_rgb(DAMAGED["vector.eps"]())


def test_a_closed_image() -> None:
    image = Image.open(io.BytesIO(saved(SCENE, "PNG")))
    image.close()
    with pytest.raises(InputError, match="closed"):
        to_rgb(image)


# Size


def test_large_images_are_refused_before_pixels_are_decoded(tmp_path: Path) -> None:
    file = tmp_path / "bomb.png"
    file.write_bytes(png_of_size(20_000, 20_000))
    with pytest.raises(InputError, match=r"bomb\.png: 20000×20000 is too large"):
        to_rgb(file)


def test_no_warning_of_pillow_below_the_limit() -> None:
    limit = Image.MAX_IMAGE_PIXELS
    for side in (10_000, 14_000):  # above the size that Pillow warns of, and above the one that it refuses
        assert outline(png_of_size(side, side)) == (side, side, True)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_the_limit_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PIXELS", NOISE.shape[0] * NOISE.shape[1])
    file = saved(Image.fromarray(NOISE), "PNG")
    np.testing.assert_array_equal(to_rgb(file), NOISE)
    monkeypatch.setattr(module, "MAX_PIXELS", NOISE.shape[0] * NOISE.shape[1] - 1)
    for source in (file, NOISE, Image.fromarray(NOISE)):
        with pytest.raises(InputError, match="too large") as caught:
            to_rgb(source)
        assert caught.type is InputError


MEASURE = r"""
import re, sys
from pathlib import Path
from cotam.image.read import to_rgb
pixels = to_rgb(sys.argv[1])
assert pixels.shape == (10_000, 10_080, 3), pixels.shape
# Not ru_maxrss, which begins at what the parent had.
print(int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is of Linux")
def test_a_hundred_megapixels(tmp_path: Path) -> None:
    file = tmp_path / "large.jpg"
    SCENE.resize((10_080, 10_000)).save(file, exif=exif(4))
    command = [sys.executable, "-W", "error", "-c", MEASURE, str(file)]
    megabytes = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert megabytes < 900  # Pillow's image takes 403 and the result 302


def test_the_outline_of_a_gif_that_is_cut_after_its_first_frame() -> None:
    frames = [Image.fromarray(RNG.integers(0, 256, (8, 9, 3), np.uint8)) for _ in range(2)]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100)
    second = data.rindex(b"\x21\xf9\x04")
    for end in range(second + 9, len(data)):
        assert outline(data[:end])[:2] == (9, 8)
        assert to_rgb(data[:end]).shape == (8, 9, 3)


# 64×64 pixels of 16 bits in RGB, white to the right and nearly black to the left.
WHITE_IN_16_BITS = zlib.decompress(
    base64.b64decode(
        "eNr77/8/kEGfAQQcoBgGUPnM/IyMEPQ/iIEHKMDIwMrCwsD4P4ZB2KGho2MCMvo/gYELpInJBqhg8v0fEwI4/WPTqs5cvHpk"
        "Kj7e8X8SQgwcknslRQ8LhuQT4KkwiGs9NJbQPnr8g99z2Zp3UZ8a6kkWdmJQzP3Yt790s+AtJQcLps8TDHc80XWQ1/LgjGQK"
        "ZF9ve6h4MTVVnf/jccX0k/3jrmjWiUqMTVeSul6cOBUitj1xektHhPunPk4Wowv2XPfqNsxp/BH2wvtK2N2Op7xz+A9tp79G"
        "oIfcGOJ+HbWf/UvMh4HhkM3HkIbHZzy8Vzg2sAm+sW5p2dUiwZCoqE9tdf9vAgAtVBaI"
    )
)


def test_white_that_pillow_reads_as_black() -> None:
    with pytest.raises(InputError, match="JPEG 2000 of more than 8 bits"):
        to_rgb(WHITE_IN_16_BITS)
    black = saved(Image.new("RGB", (64, 64)), "JPEG2000")
    assert not to_rgb(black).any()
