"""Files that are damaged or cut where no pixel is stored are read, with a note; others are refused."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picture_files import BACKGROUND, RNG, chunks_of, exif, frame_count, linear_rgb, png, saved
from PIL import Image
from synthetic import picture

import cotam
from cotam.errors import InputError
from cotam.image.read import outline, read_image, to_rgb

SMOOTH = np.add.outer(np.arange(48), np.arange(80)).astype(np.uint8)
SCENE = np.stack([SMOOTH, SMOOTH[::-1], SMOOTH[:, ::-1]], 2) ^ RNG.integers(0, 8, (48, 80, 3), np.uint8)
IMAGE = Image.fromarray(SCENE)
PNG = saved(IMAGE, "PNG")


def notes_of(data: bytes, **options: Any) -> str:
    (note,) = read_image(data, **options).notes
    return note


def with_chunk(kind: bytes, body: bytes, *, after_pixels: bool = False) -> bytes:
    chunks = chunks_of(PNG)
    chunks.insert(len(chunks) if after_pixels else 1, (kind, body))
    return png(*chunks)


def with_bad_checksum(data: bytes, kind: bytes) -> bytes:
    at = data.index(kind)
    (length,) = struct.unpack_from(">I", data, at - 4)
    crc = at + 4 + length
    return data[:crc] + bytes([data[crc] ^ 255]) + data[crc + 1 :]


# PNG

ANCILLARY: dict[str, bytes] = {
    "large zTXt": with_chunk(b"zTXt", b"k\0\0" + zlib.compress(b"a" * 3_000_000)),
    "large iTXt": with_chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(b"a" * 3_000_000)),
    "large zTXt behind the pixels": with_chunk(
        b"zTXt", b"k\0\0" + zlib.compress(b"a" * 3_000_000), after_pixels=True
    ),
    "many large tEXt": png(
        chunks_of(PNG)[0], *[(b"zTXt", b"k\0\0" + zlib.compress(b"a" * 900_000))] * 80, *chunks_of(PNG)[1:]
    ),
    "zTXt of another method": with_chunk(b"zTXt", b"k\0\7" + zlib.compress(b"a")),
    "iCCP of another method": with_chunk(b"iCCP", b"k\0\7" + zlib.compress(b"a")),
    **{
        f"bad checksum of {kind.decode()}": with_bad_checksum(with_chunk(kind, body), kind)
        for kind, body in {
            b"tEXt": b"k\0v",
            b"zTXt": b"k\0\0" + zlib.compress(b"v"),
            b"gAMA": struct.pack(">I", 45455),
            b"cHRM": bytes(32),
            b"pHYs": bytes(9),
            b"sRGB": b"\0",
            b"bKGD": bytes(6),
            b"tIME": bytes(7),
            b"eXIf": exif(6).tobytes(),
            b"iCCP": b"k\0\0" + zlib.compress(b"none"),
            b"prVt": b"of somebody",
        }.items()
    },
    "short gAMA": with_chunk(b"gAMA", b"1"),
    "short pHYs": with_chunk(b"pHYs", b"1"),
}


@pytest.mark.parametrize("name", ANCILLARY)
def test_png_whose_pixels_are_whole(name: str) -> None:
    loaded = read_image(ANCILLARY[name])
    np.testing.assert_array_equal(loaded.pixels, SCENE)
    assert outline(ANCILLARY[name]) == (80, 48, True)
    if "checksum" in name:  # Pillow itself skips some
        assert not loaded.notes or "wrong checksum in" in loaded.notes[0]


def test_the_chunk_is_named() -> None:
    assert notes_of(ANCILLARY["large zTXt"]) == "read without zTXt; all pixels are there"
    assert "wrong checksum in tEXt" in notes_of(ANCILLARY["bad checksum of tEXt"])


def test_a_large_profile_is_used() -> None:
    profile = linear_rgb()
    padded = struct.pack(">I", len(profile) + 2_000_000) + profile[4:] + RNG.bytes(2_000_000)
    data = with_chunk(b"iCCP", b"k\0\0" + zlib.compress(padded))
    np.testing.assert_array_equal(to_rgb_quietly(data), to_rgb(saved(IMAGE, "PNG", icc_profile=profile)))


def test_a_profile_is_checked_by_its_own_checksum() -> None:
    data = saved(IMAGE, "PNG", icc_profile=linear_rgb())
    np.testing.assert_array_equal(to_rgb_quietly(with_bad_checksum(data, b"iCCP")), to_rgb(data))


def test_large_xmp_is_kept() -> None:
    packet = b"<x:xmpmeta>" + b"a" * 3_000_000 + b"</x:xmpmeta>"
    data = with_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(packet))
    loaded = read_image(data, keep=frozenset({"xmp"}))
    np.testing.assert_array_equal(loaded.pixels, SCENE)
    assert loaded.metadata == {"xmp": packet}


def to_rgb_quietly(data: bytes) -> np.ndarray:
    return read_image(data).pixels


def test_orientation_and_transparency_survive_a_large_text() -> None:
    image = IMAGE.convert("P")
    data = saved(image, "PNG", exif=exif(6), transparency=int(np.asarray(image)[0, 0]))
    chunks = chunks_of(data)
    large = png(chunks[0], (b"zTXt", b"k\0\0" + zlib.compress(b"a" * 3_000_000)), *chunks[1:])
    expected = read_image(data, background=BACKGROUND, keep=frozenset({"exif"}))
    found = read_image(large, background=BACKGROUND, keep=frozenset({"exif"}))
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    assert found.metadata == expected.metadata


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("cut", [12, 4, 8, 14])
def test_png_without_its_end(cut: int, interlaced: bool) -> None:
    data = PNG if not interlaced else interlaced_png()
    expected = to_rgb(data)
    np.testing.assert_array_equal(to_rgb_quietly(data[:-cut]), expected)


def interlaced_png() -> bytes:
    """Adam7, unfiltered."""
    corners = ((0, 0), (4, 0), (0, 4), (2, 0), (0, 2), (1, 0), (0, 1))
    steps = ((8, 8), (8, 8), (4, 8), (4, 4), (2, 4), (2, 2), (1, 2))
    rows = b"".join(
        b"\0" + row.tobytes()
        for (left, top), (across, down) in zip(corners, steps, strict=True)
        for row in SCENE[top::down, left::across]
    )
    header = struct.pack(">IIBBBBB", 80, 48, 8, 2, 0, 0, 1)
    return png((b"IHDR", header), (b"IDAT", zlib.compress(rows)))


def test_pixels_with_a_wrong_checksum_but_a_right_one_of_their_own() -> None:
    np.testing.assert_array_equal(to_rgb_quietly(with_bad_checksum(PNG, b"IDAT")), SCENE)


def test_pixels_are_not_inflated_beyond_the_size_in_the_header() -> None:
    """A small file may inflate to gigabytes; here the rest is no zlib stream, which goes unnoticed."""
    header, text, (kind, stream) = chunks_of(ANCILLARY["large zTXt"])
    excess = zlib.compress(zlib.decompress(stream) + RNG.bytes(4 << 20))
    data = png(header, text, (kind, excess[:-100_000] + bytes(100_000)))
    np.testing.assert_array_equal(to_rgb_quietly(data), SCENE)


def test_damaged_pixels_are_refused() -> None:
    at = PNG.index(b"IDAT") + 300
    for data in (
        PNG[:at] + bytes([PNG[at] ^ 255]) + PNG[at + 1 :],
        with_bad_checksum(saved(IMAGE.convert("P"), "PNG"), b"PLTE"),
    ):
        with pytest.raises(InputError):
            to_rgb(data)


def test_a_png_whose_end_is_zeros_is_refused() -> None:
    """As after a download that was broken off: zlib may take zeros for pixels, and Pillow checks no sums."""
    data = saved(Image.fromarray(picture(48, 80)), "PNG")
    for end in range(data.index(b"IDAT") + 40, len(data) - 20, 99):
        with pytest.raises(InputError):
            to_rgb(data[:end] + bytes(len(data) - end))


def test_a_png_without_its_palette_is_refused() -> None:
    """Pillow reads it, with black for every pixel."""
    header, palette, pixels = chunks_of(saved(IMAGE.convert("P"), "PNG"))
    for chunks in ((header, pixels), (header, pixels, palette), (header, (b"PLTE", b""), pixels)):
        with pytest.raises(InputError, match="palette is missing"):
            to_rgb(png(*chunks))


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("bad", [b"", b"tEXt"])
def test_a_png_without_all_rows_is_refused(bad: bytes, interlaced: bool) -> None:
    """Pillow reads it, with black for what is missing."""
    chunks = chunks_of(interlaced_png() if interlaced else PNG)
    rows = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    some = rows[: -10 * (1 + 3 * 80)]  # of the last pass
    data = png(chunks[0], (b"tEXt", b"k\0text"), (b"IDAT", zlib.compress(some)))
    with pytest.raises(InputError, match="truncated" if not bad else None):
        to_rgb(with_bad_checksum(data, bad) if bad else data)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_png_that_is_black_below_is_read(mode: str) -> None:
    black = Image.new(mode, (80, 48))
    for data in (saved(black, "PNG"), saved(black, "PNG") + b"behind"):
        loaded = read_image(data)
        assert not loaded.notes
        np.testing.assert_array_equal(loaded.pixels, read_image(black).pixels)


# Sixteen bits


def sixteen_bit_png(values: np.ndarray, transparent: tuple[int, int, int]) -> bytes:
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in values.astype(">u2"))
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    colour = struct.pack(">3H", *transparent)
    return png((b"IHDR", header), (b"tRNS", colour), (b"IDAT", zlib.compress(rows)))


def test_transparent_colour_of_sixteen_bits() -> None:
    values = RNG.integers(0, 65536, (5, 7, 3), np.uint16)
    values[1, 2] = (0x1234, 0x5678, 0x9ABC)
    values[1, 3] = (0x1234, 0x5678, 0x9ABD)  # the same upper bytes
    data = sixteen_bit_png(values, (0x1234, 0x5678, 0x9ABC))
    expected = (values >> 8).astype(np.uint8)
    expected[1, 2:4] = BACKGROUND
    image = Image.open(io.BytesIO(data))
    for source in (data, image):
        np.testing.assert_array_equal(to_rgb(source, background=BACKGROUND), expected)
    assert image.mode == "RGB"  # the caller's image is not changed


# Cut files

PROGRESSIVE = {"progressive": True, "quality": 90}
EXIF = exif(1).tobytes()
CUT: dict[str, Callable[[], bytes]] = {
    "baseline.jpg": lambda: saved(IMAGE, "JPEG", quality=90),
    "restart.jpg": lambda: saved(IMAGE, "JPEG", restart_marker_blocks=2),
    "gray.jpg": lambda: saved(IMAGE.convert("L"), "JPEG"),
    "cmyk.jpg": lambda: saved(IMAGE.convert("CMYK"), "JPEG"),
    "progressive.jpg": lambda: saved(IMAGE, "JPEG", **PROGRESSIVE),
    "pictures.mpo": lambda: saved(IMAGE, "MPO", save_all=True, append_images=[IMAGE.rotate(180)]),
    "exif.png": lambda: saved(IMAGE, "PNG", exif=EXIF),
    "alpha.png": lambda: saved(IMAGE.convert("RGBA"), "PNG"),
    "plain.webp": lambda: saved(IMAGE, "WEBP"),
    "lossless.webp": lambda: saved(IMAGE, "WEBP", lossless=True, exif=EXIF, xmp=b"<x/>"),
    "flat.gif": lambda: saved(IMAGE, "GIF"),
    "raw.bmp": lambda: saved(IMAGE.crop((0, 0, 79, 48)), "BMP"),
    "raw.ppm": lambda: saved(IMAGE, "PPM"),
    "raw.tga": lambda: saved(IMAGE, "TGA"),
    "strips.tiff": lambda: saved(IMAGE, "TIFF"),
    "lzw.tiff": lambda: saved(IMAGE, "TIFF", compression="tiff_lzw"),
    "still.avif": lambda: saved(IMAGE, "AVIF", exif=EXIF),
    "still.jp2": lambda: saved(IMAGE, "JPEG2000"),
}


def lengths(size: int) -> Iterator[int]:
    """Lengths of cut files: all near the end, and some before."""
    yield from range(size - 1, max(size - 40, 0), -1)
    yield from range(size - 40, 0, -max(1, size // 23))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CUT)
def test_a_cut_file_is_whole_or_refused(name: str) -> None:
    data = CUT[name]()
    expected = to_rgb(data)
    for length in lengths(len(data)):
        try:
            found = read_image(data[:length])
        except InputError:
            continue
        assert np.array_equal(found.pixels, expected), f"{length} of {len(data)} bytes give other pixels"


@pytest.mark.parametrize("name", [name for name in CUT if name.endswith("jpg")])
def test_jpeg_without_its_end_marker(name: str, tmp_path: Path) -> None:
    data = CUT[name]()
    np.testing.assert_array_equal(to_rgb_quietly(data[:-2]), to_rgb(data))
    if name != "gray.jpg":  # Pillow reads it
        assert notes_of(data[:-2]) == "the end of the file is missing, but all pixels are there"
    np.testing.assert_array_equal(to_rgb_quietly(data[:-2] + bytes(512)), to_rgb(data))  # padded by a disk
    path = tmp_path / "cut.jpg"
    path.write_bytes(data[:-2])
    if name != "gray.jpg":
        with pytest.warns(UserWarning, match=r"cut\.jpg: the end of the file is missing"):
            cotam.encode(path)


def test_a_progressive_jpeg_that_ends_between_scans_is_refused() -> None:
    data = saved(IMAGE, "JPEG", **PROGRESSIVE)
    scans = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xda"]
    assert len(scans) > 3
    for at in scans[1:]:
        with pytest.raises(InputError, match="truncated"):
            to_rgb(data[:at])


END = b"\xff\xd9"


@pytest.mark.parametrize("name", ["baseline.jpg", "restart.jpg", "gray.jpg", "cmyk.jpg", "pictures.mpo"])
def test_a_jpeg_whose_end_marker_comes_early(name: str) -> None:
    """libjpeg reads it, with gray where rows are missing."""
    data = CUT[name]()
    whole, scan = to_rgb(data), data.index(b"\xff\xda")
    end = data.index(END, scan)
    for part, behind in ((0.75, b""), (0.9, bytes(99))):
        found = read_image(data[: scan + int(part * (end - scan))] + END + behind)
        (note,) = found.notes
        assert re.fullmatch(r"the file is cut: \d+ of 48 rows lack pixels", note)
        missing = int(note.split()[4])
        np.testing.assert_array_equal(found.pixels[: 48 - missing - 2], whole[: 48 - missing - 2])
        assert not np.array_equal(found.pixels[-missing:], whole[-missing:])
    with pytest.raises(InputError, match=r"cannot be read: the file is cut: \d+ of 48 rows lack pixels"):
        to_rgb(data[: scan + (end - scan) // 5] + END)


@pytest.mark.parametrize("name", ["baseline.jpg", "cmyk.jpg"])
def test_a_jpeg_whose_end_is_zeros(name: str) -> None:
    """As after a download that was broken off: libjpeg takes the zeros for pixels."""
    data = CUT[name]()
    scan = data.index(b"\xff\xda")
    cut = data[: scan + (len(data) - scan) * 4 // 5]
    assert re.fullmatch(r"the file is cut: \d+ of 48 rows lack pixels", notes_of(cut + bytes(5000)))
    assert not read_image(data + bytes(5000)).notes
    assert not read_image(data[:-2] + bytes(5000)).notes


def test_an_avif_whose_end_is_zeros() -> None:
    data = saved(Image.fromarray(picture(240, 320)), "AVIF", quality=90)
    cut = data[:-1500] + bytes(1500)
    assert notes_of(cut) == "the last 1024 bytes of the file are zeros: pixels may be missing"
    assert not read_image(data).notes


def test_a_progressive_jpeg_whose_end_marker_comes_early() -> None:
    data = CUT["progressive.jpg"]()
    scans = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xda"]
    for at in (*scans[1:], scans[5] + 20):
        note = notes_of(data[:at] + END)
        assert note == "the file is cut: its last scans are missing, and with them details"
    with pytest.raises(InputError, match="rows lack pixels"):
        to_rgb(data[: (scans[0] + scans[1]) // 2] + END)


@pytest.mark.parametrize("options", [{}, PROGRESSIVE, {"restart_marker_blocks": 1}])
def test_a_jpeg_that_is_gray_below_is_whole(options: dict[str, Any]) -> None:
    image = IMAGE.copy()
    image.paste((128, 128, 128), (0, 16, 80, 48))
    for mode in ("RGB", "L", "CMYK"):
        data = saved(image.convert(mode), "JPEG", **options)
        for behind in (b"", b"behind"):
            assert not read_image(data + behind).notes
    assert not read_image(data[:-2] + b"\xff" + END).notes  # a fill byte


def test_webp_without_its_metadata() -> None:
    data = CUT["lossless.webp"]()
    cut = data[: data.index(b"EXIF") + 12]
    np.testing.assert_array_equal(to_rgb_quietly(cut), SCENE)
    assert "read without EXIF" in notes_of(cut)


def test_an_animation_that_is_cut_has_a_first_frame() -> None:
    frames = [IMAGE, IMAGE.transpose(Image.Transpose.ROTATE_180)]
    for form in ("GIF", "PNG", "WEBP"):
        data = saved(frames[0], form, save_all=True, append_images=frames[1:], **lossless(form))
        cut = data[: len(data) * 3 // 4]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = read_image(cut, count_frames=True)
        np.testing.assert_array_equal(found.pixels, read_image(data).pixels)


def lossless(form: str) -> dict[str, bool]:
    return {"lossless": True} if form == "WEBP" else {}


# Other inputs


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_bytes_like(kind: Callable[[bytes], Any]) -> None:
    np.testing.assert_array_equal(to_rgb(kind(PNG)), SCENE)
    assert frame_count(kind(PNG)) == 1
    assert cotam.encode(kind(PNG)) == cotam.encode(PNG)
    with pytest.raises(InputError, match=r"^not an image of a known format$"):
        to_rgb(kind(b"hello"))
