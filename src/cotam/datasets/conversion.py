"""What is made of one picture among many: .cotam of a picture file, or a picture file of .cotam.

Knows the arguments of `cotam.encode` and `cotam.decode`: nothing of where pictures come from or go to. Both
are plain data, so that they pass from process to process and can be written down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import cotam
from cotam.errors import FormatError, InputError
from cotam.format.header import KIND_BYTES, is_sequence
from cotam.image.write import FORMS, saved
from cotam.options import View, guide_digest, weights_digests

__all__ = ["Conversion", "Decoding", "Encoding", "picture_in"]


_NAMES = "avif", "bmp", "gif", "heic", "jpeg", "jpg", "jxl", "png", "ppm", "tif", "tiff", "webp"
_PICTURES = frozenset(f".{name}" for name in _NAMES)


@dataclass(frozen=True)
class Encoding:
    """Pictures → .cotam.

    Attributes
    ----------
    options : arguments of `cotam.encode`
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    takes: ClassVar = _PICTURES

    @property
    def suffix(self) -> str:
        return ".cotam"

    def __call__(self, picture: Any) -> bytes:
        """The .cotam file of anything that `cotam.encode` takes."""
        return cotam.encode(picture, **self.options)

    def settings(self) -> dict[str, Any]:
        """All that the outputs depend on, for JSON."""
        profile = self.options.get("profile", "auto")
        made_with = {"weights": weights_digests(profile)}
        if digest := guide_digest(self.options.get("guide", "auto"), profile):
            made_with["guide file"] = digest[:16]
        return {"makes": "cotam", **self.options, **made_with}


@dataclass(frozen=True)
class Decoding:
    """.cotam → files of pictures.

    Attributes
    ----------
    form : of the files, a name in `cotam.image.write.FORMS`
    view, size_limit : arguments of `cotam.decode`
    """

    form: str = "png"
    view: View = "mllm"
    size_limit: int | None = None
    takes: ClassVar = frozenset([".cotam"])

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise InputError(f"form {self.form!r} is not known; there is: {', '.join(FORMS)}")

    @property
    def suffix(self) -> str:
        return f".{self.form}"

    def __call__(self, data: Any) -> bytes:
        """The picture file of the bytes of a .cotam file.

        Raises
        ------
        FormatError
            if they are a sequence of frames, besides what `cotam.decode` raises
        """
        if isinstance(data, bytes | bytearray | memoryview) and is_sequence(bytes(data[:KIND_BYTES])):
            raise FormatError("it is a sequence of frames: cotam decode writes them all")
        return saved(cotam.decode(data, view=self.view, size_limit=self.size_limit), self.form)

    def settings(self) -> dict[str, Any]:
        """All that the outputs depend on, for JSON."""
        return {"makes": self.form, "view": self.view, "size_limit": self.size_limit}


Conversion = Encoding | Decoding


def picture_in(value: Any) -> Any:
    """What a table's cell holds: bytes, an array, or Hugging Face's ``{"bytes": …, "path": …}``.

    Raises
    ------
    InputError
        if it holds none
    """
    if isinstance(value, dict):
        value = value.get("bytes")
    if value is None:
        raise InputError("there is no picture here")
    if not isinstance(value, bytes) and not hasattr(value, "nbytes"):  # a name would be opened as a file
        raise InputError(f"a picture is bytes or an array, not {type(value).__name__}")
    return value
