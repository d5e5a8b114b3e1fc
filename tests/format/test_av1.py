"""AV1 payloads: what is stripped comes back, and what lies about itself is refused."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, features

from cotam.errors import CotamError, FormatError, TruncatedError
from cotam.format.av1 import SequenceHeader, read_sequence_header, restore_container, strip_container

pytestmark = pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")


def drawing(height: int, width: int) -> np.ndarray:
    """Flat colours with some lines of one pixel."""
    pixels = np.full((height, width, 3), 240, np.uint8)
    pixels[height // 3 :, width // 2 :] = 40, 90, 200
    pixels[::7, ::3] = 20
    return pixels


def avif(height: int = 70, width: int = 130, mode: str = "RGB", **options: object) -> bytes:
    buffer = BytesIO()
    image = Image.fromarray(drawing(height, width)).convert(mode)
    if mode == "RGBA":
        image.putalpha(100)
    image.save(buffer, "AVIF", **{"speed": 9, "quality": 40, "codec": "aom"} | options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("mode", "subsampling"), [("RGB", "4:2:0"), ("RGB", "4:4:4"), ("L", "4:0:0")], ids=["420", "444", "400"]
)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (70, 130), (300, 17)])
def test_container_comes_back_byte_for_byte(mode: str, subsampling: str, height: int, width: int) -> None:
    data = avif(height, width, mode, subsampling=subsampling)
    payload = strip_container(data)
    assert restore_container(payload) == data
    assert len(data) - len(payload) > 250


def test_sequence_header() -> None:
    assert read_sequence_header(strip_container(avif(70, 130))) == SequenceHeader(
        width=130,
        height=70,
        profile=0,
        level=0,
        monochrome=False,
        chroma_position=0,
        colour=(1, 13, 6),
        full_range=True,
    )


def test_a_sequence_header_without_colour_is_srgb() -> None:
    """As libavif 1.3, of Pillow before 12.2, writes it."""
    header = bytes.fromhex("0a06181da7fbb021")
    assert read_sequence_header(header + b"\x30\0").colour == (1, 13, 6)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\x08ftyp",
        avif(mode="RGBA") if features.check("avif") else b"",
        avif(subsampling="4:2:2") if features.check("avif") else b"",
    ],
    ids=["empty", "ftyp", "alpha", "422"],
)
def test_other_files_are_not_stripped(data: bytes) -> None:
    with pytest.raises(FormatError):
        strip_container(data)


def test_payload_with_more_than_a_frame_is_refused() -> None:
    payload = strip_container(avif())
    size = payload[1] + 2
    with pytest.raises(FormatError, match="sequence header, sequence header, frame"):
        read_sequence_header(payload[:size] + payload)
    with pytest.raises(FormatError, match="not: frame"):
        read_sequence_header(payload[size:])
    with pytest.raises(FormatError, match="not: sequence header"):
        read_sequence_header(payload[:size])
    with pytest.raises(TruncatedError):
        read_sequence_header(b"")


def test_reserved_bits_of_an_obu_are_refused() -> None:
    payload = strip_container(avif())
    for bit in (0x80, 0x04, 0x01):
        with pytest.raises(FormatError, match="OBU header"):
            read_sequence_header(bytes([payload[0] | bit]) + payload[1:])


def test_any_sequence_header_is_read_or_refused() -> None:
    """Each byte of the sequence header in all its values: an error or sizes that AV1 can have."""
    payload = strip_container(avif())
    for at in range(payload[1] + 2):
        for value in range(256):
            changed = payload[:at] + bytes([value]) + payload[at + 1 :]
            try:
                found = read_sequence_header(changed)
            except CotamError:
                continue
            assert 1 <= found.width <= 1 << 16
            assert 1 <= found.height <= 1 << 16
