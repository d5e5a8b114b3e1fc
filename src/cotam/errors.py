"""The hierarchy of exceptions.

::

    CotamError
    ├── InputError (ValueError)         an image or an argument cannot be encoded
    ├── TargetSizeError (ValueError)    no file of the image is small enough
    ├── FormatError (ValueError)        not a valid .cotam file
    │   ├── NotCotamError               the magic bytes are missing
    │   ├── TruncatedError              the file is truncated
    │   └── DamagedError                a checksum does not match
    ├── LimitError (ValueError)         an image or a part of a file exceeds a limit
    ├── UnknownWeightsError             the weight set is not installed
    ├── MissingExtraError (ImportError) a package of an extra is not installed
    ├── MissingCodecError (ImportError) Pillow was built without an image codec
    └── MissingLabError (ImportError)   the distribution cotam-lab is not installed
"""

from __future__ import annotations

import copyreg
from typing import Any

__all__ = [
    "CotamError",
    "DamagedError",
    "FormatError",
    "InputError",
    "LimitError",
    "MissingCodecError",
    "MissingExtraError",
    "MissingLabError",
    "NotCotamError",
    "TargetSizeError",
    "TruncatedError",
    "UnknownWeightsError",
]


class CotamError(Exception):
    """Base class. Messages are one line, written for users."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Be copied without a call of ``__init__``, which may take something else than the message."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class InputError(CotamError, ValueError):
    """An image or an argument cannot be encoded."""


class TargetSizeError(CotamError, ValueError):
    """No file of the image is small enough.

    Attributes
    ----------
    smallest : approximate size of the smallest file in bytes
    """

    def __init__(self, target: int, smallest: int) -> None:
        super().__init__(f"the smallest file of this image has about {smallest} bytes, more than {target}")
        self.smallest = smallest


class FormatError(CotamError, ValueError):
    """The data are not a valid .cotam file."""


class NotCotamError(FormatError):
    """The data do not begin with the magic bytes of a .cotam file."""


class TruncatedError(FormatError):
    """The data are truncated."""


class DamagedError(FormatError):
    """A checksum does not match: bytes were changed, or the file was made with other weights."""


class LimitError(CotamError, ValueError):
    """The image, or a part of the file, exceeds a limit."""


class UnknownWeightsError(CotamError):
    """The weight set of a file or profile is not installed."""


class MissingExtraError(CotamError, ImportError):
    """A package of an extra is not installed; the message says how to install it."""

    def __init__(self, extra: str, module: str) -> None:
        super().__init__(f"{module} is not installed; run in a clone of cotam: pip install '.[{extra}]'")


class MissingLabError(CotamError, ImportError):
    """The distribution cotam-lab is not installed; the message says how to install it."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is part of cotam-lab; run in a clone of cotam: pip install ./lab")


class MissingCodecError(CotamError, ImportError):
    """Pillow was built without an image codec; the message names it and says what to install."""

    def __init__(self, action: str, codec: str) -> None:
        super().__init__(
            f"Pillow cannot {action} {codec} here: install Pillow's own wheel, pip install 'pillow>=11.3'"
        )
