"""Errors that the lab raises in addition to those of `cotam.errors`."""

from __future__ import annotations

from cotam.errors import CotamError

__all__ = ["MissingPackageError"]


class MissingPackageError(CotamError, ImportError):
    """A package that the lab depends on is not installed; the message gives the command.

    Parameters
    ----------
    module : name of the module that could not be imported
    command : what installs it, to be run in a clone of cotam
    """

    def __init__(self, module: str, command: str = "pip install ./lab") -> None:
        super().__init__(f"{module} is not installed; run in a clone of cotam: {command}")
