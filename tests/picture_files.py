"""Images for the tests of what is read: small ones in many formats."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from cotam.image.read import ImageInput, read_image

BACKGROUND = (10, 20, 30)
RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (9, 13, 3), np.uint8)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def frame_count(image: ImageInput) -> int:
    return read_image(image, count_frames=True).frames


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


def oriented(mode: str) -> Image.Image:
    gray = np.array(STORED, np.uint8) * 40
    if mode == "I;16":
        return Image.fromarray(gray.astype(np.uint16) * 257)
    return Image.fromarray(gray).convert(mode)


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


def chunks_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return kind and body of the chunks of a PNG without its end, as `png` takes them."""
    found, at = [], 8
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        found.append((kind, data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found[:-1]


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in (*chunks, (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + body


def png_of_size(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return png((b"IHDR", header), (b"IDAT", zlib.compress(b"")))
