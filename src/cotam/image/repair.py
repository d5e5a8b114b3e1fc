"""Rebuild truncated or damaged image files that still have all pixels.

Pillow refuses a PNG with a text chunk that is too large or a wrong checksum in a chunk that no pixel needs, a
WebP whose metadata are truncated, and a JPEG without its end marker. `repaired` leaves out such parts; images
that lack pixels are never completed. `jpeg_cut` and `webp_cut` find missing pixels that libjpeg and
libwebp do not report, and `has_end` finds files that only some readers open.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cotam.format.header import MAX_PIXELS
from cotam.image import png
from cotam.image.readers import ZEROS, decode

__all__ = ["Repaired", "has_end", "jpeg_cut", "repaired", "webp_cut"]

_MAX_RAW = 9 * MAX_PIXELS
"""Bytes of the rows of a PNG: 8 for each of the most pixels that are read, and what rows have besides."""

_XMP = b"XML:com.adobe.xmp\0"
_ANIMATION = {b"acTL", b"fcTL", b"fdAT"}
_COLOUR_BYTES = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4}
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")

_ENDINGS = tuple(bytes([value]) * (1 << 16) for value in (0x00, 0x55, 0xAA))
"""Data to append to a truncated file: if it has all pixels, none of them depends on these."""

_TAILS = (0x00, 0x55, 0xAA, 0xFF)
"""Bytes to put in the place of zeros: if these are pixels, some pixels change."""


@dataclass(frozen=True)
class Repaired:
    """A rebuilt file."""

    data: bytes  # to be read by Pillow
    note: str  # what was wrong and what is left out, in one line
    icc_profile: bytes | None = None  # if ``data`` cannot hold it
    one_frame: bool = False  # whether only the first frame of an animation is whole


def repaired(data: bytes) -> Repaired | None:
    """Rebuild an image file that Pillow does not read; None if pixels are missing, or no damage is found."""
    if data.startswith(png.SIGNATURE):
        return _png(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    endings: Sequence[bytes] = _ENDINGS
    if data.startswith(b"\xff\xd8"):
        scans = _jpeg_scans(data)
        if not scans.complete:
            return None
        data = _without_end(data, scans)
        endings = _jpeg_endings(data)
    return _completed(data, endings)


def _completed(data: bytes, endings: Sequence[bytes]) -> Repaired | None:
    """Complete a file without its end, if its pixels do not depend on what is appended."""
    first = None
    for ending in endings:
        try:
            pixels = decode(data + ending)
        except (OSError, ValueError):
            return None
        if first is not None and not np.array_equal(first, pixels):
            return None
        first, completed = pixels, data + ending
    note = "the end of the file is missing, but all pixels are there"
    return Repaired(completed, note, one_frame=True)


# JPEG


@dataclass(frozen=True)
class _Scans:
    """What the scans of a JPEG file hold."""

    end: int  # place of the end marker; the length of a file without one
    sent: list[dict[int, int]]  # of each component: coefficient → lowest bit that was sent
    progressive: bool  # whether scans may hold some coefficients or bits only

    @property
    def complete(self) -> bool:
        """Whether every bit of every coefficient was sent."""
        return bool(self.sent) and all(len(one) == 64 and not any(one.values()) for one in self.sent)

    @property
    def refined(self) -> bool:
        """Whether no bit is missing of the coefficients that were sent."""
        return not any(any(one.values()) for one in self.sent)

    @property
    def has_details(self) -> bool:
        """Whether a scan of AC coefficients was sent on its own."""
        return self.progressive and any(one.keys() - {0} for one in self.sent)


def _jpeg_scans(data: bytes) -> _Scans:
    sent: dict[int, dict[int, int]] = {}
    progressive, at = False, 2
    while (found := _JPEG_MARKER.search(data, at)) and data[found.start() + 1] != 0xD9:
        at = found.start()
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at + 4 : at + 2 + length]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and len(segment) >= 6:
            sent = {component: {} for component in segment[6::3][: segment[5]]}
            progressive = marker in (0xC2, 0xC6, 0xCA, 0xCE)
        elif marker == 0xDA and segment and len(segment) >= 4 + 2 * segment[0]:
            first, last, approximation = segment[1 + 2 * segment[0] :][:3]
            for component in segment[1 : 1 + 2 * segment[0] : 2]:
                bits = dict.fromkeys(range(first, min(last, 63) + 1), approximation & 15)
                sent.get(component, {}).update(bits)
        at += 2 + length
    return _Scans(found.start() if found else len(data), list(sent.values()), progressive)


def has_end(data: bytes) -> bool:
    """Whether a JPEG file has its end marker, whatever follows it."""
    return data.endswith(b"\xff\xd9") or _jpeg_scans(data).end < len(data)


def _without_end(data: bytes, scans: _Scans) -> bytes:
    """Return a JPEG up to its end marker, or without the zeros that take the place of its end."""
    if scans.end < len(data):
        return data[: scans.end].rstrip(b"\xff")
    plain = data.rstrip(b"\0")
    return (plain + bytes(min(2, len(data) - len(plain)))).rstrip(b"\xff")


def _jpeg_endings(data: bytes) -> list[bytes]:
    """Return endings: data for the truncated interval, the next restart marker, more data, the end marker."""
    scan = data.rfind(b"\xff\xda")
    last = max(range(0xD0, 0xD8), key=lambda marker: data.rfind(bytes([0xFF, marker]), scan))
    found = data.rfind(bytes([0xFF, last]), scan) >= 0
    restart = bytes([0xFF, 0xD0 + (last - 0xD0 + 1) % 8 if found else 0xD0])
    return [ending + restart + ending + b"\xff\xd9" for ending in _ENDINGS]


def jpeg_cut(data: bytes, *, suspect: bool) -> tuple[int, str]:
    """Find what is missing from a truncated JPEG with an end marker or zeros at its end.

    libjpeg reads such a file without an error. Here it is completed with different data: its own data end
    where the pixels begin to differ. Returns the number of rows that lack pixels, and a note, empty if
    nothing is missing. ``suspect`` says whether the last pixel is the gray that libjpeg puts where rows are
    missing, or zeros come last.
    """
    scans = _jpeg_scans(data)
    if scans.refined and not suspect:
        return 0, ""
    data = _without_end(data, scans)
    try:
        first, *others = [decode(data + ending) for ending in _jpeg_endings(data)]
    except (OSError, ValueError):
        return 0, ""
    differs = np.any([(first != other).reshape(len(first), -1).any(1) for other in others], axis=0)
    if scans.refined and not differs.any():
        return 0, ""
    if differs.any() and not scans.has_details:
        rows = len(first) - int(differs.argmax())
        return rows, f"the file is cut: {rows} of {len(first)} rows lack pixels"
    return 0, "the file is cut: its last scans are missing, and with them details"


# PNG


def _png(data: bytes) -> Repaired | None:
    """Rebuild a PNG from the chunks for pixels, orientation, XMP and animation, with correct checksums."""
    chunks, ended = png.split_chunks(data)
    damaged = {chunk.kind for chunk in chunks if not chunk.valid}
    if b"PLTE" in damaged or png.raw_size(chunks) > _MAX_RAW:
        return None
    stream = png.whole_stream(chunks, trusted=not damaged & {b"IHDR", b"IDAT"})
    if stream is None:
        return None
    animated = not damaged & _ANIMATION and (ended or chunks[-1].kind != b"fdAT")
    kept, left_out, profile, pixels_written = [], set(), None, False
    for chunk in chunks:
        if chunk.kind == b"IDAT":
            if not pixels_written:
                kept.append((b"IDAT", stream))
            pixels_written = True
        elif chunk.kind in (b"IHDR", b"PLTE") or (chunk.kind in _ANIMATION and animated):
            kept.append((chunk.kind, chunk.body))
        elif chunk.kind == b"iCCP" and (found := png.inflated(chunk.body.partition(b"\0")[2][1:])):
            profile = profile or found  # its stream has a checksum of its own
        elif chunk.valid and (
            chunk.kind in (b"tRNS", b"eXIf") or len(chunk.body) == _COLOUR_BYTES.get(chunk.kind)
        ):
            kept.append((chunk.kind, chunk.body))
        elif chunk.valid and chunk.kind == b"iTXt" and (xmp := _xmp(chunk.body)):
            kept.append((b"iTXt", xmp))
        elif chunk.kind not in (b"gAMA", b"cHRM", b"sRGB", b"bKGD", b"pHYs", b"tIME"):
            left_out.add(chunk.kind)
    return Repaired(png.join_chunks(kept), _png_note(damaged, left_out, ended), profile)


def _png_note(damaged: set[bytes], left_out: set[bytes], ended: bool) -> str:
    parts = []
    if damaged:
        parts.append(f"wrong checksum in {_names(damaged)}")
    if left_out:
        parts.append(f"read without {_names(left_out)}")
    if not ended:
        parts.append("the end of the file is missing")
    return f"{'; '.join(parts) or 'its metadata are larger than Pillow reads'}; all pixels are there"


def _names(kinds: set[bytes]) -> str:
    return ", ".join(sorted(kind.decode("ascii", "replace").strip() for kind in kinds))


def _xmp(body: bytes) -> bytes | None:
    """Return an iTXt chunk with XMP uncompressed, since Pillow's limit is for compressed text; else None."""
    fields = body[len(_XMP) + 2 :].split(b"\0", 2)
    if not body.startswith(_XMP) or len(fields) < 3:
        return None
    text = png.inflated(fields[2]) if body[len(_XMP)] else fields[2]
    return None if text is None or len(text) > png.MAX_METADATA_BYTES else _XMP + bytes(4) + text


