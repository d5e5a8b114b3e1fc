"""Messages and progress on standard error."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from cotam import files
from cotam.errors import CotamError

__all__ = ["ERRORS", "Screen", "describe"]

ERRORS = (CotamError, OSError, MemoryError)
"""Errors that are shown as one line instead of a traceback."""


def describe(error: BaseException, name: str = "") -> str:
    """Return an error as one line that begins with the name of the file."""
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
        if error.filename is not None:
            name = str(error.filename) or "''"
    else:
        text = str(error) or "not enough memory"  # only a MemoryError comes without words
    name = "standard input" if name == files.STANDARD else name
    return " ".join((text if text.startswith(f"{name}:") or not name else f"{name}: {text}").split())


class Screen:
    """Standard error: errors always, notes unless quiet, summaries if verbose, and a progress bar."""

    def __init__(self, verbose: bool = False, quiet: bool = False) -> None:
        self._verbose, self._quiet, self._bar_shown = verbose, quiet, False
        self.failed = False

    def error(self, text: str) -> None:
        self._line(f"cotam: error: {text}")

    @contextmanager
    def reporting(self, name: str) -> Iterator[None]:
        """Show what goes wrong with an input, and set ``failed``."""
        try:
            yield
        except BrokenPipeError:
            raise  # nobody reads the output: not worth a word
        except ERRORS as error:
            self.error(describe(error, name))
            self.failed = True

    def note(self, text: str) -> None:
        if not self._quiet:
            self._line(f"cotam: note: {text}")

    def summary(self, text: str) -> None:
        if self._verbose:
            self._line(text)

    def _line(self, text: str) -> None:
        clear = "\r\x1b[K" if self._bar_shown else ""
        click.echo(clear + text, err=True)

    @contextmanager
    def progress(self, length: int) -> Iterator[Callable[[int], None]]:
        """Give a function that advances the bar; warnings are shown as notes meanwhile."""
        on_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._bar_shown = length > 1 and on_terminal and not self._quiet and not self._verbose
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: self.note(" ".join(str(message).split()))
            if self._bar_shown:
                with click.progressbar(length=length, file=sys.stderr) as bar:
                    yield bar.update
            else:
                yield lambda steps: None
