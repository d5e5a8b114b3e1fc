"""The Pillow plugin: what is read when, what Pillow does with it, and what is said of damaged files."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError
from synthetic import picture

import cotam
import cotam.pillow
from cotam.errors import DamagedError, InputError
from cotam.format.header import MAGIC, File, Header, write_file
from cotam.image.read import read_image

IMAGE = Image.fromarray(picture(30, 40))
DATA = cotam.encode(IMAGE)
PIXELS = np.asarray(cotam.decode(DATA))
"""As they come back."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "picture.cotam"
    path.write_bytes(DATA)
    return path


# Opening


def test_open_reads_the_header_and_load_the_pixels(file: Path) -> None:
    image = Image.open(file)
    assert (image.format, image.mode, image.size) == ("COTAM", "RGB", (40, 30))
    assert image.get_format_mimetype() == "image/vnd.cotam"
    assert image.info == {"quality": 50}
    opened = image.fp
    for _ in range(2):
        np.testing.assert_array_equal(np.asarray(image), PIXELS)
    assert opened
    assert opened.closed


def test_every_source(file: Path) -> None:
    with file.open("rb") as opened:
        for source in (file, str(file), opened, io.BytesIO(DATA), io.BytesIO(DATA)):
            with Image.open(source) as image:
                np.testing.assert_array_equal(np.asarray(image), PIXELS)
        assert not opened.closed


def test_a_coded_file_is_no_image_to_encode() -> None:
    with pytest.raises(InputError, match="file already: cotam decode reads it"):
        cotam.encode(DATA)


def test_feeding_the_parser() -> None:
    parser = ImageFile.Parser()
    for at in range(0, len(DATA), 100):
        parser.feed(DATA[at : at + 100])
    np.testing.assert_array_equal(np.asarray(parser.close()), PIXELS)


def test_metadata_are_there_before_the_pixels() -> None:
    tags = Image.Exif()
    tags[ExifTags.Base.Make] = "a camera"
    tagged = IMAGE.copy()
    tagged.info.update(exif=tags.tobytes(), xmp=b"<x/>")
    tagged.info["icc_profile"] = read_metadata_profile()
    image = Image.open(io.BytesIO(cotam.encode(tagged, metadata=["exif", "icc", "xmp"])))
    assert image.getexif()[ExifTags.Base.Make] == "a camera"
    assert image.info["xmp"] == b"<x/>"
    assert image.info["icc_profile"] == read_metadata_profile()
    again = io.BytesIO()
    image.save(again, "JPEG", exif=image.info["exif"])
    assert Image.open(again).getexif()[ExifTags.Base.Make] == "a camera"


def read_metadata_profile() -> bytes:
    """The sRGB profile, as `read_image` gives it."""
    image = Image.new("RGB", (1, 1))
    image.info["icc_profile"] = b"any"
    return read_image(image, keep=frozenset({"icc"})).metadata["icc"]


def test_pickle_and_copies(file: Path) -> None:
    for image in (Image.open(file), Image.open(file)):
        for other in (
            pickle.loads(pickle.dumps(image)),
            image.copy(),
            copy.copy(image),
            copy.deepcopy(image),
        ):
            np.testing.assert_array_equal(np.asarray(other), PIXELS)
            assert other.info == {"quality": 50}


def test_the_pixels_can_be_changed() -> None:
    image = Image.open(io.BytesIO(DATA))
    access = image.load()
    assert access
    access[0, 0] = (1, 2, 3)
    image.putpixel((1, 0), (4, 5, 6))
    assert np.asarray(image)[0, :2].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_usual_work() -> None:
    image = Image.open(io.BytesIO(DATA))
    assert image.draft("L", (10, 10)) is None
    np.testing.assert_array_equal(np.asarray(image.crop((3, 4, 5, 6))), PIXELS[4:6, 3:5])
    image.thumbnail((20, 20))
    assert image.size == (20, 15)


def test_frames() -> None:
    image = Image.open(io.BytesIO(DATA))
    image.seek(0)
    with pytest.raises(EOFError):
        image.seek(1)


def test_threads() -> None:
    def decoded(_: int) -> bytes:
        with Image.open(io.BytesIO(DATA)) as image:
            return image.tobytes()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(decoded, range(64))) == {PIXELS.tobytes()}


def test_threads_that_share_an_image_before_it_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "photo.cotam").write_bytes(DATA)
    for _ in range(8):
        with Image.open(tmp_path / "photo.cotam") as image, ThreadPoolExecutor(8) as pool:
            assert set(pool.map(lambda _: image.tobytes(), range(16))) == {PIXELS.tobytes()}


# Damage


def test_another_file_is_not_ours() -> None:
    with pytest.raises(SyntaxError, match="magic"):
        cotam.pillow.CotamImageFile(io.BytesIO(b"\x89PNG\r\n\x1a\n" + bytes(99)))