# WebP


def _webp(data: bytes) -> Repaired | None:
    """Rebuild a WebP from its whole chunks, if the pixels are among them."""
    kept, left_out, at = [], set(), 12
    while any(data[at : at + 4]) and at + 8 <= len(data):  # zeros come from a download that was cut off
        kind, size = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + size]
        if len(body) == size and (kind != b"ANMF" or any(body[-8:])):
            kept.append([kind, body])
        else:
            left_out.add(kind)
        at += 8 + size + size % 2
    kinds = {kind for kind, _ in kept}
    if not kinds & {b"VP8 ", b"VP8L", b"ANMF"} or left_out & {b"VP8 ", b"VP8L", b"ALPH"}:
        return None
    if kept[0][0] == b"VP8X" and len(kept[0][1]) == 10:
        flags = kept[0][1][0]
        for name, bit in ((b"ICCP", 0x20), (b"EXIF", 0x08), (b"XMP ", 0x04)):
            flags = flags if name in kinds else flags & ~bit
        kept[0][1] = bytes([flags]) + kept[0][1][1:]
    body = b"".join(struct.pack("<4sI", kind, len(part)) + part + bytes(len(part) % 2) for kind, part in kept)
    rebuilt = b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
    if rebuilt == data:
        return None
    without = f"read without {_names(left_out)}" if left_out else "its size is wrong"
    there = "the first frame is" if b"ANMF" in left_out else "the pixels are"
    return Repaired(rebuilt, f"the file is cut or damaged: {without}; {there} there")


def webp_cut(data: bytes) -> bool:
    """Whether no pixel of a still WebP depends on the last `ZEROS` bytes of its pixels, which are zeros.

    Encoders write no such bytes, but zeros for large black areas, on which pixels depend.
    """
    at = 12
    while data[at : at + 4] not in (b"VP8 ", b"VP8L"):
        if at + 8 > len(data):
            return False  # an animation
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
    start = max(at + 8, end - ZEROS)
    if any(data[start:end]):
        return False
    try:
        first, *others = [
            decode(data[:start] + bytes([value]) * (end - start) + data[end:]) for value in _TAILS
        ]
    except (OSError, ValueError):
        return False
    return all(np.array_equal(first, other) for other in others)
