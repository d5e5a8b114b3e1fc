"""Variable-length integers of one to five bytes."""

from __future__ import annotations

from cotam.errors import FormatError, TruncatedError

__all__ = ["read_varint", "varint"]


def varint(value: int) -> bytes:
    """Encode a non-negative integer, seven bits per byte, least significant first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes | memoryview, at: int, what: str) -> tuple[int, int]:
    """Decode the integer at position ``at``.

    Returns the integer and the position after it. Raises TruncatedError or FormatError if it is truncated,
    longer than five bytes, or not in its shortest form.
    """
    value = 0
    for count in range(5):
        if at + count >= len(data):
            raise TruncatedError(f"the file ends within its {what}")
        byte = data[at + count]
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            if byte == 0 and count:
                break
            return value, at + count + 1
    raise FormatError(f"the {what} is not a valid number")
