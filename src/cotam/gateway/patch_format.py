"""Read and write patches, which make an image by changes of an earlier one, the base (`docs/format.md`).

The base is named by the SHA-256 of its file: an ordinary image, a still or another patch.
"""

from __future__ import annotations

from dataclasses import dataclass

from cotam.errors import FormatError, TruncatedError
from cotam.format.changes import Changes, read_changes, write_changes
from cotam.format.header import File, Header, Kind, kind_of, read_file, read_header, write_file

__all__ = [
    "MAX_CHAIN",
    "Patch",
    "base_of",
    "depth_of",
    "is_patch",
    "read_patch",
    "write_patch",
]

MAX_CHAIN = 8
"""Largest number of patches in a chain, each based on the one before."""


@dataclass(frozen=True)
class Patch:
    """A patch."""

    width: int  # of the new image, in pixels
    height: int
    base: bytes  # SHA-256 of the file of the earlier image
    depth: int  # patches from the whole image to this one, 1 … `MAX_CHAIN`
    changes: Changes


def is_patch(data: bytes) -> bool:
    """Whether the first bytes of a file are those of a patch."""
    return kind_of(data) is Kind.PATCH


def depth_of(data: bytes) -> int:
    """Return the patches between a whole image and this file, 0 if it is not a patch. Raises as `base_of`."""
    return _payload(data, 33)[32] if is_patch(data) else 0


def base_of(data: bytes) -> bytes:
    """Return the SHA-256 of the file that a patch is based on.

    Raises FormatError if the patch is truncated, or its header is damaged.
    """
    return _payload(data, 32)


def write_patch(patch: Patch, quality: int) -> bytes:
    """Return the bytes of a patch; ``quality`` is that of its stills, for information."""
    payload = patch.base + bytes([patch.depth]) + write_changes(patch.changes)
    return write_file(File(Header(patch.width, patch.height, quality, Kind.PATCH), payload))


def read_patch(data: bytes) -> Patch:
    """Read a patch; its stills are not decoded.

    Raises TruncatedError, DamagedError or FormatError if it is not valid, and LimitError if its changes have
    too many pixels (`cotam.format.changes.read_changes`).
    """
    file = read_file(data)
    if file.kind is not Kind.PATCH:
        raise FormatError(f"expected a patch, got a file of kind {file.kind.name.lower()}")
    payload = file.payload
    if len(payload) < 33:
        raise TruncatedError("the patch ends within the name of its base")
    base, depth = payload[:32], payload[32]
    if not 0 < depth <= MAX_CHAIN:
        raise FormatError(f"impossible patch: number {depth} of its chain, at most {MAX_CHAIN} are allowed")
    changes = read_changes(payload[33:], file.width, file.height)
    return Patch(file.width, file.height, base, depth, changes)


def _payload(data: bytes, size: int) -> bytes:
    """Return the first ``size`` bytes of the payload of a file."""
    start = read_header(data).payload_start
    payload = data[start : start + size]
    if len(payload) < size:
        raise TruncatedError(f"the file ends after {len(data)} bytes, within its payload")
    return payload