def test_a_damaged_header_is_not_identified() -> None:
    for at in range(len(MAGIC), 20):
        changed = DATA[:at] + bytes([DATA[at] ^ 0x55]) + DATA[at + 1 :]
        with pytest.raises(UnidentifiedImageError):
            Image.open(io.BytesIO(changed))
    for length in range(20):
        with pytest.raises(UnidentifiedImageError):
            Image.open(io.BytesIO(DATA[:length]))


@pytest.mark.parametrize("metadata", ["xmp", ()])
def test_a_cut_file_opens_but_does_not_load(metadata: Any) -> None:
    tagged = IMAGE.copy()
    tagged.info["xmp"] = b"<x/>"
    data = cotam.encode(tagged, metadata=metadata)
    for length in (30, len(data) // 2, len(data) - 1):
        image = Image.open(io.BytesIO(data[:length]))
        assert image.size == (40, 30)
        for _ in range(2):
            with pytest.raises(OSError, match="the file ends") as caught:
                image.load()
            assert isinstance(caught.value.__cause__, cotam.CotamError)


def test_a_damaged_body_is_an_os_error(file: Path) -> None:
    file.write_bytes(DATA[:40] + b"damaged" + DATA[47:])
    with Image.open(file) as image, pytest.raises(OSError, match="damaged") as caught:
        image.load()
    assert isinstance(caught.value.__cause__, DamagedError)


def test_verify(file: Path) -> None:
    image = Image.open(file)
    opened = image.fp
    image.verify()
    assert opened
    assert opened.closed
    with pytest.raises(OSError, match="its file was closed"):
        image.load()
    with pytest.raises(OSError, match="the file ends"):
        Image.open(io.BytesIO(DATA[:-1])).verify()


def test_verify_a_sequence() -> None:
    data = b"".join(cotam.encode_frames([(0, IMAGE)]))
    Image.open(io.BytesIO(data)).verify()
    with pytest.raises(OSError, match="no index at its end"):
        Image.open(io.BytesIO(data[:-1])).verify()


def test_closed_before_it_was_decoded(file: Path) -> None:
    with Image.open(file) as image:
        pass
    with pytest.raises(OSError, match="its file was closed"):
        image.load()


def test_large_images_meet_pillows_own_limit() -> None:
    header = Header(1 << 20, 1 << 10, 50, weights=b"ab")
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(write_file(File(header, b""))))


# Saving


def test_save_to_every_target(tmp_path: Path) -> None:
    stream = io.BytesIO()
    IMAGE.save(stream, "cotam")
    IMAGE.save(tmp_path / "a.cotam")
    IMAGE.save(str(tmp_path / "b.COTAM"))
    with (tmp_path / "c").open("wb") as opened:
        IMAGE.save(opened, format="COTAM")
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == [DATA] * 3
    assert stream.getvalue() == DATA


def test_options_are_given_on() -> None:
    def saved(**options: Any) -> bytes:
        stream = io.BytesIO()
        IMAGE.save(stream, "COTAM", **options)
        return stream.getvalue()

    assert saved(quality=None, optimize=True) == DATA
    options: dict[str, Any] = {"quality": 7, "profile": "base", "guide": "none", "max_pixels": 500}
    assert saved(**options, progressive=True) == cotam.encode(IMAGE, **options)
    assert saved(target_size=300) == cotam.encode(IMAGE, target_size=300)


def test_metadata_given_as_pillow_calls_them_are_kept() -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    for given in (exif, exif.tobytes()):
        stream = io.BytesIO()
        IMAGE.save(stream, "COTAM", exif=given, xmp=b"<x:xmpmeta/>")
        with Image.open(stream) as image:
            assert image.getexif()[0x010F] == "Maker"
            assert image.info["xmp"] == b"<x:xmpmeta/>"
    assert "exif" not in IMAGE.info


def test_a_file_can_be_saved_over_itself(file: Path) -> None:
    with Image.open(file) as image:
        image.save(file, quality=9)
    with Image.open(file) as image:
        assert image.info["quality"] == 9
    assert file.read_bytes() == cotam.encode(PIXELS, quality=9)


@pytest.mark.parametrize(
    "options", [{"target_size": "4k"}, {"quality": 101}, {"quality": "web_high"}, {"guide": "no such"}]
)
def test_wrong_options(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        IMAGE.save(io.BytesIO(), "COTAM", **options)


def test_lossless_is_refused() -> None:
    with pytest.raises(ValueError, match="lossy"):
        IMAGE.save(io.BytesIO(), "COTAM", lossless=True)


def test_several_frames_are_refused(tmp_path: Path) -> None:
    for options in ({"save_all": True}, {"append_images": [IMAGE]}):
        with pytest.raises(ValueError, match="holds one image"):
            IMAGE.save(tmp_path / "a.cotam", **options)
    assert not list(tmp_path.iterdir())


def test_a_refused_image_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the smallest file of this image has about"):
        IMAGE.save(tmp_path / "a.cotam", target_size=1)
    assert not list(tmp_path.iterdir())


# The package


def test_importing_the_plugin_imports_nothing_heavy() -> None:
    code = "import sys, cotam.pillow; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert "cotam.pillow" in modules
    assert not {"numpy", "onnxruntime", "torch", "constriction"} & set(modules)
