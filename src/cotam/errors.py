"""All errors that Cotam raises on purpose.

::

    CotamError
    ├── InputError (ValueError)        a picture or an argument that cannot be encoded
    ├── TargetSizeError (ValueError)   no quality reaches the byte budget
    ├── FormatError (ValueError)       not a .cotam file, or a damaged one
    │   ├── NotCotamError              the magic is missing
    │   ├── TruncatedError             the file ends before it should
    │   └── DamagedError               a checksum does not agree
    ├── LimitError (ValueError)        larger than the limits in force
    ├── UnknownWeightsError            made with a weight set that is not here
    ├── MissingExtraError (ImportError) an extra of this package is not installed
    └── MissingLabError (ImportError)  the distribution cotam-lab is not installed
"""

from __future__ import annotations

__all__ = [
    "CotamError",
    "DamagedError",
    "FormatError",
    "InputError",
    "LimitError",
    "MissingExtraError",
    "MissingLabError",
    "NotCotamError",
    "TargetSizeError",
    "TruncatedError",
    "UnknownWeightsError",
]


class CotamError(Exception):
    """Base of all errors of this package: its text is one line, fit to be shown as it is."""


class InputError(CotamError, ValueError):
    """A picture or an argument that cannot be encoded."""


class TargetSizeError(CotamError, ValueError):
    """No quality reaches the byte budget that was asked for."""


class FormatError(CotamError, ValueError):
    """Not a .cotam file, or a damaged one."""


class NotCotamError(FormatError):
    """The data do not begin with the magic of a .cotam file."""


class TruncatedError(FormatError):
    """The data end before they should."""


class DamagedError(FormatError):
    """A checksum does not agree: bytes were changed, or the weights are not those of the encoder."""


class LimitError(CotamError, ValueError):
    """The picture or a section is larger than the limits in force allow."""


class UnknownWeightsError(CotamError):
    """The file was made with a weight set that this installation does not have."""


class MissingExtraError(CotamError, ImportError):
    """A part of Cotam needs packages that are not installed; the text names the command."""

    def __init__(self, extra: str, module: str) -> None:
        super().__init__(f"{module} is not installed; run in a clone of cotam: pip install '.[{extra}]'")


class MissingLabError(CotamError, ImportError):
    """A command or guide needs the distribution cotam-lab; the text says how to install it."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is part of cotam-lab; run in a clone of cotam: pip install ./lab")
