"""Convert one image of a data set: an image file to .cotam, or .cotam to an image file.

Conversions are picklable, and their settings are written to the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import cotam
from cotam import files
from cotam.api import encode_image
from cotam.errors import FormatError, InputError
from cotam.format.header import KIND_BYTES, is_sequence
from cotam.image.write import FORMS, metadata_notes, save_image
from cotam.options import Options, View, guide_digest, weights_digests

__all__ = ["IMAGE_SUFFIXES", "Conversion", "Converted", "Decoding", "Encoding", "image_in"]


IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".heic", ".heif", ".hif", ".avif", ".webp", ".jxl", ".jp2"),
    *(".png", ".apng", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm", ".tga"),
)
"""Suffixes of image files, in the order of preference where a sample has several images."""


@dataclass(frozen=True)
class Converted:
    """A converted image."""

    data: bytes
    notes: tuple[str, ...] = ()  # what was repaired, left out or grew, one line each


@dataclass(frozen=True)
class Encoding:
    """Images → .cotam."""

    options: Mapping[str, Any] = field(default_factory=dict)  # arguments of `cotam.encode`
    strict: bool = False  # whether notes are errors
    takes: ClassVar = frozenset(IMAGE_SUFFIXES)
    suffix: ClassVar = ".cotam"

    def __call__(self, image: Any) -> Converted:
        """Encode anything that `cotam.encode` takes.

        Raises InputError as `cotam.encode`, or for a note if ``strict``.
        """
        notes: list[str] = []
        data = encode_image(image, Options(**self.options), notes.append).file.data
        if isinstance(image, bytes) and len(data) > len(image):
            notes.append(files.growth_note(len(image), len(data)))
        if self.strict and notes:
            raise InputError("; ".join(notes))
        return Converted(data, tuple(notes))

    def settings(self) -> dict[str, Any]:
        """Return everything that the outputs depend on, for JSON."""
        profile = self.options.get("profile", "auto")
        made_with = {"weights": weights_digests(profile)}
        if digest := guide_digest(self.options.get("guide", "auto"), profile):
            made_with["guide file"] = digest[:16]
        return {"makes": "cotam", **self.options, "strict": self.strict, **made_with}


@dataclass(frozen=True)
class Decoding:
    """.cotam → image files."""

    form: str = "png"  # format of the files, a key of `cotam.image.write.FORMS`
    view: View = "mllm"  # as for `cotam.decode`
    size_limit: int | None = None  # as for `cotam.decode`
    takes: ClassVar = frozenset([".cotam"])

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise InputError(f"form {self.form!r} is not known: choose from {', '.join(FORMS)}")

    @property
    def suffix(self) -> str:
        return f".{self.form}"

    def __call__(self, data: Any) -> Converted:
        """Decode the bytes of a .cotam file.

        Raises FormatError for a sequence of frames, and as `cotam.decode`.
        """
        if isinstance(data, bytes | bytearray | memoryview) and is_sequence(bytes(data[:KIND_BYTES])):
            raise FormatError("it is a sequence of frames: cotam decode writes them all")
        image = cotam.decode(data, view=self.view, size_limit=self.size_limit)
        return Converted(save_image(image, self.form), tuple(metadata_notes(image, self.form)))

    def settings(self) -> dict[str, Any]:
        """Return everything that the outputs depend on, for JSON."""
        return {"makes": self.form, "view": self.view, "size_limit": self.size_limit}


Conversion = Encoding | Decoding


def image_in(value: Any) -> Any:
    """Return the image in a cell of a table: bytes, an array, or Hugging Face's ``{"bytes": …, "path": …}``.

    Returns bytes or an array; None for a null. Raises InputError if the cell holds anything else.
    """
    if isinstance(value, dict):
        path = value.get("path")
        value = value.get("bytes")
        if value is None and path:
            raise InputError(f"the cell names the file {path!r} and does not hold its bytes")
    if value is None or isinstance(value, bytes) or hasattr(value, "nbytes"):
        return value
    # A string would be opened as a file.
    raise InputError(f"an image is bytes or an array, not {type(value).__name__}")
