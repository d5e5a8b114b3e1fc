"""The Pillow plugin, with a lossless stand-in for the codec where pixels are not the matter."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

import cotam
import cotam.pillow
import cotam.weights
from cotam.bitstream import MAGIC, File, Header, read_file, write_file
from cotam.errors import DamagedError, TargetSizeError
from cotam.image import read_metadata, to_rgb

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
REAL_ENCODE, REAL_DECODE = cotam.encode, cotam.decode
ENCODED: list[dict[str, Any]] = []
DECODED: list[int] = []


def stand_in_encode(image: Image.Image, **options: Any) -> bytes:
    ENCODED.append(options)
    if options.get("target_size", 1000) < 100:
        raise TargetSizeError("no quality gives so few bytes")
    pixels = to_rgb(image)
    boxes = read_metadata(image, frozenset(options.get("metadata", ())))
    header = Header(pixels.shape[1], pixels.shape[0], options.get("quality", 50), b"ab", False, 0)
    return write_file(File(header, zlib.compress(pixels.tobytes()), boxes))


def stand_in_decode(data: bytes) -> Image.Image:
    DECODED.append(len(data))
    file = read_file(data)
    try:
        pixels = np.frombuffer(zlib.decompress(file.payload), np.uint8)
    except zlib.error as error:
        raise DamagedError("the symbols are damaged") from error
    return Image.fromarray(pixels.reshape(file.header.height, file.header.width, 3))


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    ENCODED.clear()
    DECODED.clear()
    monkeypatch.setattr(cotam, "encode", stand_in_encode)
    monkeypatch.setattr(cotam, "decode", stand_in_decode)


@pytest.fixture
def data() -> bytes:
    return stand_in_encode(Image.fromarray(PIXELS))


@pytest.fixture
def file(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "picture.cotam"
    path.write_bytes(data)
    return path


# Opening


def test_open_reads_the_header_and_load_the_pixels(file: Path) -> None:
    image = Image.open(file)
    assert (image.format, image.mode, image.size) == ("COTAM", "RGB", (40, 30))
    assert image.get_format_mimetype() == "image/vnd.cotam"
    assert image.info == {"quality": 50}
    assert not DECODED
    opened = image.fp
    for _ in range(2):
        np.testing.assert_array_equal(np.asarray(image), PIXELS)
    assert len(DECODED) == 1
    assert opened
    assert opened.closed


def test_every_source(file: Path, data: bytes) -> None:
    with file.open("rb") as opened:
        for source in (file, str(file), opened, io.BytesIO(data), io.BytesIO(data)):
            with Image.open(source) as image:
                np.testing.assert_array_equal(np.asarray(image), PIXELS)
        assert not opened.closed
    np.testing.assert_array_equal(to_rgb(data), PIXELS)


def test_feeding_the_parser(data: bytes) -> None:
    parser = ImageFile.Parser()
    for at in range(0, len(data), 500):
        parser.feed(data[at : at + 500])
    np.testing.assert_array_equal(np.asarray(parser.close()), PIXELS)


def test_metadata_are_there_before_the_pixels() -> None:
    tags = Image.Exif()
    tags[ExifTags.Base.Make] = "a camera"
    picture = Image.fromarray(PIXELS)
    picture.info.update(exif=tags.tobytes(), xmp=b"<x/>")
    picture.info["icc_profile"] = read_metadata_profile()
    image = Image.open(io.BytesIO(stand_in_encode(picture, metadata=("exif", "icc", "xmp"))))
    assert image.getexif()[ExifTags.Base.Make] == "a camera"
    assert image.info["xmp"] == b"<x/>"
    assert image.info["icc_profile"] == read_metadata_profile()
    again = io.BytesIO()
    image.save(again, "JPEG", exif=image.info["exif"])
    assert Image.open(again).getexif()[ExifTags.Base.Make] == "a camera"


def read_metadata_profile() -> bytes:
    """The sRGB profile, as `read_metadata` gives it."""
    image = Image.new("RGB", (1, 1))
    image.info["icc_profile"] = b"any"
    return read_metadata(image, frozenset({"icc"}))["icc"]


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


def test_the_pixels_can_be_changed(data: bytes) -> None:
    image = Image.open(io.BytesIO(data))
    access = image.load()
    assert access
    access[0, 0] = (1, 2, 3)
    image.putpixel((1, 0), (4, 5, 6))
    assert np.asarray(image)[0, :2].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_usual_work(data: bytes) -> None:
    image = Image.open(io.BytesIO(data))
    assert image.draft("L", (10, 10)) is None
    np.testing.assert_array_equal(np.asarray(image.crop((3, 4, 5, 6))), PIXELS[4:6, 3:5])
    image.thumbnail((20, 20))
    assert image.size == (20, 15)


def test_frames(data: bytes) -> None:
    image = Image.open(io.BytesIO(data))
    image.seek(0)
    with pytest.raises(EOFError):
        image.seek(1)


def test_threads(data: bytes) -> None:
    def decoded(_: int) -> bytes:
        with Image.open(io.BytesIO(data)) as image:
            return image.tobytes()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(decoded, range(64))) == {PIXELS.tobytes()}


# Damage


def test_another_file_is_not_ours() -> None:
    with pytest.raises(SyntaxError, match="magic"):
        cotam.pillow.CotamImageFile(io.BytesIO(b"\x89PNG\r\n\x1a\n" + bytes(99)))


def test_a_damaged_header_is_not_identified(data: bytes) -> None:
    for at in range(len(MAGIC), 20):
        changed = data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]
        with pytest.raises(UnidentifiedImageError):
            Image.open(io.BytesIO(changed))
    for length in range(20):
        with pytest.raises(UnidentifiedImageError):
            Image.open(io.BytesIO(data[:length]))


@pytest.mark.parametrize("metadata", [(), ("xmp",)])
def test_a_cut_file_opens_but_does_not_load(metadata: tuple[str, ...]) -> None:
    picture = Image.fromarray(PIXELS)
    picture.info["xmp"] = b"<x/>"
    data = stand_in_encode(picture, metadata=metadata)
    for length in (30, len(data) // 2, len(data) - 1):
        image = Image.open(io.BytesIO(data[:length]))
        assert image.size == (40, 30)
        for _ in range(2):
            with pytest.raises(OSError, match="the file ends") as caught:
                image.load()
            assert isinstance(caught.value.__cause__, cotam.CotamError)


def test_a_damaged_body_is_an_os_error(file: Path, data: bytes) -> None:
    file.write_bytes(data[:40] + b"damaged" + data[47:])
    with Image.open(file) as image, pytest.raises(OSError, match="damaged"):
        image.load()


def test_verify(file: Path, data: bytes) -> None:
    image = Image.open(file)
    opened = image.fp
    image.verify()
    assert opened
    assert opened.closed
    with pytest.raises(OSError, match="its file was closed"):
        image.load()
    with pytest.raises(OSError, match="the file ends"):
        Image.open(io.BytesIO(data[:-1])).verify()


def test_closed_before_it_was_decoded(file: Path) -> None:
    with Image.open(file) as image:
        pass
    with pytest.raises(OSError, match="its file was closed"):
        image.load()


def test_large_pictures_meet_pillows_own_limit() -> None:
    header = Header(1 << 20, 1 << 10, 50, b"ab", False, 0)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(write_file(File(header, b""))))


# Saving


def test_save_to_every_target(tmp_path: Path) -> None:
    picture = Image.fromarray(PIXELS)
    stream, path = io.BytesIO(), tmp_path / "a.cotam"
    picture.save(stream, "cotam")
    picture.save(path)
    picture.save(str(tmp_path / "b.COTAM"))
    with (tmp_path / "c").open("wb") as opened:
        picture.save(opened, format="COTAM")
    written = [(tmp_path / name).read_bytes() for name in ("a.cotam", "b.COTAM", "c")]
    assert written == [stream.getvalue()] * 3
    np.testing.assert_array_equal(np.asarray(Image.open(path)), PIXELS)


def test_options_are_given_on() -> None:
    picture = Image.fromarray(PIXELS)
    picture.save(
        io.BytesIO(), "COTAM", quality=7, target_size=2000, guide="none", guide_strength=0.5, optimize=True
    )
    picture.save(io.BytesIO(), "COTAM", quality=None)
    assert ENCODED == [{"quality": 7, "target_size": 2000, "guide": "none", "guide_strength": 0.5}, {}]


def test_a_file_can_be_saved_over_itself(file: Path) -> None:
    with Image.open(file) as image:
        image.save(file, quality=9)
    with Image.open(file) as image:
        assert image.info["quality"] == 9
        np.testing.assert_array_equal(np.asarray(image), PIXELS)


@pytest.mark.parametrize("target_size", [0, -5, 1.5, "4k"])
def test_bad_target_size(target_size: Any) -> None:
    with pytest.raises(ValueError, match="target_size is a number of bytes"):
        Image.fromarray(PIXELS).save(io.BytesIO(), "COTAM", target_size=target_size)


def test_lossless_is_refused() -> None:
    with pytest.raises(ValueError, match="lossy"):
        Image.fromarray(PIXELS).save(io.BytesIO(), "COTAM", lossless=True)


def test_several_frames_are_refused(tmp_path: Path) -> None:
    picture = Image.fromarray(PIXELS)
    for options in ({"save_all": True}, {"append_images": [picture]}):
        with pytest.raises(ValueError, match="holds one picture"):
            picture.save(tmp_path / "a.cotam", **options)
    assert not list(tmp_path.iterdir())


def test_a_refused_picture_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="so few bytes"):
        Image.fromarray(PIXELS).save(tmp_path / "a.cotam", target_size=1)
    assert not list(tmp_path.iterdir())


# The codec itself


@pytest.mark.skipif(not cotam.weights.names(), reason="no weights in this checkout")
def test_the_real_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cotam, "encode", REAL_ENCODE)
    monkeypatch.setattr(cotam, "decode", REAL_DECODE)
    picture = Image.fromarray(PIXELS)
    stream = io.BytesIO()
    picture.save(stream, "COTAM", quality=30)
    image = Image.open(stream)
    assert image.info == {"quality": 30}
    np.testing.assert_array_equal(np.asarray(image), np.asarray(cotam.decode(stream.getvalue())))
    changed = bytearray(stream.getvalue())
    changed[-20] ^= 0x55
    with pytest.raises(OSError, match="damaged") as caught:
        Image.open(io.BytesIO(changed)).load()
    assert isinstance(caught.value.__cause__, DamagedError)
    for options in ({"quality": 101}, {"quality": "web_high"}, {"quality": True}, {"guide": "no such"}):
        with pytest.raises(ValueError, match=r"quality|guide"):
            picture.save(io.BytesIO(), "COTAM", **options)


# The package


def test_importing_the_plugin_imports_nothing_heavy() -> None:
    code = "import sys, cotam.pillow; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert "cotam.pillow" in modules
    assert not {"numpy", "onnxruntime", "torch", "constriction"} & set(modules)
